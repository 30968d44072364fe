"""Synthetic records for leaderboards: the layout is that of `neurofit score`, the numbers are drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

CELLS = ("ff", "gru", "lstm", "ugrnn", "rgc", "simple-rnn", "time-decay", "intersectionrnn")
LAYERS = ("conv3", "conv4", "conv5")
HASHES = ("stimuli_hash", "neuroids_hash", "splits_hash", "halvings_hash", "responses_hash")
WINDOW = (70, 170)
CITATION = "Nobody, Drawn numbers in place of a recording (2020)"


def board_of(number: int) -> dict[str, Any]:
    """Return the facts of the nth benchmark: every third is simulated, every second has one bin, the fifth is RSA."""
    simulated, single = number % 3 == 2, number % 2 == 1
    region = "IT" if simulated else ("V4", "IT")[number % 3]
    images = 200 + 40 * number
    bins = [WINDOW] if single else [(start, start + 10) for start in range(60, 260, 10)]
    return {
        "name": f"{'sim' if simulated else 'session'}-{number:02d}",
        "title": f"{'SIMULATED' if simulated else 'INVENTED'} {region}, {images} images, "
        + ("one bin of 100 ms" if single else "20 bins of 10 ms"),
        "simulated": simulated,
        "region": region,
        "images": images,
        "neuroids": 80 if single else 120,
        "bins": bins,
        "metric": "rsa" if number == 4 else "predictivity",
    }


def synthetic_record(board: Mapping[str, Any], model: str, layer: str, seed: int, **subject: Any) -> dict[str, Any]:
    """Return a record of version 2; `subject` adds to what is said of the model."""
    tables = _neuroids(board, seed)
    rows = _time_bins(board["bins"], tables)
    return {
        "simulated": board["simulated"],
        "status": "complete",
        "date": f"2026-{1 + seed % 12:02d}-{1 + seed % 28:02d}T12:00:{seed % 60:02d}+00:00",
        "benchmark": _benchmark(board),
        "subject": _subject(model, layer) | subject,
        "score": _score(board, rows),
        "time_bins": rows,
        "dataset": {"name": board["name"], "licence": "CC-BY-4.0", "citation": CITATION, "files": []},
        "environment": {"versions": {"neurofit": "0.1.0", "numpy": "2.4.6", "torch": "2.13.0"}, "git_revision": None},
        "cost": {"seconds_mapping": 5.7},
        "neuroids": {} if board["metric"] != "predictivity" else _listed(board, tables),
        "record_version": 2,
    }


def write_records(folder: Path, count: int, boards: int) -> None:
    """Write `count` records of `boards` benchmarks, shared out evenly."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = [board_of(number) for number in range(boards)]
    for i in range(count):
        board, turn = facts[i % boards], i // boards
        family, generation = CELLS[turn % len(CELLS)], turn // (len(CELLS) * len(LAYERS))
        model = f"{family}-{generation}" if generation else family
        record = synthetic_record(board, model, LAYERS[(turn // len(CELLS)) % len(LAYERS)], i)
        (folder / f"{i:05d}.json").write_text(json.dumps(record))


def _neuroids(board: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Return raw, corrected and internal consistency (q, T); the last is the same for all runs of a board."""
    rng, recording = np.random.default_rng(seed), np.random.default_rng(crc32(board["name"].encode()))
    middle = np.mean(board["bins"], axis=1)
    shape = (board["neuroids"], len(middle))
    heard = np.exp(-0.5 * ((middle - 130) / 45) ** 2)
    consistency = 0.8 * heard * recording.beta(6, 2, (shape[0], 1)) + 0.03 * recording.standard_normal(shape)
    skill = rng.uniform(0.3, 0.7) * np.exp(-0.5 * ((middle - rng.uniform(105, 150)) / rng.uniform(40, 80)) ** 2)
    of_each = skill * rng.normal(1, 0.25, (shape[0], 1))
    raw = of_each * np.sqrt(consistency.clip(0)) + 0.04 * rng.standard_normal(shape)
    reliable = consistency > 0.1
    corrected = np.where(reliable, raw / np.sqrt(np.where(reliable, consistency, 1)), np.nan)
    return {"raw": raw, "internal_consistency": consistency, "corrected": corrected}


def _time_bins(bins: Sequence[tuple[int, int]], tables: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    rows = []
    for t, (start, end) in enumerate(bins):
        known = tables["corrected"][:, t][np.isfinite(tables["corrected"][:, t])]
        value = float(np.median(known)) if len(known) else None
        error = 1.6 * float(known.std()) / np.sqrt(len(known)) if len(known) else 0.0
        consistency = float(np.median(tables["internal_consistency"][:, t]))
        rows.append(
            {
                "time_bin_start": start,
                "time_bin_end": end,
                "raw": float(np.median(tables["raw"][:, t])),
                "internal_consistency": consistency,
                "mapping_consistency": None,
                "ceiling_of_r": float(np.sqrt(consistency)) if consistency > 0 else None,
                "corrected": value,
                "low": None if value is None else value - error,
                "high": None if value is None else value + error,
                "standard_error": 0.002,
                "counted": len(known),
                "excluded": len(tables["raw"]) - len(known),
                "silent": False,
            }
        )
    return rows


def _score(board: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    inside = [row for row in rows if row["time_bin_start"] >= WINDOW[0] and row["time_bin_end"] <= WINDOW[1]]

    def mean(name: str) -> float:
        return float(np.mean([row[name] for row in inside if row[name] is not None]))

    return {
        "value": mean("corrected"),
        "low": mean("low"),
        "high": mean("high"),
        "raw": mean("raw"),
        "ceiling": mean("internal_consistency"),
        "window_start_ms": WINDOW[0],
        "window_end_ms": WINDOW[1],
        "bins": len(inside),
        "formula": "both",
        "formula_text": "r / sqrt(mapping consistency x internal consistency)",
        "metric": board["metric"],
        "n_neuroids": board["neuroids"],
        "n_stimuli": board["images"],
        "n_splits": 10,
        "n_halvings": 10,
        "hashes": dict.fromkeys(HASHES, f"{crc32(board['name'].encode()):016x}"),
    }


def _listed(board: Mapping[str, Any], tables: Mapping[str, np.ndarray]) -> dict[str, Any]:
    digits = {name: values.round(4).tolist() for name, values in tables.items()}
    plain = {name: [[v if v == v else None for v in row] for row in rows] for name, rows in digits.items()}
    return {"neuroid_id": [f"{board['name']}-{i:03d}" for i in range(board["neuroids"])], **plain}


def _subject(model: str, layer: str) -> dict[str, Any]:
    own = crc32(model.encode("utf-8", "surrogatepass"))
    return {
        "kind": "model",
        "name": model,
        "layer": layer,
        "units": 1024,
        "parameters": 200_000 + own % 4_000_000,
        "top1": 0.3 + own % 150 / 1000,
        "trained_on": "17000 images, 100 classes, 64 px",
        "weights_sha256": f"{own:08x}" * 8,
        "seed": 0,
        "input_px": 64,
        "step_ms": 10,
        "interpolation": "bilinear",
        "device": "cpu",
    }


def _benchmark(board: Mapping[str, Any]) -> dict[str, Any]:
    bins = board["bins"]
    return {
        "name": board["name"],
        "title": board["title"],
        "version": 1,
        "dataset": board["name"],
        "region": board["region"],
        "source": "Drawn numbers, for tests and pictures.",
        "time_bins": {"start_ms": bins[0][0], "end_ms": bins[-1][1], "width_ms": bins[0][1] - bins[0][0]},
        "viewing": {"on_ms": 100, "total_ms": 260, "field_deg": None},
        "static": {"mode": "own", "latency_ms": None, "layers": None},
        "metric": {"kind": board["metric"]},
        "mapping": {"kind": "pls", "n_components": 25, "scale": False, "precision": "float64", "temporal": "per-bin"},
        "splits": {"kind": "stimulus-shuffle", "n_splits": 10, "test_size": 0.25, "random_state": 0, "stratify": None},
        "correction": {"formula": "both", "n_halvings": 10, "threshold": 0.1, "random_state": 0},
        "aggregation": {
            "order": "splits-then-neuroids",
            "window_ms": list(WINDOW),
            "n_resamples": 1000,
            "level": 0.95,
        },
    }
