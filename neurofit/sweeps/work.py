"""One cell of a sweep, scored: what a worker does."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import traceback
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from threadpoolctl import threadpool_limits

from neurofit.errors import ConfigurationError, NeurofitError
from neurofit.files.machine import cores, give_back_memory
from neurofit.files.manifest import load_manifest
from neurofit.files.sizes import size_in_bytes
from neurofit.report.record import RunRecord, described, make_record
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.planned import fit_into_memory
from neurofit.scoring.run import Target, load_target, run
from neurofit.scoring.time_course import as_benchmarked
from neurofit.subjects.library import LoadedSubject, configured, load_subject
from neurofit.sweeps.cells import Cell, subject_identity, versions

Kept = TypeVar("Kept")

_ONE_AT_A_TIME = threading.Lock()
"""A cell has its process's memory and its threads to itself, also in a Dask worker with several threads."""


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Parameters
    ----------
    record : RunRecord or None
        None where it failed.
    reason, traceback : str
        Why it failed, in a sentence, and where.
    """

    record: RunRecord | None = None
    reason: str = ""
    traceback: str = ""

    @property
    def failed(self) -> bool:
        """Whether there is no record."""
        return self.record is None


class _Last(Generic[Kept]):
    """The thing that was made last, and what it was made of."""

    def __init__(self) -> None:
        self.of: Hashable = None
        self.thing: Kept | None = None

    def get(self, of: Hashable, make: Callable[[], Kept]) -> Kept:
        """Return it if it is of this, else make it; the former one is let go first."""
        if self.thing is None or self.of != of:
            self.of = self.thing = None
            gc.collect()
            self.thing, self.of = make(), of
        return self.thing


_SUBJECT: _Last[LoadedSubject] = _Last()
_TARGET: _Last[Target] = _Last()


def score_cell(cell: Cell, processes: int = 1, progress: bool = False) -> Outcome:
    """Score a cell as ``neurofit score`` does; whatever goes wrong is its outcome.

    Parameters
    ----------
    cell : Cell
    processes : int
        That share this machine's cores.
    progress : bool
        Whether to draw bars on standard error.
    """
    with _ONE_AT_A_TIME:
        try:
            return Outcome(_record(cell, processes, progress))
        except _KnownError as error:
            return Outcome(reason=str(error), traceback=cell.trace)
        except NeurofitError as error:
            return Outcome(reason=str(error), traceback=traceback.format_exc())
        except Exception as error:  # a defect, or a user's code: the other cells go on, and the table says so
            return Outcome(reason=f"{type(error).__name__}: {_one_line(error)}", traceback=traceback.format_exc())
        finally:
            give_back_memory()


def _record(cell: Cell, processes: int, progress: bool) -> RunRecord:
    """Return the record of a cell."""
    from neurofit.subjects.model_subject import choose_device, with_threads
    from neurofit.subjects.user_code import running_user_code

    if cell.problem:
        raise _KnownError(cell.problem)
    _check_versions(cell)
    settings, benchmark = cell.run, cell.benchmark
    place = str(choose_device(settings.mapping_device))
    quiet = contextlib.redirect_stdout(sys.stderr)  # what a user's code prints is not the sweep's table
    limits = threadpool_limits(settings.threads), with_threads(settings.threads)
    with _in_folder(cell.folder), quiet, limits[0], limits[1], running_user_code(cell.model):
        subject = _SUBJECT.get((cell.model, cell.identity, settings), lambda: _loaded(cell))
        subject = as_benchmarked(subject, benchmark)
        options: dict[str, Any] = {"data": settings.data, "mapping_device": place, "progress": progress}
        options["n_jobs"] = max(cores().usable // processes, 1)
        planned = fit_into_memory(
            benchmark, subject, cell.layer, limit_bytes=size_in_bytes(settings.memory), data=settings.data,
            mapping_device=place, load=_target,
        )  # fmt: skip
        if planned is not None:
            subject = planned.subject
            options["n_jobs"] = min(planned.plan.threads, options["n_jobs"])
        result = run(benchmark, subject, layer=cell.layer, target=_target(benchmark, settings.data), **options)
        return make_record(result, benchmark, load_manifest(benchmark.dataset), described(subject, benchmark, result))


class _KnownError(NeurofitError):
    """What was said of a cell before it came here."""

    def __init__(self, text: str) -> None:
        Exception.__init__(self, text)


def _check_versions(cell: Cell) -> None:
    """Raise if this process would compute with other releases than the one that drew up the sweep."""
    here = versions()
    if here != cell.versions:
        other = ", ".join(f"{n} {here[n]} and not {v}" for n, v in cell.versions.items() if here[n] != v)
        raise ConfigurationError(
            "all processes of a sweep have the same releases", f"a worker has {other}", "install the same there"
        )


def _loaded(cell: Cell) -> LoadedSubject:
    """Load a cell's model, and see that it is the one that the sweep means."""
    from neurofit.models.execution import Execution
    from neurofit.subjects.features import FeatureOptions

    settings = cell.run
    subject = load_subject(cell.model)
    if subject_identity(subject, cell.model) != cell.identity:
        raise ConfigurationError(
            "a worker has the model that the sweep means",
            f"'{cell.model}' has other weights or code there, or they changed meanwhile",
            "start the sweep again, and see that all machines have the same files",
        )
    store = None if settings.store is None else Path(settings.store)
    features = FeatureOptions(settings.features, size_in_bytes(settings.memory), None, store)
    execution = Execution(settings.precision, settings.channels_last)
    return configured(
        subject, device=settings.device, batch=settings.batch,
        features=None if features == FeatureOptions() else features,
        execution=None if execution == Execution() else execution,
    )  # fmt: skip


def _target(benchmark: Benchmark, data: str | Path | None) -> Target:
    of = (benchmark.dataset, benchmark.region, benchmark.time_bins, str(data))
    return _TARGET.get(of, lambda: load_target(benchmark, data))


def _in_folder(folder: str) -> contextlib.AbstractContextManager[Any]:
    """Work where relative paths are meant; on a machine without that folder they must be absolute."""
    if Path(folder) == Path.cwd() or not Path(folder).is_dir():
        return contextlib.nullcontext()
    return contextlib.chdir(folder)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
