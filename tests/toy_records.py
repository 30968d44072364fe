"""Records of scores as `neurofit score` writes them, small and made up."""

import copy
import json

import numpy as np

BINS = ((70, 80), (80, 90), (90, 100))
HASHES = {f"{what}_hash": 2 * what[0] for what in ("stimuli", "neuroids", "splits", "halvings", "responses")}

RECORD = {
    "simulated": False,
    "status": "complete",
    "date": "2026-01-02T03:04:05+00:00",
    "benchmark": {
        "name": "toy-it",
        "title": "Toy IT",
        "version": 1,
        "dataset": "toys",
        "region": "IT",
        "source": "a test",
        "time_bins": {"start_ms": 70, "end_ms": 100, "width_ms": 10},
        "viewing": {"on_ms": 100, "total_ms": 260, "field_deg": None},
        "static": {"mode": "own", "latency_ms": None, "layers": None},
        "metric": {"kind": "predictivity", "distance": None},
        "mapping": {"kind": "pls", "n_components": 25, "precision": "float64", "temporal": "per-bin"},
        "splits": {"kind": "stimulus-shuffle", "n_splits": 10, "test_size": 0.25, "stratify": None},
        "correction": {"formula": "both", "n_halvings": 3, "threshold": 0.1, "random_state": 0},
        "aggregation": {"order": "splits-then-neuroids", "window_ms": [70, 90], "n_resamples": 1000, "level": 0.95},
    },
    "subject": {
        "kind": "model",
        "name": "net",
        "layer": "conv",
        "parameters": 1000,
        "static_mode": "own",
        "top1": "0.3130",
        "trained_on": "some images",
        "weights_sha256": "ff" * 32,
    },
    "score": {
        "value": 0.5,
        "raw": 0.3,
        "low": 0.4,
        "high": 0.6,
        "ceiling": 0.7,
        "window_start_ms": 70,
        "window_end_ms": 90,
        "formula": "both",
        "formula_text": "r / sqrt(mapping consistency x internal consistency)",
        "n_stimuli": 40,
        "n_neuroids": 8,
        "n_splits": 10,
        "n_halvings": 3,
        "hashes": HASHES,
    },
    "time_bins": [{"time_bin_start": start, "time_bin_end": end} for start, end in BINS],
    "dataset": {
        "name": "toys",
        "licence": "ours",
        "citation": "Somebody (2026)",
        "files": [{"name": "toys.h5", "size": 9, "digest": ["sha256", "ab" * 32]}],
    },
    "environment": {"versions": {"neurofit": "0.1.0", "torch": "2.0"}, "git_revision": "abc"},
    "cost": {"peak_memory_mib": 9},
    "neuroids": {},
    "record_version": 2,
}


def record(name="net", values=None, **changes):
    """Return a record; `values` (q, 3) are the neuroids', whose median in the window is the headline.

    Changes are of fields by their dotted names, with '__' for the dots; `...` removes a field.
    """
    made = copy.deepcopy(RECORD)
    made["subject"]["name"] = name
    if values is not None:
        values = np.round(values, 4)
        table = np.where(np.isfinite(values), values, None).tolist()
        names = [f"n{i}" for i in range(len(values))]
        made["neuroids"] = {"neuroid_id": names, "raw": table, "internal_consistency": table, "corrected": table}
        value = float(np.nanmean(np.nanmedian(values[:, :2], 0)))
        made["score"] |= {"value": value, "low": value - 0.1, "high": value + 0.1, "n_neuroids": len(values)}
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = made
        for parent in parents:
            place = place[parent]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return made


def write(folder, made, name=None):
    """Write a record, or any text, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name or made['subject']['name']}.json"
    path.write_text(made if isinstance(made, str) else json.dumps(made))
    return path
