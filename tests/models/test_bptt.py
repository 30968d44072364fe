"""Back-propagation through time: checkpoints change no gradient, truncation cuts exactly what it says."""

import dataclasses
import gc
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from neurofit.errors import ConfigurationError
from neurofit.models.architectures import (
    FIXED_DECAY,
    TRAINED_DECAY,
    imagenet128,
    intermediate,
    intermediate_rgc,
    shallow,
)
from neurofit.models.bptt import WHOLE, Backward
from neurofit.models.cells import SimpleRNNConfig, TimeDecayConfig
from neurofit.models.decoders import DecoderConfig
from neurofit.models.feedback import FeedbackConfig
from neurofit.models.gated_cells import GRUConfig, IntersectionRNNConfig, LSTMConfig, UGRNNConfig
from neurofit.models.network import READOUT, ConvRNN, NetworkConfig
from neurofit.models.nodes import Node, NodeConfig
from neurofit.models.presentation import Presentation
from neurofit.models.reciprocal_gated import SEARCHED, ReciprocalGatedConfig

STAGES = ((3, True), (4, True), (4, True), (5, False), (6, False))
DEEP = tuple((n, pool) for n, pool in zip((3, 3, 3, 4, 4, 5, 5, 6, 6, 6), (1, 0, 0, 1, 0, 1, 1, 0, 0, 1), strict=True))
WIDTHS = (4, 5, 6)
NETWORKS = {
    "ff": shallow(None, STAGES, input_px=32, classes=3),
    "time decay": shallow([TRAINED_DECAY] * 3, STAGES, FIXED_DECAY, 32, 3),
    "vanilla": shallow([SimpleRNNConfig(n, layer_norm=True) for n in WIDTHS], STAGES, None, 32, 3),
    "lstm": shallow([LSTMConfig(n, peepholes=True, layer_norm=True) for n in WIDTHS], STAGES, None, 32, 3),
    "gru": shallow([GRUConfig(n) for n in WIDTHS], STAGES, None, 32, 3),
    "intersection": shallow([IntersectionRNNConfig(n) for n in WIDTHS], STAGES, None, 32, 3),
    "rgc": shallow([ReciprocalGatedConfig(n) for n in WIDTHS], STAGES, None, 32, 3),
    "searched rgc": shallow([dataclasses.replace(SEARCHED, cell_channels=3)] * 3, STAGES, None, 32, 3),
    "intermediate ugrnn": intermediate(UGRNNConfig, stages=DEEP, input_px=32, classes=3),
    "intermediate rgc": intermediate_rgc(stages=DEEP, input_px=32, classes=3),
    "deep unroll": intermediate_rgc(stages=DEEP, input_px=32, classes=3, unroll="deep"),
    "decoder over time": dataclasses.replace(
        shallow([GRUConfig(n) for n in WIDTHS], STAGES, None, 32, 3), decoder=DecoderConfig("w_time_avg")
    ),
}
RECURRENT = sorted(set(NETWORKS) - {"ff"})
SHOWN = Presentation(16, on=4)  # the blank of the last steps reaches the deepest readout


def made(config, dtype=torch.float64):
    network = ConvRNN(config, seed=1).to(dtype).train()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1:  # biases and decays: at zero, much would be silent
                parameter.normal_(0.2, 0.1, generator=torch.Generator().manual_seed(len(name)))
    return network


def images(network, batch=2):
    size, dtype = network.config.input_px, next(network.parameters()).dtype
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=dtype)


def gradients(network, backward=WHOLE, shown=SHOWN):
    """Gradient of every trained parameter, and of the image."""
    network.zero_grad()
    image = images(network).requires_grad_()
    loss = F.cross_entropy(network.decide(shown.frames(image), backward), torch.tensor([0, 2]))
    loss.backward()
    found = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    return found | ({} if image.grad is None else {"image": image.grad}) | {"loss": loss.detach()}


def equal(found, expected):
    return set(found) == set(expected) and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_checkpoints_change_no_bit_of_a_gradient(name):
    network = made(NETWORKS[name], torch.float32)
    expected = gradients(network)
    assert name == "ff" or expected["image"].any()  # what a network without memory decides on is the blank
    assert equal(gradients(network, Backward(checkpoint=True)), expected)


@pytest.mark.parametrize("name", ["rgc", "intermediate rgc", "deep unroll", "decoder over time"])
def test_checkpoints_change_no_bit_of_a_truncated_gradient(name):
    network = made(NETWORKS[name])
    expected = gradients(network, Backward(truncate=2))
    assert equal(gradients(network, Backward(truncate=2, checkpoint=True)), expected)
    assert not equal(expected, gradients(network))


@pytest.mark.parametrize("name", ["ff", "rgc", "lstm", "intermediate rgc"])
def test_as_many_steps_as_there_are_is_all(name):
    network = made(NETWORKS[name])
    assert equal(gradients(network, Backward(truncate=SHOWN.steps)), gradients(network))


def test_feed_forward_networks_have_nothing_to_truncate():
    network = made(NETWORKS["ff"])
    assert equal(gradients(network, Backward(truncate=1, checkpoint=True)), gradients(network))


@pytest.mark.parametrize("name", RECURRENT)
def test_every_parameter_and_the_image_have_a_gradient_where_a_single_step_is_crossed(name):
    network = made(NETWORKS[name])
    throughout = Presentation(16)
    found, whole = gradients(network, Backward(truncate=1), throughout), gradients(network, WHOLE, throughout)
    assert set(found) == set(whole)
    silent = [key for key in found if not found[key].any() and whole[key].any()]
    assert silent == []


@pytest.mark.parametrize("crossed", [1, 2, 3, 5])
def test_a_leaky_integrator_shows_how_many_steps_are_crossed(crossed):
    # s_t = x + a s_(t-1): with s_(T-K-1) a constant, ds_T/da is the sum over j <= K of a^j s_(T-1-j)
    config = NetworkConfig((NodeConfig("conv1", 1, 1, cell=TimeDecayConfig(), pool=False, activation="none"),), 2, 1)
    network, steps, a = ConvRNN(config).double(), 9, 0.7
    with torch.no_grad():
        network.nodes["conv1"].pre.weight.fill_(1 / 3)
        network.nodes["conv1"].cell.memory_decay.fill_(a)
    frames = [torch.ones(1, 3, 2, 2, dtype=torch.float64)] * steps
    out = network(frames, ["conv1"], [steps - 1], Backward(truncate=crossed))["conv1"]
    out.mean().backward()
    states = [sum(a**i for i in range(t + 1)) for t in range(steps)]
    expected = sum(a**j * states[steps - 2 - j] for j in range(crossed + 1))
    assert network.nodes["conv1"].cell.memory_decay.grad.item() == pytest.approx(expected, rel=1e-12)


def by_hand(network, frames, crossed):
    """Every node at every step; states and feedback cut by counting steps back from the last that matters."""
    names, steps, wiring = list(network.nodes), len(frames), network.config.wiring()
    last = {name: steps - 1 - (len(names) - 1 - i) * wiring.delay for i, name in enumerate(names)}
    shape, outputs, states = tuple(frames[0].shape[1:]), {}, dict.fromkeys(names)
    for name, node in network.nodes.items():
        shape = node.output_shape(shape)
        outputs[name] = frames[0].new_zeros(len(frames[0]), *shape)
    before_of = {second: first for first, second in pairwise(names)}
    for t, frame in enumerate(frames):
        old = dict(outputs)
        for name, node in network.nodes.items():
            reading = old if wiring.delay else outputs
            source = reading[before_of[name]] if name in before_of else frame
            fed_back = []
            for other in wiring.feedback.get(name, ()):
                parted = (last[other] - (t - 1)) // (crossed + 1) != (last[name] - t) // (crossed + 1)
                fed_back.append(old[other].detach() if parted else old[other])
            state = states[name]
            if state is not None and (last[name] - t) % (crossed + 1) == crossed:
                state = tuple(part.detach() for part in state)
            outputs[name], states[name] = node.step(node.drive(source, fed_back), state)
    return outputs[READOUT]


def with_feedback(unroll):
    """Three nodes with two edges back, one of them from a node to itself."""
    entry = FeedbackConfig(kernel=3, entry="input")
    nodes = (
        NodeConfig("conv1", 2, cell=GRUConfig(2), pool=False),
        NodeConfig("conv2", 3, cell=LSTMConfig(3), pool=False, feedback=entry),
        NodeConfig("conv3", 2, cell=ReciprocalGatedConfig(2), pool=False, feedback=entry),
    )
    edges = (("conv3", "conv2"), ("conv3", "conv3"))
    return NetworkConfig(nodes, 4, 3, feedback=edges, unroll=unroll)


@pytest.mark.parametrize("crossed", [1, 2, 3, 4, 20])
@pytest.mark.parametrize("unroll", ["biological", "deep"])
def test_truncation_equals_a_loop_written_by_hand(unroll, crossed):
    network = made(with_feedback(unroll))
    frames = Presentation(9, on=5).frames(images(network))
    found, expected = [], []
    for logits, kept in (
        (network.decide(frames, Backward(truncate=crossed)), found),
        (by_hand(network, [f.contiguous() for f in frames], crossed), expected),
    ):
        network.zero_grad()
        F.cross_entropy(logits, torch.tensor([0, 2])).backward()
        kept += [logits.detach(), *(p.grad.clone() for p in network.parameters())]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def spied(monkeypatch, name):
    """Record calls of a method of nodes, with whether gradients were recorded."""
    calls, method = [], getattr(Node, name)

    def spy(self, *arguments):
        calls.append((self.config.name, torch.is_grad_enabled()))
        return method(self, *arguments)

    monkeypatch.setattr(Node, name, spy)
    return calls


def counts(calls):
    return [sum(name == f"conv{i}" for name, _ in calls) for i in range(1, 6)]


def test_a_standing_drive_is_kept_with_checkpoints_too(monkeypatch):
    network = made(NETWORKS["rgc"])
    image = images(network)
    drives, steps = spied(monkeypatch, "drive"), spied(monkeypatch, "step")
    network.decide([image] * 10)
    plain = counts(drives), counts(steps)
    drives.clear(), steps.clear()
    loss = network.decide([image] * 10, Backward(checkpoint=True)).sum()
    assert (counts(drives), counts(steps)) == plain
    assert counts(drives)[2] < counts(steps)[2]
    loss.backward()
    assert all(again <= 2 * once for again, once in zip(counts(drives), plain[0], strict=True))
    assert all(again == 2 * once for again, once in zip(counts(steps), plain[1], strict=True))


def test_without_gradients_nothing_is_computed_for_them(monkeypatch):
    network = made(NETWORKS["rgc"])
    steps = spied(monkeypatch, "step")
    with torch.inference_mode():
        whole = network.decide([images(network)] * 10)
        once = counts(steps)
        assert torch.equal(network.decide([images(network)] * 10, Backward(2, True)), whole)
    assert counts(steps) == [2 * n for n in once]


def test_steps_that_no_gradient_reaches_are_not_recorded(monkeypatch):
    network = made(NETWORKS["rgc"])
    steps = spied(monkeypatch, "step")
    network.decide([images(network)] * 16, Backward(truncate=2))
    recorded = [(name, on) for name, on in steps if name in ("conv3", "conv4", "conv5")]
    assert {name: sum(on for n, on in recorded if n == name) for name, _ in recorded} == {
        "conv3": 3, "conv4": 3, "conv5": 3
    }  # fmt: skip


def test_batch_norm_gathers_statistics_once():
    config = dataclasses.replace(imagenet128([LSTMConfig(n) for n in (3, 3, 3)]), input_px=64, classes=3)
    plain, again = made(config), made(config)
    expected = gradients(plain)
    assert equal(gradients(again, Backward(checkpoint=True)), expected)
    for (name, one), other in zip(plain.named_buffers(), again.buffers(), strict=True):
        assert torch.equal(one, other), name


def test_nothing_is_left_of_a_step():
    network, left = made(NETWORKS["rgc"]), []
    gc.collect()
    gc.disable()  # what is freed is so at once
    try:
        for _ in range(3):
            gradients(network, Backward(checkpoint=True))
            left.append(sum(type(each) is torch.Tensor for each in gc.get_objects()))
    finally:
        gc.enable()
    assert left[2] == left[1]


def test_a_negative_number_of_steps_is_told():
    with pytest.raises(ConfigurationError, match="go back through a number of steps.* - truncate is -1 - choose 0"):
        Backward(truncate=-1)
