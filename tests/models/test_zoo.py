"""The table of networks."""

from dataclasses import replace

import pytest
import torch

from neurofit.errors import DataFileError, UnknownNameError
from neurofit.models.architectures import intermediate_rgc
from neurofit.models.cells import SimpleRNNConfig, TimeDecayConfig
from neurofit.models.decoders import build_decoder
from neurofit.models.gated_cells import GRUConfig, IntersectionRNNConfig, LSTMConfig, UGRNNConfig
from neurofit.models.network import READOUT, ConvRNN, build_nodes, layer_shapes
from neurofit.models.released import RELEASED
from neurofit.models.zoo import MATCHED, ZOO, _published, load_model, zoo_entry

NETWORKS = {name: entry for name, entry in ZOO.items() if entry.network is not None}

# Specification 8.2. It counts a decay for every stage of the time-decay networks; those of cell layers are trained.
PARAMETERS = {
    "timedecay_shallow": 4_197_741, "simplernn_shallow": 6_272_872, "gru_shallow": 25_434_472,
    "lstm_shallow": 21_126_248, "intersectionrnn_shallow": 32_513_384, "ugrnn_shallow": 18_355_560,
    "rgc_shallow": 23_956_840,
    "timedecay_intermediate": 16_403_442, "simplernn_intermediate": 33_512_936, "gru_intermediate": 67_725_032,
    "lstm_intermediate": 84_832_232, "intersectionrnn_intermediate": 84_832_232, "ugrnn_intermediate": 50_617_832,
    "ugrnn_intermediate_t30": 50_617_832, "ugrnn_intermediate_t30_dthresh": 50_617_832,
    "ugrnn_intermediate_t30_tmaxconf": 50_617_832, "rgc_intermediate": 15_445_800,
    "rgc_intermediate_dthresh": 15_445_800, "rgc_intermediate_tmaxconf": 15_445_800,
    "rgc_intermediate_t22_tmaxconf": 15_445_800,
}  # fmt: skip


def parameters_of(config):
    with torch.device("meta"):
        modules = (build_nodes(config), build_decoder(config.decoder, config.classes))
    return [parameter for module in modules for parameter in module.parameters()]


def count(config, trained_only=False):
    return sum(p.numel() for p in parameters_of(config) if p.requires_grad or not trained_only)


@pytest.mark.parametrize("name", RELEASED)
def test_parameters_are_counted_as_in_the_specification(name):
    assert count(ZOO[name].network) == PARAMETERS[name] == RELEASED[name].parameters


@pytest.mark.parametrize(
    ("name", "trained"), [("timedecay_shallow", 4_197_739), ("timedecay_intermediate", 16_403_439)]
)
def test_time_decay_is_trained_in_the_cell_layers_alone(name, trained):
    assert count(ZOO[name].network, trained_only=True) == trained


def test_parameters_of_rgc_intermediate_node_by_node():
    """Specification 8.2."""
    with torch.device("meta"):
        nodes = build_nodes(ZOO["rgc_intermediate"].network)
    feedback = {"conv5": 32_896, "conv6": 196_864, "conv7": 131_328, "conv9": 262_656}
    expected = {
        "conv1": 9_472, "conv2": 73_856, "conv3": 147_584, "conv4": 384_064, "conv5": 384_064, "conv6": 1_118_016,
        "conv7": 1_380_160, "conv8": 1_380_160, "conv9": 4_191_552, "conv10": 5_240_128, READOUT: 513_000,
    }  # fmt: skip
    for name, node in nodes.items():
        of_feedback = [p.numel() for n, p in node.named_parameters() if n.startswith("feedback.")]
        assert sum(of_feedback) == feedback.get(name, 0)
        assert sum(p.numel() for p in node.parameters()) - sum(of_feedback) == expected[name]


@pytest.mark.parametrize(
    ("name", "millions"), [("ff_shallow_128", 4.20), ("rgc_shallow_128", 21.90), ("lstm_shallow_128", 32.52)]
)
def test_parameters_of_the_examples_of_2018(name, millions):
    assert round(count(ZOO[name].network) / 1e6, 2) == millions


@pytest.mark.parametrize("depth", ["shallow", "intermediate"])
@pytest.mark.parametrize("kind", ["wider", "deeper"])
def test_controls_have_the_parameters_of_the_recurrent_network_within_one_percent(depth, kind):
    control, recurrent = ZOO[f"ff_{depth}_{kind}"].network, ZOO[f"rgc_{depth}"].network
    assert count(control) == pytest.approx(count(recurrent), rel=0.01)
    assert all(node.cell is None for node in control.nodes)
    assert (len(control.nodes) > len(recurrent.nodes)) == (kind == "deeper")


@pytest.mark.parametrize("kind", ["wider", "deeper"])
def test_small_controls_have_the_parameters_of_rgc_within_one_percent(kind):
    control = ZOO[f"ff_{kind}_untrained"].network
    assert count(control) == {"wider": 1_789_788, "deeper": 1_783_524}[kind]
    assert count(control) == pytest.approx(count(ZOO["rgc"].network), rel=0.01)
    assert count(ZOO["rgc"].network) == 1_788_948
    assert all(node.cell is None for node in control.nodes)


def test_layers_of_the_small_deeper_control_end_the_stages_of_rgc():
    deeper, rgc = ZOO["ff_deeper_untrained"], ZOO["rgc"]
    assert set(deeper.region_layers) == set(rgc.region_layers)
    for region, layer in rgc.region_layers.items():
        assert deeper.layer_shapes()[deeper.region_layers[region]] == rgc.layer_shapes()[layer]
    seen, expected = (entry.presentation.steps - entry.first_steps()[READOUT] for entry in (deeper, rgc))
    assert seen == expected == 5


@pytest.mark.parametrize(
    ("cell", "config", "parameters"),
    [
        ("timedecay", TimeDecayConfig, 259_097), ("simplernn", SimpleRNNConfig, 794_772), ("gru", GRUConfig, 1_863_540),
        ("lstm", LSTMConfig, 2_398_356), ("ugrnn", UGRNNConfig, 1_328_724),
        ("intersectionrnn", IntersectionRNNConfig, 2_398_356),
    ],
)  # fmt: skip
def test_small_networks_with_every_cell_have_the_stages_of_rgc(cell, config, parameters):
    entry = ZOO[f"{cell}_untrained"]
    assert entry.layer_shapes() == ZOO["rgc"].layer_shapes()
    assert entry.region_layers == ZOO["rgc"].region_layers
    placed = {node.name: type(node.cell) for node in entry.network.nodes if node.cell is not None}
    assert {placed[name] for name in ("conv3", "conv4", "conv5")} == {config}
    assert count(entry.network) == parameters


def test_small_feedback_reaches_the_readout_before_it_is_read():
    """Docstring of `neurofit.models.small`: the image at 5, what 4-3 and 5-4 add at 7, what 5-3 adds at 8."""
    entry = ZOO["rgc_feedback_untrained"]
    assert entry.network == replace(ZOO["rgc"].network, feedback=entry.network.feedback)
    assert count(entry.network) - count(ZOO["rgc"].network) == 64 * (96 + 128 + 1) + 96 * (128 + 1)
    frame = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    seen = {}
    with torch.inference_mode():
        whole = ConvRNN(entry.network, 0)([frame] * entry.presentation.steps, [READOUT])[READOUT][0]
        for edge in entry.network.feedback:
            cut = ConvRNN(entry.network, 0)
            feedback = cut.nodes[edge[1]].feedback
            place = cut.config.wiring().feedback[edge[1]].index(edge[0])
            feedback.conv.weight.split(feedback.source_channels, dim=1)[place].zero_()
            without = cut([frame] * entry.presentation.steps, [READOUT])[READOUT][0]
            seen[edge] = (whole != without).any(1).nonzero()[0].item()
    assert whole.any(1).nonzero()[0].item() == 5
    assert seen == {("conv5", "conv3"): 8, ("conv4", "conv3"): 7, ("conv5", "conv4"): 7}


def test_the_matched_family_is_the_untrained_one_with_weights():
    assert len(MATCHED) == 11
    for name in MATCHED:
        matched, untrained = ZOO[f"{name}_matched"], ZOO[f"{name}_untrained"]
        assert matched.weights == f"{name}_matched.safetensors"
        assert replace(matched, weights=None, summary=untrained.summary) == untrained
        assert "random" not in matched.summary


@pytest.mark.parametrize("name", [name for name, entry in ZOO.items() if entry.weights is not None])
def test_bundled_weights_fill_their_network(name):
    model = load_model(name)
    assert model.details["weights"] == f"{name}.safetensors"
    assert 0 < float(model.details["top1"]) < 1


SMALL_STATE = {
    "conv1.pre.weight": (24, 3, 7, 7), "conv1.pre.bias": (24,),
    "conv2.pre.weight": (48, 24, 3, 3), "conv2.pre.bias": (48,),
    "conv3.pre.weight": (64, 48, 3, 3), "conv3.pre.bias": (64,),
    "conv4.pre.weight": (96, 64, 3, 3), "conv4.pre.bias": (96,),
    "conv5.pre.weight": (128, 96, 3, 3), "conv5.pre.bias": (128,),
    "logits.pre.weight": (100, 128, 2, 2), "logits.pre.bias": (100,),
}  # fmt: skip


@pytest.mark.parametrize("name", ["rgc", "rgc_untrained", "ff", "ff_untrained"])
def test_weights_of_the_bundled_networks_keep_their_names_and_shapes(name):
    expected = {f"nodes.{tensor}": shape for tensor, shape in SMALL_STATE.items()}
    if name.startswith("rgc"):
        for conv, n, r in (("conv3", 64, 48), ("conv4", 96, 64), ("conv5", 128, 96)):
            for part in ("input_to_cell", "cell_tau", "cell_gate", "out_tau", "out_gate"):
                expected[f"nodes.{conv}.cell.{part}.weight"] = (n, n, 3, 3)
            expected[f"nodes.{conv}.cell.residual_to_out_gate.weight"] = (n, r, 3, 3)
    state = ConvRNN(ZOO[name].network, None).state_dict()
    assert {tensor: tuple(value.shape) for tensor, value in state.items()} == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_entries_are_consistent(name):
    entry = NETWORKS[name]
    shapes, first = entry.layer_shapes(), entry.first_steps()
    assert list(shapes) == list(first) == list(entry.network.layers)
    assert list(first.values()) == list(range(len(first)))
    assert shapes[READOUT] == (entry.network.classes,)
    assert set(entry.region_layers) == {"V4", "pIT", "cIT", "aIT", "IT"}
    assert set(entry.region_layers.values()) <= set(shapes)
    assert entry.network.input_px == entry.preprocessing.size_px
    if entry.presentation is not None:
        assert entry.presentation.steps > first[READOUT]
    assert (entry.released is None) == (entry.top1 is None) == (name not in RELEASED)
    assert entry.licence == ("MIT" if entry.released else "BSD-3-Clause")


def test_shapes_of_the_intermediate_networks():
    """Specification 2.2; the maps that are passed on."""
    maps = [56, 56, 56, 28, 28, 14, 7, 7, 7, 4]
    for name, channels in {
        "rgc_intermediate": [64, 128, 128, 128, 128, 256, 256, 256, 512, 512],
        "ugrnn_intermediate": [64, 64, 64, 128, 128, 256, 256, 512, 512, 512],
    }.items():
        shapes = list(ZOO[name].layer_shapes().values())
        assert shapes == [*((n, size, size) for n, size in zip(channels, maps, strict=True)), (1000,)]
    assert ZOO["pixels"].layer_shapes() == {"pixels": (3, 32, 32)}


def test_at_128_px_depthwise_kernels_are_clipped_to_maps_of_4():
    """Specification 2.2 (d)."""
    with torch.device("meta"):
        nodes = build_nodes(intermediate_rgc(input_px=128))
    cells = {name: node.cell for name, node in nodes.items() if hasattr(node.cell, "out_tau")}
    sides = {name: cell.out_tau.depthwise.kernel_size[0] for name, cell in cells.items()}
    assert sides == {"conv4": 7, "conv5": 7, "conv6": 7, "conv7": 7, "conv8": 4, "conv9": 4, "conv10": 4}


def test_shapes_are_those_of_a_forward_pass():
    model = load_model("rgc", random_weights=True)
    frame = torch.zeros(1, 3, 64, 64)
    with torch.inference_mode():
        found = {layer: tuple(value.shape[2:]) for layer, value in model.network([frame]).items()}
    assert found == layer_shapes(model.network.config) == model.entry.layer_shapes()


def test_steps_and_decoders_of_the_released_networks():
    found = {name: (ZOO[name].presentation.steps, ZOO[name].presentation.on, ZOO[name].decoder) for name in RELEASED}
    expected = dict.fromkeys((n for n in RELEASED if n.endswith("_shallow")), (16, 12, "last"))
    expected |= dict.fromkeys((n for n in RELEASED if n.endswith("_intermediate")), (17, 12, "last"))
    expected |= {
        "ugrnn_intermediate_t30": (30, None, "last"),
        "ugrnn_intermediate_t30_dthresh": (30, None, "thresh"),
        "ugrnn_intermediate_t30_tmaxconf": (30, None, "max_conf"),
        "rgc_intermediate_dthresh": (17, 12, "thresh"),
        "rgc_intermediate_tmaxconf": (17, 12, "max_conf"),
        "rgc_intermediate_t22_tmaxconf": (22, None, "max_conf"),
    }
    assert found == expected
    assert ZOO["rgc_intermediate_t12"].presentation.steps == 12
    assert {name: ZOO[name].top1 for name in ("rgc_intermediate", "ugrnn_shallow")} == {
        "rgc_intermediate": 73.0,
        "ugrnn_shallow": 60.82,
    }


def test_released_weights_are_asked_for_until_they_are_fetched(monkeypatch, tmp_path):
    monkeypatch.setenv("NEUROFIT_DATA", str(tmp_path))
    with pytest.raises(DataFileError, match="not fetched yet.* - run `neurofit models fetch timedecay_shallow`"):
        load_model("timedecay_shallow")


def test_published_accuracies_are_said_as_fractions_like_those_of_bundled_weights():
    told = _published(ZOO["rgc_intermediate"])
    assert told["top1"] == "0.7300" and told["trained_on"].startswith("ImageNet")
    assert _published(ZOO["rgc"]) == _published(ZOO["ff_shallow"]) == {}
    assert load_model("rgc").details["top1"] == "0.3130"


def test_random_weights_are_seeded_and_said():
    one, same, other = (load_model("rgc", seed, random_weights=True) for seed in (1, 1, 2))
    assert one.details["weights"] == "random, seed 1"
    assert one.details == same.details
    assert one.details["weights_sha256"] != other.details["weights_sha256"]


def test_an_unknown_network_is_told():
    with pytest.raises(UnknownNameError, match="'rgc_shalow' is not known - use 'rgc_shallow"):
        zoo_entry("rgc_shalow")
