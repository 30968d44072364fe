"""The main job from the command line, on the embedded simulated default and on bad input."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from neurofit.cli.main import main


def neurofit(*arguments, cwd, **options):
    command = [sys.executable, "-m", "neurofit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=1500, check=False, **options)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    quick = ("--splits", "2", "--halvings", "1", "--components", "10")
    done = neurofit("score", "--model", "rgc", "--region", "IT", *quick, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_standard_output_is_one_json_document(scored):
    _, done = scored
    record = json.loads(done.stdout)
    assert record["simulated"] is True
    assert record["status"] == "complete"
    assert len(record["time_bins"]) == 26
    assert record["benchmark"]["name"] == "sim-it (varied)"
    assert record["score"]["n_stimuli"] == 640
    assert record["score"]["n_neuroids"] == 168
    assert record["environment"]["versions"]["torch"]


def test_the_score_is_sane(scored):
    record = json.loads(scored[1].stdout)
    assert 0.2 < record["score"]["value"] < 1
    assert 0.3 < record["score"]["ceiling"] < 0.6
    assert record["score"]["low"] <= record["score"]["value"] <= record["score"]["high"]
    assert record["time_bins"][0]["counted"] < 60  # by chance alone: nothing is reliable before the response
    assert record["time_bins"][12]["counted"] > 120


def test_everything_else_calls_it_simulated(scored):
    folder, done = scored
    assert "SIMULATED" in done.stderr
    assert "score on SIMULATED data" in done.stderr
    written = json.loads(done.stdout)["written"]
    saved = json.loads((folder / written["record"]).read_text())
    assert saved["simulated"] is True
    assert (folder / written["figure"]).read_bytes().startswith(b"\x89PNG")
    assert sorted(p.suffix for p in (folder / "neurofit-out").iterdir()) == [".json", ".nc", ".png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "rcg", "--region", "IT"], "'rcg' is not known - use 'rgc'"),
        (["--model", "rgc", "--region", "TI"], "'TI' is not known - use 'IT'"),
        (["--model", "rgc", "--region", "IT", "--layer", "conv55"], "'conv55' is not known - use 'conv5'"),
        (["--model", "rgc", "--benchmark", "simit"], "'simit' is not known - use 'sim-it'"),
        (["--model", "rgc"], "neither --region nor --benchmark was given"),
        (["--model", "rgc", "--region", "IT", "--formula", "bth"], "'bth' is not known - use 'both'"),
        (["--model", "rgc", "--region", "IT", "--device", "cuda:9"], "the device is present"),
        (["--model", "rgc", "--benchmark", "cowley2023-v4-201016", "--data", "nowhere"], "neurofit data fetch"),
        (["--model", "rgc", "--region", "IT", "--out", "file/below"], "give another folder"),
        pytest.param(["--model", "pixels", "--region", "V4", "--components", "9999"], "9999", marks=pytest.mark.slow),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path, monkeypatch, capsys, arguments, message):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["neurofit", "score", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    errors = capsys.readouterr().err
    assert left.value.code == 2
    assert message in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("neurofit-out/*.*"))


def test_bad_usage_is_exit_code_2(tmp_path):
    done = neurofit("score", "--model", "rcg", "--region", "IT", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "use 'rgc'" in done.stderr
    assert neurofit("scor", cwd=tmp_path).returncode == 2


def test_an_interruption_is_exit_code_130(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "neurofit", "score", "--model", "rgc", "--region", "IT"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        # where a shell runs the tests in the background, its children would ignore interrupts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads in between
    )
    process.stdout.readline()  # it has begun
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=300)  # a busy machine is slow to load data, which is not interrupted
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert not list(tmp_path.glob("neurofit-out/*.json"))
