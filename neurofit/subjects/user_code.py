"""A user's own model by where its code is: 'package.module:factory' or 'path/to/file.py:factory'."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from neurofit.errors import ConfigurationError, ModelContractError, NeurofitError, UnknownNameError
from neurofit.subjects.model_subject import ModelSubject, check_model

MARK = ":"
"""What sets a factory apart from the module or file that it is in; no model of the zoo has it in its name."""


def names_user_code(name: str) -> bool:
    """Return whether a model's name says where its code is."""
    return MARK in name


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
    where, _, attribute = name.rpartition(MARK)
    path = Path(where) if where.endswith(".py") else None
    if path is not None and not path.is_file():
        raise ConfigurationError("a model's file is there", f"{path} is no file", "check the path in FILE.py:FACTORY")
    with _importable((path or Path("_")).resolve().parent), _reported(name):
        module = _module(where) if path is None else _module_of_file(path)
        subject = _factory(module, where, attribute)()
        if not isinstance(subject, ModelSubject):
            raise ModelContractError(
                "a model's factory returns a ModelSubject",
                f"{name} returned {type(subject).__name__}",
                "wrap the network: neurofit.ModelSubject(network, name=..., layers=..., preprocessing=...)",
            )
        return check_model(subject)


def _factory(module: ModuleType, where: str, attribute: str) -> Callable[[], object]:
    if not hasattr(module, attribute):
        own = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
        raise UnknownNameError(f"factory in {where}", attribute, own)
    factory = getattr(module, attribute)
    if not callable(factory):
        raise ConfigurationError(
            "a model's factory is called without arguments",
            f"{where}:{attribute} is {type(factory).__name__}",
            "name a function that returns a ModelSubject",
        )
    return factory


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ModuleNotFoundError, ValueError) as error:
        missing = getattr(error, "name", None)
        if isinstance(error, ModuleNotFoundError) and not (missing and f"{name}.".startswith(f"{missing}.")):
            raise  # another one, which the user's module imports
        raise ConfigurationError(
            "a model's module can be imported",
            f"there is no module '{name}' in {Path.cwd()} or among the installed ones",
            "check MODULE:FACTORY, or name a file: path/to/file.py:FACTORY",
        ) from error


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
def _reported(name: str) -> Iterator[None]:
    """Report an error of the user's code in one sentence that names it and its line."""
    try:
        yield
    except NeurofitError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        text = " ".join(str(error).split())
        raise ModelContractError(
            "a model's own code runs without an error",
            f"{name} raised {type(error).__name__}{': ' if text else ''}{text}{place}",
            "mend it; Python shows the whole way there if the factory is called without neurofit",
        ) from error
