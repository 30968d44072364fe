"""Disturb neurofit's commands and count what they survive: ``python benchmarks/faults/run.py``.

Every command runs in processes of its own, is disturbed, and is given again; docs/faults.md has the table. ``--only
kill-score`` takes some of them, ``--list`` names all. Small disks need an administrator, wrong clocks and failing
operations a C compiler (Linux); where they are missing the row says so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ["OMP_NUM_THREADS"] = "1"  # forked processes have no threads but the one that forks

from commands import COMMANDS
from faults import ALL
from processes import INJECTED, NeedsAdministratorError
from trials import HEAD, LIBRARY, Harness, NeedsCompilerError, Row


def names() -> list[str]:
    """Return all faults of all commands, as ``--only`` takes them."""
    return [f"{fault}-{command}" for fault, (_, _, of) in ALL.items() for command in of if command in COMMANDS]


def told(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def measured(harness: Harness, name: str) -> Row:
    """Inject one fault into one command, as often as the harness says."""
    fault, _, command = name.rpartition("-")
    title, inject, _ = ALL[fault]
    chosen = harness.command(command)
    row = Row(title, chosen.title or chosen.name)
    try:
        inject(harness, chosen, row)
    except NeedsAdministratorError:
        row.outcomes["not tried: needs an administrator"] += 1
    except NeedsCompilerError:
        row.outcomes["not tried: needs a C compiler"] += 1
    return row


def preload() -> None:
    """Begin this process anew with the library of injected/faulty.c, if there is a compiler; forks have it then."""
    if "LD_PRELOAD" in os.environ or shutil.which("cc") is None:
        return
    folder = Path(tempfile.mkdtemp(prefix="neurofit-faulty-"))
    words = ["cc", "-shared", "-fPIC", "-O1", "-o", str(folder / "faulty.so"), str(INJECTED / "faulty.c"), "-ldl"]
    if subprocess.run(words, check=False).returncode == 0:
        os.environ["LD_PRELOAD"] = os.environ[LIBRARY] = str(folder / "faulty.so")
        os.execv(sys.executable, [sys.executable, *sys.argv])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Disturb neurofit's commands and count what they survive.")
    parser.add_argument("--only", nargs="*", choices=names(), help="faults and commands; all by default")
    parser.add_argument("--n", type=int, default=20, help="faults of each kind (some kinds take a part of it)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for table.md and table.json")
    parser.add_argument("--folder", type=Path, help="keep trials that went wrong here")
    parser.add_argument("--list", action="store_true", help="name all faults and leave")
    options = parser.parse_args()
    if options.list:
        told("\n".join(names()))
        return
    preload()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="neurofit-faults-")).resolve()
    rows = []
    try:
        harness = Harness(folder, options.n, options.seed)
        told(HEAD)
        for name in options.only or names():
            rows.append(measured(harness, name))
            told(rows[-1].as_line())
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
        if LIBRARY in os.environ:  # made by this process before it began anew
            Path(os.environ[LIBRARY]).unlink(missing_ok=True)
            Path(os.environ[LIBRARY]).parent.rmdir()
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / "table.md").write_text("\n".join([HEAD, *(row.as_line() for row in rows)]) + "\n")
            document = json.dumps([row.as_dict() for row in rows], indent=2)
            (options.out / "table.json").write_text(document + "\n")
    for row in rows:
        for text in row.wrong:
            told(f"{row.fault}, {row.command}: {text}")
    sys.exit(any(row.wrong for row in rows))


if __name__ == "__main__":
    main()
