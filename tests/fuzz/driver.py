"""Fuzz readers of files: mutate valid ones, read each in a child under limits, and keep what is no clean refusal.

    python tests/fuzz/driver.py targets_data:plain_hdf5 --n 2000 --seed 0 --out FOLDER

A module of targets has a table `TARGETS` of `Target` by name. One child reads many cases; after a crash or a hang a new
one is started. What counts as a finding is listed in `docs/hostile-input.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import forked
import numpy as np

FUZZ = Path(__file__).resolve().parent
TIMEOUT_S = 30.0
BOUND_BYTES = 384 * 2**20
WARMING_S = 120.0
MINIMISING_TRIES = 60
GUIDED_MOST = 400  # inputs that are kept because they reached new lines

OfBytes = Callable[[bytes, np.random.Generator], bytes]
OfFiles = Callable[[Path, Path, np.random.Generator], None]


@dataclass(frozen=True)
class Target:
    """A reader, and what it is fed.

    Parameters
    ----------
    name : str
    seeds : callable
        Writes small valid files (or folders) into a folder and returns them.
    mutate : callable or sequence of callables
        From bytes and a generator to bytes, or from the path of a seed, a path to write and a generator. The latter
        are given seeds only; the former also what was found to reach new lines.
    read : callable
        From a path to anything.
    bound_bytes : int
        Memory that reading a case may take beyond what the process had before.
    timeout_s : float
        Of one case.
    """

    name: str
    seeds: Callable[[Path], list[Path]]
    mutate: OfBytes | OfFiles | Sequence[OfBytes | OfFiles]
    read: Callable[[Path], object]
    bound_bytes: int = BOUND_BYTES
    timeout_s: float = TIMEOUT_S

    @property
    def mutators(self) -> tuple[OfBytes | OfFiles, ...]:
        """All of them."""
        return (self.mutate,) if callable(self.mutate) else tuple(self.mutate)


@dataclass
class Child:
    """A process that reads cases; lives until it crashes, hangs or is closed.

    Parameters
    ----------
    module : str
        Name of the module of targets.
    work : Path
        Folder in which cases are laid and the child's own folders lie.
    """

    module: str
    work: Path
    warmed: dict[str, list[Path]] = field(default_factory=dict)
    starts: int = 0
    process: subprocess.Popen | None = None

    def __post_init__(self) -> None:
        self.work = self.work.resolve()
        for name in ("home", "tmp", "here", "seeds"):
            (self.work / name).mkdir(parents=True, exist_ok=True)
        self.targets: dict[str, Target] = importlib.import_module(self.module).TARGETS

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self._asked.close()
            self._answered.close()
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process = None

    def read(self, target: str, path: Path, guided: bool = False) -> dict:
        """Read a case; returns `outcome` (read, refused, finding) and what belongs to it."""
        self._ready(target)
        before = self._surroundings()
        request = {
            "do": "case",
            "target": target,
            "path": str(path),
            "folders": [str(path.parent), str(self.work / "tmp")],
            "guided": guided,
        }
        told = self._ask(request, self.targets[target].timeout_s)
        changed = self._surroundings() - before
        if changed and told["outcome"] != "finding":
            told |= {
                "outcome": "finding",
                "kind": "leaves files",
                "frame": str(sorted(changed)[:1]),
                "trace": str(sorted(changed)[:5]),
            }
        for leftover in (self.work / "tmp").iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        return told

    def seeds(self, target: str) -> list[Path]:
        """Return the valid files of a target, written once."""
        if target not in self.warmed:
            folder = self.work / "seeds" / target
            folder.mkdir(parents=True, exist_ok=True)
            self.warmed[target] = self.targets[target].seeds(folder)
        return self.warmed[target]

    def _surroundings(self) -> set[tuple[str, int]]:
        found = set()
        for name in ("", "home", "tmp", "here"):
            with os.scandir(self.work / name) as entries:
                found |= {
                    (
                        f"{name}/{e.name}",
                        0 if e.is_dir(follow_symlinks=False) else e.stat(follow_symlinks=False).st_size,
                    )
                    for e in entries
                    if e.name not in ("crash.log", "child.err")
                }
        return found

    def _ready(self, target: str) -> None:
        if self.process is None or self.process.poll() is not None:
            self._start()
        if target not in self._warm:
            told = self._ask({"do": "warm", "target": target, "paths": [str(p) for p in self.seeds(target)]}, WARMING_S)
            if told.get("failed") or told["outcome"] == "finding":
                raise RuntimeError(f"seeds of {target} cannot be read: {told}")
            self._warm.add(target)

    def _start(self) -> None:
        self.close()
        self.starts += 1
        self._warm: set[str] = set()
        requests, self._asked_fd = os.pipe()
        answered, answers = os.pipe()
        place = {
            "HOME": str(self.work / "home"),
            "TMPDIR": str(self.work / "tmp"),
            "OMP_NUM_THREADS": "1",
            "MPLCONFIGDIR": str(self.work / "home"),
        }
        command = [
            sys.executable,
            str(FUZZ / "watched.py"),
            self.module,
            str(requests),
            str(answers),
            str(self.work / "crash.log"),
        ]
        with (self.work / "child.err").open("wb") as errors:
            self.process = subprocess.Popen(
                command, pass_fds=(requests, answers), env=os.environ | place, cwd=self.work / "here",
                stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
            )  # fmt: skip
        os.close(requests)
        os.close(answers)
        self._asked = os.fdopen(self._asked_fd, "w")
        self._answered = os.fdopen(answered)

    def _ask(self, request: dict, timeout_s: float) -> dict:
        assert self.process is not None
        try:
            print(json.dumps(request), file=self._asked, flush=True)
            ready, _, _ = select.select([self._answered], [], [], timeout_s)
            line = self._answered.readline() if ready else None
        except BrokenPipeError:
            line = ""
        if line:
            return {"outcome": "done"} | json.loads(line)
        if line is None:
            self.process.send_signal(signal.SIGABRT)  # so that it says where it was
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        code = self.process.poll()
        self.close()
        log = (self.work / "crash.log").read_text(errors="replace")
        ours = re.search(rf'File "{re.escape(str(FUZZ.parent.parent / "neurofit"))}/([^"]+)", line \d+ in (\S+)', log)
        kind = "hang" if line is None else f"crash {signal.Signals(-code).name if code and code < 0 else code}"
        trace = log + (self.work / "child.err").read_text(errors="replace")[-2000:]
        return {
            "outcome": "finding",
            "kind": kind,
            "frame": ":".join(ours.groups()) if ours else "unknown",
            "trace": trace[:6000],
            "new_lines": 0,
        }


def key_of(told: dict) -> str:
    """Return what findings are told apart by, as the name of a file."""
    return re.sub(r"[^\w.]+", "-", f"{told['kind']} {told['frame']}").strip("-")[:120]


def run(child: Child, target: str, n: int, seed: int, out: Path | None = None, guided: bool = False) -> Counter:
    """Fuzz one target; returns how many cases were read, refused, and findings by their key.

    Parameters
    ----------
    child : Child
    target : str
    n : int
        Cases.
    seed : int
        Case i depends on it and on i, and where guided on the cases before.
    out : Path, optional
        Where the first case of every finding is kept, with what came of it.
    guided : bool
        Go on from mutated inputs that reached new lines of the package.
    """
    tally: Counter = Counter()
    seeds = child.seeds(target)
    pool: list[Path] = []
    kept = child.work / "kept"
    kept.mkdir(exist_ok=True)
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        folder = child.work / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        case, parent = _mutated(child.targets[target], seeds, pool, folder, rng)
        told = child.read(target, case, guided)
        tally[told["outcome"]] += 1
        if guided and told.get("new_lines") and case.is_file() and len(pool) < GUIDED_MOST:
            pool.append(Path(shutil.copy(case, kept / f"{target}-{i}{case.suffix}")))
        if told["outcome"] == "finding":
            key = key_of(told)
            tally[f"finding: {key}"] += 1
            if out is not None and tally[f"finding: {key}"] == 1:
                _keep(child, target, case, parent, told, out / target / key)
    return tally


def _mutated(
    target: Target, seeds: list[Path], pool: list[Path], folder: Path, rng: np.random.Generator
) -> tuple[Path, Path]:
    """Write a case; returns it and what it was made of."""
    mutate = target.mutators[rng.integers(len(target.mutators))]
    of_files = len(inspect.signature(mutate).parameters) == 3
    choices = seeds if of_files or not pool or rng.random() < 0.5 else pool
    parent = choices[rng.integers(len(choices))]
    case = folder / (parent.name if parent in seeds else f"kept{parent.suffix}")
    if of_files:
        forked.changed(mutate, parent, case, rng)
    else:
        case.write_bytes(mutate(parent.read_bytes(), rng))
    return case, parent


def _keep(child: Child, target: str, case: Path, parent: Path, told: dict, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "told.txt").write_text("\n".join(f"{k}: {v}" for k, v in told.items()) + "\n")
    if case.is_dir():
        shutil.copytree(case, place / case.name, symlinks=True)
        return
    shutil.copy(case, place / case.name)
    if parent.is_file() and told["kind"] != "hang" and case.stat().st_size == parent.stat().st_size < 2**20:
        small = _minimised(child, target, case, parent.read_bytes(), key_of(told))
        (place / case.name).write_bytes(small)


def _minimised(child: Child, target: str, case: Path, seed: bytes, key: str) -> bytes:
    """Undo the differences from the seed that the finding does not need."""
    content = bytearray(case.read_bytes())
    differing = [i for i in range(len(seed)) if seed[i] != content[i]]
    size, tries = max(len(differing) // 2, 1), 0
    while differing and tries < MINIMISING_TRIES:
        for start in range(0, len(differing), size):
            part = differing[start : start + size]
            trial = bytearray(content)
            for i in part:
                trial[i] = seed[i]
            case.write_bytes(trial)
            tries += 1
            told = child.read(target, case)
            if told["outcome"] == "finding" and key_of(told) == key:
                content, differing = trial, [i for i in differing if i not in set(part)]
                break
            if tries >= MINIMISING_TRIES:
                break
        else:
            if size == 1:
                break
            size = max(size // 2, 1)
    return bytes(content)


def flip_and_cut(content: bytes, rng: np.random.Generator) -> bytes:
    """Mutate bytes of anything: flipped bits, magic numbers, cut, doubled, swapped and moved pieces."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        if not data:
            break
        at, length = int(rng.integers(len(data))), int(rng.integers(1, 64))
        kind = rng.integers(9)
        if kind <= 1:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            data[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF, 0x22, 0x2F, 0x5C, 0x0A]))
        elif kind == 3:  # an integer at an edge of its type
            width = int(rng.choice([2, 4, 8]))
            value = int(
                rng.choice([0, 1, 2, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1, 2**15])
            ) % 2 ** (8 * width)
            data[at : at + width] = value.to_bytes(width, str(rng.choice(["little", "big"])))[: len(data) - at]
        elif kind == 4:
            data[at : at + length] = rng.bytes(min(length, len(data) - at))
        elif kind == 5 and rng.random() < 0.5:
            del data[at:]
        elif kind == 6:
            del data[at : at + length]
        elif kind == 7:
            data[at:at] = data[at : at + length]
        else:
            to = int(rng.integers(len(data)))
            piece = data[at : at + length]
            data[to : to + len(piece)] = piece[: len(data) - to]
    return bytes(data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", help="MODULE:TARGET, or MODULE for all of its targets")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--guided", action="store_true")
    given = parser.parse_args(arguments)
    module, _, name = given.target.partition(":")
    sys.path[:0] = [str(FUZZ), str(FUZZ.parent)]
    given.out.mkdir(parents=True, exist_ok=True)
    with Child(module, given.out / "work") as child:
        for target in [name] if name else list(child.targets):
            start = time.monotonic()
            tally = run(child, target, given.n, given.seed, given.out, given.guided)
            keys = {k: v for k, v in tally.items() if k.startswith("finding: ")}
            counts = f"{tally['refused']} refused, {tally['read']} read, {tally['finding']} findings"
            counts += f" of {len(keys)} kinds"
            lines = [f"{target}: {given.n} cases, {counts}, {time.monotonic() - start:.0f} s, {child.starts} starts"]
            lines += [f"   {count:5d} {key.removeprefix('finding: ')}" for key, count in sorted(keys.items())]
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.modules.setdefault("driver", sys.modules["__main__"])  # targets import it by name
    sys.exit(main())
