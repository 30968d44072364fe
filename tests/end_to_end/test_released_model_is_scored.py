"""From the authors' checkpoint, over a web server of this machine, to scores: fetch, convert, score.

The checkpoint has stand-in weights (the real ones cannot be had without their server), so that the scores say nothing
of the papers; that they are finite, and those of these weights, is what is tested.
"""

from __future__ import annotations

import json

import pytest
from misbehaving_server import server as server
from typer.testing import CliRunner

from neurofit.cli.main import app
from neurofit.files import manifest
from neurofit.files.resources import list_resources

AUTHORS = "https://convrnnckpts.s3-us-west-1.amazonaws.com/timedecay_shallow"
FILES = ("model.ckpt.index", "model.ckpt.data-00000-of-00001")


def run(*arguments):
    result = CliRunner().invoke(app, [*arguments, "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def fetched(shared, server, monkeypatch, tmp_path):
    """Fetch timedecay_shallow from a local server whose pages are the golden checkpoint's files."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    for path in list_resources(manifest.MANIFEST_FOLDER):
        (folder / path.name).write_text(path.read_text("utf-8").replace(AUTHORS, server.url("")), "utf-8")
    monkeypatch.setattr(manifest, "list_resources", lambda _: sorted(folder.glob("*.toml")))
    monkeypatch.setenv("NEUROFIT_DATA", str(tmp_path / "data"))
    for name in FILES:
        server.serve(f"/{name}", shared("golden", "ckpt", name).read_bytes())
    answer = run("models", "fetch", "timedecay_shallow")
    assert len(server.requests) >= len(FILES)
    return answer


@pytest.mark.slow
def test_a_served_checkpoint_is_scored_on_the_embedded_default_and_on_real_v4(fetched, shared, tmp_path):
    assert fetched["status"] == "converted" and fetched["trusted_on_first_use"]
    out = ("--out", str(tmp_path / "out"), "--splits", "2", "--halvings", "1", "--batch", "16")
    model = ("score", "--model", "timedecay_shallow")
    run("data", "fetch", "cowley2023-v4-201016", "--from", str(shared("data", "cowley2023_v4")))
    records = {
        "simulated": run(*model, "--region", "V4", *out),
        "real": run(*model, "--benchmark", "cowley2023-v4-201016", *out),
    }
    (tmp_path / "records.json").write_text(json.dumps({kind: r["score"] for kind, r in records.items()}, indent=1))
    for kind, record in records.items():
        assert record["simulated"] == (kind == "simulated")
        assert record["subject"]["weights"] == "released: timedecay_shallow"
        assert -1 <= record["score"]["raw"] <= 1
