"""Looks at a network while it is trained: the value of a score, and no trace in the run."""

import random
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from neurofit.data.stimuli import StimulusSet
from neurofit.errors import ConfigurationError, ModelContractError, UnknownNameError
from neurofit.models.entry import ZooEntry
from neurofit.models.network import ConvRNN, NetworkConfig, NodeConfig
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import Presentation
from neurofit.models.trainable import TrainableModel, own_network
from neurofit.models.weights import weights_hash
from neurofit.scoring import early_look as module
from neurofit.scoring.benchmark import (
    AggregationSpec,
    Benchmark,
    CorrectionSpec,
    MappingSpec,
    SplitSpec,
    StaticSpec,
    TimeBinSpec,
    ViewingSpec,
)
from neurofit.scoring.early_look import early_look, wrapping
from neurofit.scoring.metrics import MetricSpec
from neurofit.scoring.run import Target, run
from neurofit.scoring.summary import headline
from neurofit.subjects.model_subject import ModelSubject
from neurofit.training.aside import accuracy_before, undisturbed
from neurofit.training.datasets import LabelledImages, Task
from neurofit.training.engine import Engine
from neurofit.training.learner import Viewing
from neurofit.training.recipe import Optimiser, Phase, Recipe, Schedule
from neurofit.training.train import train

CONFIG = NetworkConfig((NodeConfig("conv1", 4, 3, 2), NodeConfig("conv2", 6, 3, pool=False)), 16, 5)
ENTRY = ZooEntry("tiny", CONFIG, Preprocessing(16), {"IT": "conv2"}, Presentation(5))
VIEWING = Viewing(Presentation(5), Preprocessing(16))
RECIPE = Recipe("tiny", 20, (Phase(4),), Optimiser("adamw", 1e-2, weight_decay=0.05), Schedule("cosine", 0.1))
BENCHMARK = Benchmark(
    "toy", "colours", 1, "toy", "IT", "a test", TimeBinSpec(0, 200, 50), ViewingSpec(100, 200),
    mapping=MappingSpec(n_components=3), splits=SplitSpec(n_splits=2), correction=CorrectionSpec(n_halvings=2),
    aggregation=AggregationSpec(window_ms=(50, 150)),
)  # fmt: skip


def model(network=None):
    network = ConvRNN(CONFIG) if network is None else network
    return TrainableModel("tiny", network, Preprocessing(16), Presentation(5), 5, ENTRY)


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 5
    colours = rng.integers(0, 200, (5, 3))[labels][:, :, None, None]
    pixels = torch.from_numpy((colours + rng.integers(0, 55, (90, 3, 16, 16))).astype(np.uint8))
    labels = torch.from_numpy(labels)
    parts = (LabelledImages(pixels[rows], labels[rows], tuple("abcde")) for rows in (slice(60), slice(60, None)))
    return Task(*parts)


@pytest.fixture
def loads(monkeypatch, make_recording):
    """Put a small recording that follows the colours of images in the place of the dataset; count its loading."""
    colours = np.random.default_rng(3).integers(30, 226, (40, 3))
    bins = [(t, t + 50) for t in range(0, 200, 50)]
    recording = make_recording(latents=(colours - colours.mean(0)) / 50, bins=bins, repetitions=(3, 5))
    recording = recording.assign_attrs(simulated=1)
    loaded, read = [], []

    class Images:
        def __getitem__(self, row):
            read.append(row)
            return np.broadcast_to(colours[row].astype(np.uint8), (24, 24, 3)).copy()

    ids = [f"s{i:03d}" for i in range(40)][::-1]
    stimuli = StimulusSet("toy", pd.DataFrame({"stimulus_id": ids}), Images(), rows=np.arange(40)[::-1])

    def load_target(benchmark, data=None):
        loaded.append(benchmark.name)
        return Target(recording, stimuli, 0.0)

    monkeypatch.setattr(module, "load_target", load_target)
    monkeypatch.setattr("neurofit.scoring.run.load_target", load_target)
    return loaded, read


def looking(benchmark=BENCHMARK, **options):
    return early_look(benchmark, wrapping(model(), benchmark), n_jobs=1, **options)


def trained(task, folder=None, looks=(), network=None, **options):
    network = ConvRNN(CONFIG) if network is None else network
    options = {"viewing": VIEWING, "engine": Engine("cpu"), "progress": False} | options
    rows = train(network, task, RECIPE, folder, after_epoch=looks, **options)
    return network, rows


@pytest.mark.parametrize(
    "benchmark",
    [
        BENCHMARK,
        replace(BENCHMARK, mapping=MappingSpec(n_components=3, temporal="fixed")),
        replace(BENCHMARK, mapping=MappingSpec("ridge"), correction=CorrectionSpec("neural", 2)),
        replace(BENCHMARK, static=StaticSpec("constant")),
        replace(BENCHMARK, metric=MetricSpec("rsa", distance="euclidean")),
    ],
    ids=["pls", "fixed", "ridge", "static", "rsa"],
)
def test_a_look_is_the_headline_of_a_score(loads, benchmark):
    networks = [ConvRNN(CONFIG, seed) for seed in (1, 2)]
    look = looking(benchmark, layers=("conv1", "conv2"))
    for network in networks:  # the second with what the first has left
        found = look.look(network)
        for layer in ("conv1", "conv2"):
            subject = ModelSubject(
                network, name="tiny", layers=network.layers, preprocessing=Preprocessing(16), region_layers={}
            )
            whole = headline(run(benchmark, subject, layer=layer, n_jobs=1), benchmark.aggregation)
            assert found[f"SIMULATED.toy.{layer}.corrected"] == pytest.approx(whole.value, rel=1e-6)
            assert found[f"SIMULATED.toy.{layer}.raw"] == pytest.approx(whole.raw, rel=1e-6)
            assert 0.1 < whole.raw < 1


def test_what_looks_share_is_loaded_once(task, loads):
    loaded, read = loads
    rows = trained(task, looks=[looking(every=1)])[1]
    assert len(loaded) == 1 and len(read) == 40
    values = [row["SIMULATED.toy.conv2.corrected"] for row in rows]
    assert len(set(values)) == 4 and np.isfinite(values).all()


def test_looks_are_taken_at_some_epochs_and_the_last(task, loads):
    rows = trained(task, looks=[looking(every=3, last=4), looking(every=4, n_splits=1)])[1]
    of_first = [row["epoch"] for row in rows if "SIMULATED.toy.conv2.raw" in row]
    varied = [key for key in rows[-1] if key.startswith("SIMULATED.toy-")]
    assert of_first == [3, 4] and len(varied) == 2
    assert rows[-1]["look_seconds"] >= 0


def test_the_end_is_bit_for_bit_that_of_a_run_without_looks(task, loads):
    plain, rows = trained(task)
    looked, with_looks = trained(task, looks=[looking()])
    assert weights_hash(looked) == weights_hash(plain)
    assert [row["training_loss"] for row in with_looks] == [row["training_loss"] for row in rows]


class Noisy(torch.nn.Module):
    """Draws at every answer, has dropout in training mode, a buffer and a part that stays in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.conv, self.drop, self.frozen = torch.nn.Conv2d(3, 4, 5, stride=4), torch.nn.Dropout(), torch.nn.ReLU()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, frames, layers):
        self.seen += 1
        steps = [self.frozen(self.conv(f)) + 1e-3 * torch.randn(()) for f in frames]
        return {"conv": torch.stack(steps, 1), "logits": torch.stack([s.mean((2, 3)) for s in steps], 1)}


def numpys_own():
    return str(np.random.get_state())  # noqa: NPY002 - a user's network may draw from it


def test_a_look_touches_nothing(loads):
    network = Noisy().to(memory_format=torch.channels_last).train()
    network.frozen.eval()
    network.conv(torch.randn(2, 3, 16, 16)).sum().backward()
    gradient, state = network.conv.weight.grad.clone(), {k: v.clone() for k, v in network.state_dict().items()}
    look = early_look(
        BENCHMARK,
        lambda n: ModelSubject(n, name="n", layers=["conv"], preprocessing=Preprocessing(16)),
        layers=["conv"],
    )
    torch.set_num_threads(2)
    before = torch.get_rng_state(), numpys_own(), random.getstate()
    first = look.look(network)
    assert look.look(network) == first  # it draws the same
    assert torch.equal(torch.get_rng_state(), before[0])
    assert numpys_own() == before[1] and random.getstate() == before[2]
    assert torch.get_num_threads() == 2
    assert network.training and network.drop.training and not network.frozen.training
    assert torch.equal(network.conv.weight.grad, gradient) and network.conv.weight.requires_grad
    assert network.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_accuracy_before_training_touches_nothing(task):
    network = ConvRNN(CONFIG).train()
    found = accuracy_before(network, task.validation, VIEWING)
    with torch.inference_mode():
        images, labels = next(task.validation.batches([torch.arange(30)], None, 16))
        right = network.decide(VIEWING.frames(images)).argmax(1) == labels
    assert found["top1"] == pytest.approx(float(right.float().mean())) and found["top5"] == 1.0
    assert network.training


def test_a_network_whose_activations_blow_up_is_told_and_goes_on(task, loads):
    said = []
    look = looking(say=said.append)
    network = ConvRNN(CONFIG)
    look.prepare(network)
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    found = look(2, network, {})
    assert np.isnan(found["SIMULATED.toy.conv2.corrected"]) and np.isnan(found["SIMULATED.toy.conv2.raw"])
    assert len(said) == 1 and "after epoch 2 has no value: activations are finite" in said[0]
    with pytest.raises(ModelContractError, match="activations are finite"):
        looking()(1, network, {})  # the first look is where mistakes are found


def test_mistakes_are_told_before_training(loads):
    with pytest.raises(UnknownNameError, match="'conv9' is not known"):
        looking(layers=("conv9",)).prepare(ConvRNN(CONFIG))
    with pytest.raises(UnknownNameError, match="region with a committed layer"):
        looking(replace(BENCHMARK, region="V2")).prepare(ConvRNN(CONFIG))
    with pytest.raises(ConfigurationError, match="at least one time bin lies inside the window"):
        looking(replace(BENCHMARK, aggregation=AggregationSpec(window_ms=(10, 20)))).prepare(ConvRNN(CONFIG))
    with pytest.raises(UnknownNameError, match="a benchmark is named"):
        looking("sim-ti")
    with pytest.raises(ConfigurationError, match="every epoch or less often"):
        looking(every=0)
    with pytest.raises(ConfigurationError, match="columns are named once the data are known"):
        looking().column("conv2", "raw")
    broken = ConvRNN(CONFIG)
    broken.cache = next(broken.parameters()) * 2
    with pytest.raises(ConfigurationError, match="can be copied - ConvRNN cannot"):
        looking().prepare(broken)


class Pictures(torch.nn.Sequential):
    def __init__(self):
        super().__init__(
            torch.nn.Conv2d(3, 6, 5, stride=4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(54, 5)
        )


def test_networks_of_users(loads):
    static = replace(BENCHMARK, static=StaticSpec("constant"))
    for made, benchmark, layer in ((Noisy(), BENCHMARK, "conv"), (Pictures(), static, "1")):
        own = own_network(made, Preprocessing(16), Presentation(5))
        mine = TrainableModel("mine", own, Preprocessing(16), Presentation(5), own.config.classes)
        look = early_look(benchmark, wrapping(mine, benchmark, [layer]), layers=[layer])
        assert np.isfinite(look.look(own)[f"SIMULATED.toy.{layer}.raw"])
        with pytest.raises(ConfigurationError, match="of your own needs a layer"):
            wrapping(mine, benchmark)
    with pytest.raises(ConfigurationError, match="does in time"):
        wrapping(mine, BENCHMARK, ["1"])
    own = own_network(Lone(), Preprocessing(16), Presentation(5))
    with pytest.raises(ConfigurationError, match="class scores of frames alone"):
        wrapping(replace(mine, network=own), BENCHMARK, ["1"])


class Lone(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 5, 5, stride=4)

    def forward(self, frames):
        if not isinstance(frames, list):
            raise TypeError("frames are a list")
        return [self.conv(frame).mean((2, 3)) for frame in frames]


def test_a_record_says_what_was_looked_at(loads):
    look = looking(every=2, n_splits=1)
    look.prepare(ConvRNN(CONFIG))
    told = look.describe()
    assert told["simulated"] and told["every"] == 2 and told["n_stimuli"] == 40
    assert told["benchmark"]["splits"]["n_splits"] == 1
    (prefix,) = told["columns"].values()
    assert prefix.startswith("SIMULATED.toy-") and prefix.endswith(".conv2")


def test_undisturbed_moves_only_the_copy():
    network = ConvRNN(CONFIG).train()
    with undisturbed(network, "cpu") as copy:
        assert not copy.training and copy is not network
        torch.randn(3)
        torch.set_num_threads(1)
    assert network.training


class KilledError(BaseException):
    """Leaves on the disk what a kill leaves: nothing of the trainer's catches it."""


def test_a_run_killed_during_a_look_repeats_it(task, loads, tmp_path, monkeypatch):
    whole, rows = trained(task, tmp_path / "whole", [looking()])
    score, taken = module.EarlyLook._score, []

    def dying(look, source, target):
        taken.append(1)
        if len(taken) == 2:
            raise KilledError
        return score(look, source, target)

    monkeypatch.setattr(module.EarlyLook, "_score", dying)
    with pytest.raises(KilledError):
        trained(task, tmp_path / "parts", [looking()])
    again, resumed = trained(task, tmp_path / "parts", [looking()])
    assert len(taken) == 1 + 1 + 3  # epochs 1, 2 in vain, 2 to 4
    assert weights_hash(again) == weights_hash(whole)
    timed = ("seconds", "images_per_second", "look_seconds")
    kept = [[{k: v for k, v in row.items() if k not in timed} for row in each] for each in (rows, resumed)]
    assert kept[0] == kept[1]


PROCESSES = """
import sys
from torch import distributed
from neurofit.errors import ConfigurationError
from neurofit.training.aside import OneProcess

rank = int(sys.argv[1])
distributed.init_process_group("gloo", store=distributed.FileStore(sys.argv[2], 2), rank=rank, world_size=2)
one, ran = OneProcess(), []
answer = one(lambda: ran.append(1) or {"value": 0.5})
def broken():
    raise ConfigurationError("a promise", "was broken", "mend it")
try:
    one(broken)
except ConfigurationError as error:
    print(answer["value"], len(ran), error)
distributed.destroy_process_group()
"""


@pytest.mark.slow  # Python starts twice more
def test_one_process_computes_for_all(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(textwrap.dedent(PROCESSES))
    runs = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
        )
        for rank in (0, 1)
    ]
    said = [each.communicate(timeout=500)[0].strip() for each in runs]
    assert said == [f"0.5 {count} a promise - was broken - mend it" for count in (1, 0)]
