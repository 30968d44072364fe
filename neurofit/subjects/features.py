"""What a recording keeps of a layer's activations as they stream by: units, exact inner products, or a projection."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from tqdm import tqdm

from neurofit.errors import ConfigurationError, MappingError, UnknownNameError
from neurofit.kernel.gram_stream import SILENT, GramStream, is_same
from neurofit.kernel.projection import RandomProjection
from neurofit.kernel.rdm import unit_patterns
from neurofit.kernel.routes import MEMORY_BYTES, Basis, Demand, FeaturePlan, Route, plan_layers
from neurofit.vocabulary import BASIS, CORRELATION, SHARED

FeatureChoice = Literal["auto", "raw", "dual", "projected"]
MAX_FEATURES = 4096
"""Units of a layer above which it is not kept as it is."""


@dataclass(frozen=True)
class FeatureOptions:
    """How the features of wide layers may be kept.

    Parameters
    ----------
    choice : str
        'auto', or a route that must be taken; see `kernel.routes.plan_features`.
    memory_bytes : int
        What recording and mapping may use, 8 GiB by default.
    scratch : path, optional
        Folder for temporary files; the system's by default.
    store : path, optional
        Folder in which features are kept for the next time; see docs/store.md. By default they are not.

    Raises
    ------
    UnknownNameError
        If there is no such choice.
    ConfigurationError
        If there is no such folder, or nothing can be written to it.
    """

    choice: FeatureChoice = "auto"
    memory_bytes: int = MEMORY_BYTES
    scratch: Path | None = None
    store: Path | None = None

    def __post_init__(self) -> None:
        if self.choice not in get_args(FeatureChoice):
            raise UnknownNameError("choice of features", self.choice, get_args(FeatureChoice))
        if self.scratch is not None and not os.path.isdir(self.scratch):  # noqa: PTH112 - never raises
            raise ConfigurationError("the scratch folder is there", f"{self.scratch} is no folder", "make it")
        if self.scratch is not None and not os.access(self.scratch, os.W_OK | os.X_OK):
            raise ConfigurationError(
                "the scratch folder can be written to",
                f"{self.scratch} cannot",
                "change its permissions, or name another",
            )

    def plans(
        self, n: int, units: Mapping[str, int], n_bins: int, basis: Basis, max_features: int, batch_steps: int
    ) -> dict[str, FeaturePlan]:
        """Decide for every layer.

        Parameters
        ----------
        n : int
            Images.
        units : mapping from layer to int
            p of each.
        n_bins : int
        basis : str
            What the mapping allows; see `kernel.routes.Basis`.
        max_features : int
            Units up to which a layer is kept as it is, and to which it is projected otherwise.
        batch_steps : int
            Images of a batch, times steps.

        Raises
        ------
        ConfigurationError
            If a layer's features fit in no allowed way.
        """
        batch_bytes = 4 * batch_steps * sum(units.values())
        demands = {layer: Demand(n, p, n_bins, basis, max_features, batch_bytes) for layer, p in units.items()}
        wanted: Route | None = None if self.choice == "auto" else self.choice
        return plan_layers(demands, wanted, memory_bytes=self.memory_bytes, disk_bytes=self._free_disk())

    def _free_disk(self) -> int:
        """Free bytes of the scratch folder; 0 if there is none."""
        try:
            return shutil.disk_usage(self.scratch or tempfile.gettempdir()).free
        except OSError:
            return 0  # the plan then says that scratch disk is what is missing


class Collector(Protocol):
    """Takes a layer's activations batch by batch, at once (`add`) or in two steps (`reduce`, `take`)."""

    def add(self, bins: Sequence[np.ndarray]) -> None:
        """Take the next images: their activations (b, p) in every bin."""

    def reduce(self, bins: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return what would be taken of a batch, as arrays; nothing is taken."""

    def take(self, part: Mapping[str, np.ndarray]) -> None:
        """Take the next images as `reduce` returned them: the same to the bit as `add`."""

    def values(self, progress: bool) -> np.ndarray:
        """Return features (n, k, T), float32, when all images have been taken."""


LABELS: Mapping[Route, str] = {"raw": "", "projected": "projection-", "dual": "isometric-"}
"""What the features of a route are called, before their number."""


def feature_attrs(plan: FeaturePlan, basis: Basis) -> dict[str, object]:
    """Return what an assembly says of features that were kept by a plan: scalars and strings."""
    attrs: dict[str, object] = {"units": plan.units, "route": plan.route, "features": plan.sentence()}
    if plan.route == "projected":
        reduction = f"sparse random projection of {plan.units} units"
        attrs |= {"reduction": reduction, "projected_to": plan.columns}
    elif plan.route == "dual":
        attrs |= {"reduction": f"exact (inner products of {plan.units} units)", BASIS: basis}
    else:
        attrs["reduction"] = "none"
    if basis != CORRELATION or plan.route == "raw":
        return attrs
    return {**attrs, "reduction": f"unit patterns, {attrs['reduction']}", BASIS: CORRELATION}


@contextmanager
def collector(
    plan: FeaturePlan, n: int, n_bins: int, basis: Basis, scratch: Path | None = None, random_state: int = 0
) -> Iterator[Collector]:
    """Provide what carries out a plan; scratch files are gone afterwards, whatever happens.

    Parameters
    ----------
    plan : FeaturePlan
    n, n_bins, basis
        What was planned for.
    scratch : path, optional
        Folder for temporary files.
    random_state : int
        Of a projection.
    """
    if plan.route != "dual":
        kept = _Kept(plan, n, n_bins, random_state)
        yield kept if plan.route == "raw" or basis != CORRELATION else _UnitPatterns(kept, plan.units, n_bins)
        return
    with GramStream(n, plan.units, n_bins, joint=basis == SHARED, folder=scratch) as stream:
        features = _Isometric(plan, stream, basis)
        yield features if basis != CORRELATION else _UnitPatterns(features, plan.units, n_bins)


class _Kept:
    """Units as they are, or projected batch by batch."""

    def __init__(self, plan: FeaturePlan, n: int, n_bins: int, random_state: int) -> None:
        self._plan, self._random_state, self._done = plan, random_state, 0
        self._values = np.empty((n, plan.columns, n_bins), np.float32)

    def add(self, bins: Sequence[np.ndarray]) -> None:
        self._put(len(bins[0]), map(self._reduced, bins))

    def reduce(self, bins: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        slots, distinct = distinct_bins(bins)
        return packed(slots, map(self._reduced, distinct))

    def take(self, part: Mapping[str, np.ndarray]) -> None:
        bins = unpacked(part)
        self._put(len(bins[0]), bins)

    def values(self, progress: bool) -> np.ndarray:
        return self._values

    def _reduced(self, activations: np.ndarray) -> np.ndarray:
        return activations if self._plan.route == "raw" else self._projection.transform(activations)

    @cached_property
    def _projection(self) -> RandomProjection:
        return RandomProjection(self._plan.units, self._plan.columns, self._random_state)

    def _put(self, count: int, bins: Iterable[np.ndarray]) -> None:
        rows = slice(self._done, self._done + count)
        for t, reduced in enumerate(bins):
            self._values[rows, :, t] = reduced
        self._done = rows.stop


class _Isometric:
    """Features with the inner products of all units.

    In float32, as activations are: r of single neuroids then differs by about 1e-9 (docs/raw-width.md). There are as
    many as images allow, zeros where the rank is lower: what the units allow, such as 25 components, these do too.
    """

    def __init__(self, plan: FeaturePlan, stream: GramStream, basis: Basis) -> None:
        self._plan, self._stream, self._basis = plan, stream, basis

    def add(self, bins: Sequence[np.ndarray]) -> None:
        self._stream.add(bins)

    def reduce(self, bins: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return packed(*distinct_bins(bins))

    def take(self, part: Mapping[str, np.ndarray]) -> None:
        self._stream.add(unpacked(part))

    def values(self, progress: bool) -> np.ndarray:
        n, n_bins = self._stream.n, self._stream.n_bins
        if self._basis == SHARED:
            joint = self._stream.joint_features(np.float32)
            values = np.zeros((n, max(joint.shape[2], min(self._plan.units, n - 1)), n_bins), np.float32)
            values[:, : joint.shape[2]] = joint.transpose(1, 2, 0)
            return values
        first = self._stream.first_equal
        values = np.zeros((n, self._plan.columns, n_bins), np.float32)
        for t, own in enumerate(tqdm(first, desc="inner products", unit="bin", disable=not progress, leave=False)):
            if own < t:
                values[:, :, t] = values[:, :, own]
                continue
            features = self._stream.features(t)
            values[:, : features.shape[1], t] = features
        return values


class _UnitPatterns:
    """Every image's units centred and scaled to norm 1 on their way to another collector.

    Neither the mean nor the norm over units can be had from what is kept of a wide layer. Distances can, and those of
    unit patterns are the correlations of the units.
    """

    def __init__(self, taker: Collector, units: int, n_bins: int) -> None:
        self._taker = taker
        self._low, self._high = (
            np.full((n_bins, units), np.inf, np.float32),
            np.full((n_bins, units), -np.inf, np.float32),
        )
        self._flat = np.zeros(n_bins, int)

    def add(self, bins: Sequence[np.ndarray]) -> None:
        patterns, extent = self._patterns(bins)
        self._widen(extent)
        self._taker.add(patterns)

    def reduce(self, bins: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        patterns, extent = self._patterns(bins)
        return self._taker.reduce(patterns) | extent

    def take(self, part: Mapping[str, np.ndarray]) -> None:
        self._widen(part)
        self._taker.take(part)

    def _patterns(self, bins: Sequence[np.ndarray]) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """Return unit patterns of a batch, and of every bin the units' range and how many images are flat."""
        patterns: list[np.ndarray] = []
        flat: list[int] = []
        for t, activations in enumerate(bins):
            if t and activations is bins[t - 1]:
                patterns.append(patterns[-1])
                flat.append(flat[-1])
                continue
            unit, are_flat = unit_patterns(activations)
            flat.append(int(are_flat.sum()))
            patterns.append(unit.astype(np.float32))
        low, high = (np.stack([getattr(each, name)(axis=0) for each in bins]) for name in ("min", "max"))
        return patterns, {"low": low, "high": high, "flat": np.array(flat)}

    def _widen(self, extent: Mapping[str, np.ndarray]) -> None:
        np.minimum(self._low, extent["low"], out=self._low)
        np.maximum(self._high, extent["high"], out=self._high)
        self._flat += extent["flat"]

    def values(self, progress: bool) -> np.ndarray:
        # scaling magnifies the rounding of a bin that says nothing: silence is that of the units
        peak = np.maximum(np.abs(self._low), np.abs(self._high))
        silent = (self._high - self._low <= SILENT * peak).all(axis=1)
        lost = np.flatnonzero(~silent & (self._flat > 0))
        if len(lost):
            raise MappingError(
                "correlations of images are over units that differ",
                f"{int(self._flat[lost[0]])} images have the same activation in all units in bin {int(lost[0])}",
                "keep the units (--features raw), or take the Euclidean distance",
            )
        values = self._taker.values(progress)
        values[:, :, silent] = 0.0
        return values


def distinct_bins(bins: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return for every bin the number of its array, and the arrays: one for a run of bins with the same numbers."""
    slots: list[int] = []
    distinct: list[np.ndarray] = []
    for rows in bins:
        if not distinct or not is_same(rows, distinct[-1]):
            distinct.append(rows)
        slots.append(len(distinct) - 1)
    return np.array(slots), distinct


def packed(slots: np.ndarray, distinct: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays by name, as a chunk of a store has them."""
    return {"slots": slots} | {f"bin-{i}": np.asarray(rows, np.float32) for i, rows in enumerate(distinct)}


def unpacked(part: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return the array of every bin."""
    return [part[f"bin-{slot}"] for slot in part["slots"]]


def binned(activations: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """Average steps into bins.

    Parameters
    ----------
    activations : array (b, steps, p)
    weights : array (T, steps), float32
        See `assembly.time_bins.overlap_weights`.

    Returns
    -------
    list of T arrays (b, p)
        Views where a bin is one step, and the same array twice where all steps are one (stride 0) or bins are equal.
    """
    if activations.strides[1] == 0:
        return [activations[:, 0]] * len(weights)
    bins: list[np.ndarray] = []
    for t, row in enumerate(weights):
        steps = np.flatnonzero(row)
        if t and np.array_equal(row, weights[t - 1]):
            bins.append(bins[-1])
        elif len(steps) == 1:
            bins.append(activations[:, steps[0]])
        else:
            mean = row[steps[0]] * activations[:, steps[0]]
            for step in steps[1:]:
                mean += row[step] * activations[:, step]
            bins.append(mean)
    return bins
