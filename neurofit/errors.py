"""One exception for every promise that can be broken.

Every message is one sentence of three parts, ``promise - found - remedy``: what should have held, what was found
instead (with its name and value), and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_LONGEST_PART = 1000  # characters; names come from files, which may hold names of any length


def _one_line(text: str) -> str:
    """Return text that a terminal shows as it is: names in files may hold line ends and control sequences."""
    shown = text if len(text) <= _LONGEST_PART else f"{text[:_LONGEST_PART]}..."
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else " " if c in "\n\t" else repr(c)[1:-1] for c in shown)


class NeurofitError(Exception):
    """A promise that the user or a file made to neurofit was broken.

    Parameters
    ----------
    promise : str
        What should have held.
    found : str
        What was found instead, with names and values.
    remedy : str
        What to do.
    """

    def __init__(self, promise: str, found: str, remedy: str) -> None:
        self.promise, self.found, self.remedy = (_one_line(part) for part in (promise, found, remedy))
        super().__init__(f"{self.promise} - {self.found} - {self.remedy}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        """Pickle by the three parts, so that errors cross process borders whole."""
        return type(self), (self.promise, self.found, self.remedy)


class AssemblyError(NeurofitError):
    """An assembly does not keep the contract of `neurofit.check_assembly`."""


class AlignmentError(NeurofitError):
    """Source and target do not speak of the same stimuli."""


class DataFileError(NeurofitError):
    """A file cannot be read as what it claims to be (missing, truncated, corrupted, wrong layout)."""


class HashMismatchError(DataFileError):
    """A file's content is not what its manifest says."""


class ConfigurationError(NeurofitError):
    """A TOML file or a set of options has missing, unknown or impossible values."""


class MappingError(NeurofitError):
    """A mapping cannot be fitted on what it was given."""


class ReliabilityError(NeurofitError):
    """A consistency was asked of data that cannot have one."""


class ModelContractError(NeurofitError):
    """A network does not keep the contract of `neurofit.check_model`."""


class OutputError(NeurofitError):
    """Results cannot be written where they were asked to go."""


class DivergedError(ConfigurationError):
    """A training's loss or gradients are no longer finite."""


class LostProcessError(NeurofitError):
    """A process of a run of several is gone."""


class MissingExtraError(NeurofitError):
    """An optional dependency is needed and not installed."""


class UnknownNameError(NeurofitError):
    """A name that is not in its table.

    Parameters
    ----------
    kind : str
        What was named: 'model', 'region', 'layer', ...
    name : str
        The name as given.
    known : iterable of str
        The names that exist; the nearest ones are offered.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        near = nearest_names(name, self.known)
        offer = " or ".join(f"'{n}'" for n in near) if near else f"one of {', '.join(self.known) or '(none)'}"
        super().__init__(f"a {kind} is named as in its table", f"'{name}' is not known", f"use {offer}")

    def __reduce__(self) -> tuple[type, tuple[str, str, list[str]]]:  # type: ignore[override]
        """Pickle by the constructor's own arguments."""
        return type(self), (self.kind, self.name, self.known)


def nearest_names(name: str, known: Sequence[str], limit: int = 3) -> list[str]:
    """Return up to `limit` known names that a person may have meant by `name`, nearest first."""
    lowered = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=limit, cutoff=0.5)
    return [lowered[c] for c in close]


def listed(values: Iterable[object], limit: int = 5) -> str:
    """Write the first `limit` values for a message, and how many more there are."""
    values = list(values)
    text = ", ".join(str(v) for v in values[:limit])
    return text if len(values) <= limit else f"{text} and {len(values) - limit} more"
