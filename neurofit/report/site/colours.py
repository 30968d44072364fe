"""The palette on light and on dark pages."""

from __future__ import annotations

from neurofit.report.style import MARKERS, PALETTE

LIGHT, DARK = "#ffffff", "#15171c"
"""Where charts are drawn; the same as --surface of assets/site.css."""
LEAST_CONTRAST = 3.0
"""For parts of charts, WCAG 2.2, 1.4.11."""
LEAST_ON_DARK = 4.5
"""More than it asks: thin dark lines on dark ground are harder to see than the number says."""
_SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross"}
"""Plotly's words for matplotlib's marks."""


def series() -> dict[str, list[str]]:
    """Return how curves are told apart: 'light' and 'dark' colours, and 'symbols', in the order of figures."""
    return {
        "light": [readable(colour, LIGHT) for colour in PALETTE],
        "dark": [readable(colour, DARK, LEAST_ON_DARK) for colour in PALETTE],
        "symbols": [_SYMBOLS[mark] for mark in MARKERS],
    }


def readable(colour: str, background: str, least: float = LEAST_CONTRAST) -> str:
    """Return a colour, moved towards black or white until it stands out from a background; its hue stays."""
    towards = 0.0 if _luminance(background) > 0.5 else 255.0
    parts = _parts(colour)
    for step in range(21):
        moved = [round(part + (towards - part) * step / 20) for part in parts]
        found = "#" + "".join(f"{part:02x}" for part in moved)
        if contrast(found, background) >= least:
            return found
    return found


def contrast(one: str, other: str) -> float:
    """Return WCAG's contrast of two colours, from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _parts(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in (p / 255 for p in _parts(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
