"""What a population tells about the objects that are shown, time bin by time bin.

A decoding is a Dataset with the dimensions split S, stimulus n and time_bin T:

``accuracy`` (S, T)
    Part of the held-out stimuli whose own object has the highest score.
``d_prime`` (n, T)
    Image-level d' (I1), the mean over the splits in which the stimulus is held out; NaN where it never is.
``d_prime_by_split`` (S, n, T), float32
    d' in each split, NaN where the stimulus is not held out.
``times_held_out`` (n,)
``silent`` (T,)
    Bins in which all stimuli have the same response: d' is 0 and the accuracy that of chance there by definition.
``pattern`` (T,)
    Number of the run of successive bins in which the responses are the same but for a factor and what all stimuli
    share, which a decoder cannot tell apart; -1 in silent bins.

Coordinates: stimulus_id and object on `stimulus`, time_bin_start and time_bin_end (ms) on `time_bin`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import numpy as np
import xarray as xr
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from neurofit.assembly.build import average_repetitions
from neurofit.assembly.schema import check_assembly
from neurofit.errors import AlignmentError, ConfigurationError, MappingError, UnknownNameError, listed
from neurofit.kernel.d_prime import image_d_prime
from neurofit.kernel.linear_decoder import CONSTANT, PENALTY, Classifier, Scaling, decode_images, scaled_features
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.predictivity import bins_of_equal_source
from neurofit.scoring.problem import Splitter
from neurofit.vocabulary import BASIS, CORRELATION, DATASET, PRESENTATION, SIMULATED, SPLIT, STIMULUS_ID, TIME_BIN

STIMULUS, OBJECT = "stimulus", "object"
SAME_PATTERN = 1e-5
"""Two bins whose responses, centred over stimuli and scaled to norm 1, are nearer than this are the same: a hundred
times the rounding of float32, in which steps are averaged into bins."""


def decode(
    responses: xr.DataArray,
    *,
    labels: str | Mapping[str, str] = "object_name",
    classifier: Classifier = "svm",
    splitter: Splitter | None = None,
    penalty: float = PENALTY,
    n_jobs: int | None = None,
    progress: bool = False,
    random_state: int = 0,
) -> xr.Dataset:
    """Decode objects from a population's responses in every time bin, on stimuli that the classifier has not seen.

    In each bin and split a linear classifier is fitted to the training stimuli: one vector per stimulus (mean over its
    repetitions), neuroids z-scored over the training stimuli, all divided by the root mean squared norm there, so that
    `penalty` means the same for any number of neuroids. Where a wide layer was recorded as other features with the same
    inner products, or projected, its units are gone and cannot be z-scored: one scale for all then replaces that
    (attrs `scaling`).

    Class scores become probabilities by a softmax, and p_own / (p_own + p_other), averaged over the other objects, is
    a stimulus' hit rate; its d' is z(hit) - z(mean false alarm rate of its object), clipped to +-5 (I1; specification
    of the papers, 7.1, after Kar et al. 2019, who pass the scores of one-versus-rest support vector machines through a
    softmax).

    Parameters
    ----------
    responses : xarray.DataArray (presentation, neuroid, time_bin)
        A recording or activations; repetitions are averaged.
    labels : str or mapping from stimulus_id to str
        Presentation coordinate that says which object is shown, or the object of every stimulus (activations have no
        such coordinate; see `labels_of`).
    classifier : {'svm', 'logistic'}
        Linear support vector machines, one object against the rest (the 2022 paper), or multinomial logistic
        regression (Brain-Score).
    splitter : scikit-learn splitter, optional
        `StimulusShuffleSplit` by default: 10 splits with 25 % held out (specification of the papers, 6.1). Strata are
        the labels.
    penalty : float
        C; see `kernel.linear_decoder.PENALTY`.
    n_jobs : int, optional
        Threads; all cores by default.
    progress : bool
        Whether to draw a bar on standard error.
    random_state : int
        Of liblinear.

    Returns
    -------
    xarray.Dataset
        See `scoring.decoding`. attrs: classifier, penalty, labels, scaling, splitter, n_splits, n_objects, chance (the
        accuracy of always naming the most frequent object), n_stimuli, n_neuroids, never_held_out, distinct_bins (runs
        of `pattern`), fits, fits_not_converged, simulated, dataset.

    Raises
    ------
    AssemblyError, AlignmentError, MappingError, UnknownNameError, ConfigurationError
    """
    if classifier not in get_args(Classifier):
        raise UnknownNameError("classifier", str(classifier), get_args(Classifier))
    if not 0 < penalty < np.inf:
        raise ConfigurationError("a classifier's penalty C is above 0", f"it is {penalty}", "use 1, say")
    check_assembly(responses)
    if responses.attrs.get(BASIS) == CORRELATION:
        raise MappingError(
            "a decoder sees the units, or features with their inner products",
            "these are patterns centred and scaled over the units (basis 'correlation'), as RSA takes them",
            "record with the basis 'per-bin' or 'units'",
        )
    mean = average_repetitions(responses)
    names = stimulus_labels(mean, labels)
    objects, truth = np.unique(names, return_inverse=True)
    if len(objects) < 2:
        raise AlignmentError(
            "there are two objects or more to tell apart", f"all stimuli show '{objects[0]}'", "name other labels"
        )
    splitter = splitter or StimulusShuffleSplit()
    ids = mean[STIMULUS_ID].values.astype(str)
    splits = list(splitter.split(ids.reshape(-1, 1), names, ids))
    _check_splits(splits, truth, objects)
    X = np.ascontiguousarray(mean.values.transpose(2, 0, 1))
    scaling: Scaling = "global" if _reduced(responses) else "units"
    runs = _Runs(X, truth, splits, scaling, classifier, penalty, random_state)
    accuracy, by_split, failed = runs.all(n_jobs, progress)
    times = np.isfinite(by_split[:, :, 0]).sum(0)
    attrs = {
        "classifier": classifier,
        "penalty": float(penalty),
        "labels": labels if isinstance(labels, str) else "given",
        "scaling": scaling,
        "splitter": repr(splitter),
        "n_splits": len(splits),
        "n_objects": len(objects),
        "chance": runs.chance,
        "n_stimuli": len(ids),
        "n_neuroids": X.shape[2],
        "never_held_out": int((times == 0).sum()),
        "distinct_bins": int(runs.pattern.max()) + 1,
        "fits": len(splits) * len(runs.groups),
        "fits_not_converged": failed,
        SIMULATED: int(responses.attrs.get(SIMULATED, 0)),
        **{name: responses.attrs[name] for name in (DATASET,) if name in responses.attrs},
    }
    coords = {name: c for name, c in mean.coords.items() if c.dims == (TIME_BIN,)}
    return xr.Dataset(
        {
            "accuracy": ((SPLIT, TIME_BIN), accuracy),
            "d_prime": ((STIMULUS, TIME_BIN), _mean_where_held_out(by_split)),
            "d_prime_by_split": ((SPLIT, STIMULUS, TIME_BIN), by_split.astype(np.float32)),
            "times_held_out": ((STIMULUS,), times),
            "silent": ((TIME_BIN,), runs.silent),
            "pattern": ((TIME_BIN,), runs.pattern),
        },
        coords={**coords, STIMULUS_ID: (STIMULUS, ids), OBJECT: (STIMULUS, names)},
        attrs=attrs,
    )


def labels_of(recording: xr.DataArray, name: str = "object_name") -> dict[str, str]:
    """Return what a recording says that each stimulus shows, for `decode` of activations.

    Raises
    ------
    AlignmentError
        If it does not say, or differs between showings of a stimulus.
    """
    mean = average_repetitions(recording)
    return dict(zip(mean[STIMULUS_ID].values.astype(str), stimulus_labels(mean, name), strict=True))


def stimulus_labels(mean: xr.DataArray, labels: str | Mapping[str, str]) -> np.ndarray:
    """Return the label (str) of every presentation of an averaged assembly; see `decode`."""
    if isinstance(labels, str):
        known = [str(n) for n, c in mean.coords.items() if c.dims == (PRESENTATION,) and n != STIMULUS_ID]
        if labels not in known:
            raise AlignmentError(
                f"every stimulus has one '{labels}' to be decoded",
                f"the coordinates of the stimuli are {listed(sorted(known), 12) or 'none'}",
                "name one of these, or give a mapping from stimulus_id to label",
            )
        return mean[labels].values.astype(str)
    ids = mean[STIMULUS_ID].values.astype(str)
    missing = [i for i in ids if i not in labels]
    if missing:
        raise AlignmentError(
            "every stimulus has a label to be decoded", f"{len(missing)} have none: {listed(missing, 3)}", "add them"
        )
    return np.asarray([str(labels[i]) for i in ids])


def _reduced(responses: xr.DataArray) -> bool:
    """Tell whether a wide layer's units were replaced by fewer features."""
    return BASIS in responses.attrs or "projected_to" in responses.attrs


def _mean_where_held_out(by_split: np.ndarray) -> np.ndarray:
    """Return the mean (n, T) over splits, NaN where a stimulus is never held out."""
    held = np.isfinite(by_split)
    count = held.sum(0)
    total = np.where(held, by_split, 0.0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _check_splits(splits: list[tuple[np.ndarray, np.ndarray]], truth: np.ndarray, objects: np.ndarray) -> None:
    for train, test in splits:
        absent = np.setdiff1d(np.arange(len(objects)), truth[train])
        if len(absent):
            raise MappingError(
                "every object is among the training stimuli of every split",
                f"{len(absent)} are not: {listed(objects[absent], 3)}",
                "use a stratified splitter, or labels with more stimuli each",
            )
        if len(np.unique(truth[test])) < 2:
            raise MappingError(
                "every split holds out stimuli of two objects or more",
                f"one holds out {len(test)} of '{objects[truth[test[0]]] if len(test) else 'none'}'",
                "use a stratified splitter, or hold out more",
            )


def _patterns(X: np.ndarray, groups: list[list[int]]) -> np.ndarray:
    """Return the number (T,) of the run of bins with one pattern; see `scoring.decoding`."""
    found, number, first = np.full(len(X), -1), -1, np.empty(0)
    for group in groups:
        values = X[group[0]].astype(np.float64)
        values -= values.mean(0)
        values /= np.linalg.norm(values)
        if number < 0 or np.linalg.norm(values - first) > SAME_PATTERN:
            number, first = number + 1, values
        found[group] = number
    return found


class _Runs:
    """All fits of a decoding: one for every split and group of equal bins."""

    def __init__(
        self,
        X: np.ndarray,
        truth: np.ndarray,
        splits: list[tuple[np.ndarray, np.ndarray]],
        scaling: Scaling,
        classifier: Classifier,
        penalty: float,
        random_state: int,
    ) -> None:
        self.X, self.truth, self.splits = X, truth, splits
        self.scaling, self.classifier, self.penalty, self.random_state = scaling, classifier, penalty, random_state
        self.silent = (np.ptp(X, axis=1) <= CONSTANT * np.abs(X).max(axis=1, initial=0)).all(axis=1)
        self.groups = [group for group in bins_of_equal_source(X) if not self.silent[group[0]]]
        self.pattern = _patterns(X, self.groups)
        self.chance = float(np.bincount(truth).max() / len(truth))

    def all(self, n_jobs: int | None, progress: bool) -> tuple[np.ndarray, np.ndarray, int]:
        """Return accuracy (S, T), d' (S, n, T) and how many fits did not converge."""
        S, (T, n, _) = len(self.splits), self.X.shape
        accuracy = np.full((S, T), self.chance)
        by_split = np.full((S, n, T), np.nan)
        for split, (_, test) in enumerate(self.splits):
            by_split[split, test] = 0.0
        jobs = [(split, group) for group in self.groups for split in range(S)]
        failed = 0
        bar = tqdm(total=len(jobs), desc="decoding", unit="fit", disable=not progress, leave=False)
        with bar, threadpool_limits(1), warnings.catch_warnings(), ThreadPoolExecutor(n_jobs or os.cpu_count()) as pool:
            warnings.simplefilter("ignore", ConvergenceWarning)  # counted instead
            futures = [pool.submit(self._one, split, group[0]) for split, group in jobs]
            try:
                for (split, group), future in zip(jobs, futures, strict=True):
                    correct, d_prime, converged = future.result()
                    accuracy[split, group] = correct
                    for t in group:
                        by_split[split, self.splits[split][1], t] = d_prime
                    failed += not converged
                    bar.update()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return accuracy, by_split, failed

    def _one(self, split: int, bin_: int) -> tuple[Any, np.ndarray, bool]:
        """Return accuracy, d' of the test stimuli (m,) and whether the fit converged."""
        train, test = self.splits[split]
        features = scaled_features(self.X[bin_], train, self.scaling)
        if features.shape[1] == 0:  # nothing varies over these training stimuli
            return self.chance, np.zeros(len(test)), True
        found = decode_images(features, self.truth, train, test, self.classifier, self.penalty, self.random_state)
        truth = self.truth[test]
        return (found.scores.argmax(1) == truth).mean(), image_d_prime(found.scores, truth), found.converged


__all__ = ["OBJECT", "STIMULUS", "decode", "labels_of", "stimulus_labels"]
