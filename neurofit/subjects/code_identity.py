"""Which code runs: neurofit's and the user's by the hash of its files, an installed library's by its version."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
OWN_CODE = (
    "models/*.py", "kernel/gram_stream.py", "kernel/isometric.py", "kernel/projection.py", "kernel/rdm.py",
    "assembly/time_bins.py", "subjects/features.py", "subjects/model_subject.py", "subjects/outputs.py",
    "subjects/recording.py", "subjects/viewing.py",
)  # fmt: skip
"""Files of neurofit that decide features."""


class NoIdentityError(Exception):
    """Something has no content hash; the text is a clause that says what, and why."""


class CodeIdentity:
    """Collects the modules that classes and functions come from."""

    def __init__(self) -> None:
        self._versions: dict[str, str] = {}
        self._files: dict[str, str] = {}

    def named(self, thing: Any) -> str:
        """Return the full name of a class or function; its module, and those of its bases, are counted.

        Raises
        ------
        NoIdentityError
            If its source is not there, or is not that which was imported.
        """
        if not isinstance(thing, type):
            self._count(thing.__module__, qualified(thing), [thing])
            return qualified(thing)
        for base in thing.__mro__[:-1]:
            self._count(base.__module__, qualified(base), vars(base).values())
        return qualified(thing)

    def document(self) -> dict[str, Any]:
        """Return versions of libraries, and hashes of neurofit's code and of the user's files."""
        return {"libraries": dict(sorted(self._versions.items())), "files_sha256": dict(sorted(self._files.items()))}

    def _count(self, name: str, what: str, members: Any) -> None:
        top = name.partition(".")[0]
        if top == "neurofit":
            self._files["neurofit"] = own_code_hash()
            return
        if top in sys.stdlib_module_names and top != "__main__":
            return
        module = sys.modules.get(name)
        path = _source(module)
        if top in ("torch", "numpy") or (path is not None and _is_installed(path)):
            self._versions[top] = _version(top)
            return
        if module is None or path is None:
            raise NoIdentityError(f"the source of {what} is in no file")
        self._count_users(module, path)
        _check_current(path, what, members)

    def _count_users(self, module: ModuleType, path: Path) -> None:
        """Count a user's module, and what it imports."""
        if module.__name__ in self._files:
            return
        self._files[module.__name__] = hashlib.sha256(_content(path)).hexdigest()
        for other in _imported(module):
            found = _source(other)
            top = other.__name__.partition(".")[0]
            if found is None or top in sys.stdlib_module_names or top == "neurofit":
                continue
            if _is_installed(found):
                self._versions[top] = _version(top)
            else:
                self._count_users(other, found)


def qualified(thing: Any) -> str:
    """Return the full name of a class or function."""
    return f"{thing.__module__}.{thing.__qualname__}"


@cache
def own_code_hash() -> str:
    """Return a SHA-256 of the files of neurofit that decide features.

    Raises
    ------
    NoIdentityError
        If they are not there.
    """
    digest = hashlib.sha256()
    for pattern in OWN_CODE:
        paths = sorted(PACKAGE.glob(pattern))
        if not paths:
            raise NoIdentityError(f"neurofit's own source ({pattern}) is in no file")
        for path in paths:
            digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _imported(module: ModuleType) -> Iterator[ModuleType]:
    """Yield the modules that a module's global names come from."""
    for value in list(vars(module).values()):
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        found = sys.modules.get(name) if isinstance(name, str) else None
        if found is not None and found is not module:
            yield found


def _source(module: ModuleType | None) -> Path | None:
    path = getattr(module, "__file__", None)
    return None if path is None else Path(path).resolve()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NoIdentityError(f"{path} cannot be read") from error


def _is_installed(path: Path) -> bool:
    return any(folder in path.parents for folder in _installed_folders()) or "site-packages" in path.parts


@cache
def _installed_folders() -> tuple[Path, ...]:
    return tuple({Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")})


@cache
def _version(top: str) -> str:
    try:
        return version(top)
    except PackageNotFoundError:
        found = getattr(sys.modules.get(top), "__version__", None)
    if found is None:
        raise NoIdentityError(f"the version of the library {top} is not known")
    return str(found)


def _check_current(path: Path, what: str, members: Any) -> None:
    """Raise if functions are not those of their file as it is now: it was edited after it was imported."""
    there = _functions(path, path.stat().st_mtime_ns)
    for member in members:
        for function in _plain_functions(member):
            if Path(function.co_filename).resolve() == path and function not in there:
                raise NoIdentityError(f"{what} is not what {path.name} says now: it was edited after it was imported")


def _plain_functions(member: Any) -> Iterator[CodeType]:
    """Yield the code of a class' member: a function, a property, a static method, a decorated one."""
    for each in (member, *(getattr(member, name, None) for name in ("fget", "__func__", "__wrapped__"))):
        code = getattr(each, "__code__", None)
        if isinstance(code, CodeType):
            yield code


@cache
def _functions(path: Path, modified: int) -> frozenset[CodeType]:
    """Return the code of all functions in a file."""
    try:
        waiting = [compile(_content(path), str(path), "exec", dont_inherit=True)]
    except (SyntaxError, ValueError) as error:
        raise NoIdentityError(f"{path.name} cannot be compiled any more") from error
    found: set[CodeType] = set()
    while waiting:
        inner = [each for each in waiting.pop().co_consts if isinstance(each, CodeType)]
        found.update(inner)
        waiting += inner
    return frozenset(found)
