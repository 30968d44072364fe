"""A process that writes an entry, and kills itself before the n-th change of a file in the store.

    python killed.py STORE N [CHUNKS]

Run without N it finishes. Printed are the chunks that it computed, one a line.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np

from neurofit.files.store import FeatureStore

KEY = {"network": "a", "layer": "conv"}
CHANGES = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.utime"})


def computed(number: int) -> dict[str, np.ndarray]:
    """What a network would return for a batch."""
    return {"values": np.random.default_rng(number).standard_normal((4, 3)).astype(np.float32)}


def count_down(store: Path, left: int) -> None:
    """Kill this process before so many more changes have been made in a folder."""

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        if event in CHANGES and str(arguments[0]).startswith(str(store)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def write(store: Path, chunks: int) -> None:
    """Complete the entry, from where it is."""
    with FeatureStore(store).drafts({"conv": KEY}, {"conv": {"model": "a"}}, print) as drafts:
        draft = drafts["conv"]
        for number in range(chunks):
            if draft.chunk("batch", number) is None:
                sys.stdout.write(f"{number}\n")
                sys.stdout.flush()
                draft.keep("batch", number, computed(number))
        draft.finish("batch", chunks)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if len(sys.argv) > 2 and int(sys.argv[2]):
        count_down(place, int(sys.argv[2]))
    write(place, int(sys.argv[3]) if len(sys.argv) > 3 else 5)
