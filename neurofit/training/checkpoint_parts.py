"""What a checkpoint of PyTorch says that it consists of, looked at before PyTorch reads it.

PyTorch's reader of numbers alone (``weights_only``) executes nothing, but makes byte arrays of any size that a pickle
asks for. That the values of every tensor are in the archive is asked here as well, whatever its version does.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

_VALUE_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
}  # fmt: skip
_MOST_PICKLE_BYTES = 2**25  # names and shapes; those of 2,000 tensors have 300 kB


def check_parts(path: Path) -> None:
    """Check that a checkpoint is whole, and has nothing but tensors, whose values are all there, numbers and text.

    Raises
    ------
    ValueError, pickle.UnpicklingError
        If a part is not as it was written, or is no part of a checkpoint.
    zipfile.BadZipFile, OSError
        If it is no archive, or cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(info.compress_type != zipfile.ZIP_STORED for info in members):
            raise ValueError("it is compressed, which PyTorch's own are not")
        sizes = {info.filename: info.file_size for info in members}
        if len(sizes) < len(members):
            raise ValueError("it has two parts of one name")
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} in it is not as it was written")
        pickles = [name for name in sizes if name.endswith("/data.pkl")]
        if len(pickles) != 1 or sizes[pickles[0]] > _MOST_PICKLE_BYTES:
            raise ValueError(f"it has {len(pickles)} tables of its tensors, or one that is far too large")
        stem = pickles[0].removesuffix("data.pkl")
        _Listing(archive.read(pickles[0]), {name.removeprefix(stem): size for name, size in sizes.items()}).load()


# Python's own and not the one in C, which takes memory for whatever number of things a pickle says that it remembers.
class _Listing(pickle._Unpickler):
    """Goes through a pickle as PyTorch will, and makes no tensors."""

    def __init__(self, content: bytes, sizes: dict[str, int]) -> None:
        super().__init__(io.BytesIO(content))
        self._sizes = sizes

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _no_tensor
        if module == "torch" and name in _VALUE_BYTES:
            return name
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> str:
        what, kind, key, _, count = pid
        needed = _VALUE_BYTES[kind] * count
        if what != "storage" or count < 0 or needed > self._sizes[f"data/{key}"]:
            raise ValueError(f"a tensor in it needs {needed} bytes, which are not there")
        return "storage"


def _no_tensor(*parts: object) -> None:
    """Stand for the making of a tensor."""
