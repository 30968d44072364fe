"""Small valid data files of every format, as seeds of the fuzzing driver."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from mat_v73 import save_v73
from PIL import Image

from neurofit.assembly.build import make_assembly
from neurofit.assembly.storage import save_assembly
from neurofit.data.readers.plain import write_hdf5, write_npz
from neurofit.data.writers.brainscore import write_brainscore
from neurofit.data.writers.nwb import write_nwb

SESSION = "Exp001-A"
PEOPLE = [
    ("1", "front"),
    ("1", "left"),
    ("2", "front"),
    ("2", "left"),
    ("1", "front"),
    ("1", "left"),
    ("2", "front"),
    ("2", "left"),
]
STIMULI = ["car", "face", "car", "face"]


def small_recording() -> xr.DataArray:
    """Return a recording of 6 presentations, 3 neuroids, 2 bins."""
    return make_assembly(
        np.arange(36, dtype=np.float32).reshape(6, 3, 2),
        stimulus_id=["im0", "im0", "im1", "im1", "im2", "im2"],
        repetition=[0, 1, 0, 1, 0, 1],
        neuroid_id=["n0", "n1", "n2"],
        subject="monkey",
        region=["V4", "IT", "IT"],
        time_bins=[(70, 80), (80, 90)],
        presentation_coords={"object_name": ["a", "a", "b", "b", "c", "c"]},
        neuroid_coords={"depth": np.array([0.5, 1.0, 2.0])},
        attrs={"simulated": 1, "note": "small"},
    )


def _written(*writers: tuple[Callable, str]) -> Callable[[Path], list[Path]]:
    return lambda folder: [Path(writer(small_recording(), folder / name)) for writer, name in writers]


def _brainscore(folder: Path) -> list[Path]:
    """Ours, and one as older files are: other dimensions, chunks, alias names, a single bin as scalars."""
    theirs = xr.DataArray(
        np.arange(18.0).reshape(3, 6),
        dims=("neuroid", "presentation"),
        coords={
            "neuroid_id": ("neuroid", [f"Chabo_{i}" for i in range(3)]),
            "animal": "Chabo",
            "region": ("neuroid", ["IT", "V4", "IT"]),
            "image_id": ("presentation", np.repeat(["im0", "im1", "im2"], 2)),
            "repetition": ("presentation", np.tile([0, 1], 3)),
            "time_bin_start": 70,
            "time_bin_end": 170,
        },
    )
    path = folder / "older.nc"
    name = "__xarray_dataarray_variable__"
    theirs.to_netcdf(path, engine="h5netcdf", encoding={name: {"chunksizes": (2, 4), "zlib": True}})
    return [Path(write_brainscore(small_recording(), folder / "recording.nc")), path]


def _nwb_of_a_laboratory(folder: Path) -> list[Path]:
    """Units with spikes and electrodes, trials, a series of rates, images by index."""
    import pynwb

    start = datetime(2024, 1, 1, tzinfo=UTC)
    subject = pynwb.file.Subject(subject_id="m")
    file = pynwb.NWBFile(session_description="s", identifier="i", session_start_time=start, subject=subject)
    group = file.create_electrode_group("array", "d", "V4", file.create_device("d"))
    for location in ("V4", "IT"):
        file.add_electrode(location=location, group=group)
    file.add_unit_column("depth", "um")
    for i, times in enumerate([[1.0, 1.05, 1.1], [0.5, 2.2], [3.0]]):
        file.add_unit(spike_times=times, depth=10.0 * i, electrodes=[i % 2])
    file.add_trial_column("stimulus_name", "what")
    for onset, name in ((1.0, "a"), (2.0, "b"), (3.0, "a")):
        file.add_trial(start_time=onset, stop_time=onset + 0.3, stimulus_name=name)
    rates = pynwb.TimeSeries(
        name="rates", data=np.arange(120.0).reshape(40, 3), unit="Hz", rate=10.0, starting_time=0.5
    )
    file.create_processing_module("ecephys", "rates").add(rates)
    path = folder / "session.nwb"
    with pynwb.NWBHDF5IO(path, "w") as out:
        out.write(file, cache_spec=False)
    return [path]


def _raster(seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((4, 20)) < 0.3).astype(np.uint8)


def _matlab_tree() -> dict:
    site = {"monkey": "bp", "brain_area": "IT", "alignment_event_time": np.array([[11.0]])}
    labels = {"stimulus_ID": STIMULI, "trial": np.arange(4.0)[None]}
    return {"raster_data": _raster().astype(float), "raster_labels": labels, "raster_site_info": site}


def _mat_v5(folder: Path) -> list[Path]:
    import scipy.io

    def cells(value):
        if isinstance(value, dict):
            return {name: cells(one) for name, one in value.items()}
        return np.array(value, object)[None] if isinstance(value, list) else value

    paths = []
    for packed in (True, False):
        paths.append(folder / f"v5_{'packed' if packed else 'plain'}.mat")
        scipy.io.savemat(paths[-1], cells(_matlab_tree()), do_compression=packed)
    return paths


def _table(start: int = 1) -> pd.DataFrame:
    raster = _raster()
    labels = {
        "site_info.monkey": "bp",
        "site_info.brain_area": "IT",
        "labels.stimulus_ID": STIMULI,
        "labels.stimulus_position": "middle",
    }
    times = {f"time.{start + i}_{start + i + 1}": raster[:, i].astype(np.int32) for i in range(raster.shape[1])}
    return pd.DataFrame(labels | times, index=range(len(raster)))


def _csv(folder: Path) -> list[Path]:
    path = folder / "neuron.csv"
    _table().to_csv(path, index=False)
    return [path]


def _rda(folder: Path) -> list[Path]:
    import pyreadr

    path = folder / "bp1001spk_01A_raster_data.rda"
    pyreadr.write_rdata(str(path), _table(), df_name="raster_data", compress="gzip")
    return [path]


def picture(format_name: str = "png", side: int = 8, **given) -> bytes:
    """Return a small encoded image."""
    content = io.BytesIO()
    colours = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    Image.fromarray(colours).save(content, format_name, **given)
    return content.getvalue()


def _cowley(folder: Path) -> list[Path]:
    session = folder / "cowley"
    session.mkdir(exist_ok=True)
    with zipfile.ZipFile(session / "images.zip", "w") as archive:
        for i in range(3):
            archive.writestr(f"images/im{i}.png", picture())
    responses = np.arange(18.0).reshape(3, 3, 2)
    responses[:, 2, 1] = np.nan
    np.save(session / "responses.npy", responses)
    return [session]


def _evolution(folder: Path) -> list[Path]:
    meta = {"unit": "Ch5U1", "area": "IT", "animal": "A", "num_generations": 2}
    content = {f"{SESSION}/meta.json": json.dumps(meta).encode()}
    response = json.dumps({"time_ms": [float(t) for t in range(10)], "mean_rate": [1.5] * 10}).encode()
    for g in (1, 2):
        for generator in ("biggan", "deepsim"):
            content[f"{SESSION}/gen_{g:02d}/{generator}_psth.json"] = response
            content[f"{SESSION}/gen_{g:02d}/{generator}_img.webp"] = picture("webp", lossless=True)
    path = folder / "sessions.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return [path]


def _freiwald(folder: Path) -> list[Path]:
    frame = pd.DataFrame(
        {
            "site_info.monkey": "bert",
            "labels.person": [person for person, _ in PEOPLE],
            "labels.orientation": [side for _, side in PEOPLE],
        }
        | {f"time.{i}_{i + 1}": np.arange(len(PEOPLE)) % 3 for i in range(1, 21)}
    )
    path = folder / "am.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for site in (1, 2):
            archive.writestr(f"am/raster_data_bert_am_site{site:03d}.csv", frame.to_csv(index=False))
    return [path]


def _stimuli_zip(folder: Path) -> list[Path]:
    """A folder with an archive and its table."""
    place = folder / "stimuli"
    place.mkdir(exist_ok=True)
    with zipfile.ZipFile(place / "images.zip", "w") as archive:
        for name, kind in (("im0.png", "png"), ("im1.jpg", "jpeg"), ("im2.webp", "webp")):
            archive.writestr(f"images/{name}", picture(kind))
    (place / "table.csv").write_text("image_id,image_file_name,object_name\na,im0.png,x\nb,im1.jpg,y\nc,im2.webp,z\n")
    return [place]


def _stimuli_folder(folder: Path) -> list[Path]:
    place = folder / "pictures"
    place.mkdir(exist_ok=True)
    for kind, suffix in (("png", "png"), ("jpeg", "jpg"), ("webp", "webp"), ("bmp", "bmp")):
        (place / f"im_{kind}.{suffix}").write_bytes(picture(kind))
    return [place]


def _pictures(folder: Path) -> list[Path]:
    paths = []
    kinds = {
        "png": {},
        "jpeg": {"quality": 90},
        "webp": {},
        "bmp": {},
        "gif": {},
        "tiff": {},
        "ppm": {},
        "ico": {},
        "eps": {},
    }
    for kind, given in kinds.items():
        paths.append(folder / f"{kind}.png")  # what a file is called says nothing of what it is
        paths[-1].write_bytes(picture(kind, **given))
    paths.append(folder / "progressive.jpg")
    paths[-1].write_bytes(picture("jpeg", 16, progressive=True))
    for mode in ("P", "1", "LA", "I;16", "RGBA"):
        paths.append(folder / f"mode_{mode.replace(';', '')}.png")
        Image.new(mode, (8, 8)).save(paths[-1])
    return paths


def small_score(keep_predictions: bool, **options) -> xr.Dataset:
    """Return a score of a small simulated pair."""
    from neurofit.assembly.build import average_repetitions
    from neurofit.mapping.estimators import PLSMapping
    from neurofit.mapping.splitters import StimulusShuffleSplit
    from neurofit.scoring.predictivity import predictivity

    rng = np.random.default_rng(0)
    latents = rng.standard_normal((12, 2))

    def recorded(q: int, repetitions: int) -> xr.DataArray:
        signal = np.repeat(latents @ rng.standard_normal((2, q)), repetitions, 0)
        return make_assembly(
            (signal + 0.5 * rng.standard_normal(signal.shape))[:, :, None],
            stimulus_id=np.repeat([f"s{i:02d}" for i in range(12)], repetitions),
            repetition=np.tile(np.arange(repetitions), 12),
            neuroid_id=[f"n{j}" for j in range(q)],
            subject="m",
            region="IT",
            time_bins=[(70, 80)],
        )

    source, target = average_repetitions(recorded(3, 2)), recorded(2, 4)
    splits = StimulusShuffleSplit(2, test_size=0.25)
    return predictivity(
        source,
        target,
        mapping=PLSMapping(1),
        splitter=splits,
        n_halvings=2,
        keep_predictions=keep_predictions,
        **options,
    )


def _score(folder: Path) -> list[Path]:
    from neurofit.scoring.storage import save_score

    return [save_score(small_score(keep), folder / f"score_{int(keep)}.nc") for keep in (True, False)]


def _brainscore_score(folder: Path) -> list[Path]:
    from neurofit.scoring.benchmark import AggregationSpec
    from neurofit.scoring.brainscore_score import write_brainscore_score

    spec = AggregationSpec(order="neuroids-then-splits", n_resamples=20)
    return [write_brainscore_score(small_score(False, formula="brain-score"), folder / "their_score.nc", spec)]


SEEDS: dict[str, Callable[[Path], list[Path]]] = {
    "plain_hdf5": _written((write_hdf5, "recording.h5")),
    "plain_npz": _written((write_npz, "recording.npz")),
    "assembly": _written((save_assembly, "assembly.nc")),
    "brainscore": _brainscore,
    "nwb_own": _written((write_nwb, "own.nwb")),
    "nwb_spikes": _nwb_of_a_laboratory,
    "mat_v5": _mat_v5,
    "mat_v73": lambda folder: [save_v73(folder / "neuron.mat", _matlab_tree())],
    "csv": _csv,
    "rda": _rda,
    "cowley": _cowley,
    "evolution": _evolution,
    "freiwald": _freiwald,
    "stimuli_zip": _stimuli_zip,
    "stimuli_folder": _stimuli_folder,
    "pictures": _pictures,
    "score": _score,
    "brainscore_score": _brainscore_score,
}
