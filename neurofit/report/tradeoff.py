"""Trade-off of several networks: predictivity of runs, or published accuracy, against cost; read, not recomputed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neurofit.errors import ConfigurationError, DataFileError, listed
from neurofit.files.json_text import NUMBER, misfit
from neurofit.kernel.pareto import pareto_front
from neurofit.report.plain_text import MAX_NAME, printable
from neurofit.report.record import load_record
from neurofit.report.runs import identity

CostName = Literal["parameters", "units", "macs"]
ValueName = Literal["predictivity", "top1"]
COSTS: dict[CostName, str] = {
    "parameters": "parameters",
    "units": "units (outputs of all layers)",
    "macs": "multiply-accumulates per image",
}
COST_FIELDS: dict[CostName, str] = {"parameters": "parameters", "units": "network_units", "macs": "macs"}


_NEEDED = {"benchmark": ("name", "version", "region", "dataset"), "subject": ("name",), "score": ("formula",)}
_SHAPE = {
    "simulated": bool,
    "benchmark": {"name": str, "version": int, "region": str, "dataset": str, "metric": {"kind": str}},
    "subject": {"name": str, "layer": str, "kind": str, **dict.fromkeys(COST_FIELDS.values(), NUMBER)},
    "score": {"value": NUMBER, "low": NUMBER, "high": NUMBER, "formula": str, "formula_text": str, "hashes": dict},
    "dataset": {"name": str, "files": [dict]},
}
"""Of a record, as far as anything is done with it."""


@dataclass(frozen=True)
class Point:
    """One network.

    Parameters
    ----------
    name : str
    cost, value : float
    low, high : float
        Interval of the value; NaN where there is none.
    source : str
        Where it comes from: a record's path, or a citation.
    """

    name: str
    cost: float
    value: float
    low: float = float("nan")
    high: float = float("nan")
    source: str = ""


@dataclass(frozen=True)
class Tradeoff:
    """Several networks, comparable with each other.

    Parameters
    ----------
    x : str
        'parameters', 'units' or 'macs'.
    y : str
        'predictivity' or 'top1'.
    points : tuple of Point
    front : tuple of bool
        Which no other network beats in both.
    simulated : bool
    data : str
        A sentence on what the values are of.
    inputs : tuple of mapping
        Files that were read, with their hashes.
    label : str
        What the values are, for the axis.
    left_out : tuple of str
        Networks that have no place on a logarithmic axis, and files that are no records of runs.
    """

    x: CostName
    y: ValueName
    points: tuple[Point, ...]
    front: tuple[bool, ...]
    simulated: bool
    data: str
    label: str
    inputs: tuple[Mapping[str, str], ...] = ()
    left_out: tuple[str, ...] = ()


def make_tradeoff(
    points: Sequence[Point],
    x: CostName,
    y: ValueName,
    *,
    simulated: bool,
    data: str,
    label: str,
    inputs: Iterable[Mapping[str, str]] = (),
    left_out: Iterable[str] = (),
) -> Tradeoff:
    """Find the front of some points; those that cost nothing are left out, and said to be.

    Raises
    ------
    ConfigurationError
        If fewer than two points remain.
    """
    free = [point.name for point in points if not point.cost > 0]
    kept = tuple(sorted((point for point in points if point.cost > 0), key=lambda point: (point.cost, point.name)))
    if len(kept) < 2:
        raise ConfigurationError(
            "a trade-off has two networks or more",
            f"there are {len(kept)}" + (f", and {listed(free)} with 0 {x}" if free else ""),
            "give more records",
        )
    front = pareto_front([point.cost for point in kept], [point.value for point in kept])
    left = (*left_out, *(f"{name} (0 {x})" for name in free))
    return Tradeoff(x, y, kept, tuple(front.tolist()), simulated, data, label, tuple(inputs), left)


def tradeoff_of_records(paths: Sequence[str | Path], x: CostName) -> Tradeoff:
    """Read records of runs and compare their predictivity with what the networks cost.

    Parameters
    ----------
    paths : sequence of path
        Records (JSON), or folders of them; other JSON files of a folder are left out.
    x : str
        'parameters', 'units' or 'macs'.

    Raises
    ------
    DataFileError
        If a file is no record of a run, or a record does not say what its network costs.
    ConfigurationError
        If the records are not of one benchmark, formula and dataset, or there are fewer than two.
    """
    records, left_out = _read(paths)
    if not records:
        raise ConfigurationError(
            "there is a record to read", f"none among {listed(paths)}", "name files that `neurofit score` wrote"
        )
    _check_comparable(records)
    points, inputs = [], []
    for path, record in records.items():
        points.append(_point(path, record, x))
        inputs.append({"path": path, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()})
    first = next(iter(records.values()))
    return make_tradeoff(
        points, x, "predictivity", simulated=bool(first.get("simulated")), data=_data_of(first), label=_label_of(first),
        inputs=inputs, left_out=left_out,
    )  # fmt: skip


def _read(paths: Sequence[str | Path]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return records by path, and what was found in folders besides."""
    records: dict[str, dict[str, Any]] = {}
    left_out = []
    for given in map(Path, paths):
        for path in sorted(given.glob("*.json")) if given.is_dir() else [given]:
            try:
                record = load_record(path)
            except DataFileError:
                if not given.is_dir():
                    raise
                left_out.append(f"{path} (no record)")
                continue
            problem = _problem(record)
            if not problem:
                records[str(path)] = record
            elif given.is_dir():
                left_out.append(f"{path} (no record of a run)")
            else:
                raise DataFileError(
                    "a trade-off is of records of runs", f"{path}: {problem}", "name files that `neurofit score` wrote"
                )
    return records, left_out


def _problem(record: Mapping[str, Any]) -> str:
    """Say why a record is none of a run; '' if it is."""
    if not all(isinstance(record.get(part), Mapping) for part in _NEEDED) or "value" not in record["score"]:
        return "it is a record of something else"
    if found := misfit(record, _SHAPE):
        return found
    absent = [f"{part}.{name}" for part, names in _NEEDED.items() for name in names if record[part].get(name) is None]
    return f"it does not say {listed(absent)}" if absent else ""


def _check_comparable(records: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise unless all records are of one benchmark with the same choices, and of the same data."""
    paths = iter(records)
    first = next(paths)
    expected = _identity(records[first])
    for path in paths:
        found = _identity(records[path])
        differing = [key for key in sorted({*expected, *found}) if expected.get(key) != found.get(key)]
        if differing:
            key = differing[0]
            raise ConfigurationError(
                "records are compared within one benchmark, formula and dataset",
                f"{first} has {key} {expected.get(key)!r} and {path} has {found.get(key)!r}"
                + (f" (also different: {listed(differing[1:])})" if differing[1:] else ""),
                "score them alike, or compare them apart",
            )


def _identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that must be the same, and how a static network is shown: a trade-off's points bear no mode."""
    return {**identity(record), "benchmark.static": record["benchmark"].get("static")}


def _point(path: str, record: Mapping[str, Any], x: CostName) -> Point:
    subject, score = record["subject"], record["score"]
    cost = subject.get(COST_FIELDS[x])
    if cost is None:
        raise DataFileError(
            f"a record says what its network costs in {x}",
            f"{path} does not (subject {subject.get('name')!r}, of kind {subject.get('kind')!r})",
            "score it again, or choose another --x",
        )
    value, low, high = (float("nan") if score.get(n) is None else float(score[n]) for n in ("value", "low", "high"))
    if np.isnan(value):
        raise DataFileError(
            "a record has a value", f"the score of {path} is not defined", "leave it out: no neuroid was reliable"
        )
    name = printable(f"{subject['name']}, {subject.get('layer')}", MAX_NAME)
    return Point(name, float(cost), value, low, high, path)


def _metric_of(record: Mapping[str, Any]) -> str:
    return str((record["benchmark"].get("metric") or {}).get("kind", "predictivity"))


def _label_of(record: Mapping[str, Any]) -> str:
    """Return what the headline is called."""
    return printable(f"{_metric_of(record)} ({record['score']['formula']})", MAX_NAME)


def _data_of(record: Mapping[str, Any]) -> str:
    """Return a sentence on the data and the formula."""
    benchmark, score = record["benchmark"], record["score"]
    kind = "SIMULATED responses" if record.get("simulated") else "real recordings"
    return printable(
        f"Headlines of {_metric_of(record)}, formula '{score['formula']}': {score.get('formula_text')}. Data: "
        f"{benchmark['region']} of {benchmark['dataset']} ({kind}), {score.get('n_stimuli')} stimuli, benchmark "
        f"{benchmark['name']} version {benchmark['version']}; intervals: bootstrap over neuroids.",
        5 * MAX_NAME,
    )
