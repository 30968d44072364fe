"""A user's own model by where its code is: 'package.module:factory' or 'path/to/file.py:factory'."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from neurofit.errors import ConfigurationError, ModelContractError, NeurofitError, UnknownNameError
from neurofit.models.architecture_file import names_file
from neurofit.subjects.model_subject import ModelSubject, check_model

PACKAGE, PYTHON = Path(__file__).resolve().parents[1], Path(sysconfig.get_path("stdlib")).resolve()
Made = TypeVar("Made")

MARK = ":"
"""What sets a factory apart from the module or file that it is in; no model of the zoo has it in its name."""


def names_user_code(name: str) -> bool:
    """Return whether a model's name says where its code is."""
    return MARK in name and not names_file(name)


def load_user_subject(name: str) -> ModelSubject:
    """Call a factory and return the subject that it makes, checked by `check_model`.

    The factory's folder (of a module: the current one) is on the path of imports meanwhile, as it is where Python
    runs the file itself.

    Parameters
    ----------
    name : str
        'package.module:factory' or 'path/to/file.py:factory'; ``factory()`` returns a `ModelSubject`.

    Raises
    ------
    ConfigurationError
        If there is no such file or module, or the factory cannot be called.
    UnknownNameError
        If the module has no such name.
    ModelContractError
        If the user's code raises an error, or makes something else than a subject that keeps the contract.
    """
    return load_user_object(name, _checked_subject)


def load_user_object(name: str, accept: Callable[[str, object], Made]) -> Made:
    """Call a factory and return what is made of its result; names and errors are those of `load_user_subject`.

    Parameters
    ----------
    name : str
    accept : callable
        Called with the name and what the factory returned, within reach of the user's code; raises a `NeurofitError` if
        that is not what was asked for.
    """
    where, path, attribute = _parsed(name)
    if path is not None and not os.path.isfile(path):  # noqa: PTH113 - never raises
        raise ConfigurationError("a model's file is there", f"{path} is no file", "check the path in FILE.py:FACTORY")
    with _importable(_folder(path)), _reported(name):
        module = _module(where) if path is None else _module_of_file(path)
        return accept(name, _factory(module, where, attribute)())


def _checked_subject(name: str, subject: object) -> ModelSubject:
    if not isinstance(subject, ModelSubject):
        raise ModelContractError(
            "a model's factory returns a ModelSubject",
            f"{name} returned {type(subject).__name__}",
            "wrap the network: neurofit.ModelSubject(network, name=..., layers=..., preprocessing=...)",
        )
    return check_model(subject)


@contextmanager
def running_user_code(name: str) -> Iterator[None]:
    """Report an error that comes up in a user's own code in one sentence, whatever else is run; others pass.

    Parameters
    ----------
    name : str
        Of a model; one of the zoo has no such code.

    Raises
    ------
    ModelContractError
        If a file in the factory's folder (of a module: the current one) took part in the error.
    """
    if not names_user_code(name):
        yield
        return
    with _reported(name, others=False):
        yield


def _parsed(name: str) -> tuple[str, Path | None, str]:
    """Return module or file, the path if it is a file, and the factory."""
    where, _, attribute = name.rpartition(MARK)
    return where, Path(where) if where.endswith(".py") else None, attribute


def _folder(path: Path | None) -> Path:
    """Folder of a user's file; the current one where a module is named."""
    return (path or Path("_")).resolve().parent


def _factory(module: ModuleType, where: str, attribute: str) -> Callable[[], object]:
    if not hasattr(module, attribute):
        own = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
        raise UnknownNameError(f"factory in {where}", attribute, own)
    factory = getattr(module, attribute)
    if not callable(factory):
        raise ConfigurationError(
            "a model's factory is called without arguments",
            f"{where}:{attribute} is {type(factory).__name__}",
            "name a function that returns a ModelSubject, or to train it a network",
        )
    return factory


def _module(name: str) -> ModuleType:
    cause = None
    if name and not name.startswith("."):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not (error.name and f"{name}.".startswith(f"{error.name}.")):
                raise  # another one, which the user's module imports
            cause = error
    raise ConfigurationError(
        "a model's module can be imported",
        f"there is no module '{name}' in {Path.cwd()} or among the installed ones",
        "check MODULE:FACTORY, or name a file: path/to/file.py:FACTORY",
    ) from cause


def _module_of_file(path: Path) -> ModuleType:
    name = f"neurofit_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError("a model's file is Python", f"{path} cannot be loaded as such", "name a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Put a folder first on the path of imports for a while."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


@contextmanager
def _reported(name: str, others: bool = True) -> Iterator[None]:
    """Report an error of the user's code, or of any, in one sentence that names it and its line."""
    try:
        yield
    except NeurofitError:
        raise
    except (Exception, SystemExit) as error:  # a script that leaves would end the run as if it had succeeded
        own, place = _place(error, _folder(_parsed(name)[1]))
        if not (own or others):
            raise
        text = " ".join(str(error).split())
        raise ModelContractError(
            "a model's own code runs without an error",
            f"{name} raised {type(error).__name__}{': ' if text else ''}{text}{place}",
            "mend it; Python shows the whole way there if the factory is called without neurofit",
        ) from error


def _place(error: BaseException, folder: Path) -> tuple[bool, str]:
    """Return whether a user's code took part in an error, and where it came up: there, or else outside of neurofit."""
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    others = [(path, line) for path, line in frames if PACKAGE not in path.parents]
    own = [
        (path, line)
        for path, line in others
        if folder in path.parents and PYTHON not in path.parents and "site-packages" not in path.parts
    ]
    if isinstance(error, SyntaxError) and error.filename:
        return bool(own), ""  # its text has the line
    return bool(own), "".join(f" ({path.name}, line {line})" for path, line in (own or others)[-1:])
