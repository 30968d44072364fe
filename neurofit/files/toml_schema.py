"""Read a TOML file into a frozen dataclass and report everything that is wrong with it at once.

The dataclass is the schema: its field names are the keys, its annotations the types, its defaults the optional keys.
Understood annotations: str, int, float, bool, ``Literal[...]``, ``X | Y``, ``X | None``, ``tuple[X, ...]``,
``tuple[X, Y]``, ``dict[str, X]``, another dataclass (a table), and ``Annotated[X, Rule(...)]`` for a condition on one
value. Conditions between keys go into a method ``cross_problems`` (see `CrossChecked`). Where several dataclasses may
stand, the table's key ``kind`` says which: its name, without a last "Config". None where it is not the default is
written "none", in fields that hold no text.

>>> @dataclass(frozen=True)
... class Splitter:
...     n_splits: Annotated[int, Rule("positive", lambda n: n > 0)]
...     test_size: float = 0.25
>>> parse_table({"n_split": 10}, Splitter, source="my.toml", what="benchmark")
Traceback (most recent call last):
    ...
neurofit.errors.ConfigurationError: a benchmark has the keys and values of its schema - my.toml has 2 problems: ...
"""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

from neurofit.errors import ConfigurationError, DataFileError, nearest_names
from neurofit.files.bounded import MIB, read_bounded

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Schema = TypeVar("Schema", bound="DataclassInstance")

_SCALARS: dict[Any, str] = {str: "text", int: "a whole number", float: "a finite number", bool: "true or false"}
KIND, _NONE = "kind", "none"
MAX_TOML_BYTES = MIB
"""Of a TOML file; the largest that travels with neurofit has some 20 kB."""
_LARGEST = 2**63 - 1  # whole numbers of TOML have 64 bits
_LONGEST_VALUE = 60  # characters of a wrong value that a message repeats
_MOST_NAMED = 20  # problems that a message names
_MOST_LOOKED_FOR = 1_000  # problems after which a list is not looked through any further
_MOST_STEPS = 2_000_000  # some seconds


class Rule(NamedTuple):
    """A condition on one value, used as ``Annotated[int, Rule("positive", lambda n: n > 0)]``.

    Parameters
    ----------
    says : str
        What the value has to be; completes the clause "... is not".
    holds : callable
        From the value (already of the right type) to True where the condition holds.
    """

    says: str
    holds: Callable[[Any], bool]


@runtime_checkable
class CrossChecked(Protocol):
    """A schema with conditions between its keys."""

    def cross_problems(self) -> Iterable[str]:
        """Yield one clause for each broken condition; asked only where every single key is right."""
        ...


def read_toml(path: Path | str, schema: type[Schema], *, what: str) -> Schema:
    """Read a TOML file into a dataclass.

    Parameters
    ----------
    path : Path or str
        The file.
    schema : dataclass
        What it holds.
    what : str
        What the file is called in messages: 'data manifest', 'benchmark'.

    Returns
    -------
    An instance of `schema`.

    Raises
    ------
    DataFileError
        If the file cannot be read.
    ConfigurationError
        If it is not TOML, or naming every unknown, missing and impossible key of it.
    """
    path = Path(path)
    try:
        table = tomllib.loads(_checked(read_bounded(path, MAX_TOML_BYTES).decode()))
    except OSError as error:
        raise DataFileError(
            f"a {what} can be read", f"{path}: {error.strerror or error}", "give the path of an existing TOML file"
        ) from error
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, and brackets within brackets
        raise ConfigurationError(f"a {what} is a TOML file in UTF-8", f"{path}: {error}", "correct it there") from error
    return parse_table(table, schema, source=str(path), what=what)


def _checked(text: str) -> str:
    """Return a text whose keys Python's reader takes in little time: it needs the square of the parts of a key.

    Raises
    ------
    ValueError
        If it would take seconds.
    """
    lines = text.splitlines()
    dots = [line.count(".") for line in lines]
    deepest = max((count for line, count in zip(lines, dots, strict=True) if line.lstrip().startswith("[")), default=0)
    if sum(count * count for count in dots) + deepest * len(lines) > _MOST_STEPS:
        raise ValueError(f"its lines have up to {max(dots)} dots, which no keys or numbers need")
    return text


def parse_table(table: Mapping[str, Any], schema: type[Schema], *, source: str, what: str) -> Schema:
    """Turn a table that is already in memory into a dataclass; see `read_toml`.

    Parameters
    ----------
    table : mapping
        Keys and values as TOML gives them.
    schema : dataclass
        What the table holds.
    source : str
        Where the table comes from, for messages.
    what : str
        What it is called in messages.

    Raises
    ------
    ConfigurationError
        Naming every problem with its key.
    """
    problems: list[str] = []
    result = _convert_table(table, schema, "", problems)
    if result is None:
        more = "; ..." if len(problems) > _MOST_NAMED else ""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigurationError(
            f"a {what} has the keys and values of its schema",
            f"{source} has {count}: {'; '.join(problems[:_MOST_NAMED])}{more}",
            "correct the file",
        )
    return result


# Each `_convert...` returns the converted value; where it cannot, it adds to `problems` and returns anything at all:
# a table with problems is never built, so the placeholder is never seen.


def _convert_table(table: Mapping[str, Any], schema: type[Schema], where: str, problems: list[str]) -> Schema | None:
    """Convert one table; `where` is put before the names of its keys in messages."""
    before = len(problems)
    hints = _hints(schema)
    fields = {field.name: field for field in dataclasses.fields(schema)}
    unknown = [key for key in table if key not in fields]
    problems.extend(f"{where}{_unknown_key(key, table, list(fields))}" for key in unknown[:_MOST_NAMED])
    problems.extend(f"{where}{_brief(key)} is not a known key" for key in unknown[_MOST_NAMED:])
    values = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _convert(table[name], hints[name], f"{where}{name}", problems)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(f"{where}{name} is missing")
    if len(problems) > before:
        return None
    instance = schema(**values)
    if isinstance(instance, CrossChecked):
        problems.extend(f"{where}{problem}" for problem in instance.cross_problems())
    return instance if len(problems) == before else None


@lru_cache
def _hints(schema: type[Schema]) -> dict[str, Any]:
    return get_type_hints(schema, include_extras=True)


def _unknown_key(key: str, table: Mapping[str, Any], known: list[str]) -> str:
    """Say that a key is unknown, and which key that is not in the table yet may have been meant."""
    near = nearest_names(key, [name for name in known if name not in table]) or nearest_names(key, known)
    offer = f"the nearest is {near[0]}" if near else f"known: {', '.join(known)}"
    return f"{_brief(key)} is not a known key ({offer})"


def _convert(value: Any, hint: Any, where: str, problems: list[str]) -> Any:
    """Convert one value to what its annotation says."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _convert_ruled(value, hint, where, problems)
    if origin in (Union, types.UnionType):
        return _convert_union(value, hint, where, problems)
    if origin is tuple and isinstance(value, list):
        return _convert_list(value, hint, where, problems)
    if origin is dict and isinstance(value, Mapping):
        inner = get_args(hint)[1]
        return {key: _convert(item, inner, f"{where}.{_brief(key)}", problems) for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        is_item = re.search(r" #\d+$", where)  # "files #2: url" reads better than "files #2.url"
        return _convert_table(value, hint, f"{where}: " if is_item else f"{where}.", problems)
    if origin is Literal and value in get_args(hint):
        return value
    if hint in _SCALARS and _is_scalar(value, hint):
        return hint(value)
    problems.append(_wrong(value, in_words(hint), where))
    if origin is Literal and isinstance(value, str) and (near := nearest_names(value, list(get_args(hint)), limit=1)):
        problems[-1] += f" (the nearest is {near[0]!r})"
    return None


def _convert_ruled(value: Any, hint: Any, where: str, problems: list[str]) -> Any:
    """Convert a value and then ask its rules."""
    base, *rules = get_args(hint)
    before = len(problems)
    converted = _convert(value, base, where, problems)
    if len(problems) == before:
        problems.extend(_wrong(value, rule.says, where) for rule in rules if not rule.holds(converted))
    return converted


def _convert_union(value: Any, hint: Any, where: str, problems: list[str]) -> Any:
    """Convert to the first alternative that the value fits; a table to the only one, or the one that its kind names."""
    alternatives = [alternative for alternative in get_args(hint) if alternative is not types.NoneType]
    if value == _NONE and types.NoneType in get_args(hint) and str not in alternatives:
        return None
    tables = [each for each in alternatives if isinstance(each, type) and dataclasses.is_dataclass(each)]
    if len(tables) > 1 and isinstance(value, Mapping):
        return _convert_kind(value, {kind_of(table): table for table in tables}, where, problems)
    if len(tables) == 1 and isinstance(value, Mapping):
        return _convert(value, tables[0], where, problems)
    if len(alternatives) == 1:
        return _convert(value, alternatives[0], where, problems)
    for alternative in alternatives:
        attempt: list[str] = []
        converted = _convert(value, alternative, where, attempt)
        if not attempt:
            return converted
    problems.append(_wrong(value, in_words(hint), where))
    return None


def _convert_kind(value: Mapping[str, Any], tables: Mapping[str, Any], where: str, problems: list[str]) -> Any:
    """Convert a table to the dataclass that it names."""
    kind = value.get(KIND)
    if not isinstance(kind, str) or kind not in tables:
        known = ", ".join(repr(name) for name in tables)
        found = f"is {_shown(kind)}, which is not " if KIND in value else "is missing: "
        near = nearest_names(kind, list(tables), limit=1) if isinstance(kind, str) else []
        problems.append(f"{where}.{KIND} {found}one of {known}" + (f" (the nearest is {near[0]!r})" if near else ""))
        return None
    return _convert({key: item for key, item in value.items() if key != KIND}, tables[kind], where, problems)


def kind_of(table: type) -> str:
    """Return what the key ``kind`` of a table says where several dataclasses may stand."""
    return table.__name__.removesuffix("Config")


def _convert_list(value: list[Any], hint: Any, where: str, problems: list[str]) -> tuple[Any, ...] | None:
    """Convert a TOML array to a tuple, of any length or of the length that its annotation has."""
    inner = get_args(hint)
    if inner[-1] is Ellipsis:
        inner = (inner[0],) * len(value)
    if len(inner) != len(value):
        problems.append(_wrong(value, in_words(hint), where))
        return None
    return tuple(
        _convert(item, kind, f"{where} #{number}", problems)
        for number, (item, kind) in enumerate(zip(value, inner, strict=True), start=1)
        if len(problems) < _MOST_LOOKED_FOR
    )


def _is_scalar(value: Any, kind: type) -> bool:
    """Whether a TOML value fits str, int, float or bool; a whole number is also a float, true is not a number."""
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    if isinstance(value, int) and abs(value) > _LARGEST:
        return False
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)


def _wrong(value: Any, needed: str, where: str) -> str:
    """Say that a value is not what is needed."""
    return f"{where} is {_shown(value)}, which is not {needed}"


def _shown(value: Any) -> str:
    """Write a value for a message, its beginning if it is long."""
    try:
        return _brief(repr(value))
    except ValueError:  # Python does not write numbers of thousands of digits
        return "a number of thousands of digits"
    except RecursionError:
        return "a value within thousands of others"


def _brief(text: str) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def in_words(hint: Any) -> str:
    """Write an annotation for someone who writes TOML, not Python."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return " and ".join([in_words(inner[0]), *(rule.says for rule in inner[1:])])
    if origin in (Union, types.UnionType):
        return " or ".join(in_words(alternative) for alternative in inner if alternative is not types.NoneType)
    if origin is Literal:
        return f"one of {', '.join(repr(choice) for choice in inner)}"
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"a list (of {in_words(inner[0])})"
        return f"a list of {len(inner)} ({', '.join(in_words(kind) for kind in inner)})"
    if hint in _SCALARS:
        return _SCALARS[hint]
    if origin is dict or dataclasses.is_dataclass(hint):
        return "a table"
    raise ConfigurationError(
        "a schema uses only the annotations that neurofit.files.toml_schema understands",
        f"found {hint!r}",
        "change the dataclass or teach toml_schema the type",
    )
