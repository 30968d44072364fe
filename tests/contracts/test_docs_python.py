"""The Python of the pages runs as it stands, on a small recording in place of the embedded one.

Python blocks of a page run one after the other, with the names that its text speaks of (`given`). A block that needs
files which are not here says so in the line above it: "Not run by the tests: ...". Two pages have tests of their own:
the README and static-networks.md.
"""

import hashlib
import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_images import archived, write_dataset

import neurofit as nf
from neurofit.data.readers.plain import write_hdf5
from neurofit.files.manifest import load_manifest

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOT_RUN = re.compile(r"\*Not run by the tests: .+\.\*\n\n\Z")
ELSEWHERE = {"static-networks.md"}
IMAGES, SITES, BINS = 32, 6, [(t, t + 50) for t in range(0, 200, 50)]

MANIFEST = """
name = "small"
title = "responses to colours"
kind = "recording"
reader = "hdf5"
regions = ["IT"]
repetitions = true
licence = "ours"
citation = "none"
source = "a test"
"""
BENCHMARK = """
name = "small"
title = "responses to colours"
version = 1
dataset = "small.toml"
region = "IT"
source = "a test"
time_bins = {start_ms = 0, end_ms = 200, width_ms = 50}
viewing = {on_ms = 100, total_ms = 200}
mapping = {n_components = 2}
splits = {n_splits = 2}
correction = {n_halvings = 1}
aggregation = {window_ms = [50, 150]}
"""
RECIPE = """
name = "one"
batch = 8
source = "a test"

[[phases]]
epochs = 1
"""
# what stands in for what takes long or is not here
IN_PLACE_OF = {
    '"sim-it"': '"small-benchmark.toml"',
    ".varied(n_splits=2, n_halvings=1)": ".varied(n_splits=1)",
    'load_recipe("matched")': 'load_recipe("one.toml")',
    "tiny-imagenet-100.tar": "colours.tar",
    "classes=100": "classes=3",
    "every=2": "every=1",
    'open_task(Path("colours.tar"), 64)': 'open_task(Path("colours.tar"), 32)',
}


def blocks(path):
    """Return (code, whether it runs) of every block of a page."""
    page = path.read_text()
    found = re.finditer(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    return [(match[1], not NOT_RUN.search(page[: match.start()])) for match in found]


PAGES = [path for path in sorted(DOCS.glob("*.md")) if path.name not in ELSEWHERE and blocks(path)]


def small_recording(colours):
    """A recording of two animals, whose responses follow the colours of images from 50 ms on."""
    rng = np.random.default_rng(0)
    signal = np.einsum("nc,cjt->njt", (colours - colours.mean(0)) / 50, rng.standard_normal((3, SITES, len(BINS))))
    index = np.repeat(np.arange(len(colours)), 4)
    names = [f"i{i:02d}" for i in range(len(colours))]
    return nf.make_assembly(
        (signal[index] + rng.standard_normal((len(index), SITES, len(BINS)))).astype(np.float32),
        stimulus_id=[names[i] for i in index],
        repetition=np.tile(range(4), len(colours)),
        neuroid_id=[f"n{j}" for j in range(SITES)],
        subject=["A", "A", "A", "B", "B", "B"],
        region="IT",
        time_bins=BINS,
        presentation_coords={
            "category_name": ["red" if colours[i, 0] > colours[:, 0].mean() else "not" for i in index]
        },
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a small benchmark, its data and images to train on."""
    colours = np.random.default_rng(3).integers(30, 226, (IMAGES, 3))
    place = tmp_path / "data" / "small"
    place.mkdir(parents=True)
    with zipfile.ZipFile(place / "images.zip", "w") as archive:
        for i, colour in enumerate(colours):
            content = io.BytesIO()
            Image.fromarray(np.broadcast_to(colour.astype(np.uint8), (24, 24, 3)).copy()).save(content, "PNG")
            archive.writestr(f"i{i:02d}.png", content.getvalue())
    write_hdf5(small_recording(colours), place / "responses.h5")
    text = MANIFEST
    for role, name in (("assembly", "responses.h5"), ("images", "images.zip")):
        digest = hashlib.sha256((place / name).read_bytes()).hexdigest()
        text += f'\n[[files]]\nname = "{name}"\nrole = "{role}"\nsha256 = "{digest}"\n'
    (tmp_path / "small.toml").write_text(text)
    (tmp_path / "small-benchmark.toml").write_text(BENCHMARK)
    (tmp_path / "one.toml").write_text(RECIPE)
    archived(write_dataset(tmp_path / "set"), tmp_path / "colours.tar")
    (tmp_path / "neurofit-out").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEUROFIT_DATA", str(tmp_path / "data"))
    return tmp_path


def given():
    """What the pages speak of: a recording, a subject's activations, a benchmark and a score."""
    torch.manual_seed(0)
    benchmark = nf.load_benchmark("small-benchmark.toml")
    target = nf.load_target(benchmark)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, stride=4), torch.nn.ReLU(), torch.nn.AvgPool2d(2))
    subject = nf.static_subject(network, {"pool": "2"}, name="mine", preprocessing=nf.Preprocessing(32), mode="once")
    source = subject.record(
        target.stimuli, layer="pool", time_bins=benchmark.time_bins.bins(), viewing=benchmark.viewing.viewing()
    )
    score = nf.run(benchmark, subject, layer="pool", target=target)
    record = nf.make_record(score, benchmark, load_manifest("small.toml"), subject.describe() | {"layer": "pool"})
    record.save(Path("neurofit-out") / "mine.json")
    return {
        "nf": nf,
        "benchmark": benchmark,
        "target": target,
        "recording": target.recording,
        "source": source,
        "activations": source,
        "score_of_a_model": score,
    }


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_python_of_a_page(folder, path):
    names = given()
    for code, runs in blocks(path):
        for written, instead in IN_PLACE_OF.items():
            code = code.replace(written, instead)
        compile(code, str(path), "exec")
        if runs:
            exec(code, names)


def test_what_is_not_run_is_little():
    left_out = [path.name for path in PAGES for _, runs in blocks(path) if not runs]
    assert sorted(left_out) == ["recordings.md", "solution-times.md"]
    assert len(PAGES) >= 9


def test_the_formulas_of_coming_from_brain_score(capsys):
    ((code, _),) = blocks(DOCS / "coming-from-brain-score.md")
    exec(code, {})
    printed = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert printed == re.search(r"# (.*)", code)[1].split(", ")
