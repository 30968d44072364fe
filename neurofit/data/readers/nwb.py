"""Recordings in NWB files, as laboratories and DANDI lay them out: units, and a table of what was shown when.

Three sources of responses, the first that there is: a recording that `write_nwb` put there, in its own time bins; spike
times of the units table, counted in the bins asked for (`bin_spikes`); or, where a series is named, its samples
averaged in these bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from neurofit.assembly.build import make_assembly
from neurofit.assembly.spikes import bin_spikes, number_showings
from neurofit.data.readers.checks import labels
from neurofit.data.readers.linked_hdf5 import check_dataset
from neurofit.data.readers.nwb_file import (
    START_TIME,
    STIMULUS_COLUMNS,
    Table,
    chosen_column,
    chosen_table,
    opened_nwb,
    plain_array,
    presentation_tables,
    table_of,
    times_of,
)
from neurofit.data.readers.nwb_recording import read_own
from neurofit.data.sessions import join_sessions
from neurofit.errors import AssemblyError, UnknownNameError, listed
from neurofit.kernel.spike_counts import MICROSECONDS_PER_MS, whole_microseconds
from neurofit.vocabulary import (
    LAYER,
    NEUROID_ID,
    REGION,
    REPETITION,
    STIMULUS_ID,
    SUBJECT,
    TIME_BIN_END,
    TIME_BIN_START,
)

LEFT_OUT = "presentations_left_out"  # attribute: rows without an onset or without a stimulus
REGION_COLUMNS = (REGION, "brain_region", "brain_area", "area", "location", "structure", "ecephys_structure_acronym")
_TAKEN = {STIMULUS_ID, REPETITION, NEUROID_ID, REGION, SUBJECT, LAYER, TIME_BIN_START, TIME_BIN_END}


@dataclass(frozen=True)
class NwbOptions:
    """Where in an NWB file a recording is.

    Parameters
    ----------
    table : str, optional
        Table of presentations ('trials', 'presentations', 'stimulus/NAME'); by default the only one that has a column
        of stimuli.
    stimulus_column : str, optional
        By default the first of `nwb_file.STIMULUS_COLUMNS`.
    onset_column : str, optional
        Seconds; the table's start_time by default.
    region_column : str, optional
        Of the units, or of the electrodes that they refer to; by default the first of `REGION_COLUMNS`.
    region, subject : str, optional
        For files that do not say them.
    series : str, optional
        Name of a TimeSeries (samples, units) to average instead of counting spikes: 'MODULE/NAME' or 'NAME'.
    """

    table: str | None = None
    stimulus_column: str | None = None
    onset_column: str | None = None
    region_column: str | None = None
    region: str | None = None
    subject: str | None = None
    series: str | None = None


def read_nwb(
    paths: str | Path | Sequence[str | Path],
    time_bins: Sequence[tuple[int, int]] | None = None,
    options: NwbOptions | None = None,
    *,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Read a recording from an NWB file, or from the files of several sessions.

    Parameters
    ----------
    paths : path or sequence of path
        Several sessions are joined as `join_sessions` does: the same units one after the other, or other units side by
        side.
    time_bins : sequence of (start, end), optional
        In ms from onset; a recording that we wrote has its own.
    options : NwbOptions, optional
    attrs : mapping, optional
        Added to the attributes.

    Returns
    -------
    xarray.DataArray (presentation, neuroid, time_bin)
        Spikes per bin, or mean samples per bin; showings of a stimulus are numbered by onset. Flat columns of the
        tables become coordinates (of a name in both, that of the units is called unit_NAME). attrs
        `presentations_left_out` counts rows without an onset or a stimulus.

    Raises
    ------
    MissingExtraError
        If pynwb is not installed.
    DataFileError
        If a file cannot be read, or leads out of itself.
    UnknownNameError
        If a table, column or series does not exist.
    AssemblyError
        If something is neither in the file nor given, or sessions do not fit together.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    options = options or NwbOptions()
    sessions = {path.stem: _read_session(path, time_bins, options) for path in files}
    recording = next(iter(sessions.values())) if len(files) == 1 else join_sessions(sessions)
    recording.attrs |= dict(attrs or {})
    return recording


def _read_session(path: Path, time_bins: Sequence[tuple[int, int]] | None, options: NwbOptions) -> xr.DataArray:
    with opened_nwb(path) as nwb:
        if options.series is None and (own := read_own(nwb, path)) is not None:
            if time_bins is not None:
                raise AssemblyError(
                    "time bins are asked of spikes or samples",
                    f"{path} holds a recording that is binned already",
                    "leave them out, and change bins afterwards with neurofit.rebin",
                )
            return own
        if time_bins is None:
            raise AssemblyError(
                "spikes and samples are put into time bins that are asked for", "none are", "give them in ms from onset"
            )
        tables = presentation_tables(nwb, path)
        shown = _Shown.of(chosen_table(tables, options.table, options.stimulus_column), options)
        if options.series is not None:
            return _of_samples(nwb, path, shown, time_bins, options)
        return _of_spikes(nwb, path, shown, time_bins, options)


@dataclass(frozen=True)
class _Shown:
    """Presentations that have an onset and a stimulus."""

    stimulus_id: np.ndarray
    onsets: np.ndarray
    coords: dict[str, np.ndarray]
    attrs: dict[str, int]

    @classmethod
    def of(cls, table: Table, options: NwbOptions) -> _Shown:
        stimuli = chosen_column(table, options.stimulus_column, "stimuli", STIMULUS_COLUMNS)
        onsets = chosen_column(table, options.onset_column, "onsets", (START_TIME,))
        if onsets.dtype.kind not in "iuf":
            raise AssemblyError("onsets are seconds", f"found {onsets.dtype}", "name another")
        whole = np.isfinite(onsets.astype(float))
        whole &= np.isfinite(stimuli) if stimuli.dtype.kind == "f" else stimuli != ""
        if not whole.any():
            raise AssemblyError("some rows have an onset and a stimulus", f"'{table.name}' has none", "name another")
        coords = {n: v[whole] for n, v in table.columns.items() if n not in _TAKEN and n != "id"}
        left_out = int((~whole).sum())
        ids = stimuli[whole].astype(int) if stimuli.dtype.kind == "b" else labels(stimuli[whole], "stimuli")
        return cls(ids.astype(str), onsets[whole].astype(float), coords, {LEFT_OUT: left_out} if left_out else {})


def _of_spikes(
    nwb: Any, path: Path, shown: _Shown, time_bins: Sequence[tuple[int, int]], options: NwbOptions
) -> xr.DataArray:
    units = nwb.units
    if units is None or "spike_times" not in units.colnames:
        raise AssemblyError(
            "an NWB file has units with spike times, or a series is named",
            f"it has {'no units' if units is None else 'units without spike times'}"
            f" and the series {listed(number_series(nwb), 8) or '(none)'}",
            "name a series of binned rates, or use the file that holds the spikes",
        )
    coords, subject, region = _about_units(nwb, path, shown, options)
    return bin_spikes(
        _spike_trains(units, path),
        shown.onsets,
        time_bins,
        stimulus_id=shown.stimulus_id,
        neuroid_id=coords.pop(NEUROID_ID),
        subject=subject,
        region=region,
        presentation_coords=shown.coords,
        neuroid_coords=coords,
        attrs=shown.attrs,
    )


def _spike_trains(units: Any, path: Path) -> list[np.ndarray]:
    """Return the spike times of every unit; a flat array cut at the ends that the index states."""
    column, index = units.spike_times, units.spike_times_index
    times = plain_array(column.data, path)
    ends = plain_array(index.data, path)
    if times is None or ends is None or times.dtype.kind not in "iuf" or ends.dtype.kind not in "iu":
        raise AssemblyError("spike times are numbers", "they are not", "write the file anew")
    ends = ends.astype(np.int64)
    if len(ends) != len(units) or (np.diff(ends, prepend=0) < 0).any() or (len(ends) and ends[-1] != len(times)):
        raise AssemblyError(
            "the index of spike times gives every unit its part, in order and without rest",
            f"it does not (last end {ends[-1:].tolist()}, {len(times)} spikes)",
            "write the file anew",
        )
    return np.split(times, ends[:-1])


def _about_units(
    nwb: Any, path: Path, shown: _Shown, options: NwbOptions
) -> tuple[dict[str, np.ndarray], str | np.ndarray, str | np.ndarray]:
    """Return the coordinates of the units (neuroid_id among them), their subjects and their regions."""
    table = table_of(nwb.units, "units", path)
    columns = table.columns
    coords = {
        f"unit_{name}" if name in shown.coords else name: values
        for name, values in columns.items()
        if name not in _TAKEN and name != "id"
    }
    coords[NEUROID_ID] = labels(columns.get(NEUROID_ID, columns["id"]), NEUROID_ID)
    subject = options.subject or columns.get(SUBJECT)
    if subject is None and nwb.subject is not None:
        subject = nwb.subject.subject_id
    if subject is None:
        raise AssemblyError("a recording tells its subject", "it does not", "give subject")
    return coords, subject, options.region or _regions(nwb, table, path, options.region_column)


def _regions(nwb: Any, units: Table, path: Path, asked: str | None) -> np.ndarray:
    """Return the region of every unit: a column of the units, or of the first electrode of each."""
    electrodes = None if nwb.electrodes is None else table_of(nwb.electrodes, "electrodes", path)
    of_electrodes = {} if electrodes is None else electrodes.columns
    for name in (asked,) if asked else REGION_COLUMNS:
        if name in units.columns:
            return labels(units.columns[name], name)
        if name in of_electrodes:
            return labels(of_electrodes[name], name)[_first_electrodes(nwb.units, path, len(of_electrodes[name]))]
    known = [*units.columns, *of_electrodes]
    if asked:
        raise UnknownNameError("column of units or electrodes", asked, known)
    raise AssemblyError(
        f"units or electrodes tell their region ({listed(REGION_COLUMNS, 9)})",
        f"it has the columns {listed(known, 15)}",
        "name the column, or give region",
    )


def _first_electrodes(units: Any, path: Path, n_electrodes: int) -> np.ndarray:
    """Return the row of the first electrode of every unit."""
    region = getattr(units, "electrodes", None) if "electrodes" in units.colnames else None
    rows = None if region is None else plain_array(region.data, path)
    index = getattr(units, "electrodes_index", None)
    ends = None if index is None else plain_array(index.data, path)
    if rows is not None and ends is not None:
        starts = np.concatenate([[0], ends[:-1]]).astype(int)
        rows = (
            rows[starts] if len(rows) and (starts < len(rows)).all() and (np.diff(ends, prepend=0) > 0).all() else None
        )
    if rows is None or len(rows) != len(units) or not len(rows) or rows.min() < 0 or rows.max() >= n_electrodes:
        raise AssemblyError("units refer to the electrodes that tell their region", "they do not", "give region")
    return rows.astype(int)


def number_series(nwb: Any) -> dict[str, Any]:
    """Return the series of numbers in acquisition and processing modules, by name."""
    from pynwb import TimeSeries

    found = {str(one.name): one for one in nwb.acquisition.values() if isinstance(one, TimeSeries)}
    for module in nwb.processing.values():
        inside = module.data_interfaces.values()
        found |= {f"{module.name}/{one.name}": one for one in inside if isinstance(one, TimeSeries)}
    return found


def _of_samples(
    nwb: Any, path: Path, shown: _Shown, time_bins: Sequence[tuple[int, int]], options: NwbOptions
) -> xr.DataArray:
    """Average the samples of a series that lie in each bin, by the rule of `count_spikes`."""
    series = number_series(nwb)
    if options.series not in series:
        raise UnknownNameError("series", str(options.series), series)
    one = series[str(options.series)]
    data = one.data
    if isinstance(data, h5py.Dataset):
        check_dataset(data, path)
    if len(data.shape) != 2 or np.dtype(data.dtype).kind not in "iuf":
        raise AssemblyError(
            "a series of rates is (samples, units)", f"'{one.name}' has shape {data.shape}", "name another"
        )
    bins = np.asarray(time_bins, np.int64).reshape(-1, 2) * MICROSECONDS_PER_MS
    times = whole_microseconds(times_of(one, data.shape[0], path))
    if (np.diff(times) <= 0).any():
        raise AssemblyError("samples follow on each other", f"those of '{one.name}' do not", "sort them in the file")
    edges = np.searchsorted(times, whole_microseconds(shown.onsets)[:, None, None] + bins)
    empty = edges[..., 1] <= edges[..., 0]
    if empty.any():
        raise AssemblyError(
            "every bin of every presentation has a sample",
            f"{int(empty.sum())} of {empty.size} have none in '{one.name}'",
            "ask for wider bins, or for bins that the series covers",
        )
    values = np.empty((len(edges), data.shape[1], len(bins)), np.float32)
    for i, of_presentation in enumerate(edges):
        first, last = int(of_presentation[:, 0].min()), int(of_presentation[:, 1].max())
        span = np.asarray(data[first:last], np.float64) * float(one.conversion) + float(one.offset)
        for t, (start, end) in enumerate(of_presentation - first):
            values[i, :, t] = span[start:end].mean(0)
    if nwb.units is not None and len(nwb.units) == data.shape[1]:
        coords, subject, region = _about_units(nwb, path, shown, options)
    else:
        coords = {NEUROID_ID: np.arange(data.shape[1]).astype(str)}
        own_subject = options.subject or (nwb.subject.subject_id if nwb.subject is not None else None)
        if own_subject is None or options.region is None:
            raise AssemblyError(
                "a recording tells its subject and region",
                f"it has no row of units for each of the {data.shape[1]} in '{one.name}'",
                "give subject and region",
            )
        subject, region = own_subject, options.region
    return make_assembly(
        values,
        stimulus_id=shown.stimulus_id,
        repetition=number_showings(shown.stimulus_id, shown.onsets),
        neuroid_id=coords.pop(NEUROID_ID),
        subject=subject,
        region=region,
        time_bins=time_bins,
        presentation_coords=shown.coords,
        neuroid_coords=coords,
        attrs=shown.attrs,
    )
