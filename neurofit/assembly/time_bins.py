"""Time bins in integer milliseconds, and the one place where model steps become milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neurofit.assembly.schema import check_assembly, time_bins_of
from neurofit.errors import AssemblyError, listed
from neurofit.vocabulary import ASSEMBLY_DIMS, BASIS, CORRELATION, PER_BIN, TIME_BIN, TIME_BIN_END, TIME_BIN_START

TimeBins = Sequence[tuple[int, int]]


def make_time_bins(start_ms: int, end_ms: int, width_ms: int, stride_ms: int | None = None) -> list[tuple[int, int]]:
    """Return the half-open bins of `width_ms` from start_ms up to end_ms.

    Parameters
    ----------
    start_ms, end_ms : int
        Of the whole span, from stimulus onset.
    width_ms : int
    stride_ms : int, optional
        Distance of successive starts; the width by default (no overlap).

    Raises
    ------
    AssemblyError
        If the span is not filled exactly by whole bins.
    """
    stride = width_ms if stride_ms is None else stride_ms
    if width_ms <= 0 or stride <= 0 or end_ms - start_ms < width_ms or (end_ms - start_ms - width_ms) % stride:
        raise AssemblyError(
            "time bins fill their span exactly",
            f"{width_ms} ms every {stride} ms do not fill [{start_ms}, {end_ms})",
            "change the width, the stride or the span",
        )
    return [(s, s + width_ms) for s in range(start_ms, end_ms - width_ms + 1, stride)]


def step_bins(n_steps: int, step_ms: int, delay_ms: int = 0) -> list[tuple[int, int]]:
    """Return the interval that each unrolled step stands for.

    Step t covers [t step_ms + delay_ms, (t + 1) step_ms + delay_ms) from stimulus onset. With delay 0 the digitised
    2018 figure is met (feed-forward responses end at 150, 170, 190 ms in layers 6, 8, 10); a 1-based reading of the
    steps is `delay_ms = step_ms` (specification of the ConvRNN papers, section 5: both readings exist).
    """
    return [(t * step_ms + delay_ms, (t + 1) * step_ms + delay_ms) for t in range(n_steps)]


def overlap_weights(sources: TimeBins, targets: TimeBins) -> np.ndarray:
    """Return weights (targets, sources) whose rows average the sources that each target overlaps.

    The weight of a source is the length of its overlap with the target over the sum of such lengths, so rows sum to
    one (Brain-Score divides by the source's own width instead and leaves partly covered targets too small).

    Raises
    ------
    AssemblyError
        If a target is not covered completely by the sources.
    """
    source, target = np.asarray(sources).reshape(-1, 2), np.asarray(targets).reshape(-1, 2)
    overlap = np.minimum(target[:, None, 1], source[:, 1]) - np.maximum(target[:, None, 0], source[:, 0])
    overlap = np.clip(overlap, 0, None)
    uncovered = [tuple(t) for t in target.tolist() if _gap(source, *t)]
    if uncovered:
        raise AssemblyError(
            "every asked time bin is covered by the bins at hand",
            f"{listed(uncovered, 3)} ms lie outside {source[:, 0].min()}-{source[:, 1].max()} ms or in a gap of it",
            "ask for bins inside that span",
        )
    return overlap / overlap.sum(1, keepdims=True)


def _gap(source: np.ndarray, start: int, end: int) -> bool:
    """Tell whether some part of [start, end) is in no source bin."""
    reached = start
    for left, right in source[np.argsort(source[:, 0])]:
        if left > reached:
            break
        reached = max(reached, right)
    return reached < end


def rebin(assembly: xr.DataArray, time_bins: TimeBins) -> xr.DataArray:
    """Average an assembly into other time bins, weighting by overlap.

    Parameters
    ----------
    assembly : xarray.DataArray (presentation, neuroid, time_bin)
    time_bins : sequence of (start, end) in ms

    Returns
    -------
    xarray.DataArray
        With exactly these bins; the same object if it has them already.

    Raises
    ------
    AssemblyError
        If a bin is not covered, or the neuroids of different bins are different (attribute `basis` 'per-bin').
    """
    own = time_bins_of(assembly)
    wanted = [(int(s), int(e)) for s, e in time_bins]
    if own == wanted:
        return assembly
    if set(wanted) <= set(own):
        return assembly.isel({TIME_BIN: [own.index(b) for b in wanted]})
    if (basis := assembly.attrs.get(BASIS)) in (PER_BIN, CORRELATION):
        raise AssemblyError(
            "bins are averaged where a neuroid is the same in all of them",
            f"these are other features with the same inner products in every bin (basis '{basis}')",
            "record the bins that are wanted, or with the basis 'shared' or 'units'",
        )
    weights = overlap_weights(own, wanted).astype(assembly.dtype)
    coords = {k: v for k, v in assembly.coords.items() if TIME_BIN not in v.dims}
    bins = np.asarray(wanted)
    coords |= {TIME_BIN_START: (TIME_BIN, bins[:, 0]), TIME_BIN_END: (TIME_BIN, bins[:, 1])}
    values = assembly.values @ weights.T
    return check_assembly(xr.DataArray(values, dims=ASSEMBLY_DIMS, coords=coords, attrs=assembly.attrs))
