"""The steady response of feed-forward networks, and when the unroll has it."""

import pytest
import torch
from torch.nn import functional as F

from neurofit.models.architectures import (
    FIXED_DECAY,
    TRAINED_DECAY,
    imagenet128,
    intermediate,
    intermediate_rgc,
    shallow,
)
from neurofit.models.cells import SimpleRNNConfig
from neurofit.models.layers import same_max_pool
from neurofit.models.network import READOUT, ConvRNN
from neurofit.models.pixels import Pixels
from neurofit.models.reciprocal_gated import ReciprocalGatedConfig
from neurofit.models.repeated import RepeatedNetwork
from neurofit.models.static import StaticCourse
from neurofit.models.steady import SteadyResponse, own_dynamics

STAGES = ((4, True), (5, True), (6, True), (6, True), (8, False))
DEEP = tuple((n, pool) for n, pool in zip((4, 4, 4, 6, 6, 8, 8, 9, 9, 9), (1, 0, 0, 1, 0, 1, 1, 0, 0, 1), strict=True))
FEED_FORWARD = {
    "shallow": shallow(None, STAGES, input_px=64, classes=7),
    "fixed decays of 0": shallow([FIXED_DECAY] * 3, STAGES, FIXED_DECAY, 64, 7),
    "intermediate": intermediate(stages=DEEP, input_px=64, classes=7),
    "chain": intermediate_rgc(None, stages=DEEP, input_px=64, classes=7),
    "deep unroll": intermediate(stages=DEEP, input_px=64, classes=7, unroll="deep"),
    "2018": imagenet128(),
}
RECURRENT = {
    "vanilla": shallow([SimpleRNNConfig(n) for n in (3, 6, 5)], STAGES, input_px=64, classes=7),
    "rgc": shallow([ReciprocalGatedConfig(n) for n in (6, 6, 8)], STAGES, input_px=64, classes=7),
    "time decay": shallow([TRAINED_DECAY] * 3, STAGES, FIXED_DECAY, 64, 7),
}


def network_of(config):
    """A network all of whose biases are other than zero."""
    network = ConvRNN(config, seed=1).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1 and not name.endswith("memory_decay"):
                parameter.normal_(0.3, 0.1, generator=torch.Generator().manual_seed(len(name)))
    return network


def image_for(network, batch=2):
    side = network.config.input_px
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=FEED_FORWARD)
def network(request):
    return network_of(FEED_FORWARD[request.param])


def test_it_is_a_plain_pass(network):
    image, reader = image_for(network), SteadyResponse(network)
    with torch.inference_mode():
        found = reader(image, reader.layers)
        x = image
        for name, node in network.nodes.items():
            x = node.step(node.drive(x), None)[0]
            torch.testing.assert_close(found[name], x)
    assert list(found) == list(reader.layers) == list(reader.nodes) == [*reader.stages, READOUT]


def test_it_is_a_pass_written_out():
    network = network_of(FEED_FORWARD["shallow"])
    x = image = image_for(network)
    with torch.inference_mode():
        for i, node in enumerate(list(network.nodes.values())[:-1]):
            x = F.pad(x, (2, 3, 2, 3)) if i == 0 else F.pad(x, (1, 1, 1, 1))
            x = F.elu(F.conv2d(x, node.pre.weight, node.pre.bias, stride=2 if i == 0 else 1))
            x = same_max_pool(x) if node.config.pool else x
        torch.testing.assert_close(SteadyResponse(network)(image, ["conv5"])["conv5"], x)


def test_layers_come_from_input_to_output_and_no_deeper_than_asked(network):
    reader = SteadyResponse(network)
    last = network.nodes[READOUT].drive
    network.nodes[READOUT].drive = None  # would fail if it were called
    with torch.inference_mode():
        assert list(reader(image_for(network), {"conv3", "conv1"})) == ["conv1", "conv3"]
    network.nodes[READOUT].drive = last


def test_once_is_the_unroll_wherever_the_image_drives_it(network):
    """And where it does not, the unroll is the same for all images, `once` zero."""
    image, on, steps = image_for(network), 4, 16
    frames = [image] * on + [torch.full((1, 1, 1, 1), 0.5).expand_as(image)] * (steps - on)
    reader = SteadyResponse(network)
    course = StaticCourse(reader, mode="once", latency=reader.first_steps)
    with torch.inference_mode():
        unrolled, once = network(frames), course(frames)
    for layer, first in network.config.first_steps().items():
        driven = range(first, min(first + on, steps))
        for t in range(steps):
            if t in driven:
                torch.testing.assert_close(once[layer][:, t], unrolled[layer][:, t])
            else:
                assert once[layer][:, t].abs().max() == 0
                assert (unrolled[layer][0, t] - unrolled[layer][1, t]).abs().max() == 0


def test_once_ends_when_the_2018_figure_does():
    """Layers 6, 8 and 10 of the intermediate network at 150, 170 and 190 ms, for an image of 100."""
    network = network_of(FEED_FORWARD["intermediate"])
    reader = SteadyResponse(network)
    course = StaticCourse(reader, mode="once", latency=reader.first_steps)
    ends = [course.runs(layer, on=10, steps=26)[0].end * 10 for layer in ("conv6", "conv8", "conv10")]
    assert ends == [150, 170, 190]


def test_pixels_are_their_own_features():
    image = torch.rand(2, 3, 4, 4)
    reader = SteadyResponse(Pixels())
    assert torch.equal(reader(image, ["pixels"])["pixels"], image)
    assert (reader.layers, reader.stages, reader.first_steps) == (("pixels",), ("pixels",), {"pixels": 0})


@pytest.mark.parametrize("name", FEED_FORWARD)
def test_feed_forward_networks_have_no_dynamics(name):
    assert own_dynamics(ConvRNN(FEED_FORWARD[name])) is None


@pytest.mark.parametrize("name", RECURRENT)
def test_cells_with_memory_are_dynamics(name):
    assert own_dynamics(ConvRNN(RECURRENT[name])) == "it has cells with memory in conv3, conv4, conv5"


def test_decays_other_than_zero_and_feedback_are_dynamics():
    network = ConvRNN(FEED_FORWARD["fixed decays of 0"])
    with torch.no_grad():
        network.nodes["conv2"].cell.memory_decay.fill_(0.5)
    assert own_dynamics(network) == "it has cells with memory in conv2"
    rgc = ConvRNN(intermediate_rgc(stages=DEEP, input_px=64, classes=7))
    assert own_dynamics(rgc).startswith("it has feedback from conv")


def test_of_other_networks_nothing_is_known():
    assert own_dynamics(RepeatedNetwork(torch.nn.Identity())) == "its network returns the activations of every step"
    assert own_dynamics(Pixels()) is None
