"""Sweeps on Dask: workers on this machine, a scheduler that runs already, or jobs of SLURM. Dask is imported here only.

Dask's processes trust each other: what a scheduler's address names may run code here and on all its workers.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from neurofit.errors import ConfigurationError, LostProcessError, MissingExtraError
from neurofit.files.machine import memory as memory_of_machine
from neurofit.files.sizes import readable_size, size_in_bytes
from neurofit.files.toml_schema import Rule, read_toml
from neurofit.scoring.benchmark import Positive
from neurofit.sweeps.cells import Cell
from neurofit.sweeps.work import Outcome, score_cell

if TYPE_CHECKING:
    from distributed import Client

ALLOWED_DEATHS = 3
"""Workers that may die under one cell before it is given up; Dask's own default (distributed.scheduler)."""

CONNECT_SECONDS = 30
"""Until a scheduler has to answer; Dask's own default (distributed.comm.timeouts.connect)."""

_UNSEEN = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""No dashboard, and what else a scheduler serves by HTTP on a free port of this machine alone, not on 8787 for all."""

_ABOVE_0 = Rule("above 0", lambda value: value > 0)
Resources = dict[str, Annotated[float, _ABOVE_0]]


@dataclass(frozen=True)
class ClusterSpec:
    """A cluster that a sweep starts and stops: a TOML file.

    Parameters
    ----------
    kind : {'local', 'slurm'}
        Workers on this machine, or jobs by ``sbatch`` (dask-jobqueue).
    workers : int
        Processes on this machine, or jobs; each scores one cell at a time.
    resources : mapping of str to number
        What each worker offers, such as ``{GPU = 1}``; see `RunSettings.resources`.
    cores : int
        Of a job; a cell's splits are mapped on them.
    memory : str
        Of a job; of a local worker none is asked for.
    walltime, queue, account : str, optional
        Of a job, as sbatch's -t, -p and -A.
    directives : tuple of str
        More lines for sbatch, such as '--gres=gpu:1'.
    prologue : tuple of str
        Shell commands before a worker starts, such as 'source venv/bin/activate'.
    interface : str, optional
        Network interface over which machines reach each other, such as 'ib0'.
    python : str, optional
        Interpreter of the workers; this one by default.
    folder : str, optional
        Of the workers' temporary files.
    log_folder : str, optional
        Of the jobs' output.
    """

    kind: Literal["local", "slurm"] = "local"
    workers: Positive = 2
    resources: Resources = field(default_factory=dict)
    cores: Positive = 1
    memory: str | None = None
    walltime: str | None = None
    queue: str | None = None
    account: str | None = None
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    interface: str | None = None
    python: str | None = None
    folder: str | None = None
    log_folder: str | None = None

    def cross_problems(self) -> Iterator[str]:
        """Yield what does not belong to the kind, and what a job cannot do without."""
        jobs = ("memory", "walltime", "queue", "account", "interface", "python", "log_folder")
        if self.kind == "local":
            yield from (f"{name} is for kind 'slurm'" for name in jobs if getattr(self, name) is not None)
            yield from (f"{name} is for kind 'slurm'" for name in ("directives", "prologue") if getattr(self, name))
        elif self.memory is None:
            yield "memory is missing: a job of SLURM asks for it, such as '16GB'"


def load_cluster(path: str | Path) -> ClusterSpec:
    """Read a cluster from a TOML file.

    Raises
    ------
    DataFileError, ConfigurationError
    """
    spec = read_toml(path, ClusterSpec, what="cluster")
    if spec.memory is not None:
        size_in_bytes(spec.memory)
    return spec


@dataclass(frozen=True)
class DaskEngine:
    """Scores cells on workers of Dask.

    A cell whose worker dies is given to another; one under which `ALLOWED_DEATHS` and one more have died has failed.

    Parameters
    ----------
    where : ClusterSpec or str
        A cluster to start, or the address of a scheduler, such as 'tcp://10.0.0.1:8786'.
    announce : callable
        Told what one would wait for without knowing.
    """

    where: ClusterSpec | str
    announce: Callable[[str], object] = lambda _: None

    def outcomes(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Outcome]]:
        """Yield cells with what became of them as they finish.

        Raises
        ------
        MissingExtraError
            Without Dask, or dask-jobqueue where it is needed.
        ConfigurationError
            If the workers of this machine would need more memory than it has, or no scheduler answers.
        LostProcessError
            If the scheduler is lost.
        """
        distributed = _dask("distributed")
        if not isinstance(self.where, str):
            _check_memory(self.where, cells)
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(_client(self.where, distributed, cells))
            self._say_what_is_awaited(client, cells)
            yield from _gathered(client, distributed, self._submitted(client, cells))

    def _submitted(self, client: Client, cells: Sequence[Cell]) -> dict[Any, Cell]:
        """Hand out the cells, those that share data and models after each other."""
        sharing = self.where.workers if isinstance(self.where, ClusterSpec) and self.where.kind == "local" else 1
        futures = {}
        for rank, cell in enumerate(sorted(cells, key=lambda cell: cell.place)):
            future = client.submit(
                score_cell, cell, processes=sharing, pure=False, priority=-rank, key=f"neurofit-{cell.stem}",
                resources=cell.run.needed_resources() or None,
            )  # fmt: skip
            futures[future] = cell
        return futures

    def _say_what_is_awaited(self, client: Client, cells: Sequence[Cell]) -> None:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        if not workers:
            self.announce("no worker has come yet; waiting for one")
            return
        for need in {tuple(cell.run.needed_resources().items()) for cell in cells}:
            if not any(all(w["resources"].get(name, 0) >= n for name, n in need) for w in workers):
                told = ", ".join(f"{name} = {n:g}" for name, n in need)
                self.announce(
                    f'no worker offers {told} yet; waiting for one (dask worker ADDRESS --resources "{told}")'
                )


def _gathered(client: Client, distributed: ModuleType, futures: Mapping[Any, Cell]) -> Iterator[tuple[Cell, Outcome]]:
    """Yield what became of cells; a cell that no worker could finish has failed."""
    left = dict(futures)
    try:
        for future in distributed.as_completed(list(futures), loop=client.loop):
            yield left.pop(future), _outcome(future, distributed)
    finally:
        if left:  # interrupted, or the folder is full: nobody waits for them
            with contextlib.suppress(Exception):  # a scheduler that is gone has nothing to cancel
                client.cancel(list(left), force=True)


def _outcome(future: Any, distributed: ModuleType) -> Outcome:
    """Return what a worker made of a cell."""
    if future.status == "finished":
        result = future.result()
        if not isinstance(result, Outcome):
            return Outcome(reason=f"a worker answered with a {type(result).__name__}")
        return result
    if future.status in ("lost", "cancelled"):
        raise LostProcessError(
            "the scheduler stays until a sweep is done",
            f"it is lost, and with it what was being scored ({future.status})",
            "start the scheduler again and repeat the command: what is finished is kept",
        )
    error = future.exception()
    if isinstance(error, distributed.KilledWorker):
        return Outcome(
            reason=f"{error.allowed_failures + 1} workers died while they scored it - of memory? - allow less "
            "(run.memory), start fewer workers, or see what they printed"
        )
    return Outcome(reason=f"no worker could run it: {type(error).__name__}: {' '.join(str(error).split())[:300]}")


@contextlib.contextmanager
def _client(where: ClusterSpec | str, distributed: ModuleType, cells: Sequence[Cell]) -> Iterator[Client]:
    """Connect to a scheduler, or start a cluster that ends with the sweep."""
    settings = {
        "distributed.scheduler.allowed-failures": ALLOWED_DEATHS,
        "distributed.scheduler.active-memory-manager.start": False,  # results are small
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(_dask("dask").config.set(settings))
        if isinstance(where, str):
            client = _connected(where, distributed)
        else:
            cluster = stack.enter_context(_started(where, distributed, cells))
            client = distributed.Client(cluster, set_as_default=False)
        yield stack.enter_context(client)


def _connected(address: str, distributed: ModuleType) -> Client:
    try:
        return distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise ConfigurationError(
            "a scheduler answers at its address",
            f"'{address}': {' '.join(str(error).split())[:200] or type(error).__name__}",
            "start one (dask scheduler) and give the address that it prints, such as tcp://HOST:8786",
        ) from error


def _started(where: ClusterSpec, distributed: ModuleType, cells: Sequence[Cell]) -> Any:
    """Start the workers of a cluster; on this machine they offer whatever the cells need, as it does."""
    if where.kind == "slurm":
        cluster = _slurm(where)
        with _told_of_slurm():
            cluster.scale(jobs=where.workers)
        return cluster
    needed = {name: n for cell in cells for name, n in cell.run.needed_resources().items()}
    return distributed.LocalCluster(
        n_workers=where.workers, threads_per_worker=1, processes=True, dashboard_address=None, scheduler_kwargs=_UNSEEN,
        memory_limit=0,  # a cell keeps to its own memory; Dask's limit would pause it half way
        resources=dict(where.resources) or needed, local_directory=where.folder, silence_logs=40,
    )  # fmt: skip


def _slurm(where: ClusterSpec) -> Any:
    """Return a cluster whose jobs are SLURM's, each a worker that scores one cell at a time; none is asked for yet."""
    jobqueue = _dask("dask_jobqueue")
    offered = " ".join(f"{name}={number:g}" for name, number in where.resources.items())
    extra = ["--nthreads", "1", *(["--resources", f"'{offered}'"] if offered else [])]
    with _told_of_slurm():
        return jobqueue.SLURMCluster(
            cores=where.cores, processes=1, memory=where.memory, walltime=where.walltime, queue=where.queue,
            account=where.account, job_extra_directives=list(where.directives),
            job_script_prologue=list(where.prologue), interface=where.interface, python=where.python or sys.executable,
            local_directory=where.folder, log_directory=where.log_folder, worker_extra_args=extra,
            scheduler_options=_UNSEEN,
        )  # fmt: skip


@contextlib.contextmanager
def _told_of_slurm() -> Iterator[None]:
    """Turn what dask-jobqueue raises into a sentence."""
    try:
        yield
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ConfigurationError(
            "SLURM takes the jobs of a cluster file",
            f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            "see that sbatch is there, and correct the file",
        ) from error


def job_script(where: ClusterSpec) -> str:
    """Return what sbatch would be given, without giving it."""
    with _slurm(where) as cluster:
        return str(cluster.job_script())


def _check_memory(where: ClusterSpec, cells: Sequence[Cell]) -> None:
    """Raise if the workers of this machine may take more memory than it has."""
    if where.kind != "local":
        return
    machine = memory_of_machine()
    total = machine.total if machine.limit is None else min(machine.total, machine.limit)
    each = max(size_in_bytes(cell.run.memory) for cell in cells)
    if each * where.workers > total:
        raise ConfigurationError(
            "the workers of a sweep fit into this machine's memory",
            f"{where.workers} workers of {readable_size(each)} each, of {readable_size(total)}",
            f'start fewer, or give each less: [run] memory = "{total // where.workers // 2**20}MiB"',
        )


def _dask(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            "a sweep on several processes has Dask",
            f"{name} is not installed ({error})",
            "pip install 'neurofit[dask]', or sweep in one process: leave --workers, --scheduler and --cluster out",
        ) from error


__all__ = ["ClusterSpec", "DaskEngine", "job_script", "load_cluster"]
