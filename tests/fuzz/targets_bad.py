"""Readers that do what no reader may: the driver has to notice each."""

from __future__ import annotations

import ctypes
import os
import pickle
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from driver import Target

from neurofit.errors import DataFileError


def _seed(folder: Path) -> list[Path]:
    path = folder / "seed.bin"
    path.write_bytes(b"fine")
    return [path]


def _changed(content: bytes, rng: np.random.Generator) -> bytes:
    return b"bad" + content


def _only_bad(deed):
    def read(path: Path) -> None:
        if path.read_bytes().startswith(b"bad"):
            deed(path)

    return read


def _refuse(found: str):
    def deed(path: Path) -> None:
        raise DataFileError("a file is good", found, "get another")

    return deed


def _raise(path: Path) -> None:
    raise ValueError("of a library")


def _unpickle(path: Path) -> None:
    pickle.loads(b"cos\ngetcwd\n(tR.")


def _starved(path: Path) -> None:
    try:
        np.zeros(2**45, np.uint8)
    except MemoryError as error:
        raise DataFileError("a file is small", "it is not", "get another") from error


DEEDS = {
    "clean": (_refuse("it is bad"), ""),
    "two_lines": (_refuse("it is\nbad"), ""),
    "value_error": (_raise, "ValueError"),
    "crash": (lambda path: ctypes.string_at(0), "crash SIGSEGV"),
    "exit": (lambda path: os._exit(3), "crash 3"),
    "hang": (lambda path: time.sleep(60), "hang"),
    "hog": (lambda path: np.ones(2**26).sum(), "memory"),
    "starved": (_starved, "memory"),
    "evaluates": (lambda path: eval("1 + 1"), "deed"),
    "unpickles": (_unpickle, "deed"),
    "starts": (lambda path: subprocess.run([sys.executable, "-c", ""], check=False), "deed"),
    "writes": (lambda path: (Path.home() / "left").write_text("x"), "deed"),
    "spies": (lambda path: Path("/etc/passwd").read_text(), "deed"),
    "leaves": (lambda path: (path.parent.parent / "tmp" / "left").write_text("x"), "leaves files"),
    "warns": (lambda path: warnings.warn("careful", stacklevel=1), "warning"),
}
EXPECTED = {name: kind for name, (_, kind) in DEEDS.items()}
TARGETS = {
    name: Target(name, _seed, _changed, _only_bad(deed), timeout_s=2.0 if name == "hang" else 60.0, bound_bytes=2**27)
    for name, (deed, _) in DEEDS.items()
}
