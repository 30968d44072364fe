from __future__ import annotations

import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from mat_v73 import save_v73

from neurofit.data.readers import matlab_v5
from neurofit.data.readers.matlab import read_mat, texts_of
from neurofit.errors import AssemblyError, DataFileError

OF_MATLAB = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"

TREE = {
    "numbers": np.arange(6.0).reshape(2, 3),
    "word": "Häuser",
    "labels": {"stimulus_ID": ["car", "face", ""], "trial": np.array([[1.0, 2.0, 3.0]]), "inner": {"x": ["a", ["b"]]}},
}


def save_v5(path, variables, **options):
    scipy.io.savemat(path, {name: cells(value) for name, value in variables.items()}, **options)
    return path


def cells(value):
    if isinstance(value, dict):
        return {name: cells(one) for name, one in value.items()}
    if isinstance(value, list):
        column = np.empty((len(value), 1), object)
        column[:, 0] = [cells(one) for one in value]
        return column
    return value


def same(found, given):
    if isinstance(given, dict):
        return found.keys() == given.keys() and all(same(found[n], given[n]) for n in given)
    if isinstance(given, list):
        return len(found) == len(given) and all(same(a, b) for a, b in zip(found, given, strict=True))
    return found == given if isinstance(given, str) else np.array_equal(found, given)


@pytest.fixture(params=["v5", "v5 compressed", "v7.3"])
def save(request, tmp_path):
    path = tmp_path / "file.mat"
    if request.param == "v7.3":
        return lambda variables: save_v73(path, variables)
    return lambda variables: save_v5(path, variables, do_compression="compressed" in request.param)


def test_the_same_tree_from_every_container(save):
    found = read_mat(save(TREE), TREE)
    assert same(found, TREE), found
    assert found["numbers"].shape == (2, 3)


def test_only_what_is_asked_for_is_read(save):
    assert list(read_mat(save(TREE), ["word", "elsewhere"])) == ["word"]


@pytest.mark.parametrize(
    ("name", "variable", "expected"),
    [
        ("testhdf5_7.4_GLNX86.mat", "testdouble", np.arange(9) * np.pi / 4),
        ("testdouble_7.4_GLNX86.mat", "testdouble", np.arange(9) * np.pi / 4),
        ("testdouble_7.1_GLNX86.mat", "testdouble", np.arange(9) * np.pi / 4),
        ("teststring_7.4_GLNX86.mat", "teststring", '"Do nine men interpret?" "Nine men," I nod.'),
        ("teststringarray_7.4_GLNX86.mat", "teststringarray", ["one  ", "two  ", "three"]),
        ("big_endian.mat", "strings", ["hello", "world"]),
    ],
)
def test_files_that_matlab_wrote(name, variable, expected):
    path = OF_MATLAB / name
    if not path.exists():
        pytest.skip(f"this build of SciPy comes without {name}")
    found = read_mat(path, [variable])[variable]
    if isinstance(expected, np.ndarray):
        np.testing.assert_allclose(found.ravel(), expected)
    else:
        assert found == expected


def test_a_reference_out_of_the_file_is_refused(tmp_path):
    path = save_v73(tmp_path / "file.mat", {"a": np.ones((1, 2))})
    with h5py.File(path, "r+") as file:
        file["b"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(DataFileError, match=r"holds all of its content itself.*'//?b'.*links to /etc/passwd"):
        read_mat(path, ["a"])


def test_a_cell_that_holds_itself_ends(tmp_path):
    path = save_v73(tmp_path / "file.mat", {"a": ["x"]})
    with h5py.File(path, "r+") as file:
        file["a"][0, 0] = file["a"].ref
    with pytest.raises(DataFileError, match="16 deep - .*/a has more"):
        read_mat(path, ["a"])


def test_a_data_set_that_declares_much_and_stores_little_is_refused(tmp_path):
    path = save_v73(tmp_path / "file.mat", {})
    with h5py.File(path, "r+") as file:
        file.create_dataset("a", (2**31,), "f8", chunks=(2**20,)).attrs["MATLAB_class"] = np.bytes_("double")
    with pytest.raises(DataFileError, match=r"stores 0 bytes and declares 171\d+"):
        read_mat(path, ["a"])


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content.ljust((len(content) + 7) // 8 * 8, b"\0")


def matrix(array_class, dims, name=b"a", parts=b""):
    flags = element(6, struct.pack("<II", array_class, 0))
    return element(14, flags + element(5, struct.pack(f"<{len(dims)}i", *dims)) + element(1, name) + parts)


def v5(content):
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + content


def nested(depth):
    return matrix(6, (1, 1), parts=element(9, b"\0" * 8)) if depth == 0 else matrix(1, (1, 1), parts=nested(depth - 1))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (matrix(1, (2**15, 2**15)), "'a' claims 1073741824 parts, which its bytes cannot hold"),
        (nested(40), "more than 16 deep"),
        (matrix(5, (1, 1)), "'a' is or holds a sparse matrix"),
        (matrix(16, (1, 1)), "a function handle"),
        (matrix(1, (1, 1), parts=matrix(17, (1, 1), b"b")), "'b' is or holds an object"),
        (element(14, b"\0" * 16)[:-8], "larger than what holds it"),
        (struct.pack("<II", 15, 4) + b"abcd", "zlib.error|error: Error -3"),
        (matrix(1, (-1, 1)), "claims -1 parts"),
    ],
    ids=["cells", "nested", "sparse", "function", "object", "cut", "zlib", "negative"],
)
def test_hostile_headers_of_v5_are_refused(tmp_path, content, words):
    path = tmp_path / "file.mat"
    path.write_bytes(v5(content))
    with pytest.raises(DataFileError, match=words):
        read_mat(path, ["a"])


def test_a_compressed_variable_that_swells_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(matlab_v5, "FREE_BYTES", 2**16)
    packed = zlib.compress(matrix(6, (1, 2**18), parts=element(9, bytes(2**21))), 9)
    path = tmp_path / "file.mat"
    path.write_bytes(v5(struct.pack("<II", 15, len(packed)) + packed))
    with pytest.raises(DataFileError, match="unpacks to at most 512 times its size"):
        read_mat(path, ["a"])


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "file.mat"
    path.write_bytes(b"MATLAB 4 or anything else")
    with pytest.raises(DataFileError, match="of version 5 or 7.3"):
        read_mat(path, ["a"])


@pytest.mark.parametrize("at", [0, 60, 127, 130, 200, 400])
def test_a_file_that_was_cut_is_an_error_of_ours(save, at):
    path = save(TREE)
    path.write_bytes(path.read_bytes()[:at])
    with pytest.raises(DataFileError):
        read_mat(path, TREE)


def test_labels_are_texts_or_numbers():
    assert texts_of([" a ", np.array([[2.0]])], 2, "x").tolist() == ["a", "2"]
    assert texts_of(np.array([[1.5, 2.0]]), 2, "x").tolist() == ["1.5", "2"]
    with pytest.raises(AssemblyError, match="'x' has a text or a number for each of 3 trials - found 1"):
        texts_of("abc", 3, "x")


@pytest.mark.parametrize(
    "name",
    [
        "testcell",
        "teststruct",
        "testcellnest",
        "testmulti",
        "testmatrix",
        "testunicode",
        "testcomplex",
        "testonechar",
        "teststructnest",
        "testemptycell",
    ],
)
def test_v5_is_read_as_scipy_reads_it(name):
    """SciPy's own reader, on files that MATLAB wrote, is the reference; ours trusts nothing and knows less."""
    paths = sorted(OF_MATLAB.glob(f"{name}_[67]*.mat"))
    if not paths:
        pytest.skip(f"this build of SciPy comes without {name}")
    for path in paths:
        expected = {n: v for n, v in scipy.io.loadmat(path, chars_as_strings=True).items() if not n.startswith("__")}
        if any(isinstance(v, scipy.sparse.spmatrix | scipy.sparse.sparray) for v in expected.values()):
            expected = {n: v for n, v in expected.items() if not scipy.sparse.issparse(v)}
        found = read_mat(path, expected)
        assert found.keys() == expected.keys()
        assert all(as_scipy(found[n], v) for n, v in expected.items()), (path.name, found, expected)


def as_scipy(found, expected):
    expected = np.asarray(expected)
    if expected.dtype.names is not None:
        rows = expected.ravel("F")
        many = found if isinstance(found, list) else [found]
        return len(many) == len(rows) and all(
            one.keys() == set(expected.dtype.names) and all(as_scipy(one[n], row[n]) for n in one)
            for one, row in zip(many, rows, strict=True)
        )
    if expected.dtype == object:
        cells = expected.ravel("F")
        return len(found) == len(cells) and all(as_scipy(a, b) for a, b in zip(found, cells, strict=True))
    if expected.dtype.kind == "U":
        texts = [str(text) for text in expected.ravel()]
        return found == (texts[0] if len(texts) == 1 else texts or "")
    return found.shape == expected.shape and np.array_equal(found, expected)
