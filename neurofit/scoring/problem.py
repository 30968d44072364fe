"""What a score is computed from: source and target brought together, with splits and halvings drawn.

Letters: n stimuli, p source neuroids, q target neuroids, T time bins, S splits, H halvings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import xarray as xr

from neurofit.assembly.align import align
from neurofit.assembly.build import average_repetitions, stimulus_index
from neurofit.assembly.schema import check_assembly, has_repetitions, time_bins_of
from neurofit.errors import AlignmentError, AssemblyError, MappingError, ReliabilityError, listed
from neurofit.kernel.reliability import halve
from neurofit.mapping.held_out import Mapping
from neurofit.scoring.formulas import Formula
from neurofit.vocabulary import BASIS, CORRELATION, NEUROID_ID, PER_BIN, PRESENTATION, STIMULUS_ID

TEMPORAL_MAPPINGS = ("per-bin", "fixed")


class Splitter(Protocol):
    """A scikit-learn splitter over stimuli."""

    def split(
        self, X: np.ndarray, y: np.ndarray | None = None, groups: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (train, test) rows."""


@dataclass(frozen=True)
class Problem:
    """Everything the bins and splits share.

    Parameters
    ----------
    X : array (T, n, p)
        Source.
    Y : array (T, n, q)
        Trial means of the target.
    trials : array (T, presentations, q)
        Its single trials; empty where nothing is halved.
    stimulus : array of int (presentations,)
        Index of the stimulus, 0 ... n - 1.
    halvings : list of H arrays of bool (presentations,)
    splits : list of S (train, test)
        Rows of stimuli.
    mapping : Mapping
    temporal : {'per-bin', 'fixed'}
    refit : bool
        Whether the mapping is fitted to the halves too.
    mean : xarray.DataArray (presentation, neuroid, time_bin)
        The target's trial means, sorted by stimulus_id, for their coordinates.
    """

    X: np.ndarray
    Y: np.ndarray
    trials: np.ndarray
    stimulus: np.ndarray
    halvings: list[np.ndarray]
    splits: list[tuple[np.ndarray, np.ndarray]]
    mapping: Mapping
    temporal: str
    refit: bool
    mean: xr.DataArray

    @property
    def stimulus_ids(self) -> np.ndarray:
        """The n stimuli, sorted (str)."""
        return self.mean[STIMULUS_ID].values.astype(str)

    def rows(self, stimuli: np.ndarray) -> np.ndarray:
        """Return rows (T m,) of stacked samples, bin by bin, from rows (m,) of stimuli."""
        return (np.arange(len(self.X))[:, None] * self.Y.shape[1] + stimuli).ravel()

    def fingerprints(self) -> dict[str, str]:
        """Return short hashes of what two scores must share to be compared."""
        return fingerprints(self.mean, self.Y, self.splits, self.halvings)


def fingerprints(
    mean: xr.DataArray,
    responses: np.ndarray,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    halvings: Sequence[np.ndarray],
) -> dict[str, str]:
    """Return short hashes of stimuli, neuroids, splits, halvings and responses (T, n, q); see `Problem`."""
    ids = mean[STIMULUS_ID].values.astype(str)
    of_splits = [text for split in splits for rows in split for text in (*ids[np.sort(rows)], "|")]
    return {
        "stimuli_hash": _short_hash("\n".join(ids).encode()),
        "neuroids_hash": _short_hash("\n".join(mean[NEUROID_ID].values.astype(str)).encode()),
        "splits_hash": _short_hash("\n".join(of_splits).encode()),
        "halvings_hash": _short_hash(b"".join(np.packbits(mask).tobytes() for mask in halvings)),
        "responses_hash": _short_hash(responses.astype(np.float32).tobytes()),
    }


def _short_hash(content: bytes) -> str:
    """Return the first 16 digits of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]


def pose(
    source: xr.DataArray,
    target: xr.DataArray,
    *,
    mapping: Mapping,
    splitter: Splitter,
    temporal: str,
    formula: Formula,
    n_halvings: int,
    random_state: int,
    stratify: str | None,
) -> Problem:
    """Bring source and target together; see `predictivity`."""
    if temporal not in TEMPORAL_MAPPINGS:
        raise AlignmentError("a temporal mapping is 'per-bin' or 'fixed'", f"got '{temporal}'", "choose one of them")
    _check_basis(source, temporal, mapping)
    source, mean = aligned_means(source, target)
    _check_variance(mean)
    ids = mean[STIMULUS_ID].values.astype(str)
    index = stimulus_index(target)[1]  # sorted ids, as `align` orders the means
    halved = formula.corrects and not formula.on_aggregates
    halvings = draw_halvings(target, index, formula.name, n_halvings, random_state) if halved else []
    trials = np.ascontiguousarray(target.values.transpose(2, 0, 1)) if halvings else np.empty((len(mean.time_bin), 0))
    return Problem(
        X=np.ascontiguousarray(source.values.transpose(2, 0, 1)),
        Y=np.ascontiguousarray(mean.values.transpose(2, 0, 1), dtype=np.float64),
        trials=trials,
        stimulus=index,
        halvings=halvings,
        splits=list(splitter.split(ids.reshape(-1, 1), _strata(mean, stratify), ids)),
        mapping=mapping,
        temporal=temporal,
        refit=formula.needs_mapping_consistency,
        mean=mean,
    )


def aligned_means(source: xr.DataArray, target: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return source and target averaged over repetitions, on the target's stimuli and the same bins."""
    check_assembly(source)
    check_assembly(target)
    if time_bins_of(source) != time_bins_of(target):
        raise AlignmentError(
            "source and target have the same time bins",
            f"the source has {listed(time_bins_of(source), 3)} ms, the target {listed(time_bins_of(target), 3)} ms",
            "bring one to the other's with neurofit.rebin",
        )
    return align(average_repetitions(source), average_repetitions(target))


def _check_basis(source: xr.DataArray, temporal: str, mapping: Mapping) -> None:
    """Raise if activations were reduced to what this mapping cannot use; see `ModelSubject.record_many`."""
    basis = source.attrs.get(BASIS)
    if basis is not None and getattr(mapping, "scale", False):
        raise MappingError(
            "a mapping that scales its features sees the units themselves",
            f"these are other features with the same inner products (basis '{basis}')",
            "record with the basis 'units', or do not scale",
        )
    if basis == CORRELATION:
        raise MappingError(
            "a mapping sees the units, or features with their inner products",
            "these are patterns centred and scaled over the units (basis 'correlation'), as RSA takes them",
            "record with the basis 'per-bin', 'shared' or 'units'",
        )
    if basis == PER_BIN and temporal == "fixed":
        raise MappingError(
            "a mapping that is fixed in time sees the same features in every bin",
            "these differ from bin to bin (basis 'per-bin')",
            "record with the basis 'shared' or 'units', or map per bin",
        )


def _check_variance(mean: xr.DataArray) -> None:
    spread = np.ptp(mean.values, axis=0).max(axis=1)
    flat = mean[NEUROID_ID].values[spread == 0]
    if len(flat):
        raise AssemblyError(
            "every neuroid responds differently to some stimuli",
            f"{len(flat)} have the same response to all {mean.sizes[PRESENTATION]}: {listed(flat, 3)}",
            "leave them out of the recording",
        )


def _strata(mean: xr.DataArray, stratify: str | None) -> np.ndarray | None:
    """Return the stratum of every stimulus, or None."""
    if stratify is None:
        return None
    if stratify not in mean.coords:
        raise AlignmentError(
            f"the recording has the coordinate '{stratify}' to stratify the splits by",
            f"found {listed(sorted(str(c) for c in mean.coords), 12)}",
            "name one of these, or do not stratify",
        )
    return mean[stratify].values.astype(str)


def draw_halvings(
    target: xr.DataArray, index: np.ndarray, formula: str, n_halvings: int, random_state: int
) -> list[np.ndarray]:
    """Draw the halvings that a formula uses, or say that there are no repetitions."""
    if not has_repetitions(target):
        raise ReliabilityError(
            f"the formula '{formula}' needs repetitions of the stimuli",
            f"each of the {index.max() + 1} stimuli was shown once",
            "use a recording with its repetitions, or the formula 'raw'",
        )
    rng = np.random.default_rng(random_state)
    return [halve(index, rng) for _ in range(n_halvings)]
