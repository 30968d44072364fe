"""What a run says while it goes on: CSV files and TensorBoard events in its folder."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from neurofit.errors import MissingExtraError, OutputError
from neurofit.files.atomic import atomic_write, reporting_output_errors

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

UPDATES, EPOCHS = "updates.csv", "epochs.csv"


class Logs:
    """Writes rows of updates and of epochs; those after the state that a run goes on from are dropped first.

    Parameters
    ----------
    folder : Path or None
        None writes nothing.
    updates : int
        Updates already done.
    epochs : sequence of mapping
        Rows of the epochs already done.
    """

    def __init__(self, folder: Path | None, updates: int, epochs: Sequence[Mapping[str, float]]) -> None:
        self.folder = folder
        self._events: EventsWriter | None = None
        if folder is None:
            return
        try:
            from tensorboardX import event_file_writer
        except ImportError as error:
            raise MissingExtraError(
                "training writes TensorBoard events", "tensorboardX is not installed", "pip install 'neurofit[train]'"
            ) from error
        with reporting_output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._drop_updates_after(updates)
            if epochs:
                _write_table(folder / EPOCHS, epochs)
            else:
                (folder / EPOCHS).unlink(missing_ok=True)
            (folder / "tensorboard").mkdir(exist_ok=True)
            # written here and now: SummaryWriter's thread loses what a kill finds in its queue, and dies of a full disk
            # with everybody waiting. TensorBoard reads files in the order of their names, which begin with the time:
            # after a clock was set back, what comes later would be read first
            number = len(list((folder / "tensorboard").iterdir()))
            self._events = event_file_writer.EventsWriter(str(folder / "tensorboard" / f"events.part{number:05d}"))
            self._hide_events_after(updates)

    def update(self, number: int, row: Mapping[str, float]) -> None:
        """Write what is known of an update."""
        if self.folder is None or self._events is None:
            return
        path = self.folder / UPDATES
        with reporting_output_errors(path):
            with path.open("a", newline="", encoding="utf-8") as handle:
                writer = csv.DictWriter(handle, ["update", *row])
                if handle.tell() == 0:
                    writer.writeheader()
                writer.writerow({"update": number, **row})
            self._scalars(row, number)

    def epoch(self, updates: int, rows: Sequence[Mapping[str, float]]) -> None:
        """Write the table of all epochs so far."""
        if self.folder is None:
            return
        with reporting_output_errors(self.folder):
            _write_table(self.folder / EPOCHS, rows)
            self._scalars({f"epoch/{key}": value for key, value in rows[-1].items()}, updates)

    def __enter__(self) -> Logs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events is not None and self.folder is not None:
            try:
                with reporting_output_errors(self.folder):
                    self._events.close()
            except OutputError:
                if error is None:  # else a full disk was told already
                    raise

    def _scalars(self, row: Mapping[str, float], step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        if self._events is not None:
            for key, value in row.items():
                self._events.write_event(Event(wall_time=time.time(), step=step, summary=scalar(key, value)))
            self._events.flush()

    def _hide_events_after(self, updates: int) -> None:
        """Let TensorBoard forget what a process wrote that was killed after the state that a run goes on from."""
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        if self._events is not None:
            start = SessionLog(status=SessionLog.START)
            self._events.write_event(Event(wall_time=time.time(), step=updates + 1, session_log=start))
            self._events.flush()

    def _drop_updates_after(self, updates: int) -> None:
        """Keep the rows of updates up to a number; a killed process may have left half a row."""
        path = (self.folder or Path()) / UPDATES
        if not path.exists():
            return
        # a machine that lost power may have left anything at its end
        header, *lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) or [""]
        kept = [line for line in lines if line.endswith("\n") and _number(line) <= updates]
        with atomic_write(path) as handle:
            handle.write("".join([header, *kept] if kept else []).encode())


def _number(line: str) -> float:
    first = line.split(",", 1)[0]
    return int(first) if first.isascii() and first.isdigit() and len(first) < 16 else float("inf")


def _write_table(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as handle:
        handle.write(text.getvalue().encode())
