"""Small inputs for commands that are to be disturbed: a benchmark with its recording, pictures, a file to fetch."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

IMAGES, NEUROIDS, REPETITIONS, FILE_BYTES = 96, 12, 4, 3 * 2**20
MANIFEST = """name = "{name}"
title = "{title}"
kind = "{kind}"
{reader}licence = "ours"
citation = "none"
source = "benchmarks/faults/inputs.py"
"""
FILE = '\n[[files]]\nname = "{name}"\nrole = "{role}"\nsha256 = "{digest}"\n{more}'
RECORDING = """reader = "hdf5"
regions = ["IT"]
subjects = ["nobody"]
repetitions = true
simulated = false
"""
BENCHMARK = """name = "drawn"
title = "drawn pictures, and SIMULATED responses to their colours"
version = 1
dataset = "drawn-data.toml"
region = "IT"
source = "benchmarks/faults/inputs.py"
time_bins = {start_ms = 70, end_ms = 170, width_ms = 10}
viewing = {on_ms = 100, total_ms = 170}
mapping = {n_components = 5}
splits = {n_splits = 3}
correction = {n_halvings = 1}
aggregation = {window_ms = [70, 170]}
"""
SWEEP = """models = ["ff", "pixels"]
benchmarks = ["drawn.toml"]
[[vary]]
components = [3, 5]
[run]
data = "data"
batch = 4
memory = "2GiB"
"""
RECIPE = """
name = "tiny"
batch = 16
average = 0.9
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


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _table(path: Path, role: str, more: str = "") -> str:
    return FILE.format(name=path.name, role=role, digest=hashlib.sha256(path.read_bytes()).hexdigest(), more=more)


def draw_benchmark(folder: Path, images: int = IMAGES) -> Path:
    """Write a benchmark of drawn pictures with responses that follow their colours; return its file.

    Parameters
    ----------
    folder : Path
        Gets ``drawn.toml``, ``drawn-data.toml`` and ``data/drawn/``.
    images : int
        How many pictures, each of 32 x 32 pixels, 4 x 4 squares of one colour.
    """
    from neurofit.assembly.build import make_assembly
    from neurofit.data.readers.plain import write_hdf5

    rng = np.random.default_rng(5)
    place = folder / "data" / "drawn"
    place.mkdir(parents=True, exist_ok=True)
    squares = rng.integers(20, 236, (images, 4, 4, 3)).astype(np.uint8)
    ids = [f"s{i:04d}" for i in range(images)]
    with zipfile.ZipFile(place / "images.zip", "w") as archive:
        for stimulus_id, each in zip(ids, squares, strict=True):
            archive.writestr(f"{stimulus_id}.png", _png(each.repeat(8, 0).repeat(8, 1)))
    latents = squares.reshape(images, -1)[:, ::5].astype(float)
    latents = (latents - latents.mean(0)) / latents.std(0)
    bins = [(t, t + 10) for t in range(70, 170, 10)]
    signal = np.einsum("nd,dqt->nqt", latents, rng.standard_normal((latents.shape[1], NEUROIDS, len(bins))))
    trials = np.repeat(signal, REPETITIONS, axis=0)
    recording = make_assembly(
        (trials + rng.standard_normal(trials.shape)).astype(np.float32),
        stimulus_id=np.repeat(ids, REPETITIONS),
        repetition=np.tile(np.arange(REPETITIONS), images),
        neuroid_id=[f"n{i}" for i in range(NEUROIDS)],
        subject="nobody",
        region="IT",
        time_bins=bins,
    )
    write_hdf5(recording, place / "responses.h5")
    title = "drawn pictures, and SIMULATED responses to their colours"
    (folder / "drawn-data.toml").write_text(
        MANIFEST.format(name="drawn", title=title, kind="recording", reader=RECORDING)
        + _table(place / "responses.h5", "assembly")
        + _table(place / "images.zip", "images")
    )
    (folder / "drawn.toml").write_text(BENCHMARK)
    return folder / "drawn.toml"


def draw_training(folder: Path, images: int = 160) -> Path:
    """Write pictures of three classes with a recipe, ``images/`` and ``tiny.toml``; return the recipe's file."""
    rng = np.random.default_rng(0)
    for subset, count in (("train", images), ("val", 12)):
        for label, colour in (("cat", 40), ("dog", 120), ("emu", 200)):
            place = folder / "images" / subset / label
            place.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = np.clip(colour + rng.normal(0, 60, (64, 64, 3)), 0, 255).astype(np.uint8)
                (place / f"{i:03d}.png").write_bytes(_png(pixels))
    (folder / "tiny.toml").write_text(RECIPE)
    return folder / "tiny.toml"


def file_to_fetch(size: int = FILE_BYTES) -> bytes:
    """Return the content of the file that the server has: random, so that no part of it is like another."""
    return np.random.default_rng(1).bytes(size)


def write_manifest(folder: Path, url: str, body: bytes) -> Path:
    """Write the manifest of one file at an address, ``far.toml``; return its file."""
    table = FILE.format(
        name="far.bin",
        role="images",
        digest=hashlib.sha256(body).hexdigest(),
        more=f'size = {len(body)}\nurl = "{url}"\n',
    )
    text = MANIFEST.format(name="far", title="a file far away", kind="stimuli", reader="") + table
    (folder / "far.toml").write_text(text)
    return folder / "far.toml"
