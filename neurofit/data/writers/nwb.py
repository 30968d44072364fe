"""Write a recording as an NWB file that pynwb's validator passes; the layout is that of `readers.nwb_recording`."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from neurofit.assembly.schema import check_assembly
from neurofit.data.readers.nwb_file import START_TIME, STOP_TIME, pynwb_module
from neurofit.data.readers.nwb_recording import ATTRS, MADE_UP, MODULE, PRESENTATIONS, RESPONSES, TIME_BINS
from neurofit.errors import AssemblyError
from neurofit.files.atomic import atomic_write, reporting_output_errors
from neurofit.vocabulary import NEUROID, PRESENTATION, SUBJECT, TIME_BIN, TIME_BIN_END, TIME_BIN_START

MADE_UP_INTERVAL_S = 1.0  # between presentations whose times are not known
_COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
UNKNOWN_START = datetime(1970, 1, 1, tzinfo=UTC)  # NWB asks for a start of the session; DANDI's word for unknown
_IN_DESCRIPTIONS = {
    "stimulus_id": "what was shown", "repetition": "ordinal of the showing of this stimulus, from 0",
    "neuroid_id": "name of the unit or site", "region": "cortical area", "subject": "who was recorded",
    TIME_BIN_START: "start of the bin, ms from stimulus onset (inclusive)",
    TIME_BIN_END: "end of the bin, ms from stimulus onset (exclusive)",
}  # fmt: skip


def write_nwb(
    assembly: xr.DataArray,
    path: str | Path,
    *,
    session_description: str = "Responses to presentations of stimuli, in time bins",
    session_start: datetime | None = None,
) -> Path:
    """Write an assembly so that `read_nwb` gives the same; an older file stays until the new one is complete.

    Parameters
    ----------
    assembly : xarray.DataArray (presentation, neuroid, time_bin)
        Presentation coordinates start_time and stop_time (s), if both are there, become NWB's own; otherwise times are
        made up, a second apart, and marked so.
    path : path
    session_description : str
    session_start : datetime, optional
        With a time zone; the start of 1970 stands for unknown.

    Raises
    ------
    MissingExtraError
        If pynwb is not installed.
    AssemblyError
        If the assembly breaks the contract, or has coordinates or attributes that the layout has no place for.
    OutputError
        If the file cannot be written.
    """
    pynwb, path = pynwb_module(), Path(path)
    from hdmf.backends.hdf5 import H5DataIO

    check_assembly(assembly)
    subjects = sorted(set(assembly[SUBJECT].values.astype(str).tolist()))
    nwb = pynwb.NWBFile(
        session_description=session_description,
        identifier=hashlib.sha256(np.ascontiguousarray(assembly.values).tobytes()).hexdigest(),
        session_start_time=session_start or UNKNOWN_START,
        subject=pynwb.file.Subject(subject_id=subjects[0]) if len(subjects) == 1 else None,
    )
    shown, made_up = _presentations(assembly)
    nwb.add_time_intervals(
        _table(pynwb.epoch.TimeIntervals, PRESENTATIONS, "One row for every presentation of a stimulus", shown)
    )
    units = _columns(assembly, NEUROID, {c["name"] for c in pynwb.misc.Units.__columns__})
    nwb.units = _table(pynwb.misc.Units, "units", "One row for every recorded unit or site", units)
    module = nwb.create_processing_module(MODULE, "Responses in time bins")
    bins = _columns(assembly, TIME_BIN, set())
    module.add(_table(pynwb.core.DynamicTable, TIME_BINS, "Half-open intervals from stimulus onset", bins))
    module.add(
        pynwb.TimeSeries(
            name=RESPONSES,
            description="Responses (rows of intervals/presentations, rows of units, rows of time_bins)",
            data=H5DataIO(np.ascontiguousarray(assembly.values), fletcher32=True, **_COMPRESSION),
            timestamps=shown[START_TIME],
            unit="n.a.",
            comments=json.dumps({ATTRS: _attrs(assembly), MADE_UP: made_up}),
        )
    )
    content = io.BytesIO()  # on a full disk the HDF5 library would end the process; see assembly.netcdf_file
    with (
        h5py.File(content, "w") as file,
        pynwb.NWBHDF5IO(file=file, mode="w") as written,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", UserWarning)  # of advice on chunking
        written.write(nwb)
    with reporting_output_errors(path), atomic_write(path) as handle:
        handle.write(content.getbuffer())
    return path


def _presentations(assembly: xr.DataArray) -> tuple[dict[str, np.ndarray], bool]:
    """Return the columns of the presentations, and whether their times are made up."""
    columns = _columns(assembly, PRESENTATION, {"tags", "timeseries"})
    there = [name in columns and columns[name].dtype == np.float64 for name in (START_TIME, STOP_TIME)]
    if all(there):
        return columns, False
    if START_TIME in columns or STOP_TIME in columns:
        raise AssemblyError(
            f"{START_TIME} and {STOP_TIME} are seconds in float64, and go together",
            f"found {[str(columns[n].dtype) for n in (START_TIME, STOP_TIME) if n in columns]}",
            "give both, or rename them",
        )
    last = max(int(assembly[TIME_BIN_END].max()), 0) / 1000
    starts = np.arange(assembly.sizes[PRESENTATION]) * max(MADE_UP_INTERVAL_S, last)
    return {START_TIME: starts, STOP_TIME: starts + last} | columns, True


def _columns(assembly: xr.DataArray, dim: str, reserved: set[str]) -> dict[str, np.ndarray]:
    """Return the coordinates of a dimension as columns that NWB can hold under their names."""
    columns = {}
    for name, coordinate in assembly.coords.items():
        if coordinate.ndim != 1:
            raise AssemblyError("coordinates have one dimension", f"'{name}' has {coordinate.ndim}", "leave it out")
        if coordinate.dims != (dim,):
            continue
        values = coordinate.values
        if values.dtype.kind == "O" and all(isinstance(v, str) for v in values):
            values = values.astype(str)
        name = str(name)
        if values.dtype.kind not in "Ubiuf" or name in reserved | {"id", dim} or "/" in name:
            raise AssemblyError(
                "a column of an NWB table is text or numbers, and not called as one of NWB's own",
                f"'{name}' is {values.dtype}",
                f"rename or convert it, or leave it out: assembly.drop_vars('{name}')",
            )
        columns[name] = values
    return columns


def _table(kind: Any, name: str, description: str, columns: Mapping[str, np.ndarray]) -> Any:
    from hdmf.common import ElementIdentifiers, VectorData

    n_rows = len(next(iter(columns.values())))
    return kind(
        name=name,
        description=description,
        id=ElementIdentifiers(name="id", data=np.arange(n_rows)),
        columns=[
            VectorData(
                name=column,
                description=_IN_DESCRIPTIONS.get(column, column),
                data=values.tolist() if values.dtype.kind == "U" else values,
            )
            for column, values in columns.items()
        ],
        colnames=list(columns),
    )


def _attrs(assembly: xr.DataArray) -> dict[str, str | int | float]:
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in assembly.attrs.items()}
    for name, value in plain.items():
        if not isinstance(value, str | bool | int | float):
            raise AssemblyError(
                "attributes are text or single numbers",
                f"'{name}' is {value!r}",
                f"convert or delete it: del assembly.attrs['{name}']",
            )
    return plain
