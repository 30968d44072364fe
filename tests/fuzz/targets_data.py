"""Readers of data files as targets of the fuzzing driver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from archive_mutations import (
    mutate_content,
    mutate_gzip,
    mutate_npy,
    mutate_png,
    mutate_table,
    mutate_tar,
    mutate_zip,
    of_members,
)
from data_seeds import SEEDS, SESSION
from driver import Target, flip_and_cut
from hdf5_mutations import mutate_hdf5, mutate_schema

from neurofit.assembly.storage import load_assembly
from neurofit.data.contents import contents_of
from neurofit.data.formats import ReadOptions, read_recording, recognise
from neurofit.data.readers.cowley import read_cowley
from neurofit.data.readers.evolution import evolution_stimuli, read_evolution
from neurofit.data.readers.freiwald_tsao import read_freiwald_tsao
from neurofit.data.readers.zhang_desimone import read_zhang_desimone
from neurofit.data.stimuli import StimulusSet, decode_image, stimuli_from_folder, stimuli_from_zip
from neurofit.errors import NeurofitError
from neurofit.scoring.brainscore_score import read_brainscore_score
from neurofit.scoring.storage import load_score

PICTURE_BYTES = 768 * 2**20  # 64 million pixels, decoded, as RGB, and as an array


def _recording(name: str, **options) -> Callable[[Path], object]:
    def read(path: Path) -> None:
        _both(
            lambda: read_recording([path], name, ReadOptions(**options)),
            lambda: contents_of(path),
            lambda: read_recording([path], recognise(path)),
        )

    return read


def _both(*reads: Callable[[], object]) -> None:
    """Read in several ways; a clean refusal of one does not spare the others."""
    refused: NeurofitError | None = None
    for read in reads:
        try:
            read()
        except NeurofitError as error:
            refused = refused or error
    if refused is not None:
        raise refused


def _nwb(path: Path) -> None:
    bins = [(0, 100), (100, 200)]
    _both(
        lambda: contents_of(path),
        lambda: read_recording([path], "nwb", ReadOptions(time_bins=bins)),
        lambda: read_recording([path], "nwb", ReadOptions(time_bins=bins, series="ecephys/rates")),
        lambda: read_recording([path, path], "nwb", ReadOptions(time_bins=bins)),
    )


def _nwb_of_ours(path: Path) -> None:
    _both(lambda: contents_of(path), lambda: read_recording([path], "nwb"))


def _images(stimuli: StimulusSet) -> None:
    for row in range(min(len(stimuli), 8)):
        stimuli.image(row)


def _cowley(path: Path) -> None:
    read_cowley(path / "images.zip", path / "responses.npy", session="s", subject="PE")


def _evolution(path: Path) -> None:
    _both(lambda: read_evolution(path, SESSION), lambda: _images(evolution_stimuli(path, SESSION, "set")))


def _stimuli_zip(path: Path) -> None:
    archive = path / "images.zip"
    _both(
        lambda: _images(stimuli_from_zip(archive, "set")),
        lambda: _images(stimuli_from_zip(archive, "set", table=path / "table.csv")),
    )


def _zhang(path: Path) -> None:
    read_zhang_desimone([path], subject="bp", start_ms=1, end_ms=21, n_repetitions=1)


def _of_suffix(name: str, content: bytes, rng: np.random.Generator) -> bytes:
    change = mutate_zip if name.endswith(".zip") else lambda data, rng: mutate_content(name, data, rng)
    return change(content, rng)


def _image_of_suffix(content: bytes, rng: np.random.Generator) -> bytes:
    return mutate_png(content, rng)


_HDF5 = (flip_and_cut, mutate_hdf5, mutate_hdf5, mutate_hdf5)
_FOLDER = of_members(_of_suffix)
TARGETS: dict[str, Target] = {
    one.name: one
    for one in [
        Target("plain_hdf5", SEEDS["plain_hdf5"], _HDF5, _recording("hdf5")),
        Target("plain_npz", SEEDS["plain_npz"], (mutate_zip, flip_and_cut), _recording("npz")),
        Target(
            "assembly",
            SEEDS["assembly"],
            _HDF5,
            lambda path: _both(lambda: load_assembly(path), lambda: contents_of(path)),
        ),
        Target("brainscore", SEEDS["brainscore"], _HDF5, _recording("brainscore")),
        Target("nwb_own", SEEDS["nwb_own"], (*_HDF5, mutate_schema), _nwb_of_ours),
        Target("nwb_spikes", SEEDS["nwb_spikes"], _HDF5, _nwb),
        Target("mat_v5", SEEDS["mat_v5"], flip_and_cut, _recording("rasters")),
        Target("mat_v73", SEEDS["mat_v73"], _HDF5, _recording("rasters")),
        Target("csv", SEEDS["csv"], (mutate_table, flip_and_cut), _recording("rasters")),
        Target("rda", SEEDS["rda"], mutate_gzip, lambda path: _both(lambda: _zhang(path), lambda: contents_of(path))),
        Target("cowley", SEEDS["cowley"], _FOLDER, _cowley),
        Target("evolution", SEEDS["evolution"], (mutate_tar, flip_and_cut), _evolution),
        Target(
            "freiwald",
            SEEDS["freiwald"],
            (mutate_zip, flip_and_cut),
            lambda path: read_freiwald_tsao(path, end_ms=20, n_repetitions=2),
        ),
        Target("stimuli_zip", SEEDS["stimuli_zip"], _FOLDER, _stimuli_zip, PICTURE_BYTES),
        Target(
            "stimuli_folder",
            SEEDS["stimuli_folder"],
            _FOLDER,
            lambda path: _images(stimuli_from_folder(path)),
            PICTURE_BYTES,
        ),
        Target(
            "pictures",
            SEEDS["pictures"],
            _image_of_suffix,
            lambda path: decode_image(path.read_bytes(), path.name),
            PICTURE_BYTES,
        ),
        Target("score", SEEDS["score"], _HDF5, load_score),
        Target(
            "brainscore_score", SEEDS["brainscore_score"], _HDF5, lambda path: read_brainscore_score(path, (70, 80))
        ),
    ]
}
__all__ = ["TARGETS", "mutate_npy"]
