"""Open NWB files from anywhere, and what their tables have in common.

NWB (Neurodata Without Borders) is HDF5 with a schema; pynwb knows the schema. Before pynwb sees a file, its links are
walked: nothing may lead out of it (`linked_hdf5`). Data sets stay on disk until a column of them is asked for, and each
is read only if what it declares is in proportion to what is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import h5py
import numpy as np

from neurofit.data.readers.checks import naming_foreign_errors, reading
from neurofit.data.readers.linked_hdf5 import check_dataset, opened_linked_hdf5
from neurofit.errors import AssemblyError, MissingExtraError, UnknownNameError, listed

START_TIME, STOP_TIME = "start_time", "stop_time"  # NWB's names of the columns of every table of intervals, s
IMAGE_INDEX = "image_index"  # column that we give to a series of indices into images
_WHAT = "an NWB file"


class Table(NamedTuple):
    """Intervals in which something was shown or happened.

    Parameters
    ----------
    name : str
        As the file has it: 'trials', 'presentations', 'behavior/fixations'.
    columns : dict of str to array (rows,)
        Text (dtype U), numbers or truth values; what is ragged, of more dimensions or refers to other tables is left
        out.
    left_out : list of str
        Columns that are none of these.
    """

    name: str
    columns: dict[str, np.ndarray]
    left_out: list[str]

    @property
    def n_rows(self) -> int:
        """How many intervals there are."""
        return len(next(iter(self.columns.values()), ()))


def pynwb_module() -> ModuleType:
    """Return pynwb.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import pynwb
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "NWB files are read and written with pynwb", "it is not installed", 'pip install "neurofit[nwb]"'
        ) from error
    return pynwb


@contextmanager
def opened_nwb(path: Path) -> Iterator[Any]:
    """Open an NWB file for reading; yields pynwb's NWBFile.

    Raises
    ------
    MissingExtraError
        If pynwb is not installed.
    DataFileError
        If the file cannot be read, is no NWB file, or something in it leads out of it.
    """
    pynwb = pynwb_module()
    with reading(path, _WHAT), opened_linked_hdf5(path) as file:
        if "nwb_version" not in file.attrs:
            raise AssemblyError("an NWB file states its version", "there is none", "use the reader of its own format")
        remedy = "validate it (python -m pynwb.validate), or write it anew"
        with (
            naming_foreign_errors(path, f"{_WHAT} keeps NWB's schema", remedy),
            pynwb.NWBHDF5IO(file=file, mode="r", load_namespaces=True) as io,
        ):
            yield io.read()


def presentation_tables(nwb: Any, path: Path) -> dict[str, Table]:
    """Return everything in a file that could say when which stimulus was shown, by name.

    Tables of intervals (`intervals`, trials and epochs among them, and those in processing modules), and series of
    indices into images (`stimulus/presentation`), whose images become the column `image_index` or, where they are
    files, `image_name`.
    """
    from pynwb.epoch import TimeIntervals
    from pynwb.image import IndexSeries

    tables = {str(t.name): t for t in (nwb.intervals or {}).values()}
    for one in (nwb.trials, nwb.epochs, nwb.invalid_times):
        if one is not None:
            tables.setdefault(str(one.name), one)
    for module in nwb.processing.values():
        inside = module.data_interfaces.values()
        tables |= {f"{module.name}/{one.name}": one for one in inside if isinstance(one, TimeIntervals)}
    found = {name: table_of(one, name, path) for name, one in tables.items()}
    for one in nwb.stimulus.values():
        if isinstance(one, IndexSeries):
            name = f"stimulus/{one.name}"
            found[name] = _table_of_series(one, name, path)
    return found


def table_of(table: Any, name: str, path: Path) -> Table:
    """Return the flat columns of one of pynwb's tables, and its row ids as 'id'."""
    columns = {n: plain_column(table, n, path) for n in ("id", *table.colnames)}
    flat = {n: values for n, values in columns.items() if values is not None and len(values) == len(table)}
    return Table(name, flat, [n for n in columns if n not in flat])


def plain_column(table: Any, name: str, path: Path) -> np.ndarray | None:
    """Return a column (rows,) of text, numbers or truth values; None if it is otherwise."""
    column = table.id if name == "id" else getattr(table, name, None)
    if column is None or type(column).__name__ not in ("VectorData", "ElementIdentifiers", "EnumData"):
        return None
    return plain_array(column.data, path)


def plain_array(data: Any, path: Path) -> np.ndarray | None:
    """Return data of one dimension as text, numbers or truth values; None if it is otherwise."""
    if isinstance(data, h5py.Dataset):
        if data.ndim != 1 or (data.dtype.hasobject and h5py.check_string_dtype(data.dtype) is None):
            return None
        check_dataset(data, path)
    elif not isinstance(data, list | tuple | np.ndarray):
        return None
    values = np.asarray(data[:])
    if values.ndim == 1 and values.dtype.kind in "OS":
        values = np.array([v.decode() if isinstance(v, bytes) else v for v in values.tolist()])
    return values if values.ndim == 1 and values.dtype.kind in "Ubiuf" else None


def _table_of_series(series: Any, name: str, path: Path) -> Table:
    index = plain_array(series.data, path)
    if index is None:
        return Table(name, {}, ["data"])
    columns = {START_TIME: times_of(series, len(index), path), IMAGE_INDEX: index}
    images = _names_of_images(series, path)
    if len(images) and len(index) and index.min() >= 0 and index.max() < len(images):
        columns["image_name"] = images[index.astype(int)]
    return Table(name, columns, [])


def _names_of_images(series: Any, path: Path) -> np.ndarray:
    """Return what the images are called that a series refers to, in their order; none where the file does not say."""
    images, frames = getattr(series, "indexed_images", None), getattr(series, "indexed_timeseries", None)
    if images is not None and images.order_of_images is not None:
        references = images.order_of_images.data
        return np.array([str(references[i].name) for i in range(len(references))])
    files = None if frames is None or frames.external_file is None else plain_array(frames.external_file, path)
    return np.array([], str) if files is None else files


def times_of(series: Any, n: int, path: Path) -> np.ndarray:
    """Return when the n samples of a TimeSeries are, (n,) s: its timestamps, or its start and rate."""
    if series.timestamps is not None:
        times = plain_array(series.timestamps, path)
        if times is None or len(times) != n:
            raise AssemblyError(
                "a series has a time for every sample", f"'{series.name}' has others", "use another series"
            )
        return times.astype(np.float64)
    if not series.rate:
        raise AssemblyError("a series has timestamps or a rate", f"'{series.name}' has neither", "use another series")
    return float(series.starting_time or 0.0) + np.arange(n) / float(series.rate)


def chosen_table(tables: dict[str, Table], name: str | None, stimulus: str | None) -> Table:
    """Return the table asked for, or the only one that has the column of stimuli.

    Raises
    ------
    UnknownNameError
        If there is no such table.
    AssemblyError
        If no table, or several, have a column of stimuli.
    """
    if name is not None:
        if name not in tables:
            raise UnknownNameError("table", name, tables)
        return tables[name]
    having = [t for t in tables.values() if _stimulus_columns(t, stimulus)]
    if len(having) != 1:
        described = [f"{t.name} ({listed(t.columns, 12)})" for t in having or tables.values()]
        raise AssemblyError(
            f"one table says when which stimulus was shown, in a column {stimulus or listed(STIMULUS_COLUMNS, 12)}",
            f"the file has {listed(described, 6) or 'no tables of intervals'}",
            "name the table and the column",
        )
    return having[0]


def chosen_column(table: Table, name: str | None, what: str, usual: Sequence[str]) -> np.ndarray:
    """Return the column asked for, or the first of the usual ones.

    Raises
    ------
    UnknownNameError
        If there is no such column.
    AssemblyError
        If none was asked for and none of the usual ones is there.
    """
    if name is not None:
        if name not in table.columns:
            raise UnknownNameError(f"column of '{table.name}'", name, table.columns)
        return table.columns[name]
    for one in usual:
        if one in table.columns:
            return table.columns[one]
    raise AssemblyError(
        f"the table '{table.name}' has a column of {what}: {listed(usual, 12)}",
        f"it has {listed(table.columns, 15)}",
        f"name the column of {what}",
    )


# What stimuli are called in NWB files of vision, first wins: our own word, Brain-Score's, and what DANDI sets have.
STIMULUS_COLUMNS = (
    "stimulus_id", "image_id", "stimulus_name", "image_name", "stim_id", "stimulus", "image", "stim_name", "frame",
    "stimulus_index", IMAGE_INDEX,
)  # fmt: skip


def _stimulus_columns(table: Table, asked: str | None) -> list[str]:
    return [name for name in ((asked,) if asked else STIMULUS_COLUMNS) if name in table.columns]
