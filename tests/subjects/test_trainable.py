"""Networks to be trained: of the zoo, of a file, and users' own in all the shapes that they come in."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_model as load_own_weights
from torch import nn

from neurofit.errors import ConfigurationError, DataFileError, ModelContractError, UnknownNameError
from neurofit.models.architecture_file import without_weights, write_architecture
from neurofit.models.bptt import Backward
from neurofit.models.network import READOUT, ConvRNN
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import Presentation
from neurofit.models.trainable import OwnNetwork, own_network, save_own_weights, with_classes
from neurofit.models.zoo import ZOO
from neurofit.models.zoo import load_model as load_zoo_model
from neurofit.subjects.library import load_subject
from neurofit.subjects.trainable import load_trainable

CODE = '''
import dataclasses

import torch
import neurofit as nf
from neurofit.models.entry import ZooEntry
from neurofit.models.network import NetworkConfig, NodeConfig
from neurofit.models.presentation import Presentation
from neurofit.subjects.static import static_subject


class Recurrent(torch.nn.Module):
    """Scores at each step."""

    def __init__(self, classes=7):
        super().__init__()
        self.preprocessing, self.presentation = nf.Preprocessing(12), Presentation(4)
        self.read, self.dropout = torch.nn.Linear(3, classes), torch.nn.Dropout(0.5)
        self.shown = []

    def forward(self, frames):
        state, scores = 0.0, []
        self.shown.append((len(frames), tuple(frames[0].shape)))
        for frame in frames:
            state = 0.5 * state + frame.mean((2, 3))
            scores.append(self.read(self.dropout(state)))
        return self.together(scores)

    def together(self, scores):
        return torch.stack(scores, dim=1)


class Listing(Recurrent):
    def together(self, scores):
        return scores


class Contract(Recurrent):
    """As `ModelSubject` asks for."""

    def forward(self, frames, layers):
        return {"logits": super().forward(frames)}


def classifier():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, 2), torch.nn.BatchNorm2d(4), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(4, 5),
    )


def config():
    return NetworkConfig((NodeConfig("conv1", 4, 3, 2), NodeConfig("conv2", 5)), 16, 3, "average")


def entry():
    return ZooEntry("mine", config(), nf.Preprocessing(16), {"IT": "conv2"}, Presentation(6))


def impossible():
    return dataclasses.replace(entry(), preprocessing=nf.Preprocessing(32))


def static():
    pixels = nf.Preprocessing(24)
    return static_subject(classifier(), {"conv": "0"}, name="still", preprocessing=pixels, mode="once")


def temporal():
    return nf.ModelSubject(Contract(), name="moving", layers=["logits"], preprocessing=nf.Preprocessing(12))


def headless():
    return nf.ModelSubject(Contract(), name="moving", layers=["conv"], preprocessing=nf.Preprocessing(12))


def parameterless():
    return torch.nn.Flatten()


class Wrong(Recurrent):
    def together(self, scores):
        return {"scores": scores}


class Torn(Recurrent):
    def forward(self, frames):
        raise ValueError("the gears are stuck")


class NotANumber(Recurrent):
    def together(self, scores):
        return torch.stack(scores, dim=1) * float("nan")


class Misnamed(Recurrent):
    def __init__(self):
        super().__init__()
        self.preprocessing = 64


def nothing():
    return None
'''


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A folder with a user's networks, which is the current one."""
    (tmp_path / "mine.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("neurofit_user_mine", None)


def named(factory):
    return f"mine.py:{factory}"


# --- neurofit's own


def test_a_network_of_the_zoo_is_trained_from_its_initial_weights():
    model = load_trainable("ff", seed=3)
    assert (model.name, model.classes, model.presentation) == ("ff", 100, Presentation(10))
    assert isinstance(model.network, ConvRNN) and model.network.config == ZOO["ff"].network
    expected = load_zoo_model("ff", seed=3, random_weights=True).network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.network.state_dict().items())
    assert model.entry.weights is None and model.entry.region_layers == ZOO["ff"].region_layers


def test_its_readout_has_as_many_classes_as_the_images():
    model = load_trainable("ff", classes=7)
    assert model.classes == model.network.config.classes == model.entry.network.classes == 7
    assert model.network.decide([torch.zeros(2, 3, 64, 64)] * 10).shape == (2, 7)
    assert replace(model.network.config, classes=100) == ZOO["ff"].network
    with pytest.raises(ConfigurationError, match="two classes or more"):
        with_classes(ZOO["ff"].network, 1)


def test_where_nothing_says_how_long_an_image_is_shown_five_steps_are_read():
    assert ZOO["ff_shallow_128"].presentation is None
    model = load_trainable("ff_shallow_128", classes=2)
    assert model.presentation == Presentation(model.entry.first_steps()[READOUT] + 5) == Presentation(10)


def test_the_pixels_have_nothing_to_train():
    with pytest.raises(ConfigurationError, match="'pixels' has none"):
        load_trainable("pixels")
    with pytest.raises(UnknownNameError):
        load_trainable("rgcc")


def test_what_was_trained_is_scored_by_the_file_that_was_written(tmp_path):
    source = tmp_path / "variant.toml"
    write_architecture(source, without_weights(ZOO["ff"]))
    model = load_trainable(str(source), classes=3, seed=9)
    written = model.save(tmp_path / "run", {"top1": "0.5"})
    assert sorted(path.name for path in written.values()) == ["variant.safetensors", "variant.toml"]
    subject = load_subject(str(written["architecture"]))
    assert (subject.name, subject.details["weights"], subject.details["top1"]) == (
        "variant", "variant.safetensors", "0.5",
    )  # fmt: skip
    kept = subject.network.state_dict()
    assert all(torch.equal(value.half().float(), kept[name]) for name, value in model.network.state_dict().items())
    assert subject.region_layers == ZOO["ff"].region_layers


def test_a_missing_file_is_told():
    with pytest.raises(DataFileError, match="No such file"):
        load_trainable("none.toml")


# --- users' own


@pytest.mark.parametrize(
    ("factory", "kind", "size_px", "steps", "classes"),
    [
        ("Recurrent", "frames", 12, 4, 7),
        ("Listing", "frames", 12, 4, 7),
        ("Contract", "layers", 12, 4, 7),
        ("classifier", "images", 64, 1, 5),
        ("static", "images", 24, 1, 5),
        ("temporal", "layers", 12, 4, 7),
    ],
)
def test_a_module_is_called_as_it_wants_to_be(code, factory, kind, size_px, steps, classes):
    model = load_trainable(named(factory))
    own = model.network
    assert isinstance(own, OwnNetwork) and own.kind == kind
    assert (model.preprocessing.size_px, model.presentation.steps, model.classes) == (size_px, steps, classes)
    assert (own.config.input_px, own.config.classes) == (size_px, classes)
    assert model.name == {"static": "still", "temporal": "moving"}.get(factory, factory) and model.entry is None
    images = torch.randn(2, 3, size_px, size_px, generator=torch.Generator().manual_seed(0))
    own.eval()
    scores = own.decide(model.presentation.frames(images))
    assert scores.shape == (2, classes)
    scores.sum().backward()
    assert all(parameter.grad is not None for parameter in own.parameters())
    if kind == "images":
        assert torch.equal(scores, own.network(images))


def test_the_last_step_decides_and_the_mode_is_left_as_it_was(code):
    own = load_trainable(named("Recurrent")).network
    assert own.training and own.network.dropout.training
    own.eval()
    frames = [torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(t)) for t in range(4)]
    assert torch.equal(own.decide(frames), own.network(frames)[:, -1])
    # tried on as many frames as it will be shown, with another number of images
    assert own.network.shown[0] == (4, (3, 3, 12, 12))


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_steps_before_images_are_the_wrong_way_round(steps):
    class StepsFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.read = nn.Linear(3, 5)

        def forward(self, frames):
            return torch.stack([self.read(frame.mean((2, 3))) for frame in frames])

    with pytest.raises(ModelContractError, match=r"class scores are finite, \(batch \d, classes\) at the last step"):
        own_network(StepsFirst(), Preprocessing(8), Presentation(steps))


@pytest.mark.parametrize(("factory", "region_layers", "steps"), [("config", {}, 7), ("entry", {"IT": "conv2"}, 6)])
def test_a_network_of_neurofit_may_come_from_a_factory(code, factory, region_layers, steps):
    model = load_trainable(named(factory), classes=9, seed=2)
    assert (model.name, model.classes, model.presentation.steps) == (factory, 9, steps)
    assert model.entry.region_layers == region_layers
    assert isinstance(model.network, ConvRNN)
    assert load_subject(str(model.save(code / "run", {})["architecture"])).network.config == model.network.config


def test_the_weights_of_a_users_module_are_loaded_into_it_again(code):
    model = load_trainable(named("classifier"))
    written = model.save(code / "run", {"top1": "0.25"})
    assert set(written) == {"weights"}
    with safe_open(str(written["weights"]), framework="pt") as file:
        assert file.metadata()["top1"] == "0.25"
        assert set(file.keys()) == set(model.network.network.state_dict())
    other = load_trainable(named("classifier")).network.network
    load_own_weights(other, str(written["weights"]))
    for name, value in model.network.network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]) and value.dtype == other.state_dict()[name].dtype


def test_tied_weights_are_kept_once(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 48), nn.Linear(48, 48))
    network[2].weight = network[1].weight
    own = own_network(network, Preprocessing(4), Presentation(1))
    save_own_weights(own, tmp_path / "tied.safetensors", {})
    with torch.no_grad():
        expected = network[1].weight.clone()
        network[1].weight.zero_()
    load_own_weights(network, str(tmp_path / "tied.safetensors"))
    assert torch.equal(network[2].weight, expected)


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        ("parameterless", ModelContractError, "Flatten has none"),
        ("headless", ModelContractError, "a layer 'logits' of class scores - Contract has conv"),
        ("Wrong", ModelContractError, "Wrong failed with frames: it returned dict, and with images: "),
        ("Torn", ModelContractError, "ValueError: the gears are stuck"),
        ("NotANumber", ModelContractError, "class scores are finite"),
        ("Misnamed", ModelContractError, "'preprocessing' of a network that is trained is a Preprocessing"),
        ("nothing", ModelContractError, "returned NoneType"),
        ("impossible", ConfigurationError, "make them the same"),
        ("absent", UnknownNameError, "'absent' is not known"),
    ],
)
def test_what_cannot_be_trained_is_told(code, factory, error, message):
    with pytest.raises(error, match=message):
        load_trainable(named(factory))


def test_a_users_module_has_the_classes_of_the_images(code):
    assert load_trainable(named("classifier"), classes=5).classes == 5
    with pytest.raises(ConfigurationError, match="mine.py:classifier has 5, and they have 100"):
        load_trainable(named("classifier"), classes=100)


def test_gradients_of_a_users_module_go_all_the_way_back(code):
    own = load_trainable(named("Recurrent")).network
    frames = [torch.zeros(1, 3, 12, 12)] * 4
    assert own.decide(frames, Backward()).shape == (1, 7)
    with pytest.raises(ConfigurationError, match="in neurofit's own networks - Recurrent is another"):
        own.decide(frames, Backward(truncate=2))


def test_details_are_text(code):
    written = load_trainable(named("config")).save(code / "run", {"command": json.dumps({"a": 1})})
    assert load_subject(str(written["architecture"])).details["command"] == '{"a": 1}'
