"""Model subjects by name."""

from __future__ import annotations

from collections.abc import Callable

from neurofit.errors import ConfigurationError, UnknownNameError, listed
from neurofit.models.execution import Execution
from neurofit.models.zoo import ZOO, load_model
from neurofit.subjects.features import FeatureOptions
from neurofit.subjects.generating import NAME as SIMULATED_TRUTH
from neurofit.subjects.generating import GeneratingSubject
from neurofit.subjects.model_subject import ModelSubject
from neurofit.subjects.user_code import load_user_subject, names_user_code

LoadedSubject = ModelSubject | GeneratingSubject


def list_subjects() -> list[str]:
    """Return the names of the models that can be loaded; 'sim_truth' is SIMULATED ground truth, not a network."""
    return [*ZOO, SIMULATED_TRUTH]


def load_subject(
    name: str,
    *,
    device: str | None = None,
    batch: int | None = None,
    delay_ms: int | None = None,
    max_features: int | None = None,
    features: FeatureOptions | None = None,
    announce: Callable[[str], object] | None = None,
    execution: Execution | None = None,
) -> LoadedSubject:
    """Return a model of the zoo, or a user's own, as a subject.

    Parameters
    ----------
    name : str
        Of the zoo, or the path of an architecture file, which ends in '.toml' (see
        `neurofit.models.architecture_file`), or 'package.module:factory' or 'path/to/file.py:factory', where
        ``factory()`` returns a `ModelSubject`. 'sim_truth' is the simulated ventral stream itself (see
        `GeneratingSubject`), which no option concerns.
    device, batch, delay_ms, max_features, features, announce, execution
        See `ModelSubject`; its defaults for models of the zoo, and what the factory chose for others.

    Raises
    ------
    UnknownNameError
        With the nearest names.
    DataFileError
        If its weights are broken or missing.
    ConfigurationError, ModelContractError
        If an architecture file is wrong, or a user's own model cannot be made; see
        `neurofit.subjects.user_code.load_user_subject`.
    """
    if name == SIMULATED_TRUTH:
        return GeneratingSubject()
    subject = load_user_subject(name) if names_user_code(name) else _zoo_subject(name)
    return configured(
        subject, device=device, batch=batch, delay_ms=delay_ms, max_features=max_features, features=features,
        announce=announce, execution=execution,
    )  # fmt: skip


def configured(
    subject: LoadedSubject,
    *,
    device: str | None = None,
    batch: int | None = None,
    delay_ms: int | None = None,
    max_features: int | None = None,
    features: FeatureOptions | None = None,
    announce: Callable[[str], object] | None = None,
    execution: Execution | None = None,
) -> LoadedSubject:
    """Change how a subject is run, in place, and return it; see `load_subject`."""
    if isinstance(subject, GeneratingSubject):
        return subject
    chosen = {
        "batch": batch, "delay_ms": delay_ms, "max_features": max_features, "features": features, "announce": announce
    }  # fmt: skip
    for option, value in chosen.items():
        if value is not None:
            setattr(subject, option, value)
    if device is not None or execution is not None:
        subject.place(str(subject.device) if device is None else device, execution or subject.execution)
    return subject


def _zoo_subject(name: str) -> ModelSubject:
    model = load_model(name)
    return ModelSubject(
        model.network,
        name=model.name,
        layers=model.layers,
        preprocessing=model.entry.preprocessing,
        step_ms=model.entry.step_ms,
        details=model.details,
        region_layers=model.entry.region_layers,
    )


def committed_layer(subject: LoadedSubject, region: str) -> str:
    """Return the layer that a subject is compared with a region at, where the user names none; the only one it has.

    Raises
    ------
    ConfigurationError
        If the subject commits no layers at all.
    UnknownNameError
        If it commits none to this region.
    """
    layers = subject.region_layers
    if len(subject.layers) == 1:
        return subject.layers[0]
    if not layers:
        raise ConfigurationError(
            "a score needs a layer",
            f"'{subject.name}' commits none to {region} or any region",
            f"add --layer: {listed(subject.layers, 12)}",
        )
    if region not in layers:
        raise UnknownNameError(
            f"region with a committed layer of '{subject.name}' (others need --layer)", region, layers
        )
    return layers[region]
