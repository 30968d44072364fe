"""What the end of a command's help shows: worked examples, each on lines of its own, as they are typed."""

from __future__ import annotations

WIDTH = 78
"""Columns of a terminal of 80 that are left between the margins of help."""


def examples(*pairs: tuple[str, str]) -> str:
    r"""Return the text that ends a command's help.

    Parameters
    ----------
    *pairs : (purpose, command)
        What an example is for, and the line to type; where it is long, ' \' and a line break go before an option.

    Raises
    ------
    ValueError
        If a line is wider than `WIDTH`, where a terminal of 80 columns would break it anywhere.
    """
    lines = ["Examples:"]
    for purpose, command in pairs:
        lines += [f"# {purpose}", *command.splitlines()]
    wide = [line for line in lines if len(line) > WIDTH]
    if wide:
        raise ValueError(f"lines of examples have at most {WIDTH} characters: {wide}")
    return "\n".join(lines)
