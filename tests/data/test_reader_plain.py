from __future__ import annotations

import zipfile

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurofit.assembly.build import make_assembly
from neurofit.data.readers.plain import read_hdf5, read_npz, write_hdf5, write_npz
from neurofit.errors import AssemblyError, DataFileError, OutputError

FORMATS = {"hdf5": (write_hdf5, read_hdf5), "npz": (write_npz, read_npz)}
each_format = pytest.mark.parametrize("name", FORMATS)
needs_hdf5_2 = pytest.mark.skipif(
    h5py.version.hdf5_version_tuple < (2, 0, 0), reason="older HDF5 libraries end the process on damaged files"
)


def recording(**changes):
    values = np.random.default_rng(0).standard_normal((6, 3, 2), dtype=np.float32)
    options = {
        "stimulus_id": ["a", "a", "b", "b", "Straße/ü", "Straße/ü"],
        "repetition": [0, 1] * 3,
        "neuroid_id": ["n0", "n1", "n2"],
        "subject": "M1",
        "region": ["V4", "IT", "IT"],
        "subregion": ["", "pIT", "aIT"],
        "time_bins": [(-10, 10), (0, 20)],
        "presentation_coords": {"object_name": list("xxyyzz"), "correct": [True, False] * 3},
        "neuroid_coords": {"depth": np.array([0.5, np.nan, 2], np.float32), "electrode__row": [1, 2, 3]},
        "attrs": {"dataset": "mine", "simulated": 0, "scale": 0.5, "note": ""},
    }
    return make_assembly(values, **(options | changes))


def arrays():
    """What a user has, by the names of the layout."""
    return {
        "responses": np.arange(12.0).reshape(4, 3, 1),
        "stimulus_id": np.array(["a", "b", "c", "d"]),
        "neuroid_id": np.array(["n0", "n1", "n2"]),
        "subject": np.array("M1"),
        "region": np.array("IT"),
        "time_bin_start": np.array([70.0]),
        "time_bin_end": np.array([170]),
    }


def put_hdf5(path, contents, **attrs):
    with h5py.File(path, "w") as file:
        for name, values in contents.items():
            text = np.asarray(values).dtype.kind == "U"
            file.create_dataset(name, data=values.astype(object) if text else values)
        file.attrs.update(attrs)


def put_npz(path, contents):
    np.savez(path, **{name.replace("/", "__"): values for name, values in contents.items()})


PUT = {"hdf5": put_hdf5, "npz": put_npz}


@each_format
@pytest.mark.parametrize(
    "changes",
    [{}, {"region": None, "layer": "conv9"}, {"stimulus_id": list("abcdef"), "repetition": None, "attrs": {}}],
    ids=["recording", "activations", "averaged"],
)
def test_round_trip_is_identity(tmp_path, name, changes):
    write, read = FORMATS[name]
    assembly = recording(**changes).assign_coords(epoch=("time_bin", ["early", "late"]))
    path = write(assembly, tmp_path / f"mine.{name}")
    back = read(path)
    xr.testing.assert_identical(back, assembly)
    assert back.dtype == assembly.dtype
    assert {k: type(v) for k, v in back.attrs.items()} == {k: type(v) for k, v in assembly.attrs.items()}
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@each_format
@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)),
    label=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6),
)
def test_round_trip_of_equal_lengths_and_any_text(tmp_path_factory, name, shape, label):
    n, q, t = shape
    assembly = make_assembly(
        np.ones(shape),
        stimulus_id=[f"{label}{i}" for i in range(n)],
        neuroid_id=[f"{label}{i}" for i in range(q)],
        subject=label,
        region="IT",
        time_bins=[(i, i + 1) for i in range(t)],
        presentation_coords={"here": range(n)},
        neuroid_coords={"there": [label] * q},
        attrs={"note": label},
    )
    write, read = FORMATS[name]
    path = tmp_path_factory.mktemp("round") / "mine"
    xr.testing.assert_identical(read(write(assembly, path)), assembly)


@each_format
def test_a_users_file(tmp_path, name):
    path = tmp_path / f"mine.{name}"
    more = {"presentation/object_name": np.array(["x", "x", "y", "y"]), "neuroid/depth": np.array([1, 2, 3])}
    PUT[name](path, arrays() | {"stimulus_id": np.arange(4), "time_bin_start": np.array(70)} | more)
    read = FORMATS[name][1](path)
    assert read.stimulus_id.values.tolist() == ["0", "1", "2", "3"]
    assert read.subject.values.tolist() == ["M1"] * 3
    assert read.depth.dims == ("neuroid",)
    assert read.object_name.dims == ("presentation",)
    assert (int(read.time_bin_start[0]), int(read.time_bin_end[0])) == (70, 170)


def test_hdf5_attributes_may_name_subject_and_region(tmp_path):
    contents = {k: v for k, v in arrays().items() if k not in ("subject", "region")}
    put_hdf5(tmp_path / "mine.h5", contents, subject="M1", region=b"IT", year=np.int32(2024), shape=[1, 2])
    read = read_hdf5(tmp_path / "mine.h5")
    assert read.region.values.tolist() == ["IT"] * 3
    assert read.attrs == {"year": 2024}


def test_vectors_of_matlab_are_matrices(tmp_path):
    contents = arrays() | {"time_bin_start": np.array([[70.0]]), "presentation/trial": np.array([[1.0, 2.0, 3.0, 4.0]])}
    put_hdf5(tmp_path / "mine.h5", contents)
    assert read_hdf5(tmp_path / "mine.h5").trial.values.tolist() == [1, 2, 3, 4]


@each_format
def test_foreign_byte_order_becomes_native(tmp_path, name):
    path = tmp_path / f"mine.{name}"
    PUT[name](path, arrays() | {"responses": arrays()["responses"].astype(">f4")})
    assert FORMATS[name][1](path).dtype.isnative


@each_format
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stimulus_id": None}, r"has an array 'stimulus_id' - .*: there is neuroid_id, region, .* - add it"),
        ({"responses": np.zeros((4, 3))}, r"found 2 dimensions of shape \(4, 3\) - add an axis"),
        ({"responses": np.full((4, 3, 1), "x")}, "responses are numbers - .*found dtype"),
        ({"responses": np.full((4, 3, 1), np.nan)}, "responses are finite"),
        ({"stimulus_id": np.array(["a", "b"])}, "'stimulus_id' has one value per presentation - .*found 2 for 4"),
        ({"stimulus_id": np.array(["a", "b", "c", "a"])}, "occur more than once: a - number the repetitions"),
        ({"stimulus_id": np.array([0.5, 1, 2, 3])}, "'stimulus_id' are whole numbers .*found 0.5"),
        ({"repetition": np.array([0, 1, np.nan, 3])}, "'repetition' are whole numbers .*found nan"),
        ({"time_bin_start": np.array([np.inf])}, "'time_bin_start' are whole numbers .*found inf"),
        ({"time_bin_end": np.array([60])}, r"bin 0 is \[70, 60\) ms"),
        ({"time_bin_end": np.array([170, 180])}, "argument 2 is longer"),
        ({"neuroid/xy": np.zeros((3, 2))}, r"coordinates have one dimension - .*'neuroid..?xy' has shape \(3, 2\)"),
        ({"stimulus_ids": np.zeros(4)}, "'stimulus_ids' is not known - call it 'stimulus_id' or 'presentation"),
        ({"presentation/subject": np.zeros(4)}, "'presentation..?subject' is not known - call it"),
        ({"region": None}, "every neuroid has a region"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, change, message):
    path = tmp_path / f"mine.{name}"
    PUT[name](path, {k: v for k, v in (arrays() | change).items() if v is not None})
    with pytest.raises(DataFileError, match=message) as caught:
        FORMATS[name][1](path)
    assert path.name in str(caught.value)


@each_format
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": ("presentation", np.zeros(6, "datetime64[ns]"))}, r"'time' is datetime64\[ns\] on"),
        ({"pair": (("neuroid", "time_bin"), np.zeros((3, 2)))}, "'pair' is float64 on .'neuroid', 'time_bin'."),
        ({"run": 3}, r"'run' is int64 on \(\)"),
        ({"a/b": ("neuroid", np.zeros(3))}, "without '/' in the name"),
        ({"subregion": ("presentation", np.zeros(6))}, r"'subregion' is float64 on \('presentation',\)"),
    ],
)
def test_coordinates_without_a_place_are_not_written(tmp_path, name, change, message):
    with pytest.raises(AssemblyError, match=message):
        FORMATS[name][0](recording(subregion=None).assign_coords(change), tmp_path / "mine")
    assert not list(tmp_path.iterdir())


@each_format
@pytest.mark.parametrize("attrs", [{"bins": [1, 2]}, {"nothing": None}, {"region": "IT"}])
def test_attributes_without_a_place_are_not_written(tmp_path, name, attrs):
    with pytest.raises(AssemblyError, match="attributes are text or single numbers"):
        FORMATS[name][0](recording(attrs=attrs), tmp_path / "mine")


@each_format
def test_an_older_file_stays_when_writing_fails(tmp_path, name):
    write, read = FORMATS[name]
    path = write(recording(), tmp_path / "mine")
    with pytest.raises(AssemblyError, match="responses are finite"):
        write(recording() * np.nan, path)
    xr.testing.assert_identical(read(path), recording())
    with pytest.raises(OutputError, match="files can be written where"):
        write(recording(), tmp_path / "nowhere" / "mine")


def test_hdf5_bombs_are_refused(tmp_path):
    path = tmp_path / "mine.h5"
    put_hdf5(path, {k: v for k, v in arrays().items() if k != "responses"})
    with h5py.File(path, "a") as file:
        file.create_dataset("responses", (10**6, 10**5, 10), "f8", chunks=(100, 100, 10))
    with pytest.raises(DataFileError, match=r"contents are at most 512 times .* declares 80\d+"):
        read_hdf5(path)


def test_zip_bombs_are_refused(tmp_path):
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("responses.npy", "w") as file:
        for _ in range(80):
            file.write(bytes(2**20))
    with pytest.raises(DataFileError, match=r"contents are at most 512 times .* declares 83886080"):
        read_npz(path)


def test_npy_headers_that_declare_too_much_are_refused(tmp_path):
    for shape, descr in ((10**6, 10**6), "<f8"), ((10**12,), "<U0"):
        path = tmp_path / "mine.npz"
        with zipfile.ZipFile(path, "w") as archive, archive.open("responses.npy", "w") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
        with pytest.raises(DataFileError, match=r"'responses' in .*mine.npz declares .* of shape \(10000"):
            read_npz(path)


def test_pickles_are_refused(tmp_path):
    put_npz(tmp_path / "mine.npz", arrays() | {"subject": np.array([None, 1, "x"], object)})
    with pytest.raises(DataFileError, match="'subject' in .*mine.npz holds Python objects"):
        read_npz(tmp_path / "mine.npz")


def test_other_compressions_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("responses.npy", b"")
    with pytest.raises(DataFileError, match="'responses' is otherwise - use numpy.savez"):
        read_npz(tmp_path / "mine.npz")


def test_references_in_hdf5_are_refused(tmp_path):
    put_hdf5(tmp_path / "mine.h5", arrays())
    with h5py.File(tmp_path / "mine.h5", "a") as file:
        file["links"] = np.array([file["responses"].ref], h5py.ref_dtype)
    with pytest.raises(DataFileError, match="'links' in .*mine.h5 holds references or ragged arrays"):
        read_hdf5(tmp_path / "mine.h5")


@each_format
def test_foreign_and_missing_files(tmp_path, name):
    path = tmp_path / "mine"
    read = FORMATS[name][1]
    with pytest.raises(DataFileError, match="mine does not exist"):
        read(path)
    for content in (b"", b"text", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(content)
        with pytest.raises(DataFileError, match="a recording in neurofit's plain layout can be read"):
            read(path)


@needs_hdf5_2
@pytest.mark.parametrize("source", ["hdf5", "npz", "npz compressed", "hdf5 with texts of variable length"])
def test_damaged_files_are_data_file_errors(tmp_path, source):
    name = source.split()[0]
    path = tmp_path / f"mine.{name}"
    if source == "hdf5 with texts of variable length":
        put_hdf5(path, arrays())
    else:
        FORMATS[name][0](recording(), path)
    if source == "npz compressed":
        with np.load(path) as contents:
            np.savez_compressed(path, **contents)
    content, whole = path.read_bytes(), FORMATS[name][1](path)
    rng = np.random.default_rng(1)
    failures = 0
    for trial in range(90):
        damaged = bytearray(content[: rng.integers(len(content))] if trial % 3 == 0 else content)
        for position in rng.integers(len(damaged), size=trial % 3):
            damaged[position] ^= int(rng.integers(1, 256))
        path = tmp_path / f"damaged{trial}"
        path.write_bytes(damaged)
        try:
            read = FORMATS[name][1](path)
        except DataFileError:
            failures += 1
        else:  # HDF5 written by neurofit is checksummed: what can be read is whole
            assert source != "hdf5" or read.identical(whole)
    assert failures >= 30


def test_every_cut_of_a_file_is_noticed(tmp_path):
    for name, (write, read) in FORMATS.items():
        content = write(recording(), tmp_path / name).read_bytes()
        for length in range(0, len(content) - 1, 97):
            path = tmp_path / f"{name}{length}"
            path.write_bytes(content[:length])
            with pytest.raises(DataFileError, match="can be read|declares|sound heaps"):
                read(path)
