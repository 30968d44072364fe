"""Change a file in a process of its own: what is written there by force may end the library that writes it."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

SECONDS = 20


def changed(
    mutate: Callable[[Path, Path, np.random.Generator], object], parent: Path, case: Path, rng: np.random.Generator
) -> None:
    """Write a case as `mutate` does; where that ends or never ends its process, the case is what is there by then."""
    own = np.random.default_rng(rng.integers(2**63))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the child does not use
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            mutate(parent, case, own)
            code = 0
        finally:
            os._exit(code)
    end = time.monotonic() + SECONDS
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            ended = os.waitpid(pid, 0)
            break
        time.sleep(0.0005)
    if os.waitstatus_to_exitcode(ended[1]) > 0:
        raise RuntimeError(f"{mutate} raised an error on {parent}; run it by itself to see which")
    if not case.exists():
        case.write_bytes(parent.read_bytes())
