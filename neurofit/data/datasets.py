"""Datasets by name: a manifest says what a dataset is, a reader turns its files into an assembly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import xarray as xr

from neurofit.assembly.build import select_region
from neurofit.assembly.time_bins import make_time_bins
from neurofit.data.readers.brainscore import read_brainscore
from neurofit.data.readers.cowley import read_cowley
from neurofit.data.readers.evolution import evolution_stimuli, read_evolution
from neurofit.data.readers.freiwald_tsao import read_freiwald_tsao
from neurofit.data.readers.plain import read_hdf5, read_npz
from neurofit.data.readers.zhang_desimone import read_zhang_desimone
from neurofit.data.simulated import SimulatedVentralStream
from neurofit.data.stimuli import StimulusSet, stimuli_from_zip
from neurofit.errors import ConfigurationError, DataFileError, UnknownNameError
from neurofit.files.fetch import located_file
from neurofit.files.manifest import Manifest, list_manifests, load_manifest
from neurofit.vocabulary import DATASET, SIMULATED

Folder = str | Path | None


def list_datasets() -> list[str]:
    """Return the names of the recordings that have a manifest."""
    return [name for name in list_manifests() if load_manifest(name).kind == "recording"]


def load_dataset(name: str | Path, folder: Folder = None, region: str | None = None) -> xr.DataArray:
    """Load a recording.

    Parameters
    ----------
    name : str or path
        A name of `list_datasets`, or a manifest of your own (.toml).
    folder : path, optional
        Where datasets were fetched to; the user's data folder by default.
    region : str, optional
        Only this region or subregion.

    Returns
    -------
    xarray.DataArray (presentation, neuroid, time_bin)
        Checked, with its repetitions; attrs name the dataset and whether it is simulated.

    Raises
    ------
    UnknownNameError
        If the dataset or region does not exist.
    DataFileError
        If a file is missing (fetch it) or broken.
    """
    manifest = _recording_manifest(name)
    recording = _reader(manifest)(manifest, folder, region)
    recording.attrs |= {DATASET: manifest.name, SIMULATED: int(manifest.simulated)}
    return recording if region is None else select_region(recording, region)


def load_stimuli(name: str | Path, folder: Folder = None) -> StimulusSet:
    """Load the images that a recording was made with.

    Parameters
    ----------
    name, folder
        As in `load_dataset`.

    Raises
    ------
    UnknownNameError
        If the dataset does not exist.
    DataFileError
        If a file is missing or broken, or the recording comes without its images.
    """
    manifest = _recording_manifest(name)
    _reader(manifest)
    has_images = manifest.simulated or any(entry.role == "images" for entry in manifest.files)
    if not has_images or manifest.reader not in _STIMULI:
        raise DataFileError(
            "stimuli are loaded of recordings that come with their images",
            f"'{manifest.name}' has none",
            "use its responses alone (load_dataset), or another dataset to score a model on",
        )
    return _STIMULI[str(manifest.reader)](manifest, folder)


def _recording_manifest(name: str | Path) -> Manifest:
    manifest = load_manifest(name)
    if manifest.kind != "recording":
        raise UnknownNameError("recording", manifest.name, list_datasets())
    return manifest


def _reader(manifest: Manifest) -> Callable[[Manifest, Folder, str | None], xr.DataArray]:
    if manifest.reader not in _RECORDINGS:
        raise ConfigurationError(
            f"a manifest names one of the readers {', '.join(_RECORDINGS)}",
            f"'{manifest.name}' names '{manifest.reader}'",
            "correct the manifest",
        )
    return _RECORDINGS[str(manifest.reader)]


def _simulated(manifest: Manifest, folder: Folder, region: str | None) -> xr.DataArray:
    return SimulatedVentralStream().record(region)


def _simulated_stimuli(manifest: Manifest, folder: Folder) -> StimulusSet:
    return SimulatedVentralStream().stimuli()


def _cowley(manifest: Manifest, folder: Folder, region: str | None) -> xr.DataArray:
    images, responses = (
        located_file(manifest, manifest.file_with_role(r).name, folder) for r in ("images", "responses")
    )
    return read_cowley(
        images,
        responses,
        session=manifest.name.rsplit("-", 1)[-1],
        subject=manifest.subjects[0],
        time_bin=manifest.time_bins_ms[0],
    )


def _cowley_stimuli(manifest: Manifest, folder: Folder) -> StimulusSet:
    path = located_file(manifest, manifest.file_with_role("images").name, folder)
    session = manifest.name.rsplit("-", 1)[-1]
    return stimuli_from_zip(path, manifest.name, prefix=f"{session}/", size_deg=manifest.size_deg)


def _brainscore(manifest: Manifest, folder: Folder, region: str | None) -> xr.DataArray:
    path = located_file(manifest, manifest.file_with_role("assembly").name, folder)
    return read_brainscore(path, regions=None if region is None else [region])


def _brainscore_stimuli(manifest: Manifest, folder: Folder) -> StimulusSet:
    table, images = (
        located_file(manifest, manifest.file_with_role(r).name, folder) for r in ("stimulus_table", "images")
    )
    return stimuli_from_zip(images, manifest.name, table=table, size_deg=manifest.size_deg)


def _plain(read: Callable[[Path], xr.DataArray]) -> Callable[[Manifest, Folder, str | None], xr.DataArray]:
    def load(manifest: Manifest, folder: Folder, region: str | None) -> xr.DataArray:
        return read(located_file(manifest, manifest.file_with_role("assembly").name, folder))

    return load


def _plain_stimuli(manifest: Manifest, folder: Folder) -> StimulusSet:
    path = located_file(manifest, manifest.file_with_role("images").name, folder)
    return stimuli_from_zip(path, manifest.name, size_deg=manifest.size_deg)


def _evolution(manifest: Manifest, folder: Folder, region: str | None) -> xr.DataArray:
    path = located_file(manifest, manifest.file_with_role("images").name, folder)
    return read_evolution(path, _session(manifest))


def _evolution_stimuli(manifest: Manifest, folder: Folder) -> StimulusSet:
    path = located_file(manifest, manifest.file_with_role("images").name, folder)
    return evolution_stimuli(path, _session(manifest), manifest.name, manifest.size_deg)


def _session(manifest: Manifest) -> str:
    if manifest.session is None:
        raise _incomplete(manifest, "session")
    return manifest.session


def _freiwald_tsao(manifest: Manifest, folder: Folder, region: str | None) -> xr.DataArray:
    path = located_file(manifest, manifest.file_with_role("responses").name, folder)
    return read_freiwald_tsao(path, **_raster_options(manifest))


def _zhang_desimone(manifest: Manifest, folder: Folder, region: str | None) -> xr.DataArray:
    if not manifest.subjects:
        raise _incomplete(manifest, "subjects")
    paths = [located_file(manifest, entry.name, folder) for entry in manifest.files]
    return read_zhang_desimone(paths, subject=manifest.subjects[0], **_raster_options(manifest))


def _raster_options(manifest: Manifest) -> dict[str, int]:
    """Return how a raster is cut into bins, and how many trials of it are taken, as keywords of its reader."""
    bins = manifest.time_bins_ms
    if not bins or manifest.n_repetitions is None:
        raise _incomplete(manifest, "time_bins_ms and n_repetitions")
    start, end, width = bins[0][0], bins[-1][1], bins[0][1] - bins[0][0]
    if list(bins) != make_time_bins(start, end, width):
        raise ConfigurationError(
            "bins of a raster have one width and follow on each other",
            f"those of '{manifest.name}' do not fill [{start}, {end}) ms by {width} ms",
            "correct time_bins_ms; neurofit.rebin makes others of them",
        )
    return {"start_ms": start, "end_ms": end, "width_ms": width, "n_repetitions": manifest.n_repetitions}


def _incomplete(manifest: Manifest, keys: str) -> ConfigurationError:
    return ConfigurationError(
        f"a manifest with the reader '{manifest.reader}' gives {keys}", f"'{manifest.name}' does not", "add them"
    )


# A manifest's `reader` chooses a row: how the recording and how the stimuli are read.
_RECORDINGS: dict[str, Callable[[Manifest, Folder, str | None], xr.DataArray]] = {
    "simulated": _simulated,
    "cowley": _cowley,
    "brainscore": _brainscore,
    "hdf5": _plain(read_hdf5),
    "npz": _plain(read_npz),
    "evolution": _evolution,
    "freiwald-tsao": _freiwald_tsao,
    "zhang-desimone": _zhang_desimone,
}
# Rows that are missing here are of rasters without images.
_STIMULI: dict[str, Callable[[Manifest, Folder], StimulusSet]] = {
    "simulated": _simulated_stimuli,
    "cowley": _cowley_stimuli,
    "brainscore": _brainscore_stimuli,
    "hdf5": _plain_stimuli,
    "npz": _plain_stimuli,
    "evolution": _evolution_stimuli,
}
