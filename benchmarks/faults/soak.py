"""A sweep of many small runs in one process: does anything grow? ``python benchmarks/faults/soak.py``.

`neurofit sweep` scores 200 small cells of four models. Whenever a record appears the process is looked at from outside:
resident memory, open files, threads, child processes. The first 20 runs are left out: libraries load and caches fill.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import inputs
import numpy as np
from processes import Running

MODELS = ("pixels", "ff", "ff_matched", "timedecay_matched")
"""Of which 50 variations each are scored; models change as they would in a sweep."""
WARM, WINDOW = 20, 40
"""Runs that are left out, and runs whose median is taken at the beginning and at the end."""
GROWTH, SLOPE_MIB = 0.02, 0.05
"""Flat is: the last window's median at most 2% above the first one's, and no more than so many MiB a run."""


def write_sweep(folder: Path, runs: int, models: tuple[str, ...]) -> None:
    """Write a sweep of so many runs."""
    per_model = -(-runs // len(models))
    splits = list(range(1, 11))
    components = list(range(1, -(-per_model // len(splits)) + 1))
    (folder / "sweep.toml").write_text(
        f'models = {json.dumps(list(models))}\nbenchmarks = ["drawn.toml"]\n'
        f"[[vary]]\ncomponents = {components}\nsplits = {splits}\n"
        '[run]\ndata = "data"\nbatch = 12\nmemory = "2GiB"\n'
    )


def sample(pid: int) -> dict[str, float]:
    """Return what a process holds: resident MiB, open files, threads, children."""
    place = Path(f"/proc/{pid}")
    fields = dict(
        line.split(":", 1) for line in (place / "status").read_text().splitlines() if line.startswith(("VmRSS", "Thr"))
    )
    children = [(task / "children").read_text().split() for task in (place / "task").iterdir()]
    return {
        "resident_mib": int(fields["VmRSS"].split()[0]) / 1024,
        "files": sum(1 for _ in (place / "fd").iterdir()),
        "threads": int(fields["Threads"]),
        "children": sum(map(len, children)),
    }


def soak(folder: Path, runs: int, models: tuple[str, ...]) -> dict[str, Any]:
    """Run the sweep and return the samples, one a run, and what was left."""
    inputs.draw_benchmark(folder, images=24)
    write_sweep(folder, runs, models)
    place = folder / "trial"
    running = Running(["sweep", "sweep.toml", "--out", str(place / "sweep")], folder, place)
    records, samples, seen = place / "sweep" / "records", [], 0
    while running.process.poll() is None:
        count = sum(1 for _ in records.glob("*.json")) if records.is_dir() else 0
        if count > seen:
            seen = count
            with suppress(OSError, KeyError):  # it has just ended
                samples.append({"run": count, **sample(running.process.pid)})
        time.sleep(0.02)
    ended = running.ended(3600)
    if ended.code:
        raise SystemExit(f"the sweep ended with {ended.code}: {ended.err[-2000:]}")
    temporary = [path.name for path in (place / "tmp").iterdir() if not path.name.startswith("torchinductor_")]
    temporary += [str(path) for path in (place / "sweep").rglob("*.tmp")]
    return {
        "runs": seen,
        "seconds": ended.seconds,
        "samples": samples,
        "temporary": temporary,
        "processes": list(ended.left),
    }


def judged(found: dict[str, Any]) -> dict[str, dict[str, float | bool]]:
    """Compare the beginning with the end, quantity by quantity."""
    rows = {}
    runs = np.array([each["run"] for each in found["samples"]])
    for name in ("resident_mib", "files", "threads", "children"):
        values = np.array([each[name] for each in found["samples"]])
        first = float(np.median(values[(runs > WARM) & (runs <= WARM + WINDOW)]))
        last = float(np.median(values[runs > runs[-1] - WINDOW]))
        late = runs > WARM
        slope = float(np.polyfit(runs[late], values[late], 1)[0])
        flat = last <= first * (1 + GROWTH) and (name != "resident_mib" or slope <= SLOPE_MIB)
        rows[name] = {"first": first, "last": last, "largest": float(values.max()), "slope": slope, "flat": flat}
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A sweep of many small runs in one process: does anything grow?")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--out", type=Path, help="folder for soak.md and soak.json")
    options = parser.parse_args()
    if options.runs <= WARM + WINDOW:
        parser.error(f"more than {WARM + WINDOW} runs can be compared with each other")
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="neurofit-soak-") as folder:
        found = soak(Path(folder), options.runs, tuple(options.models))
    rows = judged(found)
    lines = [
        f"| of {found['runs']} runs | runs {WARM + 1}-{WARM + WINDOW}, median | last {WINDOW}, median | largest "
        "| slope a run | flat |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, row in rows.items():
        numbers = " | ".join(f"{row[key]:.1f}" for key in ("first", "last", "largest"))
        lines.append(f"| {name.replace('_mib', ' (MiB)')} | {numbers} | {row['slope']:+.3f} | {row['flat']} |")
    left = f"{len(found['temporary'])} temporary files, {len(found['processes'])} processes"
    lines.append(f"\nLeft behind: {left}. {found['seconds']:.0f} s.")
    sys.stdout.write("\n".join(lines) + "\n")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "soak.md").write_text("\n".join(lines) + "\n")
        (options.out / "soak.json").write_text(json.dumps({**found, "rows": rows}, indent=2) + "\n")
    sys.exit(not all(row["flat"] for row in rows.values()) or bool(found["temporary"] or found["processes"]))


if __name__ == "__main__":
    main()
