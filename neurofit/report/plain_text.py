"""Names out of files, which may hold anything, made text that terminals and figures show as it is."""

from __future__ import annotations

from functools import lru_cache

MAX_NAME = 300
_LONGEST_DRAWN = 60
_MARKUP = str.maketrans({c: f"\\{c}" for c in "\\`[]<>|"})
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_FONT = "DejaVu Sans"  # matplotlib's own, which it falls back on


def printable(text: str, most: int = 0) -> str:
    """Return a text without what a terminal would obey: control, direction and other characters that do not print.

    Parameters
    ----------
    text : str
    most : int, optional
        Characters that are kept; 0 keeps all.
    """
    text = text[:most] if most else text
    return text if text.isprintable() else "".join(c if c.isprintable() else _UNKNOWN for c in text)


def markdown(text: str) -> str:
    """Return a text for a cell of a Markdown table, in which it is neither a cell's end nor a link nor HTML."""
    return printable(text).translate(_MARKUP)


def drawable(text: str, most: int = _LONGEST_DRAWN) -> str:
    """Return a text for a figure: without formulas, which '$' would begin, and characters that its font does not have.

    Parameters
    ----------
    text : str
    most : int
        Characters that are kept; the layout of a figure gives way to long ones.
    """
    known = _characters()
    cut = text if len(text) <= most else f"{text[: most - 3]}..."
    shown = "".join(c if c == "\n" or (c.isprintable() and ord(c) in known) else _UNKNOWN for c in cut)
    return shown.replace("$", r"\$")


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(_FONT)).get_charmap())
