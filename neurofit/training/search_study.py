"""Studies: where the trials of a search are kept, what a study is, and who draws its trials.

A study is kept in a file of SQLite, in any other database that SQLAlchemy speaks to, or in a journal file. Any number
of processes attach to it; what a study is (space, recipe, data, objectives, sampler, seed) is kept in it and compared.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neurofit.errors import (
    ConfigurationError,
    DataFileError,
    MissingExtraError,
    NeurofitError,
    UnknownNameError,
    listed,
)
from neurofit.files.json_text import misfit
from neurofit.files.toml_schema import parse_table
from neurofit.training.recipe import Recipe
from neurofit.training.search_space import SearchSpace, as_table

try:
    import optuna
    import sqlalchemy
    from optuna.storages.journal import JournalFileBackend
except ModuleNotFoundError as error:
    raise MissingExtraError(
        "architectures are searched with Optuna", f"{error.name} is not installed", 'pip install "neurofit[search]"'
    ) from error

SamplerName = Literal["tpe", "random", "gp", "qmc", "nsga2", "cmaes"]
PrunerName = Literal["median", "none"]

STUDY_FILE, JOURNAL_FILE = "study.db", "study.journal"

_SHAPE = {"space": dict, "recipe": dict, "data": dict, "objectives": [str], "sampler": str, "pruner": str, "seed": int}
_ATTRIBUTE = "neurofit"
_BUSY_S = 120  # for which a process waits for another that writes the same SQLite file
_OPENING_ATTEMPTS = 5


@dataclass(frozen=True)
class Objective:
    """What a search may be for.

    Parameters
    ----------
    label : str
        For axes and tables.
    direction : {'maximize', 'minimize'}
    logarithm : bool
        Whether a study keeps the decimal logarithm of what was measured.
    """

    label: str
    direction: Literal["maximize", "minimize"]
    logarithm: bool = False

    def value(self, measured: float) -> float:
        """Return what a study keeps."""
        return float(np.log10(measured)) if self.logarithm else float(measured)


OBJECTIVES: dict[str, Objective] = {
    "top1": Objective("validation top-1", "maximize"),
    "predictivity": Objective("predictivity", "maximize"),
    "parameters": Objective("log10 parameters", "minimize", logarithm=True),
    "macs": Objective("log10 multiply-accumulates per answer", "minimize", logarithm=True),
}


@dataclass(frozen=True)
class StudySpec:
    """What a study is; two processes that attach to one agree on it.

    Parameters
    ----------
    space : SearchSpace
    recipe : Recipe
        Of the short training.
    data : mapping
        What identifies the images, and what else a value depends on.
    objectives : tuple of str
        Of `OBJECTIVES`; several have no single best trial but a Pareto front.
    sampler : str
        'tpe' as in the paper (that its Hyperopt used this algorithm is a recollection, specification 3.1), 'random',
        'gp', 'qmc', 'nsga2', or 'cmaes', which asks for the package cmaes.
    pruner : str
        'median' stops a trial whose accuracy after an epoch is below the median of the trials before it, after five
        of them (Optuna's defaults).
    seed : int
    """

    space: SearchSpace
    recipe: Recipe
    data: Mapping[str, Any]
    objectives: tuple[str, ...] = ("top1",)
    sampler: SamplerName = "tpe"
    pruner: PrunerName = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.objectives:
            if name not in OBJECTIVES:
                raise UnknownNameError("objective", name, OBJECTIVES)
        if len(set(self.objectives)) < len(self.objectives) or not self.objectives:
            raise ConfigurationError("objectives are one or more different ones", listed(self.objectives), "name one")
        if self.pruner != "none" and (len(self.objectives) > 1 or self.objectives[0] != "top1"):
            raise ConfigurationError(
                "trials are pruned by their accuracy, where it is the one objective",
                f"objectives are {', '.join(self.objectives)}",
                "use --pruner none",
            )

    def as_document(self) -> dict[str, Any]:
        """Return all of it in JSON's types."""
        return {
            "space": as_table(self.space),
            "recipe": as_table(self.recipe),
            "data": dict(self.data),
            "objectives": list(self.objectives),
            "sampler": self.sampler,
            "pruner": self.pruner,
            "seed": self.seed,
        }


def storage_url(location: str | Path, make: bool = False) -> str:
    """Return where a study is kept, as a URL: of a folder, a file, ``journal:PATH`` or any URL of SQLAlchemy's.

    Parameters
    ----------
    location : str or Path
    make : bool
        Whether the study may be a new one; otherwise its file has to be there.

    Raises
    ------
    DataFileError
        If there is no such file.
    """
    text = str(location)
    if "://" in text or text.startswith("journal:"):
        return text
    path = Path(text)
    if path.suffix not in (".db", ".journal"):
        journal = path / JOURNAL_FILE
        path = journal if journal.exists() else path / STUDY_FILE
    if not make and not path.exists():
        raise DataFileError("a study is a folder that neurofit search wrote", f"there is no {path}", "check the path")
    return f"journal:{path}" if path.suffix == ".journal" else f"sqlite:///{path.absolute()}"


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """Open a storage by its URL; see `storage_url`.

    Raises
    ------
    DataFileError
        If it cannot be reached, or holds something else.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # trials are reported by `search`, in one line each
    try:
        if url.startswith("journal:"):
            return optuna.storages.JournalStorage(JournalFileBackend(url.removeprefix("journal:")))
        return _open_database(url)
    except Exception as error:  # damaged journals and databases make Optuna raise nearly anything
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DataFileError(
            "a study's storage can be opened", f"{url}: {reason}", "name a folder, a journal, or a database's URL"
        ) from error


def _open_database(url: str) -> optuna.storages.RDBStorage:
    """Open a database; several processes that make its tables at once make each other try again."""
    is_sqlite = url.startswith("sqlite")
    options = {"connect_args": {"timeout": _BUSY_S, "isolation_level": None}} if is_sqlite else {"pool_pre_ping": True}
    for attempt in range(_OPENING_ATTEMPTS):
        try:
            storage = optuna.storages.RDBStorage(url, engine_kwargs=options)
            break
        except (sqlalchemy.exc.OperationalError, sqlalchemy.exc.IntegrityError):
            if attempt == _OPENING_ATTEMPTS - 1:
                raise
            time.sleep(0.2 * (attempt + 1))
    if is_sqlite:
        # Optuna relies on locks of rows, which SQLite has not: without this, two workers may take one trial
        sqlalchemy.event.listen(
            storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE")
        )
    return storage


def attach(url: str, name: str, spec: StudySpec) -> optuna.Study:
    """Return a study of that name, new or begun before.

    Raises
    ------
    ConfigurationError
        If it was begun as another study.
    DataFileError
        If its storage cannot be opened.
    """
    directions = [OBJECTIVES[objective].direction for objective in spec.objectives]
    study = optuna.create_study(
        storage=open_storage(url), study_name=name, directions=directions, pruner=make_pruner(spec.pruner),
        load_if_exists=True,
    )  # fmt: skip
    document = json.loads(json.dumps(spec.as_document()))
    if _ATTRIBUTE not in study.user_attrs:
        study.set_user_attr(_ATTRIBUTE, document)
    begun = study.user_attrs[_ATTRIBUTE]
    if begun != document:
        raise ConfigurationError(
            "all workers of a study search the same space by the same means",
            f"study '{name}' was begun with {_difference(begun, document)}",
            "give the same options, or another --out or --study",
        )
    return study


def open_study(location: str | Path, name: str | None = None) -> tuple[optuna.Study, StudySpec]:
    """Return a study that was begun, and what it is.

    Parameters
    ----------
    location : str or Path
        See `storage_url`.
    name : str, optional
        Where a storage holds several.

    Raises
    ------
    DataFileError, ConfigurationError, UnknownNameError
        If there is none of that name, or several where no name is given.
    """
    storage = open_storage(storage_url(location))
    with reading_study(location):
        names = optuna.study.get_all_study_names(storage)
    if name is None and len(names) != 1:
        raise ConfigurationError(
            "a storage of several studies is asked for one", f"{location} holds {listed(names) or 'none'}",
            "add --study",
        )  # fmt: skip
    chosen = names[0] if name is None else name
    if chosen not in names:
        raise UnknownNameError("study", chosen, names)
    with reading_study(location):
        study = optuna.load_study(study_name=chosen, storage=storage)
        if _ATTRIBUTE not in study.user_attrs:
            raise DataFileError(
                "a study was begun by neurofit search", f"'{chosen}' of {location} was not", "name another study"
            )
        return study, _spec_of(study.user_attrs[_ATTRIBUTE], str(location))


@contextmanager
def reading_study(what: object) -> Iterator[None]:
    """Turn whatever a damaged study makes Optuna and its readers raise into a `DataFileError`."""
    try:
        yield
    except (NeurofitError, MemoryError):
        raise
    except Exception as error:
        raise DataFileError(
            "a study is as neurofit search wrote it",
            f"{what}: {type(error).__name__}: {error}",
            "restore it, or begin another one",
        ) from error


def make_sampler(spec: StudySpec, origin: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of one trial, whose draws follow from the study's seed and the trial's number.

    So a study of one worker is the same however often it was stopped and gone on with, and workers do not repeat each
    other's draws. What a sampler has learnt is in the study's trials.

    Parameters
    ----------
    spec : StudySpec
    origin : int
        Number of the trial, or of the one that it repeats.
    """
    seed = trial_seed(spec.seed, origin)
    random = optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if spec.sampler == "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        if spec.sampler == "gp":
            return optuna.samplers.GPSampler(seed=seed, independent_sampler=random, warn_independent_sampling=False)
        if spec.sampler == "qmc":  # one sequence for all trials
            return optuna.samplers.QMCSampler(
                seed=spec.seed, scramble=True, independent_sampler=random, warn_independent_sampling=False,
                warn_asynchronous_seeding=False,
            )  # fmt: skip
        if spec.sampler == "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed)
        if spec.sampler == "cmaes":
            _require_cmaes(spec)
            return optuna.samplers.CmaEsSampler(seed=seed, independent_sampler=random, warn_independent_sampling=False)
    return random


def make_pruner(name: PrunerName) -> optuna.pruners.BasePruner:
    """Return a pruner by its name."""
    return optuna.pruners.MedianPruner() if name == "median" else optuna.pruners.NopPruner()


def trial_seed(seed: int, origin: int) -> int:
    """Return the seed of a trial's sampler, initial weights and order of images."""
    return int(np.random.SeedSequence([seed, origin]).generate_state(1)[0])


def _require_cmaes(spec: StudySpec) -> None:
    from importlib.util import find_spec

    if find_spec("cmaes") is None:
        raise MissingExtraError("CMA-ES is of the package cmaes", "it is not installed", "pip install cmaes")
    if len(spec.objectives) > 1:
        raise ConfigurationError(
            "CMA-ES searches for one objective", f"got {', '.join(spec.objectives)}", "use nsga2 or tpe"
        )


def _spec_of(document: Mapping[str, Any], source: str) -> StudySpec:
    try:
        if found := misfit(document, _SHAPE) or misfit(document["sampler"], str) or misfit(document["seed"], int):
            raise ValueError(found)
        return StudySpec(
            space=parse_table(document["space"], SearchSpace, source=source, what="search space"),
            recipe=parse_table(document["recipe"], Recipe, source=source, what="recipe"),
            data=document["data"],
            objectives=tuple(document["objectives"]),
            sampler=document["sampler"],
            pruner=document["pruner"],
            seed=document["seed"],
        )
    except KeyError as error:
        raise DataFileError(
            "a study says what it is", f"{source} does not name its {error.args[0]}", "begin another study"
        ) from error


def _difference(begun: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say in what two studies differ."""
    flat, other = _flat(begun), _flat(now)
    changed = [key for key in {**flat, **other} if flat.get(key) != other.get(key)]
    return listed((f"{key} {flat.get(key, 'absent')}, not {other.get(key, 'absent')}" for key in changed), limit=3)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict | list):
        return {prefix: value}
    items = value.items() if isinstance(value, dict) else enumerate(value, start=1)
    found: dict[str, Any] = {}
    for key, item in items:
        found |= _flat(item, f"{prefix}.{key}" if prefix else str(key))
    return found
