"""The cells of a sweep: one model at one layer on one benchmark in one variation, each with a key of its content."""

from __future__ import annotations

import gc
import hashlib
import platform
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import neurofit
from neurofit.errors import NeurofitError, UnknownNameError
from neurofit.files.manifest import load_manifest
from neurofit.files.stems import slug
from neurofit.files.store import canonical, store_folder
from neurofit.scoring.benchmark import Benchmark
from neurofit.subjects.library import LoadedSubject, committed_layer
from neurofit.sweeps.specification import ALL, COMMITTED, RunSettings, SweepSpec

UNRESOLVED = ""
"""Stands for the layer of a model that could not be loaded."""

VERSIONS = ("numpy", "scipy", "scikit-learn", "torch")
"""Packages whose releases may round otherwise; all processes of a sweep have the same."""

_NO_MATTER = ("memory", "store", "data", "resources")
"""Settings that change no number, or none that a record does not tell."""

_LONGEST_STEM = 150  # file systems allow 255 bytes, and a temporary name is longer


@dataclass(frozen=True)
class Cell:
    """One score of a sweep.

    Parameters
    ----------
    model : str
        As the sweep names it.
    layer : str
    benchmark : Benchmark
    options : mapping
        What of the benchmark is varied.
    identity : str
        What decides the model's activations, hashed.
    run : RunSettings
    versions : mapping from package to version
    folder : str
        From which relative paths are read.
    problem : str
        Why it cannot be scored at all; empty if nothing is known against it.
    trace : str
        Where that was found.
    dataset : mapping
        The manifest of the benchmark's data.
    """

    model: str
    layer: str
    benchmark: Benchmark
    options: dict[str, object]
    identity: str
    run: RunSettings
    versions: dict[str, str]
    folder: str
    problem: str = ""
    trace: str = ""
    dataset: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """The hash of all that decides the score: a cell whose record has it is finished."""
        settings = {name: value for name, value in asdict(self.run).items() if name not in _NO_MATTER}
        document = {
            "model": self.model,
            "identity": self.identity,
            "layer": self.layer,
            "benchmark": asdict(self.benchmark),
            "dataset": self.dataset,
            "run": settings,
            "versions": {name: self.versions[name] for name in ("neurofit", *VERSIONS)},
        }
        return hashlib.sha256(canonical(document).encode()).hexdigest()

    @property
    def stem(self) -> str:
        """What its files are called."""
        name = Path(self.model.rpartition(":")[0] or self.model).stem if "/" in self.model else self.model
        text = slug(name, self.layer or "model", self.benchmark.region, self.benchmark.stem())
        return f"{text[:_LONGEST_STEM]}-{self.key[:12]}"

    @property
    def place(self) -> tuple[str, str]:
        """What it reads: cells of one place follow each other, so that it is loaded once."""
        return f"{self.benchmark.dataset}\0{self.benchmark.region}\0{self.benchmark.time_bins}", self.model

    def __str__(self) -> str:
        name = self.benchmark.name.removesuffix(" (varied)")
        options = "".join(f", {option} {value}" for option, value in self.options.items())
        return f"{' '.join(filter(None, (self.model, self.layer)))} on {name} ({self.benchmark.region}{options})"


def versions() -> dict[str, str]:
    """Return the versions that all processes of a sweep must share."""
    return {
        "neurofit": neurofit.__version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: version(name) for name in VERSIONS},
    }


def cells_of(spec: SweepSpec, announce: Callable[[str], object] = lambda _: None) -> list[Cell]:
    """Return the cells of a sweep in the order of its table: models, benchmarks, layers.

    Every model is loaded once, to see its layers and what it is. One that cannot be loaded has one cell a benchmark,
    which says why.

    Parameters
    ----------
    spec : SweepSpec
    announce : callable
        Told of each model before it is loaded.

    Raises
    ------
    NeurofitError
        If a benchmark does not exist, or a variation does not belong to it.
    """
    run = replace(spec.run, store=_stored(spec.run.store), data=_absolute(spec.run.data))
    shared: dict[str, Any] = {"run": run, "versions": versions(), "folder": str(Path.cwd())}
    varied = spec.varied_benchmarks()
    datasets = {b.dataset: asdict(load_manifest(b.dataset)) for b, _ in varied}
    cells = []
    for model in spec.models:
        announce(model)
        facts = _facts(model)
        for benchmark, options in varied:
            for layer, problem in _layers(facts, benchmark, spec.layers):
                cells.append(
                    Cell(model, layer, benchmark, options, facts.identity, problem=problem, trace=facts.trace,
                         dataset=datasets[benchmark.dataset], **shared)
                )  # fmt: skip
    return cells


@dataclass(frozen=True)
class _Facts:
    """What is known of a model without keeping it."""

    name: str
    layers: tuple[str, ...] = ()
    region_layers: dict[str, str] = field(default_factory=dict)
    identity: str = ""
    problem: str = ""
    trace: str = ""


def _facts(model: str) -> _Facts:
    from neurofit.subjects.library import load_subject

    try:
        subject = load_subject(model)
        return _Facts(
            subject.name, tuple(subject.layers), dict(subject.region_layers or {}), subject_identity(subject, model)
        )
    except NeurofitError as error:
        return _Facts(model, problem=str(error), trace=traceback.format_exc())
    except Exception as error:  # a user's own code may raise anything, and other models do not suffer from it
        said = " ".join(str(error).split())[:300]
        return _Facts(model, problem=f"{type(error).__name__}: {said}", trace=traceback.format_exc())
    finally:
        gc.collect()


def _layers(facts: _Facts, benchmark: Benchmark, wanted: str | tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the layers of a model on a benchmark, and what is against each."""
    if facts.problem:
        yield UNRESOLVED, facts.problem
    elif wanted == ALL:
        yield from ((layer, "") for layer in facts.layers)
    elif wanted == COMMITTED:
        try:
            yield committed_layer(facts, benchmark.region), ""  # type: ignore[arg-type]
        except NeurofitError as error:
            yield UNRESOLVED, str(error)
    else:
        for layer in wanted:
            known = layer in facts.layers
            yield layer, "" if known else str(UnknownNameError(f"layer of '{facts.name}'", layer, facts.layers))


def subject_identity(subject: LoadedSubject, model: str) -> str:
    """Return a hash of what decides a subject's activations: weights, structure and code, or a file's bytes."""
    from neurofit.subjects.model_subject import ModelSubject
    from neurofit.subjects.network_identity import NoIdentityError, identity_of
    from neurofit.subjects.subject import weights_of

    told: dict[str, Any] = {"name": subject.name, "layers": list(subject.layers)}
    if isinstance(subject, ModelSubject):
        told |= {"step_ms": subject.step_ms, "delay_ms": subject.delay_ms, "preprocessing": repr(subject.preprocessing)}
        try:
            told["network"] = identity_of(subject.network)
        except NoIdentityError:
            told["network"] = weights_of(subject)  # its code is then known by its file alone
    path = Path(model.rpartition(":")[0] or model)
    if path.is_file():
        told["file"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashlib.sha256(canonical(told).encode()).hexdigest()


def _stored(store: str | None) -> str | None:
    """Return the store's folder as this machine's environment has it, so that workers use the same."""
    folder = store_folder(store)
    return None if folder is None else str(folder.absolute())


def _absolute(folder: str | None) -> str | None:
    return None if folder is None else str(Path(folder).expanduser().absolute())
