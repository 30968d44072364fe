"""Brain-Score's netCDF packaging of recordings and of model activations.

What such files have in common, as seen in public ones: one variable on two or three dimensions in any order, whose
MultiIndexes are flattened to plain coordinates; dimensions that may have any name; `image_id` where newer files say
`stimulus_id` (activations may have only the path of the image, whose stem is that id); `animal` for the subject; and,
where there is one time bin, a dimension of length one, two scalars, or nothing at all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import h5netcdf
import numpy as np
import pandas as pd
import xarray as xr

from neurofit.assembly.storage import declared_bytes
from neurofit.data.readers.checks import label_responses, labels, naming_foreign_errors, reading, whole_numbers
from neurofit.data.readers.hdf5 import opened_hdf5
from neurofit.errors import DataFileError, UnknownNameError, listed
from neurofit.files.expansion import check_expansion
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
    TIME_BIN,
    TIME_BIN_END,
    TIME_BIN_START,
)

REPETITION_NUMBERED = "repetition_numbered"  # attribute: 1 where the ordinals are not the file's own
REPETITION_IN_FILE = "repetition_in_file"  # coordinate: what the file said instead
ALIASES = "neurofit_aliases"  # attribute of files that we write: coordinates that only repeat others under their names

_STIMULUS_NAMES = (STIMULUS_ID, "image_id", "stimulus_path")
_SUBJECT_NAMES = (SUBJECT, "animal")
_ONE_FOR_ALL = (*_SUBJECT_NAMES, REGION, SUBREGION, LAYER)  # a selection before packaging leaves these as scalars
_BLOCK_BYTES = 32 * 2**20  # read at once, unless a chunk of the file is larger
_WHAT = "a recording in Brain-Score's packaging"


@dataclass(frozen=True)
class _Packaged:
    """An open file: responses not yet read, coordinates read and sorted by dimension of the contract."""

    path: Path
    responses: xr.DataArray
    dims: Mapping[str, str]  # dimension of the contract -> dimension of the file
    columns: dict[str, dict[str, np.ndarray]]


def read_brainscore(
    path: str | Path,
    *,
    variable: str | None = None,
    regions: Sequence[str] | None = None,
    time_bins: Sequence[tuple[int, int]] | None = None,
    subject: str | None = None,
    region: str | None = None,
    time_bin: tuple[int, int] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Read a recording, or activations, in Brain-Score's packaging.

    Parameters
    ----------
    path : path
    variable : str, optional
        The variable that holds the responses; by default the only one with two or three dimensions.
    regions : sequence of str, optional
        Regions or subregions to read; all by default. Blocks (32 MiB) without them are not read from disk.
    time_bins : sequence of (start, end), optional
        In ms, each a bin of the file; all by default.
    subject, region, time_bin : str, str, (start, end) in ms; optional
        For files that do not say them; it is an error to give what a file says.
    attrs : mapping, optional
        Added to the attributes of the file's variable.

    Returns
    -------
    xarray.DataArray (presentation, neuroid, time_bin)
        In the file's precision (integers become float32), with all coordinates that lie on one of its dimensions.
        Where repetitions are missing although stimuli repeat, or (stimulus_id, repetition) is not unique (ordinals
        that restart), showings are numbered from 0 in the file's order, `attrs["repetition_numbered"]` is 1 and the
        coordinate `repetition_in_file` keeps what the file said. Dates stay the numbers that the file holds.

    Raises
    ------
    DataFileError
        If the file cannot be read, is of another kind, lacks what the contract needs, or has not the time bins asked.
    UnknownNameError
        If the variable or a region does not exist.
    """
    path = Path(path)
    with _opened(path, variable) as packaged:
        _complete(packaged, {SUBJECT: subject, REGION: region}, time_bin)
        extra = _number_repetitions(packaged.columns[PRESENTATION])
        wanted = {
            PRESENTATION: np.arange(len(packaged.columns[PRESENTATION][STIMULUS_ID])),
            NEUROID: _rows_of(packaged, regions),
            TIME_BIN: _bins_of(packaged, time_bins),
        }
        values = _read_values(packaged, wanted)
        columns = {dim: {k: v[wanted[dim]] for k, v in packaged.columns[dim].items()} for dim in ASSEMBLY_DIMS}
        return label_responses(values, columns, _own_attrs(packaged.responses) | extra | dict(attrs or {}))


def what_is_lacking(path: str | Path) -> set[str]:
    """Return which of subject, region and time_bin a file does not tell, so that `read_brainscore` is given them.

    Raises
    ------
    DataFileError
        As `read_brainscore`.
    """
    with _opened(Path(path), None) as packaged:
        neuroids, bins = packaged.columns[NEUROID], packaged.columns[TIME_BIN]
        there = {
            SUBJECT: not neuroids.keys().isdisjoint(_SUBJECT_NAMES),
            REGION: not neuroids.keys().isdisjoint((REGION, LAYER)),
            TIME_BIN: TIME_BIN_START in bins,
        }
    return {name for name, told in there.items() if not told}


@contextmanager
def _opened(path: Path, variable: str | None) -> Iterator[_Packaged]:
    """Open a file as what it packages; what goes wrong with it in the block is a `DataFileError`."""
    with reading(path, _WHAT):
        with opened_hdf5(path):
            pass  # sound as HDF5; next, netCDF
        with _opened_netcdf(path) as dataset:
            with naming_foreign_errors(path, f"{_WHAT} is netCDF-4", "fetch or write the file anew"):
                check_expansion(path, declared_bytes(dataset))
                packaged = _unpack(dataset, _responses(dataset, variable, path), path)
            yield packaged


@contextmanager
def _opened_netcdf(path: Path) -> Iterator[xr.Dataset]:
    """Open a file through a store of our own: xarray leaves a file open that it cannot read."""
    with ExitStack() as stack:
        with naming_foreign_errors(path, f"{_WHAT} is netCDF-4", "fetch or write the file anew"):
            file = stack.enter_context(h5netcdf.File(path, "r", decode_vlen_strings=True))
            dataset = xr.open_dataset(xr.backends.H5NetCDFStore(file), decode_times=False)
        yield dataset


def _responses(dataset: xr.Dataset, variable: str | None, path: Path) -> xr.DataArray:
    """Return the variable that holds the responses, not yet read."""
    candidates = [str(name) for name, array in dataset.data_vars.items() if array.ndim in (2, 3)]
    if variable is not None and variable not in candidates:
        raise UnknownNameError("variable", variable, candidates)
    if variable is None and len(candidates) != 1:
        raise DataFileError(
            f"{_WHAT} has one variable of two or three dimensions",
            f"{path} has {listed(candidates) or 'none'}",
            "name one with variable=..." if candidates else "use the reader of its own format",
        )
    return dataset[variable or candidates[0]]


def _unpack(dataset: xr.Dataset, responses: xr.DataArray, path: Path) -> _Packaged:
    """Read the coordinates and find out which dimension is which."""
    aliases = str(responses.attrs.get(ALIASES, "")).split()
    found = {
        str(name): _text_or_numbers(array.values)
        for name, array in dataset.variables.items()
        if array.ndim <= 1 and set(array.dims) <= set(responses.dims) and name not in aliases
    }
    dim_of = {name: str(dataset[name].dims[0]) for name, values in found.items() if values.ndim}
    stimulus = next((name for name in _STIMULUS_NAMES if name in dim_of), None)
    if stimulus is None or NEUROID_ID not in dim_of:
        raise DataFileError(
            f"{_WHAT} names its stimuli ({listed(_STIMULUS_NAMES)}) and its neuroids ({NEUROID_ID})",
            f"{path} has the coordinates {listed(sorted(found), 12) or '(none)'}",
            "use the reader of its own format",
        )
    dims = {PRESENTATION: dim_of[stimulus], NEUROID: dim_of[NEUROID_ID]}
    if TIME_BIN_START in dim_of:
        dims[TIME_BIN] = dim_of[TIME_BIN_START]
    if sorted(dims.values()) != sorted(str(d) for d in responses.dims):
        raise DataFileError(
            f"the dimensions of {_WHAT} are those of its stimuli, its neuroids and its time bins",
            f"{path} has {responses.dims}, of which these are {listed(dims.values())}",
            "reduce or name the others (time bins have the coordinates time_bin_start and time_bin_end)",
        )
    columns = {ours: {n: found[n] for n, dim in dim_of.items() if dim == theirs} for ours, theirs in dims.items()}
    columns.setdefault(TIME_BIN, {})
    if stimulus != STIMULUS_ID:
        ids = columns[PRESENTATION][stimulus]
        if stimulus == "stimulus_path":
            ids = np.array([PurePosixPath(p).stem for p in ids.astype(str)])
        columns[PRESENTATION][STIMULUS_ID] = ids
    _spread_scalars(columns, {name: values for name, values in found.items() if not values.ndim})
    return _Packaged(path, responses, dims, columns)


def _text_or_numbers(values: np.ndarray) -> np.ndarray:
    """Return text as NumPy text; how it was stored depends on the versions of netCDF and xarray."""
    if values.dtype.kind == "S" or (values.dtype.kind == "O" and any(isinstance(v, bytes) for v in values.flat)):
        return np.char.decode(values.astype(bytes), "utf-8")
    return values if values.dtype.kind in "biuf" else values.astype(str)


def _spread_scalars(columns: dict[str, dict[str, np.ndarray]], scalars: Mapping[str, np.ndarray]) -> None:
    """Give every neuroid or time bin the value that the file holds once."""
    n_neuroids = len(columns[NEUROID][NEUROID_ID])
    for name, value in scalars.items():
        if name in _ONE_FOR_ALL:
            columns[NEUROID][name] = np.full(n_neuroids, value)
        elif name in (TIME_BIN_START, TIME_BIN_END):
            columns[TIME_BIN][name] = value.reshape(1)


def _complete(packaged: _Packaged, given: Mapping[str, str | None], time_bin: tuple[int, int] | None) -> None:
    """Add subject, region and time bin where the file lacks them; never overrule it."""
    neuroids, bins = packaged.columns[NEUROID], packaged.columns[TIME_BIN]
    if "animal" in neuroids:
        neuroids.setdefault(SUBJECT, neuroids.pop("animal"))
    for name, value in given.items():
        own = neuroids.get(name, neuroids.get(LAYER) if name == REGION else None)  # activations have layers instead
        _check_one_source(name, own, value, packaged.path)
        if value is not None:
            neuroids[name] = np.full(len(neuroids[NEUROID_ID]), value)
    for name in (SUBJECT, REGION, SUBREGION, LAYER):
        if name in neuroids:
            neuroids[name] = labels(neuroids[name], name)
    _check_one_source("time_bin", bins.get(TIME_BIN_START), time_bin, packaged.path)
    if time_bin is not None:
        bins[TIME_BIN_START], bins[TIME_BIN_END] = np.array(time_bin).reshape(2, 1)


def _check_one_source(name: str, own: np.ndarray | None, given: object, path: Path) -> None:
    """Refuse what is told twice or not at all."""
    if own is None and given is None:
        raise DataFileError(f"a recording tells its {name}", f"{path} does not", f"give {name}=...")
    if own is not None and given is not None:
        raise DataFileError(
            f"{name} is for files that do not tell it",
            f"{path} says {listed(np.unique(own).tolist())} and {given} is given",
            f"leave out {name}=..." + ("" if name == SUBJECT else f"; to read a part, use {name}s=[...]"),
        )


def _own_attrs(responses: xr.DataArray) -> dict[str, Any]:
    """Return those attributes of the file's variable that are text or single numbers."""
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in responses.attrs.items()}
    return {name: value for name, value in plain.items() if isinstance(value, str | int | float) and name != ALIASES}


def _number_repetitions(presentations: dict[str, np.ndarray]) -> dict[str, int]:
    """Number the showings of each stimulus where the file does not do so uniquely, and say so in an attribute."""
    presentations[STIMULUS_ID] = labels(presentations[STIMULUS_ID], STIMULUS_ID)
    showings = pd.DataFrame({name: presentations[name] for name in (STIMULUS_ID, REPETITION) if name in presentations})
    if not showings.duplicated().any():
        return {}
    if REPETITION in presentations:
        presentations[REPETITION_IN_FILE] = presentations[REPETITION]
    presentations[REPETITION] = showings.groupby(STIMULUS_ID).cumcount().to_numpy()
    return {REPETITION_NUMBERED: 1}


def _rows_of(packaged: _Packaged, regions: Sequence[str] | None) -> np.ndarray:
    """Return the neuroids (indices) of regions or subregions, in the file's order."""
    neuroids = packaged.columns[NEUROID]
    inside = np.full(len(neuroids[NEUROID_ID]), regions is None)
    names = [neuroids[name] for name in (REGION, SUBREGION) if name in neuroids]
    for region in regions or ():
        of_region = np.any([values == region for values in names], axis=0)
        if not of_region.any():
            raise UnknownNameError("region", region, {str(n) for values in names for n in values})
        inside |= of_region
    return np.flatnonzero(inside)


def _bins_of(packaged: _Packaged, time_bins: Sequence[tuple[int, int]] | None) -> np.ndarray:
    """Return the indices of the time bins asked for, in the file's order."""
    column = packaged.columns[TIME_BIN]
    starts, ends = (whole_numbers(column[name], name).tolist() for name in (TIME_BIN_START, TIME_BIN_END))
    own = list(zip(starts, ends, strict=True))
    if time_bins is None:
        return np.arange(len(own))
    wanted = {(int(start), int(end)) for start, end in time_bins}
    unknown = sorted(wanted - set(own))
    if unknown:
        raise DataFileError(
            "the time bins to read are bins of the file",
            f"{listed(unknown)} ms are not among {listed(own)} ms of {packaged.path}",
            "ask for bins of the file, and change them afterwards with neurofit.rebin",
        )
    return np.flatnonzero([one in wanted for one in own])


def _read_values(packaged: _Packaged, wanted: Mapping[str, np.ndarray]) -> np.ndarray:
    """Read the wanted responses (presentations, neuroids, time bins) block by block, each straight to its place.

    Files may be larger than memory: only blocks with wanted responses are read, and of these only the span of them.
    """
    lazy = packaged.responses.variable
    contract = {theirs: ours for ours, theirs in packaged.dims.items()}
    in_file = [contract[str(dim)] for dim in lazy.dims]
    ordered = [dim for dim in ASSEMBLY_DIMS if dim in in_file]
    values = np.empty([len(wanted[dim]) for dim in ordered], lazy.dtype)
    target = values.transpose([ordered.index(dim) for dim in in_file])
    block = _block_shape(lazy.shape, lazy.encoding.get("chunksizes") or (1,) * lazy.ndim, lazy.dtype.itemsize)
    parts = [list(_parts(wanted[dim], size)) for dim, size in zip(in_file, block, strict=True)]
    for pieces in itertools.product(*parts):
        span = lazy[tuple(slice(int(i[0]), int(i[-1]) + 1) for _, i in pieces)].values
        target[tuple(place for place, _ in pieces)] = span[np.ix_(*(i - i[0] for _, i in pieces))]
    return values if TIME_BIN in in_file else values[:, :, None]


def _block_shape(shape: Sequence[int], chunks: Sequence[int], itemsize: int) -> list[int]:
    """Return how much to read at once: whole chunks, as long in the last dimensions as `_BLOCK_BYTES` allows."""
    block = list(chunks)
    for axis in reversed(range(len(shape))):
        room = _BLOCK_BYTES // (math.prod(block) * itemsize)
        block[axis] = min(shape[axis], block[axis] * max(1, room))
    return block


def _parts(indices: np.ndarray, size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Cut ascending indices at multiples of `size`; yield where each part stands among all, and the part."""
    cuts = np.flatnonzero(np.diff(indices // size)) + 1
    for start, stop in itertools.pairwise([0, *cuts.tolist(), len(indices)]):
        if start < stop:
            yield slice(start, stop), indices[start:stop]
