"""What decides the features of a layer, as a document: the key under which a store has them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from neurofit.assembly.time_bins import TimeBins
from neurofit.data import body_plans, rendering
from neurofit.data.stimuli import FolderImages, StimulusSet, ZipImages
from neurofit.errors import OutputError
from neurofit.files.store import FeatureStore
from neurofit.kernel.routes import Basis, FeaturePlan
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.static import StaticCourse
from neurofit.subjects.code_identity import NoIdentityError
from neurofit.subjects.network_identity import identity_of
from neurofit.subjects.viewing import Viewing
from neurofit.vocabulary import CORRELATION

if TYPE_CHECKING:
    from neurofit.subjects.model_subject import ModelSubject

FEATURES_VERSION = 1
"""Of what features are and how chunks hold them: raised with every change that the other parts of a key do not show."""

LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "pillow")
"""Whose releases may change rounding, resizing or a random projection."""

_HASHED: WeakKeyDictionary[StimulusSet, str] = WeakKeyDictionary()
"""What images in files and rendered ones were hashed to in this process; arrays may change under one's hands."""

_SHOWING = ("stream", "frames", "record", "record_many")


def shared_key(
    subject: ModelSubject,
    stimuli: StimulusSet,
    viewing: Viewing,
    time_bins: TimeBins,
    store: FeatureStore,
    threads: int,
) -> dict[str, Any]:
    """Return what the keys of all layers of a recording share.

    Parameters
    ----------
    subject, stimuli, viewing, time_bins
        See `ModelSubject.record_many`.
    store : FeatureStore
        Remembers what rendered pictures hash to.
    threads : int
        Of the CPU's operations.

    Raises
    ------
    NoIdentityError
        If network or preprocessing cannot be told by their content.
    """
    _check_showing(subject)
    on, steps = viewing.steps(subject.step_ms)
    network = subject.network
    course = network.describe() if isinstance(network, StaticCourse) else {"static_mode": "own"}
    return {
        "features_version": FEATURES_VERSION,
        "network": identity_of(network),
        "time_course": course,
        "preprocessing": _settings(subject.preprocessing, Preprocessing),
        "stimuli": {
            "n": len(stimuli),
            "pixels_sha256": pixels_sha256(stimuli, store),
            "size_deg": None if viewing.field_deg is None else stimuli.size_deg,  # unless it is set into a field
        },
        "viewing": {
            **_settings(viewing, Viewing),
            "step_ms": subject.step_ms,
            "delay_ms": subject.delay_ms,
            "on_steps": on,
            "steps": steps,
        },
        "time_bins": [[int(edge) for edge in edges] for edges in time_bins],
        "execution": {**asdict(subject.execution), "batch": subject.batch, **_processor(subject.device, threads)},
        "versions": {name: ".".join(version(name).split(".")[:2]) for name in LIBRARIES},
    }


def layer_key(shared: dict[str, Any], layer: str, plan: FeaturePlan, basis: Basis, random_state: int) -> dict[str, Any]:
    """Return the key of one layer's features.

    Parameters
    ----------
    shared : dict
        Of `shared_key`.
    layer : str
    plan, basis
        How they are kept.
    random_state : int
        Of a projection.
    """
    reduction: dict[str, Any] = {"route": plan.route, "units": plan.units, "columns": plan.columns, "dtype": "float32"}
    if plan.route == "dual" or (plan.route == "projected" and basis == CORRELATION):
        reduction["basis"] = basis
    if plan.route == "projected":
        reduction["random_state"] = random_state
    return {**shared, "layer": layer, "reduction": reduction}


def units_document(shared: dict[str, Any], layer: str) -> dict[str, Any]:
    """Return under what a store remembers how many units a layer has."""
    parts = ("network", "preprocessing", "versions")
    return {"what": "units", "layer": layer, **{part: shared[part] for part in parts}}


def pixels_sha256(stimuli: StimulusSet, store: FeatureStore) -> str:
    """Return a SHA-256 over the pixels of all images in their order, whatever they are called.

    Images in files are read once in a process; what the pictures of neurofit's own renderer hash to is remembered for
    longer, since they are a function of its code and their table.
    """
    unchanging = isinstance(stimuli.images, ZipImages | FolderImages | rendering.RenderedImages)
    if unchanging and stimuli in _HASHED:
        return _HASHED[stimuli]
    source = _rendered(stimuli)
    if source is not None and isinstance(known := store.recall(source), str):
        return known
    digest = hashlib.sha256()
    for row in range(len(stimuli)):
        image = np.ascontiguousarray(stimuli.image(row))
        digest.update(f"{image.shape}{image.dtype}\0".encode())
        digest.update(image.data)
    if source is not None:
        with suppress(OutputError):  # a store that is only read: they are drawn again next time
            store.remember(source, digest.hexdigest())
    if unchanging:
        _HASHED[stimuli] = digest.hexdigest()
    return digest.hexdigest()


def _rendered(stimuli: StimulusSet) -> dict[str, Any] | None:
    """Return what decides the pixels of rendered pictures; None of any other images."""
    images = stimuli.images
    if type(images) is not rendering.RenderedImages:
        return None
    rows = np.arange(len(stimuli)) if stimuli.rows is None else stimuli.rows
    table = images.table.iloc[rows][["object_name", "background_id", *rendering.POSE]]
    code = [hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest() for module in (rendering, body_plans)]
    return {
        "what": "pixels of rendered pictures",
        "table_sha256": hashlib.sha256(table.to_csv(index=False).encode()).hexdigest(),
        "size_px": images.size_px,
        "code": code,
        "versions": {name: version(name) for name in ("numpy", "scipy")},
        "processor": torch.backends.cpu.get_cpu_capability(),
    }


def _settings(thing: Any, kind: type) -> dict[str, Any]:
    """Return the fields of a dataclass of ours; of one that was derived from it, what it does as well."""
    told = asdict(thing)
    return told if type(thing) is kind else {**told, "derived": identity_of(thing)}


def _processor(device: torch.device, threads: int) -> dict[str, Any]:
    """Return what computes: other processors, and other numbers of threads, round otherwise."""
    told: dict[str, Any] = {
        "device": device.type,
        "threads": threads,
        "matmul_precision": torch.get_float32_matmul_precision(),
        "processor": torch.backends.cpu.get_cpu_capability(),
    }
    if device.type == "cuda":
        flags = torch.backends.cudnn
        told |= {
            "processor": torch.cuda.get_device_name(device),
            "cudnn": [bool(flags.enabled), bool(flags.benchmark), bool(flags.deterministic), bool(flags.allow_tf32)],
        }
    return told


def _check_showing(subject: ModelSubject) -> None:
    """Raise if a subject was changed to show its network something else."""
    from neurofit.subjects.model_subject import ModelSubject

    changed: Sequence[str] = [name for name in _SHOWING if name in vars(subject)]
    if type(subject) is not ModelSubject:
        raise NoIdentityError(f"{type(subject).__name__} is derived from ModelSubject and may show something else")
    if changed:
        raise NoIdentityError(f"its {changed[0]} was replaced")
