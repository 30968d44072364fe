"""Build assemblies from arrays and tables, average and select them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.assembly.schema import check_assembly
from neurofit.errors import AssemblyError, UnknownNameError, listed
from neurofit.kernel.reliability import mean_over_repetitions
from neurofit.vocabulary import (
    ASSEMBLY_DIMS,
    LAYER,
    NEUROID,
    NEUROID_ID,
    PRESENTATION,
    REGION,
    REPETITION,
    STIMULUS_ID,
    SUBJECT,
    SUBREGION,
    TIME_BIN_END,
    TIME_BIN_START,
)

Column = Sequence[Any] | np.ndarray
"""One value per presentation, neuroid or time bin."""


def make_assembly(
    values: np.ndarray,
    *,
    stimulus_id: Column,
    neuroid_id: Column,
    subject: str | Column,
    time_bins: Sequence[tuple[int, int]] | np.ndarray,
    repetition: Column | None = None,
    region: str | Column | None = None,
    subregion: str | Column | None = None,
    layer: str | Column | None = None,
    presentation_coords: Mapping[str, Column] | None = None,
    neuroid_coords: Mapping[str, Column] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Build a checked assembly from an array.

    Parameters
    ----------
    values : array (presentations, neuroids, time_bins)
        Responses; integers become float32.
    stimulus_id : sequence of str, one per presentation
    neuroid_id : sequence of str, one per neuroid
    subject, region, subregion, layer : str or sequence of str, one per neuroid
        A single string holds for all. One of region and layer is needed.
    time_bins : sequence of (start, end)
        Half-open intervals in integer ms from stimulus onset.
    repetition : sequence of int, optional
        Ordinal of each showing; without it every stimulus occurs once.
    presentation_coords, neuroid_coords : mapping, optional
        Further coordinates.
    attrs : mapping, optional
        Scalars and strings, such as simulated=1.

    Returns
    -------
    xarray.DataArray (presentation, neuroid, time_bin)

    Raises
    ------
    AssemblyError
        If lengths do not fit or the contract is broken.
    """
    values = np.asarray(values)
    if values.ndim != 3:
        raise AssemblyError(
            "responses are an array (presentations, neuroids, time bins)",
            f"found {values.ndim} dimensions of shape {values.shape}",
            "add an axis for a single time bin: values[:, :, None]",
        )
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float32)
    on_presentation = {STIMULUS_ID: _strings(stimulus_id)} | dict(presentation_coords or {})
    if repetition is not None:
        on_presentation[REPETITION] = np.asarray(repetition)
    on_neuroid: dict[str, Any] = {NEUROID_ID: _strings(neuroid_id)} | dict(neuroid_coords or {})
    for name, given in ((SUBJECT, subject), (REGION, region), (SUBREGION, subregion), (LAYER, layer)):
        if given is not None:
            on_neuroid[name] = np.full(values.shape[1], given) if isinstance(given, str) else _strings(given)
    bins = np.asarray(time_bins).reshape(-1, 2)
    on_time = {TIME_BIN_START: bins[:, 0], TIME_BIN_END: bins[:, 1]}
    coords: dict[str, tuple[str, np.ndarray]] = {}
    groups: tuple[dict[str, Any], ...] = (on_presentation, on_neuroid, on_time)
    for dim, group in zip(ASSEMBLY_DIMS, groups, strict=True):
        size = values.shape[ASSEMBLY_DIMS.index(dim)]
        for name, column in group.items():
            if len(column) != size:
                raise AssemblyError(
                    f"'{name}' has one value per {dim}", f"found {len(column)} for {size}", "give as many values"
                )
            coords[name] = (dim, np.asarray(column))
    return check_assembly(xr.DataArray(values, dims=ASSEMBLY_DIMS, coords=coords, attrs=dict(attrs or {})))


def assembly_from_table(
    table: pd.DataFrame, *, value: str = "response", attrs: Mapping[str, Any] | None = None
) -> xr.DataArray:
    """Build an assembly from a long table: one row per presentation, neuroid and time bin.

    Parameters
    ----------
    table : DataFrame
        Columns stimulus_id, neuroid_id, subject, region (or layer), time_bin_start, time_bin_end, the value column,
        and repetition where stimuli repeat.
    value : str
        Name of the column of responses.
    attrs : mapping, optional

    Raises
    ------
    AssemblyError
        If a column is missing, a combination occurs twice, or the table is not complete.
    """
    tag = REGION if REGION in table else LAYER
    needed = [STIMULUS_ID, NEUROID_ID, SUBJECT, tag, TIME_BIN_START, TIME_BIN_END, value]
    missing = [c for c in needed if c not in table]
    if missing:
        raise AssemblyError(
            "the table has one column per coordinate", f"{listed(missing)} missing", "rename or add these columns"
        )
    repeated = [REPETITION] if REPETITION in table else []
    neuroid_columns = [NEUROID_ID, SUBJECT, tag] + [c for c in (SUBREGION,) if c in table]
    keys = [[STIMULUS_ID, *repeated], neuroid_columns, [TIME_BIN_START, TIME_BIN_END]]
    codes, levels = [], []
    for columns in keys:
        grouped = table.groupby(columns, sort=True)
        codes.append(grouped.ngroup().to_numpy())
        levels.append(table[columns].drop_duplicates().sort_values(columns).reset_index(drop=True))
    shape = tuple(len(level) for level in levels)
    flat = np.ravel_multi_index(tuple(codes), shape)
    if len(np.unique(flat)) != len(flat) or len(flat) != np.prod(shape):
        raise AssemblyError(
            "the table has one row for every presentation, neuroid and time bin",
            f"{len(flat)} rows, {len(np.unique(flat))} of them distinct, for {shape[0]} x {shape[1]} x {shape[2]}",
            "drop doubled rows and presentations that lack neuroids",
        )
    values = np.empty(shape)
    values.reshape(-1)[flat] = table[value].to_numpy(float)
    presentations, neuroids, bins = levels
    return make_assembly(
        values,
        stimulus_id=presentations[STIMULUS_ID].tolist(),
        repetition=presentations[REPETITION].tolist() if repeated else None,
        neuroid_id=neuroids[NEUROID_ID].tolist(),
        subject=neuroids[SUBJECT].tolist(),
        region=neuroids[REGION].tolist() if tag == REGION else None,
        layer=neuroids[LAYER].tolist() if tag == LAYER else None,
        subregion=neuroids[SUBREGION].tolist() if SUBREGION in neuroids else None,
        time_bins=list(zip(bins[TIME_BIN_START].tolist(), bins[TIME_BIN_END].tolist(), strict=True)),
        attrs=attrs,
    )


def stimulus_index(assembly: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted distinct stimulus ids (n,) and, per presentation, the index of its own (presentations,)."""
    return np.unique(assembly[STIMULUS_ID].values.astype(str), return_inverse=True)


def average_repetitions(assembly: xr.DataArray) -> xr.DataArray:
    """Average over the repetitions of each stimulus.

    Repetitions may be unequal across stimuli: each stimulus' mean is over the showings that it has, every stimulus
    then counts once, and attrs `repetitions_min`, `repetitions_max` say how many there were.

    Parameters
    ----------
    assembly : xarray.DataArray (presentation, neuroid, time_bin)

    Returns
    -------
    xarray.DataArray
        Presentations sorted by stimulus_id, no `repetition`; other presentation coordinates are kept where they are
        the same for all showings of a stimulus.
    """
    ids, index = stimulus_index(assembly)
    counts = np.bincount(index)
    means = mean_over_repetitions(assembly.values, index, len(ids))
    first = np.zeros(len(ids), int)
    first[index[::-1]] = np.arange(len(index))[::-1]
    coords: dict[str, tuple[str, np.ndarray]] = {}
    for name, coordinate in assembly.coords.items():
        if coordinate.dims == (PRESENTATION,):
            values = coordinate.values
            if name != REPETITION and bool((values == values[first][index]).all()):
                coords[str(name)] = (PRESENTATION, values[first])
        else:
            coords[str(name)] = (str(coordinate.dims[0]), coordinate.values)
    attrs = dict(assembly.attrs) | {"repetitions_min": int(counts.min()), "repetitions_max": int(counts.max())}
    return check_assembly(xr.DataArray(means.astype(assembly.dtype), dims=ASSEMBLY_DIMS, coords=coords, attrs=attrs))


def select_region(recording: xr.DataArray, region: str) -> xr.DataArray:
    """Select the neuroids of a region, or of a subregion such as 'pIT'.

    Raises
    ------
    UnknownNameError
        If no neuroid lies there; the regions that exist are offered.
    """
    names = [c for c in (REGION, SUBREGION) if c in recording.coords]
    inside = np.zeros(recording.sizes[NEUROID], bool)
    known: set[str] = set()
    for name in names:
        labels = recording[name].values.astype(str)
        inside |= labels == region
        known |= set(labels.tolist())
    if not inside.any():
        raise UnknownNameError("region", region, known)
    return recording.isel({NEUROID: np.flatnonzero(inside)})


def _strings(values: Column) -> np.ndarray:
    return np.asarray([str(v) for v in values])


__all__ = ["assembly_from_table", "average_repetitions", "make_assembly", "select_region", "stimulus_index"]
