"""What every reader does alike: bound what a file declares, name what is wrong with it, and label the responses."""

from __future__ import annotations

import csv
import math
import tarfile
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import xarray as xr

from neurofit.assembly.build import make_assembly
from neurofit.errors import AssemblyError, DataFileError, NeurofitError, listed
from neurofit.vocabulary import (
    NEUROID,
    NEUROID_ID,
    PRESENTATION,
    REPETITION,
    STIMULUS_ID,
    SUBJECT,
    TIME_BIN,
    TIME_BIN_END,
    TIME_BIN_START,
)

TIME_TOLERANCE = 1e-6  # how far a whole number stored as a float may lie from it

# What NumPy, h5py, h5netcdf, xarray, zipfile, tarfile and csv were seen to raise on damaged files (tests flip and cut
# bytes).
_LIBRARY_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    OverflowError,
    MemoryError,
    EOFError,
    SyntaxError,
    tokenize.TokenError,
    csv.Error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)

Columns = Mapping[str, Mapping[str, np.ndarray]]


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn what libraries raise on a missing, damaged or foreign file, and a broken contract, into `DataFileError`."""
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise DataFileError(f"{what} is a file", f"{path} {found}", "check the path, or fetch the dataset first")
    try:
        yield
    except AssemblyError as error:
        raise DataFileError(error.promise, f"{path}: {error.found}", error.remedy) from error
    except _LIBRARY_ERRORS as error:
        reason = " ".join(str(error).split())[:300]
        raise DataFileError(
            f"{what} can be read",
            f"{path}: {type(error).__name__}: {reason}",
            "fetch or write the file anew, or use the reader of its own format",
        ) from error


@contextmanager
def naming_foreign_errors(path: Path, promise: str, remedy: str) -> Iterator[None]:
    """Turn whatever a library raises on a file that breaks its schema into one sentence, and leave out its warnings.

    Only for blocks of foreign code: an error of ours would be taken for one of the file. xarray, h5netcdf, pynwb and
    hdmf raise bare Exceptions, and whatever their code runs into.

    Raises
    ------
    DataFileError
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files of older schemata, of dimensions without names: all checked later
        try:
            yield
        except NeurofitError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise DataFileError(promise, f"{path}: {type(error).__name__}: {reason}", remedy) from error


def read_npy(handle: IO[bytes], size: int, name: str) -> np.ndarray:
    """Read an array in NumPy's own format, once its header is found to agree with the bytes at hand.

    Parameters
    ----------
    handle : binary file
        Seekable, at its start.
    size : int
        Bytes that it holds.
    name : str
        For messages.

    Raises
    ------
    DataFileError
        If it holds Python objects, or the header declares another size.
    """
    version = np.lib.format.read_magic(handle)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a damaged header may look like one of Python 2
        shape, _, dtype = read_header(handle)
    if dtype.hasobject:
        raise DataFileError(
            "arrays hold numbers or text", f"{name} holds Python objects", "convert it, e.g. with .astype(str)"
        )
    n_items = math.prod(shape)
    declared = handle.tell() + n_items * dtype.itemsize
    if declared != size or (dtype.itemsize == 0 and n_items):
        raise DataFileError(
            "the header of an array agrees with its content",
            f"{name} declares {dtype} of shape {shape} ({declared} bytes) in {size} bytes",
            "fetch or write it anew",
        )
    handle.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return native(np.lib.format.read_array(handle, allow_pickle=False))


def native(values: np.ndarray) -> np.ndarray:
    """Return numbers in the byte order of this machine (PyTorch takes no other)."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def whole_numbers(values: np.ndarray, name: str) -> np.ndarray:
    """Return integers (int64) that may be stored as floats.

    Raises
    ------
    AssemblyError
        If a value is further than `TIME_TOLERANCE` from a whole number.
    """
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    if values.dtype.kind != "f":
        raise AssemblyError(f"'{name}' are whole numbers", f"found dtype {values.dtype}", "store them as integers")
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values are bad ones
        bad = ~((np.abs(values - np.rint(values)) <= TIME_TOLERANCE) & (np.abs(values) < 2**53))
    if bad.any():
        raise AssemblyError(
            f"'{name}' are whole numbers (times in ms)",
            f"found {listed(values[bad].tolist(), 3)}",
            "convert or round them in the file",
        )
    return np.rint(values).astype(np.int64)


def labels(values: np.ndarray, name: str) -> np.ndarray:
    """Return ids and names as text; whole numbers become their digits.

    Raises
    ------
    AssemblyError
        If they are neither.
    """
    return values if values.dtype.kind == "U" else whole_numbers(values, name).astype(str)


def label_responses(values: np.ndarray, columns: Columns, attrs: Mapping[str, Any]) -> xr.DataArray:
    """Build a checked assembly from columns by dimension.

    Parameters
    ----------
    values : array (presentations, neuroids, T bins)
    columns : mapping of dimension to mapping of name to array
        Text is NumPy text (dtype U); the coordinates that the contract requires are among them.
    attrs : mapping

    Raises
    ------
    AssemblyError
        If lengths do not fit or the contract is broken.
    """
    if values.dtype.kind not in "fiu":
        raise AssemblyError("responses are numbers", f"found dtype {values.dtype}", "store them as float32")
    on_presentation: dict[str, Any] = dict(columns[PRESENTATION])
    on_neuroid: dict[str, Any] = dict(columns[NEUROID])
    on_time = dict(columns[TIME_BIN])
    if REPETITION in on_presentation:
        on_presentation[REPETITION] = whole_numbers(on_presentation[REPETITION], REPETITION)
    bins = [whole_numbers(on_time.pop(name), name).tolist() for name in (TIME_BIN_START, TIME_BIN_END)]
    assembly = make_assembly(
        native(values),
        stimulus_id=labels(on_presentation.pop(STIMULUS_ID), STIMULUS_ID).tolist(),
        neuroid_id=labels(on_neuroid.pop(NEUROID_ID), NEUROID_ID).tolist(),
        subject=labels(on_neuroid.pop(SUBJECT), SUBJECT).tolist(),
        time_bins=list(zip(*bins, strict=True)),
        presentation_coords=on_presentation,
        neuroid_coords=on_neuroid,
        attrs=attrs,
    )
    return assembly.assign_coords({name: (TIME_BIN, column) for name, column in on_time.items()})
