"""Networks by file: a TOML file holds all that is known of one, and can stand for it wherever a model is named.

Keys are the settings of `neurofit.models.entry.ZooEntry`, `NetworkConfig`, `NodeConfig` and of the cells, of which
``kind`` names the one that is meant; what is left out has its default. A file as it is written has every setting, so
that it means the same when a default changes. Weights are a safetensors file beside it, or there are none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from neurofit.errors import ConfigurationError, DataFileError, NeurofitError, UnknownNameError
from neurofit.files.atomic import atomic_write, reporting_output_errors
from neurofit.files.toml_schema import KIND, kind_of, read_toml
from neurofit.files.toml_text import to_toml
from neurofit.models.architecture_checks import check_network, check_ranges
from neurofit.models.entry import ZooEntry
from neurofit.models.network import READOUT, NetworkConfig
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import Presentation
from neurofit.models.released import RELEASED

SUFFIX = ".toml"
PIXELS = "pixels"
_INLINE = ("decoder", "feedback", "tau", "gate", "into_cell", "into_out")
_WEIGHTS_SUFFIX = ".safetensors"
_LARGEST_FILE = 2**20  # bytes; the file of the largest network of the zoo has some 10,000
_REGIONS = ("V1", "V2", "V4", "pIT", "cIT", "aIT", "IT")


@dataclass(frozen=True)
class ArchitectureTable:
    """What the file holds; see `ZooEntry`, whose fields these are.

    Parameters
    ----------
    network : NetworkConfig or 'pixels'
        The latter is the pixel baseline.
    region_layers : dict from region to layer
        None by default: then a layer has to be named wherever the network is compared with a region.
    licence : str
        Of the weights.
    """

    summary: str
    preprocessing: Preprocessing
    network: NetworkConfig | Literal["pixels"]
    region_layers: dict[str, str] = field(default_factory=dict)
    published_layers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    presentation: Presentation | None = None
    weights: str | None = None
    released: str | None = None
    top1: float | None = None
    top5: float | None = None
    step_ms: int = 10
    licence: str = "not stated"


def names_file(name: str) -> bool:
    """Return whether a model's name is the path of an architecture file."""
    return name.endswith(SUFFIX)


def write_architecture(path: Path | str, entry: ZooEntry) -> None:
    """Write an entry to a TOML file, whole or not at all, with every setting.

    Parameters
    ----------
    path : Path or str
        Ends in '.toml'; what comes before names the model.
    entry : ZooEntry

    Raises
    ------
    ConfigurationError, UnknownNameError
        If the entry could not be read back: see `read_architecture`.
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    if not names_file(path.name):
        raise ConfigurationError("an architecture is written to a TOML file", f"got {path}", "let it end in .toml")
    check_entry(entry)
    with reporting_output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as handle:
            handle.write(architecture_text(entry).encode())


def read_architecture(path: Path | str) -> ZooEntry:
    """Read an entry from a TOML file.

    Parameters
    ----------
    path : Path or str

    Raises
    ------
    DataFileError
        If there is no such file, or it is far too large.
    ConfigurationError
        If it is not TOML, has unknown or impossible keys or values, or describes a network that cannot be built or is
        larger than `neurofit.models.architecture_checks` allows.
    """
    path = Path(path)
    if path.is_file() and path.stat().st_size > _LARGEST_FILE:
        raise DataFileError(
            f"an architecture file has at most {_LARGEST_FILE:,} bytes",
            f"{path} has {path.stat().st_size:,}",
            "name another file",
        )
    try:
        table = read_toml(path, ArchitectureTable, what="network's architecture")
        entry = ZooEntry(**_shallow(table) | {"network": None if table.network == PIXELS else table.network})
        check_entry(entry)
    except DataFileError:
        raise
    except NeurofitError as error:
        found = error.found if str(path) in error.found else f"{path}: {error.found}"
        raise ConfigurationError(error.promise, found, error.remedy) from error
    return entry


def check_entry(entry: ZooEntry) -> None:
    """Check that an entry describes a network that can be built, and that its parts speak of the same one.

    Parameters
    ----------
    entry : ZooEntry

    Raises
    ------
    ConfigurationError, UnknownNameError
        Naming what is wrong.
    """
    for name in ("preprocessing", "presentation"):
        if getattr(entry, name) is not None:
            check_ranges(getattr(entry, name), name)
    if not 1 <= entry.step_ms <= 1_000:
        raise ConfigurationError("a step takes 1 to 1,000 ms", f"step_ms is {entry.step_ms}", "choose one within")
    if min(entry.preprocessing.std) <= 0:
        raise ConfigurationError(
            "the deviations that pixels are divided by are above 0", f"std is {entry.preprocessing.std}", "correct it"
        )
    if entry.network is not None:
        check_network(entry.network)
        _check_input_and_time(entry, entry.network)
    _check_regions(entry)
    _check_weights(entry)


def architecture_text(entry: ZooEntry) -> str:
    """Return the TOML text of an entry."""
    table = {name: _plain(value) for name, value in _shallow(entry).items() if value is not None and value != {}}
    table.pop("network", None)
    return to_toml(table | {"network": PIXELS if entry.network is None else _network_table(entry.network)}, _INLINE)


def architecture_hash(entry: ZooEntry) -> str:
    """Return a SHA-256 of what a network computes besides its weights: its architecture and its preprocessing."""
    network = None if entry.network is None else _network_table(entry.network)
    content = _same_numbers({"network": network, "preprocessing": _plain(entry.preprocessing)})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def without_weights(entry: ZooEntry) -> ZooEntry:
    """Return an entry as a start for one's own: random weights, and nothing that was measured or published of it."""
    return replace(entry, weights=None, released=None, top1=None, top5=None, published_layers={}, licence="not stated")


def _network_table(config: NetworkConfig) -> dict[str, Any]:
    table: dict[str, Any] = _plain(config)
    return table | {"nodes": table.pop("nodes")}  # the longest part last


def _plain(value: Any, name: str = "") -> Any:
    """Return a value in TOML's own types; a table of settings without those that are None by default."""
    if is_dataclass(value):
        table = {} if name != "cell" else {KIND: kind_of(type(value))}
        for each in fields(value):
            item = getattr(value, each.name)
            if item is not None:
                table[each.name] = _plain(item, each.name)
            elif each.default is not None:
                table[each.name] = "none"
        return table
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _same_numbers(value: Any) -> Any:
    """Return a value with all numbers as floats, so that 1 and 1.0 are one."""
    if isinstance(value, Mapping):
        return {key: _same_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_same_numbers(item) for item in value]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _shallow(instance: Any) -> dict[str, Any]:
    return {each.name: getattr(instance, each.name) for each in fields(instance)}


def _check_input_and_time(entry: ZooEntry, network: NetworkConfig) -> None:
    """Check that frames have the network's size, and that the readout sees the image."""
    if network.input_px != entry.preprocessing.size_px:
        raise ConfigurationError(
            "frames have the size that the network is made for",
            f"size_px is {entry.preprocessing.size_px} and input_px {network.input_px}",
            "make them the same",
        )
    first = network.first_steps()[READOUT]
    if entry.presentation is not None and entry.presentation.steps <= first:
        raise ConfigurationError(
            "a presentation is long enough for the readout to see the image",
            f"the first step at which it does is {first} (from 0), and the presentation has {entry.presentation.steps}",
            f"set steps to {first + 1} or more",
        )


def _check_regions(entry: ZooEntry) -> None:
    """Check the layers that are compared with regions."""
    layers = entry.first_steps()
    named = {region: (layer,) for region, layer in entry.region_layers.items()}
    for region, several in [*named.items(), *entry.published_layers.items()]:
        if region not in _REGIONS:
            raise UnknownNameError("region", region, _REGIONS)
        for layer in several:
            if layer not in layers:
                raise UnknownNameError(f"layer compared with {region}", layer, layers)


def _check_weights(entry: ZooEntry) -> None:
    """Check where weights come from: a file of a plain name, or the authors."""
    name = entry.weights
    if name is not None and (
        not name.endswith(_WEIGHTS_SUFFIX) or name == _WEIGHTS_SUFFIX or set(name) & set("/\\:\0") or name[0] == "."
    ):
        raise ConfigurationError(
            "weights are named by a safetensors file beside the architecture's",
            f"weights is {name[:80]!r}",
            "put the file there and give its name alone, such as 'mine.safetensors'",
        )
    if entry.released is not None and entry.released not in RELEASED:
        raise UnknownNameError("model with released weights", entry.released, RELEASED)
    if name is not None and entry.released is not None:
        raise ConfigurationError(
            "a network has weights of its own or released ones",
            f"weights is '{name}' and released '{entry.released}'",
            "leave one of them out",
        )


__all__ = [
    "ArchitectureTable", "architecture_hash", "architecture_text", "check_entry", "names_file",
    "read_architecture", "without_weights", "write_architecture",
]  # fmt: skip
