"""Networks by file: what is written is read again, and what is wrong is told in one sentence."""

import dataclasses
import typing
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurofit.errors import ConfigurationError, DataFileError, NeurofitError, OutputError, UnknownNameError
from neurofit.models.architecture_file import (
    architecture_hash,
    architecture_text,
    check_entry,
    read_architecture,
    without_weights,
    write_architecture,
)
from neurofit.models.cells import SimpleRNNConfig, TimeDecayConfig
from neurofit.models.decoders import DecoderConfig, DecoderKind
from neurofit.models.entry import ZooEntry
from neurofit.models.feedback import FeedbackConfig
from neurofit.models.gated_cells import GRUConfig, IntersectionRNNConfig, LSTMConfig, UGRNNConfig
from neurofit.models.layers import ACTIVATIONS
from neurofit.models.network import READOUT, ConvRNN, NetworkConfig, NodeConfig
from neurofit.models.nodes import CellConfig
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import Presentation
from neurofit.models.reciprocal_gated import PATHS, GateConfig, PathConfig, ReciprocalGatedConfig
from neurofit.models.weights import save_weights
from neurofit.models.zoo import ZOO, load_model, model_name, zoo_entry

# --- what is written is read again


def through_a_file(entry, folder):
    path = folder / "network.toml"
    write_architecture(path, entry)
    return read_architecture(path)


@pytest.mark.parametrize("name", ZOO)
def test_every_entry_of_the_zoo_comes_back_as_it_was(name, tmp_path):
    entry = ZOO[name]
    back = through_a_file(entry, tmp_path)
    assert back == entry
    assert architecture_hash(back) == architecture_hash(entry)


small, odd = st.integers(1, 5), st.sampled_from([1, 3, 5])
number = st.floats(-2, 2, allow_nan=False, width=32)
scale = st.none() | st.floats(0.125, 4)
activation = st.sampled_from(sorted(ACTIVATIONS))
path = st.builds(PathConfig, st.none() | st.integers(1, 4), st.booleans(), st.booleans())
gate = st.builds(
    GateConfig, st.none() | st.integers(1, 4), st.booleans(), st.booleans(), st.sampled_from(["sigmoid", "tanh"]),
    number, number, number,
)  # fmt: skip
paths = st.lists(st.sampled_from(PATHS), unique=True).map(lambda more: tuple(dict.fromkeys(("input_to_cell", *more))))
reciprocal = st.builds(
    ReciprocalGatedConfig, small, odd, gate, gate, path, path, paths, activation, activation, st.booleans(), scale
)
cells = {
    TimeDecayConfig: st.builds(TimeDecayConfig, st.sampled_from(["trained", "fixed", "constant"])),
    SimpleRNNConfig: st.builds(SimpleRNNConfig, small, odd, st.booleans(), st.booleans()),
    LSTMConfig: st.builds(LSTMConfig, small, odd, st.booleans(), st.booleans(), number, scale, number),
    GRUConfig: st.builds(GRUConfig, small, odd, number),
    UGRNNConfig: st.builds(UGRNNConfig, small, odd, number),
    IntersectionRNNConfig: st.builds(IntersectionRNNConfig, small, odd, number),
    ReciprocalGatedConfig: reciprocal,
}


def test_cells_of_every_kind_are_drawn():
    assert set(cells) == set(typing.get_args(CellConfig))


@st.composite
def nodes(draw, place):
    cell = draw(st.none() | st.one_of(*cells.values()))
    channels = cell.channels if isinstance(cell, IntersectionRNNConfig) else draw(small)
    past = isinstance(cell, ReciprocalGatedConfig) and any(each.startswith("residual") for each in cell.paths)
    block = draw(st.booleans())
    entries = ["out", "cell", "input"] if isinstance(cell, ReciprocalGatedConfig) else ["input"]
    feedback = st.builds(FeedbackConfig, odd, st.booleans(), st.sampled_from(entries), activation)
    return NodeConfig(
        f"stage{place}", channels, draw(odd), 1 if block or past else draw(st.integers(1, 2)), cell,
        draw(st.booleans()), draw(st.integers(2, 3)), draw(st.sampled_from(["before", "after", "none"])), block,
        draw(st.booleans()), draw(feedback), draw(scale),
    )  # fmt: skip


@st.composite
def networks(draw):
    chain = tuple(draw(nodes(place)) for place in range(1, draw(st.integers(1, 4)) + 1))
    names = [node.name for node in chain]
    edges = [(source, target) for i, source in enumerate(names) for target in names[: i + 1]]
    kind = draw(st.sampled_from(typing.get_args(DecoderKind)))
    return NetworkConfig(
        chain, 16, draw(st.integers(1, 4)), draw(st.sampled_from(["average", "flatten"])),
        tuple(draw(st.lists(st.sampled_from(edges), unique=True, max_size=3))),
        draw(st.sampled_from(["biological", "deep"])), DecoderConfig(kind, draw(st.booleans()), 3),
    )  # fmt: skip


@st.composite
def entries(draw):
    network = draw(networks())
    layer = st.sampled_from(network.layers)
    text = st.text(st.characters(codec="utf-8"), max_size=12)
    first = network.first_steps()[READOUT]
    steps = draw(st.integers(first + 1, first + 9))
    return ZooEntry(
        draw(text), network, Preprocessing(16, blank=draw(number), resize_px=draw(st.none() | st.just(20))),
        draw(st.dictionaries(st.sampled_from(["V4", "pIT", "IT"]), layer)),
        draw(st.none() | st.builds(Presentation, st.just(steps), st.none() | st.integers(1, steps))),
        weights=draw(st.none() | st.just("its own.safetensors")), step_ms=draw(st.integers(1, 50)),
        top1=draw(st.none() | st.floats(0, 100)), licence=draw(text),
        published_layers=draw(st.dictionaries(st.just("V4"), st.tuples(layer, layer))),
    )  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(entry=entries())
def test_any_entry_comes_back_as_it_was(entry, tmp_path_factory):
    back = through_a_file(entry, tmp_path_factory.mktemp("drawn"))
    assert back == entry
    assert architecture_hash(back) == architecture_hash(entry)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(network=networks())
def test_what_passes_the_checks_runs(network):
    check_entry(ZooEntry("drawn", network, Preprocessing(16), {}))
    frame = torch.zeros(2, 3, 16, 16)
    with torch.inference_mode():
        shapes = {layer: value.shape for layer, value in ConvRNN(network).eval()([frame] * 2).items()}
    assert list(shapes) == list(network.layers) and shapes[READOUT] == (2, 2, network.classes)


def test_a_file_has_every_setting_so_that_no_later_default_changes_it():
    text = architecture_text(ZOO["rgc"])
    for config in (NetworkConfig, NodeConfig, Preprocessing, ReciprocalGatedConfig, GateConfig, FeedbackConfig):
        for setting in dataclasses.fields(config):
            if setting.default is not None and setting.name not in ("cell",):
                assert f"{setting.name} = " in text or f".{setting.name}]" in text, setting.name


def test_what_is_left_out_has_its_default(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'summary = "mine"\npreprocessing = {size_px = 32}\n[network]\ninput_px = 32\nclasses = 10\n'
        'readout = "average"\n'
        '[[network.nodes]]\nname = "conv1"\nchannels = 8\n'
        '[[network.nodes]]\nname = "conv2"\nchannels = 8\ninit_scale = "none"\ncell = {kind = "GRU", channels = 8}\n'
    )
    chain = (NodeConfig("conv1", 8), NodeConfig("conv2", 8, init_scale=None, cell=GRUConfig(8)))
    expected = NetworkConfig(chain, 32, 10, "average")
    assert read_architecture(path) == ZooEntry("mine", expected, Preprocessing(32), {}, licence="not stated")


def test_the_hash_is_of_what_is_computed():
    rgc = ZOO["rgc"]
    same = replace(rgc, summary="other words", weights=None, region_layers={}, presentation=None, licence="")
    other_network = replace(rgc, network=replace(rgc.network, unroll="deep"))
    other_pixels = replace(rgc, preprocessing=replace(rgc.preprocessing, blank=0.0))
    hashes = [architecture_hash(entry) for entry in (rgc, same, other_network, other_pixels, ZOO["pixels"])]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 4
    # 0 and 0.0 are one number, as a file writes one and Python may have the other
    assert architecture_hash(replace(rgc, preprocessing=Preprocessing(64, blank=0))) == hashes[3]


def test_without_weights_nothing_is_left_that_was_measured():
    bare = without_weights(ZOO["rgc_intermediate"])
    assert (bare.weights, bare.released, bare.top1, bare.top5) == (None, None, None, None)
    assert bare.network == ZOO["rgc_intermediate"].network and not bare.published_layers


# --- as a model


def test_a_file_stands_for_a_network_of_random_weights_and_says_so(tmp_path):
    path = tmp_path / "mine.toml"
    write_architecture(path, without_weights(ZOO["rgc"]))
    model = load_model(str(path))
    assert model.name == "mine" == model_name(str(path))
    assert model.details == {
        "architecture": "mine.toml",
        "architecture_sha256": architecture_hash(ZOO["rgc"]),
        "weights": "random, seed 0",
        "weights_sha256": load_model("rgc_untrained").details["weights_sha256"],
    }


def test_its_weights_are_beside_it(tmp_path):
    entry = replace(without_weights(ZOO["ff"]), weights="mine.safetensors")
    write_architecture(tmp_path / "mine.toml", entry)
    with pytest.raises(DataFileError, match=r"weights are a readable safetensors file.*mine\.safetensors"):
        load_model(str(tmp_path / "mine.toml"))
    trained = ConvRNN(ZOO["ff"].network, seed=5)
    save_weights(trained, tmp_path / "mine.safetensors", {"top1": "0.25"}, torch.float32)
    model = load_model(str(tmp_path / "mine.toml"))
    assert (model.details["weights"], model.details["top1"]) == ("mine.safetensors", "0.25")
    assert torch.equal(model.network.nodes["conv1"].pre.weight, trained.nodes["conv1"].pre.weight)


def test_two_files_of_one_stem_are_told_apart(tmp_path):
    models = []
    for folder, name in (("a", "rgc"), ("b", "ff")):
        path = tmp_path / folder / "mine.toml"
        write_architecture(path, without_weights(ZOO[name]))
        models.append(load_model(str(path)))
    assert models[0].name == models[1].name
    assert models[0].details["architecture_sha256"] != models[1].details["architecture_sha256"]


def test_the_pixel_baseline_has_a_file_too(tmp_path):
    write_architecture(tmp_path / "dots.toml", ZOO["pixels"])
    assert load_model(str(tmp_path / "dots.toml")).layers == ("pixels",)


def test_where_it_cannot_be_written_it_is_said(tmp_path):
    with pytest.raises(ConfigurationError, match="let it end in .toml"):
        write_architecture(tmp_path / "mine.json", ZOO["rgc"])
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write_architecture(tmp_path / "file" / "mine.toml", ZOO["rgc"])
    with pytest.raises(ConfigurationError, match="input_px 64"):
        write_architecture(tmp_path / "mine.toml", replace(ZOO["rgc"], preprocessing=Preprocessing(32)))
    assert not (tmp_path / "mine.toml").exists()


# --- what is wrong is told


@pytest.fixture
def text():
    return architecture_text(replace(without_weights(ZOO["rgc_feedback_untrained"]), weights="mine.safetensors"))


def node(**changes):
    """A chain of one node as TOML."""
    table = {"name": '"conv1"', "channels": "8"} | changes
    return "\n[[network.nodes]]\n" + "\n".join(f"{key} = {value}" for key, value in table.items())


HEAD = 'summary = "x"\npreprocessing = {size_px = 16}\n[network]\ninput_px = 16\nreadout = "average"\n'


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("channels = 24", "chanels = 24", r"network\.nodes #1: chanels is not a known key \(the nearest is channels\)"),
        ('kind = "ReciprocalGated"', 'kind = "ReciprocalGate"', "the nearest is 'ReciprocalGated'"),
        ('kind = "ReciprocalGated"', "", r"cell\.kind is missing: one of 'TimeDecay', 'SimpleRNN', 'LSTM'"),
        ('kind = "ReciprocalGated"', "kind = 3", r"cell\.kind is 3, which is not one of"),
        ("cell_channels = 64", "cell_chanels = 64", r"cell\.cell_chanels is not a known key"),
        ('"residual_to_out_gate"]', '"residual_to_gate"]', "'residual_to_gate' is not known"),
        ('cell_activation = "elu"', 'cell_activation = "selu"', "'selu' is not known - use 'elu'"),
        ('activation = "identity"', 'activation = "none"', "'none' is not known"),
        ('readout = "conv"', 'readout = "convolution"', "network.readout is 'convolution'"),
        ('unroll = "biological"', 'unroll = "sideways"', "one of 'biological', 'deep'"),
        ('kind = "last"', 'kind = "first"', "network.decoder.kind is 'first'"),
        ('"conv5", "conv3"', '"conv6", "conv3"', "'conv6' is not known"),
        ('"conv5", "conv3"', '"conv3", "conv5"', "turn it round"),
        ('"conv5", "conv3"', '"conv4", "conv3"', "every feedback edge is there once"),
        ('"conv5", "conv3"', '"conv2", "conv2"', "let it enter the 'input'"),
        ('name = "conv2"', 'name = "conv1"', "every node is there once"),
        ('name = "conv2"', 'name = "logits"', "none of torch's own"),
        ('name = "conv2"', 'name = "keys"', "none of torch's own"),
        ('name = "conv2"', 'name = "conv.2"', "a letter, then"),
        ('V4 = "conv3"', 'V4 = "conv33"', "layer compared with V4.*'conv33' is not known"),
        ('V4 = "conv3"', 'V44 = "conv3"', "'V44' is not known"),
        ("size_px = 64", "size_px = 32", "make them the same"),
        ("steps = 10", "steps = 5", "set steps to 6 or more"),
        ("std = [0.229", "std = [0.0", "are above 0"),
        ("step_ms = 10", "step_ms = 0", "a step takes 1 to 1,000 ms"),
        ("init_scale = 1.0", "init_scale = -1.0", "above 0 and at most"),
        ("init_scale = 1.0", "init_scale = nan", "init_scale is nan"),
        ("stride = 1", "stride = 0", "stride is between 1 and 16"),
        ("pool_kernel = 2", "pool_kernel = -1", "pool_kernel is between"),
        ('weights = "mine', 'released = "rgc_shalow"\nweights = "mine', "'rgc_shalow' is not known"),
        ('weights = "mine', 'released = "rgc_shallow"\nweights = "mine', "leave one of them out"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_in_one_sentence(text, tmp_path, before, after, message):
    assert before in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(ConfigurationError, match=message) as caught:
        zoo_entry(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../mine.safetensors", "/etc/mine.safetensors", "a\\\\b.safetensors", "C:x.safetensors", "mine.pt", "",
             ".safetensors", "..safetensors", "sub/mine.safetensors"],
)  # fmt: skip
def test_weights_stay_beside_the_file(text, tmp_path, name):
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("mine.safetensors", name))
    with pytest.raises(ConfigurationError, match="give its name alone"):
        read_architecture(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD + node(channels="10000000000"), "channels is between 1 and 16,384"),
        (HEAD + node(channels="1" * 5000), "Exceeds the limit"),
        (HEAD + node(channels="0x" + "f" * 5000), "a number of thousands of digits"),
        (HEAD + node(init_scale="1" + "0" * 400), "which is not a finite number"),
        (HEAD + node(kernel="100000"), "kernel is between 1 and 63"),
        (HEAD.replace("16", "1000000"), "network.nodes is missing"),
        (HEAD.replace("16", "1000000") + node(), "size_px is between 4 and 2,048"),
        (HEAD + "classes = 0\n" + node(), "classes is between 1 and"),
        (HEAD + "nodes = []\n", "1 to 200 nodes"),
        (HEAD + "".join(node(name=f'"conv{i}"') for i in range(201)), "this one has 201"),
        (HEAD + "".join(node(name=f'"conv{i}"', channels="16384", kernel="63") for i in range(9)), "1,000,000,000 par"),
        (
            HEAD.replace("16", "2048") + node(channels="16384", kernel="1", pool="false"),
            "at most 100,000,000 units",
        ),
        (HEAD.replace("average", "conv") + "".join(node(name=f'"c{i}"') for i in range(4)), "is 1 x 1"),
        (HEAD + "x = " + "[" * 20000, "is a TOML file in UTF-8"),
        ("\x00", "is a TOML file in UTF-8"),
        ("", "summary is missing"),
        ('summary = "x"\npreprocessing = {size_px = 16}\nnetwork = "pixel"', "the nearest is 'pixels'|'pixels'"),
        (HEAD + node(stride="2", block="true"), "'conv1' has stride 2, and a shortcut"),
        (HEAD + node(stride="2", cell='{kind = "ReciprocalGated", cell_channels = 8}'), "and a residual path"),
        (HEAD + node(cell='"GRU"'), "cell is 'GRU', which is not a table"),
        (HEAD + node(cell='{kind = "IntersectionRNN", channels = 3}'), "."),
    ],
)
def test_hostile_files_are_refused_in_one_sentence(tmp_path, content, message):
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        read_architecture(path)


def test_bytes_that_are_no_text_and_files_that_are_none(tmp_path):
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        zoo_entry(str(tmp_path / "mine.toml"))
    with pytest.raises(DataFileError, match="No such file"):
        zoo_entry(str(tmp_path / "yours.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(DataFileError):
        zoo_entry(str(tmp_path / "folder.toml"))
    (tmp_path / "large.toml").write_bytes(b"# \n" * 500_000)
    with pytest.raises(DataFileError, match="at most 1,048,576 bytes"):
        zoo_entry(str(tmp_path / "large.toml"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_with_a_line_changed_is_read_or_refused(text, tmp_path, data):
    lines = text.splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    values = ["-1", "0", "3", "1e9", '"x"', "[]", "{}", "true", "9223372036854775808", '"none"', '[["conv5", "conv1"]]']
    lines[place] = f"{lines[place].partition('=')[0]}= {data.draw(st.sampled_from(values))}"
    (tmp_path / "mine.toml").write_text("\n".join(lines))
    try:
        entry = read_architecture(tmp_path / "mine.toml")
    except NeurofitError:
        return
    check_entry(entry)


def test_unknown_names_stay_unknown_names():
    with pytest.raises(UnknownNameError):
        zoo_entry("mine")
