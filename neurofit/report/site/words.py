"""Numbers and facts of runs in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from neurofit.report.runs import ScoredRun
from neurofit.report.site.text import LONGEST_SHOWN, shown

NOTHING = "–"
_LABELS = {
    "kind": "Kind",
    "parameters": "Parameters",
    "macs": "Multiply-accumulates",
    "network_units": "Units of the network",
    "nodes": "Nodes",
    "architecture": "Architecture file",
    "architecture_sha256": "Architecture, SHA-256",
    "weights": "Weights",
    "weights_sha256": "Weights, SHA-256",
    "licence": "Licence of the weights",
    "trained_on": "Trained on",
    "top1": "Top-1 of the validation images",
    "top5": "Top-5 of the validation images",
    "recipe": "Recipe",
    "command": "Command of its training",
    "seed": "Seed",
    "input_px": "Input, pixels",
    "resize_px": "Resized to, pixels",
    "interpolation": "Interpolation",
    "step_ms": "Milliseconds a step",
    "delay_ms": "Delay, ms",
    "device": "Device",
}
_OF_A_RUN = frozenset(
    (
        "name", "layer", "units", "projected", "route", "reduction", "features", "time_course", "source", "static_mode",
        "static_mode_in_words", "latency_steps", "macs_steps", "macs_on",
    )
)  # fmt: skip


def correlation(value: float | None) -> str:
    """Return a correlation to three digits, without the zero before the point, with a true minus sign."""
    if not _is_number(value):
        return NOTHING
    text = f"{abs(value):.3f}"
    text = text[1:] if text.startswith("0.") else text
    return f"−{text}" if round(value, 3) < 0 else text


def interval(low: float, high: float) -> str:
    """Return an interval of correlations."""
    return f"[{correlation(low)}, {correlation(high)}]" if _is_number(low) and _is_number(high) else ""


def count(value: int | None) -> str:
    """Return a number of things."""
    return f"{value:,.0f}" if _is_number(value) else NOTHING


def of(value: int, what: str) -> str:
    """Return a number of things and what they are."""
    return f"{count(value)} {what}" + ("" if value == 1 else "s")


def size(value: int | None) -> str:
    """Return a large number with three digits: of parameters, say."""
    if not _is_number(value) or value < 10_000:
        return count(value)
    power, unit = next((p, u) for p, u in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if value >= 0.9995 * p)
    digits = 2 if value < 9.995 * power else 1 if value < 99.95 * power else 0
    return f"{value / power:.{digits}f} {unit}"


def percent(value: float | None) -> str:
    """Return a fraction in percent."""
    return f"{100 * value:.1f} %" if _is_number(value) else NOTHING


def order(value: float | None) -> str:
    """Return a number as the tables sort it; nothing where there is none, which comes last."""
    return f"{value:.10g}" if _is_number(value) else ""


def ranks(low: int, high: int) -> str:
    """Return an interval of ranks."""
    return str(low) if low == high else f"{low}–{high}"


def part(mapping: Any, *path: str) -> Any:
    """Return a value inside nested mappings, None where it is not there."""
    for key in path:
        mapping = mapping.get(key) if isinstance(mapping, Mapping) else None
    return mapping


def number(mapping: Any, *path: str) -> int | float | None:
    """Return a finite number inside nested mappings, None where there is none."""
    value = part(mapping, *path)
    return value if _is_number(value) else None


def version(run: ScoredRun) -> str:
    """Return the version of neurofit that made a run."""
    return shown(part(run.document, "environment", "versions", "neurofit") or NOTHING, 24)


def versions(run: ScoredRun) -> str:
    """Return the versions of all packages of a run."""
    known = part(run.document, "environment", "versions")
    pairs = dict(known) if isinstance(known, Mapping) else {}
    return shown(", ".join(f"{name} {value}" for name, value in pairs.items()) or NOTHING, 300)


def details(runs: Iterable[ScoredRun]) -> list[tuple[str, str]]:
    """Return what the records of one model say of it, as labels and words; where they differ, all that they say."""
    said: dict[str, dict[str, None]] = {}
    for run in runs:
        subject = part(run.document, "subject")
        for key, value in (subject if isinstance(subject, Mapping) else {}).items():
            if key not in _OF_A_RUN and value not in (None, "", "none") and not isinstance(value, Mapping):
                said.setdefault(key, {})[_in_words(key, value)] = None
    known = [key for key in _LABELS if key in said]
    others = sorted(said.keys() - _LABELS.keys())
    return [(_label(key), _several(list(said[key]))) for key in [*known, *others]]


def _label(key: str) -> str:
    return _LABELS.get(key) or shown(key, 40).replace("_", " ").capitalize()


def _in_words(key: str, value: Any) -> str:
    if key in ("top1", "top5") and (fraction := _fraction(value)) is not None:
        return percent(fraction)
    if _is_number(value):
        return f"{value:,}" if isinstance(value, int) and key != "seed" else str(value)
    if isinstance(value, list | tuple):
        return shown(", ".join(map(str, value)), 3 * LONGEST_SHOWN)
    return shown(value, 3 * LONGEST_SHOWN)


def _fraction(value: Any) -> float | None:
    """Return an accuracy, which weights keep as text and the papers' own are in percent, as a fraction."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number <= 1 else number / 100 if number <= 100 else None


def _several(values: list[str]) -> str:
    if len(values) <= 3:
        return "; or ".join(values)
    return f"{values[0]}; and {len(values) - 1} others, which the records name"


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
