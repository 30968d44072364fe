from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neurofit.errors import ConfigurationError, ModelContractError, UnknownNameError
from neurofit.models.static import STATIC_MODES, StaticNetwork, run_bounds

NODES = ("a", "b", "c")


class Static(nn.Module):
    """Three maps of 48, 12 and 3 units; counts its calls."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.calls = nn.Identity(), nn.AvgPool2d(2), nn.AvgPool2d(2), 0

    def forward(self, x):
        self.calls += 1
        return self.c(self.b(self.a(x)))


@pytest.fixture
def image():
    return torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) + 1


def shown(image, on, steps):
    blank = torch.zeros_like(image)
    return [image] * on + [blank] * (steps - on)


def test_constant_is_the_image_at_every_step_without_copies(image):
    network = Static()
    course = StaticNetwork(network, NODES, mode="constant")(shown(image, 2, 5), ["a", "b"])
    assert course["a"].shape == (2, 5, 3, 4, 4)
    assert course["a"].stride(1) == course["b"].stride(1) == 0
    for t in range(5):
        assert torch.equal(course["a"][:, t], image)
        assert torch.equal(course["b"][:, t], network.b(image))
    assert network.calls == 1


@pytest.mark.parametrize(("latency", "steps_with_response"), [(0, [0, 1, 2]), (2, [2, 3, 4]), (4, [4, 5]), (9, [])])
def test_once_lasts_as_long_as_the_image(image, latency, steps_with_response):
    course = StaticNetwork(Static(), NODES, mode="once", latency={"a": latency})(shown(image, 3, 6))
    for t in range(6):
        expected = image if t in steps_with_response else torch.zeros_like(image)
        assert torch.equal(course["a"][:, t], expected), t
    assert torch.equal(course["b"][:, 0], nn.functional.avg_pool2d(image, 2))  # a latency is of the layers it names


def test_the_2018_figure_ends_at_150_170_and_190_ms(image):
    latency = {"a": 5, "b": 7, "c": 9}
    course = StaticNetwork(Static(), NODES, mode="once", latency=latency)(shown(image, 10, 26))
    ends = {layer: int(values.flatten(2).abs().sum((0, 2)).nonzero().max()) + 1 for layer, values in course.items()}
    assert ends == {"a": 15, "b": 17, "c": 19}  # steps of 10 ms


def test_once_predicts_what_the_biological_unroll_does(image):
    """One layer per step, each reading the one before at t - 1: the same up to what is equal for all images."""
    torch.manual_seed(0)
    layers = nn.ModuleDict({name: nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()) for name in NODES})
    network = nn.Sequential(*layers.values())
    static = StaticNetwork(network, dict(zip(NODES, "012", strict=True)), mode="once", latency={"b": 1, "c": 2})
    frames = shown(image, 3, 7)
    with torch.inference_mode():
        course = static(frames)
        outputs = {name: torch.zeros_like(image) for name in NODES}
        for t, frame in enumerate(frames):
            inputs = dict(zip(NODES, (frame, outputs["a"], outputs["b"]), strict=True))
            outputs = {name: layer(inputs[name]) for name, layer in layers.items()}
            for name in NODES:
                unrolled, laid_out = outputs[name], course[name][:, t]
                assert torch.allclose(unrolled - unrolled.mean(0), laid_out - laid_out.mean(0), atol=1e-6), (name, t)


def test_an_image_that_stays_is_not_copied_in_once_either(image):
    course = StaticNetwork(Static(), NODES, mode="once")([image] * 4, ["a"])["a"]
    assert course.stride(1) == 0
    assert torch.equal(course[:, 3], image)


def test_constant_after_a_latency(image):
    course = StaticNetwork(Static(), NODES, mode="constant", latency=2)(shown(image, 1, 4), ["a"])["a"]
    assert course[:, :2].abs().sum() == 0
    assert torch.equal(course[:, 2], image)
    assert torch.equal(course[:, 3], image)


@pytest.mark.parametrize(
    ("mode", "runs"),
    [("uniform", "aaaabbbbcccc"), ("graded", "aabbbbcccccc")],  # 4 : 4 : 4 and 2 : 4 : 6 of 12 steps
)
def test_sequences_take_their_turns_in_columns_of_their_own(image, mode, runs):
    network = StaticNetwork(Static(), NODES, mode=mode)
    assert network.layers == ("all",)
    course = network(shown(image, 3, 12))["all"]
    assert course.shape == (2, 12, 48 + 12 + 3)
    columns = {"a": slice(0, 48), "b": slice(48, 60), "c": slice(60, 63)}
    b = nn.functional.avg_pool2d(image, 2)
    features = {"a": image, "b": b, "c": nn.functional.avg_pool2d(b, 2)}
    for t, layer in enumerate(runs):
        for other, where in columns.items():
            expected = features[other].flatten(1) if other == layer else torch.zeros(2, where.stop - where.start)
            assert torch.equal(course[:, t, where], expected), (t, other)


def test_named_sequences_start_after_their_latency_and_run_only_what_they_need(image):
    sequences = {"early": ("a", "b"), "late": ("b", "c")}
    network = StaticNetwork(Static(), NODES, mode="graded", sequences=sequences, latency={"early": 2})
    course = network(shown(image, 1, 5), ["early"])
    assert list(course) == ["early"]
    lit = course["early"].abs().sum((0, 2)) > 0
    assert lit.tolist() == [False, False, True, True, True]
    assert (course["early"][0, :, 48:].abs().sum(1) > 0).tolist() == [False, False, False, True, True]  # 1 : 2 of 3
    assert network.weights("late") == [2, 3]


def test_a_sequence_must_go_from_input_to_output(image):
    network = StaticNetwork(Static(), ("b", "a"), mode="uniform")
    with pytest.raises(ModelContractError, match="'all' is b, a, but they are reached in the order a, b"):
        network([image] * 4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mode": "twice"}, UnknownNameError, "mode of a static network .* 'twice' is not known"),
        ({"mode": "once", "latency": -1}, ConfigurationError, "the latency of a is -1 - give a number of steps"),
        ({"mode": "once", "latency": {"b": 70.5}}, ConfigurationError, "the latency of b is 70.5"),
        ({"mode": "once", "latency": {"d": 1}}, UnknownNameError, "layer with a latency .* 'd' is not known"),
        ({"mode": "once", "sequences": {"x": ("a",)}}, ConfigurationError, "the mode is 'once'"),
        ({"mode": "graded", "sequences": {"x": ("d",)}}, UnknownNameError, "layer of the sequence 'x' .* 'd' is not"),
        ({"mode": "graded", "sequences": {"x": ("b", "a")}}, ConfigurationError, "'x' is b, a; the nodes are a, b, c"),
        ({"mode": "graded", "sequences": {"x": ("a", "a")}}, ConfigurationError, "each once"),
        ({"mode": "graded", "sequences": {"x": ()}}, ConfigurationError, "'x' is empty"),
    ],
)
def test_impossible_time_courses_are_told(options, error, message):
    with pytest.raises(error, match=message):
        StaticNetwork(Static(), NODES, **options)


def test_unknown_layers_are_told(image):
    with pytest.raises(UnknownNameError, match="layer .* 'd' is not known"):
        StaticNetwork(Static(), NODES, mode="once")([image], ["d"])
    with pytest.raises(UnknownNameError, match="layer .* 'a' is not known - use"):
        StaticNetwork(Static(), NODES, mode="uniform")([image], ["a"])


def test_a_record_says_everything_that_decides_the_time_course():
    nodes, sequences = {"V4": "a", "IT": "c"}, {"ventral": ("V4", "IT")}
    told = StaticNetwork(Static(), nodes, mode="graded", sequences=sequences, latency={"ventral": 7}).describe()
    assert told == {
        "static_mode": "graded",
        "static_mode_in_words": STATIC_MODES["graded"],
        "nodes": "V4 = a, IT = c",
        "latency_steps": "ventral 7",
        "sequence_ventral": "V4 x 1, IT x 2",
    }


@settings(deadline=None)
@given(weights=st.lists(st.integers(1, 50), min_size=1, max_size=20), steps=st.integers(0, 200))
def test_runs_are_within_a_step_of_their_share(weights, steps):
    bounds = run_bounds(weights, steps)
    assert bounds[0] == 0
    assert bounds[-1] == steps
    assert len(bounds) == len(weights) + 1
    for weight, (begin, end) in zip(weights, pairwise(bounds), strict=True):
        assert abs((end - begin) - steps * weight / sum(weights)) < 1 + 1e-9
    for t in range(steps):  # the definition: whose share of the time holds the step's middle
        owner = sum(bound <= t for bound in bounds[1:])
        before, after = sum(weights[:owner]), sum(weights[: owner + 1])
        assert 2 * steps * before <= (2 * t + 1) * sum(weights) < 2 * steps * after
