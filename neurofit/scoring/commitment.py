"""Layer commitments: which layer of a model is compared with a region, chosen without the stimuli that it is tested on.

Every split of a benchmark has a choice of its own, made in its training stimuli (see `scoring.selection`); the overall
choice has seen all stimuli, and is for recordings of other stimuli. docs/layers.md has the rules.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from neurofit.errors import AlignmentError, ConfigurationError, DataFileError, listed
from neurofit.files.atomic import atomic_write, reporting_output_errors
from neurofit.files.json_text import read_json, to_json
from neurofit.files.toml_schema import Rule, parse_table
from neurofit.scoring.problem import Problem
from neurofit.subjects.subject import Subject, weights_of
from neurofit.vocabulary import NEUROID_ID, TIME_BIN_END, TIME_BIN_START

Per = Literal["region", "bin", "neuroid"]
Average = Literal["responses", "scores"]
VERSION = 1
OwnVersion = Annotated[int, Rule(f"{VERSION}", lambda n: n == VERSION)]


@dataclass(frozen=True)
class LayerRow:
    """What the training stimuli say of one layer.

    Parameters
    ----------
    layer : str
    r : float
        Raw Pearson r on held-out training stimuli, over the inner splits of all splits, aggregated over neuroids as
        the benchmark does: of the time-averaged responses, or the mean of the window's bins.
    low, high : float
        Bootstrap interval of r over neuroids.
    r_by_split : tuple of float
        r within the training stimuli of each split.
    fraction : float
        Share of neuroids that it predicts best of all layers, over all splits.
    fraction_by_split : tuple of float
    """

    layer: str
    r: float
    low: float
    high: float
    r_by_split: tuple[float, ...]
    fraction: float
    fraction_by_split: tuple[float, ...]


@dataclass(frozen=True)
class Commitment:
    """Which layer of a model is compared with a region: by split, and overall.

    Parameters
    ----------
    simulated : bool
        Whether the responses that it rests on are simulated.
    model, weights_sha256 : str
        Whose layers they are; without a hash where a subject has no weights.
    benchmark, benchmark_version, dataset, region
        What it was made on.
    per : {'region', 'bin', 'neuroid'}
        Whether there is one choice for all, one for every bin, or one for every neuroid.
    window_ms : (int, int)
    average : {'responses', 'scores'}
        What was averaged over the window: responses and features, before they were mapped, or the r of its bins.
    mapping, inner_splits : str
        With what the layers were compared, and on which splits of the training stimuli.
    stimuli_hash, splits_hash, neuroids_hash, responses_hash : str
        Fingerprints of what it was made on; see `Problem.fingerprints`.
    split_hashes : tuple of S str
        One of each split.
    layer : str
        The region's layer by all stimuli.
    split_layers : tuple of S str
        The region's layer by the training stimuli of each split.
    units : tuple of U str
        The bins ('70-80') or neuroid_ids that have a choice of their own; none where `per` is 'region'.
    choices : tuple of S tuples of U str
        Their layers by the training stimuli of each split.
    overall : tuple of U str
        Their layers by all stimuli.
    table : tuple of LayerRow
        One for every layer, in the model's order.
    date : str
        UTC, ISO 8601.
    neurofit_version : str
    commitment_version : int
    """

    simulated: bool
    model: str
    weights_sha256: str
    benchmark: str
    benchmark_version: int
    dataset: str
    region: str
    per: Per
    window_ms: tuple[int, int]
    average: Average
    mapping: str
    inner_splits: str
    stimuli_hash: str
    splits_hash: str
    neuroids_hash: str
    responses_hash: str
    split_hashes: tuple[str, ...]
    layer: str
    split_layers: tuple[str, ...]
    units: tuple[str, ...]
    choices: tuple[tuple[str, ...], ...]
    overall: tuple[str, ...]
    table: tuple[LayerRow, ...]
    date: str
    neurofit_version: str
    commitment_version: OwnVersion = VERSION

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that were compared, in the model's order."""
        return tuple(row.layer for row in self.table)

    def cross_problems(self) -> Iterator[str]:
        """Yield what does not fit together in a file."""
        splits = len(self.split_hashes)
        if not splits or not self.table:
            yield "there are no splits or no layers"
        if len(self.split_layers) != splits:
            yield f"split_layers has {len(self.split_layers)} entries for {splits} splits"
        if (self.per == "region") != (not self.units):
            yield f"units has {len(self.units)} entries per '{self.per}'"
        rows = (self.overall, *self.choices) if self.units else ()
        if self.units and (len(self.choices) != splits or any(len(row) != len(self.units) for row in rows)):
            yield f"choices and overall do not have a layer for each of {splits} splits and {len(self.units)} units"
        named = {self.layer, *self.split_layers, *(layer for row in rows for layer in row)}
        if strange := sorted(named - set(self.layers)):
            yield f"{listed(strange)} is chosen and not in the table"

    def save(self, path: str | Path) -> Path:
        """Write the commitment as JSON, whole or not at all.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        path = Path(path)
        with reporting_output_errors(path), atomic_write(path) as handle:
            handle.write(to_json(asdict(self)).encode())
        return path

    def check_subject(self, subject: Subject) -> None:
        """Raise unless this is the model, with the weights, that the commitment was made for.

        Raises
        ------
        ConfigurationError
        """
        weights = weights_of(subject)
        if (subject.name, weights) != (self.model, self.weights_sha256):
            raise ConfigurationError(
                "a commitment is used with the model and the weights that it was made for",
                f"it is of {_with_weights(self.model, self.weights_sha256)}, and this is "
                f"{_with_weights(subject.name, weights)}",
                f"make one for this model: neurofit layers --model {subject.name}",
            )
        if missing := [layer for layer in self.layers if layer not in subject.layers]:
            raise ConfigurationError(
                "a commitment is used with the layers that it was made for",
                f"{subject.name} has no {listed(missing)}",
                f"make one for this model: neurofit layers --model {subject.name}",
            )

    def check_region(self, region: str) -> None:
        """Raise unless the commitment is of this region.

        Raises
        ------
        ConfigurationError
        """
        if region != self.region:
            raise ConfigurationError(
                "a commitment is used for its region",
                f"it is of {self.region}, and this is {region}",
                f"make one for {region}: neurofit layers --model {self.model}",
            )

    def picks(self, problem: Problem, dataset: str, region: str) -> Picks:
        """Return which layer is mapped in every split, bin and neuroid of a problem.

        Parameters
        ----------
        problem : Problem
        dataset, region : str
            What it is about.

        Raises
        ------
        ConfigurationError
            If the commitment is of another region.
        AlignmentError
            If it has seen the stimuli that the problem's splits test on.
        """
        self.check_region(region)
        known = {name: row for row, name in enumerate(self.split_hashes)}
        asked = split_hashes(problem)
        rows = [known[name] for name in asked if name in known]
        nested = len(rows) == len(asked)
        if not nested and (dataset == self.dataset or problem.fingerprints()["stimuli_hash"] == self.stimuli_hash):
            raise AlignmentError(
                "a layer is chosen without the stimuli that it is tested on",
                f"the commitment was made on {self.dataset} with other splits than these",
                f"make one with these splits: neurofit layers --model {self.model}",
            )
        regional = np.array([self.split_layers[row] for row in rows] if nested else [self.layer] * len(asked))
        units = self._units_of(problem, same_recording=nested and dataset == self.dataset)
        if units is None:
            names = regional[:, None, None]
        else:
            own = np.array([self.choices[row] for row in rows] if nested else [self.overall] * len(asked))[:, units]
            names = own[:, None] if self.per == "neuroid" else own[:, :, None]
        names = np.broadcast_to(names, (len(asked), len(problem.X), problem.Y.shape[2]))
        return Picks.of(names, self, nested, whole=units is None and self.per != "region")

    def _units_of(self, problem: Problem, same_recording: bool) -> list[int] | None:
        """Return the unit of each bin or neuroid of a problem; None where one layer is taken for all."""
        if self.per == "region" or (self.per == "neuroid" and not same_recording):
            return None
        position = {unit: i for i, unit in enumerate(self.units)}
        asked = bin_names(problem) if self.per == "bin" else problem.mean[NEUROID_ID].values.astype(str).tolist()
        found = [position.get(unit) for unit in asked]
        return None if None in found else [i for i in found if i is not None]


@dataclass(frozen=True, eq=False)
class Picks:
    """Which layer is mapped where.

    Parameters
    ----------
    layers : tuple of str
        Those that are used.
    index : array of int (S, T, q)
        Which of them.
    nested : bool
        Whether every split has a choice of its own training stimuli.
    sentence : str
        What was done, for people.
    """

    layers: tuple[str, ...]
    index: np.ndarray
    nested: bool
    sentence: str

    @classmethod
    def of(cls, names: np.ndarray, commitment: Commitment, nested: bool, whole: bool) -> Picks:
        """Return the picks of names (S, T, q); `whole` says that one layer stands for all bins or neuroids."""
        layers = tuple(layer for layer in commitment.layers if (names == layer).any())
        index = np.select([names == layer for layer in layers], range(len(layers)))
        if nested:
            what = "each split's choice in its own training stimuli"
        else:
            what = f"the overall choice, made on other stimuli ({commitment.benchmark})"
        scale = "region" if whole else commitment.per
        if whole:
            what += f"; its {commitment.per}s are others than these, so one layer is taken for all"
        return cls(layers, index, nested, f"per {scale}, {what}: {_shares(layers, index, scale)}")


def load_commitment(path: str | Path) -> Commitment:
    """Read a commitment that `Commitment.save` wrote.

    Raises
    ------
    DataFileError
        If the file is missing or no JSON document.
    ConfigurationError
        Naming everything in it that is not as it has to be.
    """
    path = Path(path)
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise DataFileError(
            "a commitment is a readable JSON file", f"{path}: {error}", "check the path, or run neurofit layers"
        ) from error
    if not isinstance(document, dict):
        raise DataFileError("a commitment is a JSON object", f"{path} is none", "name a file of neurofit layers")
    return parse_table(document, Commitment, source=str(path), what="commitment")


def split_hashes(problem: Problem) -> tuple[str, ...]:
    """Return a short hash of every split: of the ids it trains on, and of those that it tests on."""
    ids = problem.stimulus_ids
    texts = ["\n".join([*ids[np.sort(train)], "|", *ids[np.sort(test)]]) for train, test in problem.splits]
    return tuple(hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts)


def bin_names(problem: Problem) -> list[str]:
    """Return the bins of a problem as 'start-end' in ms."""
    starts, ends = (problem.mean[name].values.tolist() for name in (TIME_BIN_START, TIME_BIN_END))
    return [f"{start}-{end}" for start, end in zip(starts, ends, strict=True)]


def _shares(layers: tuple[str, ...], index: np.ndarray, scale: str) -> str:
    """Say how often each layer is used."""
    if len(layers) == 1:
        return layers[0]
    if scale == "region":
        counts = Counter(index[:, 0, 0].tolist())
        return ", ".join(f"{layer} ({counts[i]} of {len(index)} splits)" for i, layer in enumerate(layers))
    return ", ".join(f"{layer} ({np.mean(index == i):.0%})" for i, layer in enumerate(layers))


def _with_weights(model: str, weights: str) -> str:
    return f"{model} (weights {weights[:8]})" if weights else model
