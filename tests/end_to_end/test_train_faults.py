"""Training survives what happens to it: kills at any moment, a full disk, a folder that cannot be written."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

RECIPE = """
name = "short"
batch = 16
average = 0.9
label_smoothing = 0.1
[[phases]]
epochs = 2
size_px = 40
[[phases]]
epochs = 2
[optimiser]
kind = "adamw"
learning_rate = 3e-3
[schedule]
kind = "cosine"
warm_up = 0.1
[augmentation]
least_crop = 0.5
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for subset, count in (("train", 64), ("val", 8)):
        for label, colour in (("cat", 40), ("dog", 120), ("emu", 200)):
            place = root / subset / label
            place.mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(colour + rng.normal(0, 60, (64, 64, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{i}.png")
    return root


@pytest.fixture
def command(images, tmp_path):
    recipe = tmp_path / "short.toml"
    recipe.write_text(RECIPE)

    def arguments(out):
        return [
            *(sys.executable, "-m", "neurofit", "train", "--model", "rgc_untrained", "--data", str(images)),
            *("--recipe", str(recipe), "--out", str(out), "--device", "cpu", "--threads", "1"),
        ]

    return arguments


def _heeds_interrupts():
    """A shell makes its background jobs ignore them, and so this process's children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def finish(arguments):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)


def _saved(process, checkpoint, times):
    """Wait until a state was saved so often, or the process ended; return whether it goes on."""
    before = None
    while process.poll() is None:
        now = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
        times -= now != before
        before = now
        if times < 0:
            return True
        time.sleep(0.01)
    return False


def weights(out):
    return load_file(out / "rgc_untrained.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("point", range(5))
def test_killed_at_a_random_moment_it_goes_on_to_the_same_weights(command, tmp_path, point):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert finish(command(whole)).returncode == 0
    chance, kills = random.Random(point), 0
    while kills < 3:
        process = subprocess.Popen(command(parts), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not _saved(process, parts / "checkpoint.pt", times=chance.randint(1, 5)):
            break
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.wait()
        kills += 1
    assert kills
    assert finish(command(parts)).returncode == 0
    expected, found = weights(whole), weights(parts)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
    timeless = [",".join(line.split(",")[:5]) for line in (whole / "epochs.csv").read_text().splitlines()]
    assert [",".join(line.split(",")[:5]) for line in (parts / "epochs.csv").read_text().splitlines()] == timeless
    assert not [path for path in parts.iterdir() if path.name.endswith(".tmp")]


@pytest.mark.slow
def test_an_interrupt_saves_and_the_same_command_goes_on(command, tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(out),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heeds_interrupts,  # noqa: PLW1509 - no threads here
    )
    while not (out / "checkpoint.pt").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; the state is kept in" in said.strip().splitlines()[-1]
    assert finish(command(out)).returncode == 0
    assert finish(command(tmp_path / "whole")).returncode == 0
    expected, found = weights(tmp_path / "whole"), weights(out)
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


@pytest.fixture
def small_disk(tmp_path):
    """A disk that holds one checkpoint of rgc and half of another."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("a small disk can only be mounted by the administrator")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(command, small_disk, tmp_path):
    said = finish(command(small_disk / "run"))
    assert said.returncode == 2
    last = said.stderr.strip().splitlines()[-1]
    assert last.startswith("neurofit: files can be written where they were asked to go - ")
    assert "No space left on device" in last
    assert (small_disk / "run" / "checkpoint.pt").exists()
    assert not [path for path in (small_disk / "run").iterdir() if path.name.endswith(".tmp")]
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    assert finish(command(small_disk / "run")).returncode == 0
    assert finish(command(tmp_path / "whole")).returncode == 0
    expected, found = weights(tmp_path / "whole"), weights(small_disk / "run")
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_a_folder_that_cannot_be_written_is_told(command, tmp_path):
    (tmp_path / "file").write_text("")
    said = finish(command(tmp_path / "file" / "run"))
    assert said.returncode == 2
    assert "files can be written where they were asked to go" in said.stderr.strip().splitlines()[-1]


@pytest.mark.skipif(os.name == "nt", reason="needs a read-only mount")
@pytest.mark.slow
def test_a_read_only_disk_is_told(command, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    said = finish(command(small_disk / "run"))
    assert said.returncode == 2
    assert "Read-only file system" in said.stderr.strip().splitlines()[-1]
