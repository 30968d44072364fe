"""Folders that are written whole or not at all, and replaced only if nobody else's files are in them."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neurofit.errors import OutputError
from neurofit.files.atomic import reporting_output_errors
from neurofit.files.json_text import misfit, read_json

MARKER = ".neurofit-site.json"
"""Says that a folder is a site, and which files are its own."""
_LEFT_BY_SYSTEMS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_REMEDY = "give another folder, or move what is in this one away"


class Folder:
    """A folder in the making.

    Attributes
    ----------
    bytes : int
        Written so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self._names: list[str] = []

    @property
    def files(self) -> int:
        """Number of files written so far."""
        return len(self._names)

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file; `name` is relative and uses '/'."""
        data = content.encode("utf-8") if isinstance(content, str) else content
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as handle:  # a name is never written twice
            handle.write(data)
        self._names.append(name)
        self.bytes += len(data)

    def finish(self) -> None:
        """Write which files it has."""
        self.write(MARKER, json.dumps({"made_by": "neurofit leaderboard", "files": sorted(self._names)}))


@contextmanager
def new_folder(out: Path) -> Iterator[Folder]:
    """Yield a folder beside `out` that takes its place when the block ends without an error.

    Parameters
    ----------
    out : Path
        Absent, empty, or a folder that this function made.

    Raises
    ------
    OutputError
        If `out` is anything else, or a file cannot be written.
    """
    with reporting_output_errors(out):
        out = out.resolve()
        _check_replaceable(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = out.with_name(f".{out.name}.{secrets.token_hex(8)}.tmp")
        temporary.mkdir()
        try:
            folder = Folder(temporary)
            yield folder
            folder.finish()
            _put_in_place(temporary, out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(new: Path, out: Path) -> None:
    """Move a folder to where another may be, which comes back if that fails."""
    if not out.exists():
        new.rename(out)
        return
    former = out.with_name(f".{out.name}.{secrets.token_hex(8)}.old")
    out.rename(former)
    try:
        new.rename(out)
    except OSError:
        former.rename(out)
        raise
    shutil.rmtree(former, ignore_errors=True)  # the new one is in place, whatever is left of this one


def _check_replaceable(out: Path) -> None:
    """Raise if a path holds anything that a former site did not write."""
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError("a site is written to a folder", f"{out} is a file", "give another name")
    found = {
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if (path.is_symlink() or not path.is_dir()) and path.name not in _LEFT_BY_SYSTEMS
    }
    if not found:
        return
    strangers = sorted(found - _written(out / MARKER))
    if strangers:
        raise OutputError(
            "a site replaces only a former site", f"{out} holds {strangers[0]}, which no site wrote", _REMEDY
        )


def _written(marker: Path) -> set[str]:
    """Return the files of a former site by its marker; none if there is no marker that can be read."""
    try:
        found = read_json(marker)
    except (OSError, ValueError):
        return set()
    return set() if misfit(found, {"files": [str]}) else {MARKER, *(found.get("files") or ())}
