"""What can be drawn, and what cannot be written."""

from dataclasses import fields

import optuna
import pytest
import torch

from neurofit.errors import ConfigurationError, UnknownNameError
from neurofit.files.toml_schema import parse_table
from neurofit.models.description import count_parameters
from neurofit.models.network import ConvRNN
from neurofit.models.reciprocal_gated import PATHS, SEARCHED, GateConfig, ReciprocalGatedConfig
from neurofit.training.recipe import load_recipe
from neurofit.training.search_space import (
    CellSpace,
    FeedbackSpace,
    GateSpace,
    PathsSpace,
    SearchSpace,
    as_table,
    load_space,
    sample,
    space_names,
)

STAGES = [{"channels": 4}, {"channels": 6, "cell": True}, {"channels": 8, "pool": False, "cell": True}]
TABLE = {"name": "tiny", "input_px": 16, "classes": 3, "stages": STAGES, "steps": 5}


class Chooses:
    """A trial that always takes the first, the last, or a random one of what it may."""

    def __init__(self, which, seed=0):
        self.which, self.generator, self.asked = which, torch.Generator().manual_seed(seed), {}

    def suggest_categorical(self, name, choices):
        return self._kept(name, choices, choices)

    def suggest_int(self, name, low, high, *, step=1, log=False):
        return self._kept(name, range(low, high + 1, step), (low, high, step, log))

    def suggest_float(self, name, low, high, *, log=False):
        return self._kept(name, (low, high), (low, high, log))

    def _kept(self, name, values, asked):
        assert self.asked.setdefault(name, asked) == asked
        if self.which == "random":
            return values[int(torch.randint(len(values), (1,), generator=self.generator))]
        return values[0 if self.which == "first" else -1]


def space(**changes):
    return parse_table({**TABLE, **changes}, SearchSpace, source="tiny.toml", what="search space")


@pytest.mark.parametrize("name", space_names())
def test_spaces_of_the_package_are_drawn_and_run(name):
    bundled, ran = load_space(name), 0
    assert "own choice" in bundled.source
    for seed in range(8):
        try:
            candidate = sample(Chooses("random", seed), bundled)
            assert count_parameters(candidate.network) > 0
        except ConfigurationError as error:
            assert "feedback enters" in str(error) or "something enters" in str(error)
            continue
        if bundled.input_px <= 32 and ran < 3:
            frame = torch.randn(1, 3, bundled.input_px, bundled.input_px)
            scores = ConvRNN(candidate.network, seed).decide(candidate.presentation.frames(frame))
            assert scores.shape == (1, bundled.classes) and torch.isfinite(scores).all()
        ran += 1
    assert ran


def test_paths_of_the_space_are_those_of_the_cell():
    assert {field.name for field in fields(PathsSpace)} == set(PATHS)


def test_every_setting_of_the_cell_can_be_searched():
    gates = {f.name for f in fields(GateConfig)}
    assert {f.name for f in fields(GateSpace)} == gates
    # a side for all kernels that name no own is not needed where each names its own
    assert {f.name for f in fields(CellSpace)} - {"per_stage"} == {f.name for f in fields(ReciprocalGatedConfig)} - {
        "kernel"
    }
    assert {f.name for f in fields(FeedbackSpace)} == {"edges", "p_edge", "kernel", "separable", "entry", "activation"}


def test_every_switch_reaches_the_network():
    switch = {"choices": [False, True]}
    gate = {"separable": switch, "bias": switch, "kernel": {"low": 1, "high": 5, "step": 2},
            "nonlinearity": {"choices": ["sigmoid", "tanh"]}, "offset": {"low": 0.5, "high": 0.75},
            "multiplier": {"choices": [-1.0, 1.0]}, "constant": {"low": 0.0, "high": 2.0}}  # fmt: skip
    conv = {"kernel": {"choices": [1, 3]}, "separable": switch, "bias": switch}
    cell = {
        "cell_channels": {"low": 4, "high": 16, "log": True}, "tau": gate, "gate": gate, "into_cell": conv,
        "into_out": conv, "paths": dict.fromkeys(PATHS, switch) | {"input_to_cell": True},
        "cell_activation": {"choices": ["elu", "relu"]}, "out_activation": {"choices": ["elu", "tanh"]},
        "layer_norm": switch, "init_scale": {"low": 0.5, "high": 2.0, "log": True},
    }  # fmt: skip
    feedback = {"edges": [{"source": "conv3", "target": "conv2", "present": switch}], "kernel": {"choices": [1, 3]},
                "separable": switch, "entry": {"choices": ["input", "cell"]},
                "activation": {"choices": ["identity", "elu"]}}  # fmt: skip
    stages = [{"channels": 4}, {"channels": {"low": 4, "high": 8}, "kernel": {"choices": [1, 3]}, "cell": switch},
              {"channels": 8, "pool": False, "cell": True}]  # fmt: skip
    rates = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "weight_decay": {"choices": [0.0, 0.1]}}
    searched = space(cell=cell, feedback=feedback, stages=stages, steps={"low": 4, "high": 6}, **rates)
    one, other = (sample(Chooses(which), searched) for which in ("first", "last"))
    first, last = one.network.nodes[2].cell, other.network.nodes[2].cell
    for name in (f.name for f in fields(ReciprocalGatedConfig) if f.name != "kernel"):
        assert getattr(first, name) != getattr(last, name), name
    for part in ("tau", "gate", "into_cell", "into_out"):
        for f in fields(getattr(first, part)):
            assert getattr(getattr(first, part), f.name) != getattr(getattr(last, part), f.name), (part, f.name)
    assert first.paths == ("input_to_cell",) and set(last.paths) == set(PATHS)
    assert one.network.nodes[1].cell is None and other.network.nodes[1].cell is not None
    assert (one.network.nodes[1].channels, other.network.nodes[1].channels) == (4, 8)
    assert (one.network.feedback, other.network.feedback) == ((), (("conv3", "conv2"),))
    entries = [candidate.network.nodes[1].feedback for candidate in (one, other)]
    assert all(getattr(entries[0], f.name) != getattr(entries[1], f.name) for f in fields(entries[0]))
    assert (one.presentation.steps, other.presentation.steps) == (4, 6)
    recipe = load_recipe("port")
    assert other.recipe(recipe).optimiser.learning_rate == 0.1 and one.recipe(recipe).optimiser.weight_decay == 0.0
    for candidate in (one, other):
        network = ConvRNN(candidate.network, 0)
        assert torch.isfinite(network.decide(candidate.presentation.frames(torch.randn(2, 3, 16, 16)))).all()


def test_the_searched_cell_can_be_written_as_a_space():
    gates = {
        name: {"kernel": 7, "separable": True, "bias": True, "nonlinearity": kind, "offset": value}
        for name, kind, value in (
            ("tau", "sigmoid", SEARCHED.tau.offset),
            ("gate", "tanh", SEARCHED.gate.offset),
        )
    }
    cell = gates | {
        "into_cell": {"kernel": 2, "bias": True}, "into_out": {"kernel": 3, "bias": True},
        "paths": {"input_to_out": True, "residual_to_out": True}, "init_scale": SEARCHED.init_scale,
    }  # fmt: skip
    drawn = sample(Chooses("first"), space(cell=cell)).network.nodes[1].cell
    assert drawn == SEARCHED


def test_nothing_is_drawn_where_all_is_fixed():
    trial = Chooses("first")
    sample(trial, space())
    assert trial.asked == {}


def test_stages_may_draw_cells_of_their_own():
    drawn = {"cell_channels": {"choices": [4, 8]}, "per_stage": True}
    trial = Chooses("random", 3)
    sample(trial, space(cell=drawn))
    assert set(trial.asked) == {f"conv{i}.cell.cell_channels" for i in (1, 2, 3)}


def test_a_probability_is_that_of_presence():
    edges = {"edges": [{"source": "conv3", "target": "conv2"}], "p_edge": 0.2}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    present = [len(sample(study.ask(), space(feedback=edges)).network.feedback) for _ in range(300)]
    assert 0.13 < sum(present) / 300 < 0.27


def test_a_space_survives_being_kept():
    for name in space_names():
        kept = parse_table(as_table(load_space(name)), SearchSpace, source="kept", what="search space")
        assert as_table(kept) == as_table(load_space(name))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"celll": {}}, "celll is not a known key \\(the nearest is cell\\)"),
        ({"cell": {"tau": {"kernal": 3}}}, "cell.tau.kernal is not a known key \\(the nearest is kernel\\)"),
        ({"cell": {"tau": {"kernel": {"lo": 3}}}}, "lo is not a known key \\(the nearest is low\\)"),
        ({"cell": {"paths": {"input_to_gate": True}}}, "input_to_gate is not a known key"),
        ({"cell": {"layer_norm": {"choices": ["yes"]}}}, "'yes', which is not true or false"),
        ({"cell": {"cell_activation": {"choices": ["elu", "rely"]}}}, "'rely', which is not one of"),
        ({"steps": {"low": 9, "high": 4}}, "low is 9, which is not below high, 4"),
        ({"steps": {"low": 4}}, "low and high are both needed"),
        ({"steps": {"choices": [4, 4]}}, "names one twice"),
        ({"learning_rate": {"low": 0.0, "high": 1.0, "log": True}}, "has no logarithm"),
        ({"steps": {"choices": [4], "low": 1, "high": 3}}, "either choices or low and high"),
        ({"cell": {"layer_norm": {"probability": 1.5}}}, "1.5, which is not between 0 and 1"),
        ({"stages": []}, "stages has none"),
        ({"stages": [{"channels": 0}]}, "channels is 0, which is not a whole number and above 0 or a table"),
        ({"feedback": {"edges": [{"source": "conv9", "target": "conv1"}]}}, "names conv9, which is not of conv1"),
        ({"feedback": {"edges": [{"source": "conv1", "target": "conv2"}]}}, "leads forward"),
    ],
)
def test_what_is_wrong_with_a_space_is_told(changes, told):
    with pytest.raises(ConfigurationError, match=told):
        space(**changes)


def test_an_unknown_space_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="'proxi' is not known - use 'proxy'"):
        load_space("proxi")
