"""A benchmark: everything that decides a score except the subject, frozen and versioned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from neurofit.assembly.time_bins import make_time_bins
from neurofit.errors import ConfigurationError, UnknownNameError
from neurofit.files.json_text import plain_values
from neurofit.files.resources import list_resources
from neurofit.files.toml_schema import Rule, read_toml
from neurofit.kernel.arrays import Precision
from neurofit.kernel.ridge import DEFAULT_ALPHAS
from neurofit.kernel.routes import Basis
from neurofit.mapping.estimators import PLSMapping, RidgeMapping
from neurofit.mapping.splitters import BrainScoreSplit, StimulusShuffleSplit
from neurofit.models.static_modes import OWN, SEQUENCE_MODES, ChosenMode
from neurofit.scoring.formulas import FORMULAS
from neurofit.scoring.metrics import PREDICTIVITY, MetricKind, MetricSpec
from neurofit.subjects.viewing import Viewing

Positive = Annotated[int, Rule("positive", lambda n: n > 0)]
Regression = Literal["pls", "ridge"]
Temporal = Literal["per-bin", "fixed"]
Order = Literal["splits-then-neuroids", "neuroids-then-splits"]

DEFAULT_BENCHMARKS = {"V4": "sim-v4", "IT": "sim-it", "pIT": "sim-it", "aIT": "sim-it"}
"""The embedded, simulated benchmark of each region."""

_VARIED = " (varied)"


@dataclass(frozen=True)
class TimeBinSpec:
    """Bins of `width_ms` filling [start_ms, end_ms)."""

    start_ms: int
    end_ms: int
    width_ms: Positive

    def bins(self) -> list[tuple[int, int]]:
        """Return the (start, end) of every bin in ms."""
        return make_time_bins(self.start_ms, self.end_ms, self.width_ms)


@dataclass(frozen=True)
class ViewingSpec:
    """How the subject is shown the stimuli; see `neurofit.Viewing`."""

    on_ms: Positive = 100
    total_ms: Positive = 260
    field_deg: float | None = None

    def viewing(self) -> Viewing:
        """Return the viewing."""
        return Viewing(self.on_ms, self.total_ms, self.field_deg)


@dataclass(frozen=True)
class StaticSpec:
    """What subjects without dynamics of their own do in time; see `scoring.time_course`.

    `mode` 'own': as they do by themselves. The others lay out a network's features (`neurofit.models.static`), with
    responses from `latency_ms` after onset on, and the sequence of `layers` in 'uniform' and 'graded'; the defaults of
    both are in `neurofit.subjects.time_course.in_static_mode`. Subjects with dynamics of their own stay as they are.
    """

    mode: ChosenMode = "own"
    latency_ms: Annotated[int, Rule("0 or more", lambda n: n >= 0)] | None = None
    layers: tuple[str, ...] | None = None

    def cross_problems(self) -> Iterator[str]:
        """Yield what does not belong to the mode."""
        if self.mode == OWN and self.latency_ms is not None:
            yield f"latency_ms is not for mode '{OWN}'"
        if self.mode not in SEQUENCE_MODES and self.layers is not None:
            yield f"layers is for the modes '{SEQUENCE_MODES[0]}' and '{SEQUENCE_MODES[1]}', not for '{self.mode}'"

    def in_mode(self, mode: ChosenMode | None) -> StaticSpec:
        """Return another mode with its defaults; itself if it is in this mode."""
        return self if mode in (None, self.mode) else StaticSpec(mode or "own")


@dataclass(frozen=True)
class MappingSpec:
    """Which regression maps source to target, with one fit per bin or one for all.

    `pls` has `n_components` (25) and `scale` (spec of the papers, 6.1 and 6.2), and may compute in a `precision` of
    'float32', which takes half the time and changes r by some 1e-5. `ridge` has `alphas` to choose from
    for every neuroid and `relative_alphas`, whether they are multiplied by the total variance of the features (see
    `kernel.ridge`).
    """

    kind: Regression = "pls"
    n_components: Positive | None = None
    scale: bool = False
    precision: Precision = "float64"
    alphas: tuple[Annotated[float, Rule("positive", lambda x: x > 0)], ...] | None = None
    relative_alphas: bool | None = None
    temporal: Temporal = "per-bin"

    def __post_init__(self) -> None:
        """Write defaults out, so that a record holds them; only those of the regression that is meant."""
        if self.kind == "pls":
            defaults: dict[str, object] = {"n_components": PLSMapping().n_components}
        else:
            defaults = {"alphas": DEFAULT_ALPHAS, "relative_alphas": RidgeMapping().relative_alphas}
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)

    def cross_problems(self) -> Iterator[str]:
        """Yield what belongs to the other regression, and an empty list of penalties."""
        strangers = ("alphas", "relative_alphas") if self.kind == "pls" else ("n_components",)
        yield from (f"{name} is not for kind '{self.kind}'" for name in strangers if getattr(self, name) is not None)
        for name, default in (("scale", False), ("precision", "float64")):
            if self.kind == "ridge" and getattr(self, name) != default:
                yield f"{name} is not for kind 'ridge'"
        if self.alphas == ():
            yield "alphas is empty"

    def estimator(self) -> PLSMapping | RidgeMapping:
        """Return the unfitted mapping."""
        if self.kind == "pls":
            k = self.n_components or PLSMapping().n_components
            return PLSMapping(k, scale=self.scale, precision=self.precision)
        alphas = None if self.alphas == DEFAULT_ALPHAS else self.alphas  # a shorter name
        return RidgeMapping(alphas, relative_alphas=self.relative_alphas is not False)

    def of_kind(self, kind: Regression) -> MappingSpec:
        """Return another regression with its defaults for the same bins; itself if it is of this kind."""
        return self if kind == self.kind else MappingSpec(kind, temporal=self.temporal)

    def basis(self) -> Basis:
        """Return what features may be for the same predictions: unscaled, regressions see inner products only."""
        if self.scale:
            return "units"
        return "per-bin" if self.temporal == "per-bin" else "shared"


@dataclass(frozen=True)
class SplitSpec:
    """Ten splits with a quarter of the stimuli held out, stratified by object (neuroailab/streams @ 0570ab1).

    `brain-score` is Brain-Score's: StratifiedShuffleSplit over rows, train_size .9, random_state 1.
    """

    kind: Literal["stimulus-shuffle", "brain-score"] = "stimulus-shuffle"
    n_splits: Positive = 10
    test_size: Annotated[float, Rule("between 0 and 1", lambda x: 0 < x < 1)] = 0.25
    random_state: int = 0
    stratify: str | None = None

    def splitter(self) -> StimulusShuffleSplit | BrainScoreSplit:
        """Return the scikit-learn splitter."""
        kind = BrainScoreSplit if self.kind == "brain-score" else StimulusShuffleSplit
        return kind(n_splits=self.n_splits, test_size=self.test_size, random_state=self.random_state)


@dataclass(frozen=True)
class CorrectionSpec:
    """Which noise correction; see `scoring.formulas`.

    `threshold` is the least consistency of a neuroid x bin that is corrected at all; below it is NaN and counted.
    """

    formula: Literal[tuple(FORMULAS)] = "both"  # type: ignore[valid-type]
    n_halvings: Positive = 10
    threshold: Annotated[float, Rule("in [0, 1)", lambda x: 0 <= x < 1)] = 0.1
    random_state: int = 0


@dataclass(frozen=True)
class AggregationSpec:
    """How the table becomes one number.

    `splits-then-neuroids` (the ConvRNN papers): mean over splits and halvings, then median over neuroids.
    `neuroids-then-splits` (Brain-Score): median over neuroids of each split, then mean over splits.
    The headline is the mean over the bins inside `window_ms`.
    """

    order: Order = "splits-then-neuroids"
    window_ms: tuple[int, int] = (70, 170)
    n_resamples: Positive = 1000
    level: Annotated[float, Rule("between 0 and 1", lambda x: 0 < x < 1)] = 0.95


@dataclass(frozen=True)
class Benchmark:
    """A neural benchmark.

    Parameters
    ----------
    name, title, version
        Scores compare only within one name and version.
    dataset : str
        Name of a data manifest.
    region : str
        Region or subregion of the dataset.
    time_bins, viewing, static, metric, mapping, splits, correction, aggregation
        See each.
    source : str
        Where its choices come from.
    """

    name: str
    title: str
    version: Positive
    dataset: str
    region: str
    source: str
    time_bins: TimeBinSpec
    viewing: ViewingSpec = field(default_factory=ViewingSpec)
    static: StaticSpec = field(default_factory=StaticSpec)
    metric: MetricSpec = field(default_factory=MetricSpec)
    mapping: MappingSpec = field(default_factory=MappingSpec)
    splits: SplitSpec = field(default_factory=SplitSpec)
    correction: CorrectionSpec = field(default_factory=CorrectionSpec)
    aggregation: AggregationSpec = field(default_factory=AggregationSpec)

    def cross_problems(self) -> Iterator[str]:
        """Yield a latency that lies after all that is recorded, and a formula of another metric."""
        if self.metric.kind != PREDICTIVITY and self.correction.formula not in (CorrectionSpec().formula, "raw"):
            yield f"correction.formula '{self.correction.formula}' is not for the metric '{self.metric.kind}'"
        if self.static.latency_ms is not None and self.static.latency_ms >= self.viewing.total_ms:
            yield f"static.latency_ms is {self.static.latency_ms}, and the viewing ends at {self.viewing.total_ms} ms"

    @classmethod
    def from_toml(cls, path: str | Path) -> Benchmark:
        """Read a benchmark; every problem of the file is reported at once.

        Raises
        ------
        ConfigurationError, DataFileError
        """
        return read_toml(path, cls, what="benchmark")

    def varied(
        self,
        *,
        region: str | None = None,
        regression: Regression | None = None,
        temporal: Temporal | None = None,
        n_components: int | None = None,
        n_splits: int | None = None,
        formula: str | None = None,
        n_halvings: int | None = None,
        metric: MetricKind | None = None,
        static_mode: ChosenMode | None = None,
        static_latency_ms: int | None = None,
        static_layers: tuple[str, ...] | None = None,
    ) -> Benchmark:
        """Return the benchmark with some choices changed; its name then says so, since scores no longer compare.

        Raises
        ------
        ConfigurationError
            If a choice does not belong to the metric, the regression, or to the static mode.
        """
        chosen = self.metric.of_kind(metric)
        chosen.check_options(
            regression=regression, mapping=temporal, components=n_components, splits=n_splits, formula=formula
        )
        mapping = self.mapping.of_kind(regression or self.mapping.kind)
        mapping = replace(
            mapping,
            temporal=temporal or mapping.temporal,
            n_components=mapping.n_components if n_components is None else n_components,
        )
        if problems := list(mapping.cross_problems()):
            raise ConfigurationError(
                "the options are those of the regression",
                f"the benchmark's is '{mapping.kind}': {'; '.join(problems)}",
                "leave them out, or choose the other with --regression",
            )
        splits = self.splits if n_splits is None else replace(self.splits, n_splits=n_splits)
        known = self.correction.formula
        if chosen.kind not in (PREDICTIVITY, self.metric.kind) and known != "raw":
            known = CorrectionSpec().formula
        correction = replace(
            self.correction,
            formula=formula or known,
            n_halvings=self.correction.n_halvings if n_halvings is None else n_halvings,
        )
        varied = replace(
            self,
            region=region or self.region,
            metric=chosen,
            mapping=mapping,
            splits=splits,
            correction=correction,
            static=self._static(static_mode, static_latency_ms, static_layers),
        )
        return varied.named_as_varied_from(self)

    def named_as_varied_from(self, original: Benchmark) -> Benchmark:
        """Return this benchmark, named as a variation of another if it is one; else that other."""
        if self == original:
            return original
        return replace(self, name=f"{original.name.removesuffix(_VARIED)}{_VARIED}")

    def stem(self) -> str:
        """Return what files call it; a varied one by 6 hex digits too, since all variations share one name."""
        name = self.name.removesuffix(_VARIED)
        if name == self.name:
            return name
        content = json.dumps(plain_values(asdict(self)), sort_keys=True)
        return f"{name} varied {hashlib.sha256(content.encode()).hexdigest()[:6]}"

    def _static(self, mode: ChosenMode | None, latency_ms: int | None, layers: tuple[str, ...] | None) -> StaticSpec:
        """Return the static mode with some choices changed."""
        static = self.static.in_mode(mode)
        static = replace(
            static,
            latency_ms=static.latency_ms if latency_ms is None else latency_ms,
            layers=static.layers if layers is None else layers,
        )
        problems = [*static.cross_problems(), *replace(self, static=static).cross_problems()]
        if problems:
            raise ConfigurationError(
                "the options are those of the static mode", "; ".join(problems), "choose another with --static-mode"
            )
        return static


def list_benchmarks() -> list[str]:
    """Return the names of the shipped benchmarks."""
    return sorted(path.stem for path in list_resources("benchmarks", ".toml"))


def load_benchmark(name: str | Path) -> Benchmark:
    """Return a shipped benchmark by name, or any by the path of its TOML file.

    Raises
    ------
    UnknownNameError
        If neither a benchmark nor a file is meant.
    ConfigurationError, DataFileError
        If the file is wrong.
    """
    if str(name).endswith(".toml"):
        return Benchmark.from_toml(name)
    for path in list_resources("benchmarks", ".toml"):
        if path.stem == str(name):
            return Benchmark.from_toml(path)
    raise UnknownNameError("benchmark", str(name), list_benchmarks())


def benchmark_named(name: str | None, region: str | None) -> Benchmark:
    """Return the benchmark of that name, or the embedded one of a region.

    Raises
    ------
    ConfigurationError
        If neither is named, or a file is wrong.
    UnknownNameError
        If there is no such benchmark, or none is embedded for the region.
    """
    if name is not None:
        return load_benchmark(name)
    if region is None:
        raise ConfigurationError(
            "a score needs a region or a benchmark", "neither --region nor --benchmark was given", "add --region IT"
        )
    if region not in DEFAULT_BENCHMARKS:
        raise UnknownNameError("region with an embedded benchmark", region, DEFAULT_BENCHMARKS)
    return load_benchmark(DEFAULT_BENCHMARKS[region])
