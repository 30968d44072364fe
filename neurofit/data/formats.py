"""The formats that recordings come in and go out in: a table, told apart by content."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import xarray as xr

from neurofit.assembly.build import select_region
from neurofit.assembly.storage import load_assembly, save_assembly
from neurofit.data.readers.brainscore import read_brainscore, what_is_lacking
from neurofit.data.readers.checks import reading
from neurofit.data.readers.matlab import V5, V73
from neurofit.data.readers.nwb import NwbOptions, read_nwb
from neurofit.data.readers.plain import read_hdf5, read_npz, write_hdf5, write_npz
from neurofit.data.readers.raster_files import SUFFIXES as RASTER_SUFFIXES
from neurofit.data.readers.raster_files import read_rasters
from neurofit.data.writers.brainscore import write_brainscore
from neurofit.data.writers.nwb import write_nwb
from neurofit.errors import ConfigurationError, DataFileError, UnknownNameError, listed
from neurofit.files.hdf5_look import look_at_hdf5
from neurofit.vocabulary import REGION, TIME_BIN

NEUROFIT, BRAINSCORE, NWB, HDF5, NPZ, RASTERS = "neurofit", "brainscore", "nwb", "hdf5", "npz", "rasters"


@dataclass(frozen=True)
class ReadOptions:
    """What a reader is told beside the path; `None` (or empty) is what the file says.

    Parameters
    ----------
    time_bins : sequence of (start, end), optional
        In ms from onset: the bins that spikes are counted in, or those to read of a binned file.
    stimulus : sequence of str
        Column of stimuli (NWB: one) or labels that name a stimulus together (rasters).
    table, onset_column, region_column, series : str, optional
        See `NwbOptions`.
    subject, region : str, optional
        For files that do not say them; where a file does say its regions, the region to keep.
    n_repetitions, first_ms : int, optional
        See `read_rasters`.
    """

    time_bins: Sequence[tuple[int, int]] | None = None
    stimulus: tuple[str, ...] = ()
    table: str | None = None
    onset_column: str | None = None
    region_column: str | None = None
    series: str | None = None
    subject: str | None = None
    region: str | None = None
    n_repetitions: int | None = None
    first_ms: int | None = None

    def refuse_others(self, format_name: str, takes: Sequence[str]) -> None:
        """Refuse options that a format has no use for: one that is silently ignored would be trusted.

        Raises
        ------
        ConfigurationError
        """
        given = [name for name, value in vars(self).items() if value not in (None, ())]
        strange = [name for name in given if name not in takes]
        if strange:
            raise ConfigurationError(
                f"what is asked of a file of the format '{format_name}' is {listed(takes, 12) or 'nothing'}",
                f"{listed(strange, 9)} is given",
                "leave it out",
            )


class Format(NamedTuple):
    """How files of one kind are read and written.

    Parameters
    ----------
    title : str
    suffixes : tuple of str
        For writing; the first is the usual one.
    takes : tuple of str
        Fields of `ReadOptions` that reading has a use for.
    read : callable
        From paths and options to an assembly.
    write : callable or None
        From an assembly and a path.
    """

    title: str
    suffixes: tuple[str, ...]
    takes: tuple[str, ...]
    read: Callable[[list[Path], ReadOptions], xr.DataArray]
    write: Callable[[xr.DataArray, Path], Path] | None


def recognise(path: Path) -> str:
    """Return the name of a file's format, by its content.

    Raises
    ------
    DataFileError
        If it is of no format of the table.
    """
    if path.is_dir():
        return RASTERS
    with reading(path, "a recording"):
        with path.open("rb") as handle:
            start = handle.read(len(V5))
        if start in (V5, V73):
            return RASTERS
        if h5py.is_hdf5(path):
            return _recognise_hdf5(path)
        if zipfile.is_zipfile(path):
            return NPZ
        if path.suffix.lower() in RASTER_SUFFIXES:
            return RASTERS
    raise DataFileError(
        f"a recording is in one of the formats {listed(FORMATS, 9)}",
        f"{path} begins with {start[:8]!r}",
        "name its format, or read it with code of your own and neurofit.make_assembly",
    )


def _recognise_hdf5(path: Path) -> str:
    look_at_hdf5(path, whole=False)
    with h5py.File(path, "r") as file:
        if "nwb_version" in file.attrs:
            return NWB
        if "#refs#" in file or "raster_data" in file:
            return RASTERS
        if "responses" in file and "DIMENSION_LIST" in file["responses"].attrs:
            return NEUROFIT
        # netCDF writes its dimensions as scales; the plain layout has none
        return HDF5 if "responses" in file and "DIMENSION_LIST" not in file["responses"].attrs else BRAINSCORE


def format_for_writing(path: Path, name: str | None = None) -> str:
    """Return the name of the format to write, as named or by the suffix of the path.

    Raises
    ------
    UnknownNameError
        If there is no such format, or it is only read.
    ConfigurationError
        If no format has the suffix.
    """
    writable = [key for key, one in FORMATS.items() if one.write is not None]
    if name is not None:
        if name not in writable:
            raise UnknownNameError("format to write", name, writable)
        return name
    for key in writable:
        if path.suffix.lower() in FORMATS[key].suffixes:
            return key
    raise ConfigurationError(
        "the suffix of a file says its format: " + ", ".join(f"{FORMATS[k].suffixes[0]} ({k})" for k in writable),
        f"'{path.name}' has none of them",
        "change the suffix, or name the format",
    )


def read_recording(
    paths: Sequence[str | Path], name: str | None = None, options: ReadOptions | None = None
) -> xr.DataArray:
    """Read a recording from a file, or from several that belong together (sessions of NWB, rasters).

    Parameters
    ----------
    paths : sequence of path
    name : str, optional
        Of the format; by the content of the first file if absent.
    options : ReadOptions, optional

    Raises
    ------
    UnknownNameError
        If there is no such format, region, table or column.
    ConfigurationError
        If several files, or options, are given that the format has no use for.
    DataFileError, AssemblyError, MissingExtraError
        As the reader of the format.
    """
    files, options = [Path(path) for path in paths], options or ReadOptions()
    key = recognise(files[0]) if name is None else name
    if key not in FORMATS:
        raise UnknownNameError("format", key, FORMATS)
    if len(files) > 1 and key not in (NWB, RASTERS):
        raise ConfigurationError(
            f"a recording in the format '{key}' is one file", f"{len(files)} are given", "convert them one by one"
        )
    options.refuse_others(key, FORMATS[key].takes)
    return FORMATS[key].read(files, options)


def _only_file(
    read: Callable[[Path], xr.DataArray],
) -> Callable[[list[Path], ReadOptions], xr.DataArray]:
    def load(paths: list[Path], options: ReadOptions) -> xr.DataArray:
        recording = read(paths[0])
        return recording if options.region is None else select_region(recording, options.region)

    return load


def _brainscore(paths: list[Path], options: ReadOptions) -> xr.DataArray:
    """Read a file that may or may not say its region and bins: what it lacks is told, what it has is selected."""
    lacking = what_is_lacking(paths[0])
    region, bins = options.region, options.time_bins
    if TIME_BIN in lacking and bins is not None and len(bins) > 1:
        raise ConfigurationError("a file without a time bin is told one", f"{len(bins)} are given", "give START:END")
    return read_brainscore(
        paths[0],
        regions=None if region is None or REGION in lacking else [region],
        region=region if REGION in lacking else None,
        time_bins=None if TIME_BIN in lacking else bins,
        time_bin=bins[0] if bins and TIME_BIN in lacking else None,
        subject=options.subject,
    )


def _nwb(paths: list[Path], options: ReadOptions) -> xr.DataArray:
    if len(options.stimulus) > 1:
        raise ConfigurationError("one column of an NWB table names the stimulus", "several are given", "give one")
    where = NwbOptions(
        table=options.table,
        stimulus_column=options.stimulus[0] if options.stimulus else None,
        onset_column=options.onset_column,
        region_column=options.region_column,
        region=options.region,
        subject=options.subject,
        series=options.series,
    )
    return read_nwb(paths, options.time_bins, where)


def _rasters(paths: list[Path], options: ReadOptions) -> xr.DataArray:
    return read_rasters(
        paths,
        stimulus=options.stimulus,
        time_bins=options.time_bins,
        first_ms=options.first_ms,
        n_repetitions=options.n_repetitions,
        subject=options.subject,
        region=options.region,
    )


_OF_NWB = ("time_bins", "stimulus", "table", "onset_column", "region_column", "series", "subject", "region")
FORMATS: dict[str, Format] = {
    BRAINSCORE: Format(
        "Brain-Score's netCDF packaging", (".nc",), ("time_bins", "subject", "region"), _brainscore, write_brainscore
    ),
    NEUROFIT: Format(
        "netCDF of neurofit.save_assembly", (".nc",), ("region",), _only_file(load_assembly), save_assembly
    ),
    NWB: Format("Neurodata Without Borders", (".nwb",), _OF_NWB, _nwb, write_nwb),
    HDF5: Format("neurofit's plain layout in HDF5", (".h5", ".hdf5"), ("region",), _only_file(read_hdf5), write_hdf5),
    NPZ: Format("neurofit's plain layout in npz", (".npz",), ("region",), _only_file(read_npz), write_npz),
    RASTERS: Format(
        "rasters, a file a neuron: MATLAB v5 or v7.3, R, CSV",
        (),
        ("time_bins", "stimulus", "subject", "region", "n_repetitions", "first_ms"),
        _rasters,
        None,
    ),
}
