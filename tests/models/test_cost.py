"""Units and multiply-accumulates, against counts by hand and against what is really run."""

import pytest
import torch
from torch import nn

from neurofit.models.cost import configured_cost, count_macs, deciding_cost, describe_zoo_cost, network_cost
from neurofit.models.network import ConvRNN
from neurofit.models.presentation import Presentation
from neurofit.models.zoo import ZOO, zoo_entry

SHOWN = Presentation(9, on=4)


def frames_of(size):
    def frames(images):
        return SHOWN.frames(torch.rand(images, 3, size, size))

    return frames


def test_operations_are_counted_as_by_hand():
    conv, depthwise, dense = nn.Conv2d(3, 8, 5, stride=2), nn.Conv2d(8, 8, 3, groups=8, padding=1), nn.Linear(8, 10)
    image = torch.rand(2, 3, 33, 33)

    def run():
        map_ = torch.relu(depthwise(conv(image)))
        return dense(map_.mean((2, 3)))

    assert count_macs(run) == 2 * (15 * 15 * 8 * 3 * 25 + 15 * 15 * 8 * 9 + 8 * 10)
    assert count_macs(lambda: image + 1) == 0
    with torch.inference_mode():
        assert count_macs(run) == 2 * (15 * 15 * 8 * 3 * 25 + 15 * 15 * 8 * 9 + 8 * 10)


@pytest.mark.parametrize("name", ["rgc", "ff", "timedecay_untrained", "gru_untrained"])
def test_networks_that_are_not_run_are_counted_as_if_they_were(name):
    entry = zoo_entry(name)
    network = ConvRNN(entry.network, 0).eval()
    with torch.no_grad():
        expected = network_cost(network, frames_of(64), network.layers, 4)
    found = configured_cost(entry.network, SHOWN)
    assert found == expected
    assert (found.macs_steps, found.macs_on) == (9, 4)
    assert found.network_units == sum(torch.tensor(shape).prod().item() for shape in entry.layer_shapes().values())


def static_pass(entry):
    """Multiply-accumulates of one pass through a feed-forward network: each node once, on one image."""
    network = ConvRNN(entry.network, 0).eval()
    steps = len(network.layers)
    return configured_cost(entry.network, Presentation(steps), steps=[steps - 1]).macs


def test_feed_forward_networks_cost_one_pass_however_long_they_are_shown():
    entry = zoo_entry("ff")
    nodes = entry.network.nodes
    sizes, channels, by_hand = 64, 3, 0
    for node in nodes:
        sizes //= node.stride
        by_hand += sizes**2 * node.out_channels * channels * node.kernel**2
        sizes, channels = sizes // (2 if node.pool else 1), node.out_channels
    by_hand += 100 * channels * 4  # the 2 x 2 readout of a 2 x 2 map
    costs = {configured_cost(entry.network, Presentation(steps, on)).macs for steps, on in ((9, 4), (26, 10), (26, 26))}
    assert costs == {by_hand} == {static_pass(entry)}


def test_recurrence_costs_by_the_step_and_what_is_not_asked_for_costs_nothing():
    config = zoo_entry("rgc").network
    short, long = (configured_cost(config, Presentation(steps)).macs for steps in (10, 20))
    assert long > 1.8 * short
    assert configured_cost(config, Presentation(20), ["conv1"]).macs < 0.05 * long
    assert deciding_cost(config, Presentation(20)).macs <= long
    assert describe_zoo_cost("pixels") == {}
    assert describe_zoo_cost("rgc")["macs_steps"] == 26


def test_a_network_that_keeps_nothing_pays_for_every_step():
    conv = nn.Conv2d(3, 4, 3)

    def network(frames, layers):
        return {"conv": torch.stack([conv(frame) for frame in frames], dim=1)}

    cost = network_cost(network, frames_of(16), ["conv"], 4)
    assert cost.macs == 9 * 14 * 14 * 4 * 27
    assert cost.network_units == 14 * 14 * 4


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, entry in ZOO.items() if entry.network is not None])
def test_every_network_of_the_zoo_can_be_counted(name):
    assert configured_cost(zoo_entry(name).network, SHOWN).macs > 0
