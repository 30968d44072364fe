"""The commands that are disturbed: how each is called, what may lie about after a fault, and what its result is."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import inputs
import numpy as np
from processes import Ended
from server import Server

PASSING = (
    *("cost", "seconds", "date", "written", "duration", "created", "finished", "git_revision", "images_per_second"),
    "peak_memory",
)
"""Words in the names of what differs between equal runs."""
BATCH = 4
DISK = "disk"


def lasting(document: Any) -> Any:
    """Return what is the same in every run."""
    if isinstance(document, dict):
        return {k: lasting(v) for k, v in document.items() if not any(word in k for word in PASSING)}
    return [lasting(each) for each in document] if isinstance(document, list) else document


class Command(ABC):
    """One command on small inputs; each trial has a folder of its own, `place`, and writes to its subfolder 'disk'."""

    name = ""
    title = ""
    """As it is called in the table; its name by default."""
    forks = True
    """Whether it can run in a process that was forked: not if it starts processes of its own from its main module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def words(self, place: Path) -> list[str]:
        """Return the command's words; everything that it writes goes below `place`."""

    @abstractmethod
    def problems(self, place: Path, expected: Any) -> list[str]:
        """Return what is neither whole and right nor absent; called after every fault."""

    @abstractmethod
    def result(self, place: Path) -> Any:
        """Return what two equal runs have in common to the bit."""

    @abstractmethod
    def again(self, place: Path, needed: int) -> str:
        """Return what was computed more than once, of `needed` pieces of an undisturbed run."""

    def lost(self, place: Path) -> bool:
        """Remove what a command has said to be damaged, as it asks for; return whether there was any."""
        return False

    def pieces(self, place: Path) -> int:
        """Return how many pieces of work were done in a trial so far."""
        path = place / "done.log"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def begin(self, place: Path) -> None:
        """Make a trial's folder."""
        (place / DISK).mkdir(parents=True, exist_ok=True)

    def leftovers(self, place: Path) -> list[str]:
        """Return temporary files that nobody will use, below a trial's folder."""
        found = {path for path in (place / DISK).rglob("*") if path.name.endswith((".tmp", ".part"))}
        for path in (place / "tmp").iterdir():
            # PyTorch and Dask keep a folder there, for the next process; Dask's has locks alone when nobody works
            waiting = path.name == "dask-scratch-space" and not any(each.is_dir() for each in path.iterdir())
            if not waiting and not path.name.startswith("torchinductor_"):
                found.add(path)
        return sorted(str(path.relative_to(place)) for path in found)


class Score(Command):
    """`neurofit score` of a bundled network with a store, by exact inner products."""

    name = "score"
    model = "ff"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        inputs.draw_benchmark(folder)

    def words(self, place: Path) -> list[str]:
        """Return the words of one score."""
        return [
            *("score", "--model", self.model, "--benchmark", "drawn.toml", "--data", "data", "--features", "dual"),
            *("--batch", str(BATCH), "--device", "cpu"),
            *("--out", str(place / DISK / "out"), "--store", str(place / DISK / "store")),
        ]

    def problems(self, place: Path, expected: Any) -> list[str]:
        """Look at record, score, figure and store."""
        return [*self._of_results(place / DISK / "out", expected), *self._of_store(place / DISK / "store")]

    def _of_results(self, out: Path, expected: Any) -> Iterator[str]:
        try:
            found = self._results(out)
        except Exception as error:  # whatever a torn file makes a reader raise
            yield f"{type(error).__name__}: {error}"
            return
        for name, content in found.items():
            if expected is not None and content != expected.get(name):
                yield f"{name} is not as it should be"

    def _of_store(self, folder: Path) -> Iterator[str]:
        from neurofit.files.store import FeatureStore
        from neurofit.files.store_upkeep import verify_entries

        for entry, problems in verify_entries(FeatureStore(folder)):
            yield from problems
            if entry.state not in ("finished", "unfinished"):
                yield f"an entry is {entry.state}"

    def result(self, place: Path) -> Any:
        """Return record and score."""
        return self._results(place / DISK / "out")

    def _results(self, out: Path) -> dict[str, Any]:
        from PIL import Image

        from neurofit.scoring.storage import load_score

        found: dict[str, Any] = {}
        for path in sorted(out.glob("[!.]*")) if out.is_dir() else ():
            if path.suffix == ".json":
                found[path.name] = json.dumps(lasting(json.loads(path.read_text())), sort_keys=True)
            elif path.suffix == ".nc":
                score = load_score(path)
                found[path.name] = {str(name): digest(score[name].values) for name in sorted(map(str, score.variables))}
            elif path.suffix == ".png":
                with Image.open(path) as image:
                    image.load()
                    found[path.name] = image.size
        return found

    def again(self, place: Path, needed: int) -> str:
        """Count batches that were computed more than once."""
        path = place / "done.log"
        lines = path.read_text().splitlines() if path.exists() else []
        twice = sum(count - 1 for count in Counter(line.split()[1] for line in lines).values())
        return f"{twice} batch{'' if twice == 1 else 'es'}"


class Fetch(Command):
    """`neurofit data fetch` from a slow server on this machine."""

    name = "fetch"

    def __init__(self, folder: Path, rate: float = 2**20) -> None:
        super().__init__(folder)
        self.body = inputs.file_to_fetch()
        self.server = Server(self.body, rate)
        inputs.write_manifest(folder, self.server.url, self.body)

    def words(self, place: Path) -> list[str]:
        """Return the words of one download."""
        return ["data", "fetch", "far.toml", "--folder", str(place / DISK)]

    def begin(self, place: Path) -> None:
        """Forget what was served before."""
        super().begin(place)
        self.server.sent = 0

    def problems(self, place: Path, expected: Any) -> list[str]:
        """Look at the file and what has come of it."""
        target, part = place / DISK / "far" / "far.bin", place / DISK / "far" / "far.bin.part"
        found = []
        if target.exists() and target.read_bytes() != self.body:
            found.append("far.bin is another file")
        if part.exists() and not self.body.startswith(part.read_bytes()):
            found.append("far.bin.part is not the file's beginning")
        return found

    def result(self, place: Path) -> Any:
        """Return the file's digest."""
        return hashlib.sha256((place / DISK / "far" / "far.bin").read_bytes()).hexdigest()

    def pieces(self, place: Path) -> int:
        """Return how many bytes were served."""
        return self.server.sent

    def again(self, place: Path, needed: int) -> str:
        """Count bytes that were sent more than once; what a dead process had not read is among them."""
        return f"{max(0, self.server.sent - len(self.body)) / 1024:.0f} KiB"


class Train(Command):
    """`neurofit train` of a small network on drawn pictures."""

    name = "train"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        inputs.draw_training(folder)

    def words(self, place: Path) -> list[str]:
        """Return the words of one training."""
        return [
            *("train", "--model", "ff_untrained", "--data", "images", "--recipe", "tiny.toml", "--device", "cpu"),
            *("--threads", "1", "--out", str(place / DISK / "run")),
        ]

    def problems(self, place: Path, expected: Any) -> list[str]:
        """Look at checkpoint, record and weights."""
        run, found = place / DISK / "run", []
        try:
            self._checkpoint(run)
            for path in run.glob("*.json"):
                json.loads(path.read_text())
            for path in run.glob("*.safetensors"):
                if expected is not None and self._weights(path) != expected["weights"]:
                    found.append(f"{path.name} has other weights")
        except Exception as error:  # whatever a torn file makes a reader raise
            found.append(f"{type(error).__name__}: {error}")
        return found

    def lost(self, place: Path) -> bool:
        """Remove a damaged checkpoint."""
        path = place / DISK / "run" / "checkpoint.pt"
        there = path.exists()
        path.unlink(missing_ok=True)
        return there

    @staticmethod
    def _checkpoint(run: Path) -> None:
        import torch

        if (run / "checkpoint.pt").exists():
            torch.load(run / "checkpoint.pt", weights_only=True)

    @staticmethod
    def _weights(path: Path) -> dict[str, str]:
        from safetensors.numpy import load_file

        return {name: digest(values) for name, values in sorted(load_file(path).items())}

    def result(self, place: Path) -> Any:
        """Return weights, the table of epochs without times, and the rows of updates."""
        run = place / DISK / "run"
        rows = [",".join(line.split(",")[:5]) for line in (run / "epochs.csv").read_text().splitlines()]
        record = json.dumps(lasting(json.loads((run / "record.json").read_text())), sort_keys=True)
        return {
            "weights": self._weights(run / "ff_untrained.safetensors"),
            "epochs": rows,
            "updates": (run / "updates.csv").read_text(),
            "record": record.replace(str(place), ""),
        }

    def again(self, place: Path, needed: int) -> str:
        """Count updates that were made more than once."""
        return f"{max(0, self.pieces(place) - needed)} updates"


class Sweep(Command):
    """`neurofit sweep` of two models in two variations, in one process."""

    name = "sweep"
    more: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        inputs.draw_benchmark(folder)
        (folder / "sweep.toml").write_text(inputs.SWEEP)

    def words(self, place: Path) -> list[str]:
        """Return the words of one sweep."""
        return ["sweep", "sweep.toml", "--out", str(place / DISK / "sweep"), *self.more]

    def problems(self, place: Path, expected: Any) -> list[str]:
        """Look at all records that are there."""
        found = []
        for path in (place / DISK / "sweep" / "records").glob("[!.]*"):
            try:
                if expected is not None and self._record(path) != expected["records"][path.name]:
                    found.append(f"{path.name} is not as it should be")
            except Exception as error:  # whatever a torn file makes a reader raise
                found.append(f"{type(error).__name__}: {error}")
        return found

    def result(self, place: Path) -> Any:
        """Return all records, and the table without seconds."""
        out = place / DISK / "sweep"
        with (out / "sweep.csv").open(newline="") as file:
            rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
        return {
            "records": {path.name: self._record(path) for path in sorted((out / "records").glob("[!.]*"))},
            "rows": rows,
            "failures": sorted(path.name for path in (out / "failures").iterdir()),
        }

    @staticmethod
    def _record(path: Path) -> str:
        return json.dumps(lasting(json.loads(path.read_text())), sort_keys=True)

    def again(self, place: Path, needed: int) -> str:
        """Count scores that were computed more than once, by the passes of their networks."""
        return f"{max(0, self.pieces(place) - needed)} scores"


class SweepOnWorkers(Sweep):
    """The same on two workers of Dask."""

    name, title, more, forks = "dask", "sweep --workers 2", ("--workers", "2"), False


def digest(values: np.ndarray) -> str:
    """Return a hash of an array's bytes, type and shape."""
    if values.dtype == object:
        values = values.astype(str)
    return hashlib.sha256(repr((values.dtype, values.shape)).encode() + values.tobytes()).hexdigest()


def remove(place: Path) -> None:
    """Remove a trial's folder."""
    shutil.rmtree(place, ignore_errors=True)


def sentence(ended: Ended) -> bool:
    """Whether a command that failed did so by one sentence, as is promised."""
    return ended.code in (2, 130, 143) and not ended.traceback and ended.err.count("neurofit: ") >= 1


COMMANDS: dict[str, type[Command]] = {each.name: each for each in (Score, Fetch, Train, Sweep, SweepOnWorkers)}
"""A command that is to be disturbed is one more class here, and one more name in `faults.ALL`."""
