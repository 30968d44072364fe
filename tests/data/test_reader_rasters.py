from __future__ import annotations

import csv
import gzip
import io
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neurofit as nf
from neurofit.data.readers.freiwald_tsao import read_freiwald_tsao
from neurofit.data.readers.rasters import Neuron, between, bin_counts, first_millisecond, pseudo_population
from neurofit.data.readers.zhang_desimone import read_zhang_desimone
from neurofit.errors import AssemblyError, ConfigurationError, DataFileError, MissingExtraError
from neurofit.files.manifest import load_manifest

AM, OBJECTS = "freiwaldtsao2010-am", "zhang2011-7objects"
SHORT = {"start_ms": 0, "end_ms": 20, "width_ms": 10}

# --- bins


@given(
    spikes=st.lists(st.integers(-30, 29), max_size=40),
    width=st.sampled_from([1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60]),
)
def test_every_spike_is_in_the_one_bin_that_holds_its_millisecond(spikes, width):
    raster = np.zeros(60, np.uint8)
    np.add.at(raster, np.array(spikes, int) + 30, 1)
    counts, bins = bin_counts(raster, -30, width)
    assert counts.tolist() == [sum(start <= spike < end for spike in spikes) for start, end in bins]
    assert counts.sum() == len(spikes)
    assert bins[0][0] == -30 and bins[-1][1] == 30


def test_counts_of_many_trials_do_not_overflow():
    counts, bins = bin_counts(np.full((2, 3, 400), 9, np.uint8), 0, 200)
    assert counts.shape == (2, 3, 2) and (counts == 1800).all() and bins == [(0, 200), (200, 400)]


def test_a_rest_is_not_lost():
    with pytest.raises(AssemblyError, match=r"10 ms every 10 ms do not fill \[0, 25\)"):
        bin_counts(np.zeros(25, int), 0, 10)


def test_part_of_a_raster():
    raster = np.arange(10)[None]
    assert between(raster, -5, -2, 3).tolist() == [[3, 4, 5, 6, 7]]
    with pytest.raises(AssemblyError, match=r"a raster covers \[0, 6\) ms - it covers \[-5, 5\) ms"):
        between(raster, -5, 0, 6)


def test_columns_of_a_raster():
    assert first_millisecond(["time.-2_-1", "time.-1_0", "time.0_1"]) == -2
    for columns in ([], ["time.1_2", "time.3_4"], ["time.1_3"], ["time.2_3", "time.1_2"], ["time.1_2", "area"]):
        with pytest.raises(AssemblyError, match=r"one column for every ms, called time\.START_END"):
            first_millisecond(columns)


# --- pseudo-population


def neuron(name, stimuli, **coords):
    """A neuron whose counts say which of its trials they are of."""
    return Neuron(name, "animal", np.array(list(stimuli)), np.arange(len(stimuli))[:, None], coords)


def population(*neurons, n_repetitions=2):
    return pseudo_population(
        neurons, n_repetitions, [(0, 10)], describe=lambda name: {"object_name": name.upper()}, region="IT"
    )


def test_each_neuron_gives_the_first_of_its_own_trials():
    first, second = neuron("n1", "abbaba", depth="1"), neuron("n2", "bbbaa", depth="2")
    recording = population(first, second)
    assert recording.values[:, :, 0].tolist() == [[0, 3], [3, 4], [1, 0], [2, 1]]
    assert recording.stimulus_id.values.tolist() == ["a", "a", "b", "b"]
    assert recording.repetition.values.tolist() == [0, 1, 0, 1]
    assert recording.object_name.values.tolist() == ["A", "A", "B", "B"]
    assert recording.depth.values.tolist() == ["1", "2"]
    assert recording.attrs["neuroids_left_out"] == 0


def test_neurons_with_too_few_trials_of_some_stimulus_are_left_out_and_counted():
    recording = population(neuron("n1", "aabb"), neuron("n2", "aaab"), neuron("n3", "aaaa"))
    assert recording.neuroid_id.values.tolist() == ["n1"] and recording.attrs["neuroids_left_out"] == 2
    with pytest.raises(AssemblyError, match=r"3 repetitions or more .* of 3 neurons and 2 stimuli the best has 2"):
        population(neuron("n1", "aabb"), neuron("n2", "aaab"), neuron("n3", "aaaa"), n_repetitions=3)
    with pytest.raises(AssemblyError, match="0 repetitions or more of every stimulus, which is at least one"):
        population(neuron("n1", "aabb"), n_repetitions=0)
    with pytest.raises(AssemblyError, match="of 0 neurons"):
        population()


# --- face patch AM

AM_LABELS = ["site_info.monkey", "site_info.region", "labels.stimID", "labels.person", "labels.orientation"]


def am_table(raster, monkey="bert", repetitions=2):
    """Rows of a CSV file: 2 people x 2 orientations, `repetitions` times."""
    shown = [(person, side) for _ in range(repetitions) for person in (1, 2) for side in ("front", "left full")]
    rows = [
        [monkey, "am", "1", str(person), side, *map(str, counts)]
        for (person, side), counts in zip(shown, raster, strict=True)
    ]
    return [[*AM_LABELS, *(f"time.{i}_{i + 1}" for i in range(1, raster.shape[1] + 1))], *rows]


def am_file(table, end="\n"):
    """Text as R writes it: words in quotation marks, numbers without."""
    text = io.StringIO()
    header, *rows = table
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=end)
    writer.writerow(header)
    for row in rows:
        labels, digits = row[: len(AM_LABELS)], row[len(AM_LABELS) :]
        text.write(",".join([*(f'"{label}"' for label in labels), *digits]) + end)
    return text.getvalue()


@pytest.fixture
def am_archive(tmp_path):
    def write(files):
        path = tmp_path / "am.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("faces/", "")
            archive.writestr("__MACOSX/faces/._raster_data_bert_am_site001.csv", b"\0")
            for name, content in files.items():
                archive.writestr(f"faces/raster_data_{name}.csv", content)
        return path

    return write


@pytest.fixture
def spikes():
    return np.random.default_rng(0).integers(0, 2, (8, 30))


def test_am_counts_are_those_of_the_raster(am_archive, spikes):
    path = am_archive(
        {
            "bert_am_site001": am_file(am_table(spikes)),
            "lupo_am_site002": am_file(am_table(spikes[::-1], "lupo"), end="\r\n"),
        }
    )
    recording = read_freiwald_tsao(path, **SHORT, n_repetitions=2)
    assert recording.shape == (8, 2, 2)
    assert recording.stimulus_id.values[::2].tolist() == ["01/front", "01/left full", "02/front", "02/left full"]
    assert recording.person.values[[0, -1]].tolist() == recording.object_name.values[[0, -1]].tolist() == ["01", "02"]
    assert recording.orientation.values[[0, 2]].tolist() == ["front", "left full"]
    assert recording.neuroid_id.values.tolist() == ["bert-site001", "lupo-site002"]
    assert recording.subject.values.tolist() == ["bert", "lupo"]
    assert (recording.region.values[0], recording.subregion.values[0]) == ("IT", "AM")
    assert recording.time_bin_start.values.tolist() == [0, 10]
    expected = spikes[:, :20].reshape(2, 4, 2, 10).sum(3).swapaxes(0, 1).reshape(8, 2)  # repetition by repetition
    np.testing.assert_array_equal(recording.values[:, 0], expected)
    backwards = spikes[::-1, :20].reshape(2, 4, 2, 10).sum(3).swapaxes(0, 1).reshape(8, 2)
    np.testing.assert_array_equal(recording.values[:, 1], backwards)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[1].append("0"), r"1 lines of .*site001\.csv are not, the first is number 2"),
        (lambda t: t[2].pop(), r"1 lines of .* the first is number 3"),
        (lambda t: t[3].__setitem__(-1, "10"), r"1 lines of .* the first is number 4"),
        (lambda t: t[4].__setitem__(5, "-1"), r"1 lines of"),
        (lambda t: t[4].__setitem__(5, "x"), r"1 lines of"),
        (lambda t: t[5].__delitem__(slice(3, None)), r"1 lines of"),
        (lambda t: t[0].__setitem__(-1, "time.40_41"), "one column for every ms"),
        (lambda t: t[0].__setitem__(3, "labels.face"), r"has the columns site_info\.monkey"),
        (lambda t: t[1].__setitem__(0, "lupo"), r"after - .* is of bert, lupo"),
        (lambda t: t.__delitem__(slice(1, None)), "has 0 trials"),
    ],
)
def test_am_files_of_another_layout_are_refused(am_archive, spikes, change, message):
    table = am_table(spikes)
    change(table)
    with pytest.raises(DataFileError, match=message):
        read_freiwald_tsao(am_archive({"bert_am_site001": am_file(table)}), **SHORT, n_repetitions=2)


def test_am_archives_of_something_else_are_refused(am_archive, tmp_path):
    with pytest.raises(DataFileError, match="of 0 neurons"):
        read_freiwald_tsao(am_archive({}), **SHORT)
    with pytest.raises(DataFileError, match=r"absent\.zip does not exist"):
        read_freiwald_tsao(tmp_path / "absent.zip")
    with pytest.raises(DataFileError, match=r"a raster covers \[0, 400\) ms - it covers \[0, 30\) ms|it covers"):
        read_freiwald_tsao(am_archive({"bert_am_site001": am_file(am_table(np.zeros((8, 30), int)))}))


def test_am_archives_that_swell_are_refused(am_archive):
    path = am_archive({"bert_am_site001": b"0" * 80_000_000})
    with pytest.raises(DataFileError, match="at most 512 times as large"):
        read_freiwald_tsao(path)


# --- seven objects


def object_frame(first=-10, n=30, repetitions=2, objects=("car", "face")):
    shown = [(name, place) for _ in range(repetitions) for name in objects for place in ("lower", "upper")]
    raster = np.random.default_rng(1).integers(0, 2, (len(shown), n)).astype(float)
    labels = {"site_info.unit": "A", "labels.stimulus_ID": [s[0] for s in shown]}
    labels["labels.stimulus_position"] = [s[1] for s in shown]
    times = pd.DataFrame(raster, columns=[f"time.{t}_{t + 1}" for t in range(first, first + n)])
    return pd.concat([pd.DataFrame(labels), times], axis=1)


@pytest.fixture
def rda(tmp_path):
    pyreadr = pytest.importorskip("pyreadr")

    def write(frame, name="bp1001spk_01A", called="raster_data"):
        path = tmp_path / f"{name}_raster_data.rda"
        pyreadr.write_rdata(str(path), frame, df_name=called, compress="gzip")
        return path

    return write


def read_objects(*paths, **options):
    return read_zhang_desimone(
        paths, subject="monkey", **{"start_ms": -10, "end_ms": 20, "width_ms": 10, "n_repetitions": 2} | options
    )


def test_objects_are_counted_in_exact_bins(rda):
    frame = object_frame()
    recording = read_objects(rda(frame), rda(frame.iloc[::-1], "bp1002spk_04B"))
    assert recording.shape == (8, 2, 3)
    assert recording.time_bin_start.values.tolist() == [-10, 0, 10]
    assert recording.neuroid_id.values.tolist() == ["bp1001spk_01A", "bp1002spk_04B"]
    assert recording.session.values.tolist() == ["1001", "1002"]
    assert recording.object_name.values[[0, -1]].tolist() == ["car", "face"]
    assert recording.position.values[[0, -1]].tolist() == ["lower", "upper"]
    raster = frame.filter(like="time.").to_numpy()
    expected = raster.reshape(2, 4, 3, 10).sum(3).swapaxes(0, 1).reshape(8, 3)
    np.testing.assert_array_equal(recording.values[:, 0], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="labels.stimulus_ID"), r"has trials and the columns labels\.stimulus_ID"),
        (lambda f: f.drop(columns="time.0_1"), "one column for every ms"),
        (lambda f: f.assign(**{"time.0_1": 0.5}), "'spikes per ms' are whole numbers"),
        (lambda f: f.assign(**{"time.0_1": -1.0}), "spikes are counted from 0 - .*found -1"),
        (lambda f: f.assign(**{"time.0_1": np.nan}), "'spikes per ms' are whole numbers"),
    ],
)
def test_frames_of_another_layout_are_refused(rda, change, message):
    with pytest.raises(DataFileError, match=message):
        read_objects(rda(change(object_frame())))


def test_r_files_of_something_else_are_refused(rda, tmp_path):
    with pytest.raises(DataFileError, match="one data frame 'raster_data' - .*found binned_data"):
        read_objects(rda(object_frame(), called="binned_data"))
    with pytest.raises(DataFileError, match=r"rasters are called as .*found elsewhere_raster_data\.rda"):
        read_objects(rda(object_frame(), name="elsewhere"))
    path = tmp_path / "bp1001spk_01A_raster_data.rda"
    path.write_bytes(gzip.compress(b"RDX9\n" + bytes(100)))
    with pytest.raises(DataFileError, match=r"starts with RDX2 or RDX3 - .*found b'RDX9"):
        read_objects(path)
    path.write_bytes(gzip.compress(bytes(70_000_000)))
    with pytest.raises(DataFileError, match="unpacks to at most 67108864 bytes"):
        read_objects(path)
    path.write_bytes(gzip.compress(b"RDX3\nX\n" + bytes(100)))
    with pytest.raises(DataFileError, match="an R data file holds a data frame"):
        read_objects(path)
    with pytest.raises(AssemblyError, match="of 0 neurons"):
        read_objects()


def test_damaged_r_files_are_noticed_before_they_are_parsed(rda):
    path = rda(object_frame())
    content = path.read_bytes()
    start = content.index(b"\0", 10) + 1  # before it gzip keeps the file's name, without a checksum
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[int(rng.integers(start, len(content)))] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        with pytest.raises(DataFileError, match=r"bp1001spk_01A"):
            read_objects(path)


def test_without_pyreadr_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyreadr", None)
    with pytest.raises(MissingExtraError, match=r'not installed - pip install "neurofit\[r\]"'):
        read_objects(tmp_path / "bp1001spk_01A_raster_data.rda")


# --- by name


def manifest_of(tmp_path, reader, file, extra=""):
    path = tmp_path / "toy.toml"
    path.write_text(
        f'name = "toy"\ntitle = "t"\nkind = "recording"\nlicence = "l"\ncitation = "c"\nsource = "s"\n'
        f'reader = "{reader}"\nregions = ["IT"]\nrepetitions = true\nsubjects = ["monkey"]\n{extra}\n'
        f'[[files]]\nname = "{file.name}"\nrole = "responses"\nhash_unknown = "made by a test"\n'
    )
    (tmp_path / "data" / "toy").mkdir(parents=True, exist_ok=True)
    (tmp_path / "data" / "toy" / file.name).write_bytes(file.read_bytes())
    return path


BINS = "time_bins_ms = [[0, 10], [10, 20]]\nn_repetitions = 2"


def test_a_manifest_of_ones_own_says_bins_and_repetitions(tmp_path, am_archive, spikes, rda):
    file = am_archive({"bert_am_site001": am_file(am_table(spikes))})
    path = manifest_of(tmp_path, "freiwald-tsao", file, BINS)
    assert nf.load_dataset(path, tmp_path / "data", region="AM").shape == (8, 1, 2)
    with pytest.raises(DataFileError, match=r"come with their images - 'toy' has none - use its responses alone"):
        nf.load_stimuli(path, tmp_path / "data")
    path = manifest_of(tmp_path, "zhang-desimone", rda(object_frame()), BINS)
    assert nf.load_dataset(path, tmp_path / "data").shape == (8, 1, 2)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("time_bins_ms = [[0, 10]]", "'toy' does not - add them"),
        ("n_repetitions = 2", "gives time_bins_ms and n_repetitions"),
        ("time_bins_ms = [[0, 10], [15, 20]]\nn_repetitions = 2", r"do not fill \[0, 20\) ms by 10 ms"),
        ("time_bins_ms = [[0, 10]]\nn_repetitions = 0", "n_repetitions"),
    ],
)
def test_manifests_of_rasters_are_complete(tmp_path, am_archive, extra, message):
    path = manifest_of(tmp_path, "freiwald-tsao", am_archive({}), extra)
    with pytest.raises(ConfigurationError, match=message):
        nf.load_dataset(path, tmp_path / "data")


@pytest.mark.parametrize("name", [AM, OBJECTS])
def test_manifests_of_recordings_without_images_say_so(name):
    manifest = load_manifest(name)
    assert "no images" in manifest.title and not any(entry.role == "images" for entry in manifest.files)
    with pytest.raises(DataFileError, match=f"'{name}' has none"):
        nf.load_stimuli(name)


# --- the real files


def test_real_face_patch(shared):
    path = shared("data", "freiwald_tsao_AM", "Sec001_Freiwald_Tsao_faceviews_AM_data_csv.zip")
    entry = load_manifest(AM).files[0]
    assert (path.name, path.stat().st_size) == (entry.name, entry.size)
    recording = read_freiwald_tsao(path)
    assert recording.shape == (800, 84, 40) and recording.attrs["neuroids_left_out"] == 109
    assert len(set(recording.orientation.values)) == 8 and len(set(recording.person.values)) == 25

    with zipfile.ZipFile(path) as archive:  # the same neuron by a parser of CSV
        name = next(n for n in archive.namelist() if n.endswith("_bert_am_site017.csv"))
        table = pd.read_csv(archive.open(name))
    trials = table[(table["labels.person"] == 7) & (table["labels.orientation"] == "front")].head(4)
    raster = trials.filter(like="time.").to_numpy()[:, :400]
    ours = recording.sel(neuroid=recording.neuroid_id.values == "bert-site017")
    ours = ours.isel(presentation=ours.stimulus_id.values == "07/front")
    np.testing.assert_array_equal(ours.values[:, 0], raster.reshape(4, 40, 10).sum(2))

    late = nf.rebin(recording, [(0, 60), (100, 300)])
    early, response = np.nanmedian(nf.internal_consistency(late, random_state=0).mean("halving"), axis=0)
    assert response > 0.5 > 0.2 > early  # faces are told apart by the response, not by what precedes it


def test_real_seven_objects(shared):
    pytest.importorskip("pyreadr")
    folder = shared("data", "zhang_desimone_7objects")
    manifest = load_manifest(OBJECTS)
    assert {entry.name for entry in manifest.files} == {path.name for path in folder.glob("*.rda")}
    paths = [folder / entry.name for entry in manifest.files if entry.name.startswith(("bp1006", "bp1021"))]
    recording = read_zhang_desimone(paths, subject="monkey")
    assert recording.shape == (399, len(paths), 100)
    assert read_zhang_desimone(paths, subject="monkey", n_repetitions=20).attrs["neuroids_left_out"] == 7
    wide = nf.rebin(recording, [(-400, 0), (100, 500)])
    before, after = np.nanmedian(nf.internal_consistency(wide, random_state=0).mean("halving"), axis=0)
    assert after > 0.5 and before < 0.3
