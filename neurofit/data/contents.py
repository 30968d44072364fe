"""What is in a file: tables, columns, and which of them could say what was shown and where was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from neurofit.assembly.schema import time_bins_of
from neurofit.data.formats import FORMATS, NWB, RASTERS, ReadOptions, recognise
from neurofit.data.readers.checks import reading
from neurofit.data.readers.nwb import REGION_COLUMNS, number_series
from neurofit.data.readers.nwb_file import (
    START_TIME,
    STIMULUS_COLUMNS,
    Table,
    opened_nwb,
    presentation_tables,
    table_of,
)
from neurofit.data.readers.nwb_recording import read_own
from neurofit.data.readers.raster_files import STIMULUS_LABELS, raster_files, read_raster
from neurofit.errors import NeurofitError
from neurofit.files.hdf5_look import look_at_hdf5
from neurofit.vocabulary import REGION, REPETITION, STIMULUS_ID, SUBJECT

MAX_EXAMPLES = 3
_TIMES = (START_TIME, "stop_time", "id")


def contents_of(path: str | Path) -> dict[str, Any]:
    """Describe a file of any format of `formats`.

    Returns
    -------
    dict
        `format`; for a binned recording `recording` (see `summary_of`); for NWB and rasters `tables`: by name, rows and
        columns with their kind, number of distinct values and examples; `stimulus_columns` and `region_columns`, those
        that could be asked for, most likely first.

    Raises
    ------
    NeurofitError
        If it cannot be read.
    """
    path = Path(path)
    name = recognise(path)
    head = {"path": str(path), "format": name, "title": FORMATS[name].title}
    if name == NWB:
        return head | _of_nwb(path)
    if name == RASTERS:
        return head | _of_rasters(path)
    try:
        return head | {"recording": summary_of(FORMATS[name].read([path], ReadOptions()))}
    except NeurofitError as error:  # what a file lacks is part of what it holds
        return head | {"incomplete": str(error), "datasets": _datasets(path)}


def summary_of(recording: Any) -> dict[str, Any]:
    """Return the counts of an assembly: presentations, stimuli, repetitions, neuroids by region, bins, responses."""
    stimuli, shown = np.unique(recording[STIMULUS_ID].values.astype(str), return_counts=True)
    bins = time_bins_of(recording)
    where = recording[REGION if REGION in recording.coords else "layer"].values.astype(str)
    regions, counts = np.unique(where, return_counts=True)
    return {
        "presentations": recording.sizes["presentation"],
        "stimuli": len(stimuli),
        "repetitions": [int(shown.min()), int(shown.max())] if REPETITION in recording.coords else [1, 1],
        "neuroids": recording.sizes["neuroid"],
        "regions": dict(zip(regions.tolist(), counts.tolist(), strict=True)),
        "subjects": sorted(set(recording[SUBJECT].values.astype(str).tolist())),
        "time_bins": len(bins),
        "time_span_ms": [min(b[0] for b in bins), max(b[1] for b in bins)],
        "sum": float(recording.values.sum(dtype=np.float64)),
        "mean": float(recording.values.mean(dtype=np.float64)),
        "dtype": str(recording.dtype),
        "attrs": {str(k): v.item() if isinstance(v, np.generic) else v for k, v in recording.attrs.items()},
    }


def _of_nwb(path: Path) -> dict[str, Any]:
    with opened_nwb(path) as nwb:
        own = read_own(nwb, path)
        tables = presentation_tables(nwb, path)
        described = {name: _described(table) for name, table in tables.items()}
        of_units: list[str] = []
        for name, table in (("units", nwb.units), ("electrodes", nwb.electrodes)):
            if table is not None:
                plain = table_of(table, name, path)
                described[name] = _described(plain)
                of_units += [f"{name}: {column}" for column in REGION_COLUMNS if column in plain.columns]
        return {
            "subject": None if nwb.subject is None else nwb.subject.subject_id,
            "session_start": str(nwb.session_start_time),
            "units": 0 if nwb.units is None else len(nwb.units),
            "spike_times": nwb.units is not None and "spike_times" in nwb.units.colnames,
            "series": {name: list(getattr(one.data, "shape", ())) for name, one in number_series(nwb).items()},
            "tables": described,
            "stimulus_columns": _candidates_of(tables),
            "region_columns": of_units,
        } | ({} if own is None else {"recording": summary_of(own)})


def _of_rasters(path: Path) -> dict[str, Any]:
    files = raster_files([path])
    raster = read_raster(files[0])
    first = raster.first_ms
    labels = Table("labels", dict(raster.labels), [])
    usual = [name for name in STIMULUS_LABELS if name in raster.labels]
    return {
        "files": len(files),
        "of_the_first": raster.name,
        "time_span_ms": None if first is None else [first, first + raster.spikes.shape[1]],
        "spikes": int(raster.spikes.sum()),
        "tables": {"labels": _described(labels)},
        "site": dict(raster.site),
        "stimulus_columns": usual + [name for name in _candidates(labels) if name not in usual],
        "region_columns": [name for name in raster.site if name in ("region", "brain_area", "area")],
    }


def _described(table: Table) -> dict[str, Any]:
    columns = {}
    for name, values in table.columns.items():
        distinct = pd.unique(pd.Series(values))
        kind = {"U": "text", "f": "number", "b": "truth value"}.get(values.dtype.kind, "whole number")
        columns[name] = {"kind": kind, "distinct": len(distinct), "examples": [str(v) for v in distinct[:MAX_EXAMPLES]]}
    return {"rows": table.n_rows, "columns": columns, "other_columns": table.left_out}


def _candidates(table: Table) -> list[str]:
    """Return the columns that could name a stimulus: the usual ones, then text and whole numbers that repeat."""
    usual = [name for name in STIMULUS_COLUMNS if name in table.columns]
    others = []
    for name, values in table.columns.items():
        if name in (*usual, *_TIMES) or values.dtype.kind not in "Uiu":
            continue
        if 1 < len(np.unique(values)) < len(values):
            others.append(name)
    return usual + others


def _candidates_of(tables: Mapping[str, Table]) -> list[str]:
    """Return 'TABLE: COLUMN' of what could name a stimulus, usual names first."""
    pairs = [(name, column) for name, table in tables.items() for column in _candidates(table)]
    return [f"{name}: {column}" for name, column in sorted(pairs, key=lambda pair: pair[1] not in STIMULUS_COLUMNS)]


def _datasets(path: Path) -> dict[str, str]:
    """Return name, shape and type of the data sets of an HDF5 file."""
    if not h5py.is_hdf5(path):
        return {}
    look_at_hdf5(path, whole=False)
    found: dict[str, str] = {}

    def collect(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and len(found) < 100:
            found[name] = f"{item.shape} {item.dtype}"

    with reading(path, "an HDF5 file"), h5py.File(path, "r") as file:
        file.visititems(collect)
    return found
