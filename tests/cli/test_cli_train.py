"""The command `neurofit train`: from images to weights that `neurofit score` takes."""

import json

import numpy as np
import pytest
from PIL import Image

OWN = """
name = "own"
batch = 8
[[phases]]
epochs = 1
size_px = 40
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for subset, count in (("train", 8), ("val", 4)):
        for label in ("cat", "dog", "emu"):
            place = root / subset / label
            place.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(place / f"{i}.png")
    return root


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    return path


def test_a_trained_network_is_scored_by_its_file(neurofit, images, recipe, tmp_path):
    out = str(tmp_path / "run")
    arguments = ["train", "--model", "ff_untrained", "--data", images, "--recipe", recipe, "--out", out, "--json"]
    code, said, _ = neurofit(*map(str, arguments))
    assert code == 0
    document = json.loads(said)
    assert document["model"] == "ff_untrained"
    assert len(document["epochs"]) == 1
    assert json.loads(neurofit(*map(str, arguments))[1])["epochs"] == document["epochs"]
    architecture = document["architecture"]
    assert architecture.startswith(out)
    code, said, _ = neurofit("models", "show", architecture)
    assert code == 0
    assert "logits" in said
    options = ["--region", "IT", "--splits", "1", "--halvings", "1", "--out", str(tmp_path / "score")]
    code, said, words = neurofit("score", "--model", architecture, *options)
    assert code == 0, words
    assert "SIMULATED" in said


def test_words_and_counts(neurofit, images, recipe, tmp_path):
    (images / "train" / "cat" / "note.txt").write_text("no image")
    arguments = ["train", "--model", "ff_untrained", "--data", images, "--recipe", recipe, "--out", tmp_path / "run"]
    code, said, words = neurofit(*map(str, arguments))
    assert code == 0, words
    assert "24 training and 12 validation images of 3 classes; recipe 'own', 1 epochs" in said
    assert "not called as images are: 1" in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "gruu"), "a model is named as in its table"),
        (("--model", "pixels"), "a network with parameters is trained"),
        (("--recipe", "mached"), "use 'matched'"),
        (("--data", "nowhere"), "nowhere"),
        (("--steps", "3", "--on", "5"), "an image is on for a while"),
        (("--recipe", "small.toml"), "size_px 16 in recipe 'small'"),
        (("--device", "cuda"), "the device is present"),
        (("--image-memory", "1kB"), "memory"),
    ],
)
def test_bad_input_is_told_in_a_sentence(neurofit, images, recipe, tmp_path, monkeypatch, arguments, words):
    (tmp_path / "small.toml").write_text(OWN.replace("40", "16").replace("own", "small"))
    monkeypatch.chdir(tmp_path)
    given = {"--model": "ff_untrained", "--data": images, "--recipe": recipe, "--out": tmp_path / "run"}
    given |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    code, _, said = neurofit("train", *(str(part) for pair in given.items() for part in pair))
    assert code == 2
    assert words in said
    assert said.strip().splitlines()[-1].startswith("neurofit: ")
