"""Networks to be trained, by name: of the zoo, of an architecture file, or a user's own by where its code is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from torch import nn

from neurofit.errors import ConfigurationError, ModelContractError
from neurofit.models.architecture_file import check_entry
from neurofit.models.entry import ZooEntry
from neurofit.models.network import ConvRNN, NetworkConfig
from neurofit.models.node_features import NodeFeatures
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import Presentation
from neurofit.models.static import StaticNetwork
from neurofit.models.trainable import (
    DEFAULT_PRESENTATION,
    DEFAULT_PX,
    TrainableModel,
    own_network,
    own_presentation,
    with_classes,
)
from neurofit.models.zoo import model_name, zoo_entry
from neurofit.subjects.model_subject import ModelSubject
from neurofit.subjects.user_code import MARK, load_user_object, names_user_code

Setting = TypeVar("Setting", Preprocessing, Presentation)


def load_trainable(name: str, classes: int | None = None, seed: int = 0) -> TrainableModel:
    """Return a network with its initial weights, and what it is shown.

    Parameters
    ----------
    name : str
        Of the zoo; the path of an architecture file (.toml); or 'package.module:factory' or 'path/to/file.py:factory',
        where ``factory()`` returns a `ZooEntry`, a `NetworkConfig`, a `torch.nn.Module` or a `ModelSubject`. A module
        is called in one of the ways of `neurofit.models.trainable.KINDS`, and may say by attributes `preprocessing`
        (`Preprocessing`) and `presentation` (`Presentation`) what it is shown: frames of 64 px and 10 steps by default,
        an image network one. Of a `ModelSubject` the network is trained: a static one as it is wrapped, any other by
        its layer 'logits'.
    classes : int, optional
        So many the readout of a neurofit network gets; a user's own module has to have them. As it is by default.
    seed : int
        Of the initial weights of a neurofit network; a user's own module has those that it was made with.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    DataFileError
        If an architecture file cannot be read.
    ConfigurationError
        If the network has nothing to train, or not so many classes.
    ModelContractError
        If a user's factory or network fails, or returns something else.
    """
    if not names_user_code(name):
        return _configured(model_name(name), zoo_entry(name), classes, seed)
    model = load_user_object(name, lambda _, made: _accepted(name, made, classes, seed))
    if classes is not None and model.classes != classes:
        raise ConfigurationError(
            "a network has as many outputs as the images have classes",
            f"{name} has {model.classes}, and they have {classes}",
            "widen its output, or name other images",
        )
    return model


def _configured(name: str, entry: ZooEntry, classes: int | None, seed: int) -> TrainableModel:
    """Return a network of neurofit's own."""
    if entry.network is None:
        raise ConfigurationError("a network with parameters is trained", f"'{name}' has none", "name another model")
    config = entry.network if classes is None else with_classes(entry.network, classes)
    presentation = entry.presentation or own_presentation(config)
    return TrainableModel(
        name=name,
        network=ConvRNN(config, seed),
        preprocessing=entry.preprocessing,
        presentation=presentation,
        classes=config.classes,
        entry=ZooEntry(
            entry.summary, config, entry.preprocessing, entry.region_layers, presentation, step_ms=entry.step_ms
        ),
    )


def _accepted(name: str, made: object, classes: int | None, seed: int) -> TrainableModel:
    """Return what a factory made as a network to be trained."""
    called = name.rpartition(MARK)[2]
    if isinstance(made, NetworkConfig):
        made = ZooEntry(Path(name).name, made, Preprocessing(made.input_px), {})
    if isinstance(made, ZooEntry):
        check_entry(made)
        return _configured(called, made, classes, seed)
    if isinstance(made, ModelSubject):
        return _of_subject(made)
    if isinstance(made, nn.Module):
        return _of_module(called, made)
    raise ModelContractError(
        "the factory of a network that is trained returns a torch.nn.Module, NetworkConfig, ZooEntry or ModelSubject",
        f"{name} returned {type(made).__name__}",
        "return one of these",
    )


def _of_module(name: str, network: nn.Module) -> TrainableModel:
    preprocessing = _attribute(network, "preprocessing", Preprocessing(DEFAULT_PX))
    presentation = _attribute(network, "presentation", DEFAULT_PRESENTATION)
    own = own_network(network, preprocessing, presentation)
    shown = Presentation(1) if own.kind == "images" else presentation
    return TrainableModel(name, own, preprocessing, shown, own.config.classes)


def _of_subject(subject: ModelSubject) -> TrainableModel:
    network, preprocessing = subject.network, subject.preprocessing
    if isinstance(network, ConvRNN):
        made = ZooEntry(subject.name, network.config, preprocessing, subject.region_layers, step_ms=subject.step_ms)
        check_entry(made)
        return replace(_configured(subject.name, made, None, 0), network=network)
    if isinstance(network, StaticNetwork) and isinstance(network.reader, NodeFeatures):
        own = own_network(network.reader.network, preprocessing, Presentation(1))
        return TrainableModel(subject.name, own, preprocessing, Presentation(1), own.config.classes)
    presentation = _attribute(network, "presentation", DEFAULT_PRESENTATION)
    own = own_network(network, preprocessing, presentation, subject.layers)
    return TrainableModel(subject.name, own, preprocessing, presentation, own.config.classes)


def _attribute(network: nn.Module, name: str, default: Setting) -> Setting:
    """Return what a user's network says of what it is shown; a part of it that is called so says nothing."""
    given = getattr(network, name, default)
    if isinstance(given, nn.Module):
        return default
    if not isinstance(given, type(default)):
        raise ModelContractError(
            f"the attribute '{name}' of a network that is trained is a {type(default).__name__}",
            f"{type(network).__name__} has {type(given).__name__} there",
            "make it one, or call it otherwise",
        )
    return given
