from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from neurofit.cli.data import app
from neurofit.errors import DataFileError, UnknownNameError
from neurofit.files.manifest import list_manifests

BODY = b"abc"
SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of 'abc', FIPS 180-2 appendix B.1

MANIFEST = f"""
name = "toy"
title = "A toy"
kind = "stimuli"
licence = "CC0"
citation = "nobody"
source = "nowhere"
[[files]]
name = "a.bin"
role = "images"
size = 3
sha256 = "{SHA256}"
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Path of a manifest of one's own, whose file lies in `tmp_path/disk`; the data folder is empty."""
    monkeypatch.setenv("NEUROFIT_DATA", str(tmp_path / "data"))
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.bin").write_bytes(BODY)
    path = tmp_path / "toy.toml"
    path.write_text(MANIFEST)
    return str(path)


def run(*arguments, code=0):
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def test_list_names_every_dataset_and_calls_simulated_ones_so(toy):
    lines = {line.split()[0]: line for line in run("list").stdout.splitlines()}
    assert list(lines) == list_manifests()
    assert " simulated " in lines["sim-ventral"] and " not fetched " in lines["cowley2023-v4-201016"]


def test_list_as_json_is_one_document(toy):
    result = run("list", "--json")
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert rows["sim-ventral"]["simulated"] is True and rows["cowley2023-v4-201016"]["state"] == "not fetched"
    assert "sim-ventral" in result.stderr


def test_info_tells_terms_files_and_what_is_not_known(toy):
    text = run("info", "cowley2023-v4-201016").stdout
    assert (
        "licence:      GPL-3.0" in text and "not how long after image onset" in text and "responses_201016.npy" in text
    )
    assert "address not confirmed" in text
    assert "no public address" in run("info", "tiny-imagenet-100").stdout
    assert "(weights, 61.78 MB to 185.3 MB)" in run("info", "convrnn-rgc-intermediate").stdout
    assert "kind:         simulated recording" in run("info", "sim-ventral").stdout


def test_info_as_json(toy):
    document = json.loads(run("info", "majajhong2015-temporal-public", "--json").stdout)
    assert len(document["time_bins_ms"]) == 39 and document["time_bins_ms"][0] == [-100, -80]
    assert document["files"][0]["sha1"] == "093ac35b3e8464c676d24cf38238415d4d6a9448"


def test_fetch_then_check_then_spoil(toy, tmp_path):
    document = json.loads(run("fetch", toy, "--from", str(tmp_path / "disk"), "--json").stdout)
    path = tmp_path / "data" / "toy" / "a.bin"
    assert document["files"] == [
        {"name": "a.bin", "path": str(path), "status": "copied", "size": 3, "digest": f"sha256:{SHA256}"}
    ]
    assert "already there" in run("fetch", toy).stdout
    assert "a.bin: ok" in run("check", toy).stdout
    path.write_bytes(b"abx")
    assert json.loads(run("check", toy, "--json", code=2).stdout)[0]["files"][0]["status"] == "wrong hash"


def test_fetch_into_another_folder(toy, tmp_path):
    run("fetch", toy, "--from", str(tmp_path / "disk"), "--folder", str(tmp_path / "other"))
    assert (tmp_path / "other" / "toy" / "a.bin").read_bytes() == BODY
    assert "a.bin: missing" in run("check", toy, code=2).stdout


def test_fetch_of_simulated_data_says_so(toy):
    assert "sim-ventral is simulated: there is nothing to fetch" in run("fetch", "sim-ventral").stdout
    assert "sim-ventral is simulated" in run("check", "sim-ventral").stdout


def test_check_of_all_asks_only_for_what_was_fetched(toy, tmp_path):
    assert "no dataset was fetched yet" in run("check").stdout
    (tmp_path / "data" / "cowley2023-v4-201016").mkdir(parents=True)
    document = json.loads(run("check", "--json", code=2).stdout)
    assert [row["name"] for row in document] == ["cowley2023-v4-201016"]


def test_broken_promises_reach_the_caller(toy, tmp_path):
    with pytest.raises(UnknownNameError, match="use 'sim-ventral'"):
        run("info", "sim-ventrel")
    with pytest.raises(DataFileError, match="--from DIR"):
        run("fetch", toy)


@pytest.mark.parametrize("command", [[], ["list"], ["info"], ["fetch"], ["check"]])
def test_help_has_an_example(command):
    assert f"\n neurofit {' '.join(['data', *command])}" in run(*command, "--help").stdout


def test_help_needs_no_heavy_modules():
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from neurofit.cli.data import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = {'numpy', 'pandas', 'pooch', 'requests', 'torch', 'tqdm', 'xarray'}\n"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
