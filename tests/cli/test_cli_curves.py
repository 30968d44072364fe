"""Curves of training runs, and runs with looks, from the command line's own functions."""

import csv
import json

import numpy as np
import pytest
import torch

from neurofit.cli.looks import begin_run, end_run, make_looks
from neurofit.errors import ConfigurationError
from neurofit.models.entry import ZooEntry
from neurofit.models.network import ConvRNN, NetworkConfig, NodeConfig
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import Presentation
from neurofit.models.trainable import TrainableModel
from neurofit.training.datasets import LabelledImages, Task
from neurofit.training.engine import Engine
from neurofit.training.learner import Viewing
from neurofit.training.recipe import Optimiser, Phase, Recipe, Schedule
from neurofit.training.train import train

CONFIG = NetworkConfig((NodeConfig("conv1", 4, 3, 2), NodeConfig("conv2", 6, 3, pool=False)), 16, 5)
RECIPE = Recipe("tiny", 20, (Phase(3),), Optimiser("adamw", 1e-2), Schedule("constant"))
VIEWING, CPU = Viewing(Presentation(5), Preprocessing(16)), Engine("cpu")


def model(seed=0):
    entry = ZooEntry("tiny", CONFIG, Preprocessing(16), {"IT": "conv2"}, Presentation(5))
    return TrainableModel("tiny", ConvRNN(CONFIG, seed), Preprocessing(16), Presentation(5), 5, entry)


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 5
    colours = rng.integers(0, 200, (5, 3))[labels][:, :, None, None]
    pixels = torch.from_numpy((colours + rng.integers(0, 55, (80, 3, 16, 16))).astype(np.uint8))
    parts = (slice(60), slice(60, None))
    return Task(*(LabelledImages(pixels[p], torch.from_numpy(labels)[p], tuple("abcde")) for p in parts))


def trained(task, folder, seed=0, benchmarks=("bench.toml",), note=None, **options):
    """Do what `neurofit train` does with the options of looks."""
    network = model(seed)
    looks = make_looks(network, RECIPE, benchmarks=benchmarks, every=2, threads=1, **options)
    record = begin_run(
        network, task, RECIPE, VIEWING, CPU, folder, seed=seed, data="colours", looks=looks, threads=1, note=note
    )
    rows = train(
        network.network, task, RECIPE, folder, viewing=VIEWING, seed=seed, engine=CPU, after_epoch=looks, progress=False
    )
    end_run(record, rows, folder, files={})
    return rows


@pytest.fixture
def runs(folder, task):
    """Two runs that were looked at with the small benchmark of the current folder."""
    said = []
    options = {"data": folder / "data", "layers": ("conv1", "conv2"), "note": said.append}
    for seed in (0, 1):
        trained(task, folder / f"tiny-{seed}", seed, **options)
    assert len(said) == 2 and said[0].startswith("before training: validation top-1")
    return folder


def test_runs_with_looks_are_drawn(neurofit, runs):
    code, out, err = neurofit(
        "curves", "tiny-0", "tiny-1", "--figure", "new/curves.png", "--table", "zoo.md", "--table-figure", "zoo.png",
        "--json",
    )  # fmt: skip
    assert code == 0, err
    document = json.loads(out)
    first = document["runs"][0]
    assert (first["model"], first["seed"], first["complete"]) == ("tiny", 0, True)
    assert [row["epoch"] for row in first["epochs"]] == [1, 2, 3]
    looked = [row["epoch"] for row in first["epochs"] if "colours.conv2.corrected" in row]
    assert looked == [2, 3] and set(first["before"]) > {"epoch", "top1", "colours.conv1.corrected"}
    assert [each["simulated"] for each in first["looks"]] == [False, False] and not document["simulated"]
    assert "tiny, seed 1  epoch   3  top-1" in err
    for name in ("new/curves.png", "zoo.png"):
        assert (runs / name).stat().st_size > 10_000
    assert "| tiny | " in (runs / "zoo.md").read_text()


def test_a_run_that_goes_on_keeps_its_first_look(runs, task):
    folder = runs / "tiny-0"
    record = json.loads((folder / "record.json").read_text())
    with (folder / "epochs.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert rows[0]["colours.conv2.raw"] == "" and float(rows[1]["look_seconds"]) > 0
    said = []
    trained(task, folder, data=runs / "data", layers=("conv1", "conv2"), note=said.append)
    again = json.loads((folder / "record.json").read_text())
    assert said == [] and again["before"] == record["before"] and again["epochs"] == record["epochs"]


def test_another_run_in_the_folder_keeps_its_record(runs, task):
    before = (runs / "tiny-0" / "record.json").read_text()
    with pytest.raises(ConfigurationError, match="a training folder holds one run"):
        trained(task, runs / "tiny-0", 7, data=runs / "data")
    assert (runs / "tiny-0" / "record.json").read_text() == before


def test_runs_without_looks_have_a_record_too(neurofit, folder, task):
    rows = plain(task, folder / "plain")
    record = json.loads((folder / "plain" / "record.json").read_text())
    assert record["status"] == "complete" and record["looks"] == [] and record["before"] == {}
    assert record["epochs"] == [{k: pytest.approx(v) for k, v in row.items()} for row in rows]
    assert neurofit("curves", "plain")[0] == 0
    assert (folder / "neurofit-out" / "curves.png").exists()


def plain(task, folder):
    network = model()
    assert make_looks(network, RECIPE, benchmarks=None, every=None) == []
    record = begin_run(network, task, RECIPE, VIEWING, CPU, folder, seed=0, data="colours")
    assert json.loads((folder / "record.json").read_text())["status"] == "running"
    rows = train(network.network, task, RECIPE, folder, viewing=VIEWING, engine=CPU, progress=False)
    end_run(record, rows, folder, files={})
    return rows


def test_mistakes_are_one_sentence(neurofit, folder):
    assert neurofit("curves", "nets")[0] == 2
    code, _, err = neurofit("curves", "nets", "--table", "zoo.xls")
    assert code == 2 and "ends in .md, .csv or .txt" in err
    with pytest.raises(ConfigurationError, match=r"--look-splits without --look-benchmark or --look-every"):
        make_looks(model(), RECIPE, benchmarks=None, every=None, splits=3)


def test_the_embedded_benchmark_is_looked_at_where_none_is_named():
    (look,) = make_looks(model(), RECIPE, benchmarks=None, every=5, splits=2)
    assert look.benchmark.region == "IT" and look.benchmark.splits.n_splits == 2 and (look.every, look.last) == (5, 3)
