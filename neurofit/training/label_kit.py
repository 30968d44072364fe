"""The table of classes of ImageNet's development kit, read in a process of its own.

scipy's reader of MATLAB files ends its process on some damaged ones, which is then not that of the training.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys

MAX_BYTES = 16_000_000
_MEMORY_BYTES = 4 * 2**30
_SECONDS = 120


def read_synsets(content: bytes) -> dict[int, str]:
    """Return the WNID of every number in the kit.

    Parameters
    ----------
    content : bytes
        Of meta.mat.

    Raises
    ------
    ValueError
        Saying why it cannot be read.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has {len(content):,} bytes, and at most {MAX_BYTES:,} are read")
    try:
        done = subprocess.run(  # -P: nothing is imported from the working folder
            [sys.executable, "-Pm", __name__], input=content, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"it cannot be read in {_SECONDS} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(said[-1] if said and done.returncode > 0 else "it ends the process that reads it")
    return {int(number): str(wnid) for number, wnid in json.loads(done.stdout).items()}


def _read() -> None:
    """Read standard input, and write JSON."""
    from scipy.io import loadmat

    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    synsets = loadmat(io.BytesIO(sys.stdin.buffer.read()), squeeze_me=True)["synsets"]
    json.dump({int(each["ILSVRC2012_ID"]): str(each["WNID"]) for each in synsets}, sys.stdout)


if __name__ == "__main__":
    _read()
