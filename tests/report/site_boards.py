"""Leaderboards for tests of the site, made by hand from drawn records; some of their names are hostile."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

from neurofit.report.leaderboard import Board, Leaderboard, Row
from neurofit.report.runs import LeftOut, ScoredRun

_GENERATOR = Path(__file__).resolve().parents[2] / "benchmarks" / "speed" / "site_records.py"

HOSTILE = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=2">',
    "</script><script>window.pwned=3</script>",
    "'; window.pwned=4; //",
    "a\u202egpj.exe",
    "null\x00byte",
    "../../etc/passwd",
    "long" * 2500,
    "RGC",
    "rgc",
    '=HYPERLINK("http://example.org")',
    "%{customdata} <b>bold</b> ${x}",
    "{{ 7 * 7 }}",
    "half\ud800",
    " ",
    "__proto__",
    "line\u2028break",
    "con",
)
NEUROID = "<img src=x onerror=window.pwned=5>"


def generator():
    """Return the module that draws records."""
    if "site_records" not in sys.modules:
        spec = importlib.util.spec_from_file_location("site_records", _GENERATOR)
        module = importlib.util.module_from_spec(spec)
        sys.modules["site_records"] = module
        spec.loader.exec_module(module)
    return sys.modules["site_records"]


def run_of(number: int, model: str, layer: str = "conv5", seed: int = 0, **changes) -> ScoredRun:
    """Return a run of the nth drawn benchmark, as if it had been read."""
    draw = generator()
    board = draw.board_of(number)
    document = draw.synthetic_record(board, model, layer, seed)
    score, subject = document["score"], document["subject"]
    digest = hashlib.sha256(repr((number, model, layer, seed)).encode("utf-8", "surrogatepass")).hexdigest()
    fields = {
        "id": f"run-{number}-{digest[:12]}", "path": Path("/nowhere") / f"{digest[:12]}.json", "document": document,
        "model": model, "layer": layer, "region": board["region"], "value": score["value"], "low": score["low"],
        "high": score["high"], "raw": score["raw"], "ceiling": score["ceiling"], "parameters": subject["parameters"],
        "top1": subject["top1"], "trained_on": subject["trained_on"], "date": document["date"],
        "simulated": board["simulated"],
    }  # fmt: skip
    return ScoredRun(**(fields | changes))


def board_of_runs(number: int, runs: list[ScoredRun], older: tuple[ScoredRun, ...] = (), **changes) -> Board:
    """Return a board of runs of the nth benchmark, ranked by their values."""
    facts = generator().board_of(number)
    ordered = sorted(runs, key=lambda run: -run.value)
    rows = tuple(Row(run, i + 1, max(1, i), min(len(runs), i + 2)) for i, run in enumerate(ordered))
    settings = {"region": facts["region"], "dataset": facts["name"], "citation": "Nobody & Co. (2020) <i>100 %</i>"}
    fields = {
        "id": facts["name"], "benchmark": facts["name"], "title": facts["title"], "simulated": facts["simulated"],
        "settings": settings, "rows": rows, "rank_method": "Rank intervals are made up.", "older": older,
    }  # fmt: skip
    return Board(**(fields | changes))


def hostile_leaderboard() -> Leaderboard:
    """Return four boards: hostile names on two pages, one bin of time, RSA, and one run on simulated data."""
    names = [*HOSTILE, *(f"model-{i:02d}" for i in range(12))]
    runs = [run_of(0, name, "<b>conv</b>" if name == "rgc" else "conv5", seed) for seed, name in enumerate(names)]
    for run in runs:
        run.document["neuroids"]["neuroid_id"][0] = NEUROID
    single = [run_of(1, name, "conv4", seed) for seed, name in enumerate(("rgc", "ff", "gru"))]
    rsa = [run_of(4, name, "conv5", seed) for seed, name in enumerate(("rgc", "ff"))]
    boards = (
        board_of_runs(0, runs, older=(run_of(0, "rgc", "conv5", 99),)),
        board_of_runs(1, single),
        board_of_runs(4, rsa),
        board_of_runs(2, [run_of(2, "rgc", "conv5", 7)]),
    )
    left_out = (LeftOut(Path("/secret/place/broken.json"), "/secret/place/broken.json is <b>no</b> record."),)
    return Leaderboard(Path("/secret/place"), boards, left_out)
