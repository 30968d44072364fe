"""timm and torchvision through the adapter: with the libraries where they are installed, with stand-ins everywhere."""

import importlib.util
import sys
import warnings
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from neurofit.errors import ConfigurationError, MissingExtraError, UnknownNameError
from neurofit.models.preprocessing import Preprocessing
from neurofit.subjects.model_subject import check_model
from neurofit.subjects.third_party import timm_subject, torchvision_subject

# Schemas that a torchvision built for another torch leaves undeclared, without which it does not import.
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared = []  # a library takes its operators away when it is forgotten


def installed(name):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f'{name} is not installed: pip install "neurofit[{name}]"')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        return importlib.import_module(name)


@pytest.fixture(scope="module")
def torchvision():
    if importlib.util.find_spec("torchvision") is not None and "torchvision" not in sys.modules:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in SCHEMAS:
            if not torch._C._dispatch_has_kernel(f"torchvision::{schema.split('(')[0]}"):
                library.define(schema)
        _declared.append(library)
    return installed("torchvision")


@pytest.fixture(scope="module")
def timm(torchvision):
    return installed("timm")


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (250, 310, 3), dtype=np.uint8)


def close(features, reference):
    return torch.allclose(features, reference, rtol=1e-4, atol=1e-4 * float(reference.abs().max()))


# --- with the libraries


def test_torchvision_nodes_equal_its_own_feature_extraction(torchvision):
    from torchvision.models.feature_extraction import create_feature_extractor

    nodes = {"V4": "layer2", "IT": "layer4.1"}
    subject = torchvision_subject("resnet18", nodes, mode="once", weights=None, seed=3)
    check_model(subject)
    network = subject.network.reader.network
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        own = subject.network([image, torch.zeros_like(image)], ["V4", "IT"])
        reference = create_feature_extractor(network, {node: layer for layer, node in nodes.items()})(image)
    for layer in nodes:
        assert close(own[layer][:, 0], reference[layer])
        assert own[layer][:, 1].abs().sum() == 0


@pytest.mark.parametrize("name", ["alexnet", "resnet50", "efficientnet_b0", "convnext_tiny"])
def test_torchvision_preprocessing_equals_its_transforms(torchvision, picture, name):
    from neurofit.subjects.third_party import _torchvision_preprocessing

    transforms = torchvision.models.get_model_weights(name)["DEFAULT"].transforms()
    frame = _torchvision_preprocessing(transforms)([picture])[0]
    assert torch.allclose(frame, transforms(Image.fromarray(picture)), atol=1e-5)


def test_torchvision_names_are_told(torchvision):
    with pytest.raises(ConfigurationError, match="'resnet8' is not known - use 'resnet18'"):
        torchvision_subject("resnet8", ["layer1"], mode="once", weights=None)
    with pytest.raises(ConfigurationError, match="'IMAGENET1K_V9' is not known - use 'IMAGENET1K_V1'"):
        torchvision_subject("resnet18", ["layer1"], mode="once", weights="IMAGENET1K_V9")
    with pytest.raises(UnknownNameError, match="submodule of ResNet .* 'layer9' is not known - use 'layer"):
        torchvision_subject("resnet18", ["layer9"], mode="once", weights=None)


def test_timm_nodes_equal_its_own_feature_extraction(timm):
    subject = timm_subject("resnet10t", ["layer1", "layer4"], mode="constant", pretrained=False, seed=3)
    check_model(subject)
    network = subject.network.reader.network
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        own = subject.network([image], ["layer1", "layer4"])
        reference = network.forward_intermediates(image, intermediates_only=True)
    assert close(own["layer1"][:, 0], reference[1])
    assert close(own["layer4"][:, 0], reference[4])
    again = timm_subject("resnet10t", ["layer1"], mode="constant", pretrained=False, seed=3)
    assert again.describe()["weights_sha256"] == subject.describe()["weights_sha256"]
    assert again.describe()["weights"] == "random, seed 3"


@pytest.mark.parametrize("name", ["resnet50", "vit_small_patch16_224", "efficientnet_lite0", "tf_efficientnet_b0"])
def test_timm_preprocessing_equals_its_transforms(timm, picture, name):
    from neurofit.subjects.third_party import _timm_preprocessing

    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    transform = timm.data.create_transform(**config, is_training=False)
    frame = _timm_preprocessing(config)([picture])[0]
    assert torch.allclose(frame, transform(Image.fromarray(picture)), atol=1e-5)


def test_timm_names_are_told(timm):
    with pytest.raises(ConfigurationError, match="'resnet5O' is not known - use 'resnet"):
        timm_subject("resnet5O", ["layer1"], mode="once")


# --- with stand-ins for them


class Net(torch.nn.Sequential):
    def __init__(self, tag):
        super().__init__(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(2))
        self.pretrained_cfg = {"architecture": "net", "tag": tag}


CONFIG = {
    "input_size": (3, 16, 16), "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25),
    "interpolation": "bicubic", "crop_pct": 0.8, "crop_mode": "center",
}  # fmt: skip


def stand_in_for_timm(monkeypatch, config):
    stand_in = ModuleType("timm")
    stand_in.__version__ = "1"
    stand_in.is_model = lambda name: name == "net"
    stand_in.list_models = lambda pretrained: ["net"]
    stand_in.create_model = lambda name, pretrained: Net("in1k" if pretrained else None)
    stand_in.data = SimpleNamespace(resolve_model_data_config=lambda network: config)
    monkeypatch.setitem(sys.modules, "timm", stand_in)


def test_a_timm_network_brings_its_own_preprocessing(monkeypatch):
    stand_in_for_timm(monkeypatch, CONFIG)
    state = torch.get_rng_state()
    subject = check_model(timm_subject("net", {"V4": "0"}, mode="once", latency=2, batch=4))
    assert torch.equal(torch.get_rng_state(), state)
    expected = Preprocessing(16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), interpolation="bicubic", resize_px=20)
    assert subject.preprocessing == expected
    assert (subject.name, subject.layers, subject.batch) == ("net", ("V4",), 4)
    told = subject.describe()
    assert (told["library"], told["weights"], told["resize_px"]) == ("timm 1", "net.in1k", 20)
    random = timm_subject("net", ["0"], mode="once", pretrained=False, seed=5).describe()
    assert random["weights"] == "random, seed 5"
    other = timm_subject("net", ["0"], mode="once", preprocessing=Preprocessing(32))
    assert other.preprocessing.size_px == 32


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"crop_mode": "squash", "crop_pct": 1.0}, None), ({"crop_pct": 1.0}, 16), ({"crop_pct": 0.95}, 16)],
)
def test_crops_are_followed(monkeypatch, change, expected):
    stand_in_for_timm(monkeypatch, CONFIG | change)
    assert timm_subject("net", ["0"], mode="once").preprocessing.resize_px == expected


@pytest.mark.parametrize("change", [{"crop_mode": "border"}, {"input_size": (1, 16, 16)}, {"input_size": (3, 16, 24)}])
def test_a_preprocessing_that_cannot_be_followed_is_told(monkeypatch, change):
    stand_in_for_timm(monkeypatch, CONFIG | change)
    with pytest.raises(ConfigurationError, match="timm's is input .* - give a Preprocessing of your own"):
        timm_subject("net", ["0"], mode="once")
    assert timm_subject("net", ["0"], mode="once", preprocessing=Preprocessing(16)).layers == ("0",)


# --- without them


@pytest.mark.parametrize(("name", "make"), [("timm", timm_subject), ("torchvision", torchvision_subject)])
def test_a_missing_library_is_told_with_its_remedy(monkeypatch, name, make):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf'it is not installed - pip install "neurofit\[{name}\]"'):
        make("resnet18", ["layer1"], mode="once")


def test_a_library_that_does_not_fit_its_torch_is_told(monkeypatch, tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        'raise RuntimeError("operator torchvision::nms does not exist")'
    )
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match="RuntimeError: operator torchvision::nms does not exist - install"):
        torchvision_subject("resnet18", ["layer1"], mode="once")
    sys.modules.pop("torchvision", None)
