"""What every fault has in common: an undisturbed run to compare with, trials in their folders, and the count."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands import COMMANDS, DISK, Command, remove, sentence
from processes import Ended, Running, load_all


@dataclass
class Row:
    """One line of the table.

    Parameters
    ----------
    fault, command : str
    injected : int
        How many faults there were.
    survived : int
        After how many of them what lay about was whole or absent, and the same command finished with the result of an
        undisturbed run.
    again : Counter
        How much was computed a second time, by how often that was so.
    wrong : list of str
        What was neither whole nor absent, or another result.
    leftovers : Counter
        Temporary files and processes that were there in the end.
    outcomes : Counter
        How the disturbed command itself ended.
    """

    fault: str
    command: str
    injected: int = 0
    survived: int = 0
    again: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    leftovers: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Return it for a JSON document."""
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}

    def as_line(self) -> str:
        """Return it as a line of a Markdown table."""
        lost = ", ".join(f"{what} ({times}x)" for what, times in sorted(self.again.items())) or "-"
        left = ", ".join(f"{what} ({times}x)" for what, times in sorted(self.leftovers.items())) or "none"
        ended = ", ".join(f"{what} ({times}x)" for what, times in sorted(self.outcomes.items()))
        return (
            f"| {self.fault} | `{self.command}` | {self.injected} | {ended} | {self.survived} | {lost} "
            f"| {len(self.wrong)} | {left} |"
        )


LIBRARY = "FAULTS_LIBRARY"
"""Variable of the environment that names the library, where there is a compiler."""
CRASHES = frozenset((signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL))
HEAD = """| fault | command | injected | how it ended | survived | computed again | read wrong | left over |
|---|---|---:|---|---:|---|---:|---|"""


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: its result, how long it took, how many pieces of work and bytes it made."""

    result: Any
    seconds: float
    pieces: int
    size: int


class Harness:
    """Commands, their undisturbed runs, and a place for trials.

    Parameters
    ----------
    folder : Path
        For inputs and trials.
    n : int
        Faults of each kind.
    seed : int
        Of moments and places.
    """

    def __init__(self, folder: Path, n: int, seed: int = 0) -> None:
        self.folder, self.n, self.seed = folder, n, seed
        self._commands: dict[str, Command] = {}
        self._references: dict[tuple[str, bool], Reference] = {}

    def command(self, name: str) -> Command:
        """Return a command, with its inputs drawn."""
        if name not in self._commands:
            place = self.folder / f"{name}-inputs"
            place.mkdir(parents=True, exist_ok=True)
            self._commands[name] = COMMANDS[name](place)
        return self._commands[name]

    def chance(self, *words: object) -> random.Random:
        """Return a generator of its own for what is drawn of one fault."""
        return random.Random(" ".join(map(str, (self.seed, *words))))

    def reference(self, command: Command, warm: bool = True) -> Reference:
        """Run a command undisturbed, once fresh and once forked: the same result, and how long either takes."""
        if not self._references:
            load_all()
        if (command.name, warm) not in self._references:
            for kind in (False, True):
                self._references[command.name, kind] = self._undisturbed(command, kind)
                if not command.forks:
                    self._references[command.name, True] = self._references[command.name, False]
                    break
            if self._references[command.name, False].result != self._references[command.name, True].result:
                raise SystemExit(f"two undisturbed runs of {command.name} differ")
        return self._references[command.name, warm]

    def _undisturbed(self, command: Command, warm: bool) -> Reference:
        """Run a command twice; the faster run is the one on a quiet machine."""
        found = []
        for _ in range(2):
            place = self.place(command, "undisturbed", 0)
            ended = self.start(command, place, warm=warm).ended()
            if ended.code:
                raise SystemExit(f"an undisturbed {command.name} ended with {ended.code}: {ended.err[-2000:]}")
            size = sum(path.stat().st_size for path in (place / DISK).rglob("*") if path.is_file())
            left = command.leftovers(place)
            if left or ended.left:
                raise SystemExit(f"an undisturbed {command.name} leaves {left} and processes {ended.left}")
            found.append(Reference(command.result(place), ended.seconds, command.pieces(place), size))
        fastest = min(found, key=lambda each: each.seconds)
        kind = "forked" if warm else "fresh"
        say(f"{command.name}, {kind}: {fastest.seconds:.1f} s, {fastest.pieces} pieces, {fastest.size} bytes")
        return fastest

    def place(self, command: Command, fault: str, number: int) -> Path:
        """Return the empty folder of a trial."""
        place = self.folder / "trials" / f"{command.name}-{fault}-{number}".replace(" ", "-")
        remove(place)
        command.begin(place)
        return place

    def start(
        self,
        command: Command,
        place: Path,
        more: Mapping[str, str] | None = None,
        memory_bytes: int | None = None,
        warm: bool = True,
    ) -> Running:
        """Start a command in a trial's folder."""
        return Running(command.words(place), command.folder, place, more, memory_bytes, warm and command.forks)

    def run(self, command: Command, place: Path, more: Mapping[str, str] | None = None) -> Ended:
        """Run a command to its end."""
        return self.start(command, place, more).ended()

    def judge(self, row: Row, command: Command, place: Path, ended: Ended, *, torn: bool = False) -> None:
        """Look at what a disturbed command left, run it again, and count.

        Parameters
        ----------
        row : Row
            Gets the outcome.
        command : Command
        place : Path
            Of the trial; removed if all is well.
        ended : Ended
            How the disturbed command ended.
        torn : bool
            Whether files were damaged behind its back, so that what lies about is not whole, and is to be found so.
        """
        reference = self.reference(command)
        row.injected += 1
        row.outcomes[outcome(ended)] += 1
        wrong = [] if torn else [f"after the fault: {text}" for text in command.problems(place, reference.result)]
        if ended.traceback:
            wrong.append(f"no sentence: {ended.last}")
        if -ended.code in CRASHES or ended.code == 124:
            wrong.append("it hung" if ended.code == 124 else f"it crashed: {outcome(ended)}")
        if ended.left:
            row.leftovers["processes"] += len(ended.left)
        last = self.run(command, place)
        if torn and last.code == 2 and command.lost(place):
            row.outcomes["and told what is damaged"] += 1
            last = self.run(command, place)
        wrong += self._of_end(command, place, last, reference)
        again = command.again(place, reference.pieces)
        row.again[again] += 1
        for path in command.leftovers(place):
            row.leftovers[kind_of(path)] += 1
        row.wrong += [f"{place.name}: {text}" for text in wrong]
        row.survived += not wrong
        verdict, left = "; ".join(wrong) or "survived", command.leftovers(place)
        say(f"  {place.name}: {outcome(ended)}; {verdict}; {again} again; left {left}")
        if not wrong:
            remove(place)

    def _of_end(self, command: Command, place: Path, last: Ended, reference: Reference) -> list[str]:
        if last.code:
            return [f"the same command ends with {last.code}: {last.last}"]
        wrong = command.problems(place, reference.result)
        if command.result(place) != reference.result:
            wrong.append("another result")
        return wrong


class NeedsCompilerError(RuntimeError):
    """The library that makes operations fail was not made."""


def library() -> str:
    """Return the library that makes operations on files fail, and clocks wrong; this process has it loaded."""
    if LIBRARY not in os.environ:
        raise NeedsCompilerError
    return os.environ[LIBRARY]


def outcome(ended: Ended) -> str:
    """Say in a word or two how a command ended."""
    if ended.code == 0:
        return "finished"
    if ended.code < 0:
        return f"signal {-ended.code}"
    if ended.code == 124:
        return "hung"
    return f"code {ended.code}, " + ("a sentence" if sentence(ended) else "no sentence")


def kind_of(path: str) -> str:
    """Return what a leftover is, without what is drawn at random in its name."""
    return "temporary files" if path.endswith(".tmp") or path.startswith("tmp/") else path.rpartition("/")[2]


def say(text: str) -> None:
    """Print to standard error, with the time."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()
