"""Predicted memory and time of scores against measured ones: ``OMP_NUM_THREADS=1 python benchmarks/speed/plan.py``.

Every configuration is planned (`neurofit score --plan --json`) and run (`neurofit score`) in processes of its own; the
largest resident memory is what the operating system says of the process that ran. `--only NAME` takes some of them,
`--folder` keeps the datasets that are drawn for the wide layers. `fixed` and `raw-width` take long: half an hour
together on a quiet machine with two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

TOLERANCE = 0.25
WIDE = ("--model", "ff_shallow", "--layer", "conv2")
CONFIGURATIONS: dict[str, tuple[str, ...]] = {
    "rgc conv5": ("--model", "rgc", "--region", "IT"),
    "ff conv3": ("--model", "ff", "--region", "IT", "--layer", "conv3"),
    "pixels": ("--model", "pixels", "--region", "IT"),
    "wide": (*WIDE, "--benchmark", "drawn-128.toml", "--features", "dual"),
    "fixed": ("--model", "ff", "--region", "IT", "--mapping", "fixed"),
    "raw-width": (*WIDE, "--benchmark", "drawn-3200.toml", "--features", "dual"),
}
# (images, neuroids, repetitions, bins of 10 ms that end with the presentation, on_ms)
DRAWN = {"drawn-128.toml": (128, 100, 4, 5, 100), "drawn-3200.toml": (3200, 168, 2, 1, 20)}
MANIFEST = """name = "{name}"
title = "rendered pictures, and SIMULATED responses to their poses"
kind = "recording"
reader = "hdf5"
regions = ["IT"]
subjects = ["nobody"]
repetitions = true
simulated = false
licence = "ours"
citation = "none"
source = "benchmarks/speed/plan.py"
{files}"""
FILE = '[[files]]\nname = "{name}"\nrole = "{role}"\nsha256 = "{digest}"\n'
BENCHMARK = """name = "{name}"
title = "rendered pictures, and SIMULATED responses to their poses"
version = 1
dataset = "{name}-data.toml"
region = "IT"
source = "benchmarks/speed/plan.py"
time_bins = {{start_ms = {start}, end_ms = {end}, width_ms = 10}}
viewing = {{on_ms = {on}, total_ms = {end}}}
mapping = {{n_components = 25}}
correction = {{n_halvings = 2}}
aggregation = {{window_ms = [{start}, {end}]}}
"""


def draw(name: str, folder: Path) -> None:
    """Write a benchmark of that name with its dataset: rendered pictures, responses that follow their poses, noise."""
    from PIL import Image

    from neurofit.assembly.build import make_assembly
    from neurofit.data.readers.plain import write_hdf5
    from neurofit.data.rendering import POSE
    from neurofit.data.simulated import SimulatedVentralStream

    images, neuroids, repetitions, bins, on = DRAWN[name]
    stem, end = name.removesuffix(".toml"), max(on, 20) + (50 if bins > 1 else 0)
    place = folder / "data" / stem
    place.mkdir(parents=True, exist_ok=True)
    stimuli = SimulatedVentralStream(images // 64).stimuli()
    with zipfile.ZipFile(place / "images.zip", "w") as archive:
        for row, stimulus_id in enumerate(stimuli.ids):
            buffer = io.BytesIO()
            Image.fromarray(stimuli.image(row)).save(buffer, "PNG")
            archive.writestr(f"{stimulus_id}.png", buffer.getvalue())
    rng = np.random.default_rng(0)
    signal = stimuli.table[list(POSE)].to_numpy(float) @ rng.standard_normal((len(POSE), neuroids * bins))
    trials = np.repeat(signal.reshape(images, neuroids, bins), repetitions, axis=0)
    recording = make_assembly(
        (trials + rng.standard_normal(trials.shape)).astype(np.float32),
        stimulus_id=np.repeat(stimuli.ids, repetitions),
        repetition=np.tile(np.arange(repetitions), images),
        neuroid_id=[f"n{i}" for i in range(neuroids)],
        subject="nobody",
        region="IT",
        time_bins=[(end - 10 * (bins - t), end - 10 * (bins - t) + 10) for t in range(bins)],
    )
    write_hdf5(recording, place / "responses.h5")
    files = "".join(
        FILE.format(name=path.name, role=role, digest=hashlib.sha256(path.read_bytes()).hexdigest())
        for role, path in (("assembly", place / "responses.h5"), ("images", place / "images.zip"))
    )
    (folder / f"{stem}-data.toml").write_text(MANIFEST.format(name=stem, files=files))
    (folder / name).write_text(BENCHMARK.format(name=stem, start=end - 10 * bins, end=end, on=on))


def run(words: list[str], folder: Path) -> tuple[str, float, int]:
    """Run the command; return its standard output, seconds, and largest resident memory in bytes."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen([sys.executable, "-m", "neurofit", *words], stdout=out, stderr=err, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, err):
            file.seek(0)
        if process.returncode:
            raise SystemExit(f"neurofit {' '.join(words)}: {err.read().decode()[-2000:]}")
        text = out.read().decode()
    return text, time.perf_counter() - began, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measured(name: str, folder: Path) -> dict[str, Any]:
    """Plan and run a configuration; return what was predicted and what it took."""
    words = ["score", *CONFIGURATIONS[name]]
    for benchmark in set(words) & set(DRAWN):
        words += ["--data", "data"]
        if not (folder / benchmark).exists():
            draw(benchmark, folder)
    plan = json.loads(run([*words, "--plan", "--json"], folder)[0])
    text, seconds, peak = run([*words, "--json", "--out", "out"], folder)
    told = json.loads(text)["cost"]
    return {
        "route": plan["features"]["route"],
        "units": plan["features"]["units"],
        "images": plan["sizes"]["shown"],
        "predicted_gib": plan["peak_bytes"] / 2**30,
        "measured_gib": peak / 2**30,
        "ratio": plan["peak_bytes"] / peak,
        "predicted_s": plan["seconds"],
        "measured_s": seconds,
        "loaded_gib": plan["resident_bytes"] / 2**30,
        "stages": {stage["name"]: round(stage["memory_bytes"] / 2**30, 2) for stage in plan["stages"]},
        "told": told,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Predicted memory and time of scores against measured ones.")
    parser.add_argument("--only", action="append", choices=list(CONFIGURATIONS), help="repeat it for several")
    parser.add_argument("--folder", type=Path, help="keep drawn datasets here")
    parser.add_argument("--json", type=Path, help="write the table as JSON, too")
    options = parser.parse_args()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        print("| configuration | images | units | route | loaded | predicted | measured | ratio | estimated | took |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for name in options.only or CONFIGURATIONS:
            row = rows[name] = measured(name, folder)
            off = "" if abs(row["ratio"] - 1) <= TOLERANCE else " (!)"
            print(
                f"| {name} | {row['images']:,} | {row['units']:,} | {row['route']} | {row['loaded_gib']:.2f} GiB "
                f"| {row['predicted_gib']:.2f} GiB | {row['measured_gib']:.2f} GiB | {row['ratio']:.2f}{off} "
                f"| {row['predicted_s']:.0f} s | {row['measured_s']:.0f} s |",
                flush=True,
            )
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
