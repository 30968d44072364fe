"""``neurofit search``: a study of real, tiny trainings is run, gone on with, shown, saved from, and trained in full."""

import json

import numpy as np
import pytest
from PIL import Image

from neurofit.models.architecture_file import read_architecture

SPACE = """
name = "tiny"
input_px = 8
classes = 2
images_per_class = 4
steps = 4
learning_rate = { low = 1e-3, high = 1e-2, log = true }

[[stages]]
channels = { low = 2, high = 4 }

[[stages]]
channels = 3
pool = false
cell = { choices = [true, false] }

[cell]
cell_channels = 2
init_scale = { low = 0.5, high = 1.0 }

[feedback]
p_edge = 0.4

[[feedback.edges]]
source = "conv2"
target = "conv2"
"""
RECIPE = """
name = "tiny"
batch = 4

[[phases]]
epochs = 1

[optimiser]
kind = "adamw"
learning_rate = {rate}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with images of three colours, a space and a recipe; also the current folder."""
    generator = np.random.default_rng(0)
    for subset, count in (("train", 6), ("val", 3)):
        for name, colour in (("a", (200, 40, 40)), ("b", (40, 40, 200)), ("c", (40, 200, 40))):
            folder = tmp_path / "images" / subset / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(np.array(colour) + generator.normal(0, 25, (12, 12, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    (tmp_path / "tiny.toml").write_text(SPACE)
    (tmp_path / "recipe.toml").write_text(RECIPE.format(rate=0.003))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(out, trials, *others, sampler="random"):
    return (
        "search", "run", "tiny.toml", "--data", "images", "--recipe", "recipe.toml", "--trials", str(trials),
        "--sampler", sampler, "--threads", "1", "--device", "cpu", "--out", out, *others,
    )  # fmt: skip


def test_a_search_from_its_first_trial_to_a_trained_network(place, neurofit):
    code, out, err = neurofit(*options("first", 4))
    assert code == 0, err
    assert "8 training and 6 validation images" in json.dumps(shown(neurofit, "first")["data"])
    told = [line for line in out.splitlines() if line.startswith("trial ")]
    assert len(told) == 4 and all("validation top-1" in line or "no network" in line for line in told)
    code, out, _ = neurofit(*options("first", 6))
    assert code == 0 and len([line for line in out.splitlines() if line.startswith("trial ")]) == 2
    assert "6 finished trials" in out

    record = shown(neurofit, "first")
    assert len(record["trials"]) == 6 and record["sampler"] == "random"
    best = max((trial for trial in record["trials"] if trial["values"]), key=lambda trial: trial["values"][0])
    assert record["best_values"] == best["values"]
    assert (place / "shown" / "search-tiny-history.png").stat().st_size > 10_000

    code, out, err = neurofit("search", "save", "first", "--pick", "best", "--to", "best.toml", "--json")
    assert code == 0, err
    saved, entry = json.loads(out), read_architecture(place / "best.toml")
    assert saved["trial"] == record["picks"]["best"]
    assert entry.network.nodes[0].channels == saved["params"]["conv1.channels"]
    assert "top-1" in entry.summary and "learning rate" in entry.summary
    code, _, err = neurofit(
        "train", "--model", "best.toml", "--data", "images", "--recipe", "recipe.toml", "--out", "run", "--threads", "1"
    )
    assert code == 0, err


def shown(neurofit, *studies):
    code, out, err = neurofit("search", "show", *studies, "--out", "shown", "--json")
    assert code == 0, err
    return json.loads(out)["studies"][0]


def test_two_studies_are_drawn_in_one_figure(place, neurofit):
    for sampler in ("tpe", "random"):
        assert neurofit(*options(sampler, 2, sampler=sampler))[0] == 0
    code, out, err = neurofit("search", "show", "tpe", "random", "--out", "shown")
    assert code == 0, err
    assert "study tpe (tpe, seed 0): 2 finished trials" in out and "study random (random, seed 0)" in out
    assert (place / "shown" / "search-tpe-random-history.png").exists()
    assert neurofit(*options("both", 1, "--objectives", "top1,parameters"))[0] == 0
    code, _, err = neurofit("search", "show", "tpe", "both", "--out", "shown")
    assert code == 2 and "studies in one figure have the same objectives" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--objectives", "top1,size"), "'size' is not known"),
        (("--objectives", "top1,predictivity"), "predictivity is of a benchmark - none was named"),
        (("--benchmark", "sim-it"), "a benchmark is for the objective predictivity"),
        (("--recipe", "shrt"), "'shrt' is not known - use 'short'"),
        (("--objectives", "parameters", "--pruner", "median"), "trials are pruned by their accuracy"),
    ],
)
def test_what_cannot_be_searched_is_told(place, neurofit, arguments, told):
    code, _, err = neurofit(*options("wrong", 1, *arguments))
    assert code == 2 and told in err


def test_a_study_goes_on_with_the_same_options_alone(place, neurofit):
    assert neurofit(*options("first", 1))[0] == 0
    code, _, err = neurofit(*options("first", 2, "--seed", "1"))
    assert code == 2 and "seed 0, not 1" in err
    (place / "recipe.toml").write_text(RECIPE.format(rate=0.004))
    code, _, err = neurofit(*options("first", 2))
    assert code == 2 and "recipe.optimiser.learning_rate 0.003, not 0.004" in err


def test_what_cannot_be_shown_is_told(place, neurofit):
    code, _, err = neurofit("search", "show", "nowhere")
    assert code == 2 and "there is no nowhere/study.db" in err
    (place / "tiny.toml").write_text(SPACE.replace("classes = 2", "classes = 9"))
    code, _, err = neurofit(*options("first", 1))
    assert code == 2 and "images have the 9 classes of the search space - there are 3: a, b, c" in err


def test_diverging_trainings_are_counted(place, neurofit):
    (place / "tiny.toml").write_text(SPACE.replace("low = 1e-3, high = 1e-2", "low = 1e30, high = 1e35"))
    code, out, err = neurofit(*options("wild", 3))
    assert code == 0, err
    assert "the loss or its gradients did not stay finite" in out


@pytest.mark.slow
def test_several_processes_are_started_and_interrupted(place, neurofit):
    code, out, err = neurofit(*options("many", 6, "--workers", "2"))
    assert code == 0, err
    assert "6 finished trials" in out and "workers: processes" in err
