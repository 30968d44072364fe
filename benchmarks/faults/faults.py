"""The faults, one function each: harness, command, row -> the row counted up."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

from commands import DISK, Command
from processes import Running, change_disk, command_line, small_disk
from trials import Harness, Row, library

DAY_S, PYTHON_S = 86400, 0.3
FRESH = 4
"""Of so many processes that get a signal one begins from nothing, so that its loading is hit, too."""


def kill(harness: Harness, command: Command, row: Row) -> None:
    """`kill -9` at moments drawn evenly over an undisturbed run, loading included."""
    _signalled(harness, command, row, signal.SIGKILL, harness.n)


def terminate(harness: Harness, command: Command, row: Row) -> None:
    """SIGTERM, as a scheduler sends it, at a few moments."""
    _signalled(harness, command, row, signal.SIGTERM, max(1, harness.n // 4))


def interrupt(harness: Harness, command: Command, row: Row) -> None:
    """SIGINT, as Ctrl-C sends it, at a few moments."""
    _signalled(harness, command, row, signal.SIGINT, max(1, harness.n // 4))


def _signalled(harness: Harness, command: Command, row: Row, number: int, times: int) -> None:
    chance = harness.chance(command.name, number)
    for trial in range(3 * times):
        if row.injected == times:
            break
        warm = trial % FRESH != 0
        seconds = harness.reference(command, warm).seconds
        place = harness.place(command, row.fault, trial)
        running = harness.start(command, place, warm=warm)
        # an interrupt of Python itself, before it has read a line of ours, is Python's to tell
        running.sleep(max(chance.uniform(0.02, 1) * seconds, PYTHON_S if number == signal.SIGINT else 0))
        running.signal(number)
        ended = running.ended()
        if ended.code:  # else it was faster than the undisturbed one
            harness.judge(row, command, place, ended)


def worker_killed(harness: Harness, command: Command, row: Row) -> None:
    """`kill -9` of one of the workers; the command itself goes on."""
    seconds, chance = harness.reference(command).seconds, harness.chance(command.name, "worker")
    for trial in range(3 * harness.n):
        if row.injected == max(1, harness.n // 2):
            break
        place = harness.place(command, row.fault, trial)
        running = harness.start(command, place)
        running.sleep(chance.uniform(0.3, 0.95) * seconds)
        workers = [pid for pid in running.children() if "spawn_main" in command_line(pid)]
        if workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
        ended = running.ended()
        if workers:
            if ended.code:
                row.wrong.append(f"{place.name}: the command ended with {ended.code}: {ended.last}")
            harness.judge(row, command, place, ended)


def hang_up(harness: Harness, command: Command, row: Row) -> None:
    """The server closes the connection after a third of what is left, three times; the same command goes on."""
    server = command.server  # type: ignore[attr-defined]
    for trial in range(max(1, harness.n // 4)):
        place = harness.place(command, row.fault, trial)
        server.drops = 3
        for _ in range(2):
            harness.run(command, place)
        harness.judge(row, command, place, harness.run(command, place))


def full_disk(harness: Harness, command: Command, row: Row) -> None:
    """A file system of fewer bytes than are needed; then there is room, and the same command is given again."""
    size, chance = harness.reference(command).size, harness.chance(command.name, "full")
    for trial in range(max(1, harness.n // 2)):
        place = harness.place(command, row.fault, trial)
        with small_disk(place / DISK, 4096 * chance.randint(2, max(3, size // 4096))):
            ended = harness.run(command, place)
            change_disk(place / DISK, f"size={size * 4 + 2**22}")
            harness.judge(row, command, place, ended)


def read_only(harness: Harness, command: Command, row: Row) -> None:
    """A file system that is read-only from the start, or from a random moment on; then it can be written again."""
    reference, chance = harness.reference(command), harness.chance(command.name, "ro")
    for trial in range(max(2, harness.n // 4)):
        place = harness.place(command, row.fault, trial)
        with small_disk(place / DISK, reference.size * 4 + 2**22):
            if trial:
                before = harness.start(command, place)
                before.sleep(chance.uniform(0.3, 1) * reference.seconds)
                before.signal(signal.SIGKILL)
                before.ended()
            change_disk(place / DISK, "ro")
            ended = harness.run(command, place)
            change_disk(place / DISK, "rw")
            harness.judge(row, command, place, ended)


def read_only_store(harness: Harness, command: Command, row: Row) -> None:
    """A store that is read-only while results can be written: empty, partly filled, finished."""
    reference = harness.reference(command)
    for trial, part in enumerate((0.0, 0.6, 0.75, 10.0)):
        place = harness.place(command, row.fault, trial)
        with small_disk(place / DISK / "store", reference.size * 4 + 2**22):
            if part:
                before = harness.start(command, place)
                before.sleep(part * reference.seconds)
                before.signal(signal.SIGKILL)
                before.ended()
            change_disk(place / DISK / "store", "ro")
            ended = harness.run(command, place)
            if ended.code == 0 and command.result(place) != reference.result:
                row.wrong.append(f"{place.name}: another result from a read-only store")
            change_disk(place / DISK / "store", "rw")
            harness.judge(row, command, place, ended)


def clock(harness: Harness, command: Command, row: Row) -> None:
    """A clock that is days off and jumps days in the midst; what was written is stamped by it; then it is right."""
    seconds, chance = harness.reference(command).seconds, harness.chance(command.name, "clock")
    for trial in range(max(2, harness.n // 2)):
        place = harness.place(command, row.fault, trial)
        shift, step = (DAY_S * chance.choice([-400, -3, 3, 400]) for _ in range(2))
        wrong = {"LD_PRELOAD": library(), "CLOCK_SHIFT": str(shift), "CLOCK_STEP": str(step)}
        wrong["CLOCK_AFTER"] = str(chance.randint(1, max(1, int(seconds))))
        running = harness.start(command, place, wrong)
        running.sleep(chance.uniform(0.2, 1.2) * seconds)
        running.signal(signal.SIGKILL)
        ended = running.ended()
        for path in (place / DISK).rglob("*"):
            stamp = path.stat().st_mtime + shift
            os.utime(path, (stamp, stamp))
        harness.judge(row, command, place, ended)


def several(harness: Harness, command: Command, row: Row) -> None:
    """Two and four processes at once on the same, one of them killed at a random moment."""
    seconds, chance = harness.reference(command).seconds, harness.chance(command.name, "several")
    for trial in range(max(2, harness.n // 5)):
        count = 2 if trial % 2 == 0 else 4
        place = harness.place(command, row.fault, trial)
        running = [harness.start(command, place) for _ in range(count)]
        victim = chance.randrange(count)
        running[victim].sleep(chance.uniform(0.1, 1) * seconds * (1 + count / 2))
        running[victim].signal(signal.SIGKILL)
        ends = [each.ended() for each in running]
        for number, ended in enumerate(ends):
            if number != victim and ended.code:
                row.wrong.append(f"{place.name}: another process ended with {ended.code}: {ended.last}")
        harness.judge(row, command, place, ends[victim])


def torn(harness: Harness, command: Command, row: Row) -> None:
    """A power failure: after a kill the newest file has lost its tail, or has zeros there, or its last renaming."""
    seconds, chance = harness.reference(command).seconds, harness.chance(command.name, "torn")
    for trial in range(harness.n):
        place = harness.place(command, row.fault, trial)
        running = harness.start(command, place)
        running.sleep(chance.uniform(0.4, 1.3) * seconds)
        running.signal(signal.SIGKILL)
        ended = running.ended()
        files = [path for path in (place / DISK).rglob("[!.]*") if path.is_file() and path.stat().st_size]
        for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)[-chance.randint(1, 3) :]:
            how = chance.choice(["cut", "zeros", "unrenamed"])
            # logs are written to where they stay, and have no renaming to lose
            tear(path, "cut" if how == "unrenamed" and "events" in path.name else how, chance.random())
        harness.judge(row, command, place, ended, torn=True)


def tear(path: Path, how: str, where: float) -> None:
    """Do to a file what a power failure does to one that was not on the disk yet."""
    content = path.read_bytes()
    at = int(where * len(content))
    if how == "cut":
        path.write_bytes(content[:at])
    elif how == "zeros":
        path.write_bytes(content[:at] + bytes(len(content) - at))
    else:
        path.rename(path.with_name(f".{path.name}.0123456789abcdef.tmp"))


def failing_operations(harness: Harness, command: Command, row: Row) -> None:
    """One operation on a file, or all from there on, fail with EIO, ENOSPC or EINTR."""
    chance = harness.chance(command.name, "operations")
    place = harness.place(command, row.fault, harness.n)
    shim = {"LD_PRELOAD": library(), "FAULT_FOLDER": f"{place / DISK}/"}
    harness.run(command, place, shim | {"FAULT_COUNT": str(place / "count")})
    operations = int((place / "count").read_text())
    for trial in range(harness.n):
        place = harness.place(command, row.fault, trial)
        number = chance.choice([errno.EIO, errno.ENOSPC, errno.EINTR])
        where = {
            "FAULT_FOLDER": f"{place / DISK}/",
            "FAULT_AT": str(chance.randint(1, operations)),
            "FAULT_ERRNO": str(number),
            "FAULT_SPAN": "1" if number == errno.EINTR else str(chance.choice([0, 1])),
        }
        harness.judge(row, command, place, harness.run(command, place, shim | where))


def little_memory(harness: Harness, command: Command, row: Row) -> None:
    """An address space that is too small (`ulimit -v`), from what hardly loads to nearly enough."""
    for trial, gib in enumerate((0.3, 0.6, 1.0, 1.5, 2.0, 2.5, 3.0)[: max(3, harness.n // 3)]):
        place = harness.place(command, row.fault, trial)
        running = harness.start(command, place, memory_bytes=int(gib * 2**30), warm=False)
        harness.judge(row, command, place, running.ended())


Fault = Callable[[Harness, Command, Row], None]
ALL: dict[str, tuple[str, Fault, tuple[str, ...]]] = {
    "kill": ("kill -9", kill, ("score", "fetch", "train", "sweep", "dask")),
    "term": ("SIGTERM", terminate, ("score", "fetch", "train", "sweep")),
    "int": ("SIGINT", interrupt, ("score", "fetch", "train", "sweep")),
    "worker": ("kill -9 of a worker", worker_killed, ("dask",)),
    "drop": ("server hangs up", hang_up, ("fetch",)),
    "full": ("disk full", full_disk, ("score", "fetch", "train", "sweep")),
    "ro": ("disk read-only", read_only, ("score", "fetch", "train", "sweep")),
    "ro-store": ("store read-only", read_only_store, ("score",)),
    "clock": ("clock moved by days", clock, ("score", "fetch", "train", "sweep")),
    "several": ("2 or 4 at once, one killed", several, ("score", "fetch")),
    "torn": ("power failure", torn, ("score", "fetch", "train", "sweep")),
    "io": ("EIO, ENOSPC, EINTR", failing_operations, ("score", "fetch", "train")),
    "memory": ("address space too small", little_memory, ("score", "train")),
}
"""Short name -> title, function, commands. A command is one more name in the last column (`commands.COMMANDS`)."""

__all__ = ["ALL", "Running", "tear"]
