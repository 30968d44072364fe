"""A board in words: what its runs share, and what sets it apart from others of its benchmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from neurofit.report.runs import VARIED, ScoredRun

_LONGEST = 40
_LONGEST_TITLE = 200

# What may set boards apart, the plainest first; others follow by their names.
_WORDS: dict[str, Callable[[Any], str]] = {
    "benchmark.version": lambda value: f"version {value}",
    "simulated": lambda value: "simulated" if value else "real recordings",
    "benchmark.region": str,
    "benchmark.metric.kind": str,
    "benchmark.metric.distance": lambda value: f"{value} distance",
    "benchmark.mapping.kind": lambda value: {"pls": "PLS"}.get(value, str(value)),
    "formula": lambda value: f"formula {value}",
    "benchmark.mapping.temporal": lambda value: "one mapping for all bins" if value == "fixed" else "a mapping per bin",
    "benchmark.mapping.n_components": lambda value: f"{value} components",
    "benchmark.splits.n_splits": lambda value: _counted(value, "split"),
    "benchmark.correction.n_halvings": lambda value: _counted(value, "halving"),
    "benchmark.splits.test_size": lambda value: f"{value:.0%} held out" if isinstance(value, float) else f"{value}",
    "benchmark.aggregation.window_ms": lambda value: f"{_window(value)} of the headline",
    "n_stimuli": lambda value: f"{value:,} stimuli",
    "n_neuroids": lambda value: f"{value:,} neuroids",
    "dataset": str,
    "hashes.responses_hash": lambda value: f"responses {value[:6]}",
}
_ABSENT = {"hashes.responses_hash": "records without hashes"}
_IMPLIED = ("benchmark.name", "benchmark.correction.formula")


def title_words(members: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return for every board of one benchmark what sets it apart from the others, in a few words.

    Parameters
    ----------
    members : sequence of mapping
        `neurofit.report.runs.identity` of each board's runs; no two are the same.
    """
    leaves = [_without_unused(_leaves(each)) for each in members]
    names = dict.fromkeys(name for each in leaves for name in each)
    ordered = [*(n for n in _WORDS if n in names), *sorted(n for n in names if n not in _WORDS and n not in _IMPLIED)]
    words: list[tuple[str, ...]] = [() for _ in leaves]
    for name in ordered:
        finer = [(*said, _word(name, each.get(name))) for said, each in zip(words, leaves, strict=True)]
        if len(set(finer)) > len(set(words)):
            words = finer
    return [", ".join(word for word in each if word) for each in words]


def settings_of(run: ScoredRun) -> dict[str, str]:
    """Return what all runs of a board share, in words, from any of them; choices that it does not have are left out."""
    document = run.document
    benchmark, score, dataset = document["benchmark"], document["score"], document["dataset"]
    correction, aggregation = benchmark.get("correction") or {}, benchmark.get("aggregation") or {}
    viewing = {"total_ms": "?", **(benchmark.get("viewing") or {})}
    formula_text = score.get("formula_text")
    halvings = score.get("n_halvings", correction.get("n_halvings"))
    said = {
        "benchmark": f"{benchmark['name'].removesuffix(VARIED)}, version {benchmark['version']}",
        "data": "SIMULATED responses" if run.simulated else "real recordings",
        "region": run.region,
        "metric": _metric(run),
        "formula": run.formula + (f", {formula_text}" if isinstance(formula_text, str) else ""),
        "threshold": f"consistency above {correction['threshold']}" if "threshold" in correction else "",
        "mapping": _mapping(benchmark) if run.metric == "predictivity" else "",
        "splits": _splits(benchmark) if run.metric != "rsa" else "",
        "halvings": "" if halvings is None else f"{halvings}",
        "aggregation": str(aggregation.get("order", "")),
        "window": _window((score.get("window_start_ms"), score.get("window_end_ms"))),
        "viewing": f"on for {viewing['on_ms']} of {viewing['total_ms']} ms" if "on_ms" in viewing else "",
        "stimuli": f"{score['n_stimuli']:,}",
        "neuroids": f"{score['n_neuroids']:,}",
        "dataset": dataset["name"],
        "licence": str(dataset.get("licence") or ""),
        "citation": str(dataset.get("citation") or ""),
        "files": ", ".join(_file(file) for file in dataset.get("files", [])),
        "hashes": ", ".join(f"{n.removesuffix('_hash')} {h}" for n, h in (score.get("hashes") or {}).items())
        or "none in these records: that stimuli, splits and responses are the same is not shown",
        "source": str(benchmark.get("source") or ""),
    }  # fmt: skip
    return {name: text for name, text in said.items() if text}


def board_title(run: ScoredRun, apart: str, alone: bool = True) -> str:
    """Return what a heading says: the benchmark's title and version, and what sets the board apart.

    Parameters
    ----------
    run : ScoredRun
    apart : str
        Of `title_words`.
    alone : bool
        Whether no other benchmark has this title; the name is added otherwise.
    """
    benchmark = run.document["benchmark"]
    name = benchmark["name"].removesuffix(VARIED)
    title = (benchmark.get("title") or name)[:_LONGEST_TITLE]
    title += "" if alone or title == name else f" ({name})"
    if run.simulated and "simulated" not in title.lower():
        title = f"SIMULATED: {title}"
    version = f"version {benchmark['version']}"
    others = ", ".join(part for part in apart.split(", ") if part != version)
    return f"{title}, {version}" + (f": {others}" if others else "")


def _leaves(value: Mapping[str, Any], stem: str = "") -> dict[str, Any]:
    """Return the values of nested tables by their dotted names."""
    found: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            found |= _leaves(item, f"{stem}{name}.")
        else:
            found[f"{stem}{name}"] = item
    return found


def _without_unused(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without those of a mapping and its splits where nothing is mapped."""
    unused = ("benchmark.mapping.", "benchmark.splits.") if leaves.get("benchmark.metric.kind") == "rsa" else ()
    return {name: value for name, value in leaves.items() if not name.startswith(unused)}


def _word(name: str, value: Any) -> str:
    if value is None:
        return _ABSENT.get(name, "")
    if name in _WORDS:
        try:
            return _WORDS[name](value)
        except (TypeError, ValueError):  # of another kind than records have
            return f"{name.rpartition('.')[2]} {value!r}"[:_LONGEST]
    return f"{name.removeprefix('benchmark.').replace('.', ' ').replace('_', ' ')} {value}"[:_LONGEST]


def _counted(value: Any, what: str) -> str:
    return f"{value} {what}" + ("" if value == 1 else "s")


def _window(ends: Any) -> str:
    """Return a window in words; nothing where an end is missing."""
    if not isinstance(ends, list | tuple) or len(ends) != 2 or None in ends:
        return ""
    return f"{ends[0]}-{ends[1]} ms"


def _metric(run: ScoredRun) -> str:
    measure = run.document["score"].get("measure")
    return run.metric + (f": {measure}" if isinstance(measure, str) else "")


def _mapping(benchmark: Mapping[str, Any]) -> str:
    mapping = benchmark.get("mapping") or {}
    kind = str(mapping.get("kind", ""))
    said = ["PLS" if kind == "pls" else kind]
    if mapping.get("n_components") is not None:
        said.append(f"{mapping['n_components']} components")
    if mapping.get("temporal") is not None:
        said.append(_WORDS["benchmark.mapping.temporal"](mapping["temporal"]))
    return ", ".join(part for part in said if part)


def _splits(benchmark: Mapping[str, Any]) -> str:
    splits = benchmark.get("splits") or {}
    said = [str(splits["n_splits"])] if "n_splits" in splits else []
    if isinstance(splits.get("test_size"), float):
        said.append(f"{splits['test_size']:.0%} held out")
    if splits.get("stratify"):
        said.append(f"stratified by {splits['stratify']}")
    return ", ".join(said)


def _file(file: Mapping[str, Any]) -> str:
    digest = file.get("digest")
    said = digest if isinstance(digest, list) else [digest]
    return f"{file.get('name')} ({' '.join(str(part)[:16] for part in said if part) or 'no hash'})"
