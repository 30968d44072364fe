"""Spike rasters of macaque face patch AM (Freiwald & Tsao 2010) as the Neural Decoding Toolbox passes them on.

A zip archive with a CSV file for every neuron: a row for every trial with labels and the spikes of 800 ms in 1 ms
columns. 193 neurons, 25 people seen from 8 sides.
"""

from __future__ import annotations

import csv
import re
import zipfile
from pathlib import Path

import numpy as np
import xarray as xr

from neurofit.assembly.time_bins import make_time_bins
from neurofit.data.readers.checks import reading
from neurofit.data.readers.rasters import (
    Neuron,
    between,
    bin_counts,
    first_millisecond,
    pseudo_population,
    with_progress,
)
from neurofit.errors import AssemblyError, listed
from neurofit.files.expansion import check_expansion

N_REPETITIONS = 4
_REGION, _PATCH = "IT", "AM"
_MEMBER = re.compile(r"(?:\w+/)?raster_data_([a-z]+)_am_(site\d+)\.csv")
_TIME = "time."
_MONKEY, _PERSON, _ORIENTATION = "site_info.monkey", "labels.person", "labels.orientation"
_WHAT = "an archive of AM rasters"


def read_freiwald_tsao(
    path: str | Path,
    *,
    start_ms: int = 0,
    end_ms: int = 400,
    width_ms: int = 10,
    n_repetitions: int = N_REPETITIONS,
) -> xr.DataArray:
    """Read the neurons of face patch AM as a pseudo-population.

    Parameters
    ----------
    path : path
        The zip archive.
    start_ms, end_ms, width_ms : int
        Of the time bins. From about 500 ms on the rasters hold the response to a next, unlabelled stimulus (the mean
        rate rises a second time), hence 400.
    n_repetitions : int
        R, see `pseudo_population`. The stimuli were shown very unequally often (0 to 438 times; median 5): R = 2, 3, 4,
        5, 6 leave 176, 141, 84, 52, 36 of the 193 neurons. Four are the fewest whose halves hold two trials each.

    Returns
    -------
    xarray.DataArray (presentation, neuroid, time_bin)
        Spikes per bin; region IT, subregion AM; coordinates person, orientation and object_name (the person, so that
        splits stratify as those of other recordings do) on presentation.

    Raises
    ------
    DataFileError
        If the archive cannot be read, holds something else, or no neuron has R repetitions.
    """
    path = Path(path)
    bins = make_time_bins(start_ms, end_ms, width_ms)
    with reading(path, _WHAT), zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if _MEMBER.fullmatch(m.filename)]
        check_expansion(path, sum(member.file_size for member in members))
        neurons = []
        for member in with_progress(members, f"reading {path.name}"):
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise AssemblyError("rasters are deflated or stored", f"{member.filename} is not", "compress it anew")
            rows, raster = _parse(archive.read(member), member.filename)
            counts, _ = bin_counts(between(raster, 0, start_ms, end_ms), start_ms, width_ms)
            neurons.append(_neuron(rows, counts, member.filename))
        return pseudo_population(
            neurons, n_repetitions, bins, describe=_described, region=_REGION, subregion=_PATCH
        )  # fmt: skip


def _parse(content: bytes, name: str) -> tuple[list[dict[str, str]], np.ndarray]:
    """Split a file into its labels, one mapping a trial, and its raster (trials, M), uint8.

    The raster is a digit and a comma for every ms, so that it is read as bytes from the end of each line: five times
    as fast as pandas' parser, which has 800 fields a line to find.
    """
    header, *lines = content.decode("ascii").splitlines()
    columns = next(csv.reader([header]))
    labels = [column for column in columns if not column.startswith(_TIME)]
    absent = [column for column in (_MONKEY, _PERSON, _ORIENTATION) if column not in labels]
    first = first_millisecond(columns[len(labels) :])
    if absent or first != 1 or not lines:  # columns are numbered from 1: the first is the first ms from onset
        raise AssemblyError(
            f"a raster has the columns {_MONKEY}, {_PERSON}, {_ORIENTATION} and time.1_2 onwards, and trials",
            f"{name} has {len(lines)} trials and begins with {listed(columns, 8)}",
            "check that the archive is the data set of face patch AM",
        )
    width = 2 * (len(columns) - len(labels)) - 1
    # a shorter line leaves fewer bytes: it is filled up with what is no digit
    tails = np.frombuffer("".join(line[-width:].rjust(width) for line in lines).encode("ascii"), np.uint8)
    tails = tails.reshape(len(lines), width)
    raster = tails[:, ::2] - ord("0")  # wraps round below '0'
    # line by line: a quotation mark that is not closed would swallow the lines that follow
    rows = [next(csv.reader([line[:-width]]), []) for line in lines]
    bad = (raster > 9).any(1) | (tails[:, 1::2] != ord(",")).any(1)
    bad |= np.array([len(row) != len(labels) + 1 or row[-1] != "" for row in rows])
    if bad.any():
        raise AssemblyError(
            "a trial of a raster is its labels and a digit for every ms, with commas between",
            f"{int(bad.sum())} lines of {name} are not, the first is number {int(np.argmax(bad)) + 2}",
            "fetch the archive anew",
        )
    return [dict(zip(labels, row, strict=False)) for row in rows], raster


def _neuron(rows: list[dict[str, str]], counts: np.ndarray, name: str) -> Neuron:
    match = _MEMBER.fullmatch(name)
    monkeys = {row[_MONKEY] for row in rows}
    if match is None or monkeys != {match[1]}:
        raise AssemblyError(
            "a raster is of the animal that its file is called after",
            f"{name} is of {listed(sorted(monkeys))}",
            "fetch the archive anew",
        )
    stimuli = [f"{row[_PERSON].zfill(2)}/{row[_ORIENTATION]}" for row in rows]
    return Neuron(f"{match[1]}-{match[2]}", match[1], np.array(stimuli), counts)


def _described(stimulus: str) -> dict[str, str]:
    person, orientation = stimulus.split("/", 1)
    return {"person": person, "orientation": orientation, "object_name": person}
