"""How often a comparison finds what is there, or is not: ``python docs/make_comparison_table.py OUT.jsonl``.

Everything here is SIMULATED. Pairs of models are compared on brains with recurrence, where the first is better in late
bins, and without, where neither is. Each pair is a line of OUT.jsonl; the same command goes on where it was stopped,
and prints the table when all are there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from neurofit.data.simulated_pairs import SimulatedPair
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.compare import Comparison, compare
from neurofit.scoring.predictivity import predictivity

COMPONENTS = 20
LEVEL = 0.05
BOOTSTRAPPED = 50
"""Pairs of either kind for which the held-out images are drawn, too."""


def compare_pair(recurrence: bool, seed: int, bootstrap: bool) -> dict[str, Comparison]:
    """Simulate a pair, score both models under the fixed mapping, and compare them with one or both kinds of draws."""
    recording, *models = SimulatedPair(recurrence, random_state=seed).simulate()
    scores = [
        predictivity(
            model,
            recording,
            mapping=PLSMapping(COMPONENTS),
            splitter=StimulusShuffleSplit(5),
            temporal="fixed",
            n_halvings=2,
            stratify="object_name",
            image_groups=10,
            keep_predictions=bootstrap,
            n_jobs=1,
        ).assign_attrs(subject=str(model["subject"].values[0]), region="IT")
        for model in models
    ]
    found = {"refitted": compare(*scores, n_draws=1000)}
    if bootstrap:
        found["bootstrap"] = compare(*scores, images="bootstrap", n_draws=300)
    return found


def row(recurrence: bool, seed: int) -> dict[str, Any]:
    """Return what one pair adds to the table: p values of bins and windows, by every test."""
    found = compare_pair(recurrence, seed, seed < BOOTSTRAPPED)
    out: dict[str, Any] = {"recurrence": recurrence, "seed": seed}
    for name in ("bins", "windows"):
        own = getattr(found["refitted"], name)
        out[name] = {
            "span": own[["time_bin_start", "time_bin_end"]].to_numpy().tolist(),
            "difference": own["difference"].tolist(),
            "wilcoxon": own["p_wilcoxon_corrected"].tolist(),
            **{draws: getattr(one, name)["p_corrected"].tolist() for draws, one in found.items()},
        }
    return out


def table(rows: list[dict[str, Any]]) -> str:
    """Return the table: part of the pairs in which anything is significant, and in which the late window is."""
    lines = [
        "| pairs | test | any bin | any window | late window, first better |",
        "|---|---|---|---|---|",
    ]
    for recurrence in (False, True):
        for test in ("refitted", "bootstrap", "wilcoxon"):
            chosen = [r for r in rows if r["recurrence"] == recurrence and test in r["bins"]]
            what = f"{len(chosen)} with recurrence" if recurrence else f"{len(chosen)} control, no difference"
            found = {name: np.array([r[name][test] for r in chosen], float) < LEVEL for name in ("bins", "windows")}
            late = found["windows"][:, 1] & (np.array([r["windows"]["difference"][1] for r in chosen]) > 0)
            parts = (found["bins"].any(1), found["windows"].any(1), late)
            lines.append(f"| {what} | {test} | " + " | ".join(f"{part.mean():.3f}" for part in parts) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure the pairs that are not measured yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=int, default=200, help="without recurrence; a tenth as many with it")
    parser.add_argument("--part", default="0/1", help="I/N: only every Nth pair, from the Ith; for N processes")
    options = parser.parse_args()
    part, parts = (int(number) for number in options.part.split("/"))
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    wanted = [(True, seed) for seed in range(options.pairs // 10)] + [(False, seed) for seed in range(options.pairs)]
    wanted = wanted[part::parts]
    done = {(r["recurrence"], r["seed"]) for r in rows}
    with options.out.open("a") as handle:
        for recurrence, seed in tqdm([pair for pair in wanted if pair not in done], unit="pair"):
            rows.append(row(recurrence, seed))
            handle.write(json.dumps(rows[-1]) + "\n")
            handle.flush()
    print(table(rows))


if __name__ == "__main__":
    main()
