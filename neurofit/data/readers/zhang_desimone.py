"""Spike rasters of macaque IT (Zhang et al. 2011) as the R package NeuroDecodeR passes them on.

An R data file for every neuron with one data frame, 'raster_data': a row for every trial with labels and the spikes of
-500 to 500 ms in 1 ms columns. 132 neurons of 21 sessions, seven objects at three positions.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.assembly.time_bins import make_time_bins
from neurofit.data.readers.checks import reading, whole_numbers
from neurofit.data.readers.rasters import (
    Neuron,
    between,
    bin_counts,
    first_millisecond,
    pseudo_population,
    with_progress,
)
from neurofit.errors import AssemblyError, MissingExtraError, listed
from neurofit.files.expansion import FREE_BYTES

N_REPETITIONS = 19
_REGION = "IT"
_FILE = re.compile(r"(bp(\d+)spk_\d+[A-Z])_raster_data\.rda")
_FRAME, _TIME = "raster_data", "time."
_OBJECT, _POSITION = "labels.stimulus_ID", "labels.stimulus_position"
_WHAT = "a raster in R's data format"


def read_zhang_desimone(
    paths: Sequence[str | Path],
    *,
    subject: str,
    start_ms: int = -500,
    end_ms: int = 500,
    width_ms: int = 10,
    n_repetitions: int = N_REPETITIONS,
) -> xr.DataArray:
    """Read the neurons of the seven-object data set as a pseudo-population.

    Parameters
    ----------
    paths : sequence of path
        One file per neuron.
    subject : str
        The animal, which the files do not name.
    start_ms, end_ms, width_ms : int
        Of the time bins.
    n_repetitions : int
        R, see `pseudo_population`. Every stimulus was shown 20 times, but for one trial that the seven neurons of
        session 1006 lack: 19 keep all 132 neurons, 20 keep 125.

    Returns
    -------
    xarray.DataArray (presentation, neuroid, time_bin)
        Spikes per bin; coordinates object_name and position on presentation, session on neuroid. Neurons of one session
        were recorded at the same time, and a presentation holds the same trial of all of them.

    Raises
    ------
    MissingExtraError
        If pyreadr is not installed.
    DataFileError
        If a file cannot be read or holds something else.
    AssemblyError
        If no neuron has R repetitions.
    """
    _pyreadr()  # missing: said before the first file is looked for
    bins = make_time_bins(start_ms, end_ms, width_ms)
    neurons = []
    for path in with_progress([Path(path) for path in paths], "reading rasters"):
        with reading(path, _WHAT):
            stimuli, raster, first = _parse(rda_frame(path))
            counts, _ = bin_counts(between(raster, first, start_ms, end_ms), start_ms, width_ms)
            neuroid_id, session = _named(path)
            neurons.append(Neuron(neuroid_id, subject, stimuli, counts, {"session": session}))
    return pseudo_population(neurons, n_repetitions, bins, describe=_described, region=_REGION)


def _pyreadr() -> ModuleType:
    try:
        import pyreadr
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "R data files are read with pyreadr", "it is not installed", 'pip install "neurofit[r]"'
        ) from error
    return pyreadr


def rda_frame(path: Path) -> pd.DataFrame:
    """Read the data frame of an R data file.

    R's serialisation can hold code: functions, promises, environments, S4 objects. Loading such a file *in R* can run
    some of it. librdata, which pyreadr wraps, is a parser in C that knows vectors, factors and data frames; it has no
    interpreter, evaluates nothing and refuses what it does not know. What is left are mistakes of that parser on
    hostile bytes, so that it is given none that are damaged or swell: gzip's checksum and length are verified first,
    and `neurofit data fetch` takes only files with the hash of the manifest.
    """
    pyreadr = _pyreadr()
    size, start = 0, b""
    with gzip.open(path) as content:
        while piece := content.read(2**20):
            start = start or piece[:5]
            size += len(piece)
            if size > FREE_BYTES:
                raise AssemblyError(f"a raster unpacks to at most {FREE_BYTES} bytes", "it has more", "check the file")
    if start not in (b"RDX2\n", b"RDX3\n"):
        raise AssemblyError("an R data file starts with RDX2 or RDX3", f"found {start!r}", "write it with R's save()")
    try:
        frames = pyreadr.read_r(str(path))
    except (pyreadr.LibrdataError, pyreadr.PyreadrError) as error:
        raise AssemblyError("an R data file holds a data frame", f"{error}", "fetch it anew") from error
    if list(frames) != [_FRAME]:
        raise AssemblyError(
            f"the file holds one data frame '{_FRAME}'", f"found {listed(frames) or 'none'}", "fetch it anew"
        )
    return frames[_FRAME]


def _parse(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, int]:
    """Return stimulus ids (trials,), the raster (trials, M) and its first ms."""
    absent = [column for column in (_OBJECT, _POSITION) if column not in frame]
    times = [column for column in map(str, frame) if column.startswith(_TIME)]
    if absent or not len(frame):
        raise AssemblyError(
            f"a raster has trials and the columns {_OBJECT} and {_POSITION}",
            f"found {len(frame)} trials and {listed(list(frame), 8)}",
            "check that it is a file of the seven-object data set",
        )
    first = first_millisecond(times)
    raster = whole_numbers(frame[times].to_numpy(np.float64), "spikes per ms")
    if (raster < 0).any():
        raise AssemblyError("spikes are counted from 0", f"found {int(raster.min())}", "fetch the file anew")
    stimuli = frame[_OBJECT].astype(str) + "/" + frame[_POSITION].astype(str)
    return stimuli.to_numpy(str), raster, first


def _named(path: Path) -> tuple[str, str]:
    """Return a neuron's id and session from the name of its file."""
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise AssemblyError(f"rasters are called as {_FILE.pattern}", f"found {path.name}", "keep the authors' names")
    return match[1], match[2]


def _described(stimulus: str) -> dict[str, str]:
    name, position = stimulus.split("/", 1)
    return {"object_name": name, "position": position}
