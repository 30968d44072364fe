"""A user's own network from the command line: named by file or module, told in one sentence what is wrong with it."""

import hashlib
import io
import json
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from neurofit.cli.main import main
from neurofit.data.readers.plain import write_hdf5

MODEL = """
import torch
import neurofit as nf
from neurofit.subjects.static import static_subject

print("loading, says somebody else's code")


def make(**options):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, stride=4), torch.nn.ReLU(), torch.nn.AvgPool2d(2))
    return static_subject(
        network, {"conv": "1", "pool": "2"}, name="mine", preprocessing=nf.Preprocessing(32), mode="once", **options
    )


def static():
    return make(latency=5)


def committed():
    return make(region_layers={"IT": "pool"})


def torn():
    raise ValueError("the weights are elsewhere")
"""
MANIFEST = """
name = "colours"
title = "responses to colours"
kind = "recording"
reader = "hdf5"
regions = ["IT"]
subjects = ["animal"]
repetitions = true
licence = "ours"
citation = "none"
source = "a test"
"""
FILE = """
[[files]]
name = "{name}"
role = "{role}"
sha256 = "{digest}"
"""
BENCHMARK = """
name = "colours"
title = "responses to colours"
version = 1
dataset = "colours.toml"
region = "IT"
source = "a test"
time_bins = {start_ms = 0, end_ms = 200, width_ms = 50}
viewing = {on_ms = 100, total_ms = 200}
mapping = {n_components = 3}
splits = {n_splits = 2}
correction = {n_halvings = 1}
aggregation = {window_ms = [50, 150]}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, make_recording):
    """The current folder: a user's networks, and a small benchmark of responses that follow the colours of images."""
    colours = np.random.default_rng(3).integers(30, 226, (40, 3))
    place = tmp_path / "data" / "colours"
    place.mkdir(parents=True)
    with zipfile.ZipFile(place / "images.zip", "w") as archive:
        for i, colour in enumerate(colours):
            buffer = io.BytesIO()
            Image.fromarray(np.broadcast_to(colour.astype(np.uint8), (24, 24, 3)).copy()).save(buffer, "PNG")
            archive.writestr(f"s{i:03d}.png", buffer.getvalue())
    bins = [(t, t + 50) for t in range(0, 200, 50)]
    recording = make_recording(latents=(colours - colours.mean(0)) / 50, bins=bins, repetitions=(4, 4))
    write_hdf5(recording, place / "responses.h5")
    files = {"assembly": place / "responses.h5", "images": place / "images.zip"}
    tables = [
        FILE.format(name=path.name, role=role, digest=hashlib.sha256(path.read_bytes()).hexdigest())
        for role, path in files.items()
    ]
    (tmp_path / "colours.toml").write_text(MANIFEST + "".join(tables))
    (tmp_path / "bench.toml").write_text(BENCHMARK)
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "mine.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("nets", "nets.mine", "neurofit_user_mine"):
        sys.modules.pop(name, None)


@pytest.fixture
def neurofit(monkeypatch, capsys):
    """Return a function that runs the command as a shell would: exit code, standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["neurofit", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, *capsys.readouterr()

    return run


SCORE = ("score", "--benchmark", "bench.toml", "--data", "data")


def test_a_file_is_scored(folder, neurofit):
    code, out, err = neurofit(*SCORE, "--model", "nets/mine.py:static", "--layer", "pool", "--json")
    assert code == 0, err
    record = json.loads(out)  # one document, although the user's code prints
    assert "says somebody else's code" in err
    subject = record["subject"]
    assert (subject["name"], subject["layer"], subject["units"]) == ("mine", "pool", 8 * 3 * 3)
    assert (subject["static_mode"], subject["latency_steps"]) == ("once", "conv 5, pool 5")
    assert [row["silent"] for row in record["time_bins"]] == [True, False, False, True]  # the image is on for 100 ms
    assert record["time_bins"][1]["raw"] > 0.5
    assert sorted(p.name for p in (folder / "neurofit-out").iterdir()) == [
        "mine-pool-IT-colours.json",
        "mine-pool-IT-colours.png",
    ]


def test_its_words_are_left_alone_where_nothing_is_to_be_parsed(folder, neurofit):
    code, out, err = neurofit(*SCORE, "--model", "nets.mine:committed")
    assert code == 0, err
    assert out.startswith("loading, says somebody else's code")
    assert "mine, layer pool, on IT of responses to colours" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nets.mine:static"], "'mine' commits none to IT or any region - add --layer: conv, pool"),
        (["--model", "nets/mine.py:committed", "--region", "aIT"], "'aIT' is not known - use 'IT'"),
        (["--model", "nets/mine.py:static", "--layer", "poll"], "'poll' is not known - use 'pool'"),
        (["--model", "nets/yours.py:static"], "nets/yours.py is no file"),
        (["--model", "nets.yours:static"], "there is no module 'nets.yours'"),
        (["--model", "nets/mine.py:statik"], "'statik' is not known - use 'static'"),
        (["--model", "nets/mine.py:torn"], "raised ValueError: the weights are elsewhere (mine.py, line"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(folder, neurofit, arguments, message):
    code, _, err = neurofit(*SCORE, *arguments)
    assert code == 2
    assert message in err
    assert err.count("neurofit: ") == 1
    assert not list(folder.glob("neurofit-out/*.*"))
