"""Spike rasters in files of one neuron each: the raster format of the Neural Decoding Toolbox and of NeuroDecodeR.

====================  ===================================================  ============================================
what                  in MATLAB (v5 to v7.3)                                in R (.rda) and CSV: columns of one table
====================  ===================================================  ============================================
spikes in 1 ms        ``raster_data`` (trials, ms)                          ``time.START_END``, one for every ms
labels of trials      ``raster_labels``, a struct of cells or vectors       ``labels.NAME``
about the neuron      ``raster_site_info``, a struct                        ``site_info.NAME``
====================  ===================================================  ============================================

In MATLAB, ``raster_site_info.alignment_event_time`` is the (1-based) column of the first millisecond from onset: with
a, column k is [k - a, k - a + 1) ms. NeuroDecodeR's converter and those of others read it so; without it, `first_ms`
is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.assembly.time_bins import make_time_bins
from neurofit.data.readers.checks import reading, whole_numbers
from neurofit.data.readers.matlab import read_mat, texts_of
from neurofit.data.readers.rasters import (
    Neuron,
    between,
    first_millisecond,
    pseudo_population,
    with_progress,
)
from neurofit.data.readers.zhang_desimone import rda_frame
from neurofit.data.tables import check_lines
from neurofit.errors import AssemblyError, listed, nearest_names
from neurofit.vocabulary import NEUROID_ID, REGION, REPETITION, STIMULUS_ID, SUBJECT, SUBREGION

SUFFIXES = (".mat", ".rda", ".csv")
STIMULUS_LABELS = ("stimulus_ID", "stimulus_id", "stimID", "stim_ID", "image_id", "stimulus", "image")
WIDTH_MS = 10  # of bins, where none are asked for: as the recordings of docs/recordings.md
_SUBJECTS, _REGIONS = ("subject", "monkey", "animal"), ("region", "brain_area", "area")
_DATA, _LABELS, _SITE, _ALIGNED = "raster_data", "raster_labels", "raster_site_info", "alignment_event_time"
_TIME, _LABEL, _SITE_COLUMN = "time.", "labels.", "site_info."
_WHAT = "a raster file"


class Raster(NamedTuple):
    """One neuron as its file has it.

    Parameters
    ----------
    name : str
        The file's, without suffix.
    spikes : array of int (trials, M ms)
    first_ms : int or None
        Where the first column starts, from onset; None where the file does not say.
    labels : mapping of str to array of str (trials,)
    site : mapping of str to str
    """

    name: str
    spikes: np.ndarray
    first_ms: int | None
    labels: Mapping[str, np.ndarray]
    site: Mapping[str, str]


def raster_files(paths: Sequence[str | Path]) -> list[Path]:
    """Return the raster files among paths and in folders among them, by name.

    Raises
    ------
    AssemblyError
        If there are none, or two have the same name.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        found += sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
    names = [path.stem for path in found]
    if not found or len(set(names)) < len(names):
        doubled = sorted({name for name in names if names.count(name) > 1})
        raise AssemblyError(
            f"rasters are files of one neuron each ({', '.join(SUFFIXES)}) of different names",
            f"{listed(doubled)} occur twice" if doubled else f"none in {listed(paths)}",
            "give the folder that holds them",
        )
    return found


def read_raster(path: str | Path) -> Raster:
    """Read the file of one neuron.

    Raises
    ------
    DataFileError
        If it cannot be read, or does not hold a raster.
    MissingExtraError
        If it is R's and pyreadr is not installed.
    """
    path = Path(path)
    with reading(path, _WHAT):
        suffix = path.suffix.lower()
        raster = _of_matlab(path) if suffix == ".mat" else _of_table(path, rda_frame if suffix == ".rda" else _csv)
        spikes = whole_numbers(np.asarray(raster.spikes), "spikes per ms")
        if spikes.size == 0 or (spikes < 0).any():
            found = f"{int(spikes.min())} spikes" if spikes.size else f"the shape {spikes.shape}"
            raise AssemblyError("a raster has trials and spikes counted from 0", f"found {found}", "check the file")
        return raster._replace(spikes=spikes.astype(np.min_scalar_type(spikes.max())))  # all of a folder are in memory


def read_rasters(
    paths: Sequence[str | Path],
    *,
    stimulus: Sequence[str] = (),
    time_bins: Sequence[tuple[int, int]] | None = None,
    first_ms: int | None = None,
    n_repetitions: int | None = None,
    subject: str | None = None,
    region: str | None = None,
) -> xr.DataArray:
    """Read rasters of single neurons as one pseudo-population (see `rasters.pseudo_population`).

    Parameters
    ----------
    paths : sequence of path
        Files, or folders of them.
    stimulus : sequence of str
        Labels that together name a stimulus, joined by '/'; by default the first of `STIMULUS_LABELS` that is there.
        Labels that are the same for all trials of a stimulus become presentation coordinates.
    time_bins : sequence of (start, end), optional
        In ms from onset; by default bins of 10 ms over what all rasters cover.
    first_ms : int, optional
        Where the first column starts, for files that do not say.
    n_repetitions : int, optional
        R; by default as many trials of each stimulus as the neuron with the fewest has.
    subject, region : str, optional
        For files whose site information does not name them (subject, monkey, animal; region, brain_area, area).

    Returns
    -------
    xarray.DataArray (presentation, neuroid, time_bin)
        Spikes per bin, float32. neuroid_id is the name of the file, further site information neuroid coordinates.

    Raises
    ------
    DataFileError
        If a file cannot be read.
    AssemblyError
        If labels, times, subject or region are missing, or no neuron has R repetitions.
    """
    rasters = [read_raster(path) for path in with_progress(raster_files(paths), "reading rasters")]
    rasters = [_placed(raster, first_ms) for raster in rasters]
    bins = list(time_bins) if time_bins is not None else _common_bins(rasters)
    keys = tuple(stimulus) or _stimulus_label(rasters[0])
    described: dict[str, dict[str, str]] = {}
    neurons = [_neuron(raster, keys, bins, subject, region, described) for raster in rasters]
    return pseudo_population(
        _with_common_coords(neurons),
        _fewest_trials(neurons) if n_repetitions is None else n_repetitions,
        bins,
        describe=_describe(described),
        region=None,
    )


def _of_matlab(path: Path) -> Raster:
    variables = read_mat(path, (_DATA, _LABELS, _SITE))
    data, labels, site = variables.get(_DATA), variables.get(_LABELS), variables.get(_SITE, {})
    if not isinstance(data, np.ndarray) or data.ndim != 2 or not isinstance(labels, dict) or not isinstance(site, dict):
        raise AssemblyError(
            f"a raster has a matrix {_DATA} and a struct {_LABELS}, and may have a struct {_SITE}",
            f"found {listed(variables) or 'none of them'}",
            "save the variables of the Neural Decoding Toolbox's raster format",
        )
    aligned = site.get(_ALIGNED)
    first = None
    if aligned is not None:
        first = 1 - int(whole_numbers(np.asarray(aligned, float).reshape(-1), _ALIGNED)[0])
    about = {name: str(texts_of(value, 1, name)[0]) for name, value in site.items() if _is_one(value)}
    about.pop(_ALIGNED, None)
    return Raster(path.stem, data, first, {n: texts_of(v, len(data), n) for n, v in labels.items()}, about)


def _is_one(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.size == 1)


def _csv(path: Path) -> pd.DataFrame:
    check_lines(path, "a raster")
    return pd.read_csv(path, dtype={}, low_memory=False)


def _of_table(path: Path, read: Callable[[Path], pd.DataFrame]) -> Raster:
    frame = read(path)
    columns = [str(name) for name in frame.columns]
    times = [name for name in columns if name.startswith(_TIME)]
    texts = {name: _column(frame, name) for name in columns if name.startswith((_LABEL, _SITE_COLUMN))}
    site = {n.removeprefix(_SITE_COLUMN): set(v) for n, v in texts.items() if n.startswith(_SITE_COLUMN)}
    return Raster(
        path.stem,
        frame[times].to_numpy(np.float64),
        first_millisecond(times),
        {n.removeprefix(_LABEL): v for n, v in texts.items() if n.startswith(_LABEL)},
        {name: values.pop() for name, values in site.items() if len(values) == 1},
    )


def _column(frame: pd.DataFrame, name: str) -> np.ndarray:
    values = frame[name].to_numpy()
    return texts_of(values.astype(str).tolist() if values.dtype.kind not in "biuf" else values, len(frame), name)


def _placed(raster: Raster, first_ms: int | None) -> Raster:
    """Return the raster with a first millisecond, from its file or as given; never both."""
    if (raster.first_ms is None) == (first_ms is None):
        raise AssemblyError(
            "a raster says where its first column starts, or it is told",
            f"{raster.name} "
            + ("does not" if first_ms is None else f"says {raster.first_ms} ms and {first_ms} is given"),
            "give first_ms" if first_ms is None else "leave out first_ms",
        )
    return raster if first_ms is None else raster._replace(first_ms=first_ms)


def _common_bins(rasters: Sequence[Raster]) -> list[tuple[int, int]]:
    firsts = [int(raster.first_ms or 0) for raster in rasters]
    lasts = [first + raster.spikes.shape[1] for first, raster in zip(firsts, rasters, strict=True)]
    return make_time_bins(max(firsts), min(lasts), WIDTH_MS)


def _stimulus_label(raster: Raster) -> tuple[str]:
    for name in STIMULUS_LABELS:
        if name in raster.labels:
            return (name,)
    raise AssemblyError(
        f"one of the labels {listed(STIMULUS_LABELS, 9)} names the stimulus, or it is said which",
        f"{raster.name} has the labels {listed(sorted(raster.labels), 12)}",
        "name the labels that make a stimulus",
    )


def _neuron(
    raster: Raster,
    keys: tuple[str, ...],
    bins: Sequence[tuple[int, int]],
    subject: str | None,
    region: str | None,
    described: dict[str, dict[str, str]],
) -> Neuron:
    """Count a raster's spikes, name its stimuli, and note in `described` what its labels say of them."""
    for key in keys:
        if key not in raster.labels:
            near = nearest_names(key, sorted(raster.labels))
            raise AssemblyError(
                "stimuli are named by labels of the raster",
                f"{raster.name} has no '{key}' but {listed(sorted(raster.labels), 12)}",
                f"use '{near[0]}'" if near else "use one of these",
            )
    stimuli = np.array(["/".join(row) for row in zip(*(raster.labels[key] for key in keys), strict=True)])
    for name, values in raster.labels.items():
        if name in (STIMULUS_ID, REPETITION):  # words of ours: what the file means by them is in the id
            continue
        for stimulus, value in sorted(set(zip(stimuli.tolist(), values.tolist(), strict=True))):
            known = described.setdefault(stimulus, {})
            known[name] = value if known.get(name, value) == value else ""  # differs between trials of a stimulus
    site = dict(raster.site)
    who, where = _told(site, _SUBJECTS, subject, raster.name), _told(site, _REGIONS, region, raster.name)
    coords = {name: value for name, value in site.items() if name not in (NEUROID_ID, SUBJECT, REGION, SUBREGION)}
    return Neuron(raster.name, who, stimuli, _counts(raster, bins), {REGION: where} | coords)


def _told(site: dict[str, str], names: Sequence[str], given: str | None, raster: str) -> str:
    """Return what the site information or the caller says; the caller wins, as sites are often called by codes."""
    own = [site.pop(name) for name in names if name in site]
    if given is None and not own:
        raise AssemblyError(
            f"the site information of a raster names its {names[0]} ({', '.join(names)}), or it is given",
            f"{raster} does not",
            f"give {names[0]}",
        )
    return own[0] if given is None else given


def _counts(raster: Raster, bins: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the spikes (trials, T) in bins that may overlap."""
    first = int(raster.first_ms or 0)
    between(raster.spikes, first, min(b[0] for b in bins), max(b[1] for b in bins))
    before = np.concatenate([np.zeros((len(raster.spikes), 1), np.int64), raster.spikes.cumsum(1, dtype=np.int64)], 1)
    return np.stack([before[:, end - first] - before[:, start - first] for start, end in bins], 1)


def _with_common_coords(neurons: Sequence[Neuron]) -> list[Neuron]:
    """Keep the site information that every neuron has."""
    common = set.intersection(*(set(neuron.coords) for neuron in neurons))
    return [n._replace(coords={name: v for name, v in n.coords.items() if name in common}) for n in neurons]


def _fewest_trials(neurons: Sequence[Neuron]) -> int:
    """Return how many trials every neuron has of every stimulus at least."""
    stimuli = set().union(*(neuron.stimulus_id.tolist() for neuron in neurons))
    fewest = len(neurons[0].stimulus_id)
    for neuron in neurons:
        shown, counts = np.unique(neuron.stimulus_id, return_counts=True)
        fewest = min(fewest, int(counts.min()) if len(shown) == len(stimuli) else 0)
    return fewest


def _describe(described: Mapping[str, Mapping[str, str]]) -> Callable[[str], Mapping[str, str]]:
    """Return a stimulus' labels, without those that some stimulus does not have one value of."""
    names = [n for n in next(iter(described.values()), {}) if all(one.get(n) for one in described.values())]
    return lambda stimulus: {name: described[stimulus][name] for name in names}
