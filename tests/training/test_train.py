"""Training on a tiny task: it learns, is interrupted anywhere and ends with the same weights, and fails in words."""

import csv
import os
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from neurofit.errors import ConfigurationError, DataFileError, MissingExtraError, OutputError
from neurofit.models.network import ConvRNN, NetworkConfig, NodeConfig
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import Presentation
from neurofit.models.reciprocal_gated import ReciprocalGatedConfig
from neurofit.models.weights import weights_hash
from neurofit.training.augmentation import Augmentation
from neurofit.training.datasets import LabelledImages, Task
from neurofit.training.engine import Engine
from neurofit.training.learner import Viewing
from neurofit.training.recipe import Gradient, Optimiser, Phase, Recipe, Schedule
from neurofit.training.train import train

TINY = NetworkConfig(
    (NodeConfig("conv1", 4, 3, 2), NodeConfig("conv2", 8, cell=ReciprocalGatedConfig(8), pool=False)), 16, 5
)
VIEWING = Viewing(Presentation(5), Preprocessing(16))
CPU = Engine("cpu")
RECIPE = Recipe(
    "tiny",
    batch=24,
    phases=(Phase(2, 12), Phase(1)),
    optimiser=Optimiser("adamw", 1e-2, weight_decay=0.05),
    schedule=Schedule("cosine", 0.1),
    augmentation=Augmentation(0.5),
)


def coloured(count, seed=1):
    """Images of five classes that differ in colour."""
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(0).integers(0, 200, (5, 3))
    labels = np.arange(count) % 5
    pixels = colours[labels][:, :, None, None] + rng.integers(0, 55, (count, 3, 16, 16))
    return LabelledImages(torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(labels), tuple("abcde"))


@pytest.fixture(scope="module")
def task():
    return Task(coloured(120), coloured(50, 2))


def run(task, folder=None, recipe=RECIPE, network=None, **options):
    network = ConvRNN(TINY) if network is None else network
    options = {"viewing": VIEWING, "engine": CPU, "progress": False} | options
    return network, train(network, task, recipe, folder, **options)


def rows_of(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_it_learns_and_keeps_logs(tmp_path, task):
    lines = []
    recipe = replace(RECIPE, phases=(Phase(4, 12), Phase(4)))
    _, rows = run(task, tmp_path, recipe, report=lines.append)
    assert rows[-1]["top1"] > 0.6
    assert [row["size_px"] for row in rows] == [12] * 4 + [16] * 4
    assert len(lines) == 8
    assert [float(row["top1"]) for row in rows_of(tmp_path / "epochs.csv")] == [row["top1"] for row in rows]
    updates = rows_of(tmp_path / "updates.csv")
    assert [int(row["update"]) for row in updates] == [20, 40]
    assert list((tmp_path / "tensorboard").iterdir())


class StopError(Exception):
    pass


class Stopping(LabelledImages):
    """Images that raise an error when a certain batch of the run is asked for."""

    def batches(self, batches, crops, size_px):
        for shown in super().batches(batches, crops, size_px):
            if self.countdown[0] == 0 and crops is not None:
                raise StopError
            self.countdown[0] -= crops is not None
            yield shown


def stopping(images, after):
    copy = Stopping(images.images, images.labels, images.classes)
    object.__setattr__(copy, "countdown", [after])
    return copy


@pytest.mark.parametrize("after", [1, 4, 5, 7, 14])
@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, average=0.9, optimiser=Optimiser("sgd", 0.05))])
def test_a_run_that_ends_in_any_batch_goes_on_to_the_same_weights(tmp_path, task, after, recipe, monkeypatch):
    monkeypatch.setattr("neurofit.training.checkpoints._MOST_TIME", 1e9)  # save before every update
    whole, rows = run(task, recipe=recipe)
    with pytest.raises(StopError):
        run(Task(stopping(task.training, after), task.validation), tmp_path, recipe)
    resumed, again = run(task, tmp_path, recipe)
    assert weights_hash(resumed) == weights_hash(whole)
    timeless = [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows]
    assert [{k: row[k] for k in timeless[0]} for row in again] == timeless
    assert len(rows_of(tmp_path / "epochs.csv")) == 3


def test_a_finished_run_gives_its_weights_again(tmp_path, task):
    first, _ = run(task, tmp_path, replace(RECIPE, average=0.9))
    other, rows = run(task, tmp_path, replace(RECIPE, average=0.9), network=ConvRNN(TINY, 7))
    assert weights_hash(other) == weights_hash(first)
    assert len(rows) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_state_and_then_stops(tmp_path, task, number, monkeypatch):
    monkeypatch.setattr("neurofit.training.checkpoints._MOST_TIME", 1e-9)  # never of its own accord

    class Signalling(Stopping):
        def batches(self, batches, crops, size_px):
            for i, shown in enumerate(LabelledImages.batches(self, batches, crops, size_px)):
                if crops is not None and i == 3:
                    os.kill(os.getpid(), number)
                yield shown

    images = Signalling(task.training.images, task.training.labels, task.training.classes)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        run(Task(images, task.validation), tmp_path)
    assert signal.getsignal(number) is before
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]
    assert saved["updates"] == 3
    assert weights_hash(run(task, tmp_path)[0]) == weights_hash(run(task)[0])


def test_parts_of_a_batch_add_up(task):
    whole = run(task)[0]
    parts = run(task, engine=Engine("cpu", parts=3))[0]
    checkpointed = run(task, engine=Engine("cpu", checkpoint=True))[0]
    for a, b, c in zip(whole.parameters(), parts.parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(a, c, rtol=1e-3, atol=1e-4)


def test_half_precision_learns_much_the_same(task):
    rows, half = run(task)[1], run(task, engine=Engine("cpu", "bfloat16"))[1]
    assert half[-1]["training_loss"] == pytest.approx(rows[-1]["training_loss"], rel=0.1)


def test_the_average_is_what_is_tested_and_kept(task):
    seen = []
    network, _ = run(
        task,
        recipe=replace(RECIPE, average=0.99),
        after_epoch=[lambda epoch, net, row: seen.append(weights_hash(net)) or {}],
    )
    assert seen[-1] == weights_hash(network)
    assert weights_hash(network) != weights_hash(run(task)[0])


def test_what_is_looked_at_after_an_epoch_is_in_its_row(tmp_path, task):
    _, rows = run(task, tmp_path, after_epoch=[lambda epoch, network, row: {"epochs_squared": epoch**2}])
    assert [row["epochs_squared"] for row in rows] == [1, 4, 9]
    assert [float(row["epochs_squared"]) for row in rows_of(tmp_path / "epochs.csv")] == [1, 4, 9]


def test_a_loss_that_is_not_finite_keeps_the_last_good_state(tmp_path, task, monkeypatch):
    monkeypatch.setattr("neurofit.training.checkpoints._MOST_TIME", 1e9)

    class Poisoned(ConvRNN):
        asked = 0

        def decide(self, frames, *backward):
            self.asked += self.training
            scores = super().decide(frames, *backward)
            return scores * torch.nan if self.asked == 8 else scores

    with pytest.raises(
        ConfigurationError, match=r"loss nan .* in epoch 2, update 8 - .*the last good state is kept in"
    ):
        run(task, tmp_path, network=Poisoned(TINY))
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]
    assert saved["updates"] == 6  # its loss and gradients, looked at by the seventh update, were finite
    assert all(torch.isfinite(value).all() for value in saved["learner"]["network"].values())
    assert weights_hash(run(task, tmp_path)[0]) == weights_hash(run(task)[0])


def test_too_high_a_learning_rate_is_told(task):
    recipe = replace(RECIPE, optimiser=Optimiser("sgd", 1e30), gradient=Gradient("none"), schedule=Schedule("constant"))
    with pytest.raises(ConfigurationError, match="nothing was saved yet"):
        run(task, recipe=recipe)


def test_another_run_in_the_same_folder_is_told(tmp_path, task):
    run(task, tmp_path)
    with pytest.raises(ConfigurationError, match="holds one run - .* was begun with seed 0, not 1"):
        run(task, tmp_path, seed=1)
    with pytest.raises(ConfigurationError, match="was begun with recipe"):
        run(task, tmp_path, replace(RECIPE, batch=12))
    with pytest.raises(ConfigurationError, match="was begun with data"):
        run(Task(coloured(120, 5), task.validation), tmp_path)


@pytest.mark.parametrize("keep", [0, 10, 1000, -1])
def test_a_damaged_checkpoint_is_told(tmp_path, task, keep):
    run(task, tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataFileError, match="a checkpoint is a file that neurofit train wrote"):
        run(task, tmp_path)


def test_a_checkpoint_executes_no_code(tmp_path, task):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save({"version": 1, "identity": {}, "state": Hostile()}, tmp_path / "checkpoint.pt")
    with pytest.raises(DataFileError, match="a checkpoint is a file"):
        run(task, tmp_path)
    assert not (tmp_path / "made").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path, task):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="files can be written"):
        run(task, tmp_path / "file" / "run")


def test_batches_are_shared_out_evenly_or_not_at_all(task):
    with pytest.raises(ConfigurationError, match="a batch can be shared out"):
        run(task, engine=Engine("cpu", parts=5))


def test_engines_that_cannot_be_are_told(task):
    with pytest.raises(ConfigurationError, match="float16 trains on an accelerator"):
        Engine("cpu", "float16")
    with pytest.raises(ConfigurationError, match="at least one part"):
        Engine(parts=0)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigurationError, match="a device of this machine - cuda"):
            run(task, engine=Engine("cuda"))


def test_dropout_draws_the_same_when_it_goes_on(tmp_path, task, monkeypatch):
    monkeypatch.setattr("neurofit.training.checkpoints._MOST_TIME", 1e9)

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 16 * 16, 5))
            with torch.no_grad():
                for parameter in self.parameters():
                    parameter.zero_()

        def decide(self, frames, *backward):
            return self.layers(frames[0])

    recipe = replace(RECIPE, phases=(Phase(2),))
    whole = run(task, recipe=recipe, network=Own())[0]
    with pytest.raises(StopError):
        run(Task(stopping(task.training, 6), task.validation), tmp_path, recipe, network=Own())
    torch.rand(3)
    assert weights_hash(run(task, tmp_path, recipe, network=Own())[0]) == weights_hash(whole)


@pytest.mark.parametrize("missing", ["lightning_fabric", "tensorboardX"])
def test_a_missing_extra_is_told(tmp_path, task, missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'neurofit\[train\]'"):
        run(task, tmp_path)
