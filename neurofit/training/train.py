"""Train a network on recognition, back-propagating through its steps.

A run is a function of (network, recipe, data, seed): which images are in a batch and what is shown of them depend on
nothing else, so that a run that was interrupted anywhere goes on to the same weights (to the bit on a CPU).
"""

from __future__ import annotations

import hashlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from neurofit.errors import ConfigurationError, DataFileError, DivergedError
from neurofit.files.json_text import NUMBER, misfit
from neurofit.models.network import READOUT, NetworkConfig
from neurofit.models.presentation import Presentation
from neurofit.models.steady import own_dynamics
from neurofit.training.checkpoints import FILE, Checkpoints, hold_folder
from neurofit.training.datasets import Task
from neurofit.training.engine import Engine, losing_no_process
from neurofit.training.learner import Learner, Viewing, rows_of
from neurofit.training.logs import Logs
from neurofit.training.recipe import Recipe

Row = dict[str, float]
AfterEpoch = Callable[[int, nn.Module, Row], Mapping[str, float]]

_LOGGED_EVERY = 20
"""Updates; an accelerator is waited for no oftener."""
_STATE = {"rows": [{...: NUMBER}], "updates": int, "loss": NUMBER, "seconds": NUMBER}
"""Shape of a run's state, besides its learner's."""


def train(
    network: nn.Module,
    task: Task,
    recipe: Recipe,
    folder: Path | None,
    *,
    viewing: Viewing,
    seed: int = 0,
    engine: Engine | None = None,
    after_epoch: Sequence[AfterEpoch] = (),
    report: Callable[[str], None] | None = None,
    progress: bool = True,
) -> list[Row]:
    """Train in place; the same call with the same folder goes on where the last one stopped.

    Parameters
    ----------
    network : torch.nn.Module
        See `neurofit.training.learner.Trainable`. Its output has as many classes as the task.
    task : Task
    recipe : Recipe
    folder : Path or None
        Gets the checkpoint, the logs and TensorBoard events; None saves nothing.
    viewing : Viewing
        Steps, image on, normalisation.
    seed : int
        Of the order of the images and what is shown of them; the network's own weights are given.
    engine : Engine, optional
    after_epoch : sequence of callable
        Called with the number of the epoch, from 1, the network as it is tested, and the epoch's row; what they return
        is added to the row. They may end the run by an exception.
    report : callable, optional
        Called with a line after every epoch.
    progress : bool
        Show a progress bar.

    Returns
    -------
    list of dict
        One row per epoch: epoch, size_px, training_loss, top1, top5, seconds, images_per_second.

    Raises
    ------
    ConfigurationError
        If the folder holds another run, the network does not fit the task or its frames, the batch does not fit the
        data and processes.
    DivergedError
        If a loss or its gradients are not finite; the folder then keeps the last state whose were.
    DataFileError
        If the checkpoint is damaged, or an image can no longer be read.
    OutputError
        If the folder cannot be written.
    LostProcessError
        If another process of the run ended.
    """
    with losing_no_process():
        run = _Run(network, task, recipe, folder, viewing, seed, engine or Engine())
        with hold_folder(run.folder, lambda: report and report(f"another process trains in {folder}: waiting for it")):
            return run.go(after_epoch, report, progress)


class _Run:
    """A run and its state: rows of finished epochs, updates done, loss so far in this epoch."""

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        recipe: Recipe,
        folder: Path | None,
        viewing: Viewing,
        seed: int,
        engine: Engine,
    ) -> None:
        self.learner = Learner(network, viewing, recipe, engine)
        self.fabric = self.learner.fabric
        self.task, self.recipe, self.viewing, self.seed = task, recipe, viewing, seed
        self.folder = folder if self.fabric.is_global_zero else None
        _check_fit(network, task, recipe, viewing)
        own_px = viewing.preprocessing.size_px
        for size_px in sorted({phase.size_px or own_px for phase in recipe.phases} - {own_px}):
            self.learner.check_size(size_px)
        self.updates_per_epoch = self._check_batch(len(task.training), recipe.batch)
        self.checkpoints = Checkpoints(folder, self._identity(network))
        self.rows: list[Row] = []
        self.updates, self.loss, self.seconds = 0, 0.0, 0.0
        # an accelerator that is asked for every loss waits for each
        self.looked_every = 1 if self.fabric.device.type == "cpu" else _LOGGED_EVERY

    def go(self, after_epoch: Sequence[AfterEpoch], report: Callable[[str], None] | None, progress: bool) -> list[Row]:
        state = self.checkpoints.load()
        if state is not None:
            try:
                if found := misfit(state, _STATE):
                    raise ValueError(found)
                self.learner.load(state["learner"])
                self.rows, self.updates = list(state["rows"]), state["updates"]
                self.loss, self.seconds = state["loss"], state["seconds"]
            except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                raise DataFileError(
                    "a checkpoint has the state of the network and optimiser that go on",
                    f"that in {self.checkpoints.folder} has not: {type(error).__name__}: {error}",
                    "name another --out, or train the same parameters as before",
                ) from error
        self.fabric.barrier()
        if not self.fabric.is_global_zero:
            self.checkpoints.folder = None
        with Logs(self.folder, self.updates, self.rows) as logs, _Stop() as stop, self._bar(progress) as bar:
            for epoch in range(len(self.rows), self.recipe.epochs):
                self._epoch(epoch, logs, stop, bar)
                row = self._row(epoch)
                for look in after_epoch:
                    # NumPy's numbers could be saved, but not read without executing code
                    row |= {key: float(value) for key, value in look(epoch + 1, self.learner.tested, row).items()}
                self._finish(row, logs)
                if report is not None and self.fabric.is_global_zero:
                    report(_in_words(row, self.recipe.epochs))
        if self.learner.tested is not self.learner.network:
            self.learner.network.load_state_dict(self.learner.tested.state_dict())
        return self.rows

    def _epoch(self, epoch: int, logs: Logs, stop: _Stop, bar: tqdm[None]) -> None:
        """Make the updates that are left of an epoch."""
        size_px = self.recipe.size_px(epoch, self.viewing.preprocessing.size_px)
        crops = self.recipe.augmentation.crops(self.seed, epoch, len(self.task.training))
        batches = self._batches(epoch)[self.updates - epoch * self.updates_per_epoch :]
        own = list(rows_of(self.fabric.global_rank, self.fabric.world_size, batches))
        began = time.monotonic()
        for images, labels in self.task.training.batches(own, crops, size_px):
            torch.manual_seed(self._draw(self.updates, 2 + self.fabric.global_rank))  # of dropout in users' networks
            learning_rate = self.recipe.learning_rate(self.updates / self.updates_per_epoch)
            loss, norm = self.learner.gradients(images, labels, learning_rate)
            if self.updates % self.looked_every == 0:
                self._check_finite(epoch, loss, norm)
                # the state before this update: its loss and gradients are known to be finite
                if stop.asked or self.checkpoints.due():
                    self.seconds, began = self.seconds + time.monotonic() - began, time.monotonic()
                    self.checkpoints.save(self._state())
                stop.obey()
            self.learner.step()
            self.updates += 1
            self.loss = self.loss + (loss.item() if self.looked_every == 1 else loss)  # type: ignore[assignment]
            bar.update(len(labels) * self.fabric.world_size)
            if self.updates % _LOGGED_EVERY == 0:
                logs.update(
                    self.updates,
                    {
                        "epoch": epoch + 1,
                        "learning_rate": learning_rate,
                        "loss": float(loss),
                        "gradient_norm": float(norm),
                    },
                )
        finite = self.learner.finite()  # waits for an accelerator, whose time counts
        self.seconds += time.monotonic() - began
        if not finite:
            self._check_finite(epoch, torch.tensor(math.nan), torch.tensor(math.nan))

    def _row(self, epoch: int) -> Row:
        top1, top5 = self.learner.test(self.task.validation)
        shown = self.updates_per_epoch * min(self.recipe.batch, len(self.task.training))
        return {
            "epoch": epoch + 1,
            "size_px": self.recipe.size_px(epoch, self.viewing.preprocessing.size_px),
            "training_loss": float(self.loss) / self.updates_per_epoch,
            "top1": top1,
            "top5": top5,
            "seconds": round(self.seconds, 2),
            "images_per_second": round(shown / max(self.seconds, 1e-9), 1),
        }

    def _finish(self, row: Row, logs: Logs) -> None:
        """Keep an epoch."""
        self.rows.append(row)
        self.loss, self.seconds = 0.0, 0.0
        # in this order: what a killed process logged beyond its state is dropped, what it did not log is lost
        logs.epoch(self.updates, self.rows)
        self.checkpoints.save(self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "learner": self.learner.state(),
            "rows": self.rows,
            "updates": self.updates,
            "loss": float(self.loss),
            "seconds": self.seconds,
        }

    def _batches(self, epoch: int) -> list[Tensor]:
        """Return which images are in each update of an epoch; those left over are shown in another epoch."""
        generator = torch.Generator().manual_seed(self._draw(epoch, 1))
        order = torch.randperm(len(self.task.training), generator=generator)
        return list(order.split(self.recipe.batch))[: self.updates_per_epoch]

    def _draw(self, number: int, purpose: int) -> int:
        """Return a seed of its own for each number and purpose."""
        text = f"{self.seed} {number} {purpose}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")

    def _check_batch(self, images: int, batch: int) -> int:
        """Return how many updates an epoch has."""
        processes = self.fabric.world_size * self.learner.engine.parts
        # a last share that is smaller would weigh more; parts of one process are weighed by their sizes
        if batch % processes or images < processes or min(batch, images) % self.fabric.world_size:
            raise ConfigurationError(
                "a batch can be shared out among processes and parts",
                f"{min(batch, images)} images, {self.fabric.world_size} processes, {self.learner.engine.parts} parts",
                "choose a batch that is a multiple of their product, and no more of them than images",
            )
        return max(images // batch, 1)

    def _check_finite(self, epoch: int, loss: Tensor, norm: Tensor) -> None:
        # values that are clipped one by one may overflow, and float16's are left out now and then
        overflows = self.learner.engine.precision == "float16" or self.recipe.gradient.clip == "value"
        if torch.isfinite(loss) and (torch.isfinite(norm) or (overflows and not torch.isnan(norm))):
            return
        kept = self.folder is not None and (self.folder / FILE).exists()
        raise DivergedError(
            "the training loss and its gradients stay finite",
            f"loss {float(loss)} and gradient norm {float(norm)} in epoch {epoch + 1}, update {self.updates + 1}",
            "lower the learning rate or clip the gradients"
            + (f"; the last good state is kept in {self.folder}" if kept else "; nothing was saved yet"),
        )

    def _identity(self, network: nn.Module) -> dict[str, Any]:
        config = getattr(network, "config", None)  # two networks of the same shapes may have other activations
        shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
        return {
            "network": hashlib.sha256(repr((sorted(shapes.items()), config)).encode()).hexdigest(),
            "recipe": asdict(self.recipe),
            "presentation": asdict(self.viewing.presentation),
            "preprocessing": asdict(self.viewing.preprocessing),
            "data": self.task.fingerprint,
            "seed": self.seed,
        }

    @contextmanager
    def _bar(self, progress: bool) -> Iterator[tqdm[None]]:
        """Show images per second and the time that is left of the run."""
        shown = self.updates_per_epoch * min(self.recipe.batch, len(self.task.training))
        with tqdm(
            total=self.recipe.epochs * shown,
            initial=self.updates * min(self.recipe.batch, len(self.task.training)),
            desc="training",
            unit="image",
            disable=not (progress and self.fabric.is_global_zero),
        ) as bar:
            yield bar


def _check_fit(network: nn.Module, task: Task, recipe: Recipe, viewing: Viewing) -> None:
    """Check that a network can answer for the task, and that there is something to do."""
    if recipe.batch < 1 or not recipe.phases or any(phase.epochs < 1 for phase in recipe.phases):
        raise ConfigurationError(
            "a recipe has images in its batch and epochs in its phases",
            f"'{recipe.name}' has a batch of {recipe.batch} and phases of {[phase.epochs for phase in recipe.phases]}",
            "choose 1 or more",
        )
    if not len(task.validation):
        raise ConfigurationError("a network is tested after every epoch", "there are no validation images", "add some")
    config = getattr(network, "config", None)
    classes = getattr(config, "classes", None)
    if isinstance(classes, int) and classes < len(task.classes):
        raise ConfigurationError(
            "a network has an output for every class of the task",
            f"it has {classes}, and the task {len(task.classes)} classes",
            "make it with so many classes",
        )
    if isinstance(config, NetworkConfig):
        _check_presentation(network, config.first_steps()[READOUT], viewing.presentation)


def _check_presentation(network: nn.Module, arrival: int, shown: Presentation) -> None:
    """Check that the last step's readout has seen the image, which takes `arrival` steps to it."""
    if shown.steps <= arrival:
        raise ConfigurationError(
            "a presentation is long enough for the readout to see the image",
            f"the first step at which it does is {arrival} (from 0), and it has {shown.steps} steps",
            f"choose {arrival + 1} steps or more",
        )
    if own_dynamics(network) is None and shown.on is not None and shown.steps - 1 - arrival >= shown.on:
        raise ConfigurationError(
            "the last readout of a network without memory still sees the image",
            f"it sees frame {shown.steps - 1 - arrival} (from 0), and the image is on for {shown.on}",
            f"keep it on for {shown.steps - arrival} steps or more",
        )


class _Stop:
    """While in its block, an interrupt waits until the state is saved; a second one does not."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Stop:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *details: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def obey(self) -> None:
        """Stop if it was asked."""
        if self.asked == signal.SIGINT:
            raise KeyboardInterrupt
        if self.asked is not None:
            raise SystemExit(128 + self.asked)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None:
            raise KeyboardInterrupt
        self.asked = number


def _in_words(row: Row, epochs: int) -> str:
    others = {key: value for key, value in row.items() if key not in _COLUMNS}
    return (
        f"epoch {row['epoch']:.0f}/{epochs}: loss {row['training_loss']:.3f}, validation top-1 {row['top1']:.3f}, "
        f"top-5 {row['top5']:.3f}; {row['images_per_second']:.0f} images/s"
        + "".join(f", {key} {value:.3f}" for key, value in others.items())
    )


_COLUMNS = ("epoch", "size_px", "training_loss", "top1", "top5", "seconds", "images_per_second")
