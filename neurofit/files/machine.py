"""What this machine lets a process have: cores, memory, disk, as the operating system and its limits say.

On Linux a container's limits are control groups, which the usual numbers of cores and bytes do not show. Everything is
read below a `root`, '/' by default.
"""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")


@dataclass(frozen=True)
class Cores:
    """Processor cores.

    Parameters
    ----------
    total : int
        Of the machine, as the operating system counts them.
    allowed : int
        Of these, on which this process may run (affinity).
    quota : float or None
        Cores' worth of time that a control group grants; None where none does.
    """

    total: int
    allowed: int
    quota: float | None

    @property
    def usable(self) -> int:
        """Threads that can run at once; 1 at least."""
        return self.allowed if self.quota is None else max(1, min(self.allowed, round(self.quota)))


@dataclass(frozen=True)
class Memory:
    """Memory in bytes.

    Parameters
    ----------
    total : int
        Of the machine.
    available : int or None
        That a process can have without swapping; None where the system does not tell.
    limit, used : int or None
        Of the control group that has least left, files that can be dropped not counted as used; None without a limit.
    """

    total: int
    available: int | None
    limit: int | None = None
    used: int | None = None

    @property
    def free(self) -> int | None:
        """What this process can have: the least of what machine and control group have left."""
        left = [] if self.limit is None or self.used is None else [max(self.limit - self.used, 0)]
        known = [*left, *([] if self.available is None else [self.available])]
        return min(known, default=None)


def cores(root: Path = ROOT) -> Cores:
    """Return the processor cores that this process may use."""
    total = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    return Cores(total, allowed, min(_quotas(root), default=None))


def memory(root: Path = ROOT) -> Memory:
    """Return the memory of this machine, and of the control group that this process is in.

    Raises
    ------
    OSError
        If the system does not tell.
    """
    total, available = _of_system(root)
    limits = list(_limits(root, total))
    limit, used = min(limits, key=lambda pair: pair[0] - pair[1], default=(None, None))
    return Memory(total, available, limit, used)


def free_disk(folder: Path) -> tuple[Path, int]:
    """Return the nearest folder that exists, from `folder` up, and the bytes that are free there.

    Raises
    ------
    OSError
        If the system does not tell.
    """
    place = next((p for p in (folder, *folder.absolute().parents) if p.exists()), Path.cwd())
    return place, shutil.disk_usage(place).free


def _of_system(root: Path) -> tuple[int, int | None]:
    """Return total and available bytes: Linux has /proc/meminfo, other Unix a count of pages."""
    file = root / "proc" / "meminfo"
    if file.is_file():
        rows = {key: value.split() for key, _, value in (line.partition(":") for line in file.read_text().splitlines())}
        kib = {key: int(value[0]) * 1024 for key, value in rows.items() if value and value[0].isdecimal()}
        if "MemTotal" in kib:
            return kib["MemTotal"], kib.get("MemAvailable")
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        raise OSError(f"there is no {file}, and the system does not count its pages")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), None


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in, inner ones first; of version 2, then 1."""
    table = root / "proc" / "self" / "cgroup"
    if not table.is_file():
        return
    for line in table.read_text().splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys" / "fs" / "cgroup" / (controller if controllers else "")
        inner = mount / path.strip("/")
        yield inner
        # inside a container the path may be that of the host, and only the mount itself be there
        yield from (folder for folder in inner.parents if folder == mount or mount in folder.parents)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the cores' worth of time of each control group that limits it."""
    for folder in _groups(root, "cpu"):
        words = _words(folder / "cpu.max") or [
            *_words(folder / "cpu.cfs_quota_us"),
            *_words(folder / "cpu.cfs_period_us"),
        ]
        if len(words) == 2 and all(word.isdecimal() and int(word) for word in words):  # 'max' and -1 are no limits
            yield int(words[0]) / int(words[1])


def _limits(root: Path, total: int) -> Iterator[tuple[int, int]]:
    """Yield limit and use of each control group that limits memory below what the machine has."""
    names = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
    for folder in _groups(root, "memory"):
        for limit_name, used_name in names:
            limit, used = _words(folder / limit_name), _words(folder / used_name)
            if limit and used and limit[0].isdecimal() and int(limit[0]) < total:
                yield int(limit[0]), max(int(used[0]) - _droppable(folder), 0)


def _droppable(folder: Path) -> int:
    """Return the bytes of cached files that a control group gives up before anything fails."""
    words = _words(folder / "memory.stat")
    table = dict(zip(words[::2], words[1::2], strict=False))
    return int(table.get("total_inactive_file", table.get("inactive_file", "0")))


def _words(file: Path) -> list[str]:
    """Return the words of a small file of the kernel; none where it is not there."""
    return file.read_text().split() if file.is_file() else []


def give_back_memory() -> None:
    """Give what is not used any more back to the operating system, so that the next run is planned on what it has.

    The C library's allocator keeps freed memory for later; glibc alone can be asked to return it.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
