"""Variables of a MATLAB file, v5 to v7.2 or v7.3 (HDF5), as the same plain tree.

Numbers are arrays with MATLAB's dimensions, a row of text is a `str`, a cell array is a list in MATLAB's order (columns
first), a struct is a dict.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurofit.data.readers.checks import reading
from neurofit.data.readers.linked_hdf5 import check_dataset, opened_linked_hdf5, text_attribute
from neurofit.data.readers.matlab_v5 import MAX_DEPTH, read_mat_v5
from neurofit.errors import AssemblyError, listed

V5, V73 = b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"
MAX_REFERENCES = 1_000_000  # of one file: a label for every trial of every field is 10^5
REFERENCE_BYTES, FEWEST_REFERENCES = 8, 1000  # a file that follows more than it can store leads in circles
_WHAT = "a MATLAB file"


def read_mat(path: str | Path, names: Collection[str]) -> dict[str, Any]:
    """Read variables by name; those that the file lacks are absent from the result.

    Parameters
    ----------
    path : path
    names : collection of str

    Raises
    ------
    DataFileError
        If the file cannot be read, a variable is neither numbers nor text nor cells and structs of these, or what it
        declares is out of proportion to the file.
    """
    path = Path(path)
    with reading(path, _WHAT):
        with path.open("rb") as handle:
            start = handle.read(len(V5))
        if start == V5:
            return read_mat_v5(path, names)
        if start == V73 or h5py.is_hdf5(path):
            return _read_v73(path, names)
        raise AssemblyError(
            "a MATLAB file is of version 5 or 7.3", f"it begins with {start!r}", "save it with -v7 or -v7.3"
        )


def _read_v73(path: Path, names: Collection[str]) -> dict[str, Any]:
    with opened_linked_hdf5(path) as file:
        tree = _Tree(path)
        return {name: tree.value(file[name]) for name in names if name in file}


class _Tree:
    """Turns items of a v7.3 file into plain values, and counts what it follows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.followed = 0
        self.most = min(MAX_REFERENCES, FEWEST_REFERENCES + path.stat().st_size // REFERENCE_BYTES)

    def value(self, item: h5py.Group | h5py.Dataset, depth: int = 0) -> Any:
        self.followed += 1
        if depth > MAX_DEPTH or self.followed > self.most:
            raise AssemblyError(
                f"a variable of this file has at most {self.most} parts, {MAX_DEPTH} deep",
                f"{item.name} has more",
                "split it",
            )
        kind = text_attribute(item, "MATLAB_class")
        if isinstance(item, h5py.Group):
            if kind not in ("struct", ""):
                raise self._foreign(item, kind)
            return {name: self.value(self._member(item, name), depth + 1) for name in item}
        dataset = check_dataset(item, self.path)
        if "MATLAB_object_decode" in dataset.attrs or dataset.dtype.names is not None:
            raise self._foreign(item, kind or "compound")
        if dataset.attrs.get("MATLAB_empty", 0):
            return {"char": "", "cell": [], "struct": []}.get(kind, np.zeros((0, 0)))
        if h5py.check_ref_dtype(dataset.dtype) is not None:  # cells, and the fields of arrays of structs
            references = np.asarray(dataset[()]).T.ravel("F")
            self.followed += len(references)
            return [self.value(self._followed(dataset, reference), depth + 1) for reference in references]
        if dataset.dtype.kind not in "biuf":
            raise self._foreign(item, kind or str(dataset.dtype))
        values = np.asarray(dataset[()]).T
        return _text(values) if kind == "char" else values

    def _member(self, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise AssemblyError(
                "fields of structs lie in the struct",
                f"'{group.name}/{name}' is elsewhere",
                "save the file with MATLAB",
            )
        return group[name]

    def _followed(self, dataset: h5py.Dataset, reference: h5py.Reference) -> h5py.Group | h5py.Dataset:
        if not isinstance(reference, h5py.Reference) or not reference:
            raise AssemblyError("references lead somewhere", f"one of {dataset.name} does not", "save the file anew")
        return dataset.file[reference]

    def _foreign(self, item: h5py.Group | h5py.Dataset, kind: str) -> AssemblyError:
        return AssemblyError(
            "what is read of a MATLAB file is numbers, text, cells and structs",
            f"'{item.name}' is of class {kind}",
            "convert it (strings and categories with cellstr, tables with table2struct)",
        )


def _text(values: np.ndarray) -> str | list[str]:
    """Return a char array (rows, columns) of UTF-16 codes as text, or as texts if it has several rows."""
    if values.dtype.kind not in "iu":
        raise AssemblyError("text is stored as codes of characters", f"found dtype {values.dtype}", "save it anew")
    rows = values.reshape(values.shape[0], -1).astype("<u2")
    texts = [row.tobytes().decode("utf-16-le", "replace") for row in rows]
    return texts[0] if len(texts) == 1 else texts


def texts_of(value: Any, n: int, name: str) -> np.ndarray:
    """Return labels (n,), text: a list of texts or of numbers, an array of numbers, or rows of a char array.

    Raises
    ------
    AssemblyError
        If they are something else, or not n.
    """
    if isinstance(value, np.ndarray):
        value = value.ravel("F").tolist()
    elif isinstance(value, str):
        value = [value]
    flat = [one.item() if isinstance(one, np.ndarray) and one.size == 1 else one for one in value]
    strange = [one for one in flat if not isinstance(one, str | int | float)]
    if strange or len(flat) != n:
        raise AssemblyError(
            f"'{name}' has a text or a number for each of {n} trials",
            f"found {len(flat)}" + (f", among them {listed(strange, 1)}" if strange else ""),
            "check the labels",
        )
    return np.array([one.strip() if isinstance(one, str) else f"{one:g}" if one % 1 else f"{one:.0f}" for one in flat])
