"""A user's own network as one that is trained, whatever it returns; and the weights of either kind on disk."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_model
from torch import Tensor, nn

from neurofit.errors import ConfigurationError, ModelContractError, NeurofitError
from neurofit.files.atomic import atomic_path, reporting_output_errors
from neurofit.models.architecture_file import without_weights, write_architecture
from neurofit.models.bptt import WHOLE, Backward
from neurofit.models.entry import ZooEntry
from neurofit.models.network import READOUT, NetworkConfig
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import Presentation
from neurofit.models.weights import save_weights

NetworkKind = Literal["layers", "frames", "images"]

KINDS: dict[NetworkKind, str] = {
    "layers": f"network(frames, ['{READOUT}'])['{READOUT}'] -> (B, T, classes)",
    "frames": "network(frames) -> (B, T, classes), or T of (B, classes)",
    "images": "network(images) -> (B, classes)",
}
"""How a user's network is called to be trained."""

STEPS_AFTER_ARRIVAL = 5
"""Steps from the first with an answer to the readout, where nothing says how long a network is shown an image; as in
the small networks of the zoo, whose readout at index 9 first sees the image at 5 (their presentation has 10 steps)."""

DEFAULT_PX, DEFAULT_PRESENTATION = 64, Presentation(10)
"""What a user's network is shown that says nothing of it, as the small networks of the zoo are."""


@dataclass(frozen=True)
class OwnConfig:
    """What training asks of a user's network's configuration, as `NetworkConfig` has it.

    Parameters
    ----------
    input_px : int
    classes : int
    """

    input_px: int
    classes: int


class OwnNetwork(nn.Module):
    """A user's network that decides by its scores at the last step.

    Parameters
    ----------
    network : torch.nn.Module
    kind : str
        How it is called, see `KINDS`. An 'images' network sees the first frame.
    config : OwnConfig
    """

    def __init__(self, network: nn.Module, kind: NetworkKind, config: OwnConfig) -> None:
        super().__init__()
        self.network, self.kind, self.config = network, kind, config

    def decide(self, frames: Sequence[Tensor], backward: Backward = WHOLE) -> Tensor:
        """Return class scores (B, classes) after T frames (B, 3, H, W).

        Raises
        ------
        ConfigurationError
            If gradients are to go back in another way than through all steps with everything kept, which is ours to
            arrange in networks of ours alone.
        """
        if backward != WHOLE:
            raise ConfigurationError(
                "gradients are truncated or checkpointed in neurofit's own networks",
                f"{type(self.network).__name__} is another",
                "arrange it in the network (detach, torch.utils.checkpoint), and leave these settings out",
            )
        return last_scores(_called(self.network, self.kind, frames), self.kind)


@dataclass(frozen=True)
class TrainableModel:
    """A network that is trained, and what it is shown.

    Parameters
    ----------
    name : str
        What its files are called.
    network : torch.nn.Module
        Has ``decide(frames)``, from T frames (B, 3, H, W) to class scores (B, classes).
    preprocessing : Preprocessing
    presentation : Presentation
    classes : int
    entry : ZooEntry or None
        Of neurofit's own networks, with so many classes; None of others.
    """

    name: str
    network: nn.Module
    preprocessing: Preprocessing
    presentation: Presentation
    classes: int
    entry: ZooEntry | None = None

    def save(
        self,
        folder: Path,
        details: Mapping[str, str],
        network: nn.Module | None = None,
        dtype: torch.dtype | None = None,
    ) -> dict[str, Path]:
        """Write the weights and, of neurofit's own networks, the architecture file that stands for both together.

        Parameters
        ----------
        folder : Path
        details : mapping from str to str
            Kept in the file of weights.
        network : torch.nn.Module, optional
            Has the weights; by default the one that was trained.
        dtype : torch.dtype, optional
            Of neurofit's own networks, half precision by default (see `neurofit.models.weights.save_weights`); a user's
            own keep the one they have.

        Returns
        -------
        dict from str to Path
            'weights', and 'architecture', which is scored by ``--model`` with its path.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        network = self.network if network is None else network
        weights = folder / f"{self.name}.safetensors"
        if self.entry is None:
            save_own_weights(network, weights, details)
            return {"weights": weights}
        save_weights(network, weights, details, dtype or torch.float16)
        path = folder / f"{self.name}.toml"
        trained = replace(without_weights(self.entry), weights=weights.name, presentation=self.presentation)
        write_architecture(path, trained)
        return {"weights": weights, "architecture": path}


def with_classes(config: NetworkConfig, classes: int) -> NetworkConfig:
    """Return a network whose readout has another number of classes, its decoder too.

    Raises
    ------
    ConfigurationError
        If there are not two.
    """
    if classes < 2:
        raise ConfigurationError("recognition is of two classes or more", f"got {classes}", "name other images")
    return replace(config, classes=classes)


def own_presentation(config: NetworkConfig) -> Presentation:
    """Return with which presentation a network is trained that comes without one: see `STEPS_AFTER_ARRIVAL`."""
    return Presentation(config.first_steps()[READOUT] + STEPS_AFTER_ARRIVAL)


def own_network(
    network: nn.Module, preprocessing: Preprocessing, presentation: Presentation, layers: Sequence[str] | None = None
) -> OwnNetwork:
    """Find out how a user's network is called, by calling it, and return it so that it can be trained.

    Parameters
    ----------
    network : torch.nn.Module
        Run twice at most, on three random images, in evaluation mode; see `KINDS`.
    preprocessing : Preprocessing
    presentation : Presentation
    layers : sequence of str, optional
        What it can be asked for, where that is known.

    Raises
    ------
    ModelContractError
        If it has nothing to train, takes neither frames nor images, or returns something else than finite scores.
    """
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ModelContractError(
            "a network that is trained has parameters", f"{type(network).__name__} has none", "add nn.Parameters"
        )
    if layers is not None and READOUT not in layers:
        raise ModelContractError(
            f"a network that is trained has a layer '{READOUT}' of class scores",
            f"{type(network).__name__} has {', '.join(layers)}",
            "add it, or let the factory return a network that returns class scores",
        )
    count = 2 if presentation.steps == 3 else 3  # images and steps have to differ, or nobody could tell them apart
    images = torch.rand(count, 3, preprocessing.size_px, preprocessing.size_px, generator=torch.Generator())
    frames = presentation.frames(images, preprocessing.blank)
    kind, scores = _tried(network, frames, layers is not None)
    if scores.ndim != 2 or len(scores) != len(images) or not bool(torch.isfinite(scores).all()):
        raise ModelContractError(
            f"class scores are finite, (batch {len(images)}, classes) at the last step",
            f"{type(network).__name__} returned {tuple(scores.shape)}, called as {KINDS[kind]}",
            "return class scores",
        )
    if scores.shape[1] < 2:
        raise ModelContractError("recognition is of two classes or more", "the network scores one", "widen its output")
    return OwnNetwork(network, kind, OwnConfig(preprocessing.size_px, scores.shape[1]))


def save_own_weights(network: nn.Module, path: Path, details: Mapping[str, str]) -> None:
    """Write the state of a user's network as it is, for ``safetensors.torch.load_model(network, path)``.

    Parameters
    ----------
    network : torch.nn.Module
        Wrapped as an `OwnNetwork` or not: names are those of the user's own module.
    path : Path
    details : mapping from str to str

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    own = network.network if isinstance(network, OwnNetwork) else network
    with reporting_output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part:
            save_model(own, str(part), metadata=dict(details))
            part.chmod(0o644)  # readable by others, as any file that is written


def last_scores(returned: object, kind: NetworkKind) -> Tensor:
    """Return the scores (B, classes) at the last step of what a user's network returned.

    Raises
    ------
    ModelContractError
        If it is something else than its kind returns.
    """
    value = returned
    if kind == "layers" and isinstance(value, Mapping):
        value = value.get(READOUT)
    if kind != "images" and isinstance(value, Tensor) and value.ndim == 3:
        return value[:, -1]
    if kind == "frames" and isinstance(value, list | tuple) and value and isinstance(value[-1], Tensor):
        return value[-1]
    if kind == "images" and isinstance(value, Tensor):
        return value
    found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    raise ModelContractError(
        f"a network that is trained returns class scores: {KINDS[kind]}", f"it returned {found}", "return them so"
    )


def _called(network: Callable[..., object], kind: NetworkKind, frames: Sequence[Tensor]) -> object:
    if kind == "images":
        return network(frames[0])
    return network(list(frames), [READOUT]) if kind == "layers" else network(list(frames))


def _tried(network: nn.Module, frames: Sequence[Tensor], asks_layers: bool) -> tuple[NetworkKind, Tensor]:
    """Return in which way a network can be called, and its scores."""
    asks_layers = asks_layers or "layers" in _parameters(network)
    kinds: tuple[NetworkKind, ...] = ("layers",) if asks_layers else ("frames", "images")
    problems: list[str] = []
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():  # not inference mode, whose tensors could never be trained
            for kind in kinds:
                try:
                    return kind, last_scores(_called(network, kind, frames), kind)
                except NeurofitError as error:
                    problems.append(f"{kind}: {error.found}")
                except Exception as error:  # the user's code, tried in one of two ways
                    text = " ".join(str(error).split())
                    problems.append(f"{kind}: {type(error).__name__}: {text[:160]}")
    finally:
        for module, mode in training.items():
            module.training = mode
    raise ModelContractError(
        f"a network that is trained is called in one of these ways: {'; '.join(KINDS[kind] for kind in kinds)}",
        f"{type(network).__name__} failed with {', and with '.join(problems)}",
        "mend it, or let it return class scores",
    )


def _parameters(network: nn.Module) -> Collection[str]:
    """Return the names of what a network is called with; none where Python cannot tell."""
    try:
        return inspect.signature(network.forward).parameters
    except (TypeError, ValueError):  # scripted modules
        return ()
