"""Networks of timm and torchvision as subjects.

This is the one module that imports the two libraries, when a function is called: `pip install "neurofit[timm]"` or
`"neurofit[torchvision]"`. They download weights themselves; neurofit opens no file of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import torch

from neurofit.errors import ConfigurationError, MissingExtraError, nearest_names
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.static import StaticMode
from neurofit.subjects.model_subject import ModelSubject
from neurofit.subjects.static import static_subject

if TYPE_CHECKING:
    from neurofit.models.node_features import Nodes

Library = Literal["timm", "torchvision"]


def timm_subject(
    name: str,
    nodes: Nodes,
    *,
    mode: StaticMode,
    pretrained: bool = True,
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
    **options: Any,
) -> ModelSubject:
    """Return a network of timm as a subject.

    Parameters
    ----------
    name : str
        As timm names it, such as 'resnet50.a1_in1k'.
    nodes, mode
        See `static_subject`.
    pretrained : bool
        Whether timm loads its published weights, from its cache or the network; otherwise they are random.
    seed : int
        Of random weights.
    preprocessing : Preprocessing, optional
        By default what timm publishes with the weights: size, crop, interpolation, mean and deviation.
    **options
        Of `static_subject` and `ModelSubject`.

    Raises
    ------
    MissingExtraError
        If timm is not installed or cannot be imported.
    ConfigurationError
        If timm has no such network, or publishes a preprocessing that cannot be followed.
    UnknownNameError
        See `static_subject`.
    """
    timm = _library("timm")
    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models(pretrained=pretrained), "timm.list_models()")
    with _seeded(seed):
        network = timm.create_model(name, pretrained=pretrained)
    config = timm.data.resolve_model_data_config(network)
    tag = network.pretrained_cfg.get("tag") if pretrained else None
    weights = f"{network.pretrained_cfg['architecture']}.{tag}" if tag else "published"
    details = {"library": f"timm {timm.__version__}", "weights": weights if pretrained else f"random, seed {seed}"}
    return static_subject(
        network, nodes, name=name, mode=mode, preprocessing=preprocessing or _timm_preprocessing(config),
        details=details, **options,
    )  # fmt: skip


def torchvision_subject(
    name: str,
    nodes: Nodes,
    *,
    mode: StaticMode,
    weights: str | None = "DEFAULT",
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
    **options: Any,
) -> ModelSubject:
    """Return a classification network of torchvision as a subject.

    Parameters
    ----------
    name : str
        As torchvision names it, such as 'resnet50'.
    nodes, mode
        See `static_subject`.
    weights : str or None
        Name of published weights, such as 'IMAGENET1K_V1', which torchvision loads from its cache or the network;
        'DEFAULT' are its best, None is random ones.
    seed : int
        Of random weights.
    preprocessing : Preprocessing, optional
        By default what torchvision publishes with the weights (with the default ones, where there are none).
    **options
        Of `static_subject` and `ModelSubject`.

    Raises
    ------
    MissingExtraError
        If torchvision is not installed or cannot be imported.
    ConfigurationError
        If torchvision has no such network or weights, or publishes a preprocessing that cannot be followed.
    UnknownNameError
        See `static_subject`.
    """
    torchvision = _library("torchvision")
    models = torchvision.models
    known = models.list_models(module=models)
    if name not in known:
        raise _unknown("torchvision", name, known, "torchvision.models.list_models()")
    published = models.get_model_weights(name)
    if weights is not None and weights not in published.__members__:
        raise _unknown("torchvision", weights, list(published.__members__), f"the weights of '{name}'")
    chosen = None if weights is None else published[weights]
    with _seeded(seed):
        network = models.get_model(name, weights=chosen)
    transforms = (chosen or published["DEFAULT"]).transforms()
    details = {
        "library": f"torchvision {torchvision.__version__}",
        "weights": f"random, seed {seed}" if chosen is None else str(chosen),
    }
    return static_subject(
        network, nodes, name=name, mode=mode, preprocessing=preprocessing or _torchvision_preprocessing(transforms),
        details=details, **options,
    )  # fmt: skip


def _library(name: Library) -> ModuleType:
    """Return the library, or say how to get it."""
    try:
        return import_module("timm") if name == "timm" else import_module("torchvision")
    except ModuleNotFoundError as error:
        if error.name == name:
            raise MissingExtraError(
                f"networks of {name} need {name}", "it is not installed", f'pip install "neurofit[{name}]"'
            ) from error
        raise _broken(name, error) from error
    except (ImportError, RuntimeError) as error:  # torchvision raises the latter where it does not fit its torch
        raise _broken(name, error) from error


def _broken(name: Library, error: Exception) -> MissingExtraError:
    return MissingExtraError(
        f"networks of {name} need {name}",
        f"importing it ended in {type(error).__name__}: {' '.join(str(error).split())}",
        f"install releases of {name} and torch ({torch.__version__} is here) that belong together",
    )


def _unknown(library: Library, name: str, known: Sequence[str], listing: str) -> ConfigurationError:
    near = " or ".join(f"'{n}'" for n in nearest_names(name, known))
    return ConfigurationError(
        f"a network and its weights are named as {library} names them",
        f"'{name}' is not known",
        f"use {near}" if near else f"see {listing}",
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let libraries that draw from torch's global generator draw from a seed, and leave the generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _timm_preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """Return what timm's evaluation does (timm.data.create_transform)."""
    channels, height, width = config["input_size"]
    crop, mode = config["crop_pct"], config["crop_mode"]
    whole = mode == "squash" and crop == 1
    if (channels, height) != (3, width) or not (mode == "center" or whole):
        raise _unfollowed("timm", f"input {config['input_size']}, crop '{mode}' of {crop}")
    return Preprocessing(
        height, tuple(config["mean"]), tuple(config["std"]), interpolation=config["interpolation"],
        resize_px=None if whole else math.floor(height / crop),
    )  # fmt: skip


def _torchvision_preprocessing(transforms: Any) -> Preprocessing:
    """Return what torchvision's transforms of a classification network do."""
    if type(transforms).__name__ != "ImageClassification" or len(transforms.crop_size) != 1:
        raise _unfollowed("torchvision", " ".join(str(transforms).split()))
    return Preprocessing(
        transforms.crop_size[0], tuple(transforms.mean), tuple(transforms.std),
        interpolation=transforms.interpolation.value, resize_px=transforms.resize_size[0],
    )  # fmt: skip


def _unfollowed(library: Library, found: str) -> ConfigurationError:
    return ConfigurationError(
        "a published preprocessing resizes, cuts a square out of the centre and normalises",
        f"{library}'s is {found}",
        "give a Preprocessing of your own",
    )
