import pytest
import torch
from torch import nn

from neurofit.errors import ModelContractError, UnknownNameError
from neurofit.models.node_features import NodeFeatures


class Chain(nn.Module):
    """Three maps in a row; counts how far it gets, and changes its first map in place as torchvision's AlexNet does."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.head = nn.Linear(16, 5)
        self.unused = nn.Linear(16, 5)
        self.finished = 0

    def forward(self, x):
        y = self.head(self.pool(self.block(x)).flatten(1))
        self.finished += 1
        return y


class Odd(nn.Module):
    """Shares a module between two places, and has one that returns two tensors and one that mixes up the images."""

    def __init__(self):
        super().__init__()
        self.relu, self.pair, self.windows = nn.ReLU(), Pair(), Windows()

    def forward(self, x):
        return self.windows(self.pair(self.relu(self.relu(x)))[0])


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Windows(nn.Module):
    def forward(self, x):
        return x.reshape(2 * len(x), -1)


@pytest.fixture
def images():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def hooks_of(network):
    return [name for name, part in network.named_modules() if part._forward_hooks]


def test_features_are_what_the_submodules_return(images):
    network = Chain()
    features = NodeFeatures(network, {"V4": "block.0", "IT": "head"})(images, ["V4", "IT"])
    assert list(features) == ["V4", "IT"]
    assert torch.equal(features["V4"], network.block[0](images))  # not what the ReLU in place made of it
    assert features["V4"].min() < 0
    assert torch.equal(features["IT"], network(images))
    assert hooks_of(network) == []


def test_names_alone_name_the_layers_too(images):
    reader = NodeFeatures(Chain(), ["block.1", "head"])
    assert reader.layers == ("block.1", "head")
    assert list(reader(images, ["block.1"])) == ["block.1"]


def test_a_proven_network_is_left_after_the_last_node(images):
    network = Chain()
    reader = NodeFeatures(network, ["block.0", "pool"])
    first = reader(images, ["block.0", "pool"])
    assert network.finished == 1  # to the end: a node might have been reached again
    second = reader(images, ["pool", "block.0"])
    assert network.finished == 1
    assert {name: value.tolist() for name, value in first.items()} == {n: v.tolist() for n, v in second.items()}
    assert hooks_of(network) == []


@pytest.mark.parametrize(
    ("network", "node", "message"),
    [
        (Chain(), "unused", "Chain never calls 'unused' - name a submodule that the network calls itself"),
        (Odd(), "relu", "'relu' is reached 2 times - name the block around it"),
        (Odd(), "pair", r"one tensor \(images 2, ...\) - 'pair' returns tuple"),
        (Odd(), "windows", r"'windows' returns a tensor \(4, 96\)"),
    ],
)
def test_a_node_that_breaks_its_promise_is_named(images, network, node, message):
    with pytest.raises(ModelContractError, match=message):
        NodeFeatures(network, {"layer": node})(images, ["layer"])
    assert hooks_of(network) == []


def test_hooks_are_gone_after_an_error_of_the_network(images):
    network = Chain()
    with pytest.raises(RuntimeError, match="channels"):
        NodeFeatures(network, ["block"])(images[:, :2], ["block"])
    assert hooks_of(network) == []


def test_unknown_names_are_told(images):
    with pytest.raises(UnknownNameError, match=r"submodule of Chain .* 'block.3' is not known - use 'block.1' or"):
        NodeFeatures(Chain(), {"V4": "block.3"})
    with pytest.raises(UnknownNameError, match="'xyz' is not known - use one of block, head, pool, unused"):
        NodeFeatures(Chain(), ["xyz"])
    with pytest.raises(UnknownNameError, match="layer .* 'V3' is not known"):
        NodeFeatures(Chain(), {"V4": "block"})(images, ["V3"])
