"""Records of scores, read from a folder: what a leaderboard ranks."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neurofit.errors import ConfigurationError
from neurofit.report.record import RECORD_VERSION
from neurofit.report.runs_json import Floats, NotReadError, check_text, check_tree, read_json
from neurofit.scoring.metrics import PREDICTIVITY
from neurofit.vocabulary import NEUROID_ID

VARIED = " (varied)"
MAX_NAME = 300
_ID_PART = 40
_TABLES = ("raw", "internal_consistency", "corrected")


@dataclass(frozen=True)
class ScoredRun:
    """One score, as its record tells it.

    Parameters
    ----------
    id : str
        Unique in a folder and the same in every reading: a slug of model, layer, region and benchmark with hex digits
        of the record's hash; letters, digits, '-', '_' and '.' only, so that it can be part of a file's name.
    path : Path
        The record's file.
    document : mapping
        The record, as read.
    model, layer, region : str
        As the record names them; any text.
    value, low, high : float
        Headline and its interval; NaN where undefined.
    raw, ceiling : float
        Raw predictivity, and the median internal consistency, of the headline's window.
    parameters : int or None
    top1 : float or None
        Fraction of images recognised in training's validation.
    trained_on : str
        What top1 is of; '' where the record does not say.
    date : str
        UTC, ISO 8601.
    simulated : bool
    static_mode : str
        What a network without dynamics did in time; 'own' for those with, '' where the record does not say.
    weights_sha256 : str
        '' where the record does not say.
    """

    id: str
    path: Path
    document: Mapping[str, Any] = field(repr=False)
    model: str
    layer: str
    region: str
    value: float
    low: float
    high: float
    raw: float
    ceiling: float
    parameters: int | None
    top1: float | None
    trained_on: str
    date: str
    simulated: bool
    static_mode: str = ""
    weights_sha256: str = ""

    @property
    def metric(self) -> str:
        """The benchmark's metric: 'predictivity', 'rsa' or 'decoding'."""
        return str((self.document["benchmark"].get("metric") or {}).get("kind", PREDICTIVITY))

    @property
    def formula(self) -> str:
        """Name of the noise correction."""
        return str(self.document["score"]["formula"])

    @property
    def when(self) -> datetime:
        """The date, which is taken as UTC where it names no zone."""
        return _moment(self.date)

    @property
    def versions(self) -> Mapping[str, Any]:
        """Versions of the packages, as the record has them."""
        versions = (self.document.get("environment") or {}).get("versions")
        return versions if isinstance(versions, Mapping) else {}

    @property
    def git_revision(self) -> str:
        """The checkout that ran; '' where the record does not say."""
        return str((self.document.get("environment") or {}).get("git_revision") or "")


@dataclass(frozen=True)
class LeftOut:
    """A file that is not ranked, and why, in a sentence."""

    path: Path
    reason: str


def read_runs(folder: str | Path) -> tuple[tuple[ScoredRun, ...], tuple[LeftOut, ...]]:
    """Read all records of scores in a folder and the folders in it.

    Links to folders are not followed. Files of the same content count once. Nothing in a file is computed or executed.

    Parameters
    ----------
    folder : path

    Returns
    -------
    runs : tuple of ScoredRun
        In the order of their paths.
    left_out : tuple of LeftOut
        The other '.json' files, and folders that cannot be read.

    Raises
    ------
    ConfigurationError
        If there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigurationError(
            "a leaderboard is read from a folder of records",
            f"{root} is {'a file' if root.exists() else 'not there'}",
            "name the folder that `neurofit score --out` wrote to",
        )
    left_out: list[LeftOut] = []
    runs: list[ScoredRun] = []
    known: dict[str, Path] = {}
    floats = Floats()
    for path in _files(root, left_out):
        try:
            document, digest = read_json(path, floats)
            run = scored_run(document, path, digest)
            if digest in known:
                raise NotReadError(f"it is a copy of {known[digest]}")
        except NotReadError as error:
            left_out.append(LeftOut(path, f"{error}."))
            continue
        known[digest] = path
        runs.append(run)
    return tuple(runs), tuple(left_out)


def _files(root: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Yield the '.json' files of a folder and the folders in it, sorted."""

    def unreadable(error: OSError) -> None:
        left_out.append(LeftOut(Path(error.filename), f"The folder cannot be read ({error.strerror})."))

    for folder, folders, names in os.walk(root, onerror=unreadable):
        folders.sort()
        yield from (Path(folder) / name for name in sorted(names) if name.endswith(".json"))


def scored_run(document: dict[str, Any], path: Path, digest: str) -> ScoredRun:
    """Return a record as a run.

    Raises
    ------
    NotReadError
        If it is a record of something else, lacks what a leaderboard needs, or says it wrongly.
    """
    _check_kind(document)
    tables = document.get("neuroids") or {}
    check_tree({name: part for name, part in document.items() if name != "neuroids"})
    benchmark, subject, score = document["benchmark"], document["subject"], document["score"]
    _check_benchmark(benchmark, document)
    _check_neuroids(tables, document.get("time_bins"))
    model, layer, region = _name(subject, "name"), _name(subject, "layer"), _name(benchmark, "region")
    value, low, high = (_number(score, name) for name in ("value", "low", "high"))
    if math.isnan(value):
        raise NotReadError("its score is not defined: no bin or neuroid was reliable")
    if low > high:
        raise NotReadError(f"its interval ends ({high}) below its beginning ({low})")
    parameters = subject.get("parameters")
    if parameters is not None and (type(parameters) is not int or parameters < 0):
        raise NotReadError("its subject.parameters is no count")
    date = document.get("date")
    if not isinstance(date, str):
        raise NotReadError("its date is missing or no text")
    _moment(date)
    slug = "-".join(_slug(part) for part in (model, layer, region, benchmark["name"].removesuffix(VARIED)))
    return ScoredRun(
        id=f"{slug}-{digest[:12]}", path=path, document=document, model=model, layer=layer, region=region,
        value=value, low=low, high=high, raw=_number(score, "raw"), ceiling=_number(score, "ceiling"),
        parameters=parameters, top1=_fraction(subject.get("top1")), trained_on=_text(subject, "trained_on"),
        date=date, simulated=document["simulated"], static_mode=_text(subject, "static_mode"),
        weights_sha256=_text(subject, "weights_sha256"),
    )  # fmt: skip


def identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that two scores must share to be compared, by name: of the benchmark all but its words, and the data.

    Not among it are the benchmark's static modes, which are how a model is shown, and '(varied)' in its name, since
    what was varied is compared itself. Choices that older records do not name have the value that was the only one.
    """
    benchmark = {k: v for k, v in record["benchmark"].items() if k not in ("title", "source", "static")}
    benchmark["name"] = str(benchmark.get("name", "")).removesuffix(VARIED)
    benchmark["metric"] = benchmark.get("metric") or {"kind": PREDICTIVITY}
    if isinstance(benchmark.get("mapping"), Mapping):
        benchmark["mapping"] = {"precision": "float64", **benchmark["mapping"]}
    score, dataset = record["score"], record.get("dataset") or {}
    return {f"benchmark.{name}": _without_nulls(value) for name, value in benchmark.items()} | {
        "simulated": bool(record.get("simulated")),
        "formula": score.get("formula"),
        "dataset": dataset.get("name"),
        "dataset files": [file.get("digest") or file.get("size") for file in dataset.get("files", [])],
        "n_stimuli": score.get("n_stimuli"),
        "n_neuroids": score.get("n_neuroids"),
        "hashes": _without_nulls(score.get("hashes") or {}),
    }


def _without_nulls(value: Any) -> Any:
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else value


def _check_kind(document: Mapping[str, Any]) -> None:
    """Raise unless this is a record of a score, complete and of a version that is known."""
    version = document.get("record_version")
    if type(version) is not int:
        raise NotReadError("it is no record: it names no record_version")
    parts = ("benchmark", "subject", "score", "dataset")
    missing = [name for name in parts if not isinstance(document.get(name), dict)]
    if missing or "value" not in document["score"]:
        kind = document.get("kind")
        what = f" ({ascii(kind)[:60]})" if isinstance(kind, str) else ""
        raise NotReadError(f"it is a record of something else than a score{what}")
    if not 1 <= version <= RECORD_VERSION:
        raise NotReadError(f"its record_version {version} is not known: 1 to {RECORD_VERSION} are")
    if type(document.get("simulated")) is not bool:
        raise NotReadError("it does not say whether its data are simulated")
    if document.get("status", "complete") != "complete":
        raise NotReadError(f"its run is not complete ({ascii(document['status'])[:60]})")
    for name in ("neuroids", "environment", "cost"):
        if not isinstance(document.get(name, {}), dict):
            raise NotReadError(f"its {name} is no table")


def _check_benchmark(benchmark: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    """Raise unless the fields that a board is told by are there and of the right kind."""
    for name in ("name", "dataset"):
        _name(benchmark, name)
    if type(benchmark.get("version")) is not int:
        raise NotReadError("its benchmark.version is no number")
    for name in ("metric", "mapping", "splits", "correction", "aggregation", "static", "time_bins", "viewing"):
        if not isinstance(benchmark.get(name, {}), dict):
            raise NotReadError(f"its benchmark.{name} is no table")
    if not isinstance(benchmark.get("title", ""), str):
        raise NotReadError("its benchmark.title is no text")
    score, dataset = document["score"], document["dataset"]
    _name(score, "formula")
    for name in ("n_stimuli", "n_neuroids"):
        if type(score.get(name)) is not int:
            raise NotReadError(f"its score.{name} is no count")
    hashes = score.get("hashes", {})
    if not isinstance(hashes, dict) or not all(isinstance(each, str) for each in hashes.values()):
        raise NotReadError("its score.hashes are no texts")
    _name(dataset, "name")
    files = dataset.get("files", [])
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise NotReadError("its dataset.files is no list of files")


def _check_neuroids(tables: Mapping[str, Any], time_bins: object) -> None:
    """Raise unless the tables per neuroid are of numbers, with a row per neuroid and a number per time bin."""
    if not isinstance(time_bins, list) or not all(_is_bin(row) for row in time_bins):
        raise NotReadError("its time_bins are no rows with time_bin_start and time_bin_end")
    if not tables:
        return
    ids = tables.get(NEUROID_ID)
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids) or len(set(ids)) < len(ids):
        raise NotReadError("its neuroids have no names of their own")
    for each in ids:
        check_text(each)
    kinds = {float, int, type(None)}
    for name in _TABLES:
        rows = tables.get(name)
        if rows is None and name == "corrected":
            continue
        right = isinstance(rows, list) and len(rows) == len(ids)
        if not right or not all(
            type(row) is list and len(row) == len(time_bins) and kinds.issuperset(map(type, row)) for row in rows or ()
        ):
            raise NotReadError(f"its neuroids.{name} is no table of numbers, neuroids x time bins")


def _is_bin(row: object) -> bool:
    return isinstance(row, dict) and all(type(row.get(f"time_bin_{end}")) in (int, float) for end in ("start", "end"))


def _name(part: Mapping[str, Any], key: str) -> str:
    text = part.get(key)
    if not isinstance(text, str) or not text.strip():
        raise NotReadError(f"its {key} is missing or no text")
    if len(text) > MAX_NAME:
        raise NotReadError(f"its {key} has {len(text):,} characters")
    return text


def _text(part: Mapping[str, Any], key: str) -> str:
    text = part.get(key)
    return text if isinstance(text, str) else ""


def _number(score: Mapping[str, Any], name: str) -> float:
    """Return a number of the score; NaN for null and for what is missing."""
    value = score.get(name)
    if value is None:
        return math.nan
    if type(value) not in (int, float):
        raise NotReadError(f"its score.{name} is no number")
    return float(value)


def _fraction(value: object) -> float | None:
    """Return a fraction, which files of weights keep as text; None for anything else: users may say what they like."""
    if isinstance(value, str) and re.fullmatch(r"[01](\.\d{1,18})?", value):
        value = float(value)
    return float(value) if type(value) in (int, float) and 0 <= value <= 1 else None  # type: ignore[arg-type, operator]


def _moment(date: str) -> datetime:
    try:
        moment = datetime.fromisoformat(date)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise NotReadError(f"its date is none ({ascii(date)[:60]})") from None


def _slug(text: str) -> str:
    """Return a text as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:_ID_PART].strip("-.") or "x"


__all__ = ["LeftOut", "NotReadError", "ScoredRun", "identity", "read_runs", "scored_run"]
