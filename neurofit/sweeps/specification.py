"""What a sweep is to score: a TOML file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Literal

from neurofit.files.sizes import size_in_bytes
from neurofit.files.toml_schema import Rule, read_toml
from neurofit.models.execution import NetworkPrecision
from neurofit.models.static_modes import ChosenMode
from neurofit.scoring.benchmark import Benchmark, Positive, Regression, Temporal, benchmark_named
from neurofit.scoring.metrics import MetricKind
from neurofit.subjects.features import FeatureChoice

COMMITTED, ALL = "committed", "all"

_NOT_EMPTY = Rule("one or more", lambda values: len(values) > 0)
_DISTINCT = Rule("distinct", lambda values: len(set(values)) == len(values))
_ABOVE_0 = Rule("above 0", lambda value: value > 0)


@dataclass(frozen=True)
class Variations:
    """Choices of a benchmark that are tried; what has several values multiplies. The empty ones stay as they are.

    Each is an option of ``neurofit score`` by the same name; `bin_ms` is the width of time bins.
    """

    metric: tuple[MetricKind, ...] = ()
    regression: tuple[Regression, ...] = ()
    mapping: tuple[Temporal, ...] = ()
    components: tuple[Positive, ...] = ()
    splits: tuple[Positive, ...] = ()
    halvings: tuple[Positive, ...] = ()
    formula: tuple[str, ...] = ()
    static_mode: tuple[ChosenMode, ...] = ()
    bin_ms: tuple[Positive, ...] = ()

    def choices(self) -> Iterator[dict[str, object]]:
        """Yield every combination, as options by name."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name)}
        for values in itertools.product(*given.values()):
            yield dict(zip(given, values, strict=True))


@dataclass(frozen=True)
class RunSettings:
    """How each score is computed.

    Parameters
    ----------
    device, batch, precision, channels_last, features, mapping_device, memory, store
        Options of ``neurofit score`` by the same name; `memory` is that of one process. No `store` is what
        NEUROFIT_STORE says.
    threads : int
        Of a network's operations on the CPU and of linear algebra: other numbers round otherwise, so it is the same
        wherever a sweep runs, and not what a machine has. Splits are mapped in parallel beside it.
    data : str, optional
        Folder of fetched datasets.
    resources : mapping of str to number, optional
        What a Dask worker must offer; by default ``{GPU = 1}`` if device or mapping device is a GPU, else nothing.
    """

    device: str | None = None
    batch: Positive | None = None
    precision: NetworkPrecision = "float32"
    channels_last: bool = False
    features: FeatureChoice = "auto"
    mapping_device: str = "cpu"
    memory: str = "8GiB"
    threads: Positive = 1
    store: str | None = None
    data: str | None = None
    resources: dict[str, Annotated[float, _ABOVE_0]] | None = None

    def needed_resources(self) -> dict[str, float]:
        """Return what a worker must offer."""
        if self.resources is not None:
            return dict(self.resources)
        gpu = any((place or "").startswith(("cuda", "mps")) for place in (self.device, self.mapping_device))
        return {"GPU": 1.0} if gpu else {}


@dataclass(frozen=True)
class SweepSpec:
    """A sweep: every model on every benchmark, in every variation, at every layer.

    Parameters
    ----------
    models : tuple of str
        As after ``neurofit score --model``.
    regions, benchmarks : tuple of str
        Benchmarks by name or file, each for its own region, or for all of `regions`; without any, the embedded
        (simulated) benchmark of each region.
    layers : 'committed', 'all', or tuple of str
        Layers of every model that has them; by default the one that a model commits to the region.
    vary : tuple of Variations
        Each adds its combinations; without any, benchmarks are as they are.
    run : RunSettings
    """

    models: Annotated[tuple[str, ...], _NOT_EMPTY, _DISTINCT]
    regions: Annotated[tuple[str, ...], _DISTINCT] = ()
    benchmarks: Annotated[tuple[str, ...], _DISTINCT] = ()
    layers: Literal["committed", "all"] | Annotated[tuple[str, ...], _NOT_EMPTY, _DISTINCT] = COMMITTED  # type: ignore[assignment]
    vary: tuple[Variations, ...] = ()
    run: RunSettings = field(default_factory=RunSettings)

    def cross_problems(self) -> Iterator[str]:
        """Yield what is wrong between keys."""
        if not self.regions and not self.benchmarks:
            yield 'regions and benchmarks are both missing: add regions = ["IT"]'

    def varied_benchmarks(self) -> list[tuple[Benchmark, dict[str, object]]]:
        """Return every benchmark in every variation, with the options that made it; each once.

        Raises
        ------
        NeurofitError
            If there is no such benchmark, or a choice does not belong to it.
        """
        found: dict[str, tuple[Benchmark, dict[str, object]]] = {}
        for benchmark in self._benchmarks():
            for options in itertools.chain.from_iterable(v.choices() for v in self.vary or (Variations(),)):
                each = vary(benchmark, options)
                found.setdefault(f"{each.stem()}\0{each.region}", (each, options))
        return list(found.values())

    def _benchmarks(self) -> list[Benchmark]:
        if not self.benchmarks:
            return [benchmark_named(None, region).varied(region=region) for region in self.regions]
        named = [benchmark_named(name, None) for name in self.benchmarks]
        return [each.varied(region=region) for each in named for region in self.regions or (None,)]


def vary(benchmark: Benchmark, options: dict[str, object]) -> Benchmark:
    """Return a benchmark with the options of one combination; see `Variations`."""
    from neurofit.scoring.formulas import formula_named

    chosen = dict(options)
    width = chosen.pop("bin_ms", None)
    if isinstance(formula := chosen.get("formula"), str):
        formula_named(formula)
    named = {"mapping": "temporal", "components": "n_components", "splits": "n_splits", "halvings": "n_halvings"}
    varied = benchmark.varied(**{named.get(name, name): value for name, value in chosen.items()})  # type: ignore[arg-type]
    if width is not None:
        varied = replace(varied, time_bins=replace(varied.time_bins, width_ms=int(str(width))))
        varied.time_bins.bins()  # raises where the window is no multiple of it
    return varied.named_as_varied_from(benchmark)


def load_sweep(path: str | Path) -> SweepSpec:
    """Read a sweep from a TOML file.

    Raises
    ------
    DataFileError
        If it cannot be read.
    ConfigurationError
        Naming every wrong key.
    """
    spec = read_toml(path, SweepSpec, what="sweep")
    size_in_bytes(spec.run.memory)
    return spec
