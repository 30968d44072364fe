"""neurofit, scikit-learn, ikpls and Brain-Score on the same arrays: ``python benchmarks/speed/mapping.py``.

Everyone maps the same seeded features to the same responses on the same splits and ends in Pearson's r per neuroid,
bin and split on held-out images; or correlates the same halves of trials. All run in turn in one process, round after
round, and times are medians. Programs that fit one model at a time run some fits of every round, other ones in each,
and their times are multiplied (marked ~). r is compared in every run: the command fails where it is beyond a
contender's tolerance. `--quick` takes less than a minute; docs/speed.md says more.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from contenders import MAPPINGS, NEUROFIT, Contender, reliabilities
from measuring import Entrant, Workers, peak_above, product_speed, race, timed
from problems import Problem, Sizes, make_problem, make_trials
from reporting import Row, draw, markdown_table, row_of, text_table, write_markdown
from threadpoolctl import threadpool_info, threadpool_limits

MAPPING_JOBS = {"temporal": ("folds", False), "random": ("random", False), "refits": ("folds", True)}
RELIABILITY_JOBS = ("ceiling", "alike", "own")
JOBS = (*MAPPING_JOBS, *RELIABILITY_JOBS, "growth")
TITLES = {
    "temporal": "Temporal mapping",
    "random": "The same with random splits",
    "refits": "The same with the mapping's consistency",
    "ceiling": "Brain-Score's ceiling",
    "alike": "Reliability, trials of all stimuli divided alike",
    "own": "Reliability, each stimulus' own halves",
}
#: In the job with refits, neurofit's time without them.
WITHOUT_REFITS = f"{NEUROFIT}, without refits"
#: What grows, and how: multiples of the base.
GROWTH = {
    "images": (0.25, 0.5, 1, 2),
    "features": (0.25, 0.5, 1, 2, 4),
    "neuroids": (0.25, 0.5, 1, 2),
    "bins": (0.05, 0.25, 1, 2),
    "splits": (0.5, 1, 2),
}
GROWING = (NEUROFIT, "neurofit, float32", "ikpls, algorithm 1", "scikit-learn")
#: Shapes (stimuli, trials, neuroids) and halvings: Brain-Score's ceiling of MajajHong2015, and a temporal one.
CEILING, HALVINGS = ((3200, 28, 168), 10), ((5760, 50, 168), 100)
QUICK = {"images": 600, "features": 200, "neuroids": 40, "bins": 3, "splits": 5, "components": 10, "halvings": 2}
TINY = Sizes(images=60, features=40, neuroids=6, bins=2, splits=3, components=4, halvings=1)
PACKAGES = ("neurofit", "numpy", "scipy", "scikit-learn", "ikpls", "brainscore_vision")


def sizes_of(options: argparse.Namespace) -> Sizes:
    """Return the sizes that were asked for."""
    return Sizes(**{name: getattr(options, name) for name in asdict(Sizes())})


def chosen(options: argparse.Namespace, problem: Problem) -> list[Contender]:
    """Return who takes part: those asked for that are installed and can do the job, and their references."""
    able = [one for one in MAPPINGS if not one.missing and one.can(problem)]
    asked = [one for one in able if not options.contenders or one.name in options.contenders]
    wanted = {one.name for one in asked} | {one.reference for one in asked}
    return [one for one in able if one.name in wanted]


def title_of(job: str, options: argparse.Namespace) -> str:
    """Say what a job is."""
    if job in MAPPING_JOBS:
        sizes = sizes_of(options)
        partition, refits = MAPPING_JOBS[job]
        base = f"{sizes.images:,} x {sizes.features:,}, {sizes.bins} bins of {sizes.neuroids} neuroids"
        split = f"{sizes.splits} folds" if partition == "folds" else f"{sizes.splits} random 75/25 splits"
        more = f", {2 * sizes.halvings} half-trial refits a split" if refits else ""
        return f"{TITLES[job]}: {base}, {split}, {sizes.components} components{more}"
    (n, trials, neuroids), n_halvings, bins = reliability_size(job, options)
    plural = "s" if bins > 1 else ""
    return f"{TITLES[job]}: {n:,} x {trials} trials, {bins} bin{plural} of {neuroids} neuroids, {n_halvings} halvings"


def reliability_size(job: str, options: argparse.Namespace) -> tuple[tuple[int, int, int], int, int]:
    """Return shape, halvings and bins of a reliability job."""
    shape, n_halvings = CEILING if job == "ceiling" else HALVINGS
    if options.shrink > 1:
        shape = (shape[0] // options.shrink, max(4, shape[1] // options.shrink // 2 * 2), shape[2] // options.shrink)
    return shape, n_halvings, 1 if job == "ceiling" else options.reliability_bins


def entrants_of(job: str, options: argparse.Namespace) -> tuple[list[Entrant], Problem | None]:
    """Return who runs a job, and the problem of a mapping job."""
    if job in MAPPING_JOBS:
        problem = make_problem(sizes_of(options), *MAPPING_JOBS[job])
        contenders = chosen(options, problem)
        entrants = [one.entrant(problem, options.fits) for one in contenders]
        if problem.halves is not None and contenders[0].name == NEUROFIT:
            plain = contenders[0].entrant(replace(problem, halves=None), options.fits)
            entrants.insert(1, replace(plain, name=WITHOUT_REFITS, reference=WITHOUT_REFITS))
        return entrants, problem
    shape, n_halvings, bins = reliability_size(job, options)
    trials = [make_trials(shape, n_halvings, job != "own", options.seed + t) for t in range(bins)]
    entrants = reliabilities(trials, options.loop_halvings, brain_score=job == "ceiling")
    asked = [*options.contenders, NEUROFIT] if options.contenders else [one.name for one in entrants]
    return [one for one in entrants if one.name in asked], None


def warm_up(job: str, options: argparse.Namespace) -> None:
    """Run everyone once on tiny arrays, so that imports and first calls are not timed."""
    if job in RELIABILITY_JOBS:
        for entrant in reliabilities([make_trials((20, 4, 3), 10, job != "own")], 1, brain_score=job == "ceiling"):
            timed(entrant, 0, 1)
        return
    problem = make_problem(TINY, *MAPPING_JOBS.get(job, ("folds", False)))
    for contender in chosen(options, problem):
        for threads in options.threads:
            timed(contender.entrant(problem, 1), 0, threads)


def run_job(job: str, options: argparse.Namespace, peaks: dict[str, float]) -> tuple[list[Row], dict[str, Any]]:
    """Race a job; return its rows and what all rounds gave."""
    entrants, problem = entrants_of(job, options)
    threads = options.threads if problem is not None else [1]
    records = race(entrants, options.rounds, threads)
    half = {one.name for one in MAPPINGS if one.float32}
    rows = []
    for one in entrants:
        done = replace(problem, halves=None) if problem and one.name == WITHOUT_REFITS else problem
        row = row_of(
            job,
            one.name,
            NEUROFIT if one.name == WITHOUT_REFITS else one.reference,
            records,
            tolerance=one.tolerance,
            operations=done.operations() if done else None,
            peak=peaks["float32" if one.name in half else "float64"],
            memory_mib=memory_of(job, one.name, options) if job in options.memory else None,
        )
        rows.append(row)
    return rows, {name: asdict(record) for name, record in records.items()}


def memory_of(job: str, name: str, options: argparse.Namespace) -> float:
    """Run a contender once in a process of its own; return the MiB that it adds to the inputs."""
    given = [f"--{key}={getattr(options, key)}" for key in asdict(sizes_of(options))]
    given += [f"--shrink={options.shrink}", f"--reliability-bins={options.reliability_bins}", "--fits=1"]
    words = [sys.executable, __file__, *given, "--loop-halvings=1", "--jobs", job, "--once", name]
    answer = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    return float(json.loads(answer.splitlines()[-1])["added"]) / 2**20


def once(options: argparse.Namespace) -> None:
    """Run one contender of one job once, and print what memory it took."""
    warm_up(options.jobs[0], options)
    entrants, _ = entrants_of(options.jobs[0], options)
    entrant = next(one for one in entrants if one.name == options.once)
    with threadpool_limits(1):
        before, added = peak_above(lambda: entrant.run(0, Workers(1, map)))
    print(json.dumps({"before": before, "added": added}))


def run_growth(options: argparse.Namespace) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Change one size at a time; return CPU-seconds by what grows, its size and the contender."""
    base = sizes_of(options)
    warm_up("growth", options)
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for axis, multiples in GROWTH.items():
        points = sorted({max(2 if axis == "splits" else 1, round(getattr(base, axis) * times)) for times in multiples})
        found[axis] = {}
        for size in points:
            problem = make_problem(replace(base, **{axis: size}))
            entrants = [one.entrant(problem, 1) for one in chosen(options, problem) if one.name in GROWING]
            records = race(entrants, options.growth_rounds, [1])
            disagreeing(records, entrants, f"{axis} {size}")
            found[axis][str(size)] = {
                name: {"cpu_s": statistics.median(record.cpu_s[1]), "share": record.share}
                for name, record in records.items()
            }
            shown = ", ".join(f"{name} {point['cpu_s']:.3g} s" for name, point in found[axis][str(size)].items())
            print(f"{axis} {size:,}: {shown}", flush=True)
    return found


def disagreeing(records: dict[str, Any], entrants: Sequence[Entrant], where: str) -> None:
    """Stop if results are beyond their tolerances."""
    beyond = [
        f"{one.name} by {records[one.name].differs:.1e} (tolerance {one.tolerance:.0e})"
        for one in entrants
        if records[one.name].differs > one.tolerance
    ]
    if beyond:
        raise SystemExit(f"r differs from the reference at {where}: {'; '.join(beyond)}")


def surroundings(options: argparse.Namespace) -> dict[str, Any]:
    """Measure matrix products; return what else the figures depend on."""
    speeds = {name: product_speed(getattr(np, name), options.product) for name in ("float64", "float32")}
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    libraries = sorted({f"{one['internal_api']} {one['version']}" for one in threadpool_info()})
    return {"peaks": speeds, "versions": versions, "libraries": libraries, "machine": platform.platform()}


def notes(document: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """Return sentences on the conditions."""
    installed = [f"{name} {number}" for name, number in document["versions"].items() if number != "absent"]
    absent = [name for name, number in document["versions"].items() if number == "absent"]
    peaks = ", ".join(f"{speed / 1e9:.0f} GFLOP/s in {name}" for name, speed in document["peaks"].items())
    return [
        f"Medians of {options.rounds} interleaved rounds.",
        f"One BLAS thread each ({', '.join(document['libraries'])}): {peaks}.",
        f"{', '.join(installed)}.",
        *([f"Not installed and left out: {', '.join(absent)}."] if absent else []),
        f"~ extrapolated from {options.fits} fits (or target sets) or {options.loop_halvings} halvings a round.",
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description="Speed of the mapping and of the split-half reliability.")
    for name, value in asdict(Sizes()).items():
        parser.add_argument(f"--{name}", type=int, default=None, help=f"{value} by default")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--contenders", nargs="+", choices=[one.name for one in MAPPINGS], default=[])
    parser.add_argument("--rounds", type=int, default=None, help="5 by default")
    parser.add_argument("--growth-rounds", type=int, default=None, help="2 by default")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--fits", type=int, default=2, help="fits a round of those who fit one by one")
    parser.add_argument("--loop-halvings", type=int, default=5, help="halvings a round of the plain loop")
    parser.add_argument("--reliability-bins", type=int, default=2)
    parser.add_argument("--shrink", type=int, default=None, help="divide the sizes of the reliability jobs")
    parser.add_argument("--product", type=int, default=2000, help="size of the matrix products that set the peak")
    parser.add_argument(
        "--memory",
        nargs="*",
        choices=JOBS,
        help="jobs whose memory is measured, in a process per contender",
    )
    parser.add_argument("--quick", action="store_true", help="small arrays, 2 rounds")
    parser.add_argument("--json", type=Path, help="write everything measured there")
    parser.add_argument("--markdown", type=Path, help="write the table there, between its markers")
    parser.add_argument("--join", type=Path, nargs="+", help="measure nothing: tables and figure of saved --json files")
    parser.add_argument("--figure", type=Path, help="write a PNG there")
    parser.add_argument("--once", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    defaults: dict[str, Any] = asdict(Sizes()) | {"rounds": 5, "growth_rounds": 2, "shrink": 1, "memory": JOBS}
    if options.quick:
        defaults |= {**QUICK, "rounds": 2, "growth_rounds": 1, "shrink": 8, "memory": ["temporal"]}
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def join(paths: Sequence[Path]) -> tuple[dict[str, Any], list[Row]]:
    """Return the jobs of several saved runs as of one, with the notes of each; a later run of a job counts."""
    documents = [json.loads(path.read_text()) for path in paths]
    joined: dict[str, Any] = {**documents[-1], "jobs": {}, "growth": {}}
    rows: dict[str, list[Row]] = {}
    for document in documents:
        joined["jobs"] |= document["jobs"]
        joined["growth"] |= document["growth"]
        for job in document["jobs"]:
            found = [row for row in document["rows"] if row["job"] == job]
            rows[job] = [Row(**{**row, "wall_s": {int(t): s for t, s in row["wall_s"].items()}}) for row in found]
    joined["notes"] = list(dict.fromkeys(note for document in documents for note in document["notes"]))
    joined["rows"] = [asdict(row) for job in joined["jobs"] for row in rows[job]]
    return joined, [row for job in joined["jobs"] for row in rows[job]]


def write(options: argparse.Namespace, document: dict[str, Any], rows: list[Row]) -> None:
    """Write what was asked for."""
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    if options.markdown is not None:
        write_markdown(options.markdown, markdown_table(document, rows))
    if options.figure is not None:
        draw(options.figure, document, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    options = parse(arguments)
    if options.once:
        once(options)
        return
    if options.join:
        joined, found = join(options.join)
        write(options, joined, found)
        return
    document: dict[str, Any] = {"options": {key: str(value) for key, value in vars(options).items()}}
    document |= surroundings(options) | {"jobs": {}, "growth": {}, "rounds": {}}
    document["notes"] = notes(document, options)
    print("\n".join(document["notes"]), flush=True)
    rows: list[Row] = []
    for job in options.jobs:
        if job == "growth":
            continue
        document["jobs"][job] = title_of(job, options)
        warm_up(job, options)
        found, document["rounds"][job] = run_job(job, options, document["peaks"])
        rows += found
        print(f"\n{document['jobs'][job]}\n{text_table(found)}", flush=True)
    if "growth" in options.jobs:
        document["growth"] = run_growth(options)
    document["rows"] = [asdict(row) for row in rows]
    write(options, document, rows)
    beyond = [f"{row.contender} at {row.job} by {row.differs:.1e}" for row in rows if not row.agrees]
    if beyond:
        raise SystemExit(f"r is beyond the tolerance: {'; '.join(beyond)}")


if __name__ == "__main__":
    main()
