"""What the tests of commands share: a released model that is served by this machine, and a small benchmark."""

import hashlib
import io
import sys
import zipfile

import numpy as np
import pytest
from misbehaving_server import server as server
from PIL import Image
from toy_release import release as release

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
