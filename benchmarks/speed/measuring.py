"""Time contenders in turn in one process: CPU-seconds, wall seconds, the speed of matrix products, peak memory."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class Workers:
    """Threads, each with one BLAS thread.

    Attributes
    ----------
    threads : int
    map : callable
        Like `map`, on all threads at once.
    """

    threads: int
    map: Callable[..., Iterable[Any]]


class Part(NamedTuple):
    """What a run of a contender gives.

    Attributes
    ----------
    where : tuple
        Which of the reference's results these are: an index into its array.
    values : array
    share : float
        Part of the whole job that was done; times are divided by it.
    """

    where: Any
    values: np.ndarray
    share: float


@dataclass(frozen=True)
class Entrant:
    """A contender and the job that it does.

    Attributes
    ----------
    name : str
    run : callable (round number, Workers) -> Part
        The part may be another one in every round.
    reference : str
        Name of the entrant whose results and time it is compared with; its own for a reference, which must do all.
    tolerance : float
        How far its results may be from those of the reference.
    """

    name: str
    run: Callable[[int, Workers], Part]
    reference: str
    tolerance: float


@dataclass
class Record:
    """What was measured of an entrant.

    Attributes
    ----------
    cpu_s, wall_s : dict of list
        Seconds of the whole job in every round, by number of threads.
    share : float
        Smallest part of the job that a run did.
    differs : float
        Largest difference of its results from those of the reference.
    """

    cpu_s: dict[int, list[float]] = field(default_factory=dict)
    wall_s: dict[int, list[float]] = field(default_factory=dict)
    share: float = 1.0
    differs: float = 0.0

    def ratio(self, other: Record, threads: int = 1) -> float:
        """Return how many times the CPU-seconds of another: median of the rounds' ratios."""
        pairs = zip(self.cpu_s[threads], other.cpu_s[threads], strict=True)
        return statistics.median(own / theirs for own, theirs in pairs)


def race(entrants: Sequence[Entrant], rounds: int, thread_counts: Sequence[int]) -> dict[str, Record]:
    """Run all entrants in turn, round after round; references must come before those compared with them."""
    records = {entrant.name: Record() for entrant in entrants}
    expected: dict[str, np.ndarray] = {}
    for number in range(rounds):
        for threads in thread_counts:
            for entrant in entrants:
                part, cpu, wall = timed(entrant, number, threads)
                record = records[entrant.name]
                record.cpu_s.setdefault(threads, []).append(cpu / part.share)
                record.wall_s.setdefault(threads, []).append(wall / part.share)
                record.share = min(record.share, part.share)
                if entrant.reference == entrant.name:
                    expected.setdefault(entrant.name, part.values)
                record.differs = max(record.differs, _difference(part, expected[entrant.reference]))
    return records


def timed(entrant: Entrant, number: int, threads: int) -> tuple[Part, float, float]:
    """Run an entrant; return its part, the CPU-seconds of all threads, and the wall seconds."""
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        workers = Workers(threads, map if threads == 1 else pool.map)
        wall, cpu = time.perf_counter(), time.process_time()
        part = entrant.run(number, workers)
        return part, time.process_time() - cpu, time.perf_counter() - wall


def _difference(part: Part, expected: np.ndarray) -> float:
    """Largest difference; infinite where only one of the two is NaN."""
    theirs = expected[part.where]
    if (np.isnan(part.values) != np.isnan(theirs)).any():
        return float("inf")
    return float(np.nanmax(np.abs(part.values - theirs)))


def product_speed(dtype: type[np.floating], size: int = 2000, repeats: int = 4) -> float:
    """Return operations per CPU-second of a square matrix product, one thread, best of some."""
    rng = np.random.default_rng(0)
    one, two = (rng.standard_normal((size, size)).astype(dtype) for _ in range(2))
    fastest = float("inf")
    with threadpool_limits(1):
        for _ in range(repeats):
            start = time.process_time()
            one @ two
            fastest = min(fastest, time.process_time() - start)
    return 2 * size**3 / fastest


def peak_above(run: Callable[[], object]) -> tuple[int, int]:
    """Return the memory resident before a run and the most that it added, in bytes.

    On Linux the kernel's high-water mark of this process is reset before the run. Elsewhere, or where that is
    forbidden, the largest memory since the process began stands for it: then what made the inputs may be counted.
    """
    reset = Path("/proc/self/clear_refs")
    before = _resident("VmRSS") or _largest()
    try:
        reset.write_text("5")
    except OSError:
        run()
        return before, max(_largest() - before, 0)
    run()
    return before, max((_resident("VmHWM") or _largest()) - before, 0)


def _resident(name: str) -> int | None:
    """Bytes that Linux reports under this name, or None on another system."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    for line in status.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _largest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
