"""Decoding over time as a metric: do two populations find the same images easy, bin by bin?

The objects are decoded from both populations with the same classifier and the same splits (`scoring.decoding`), and the
image-level d' of the held-out stimuli are compared by Spearman's rho over stimuli. The accuracies of both stand beside
it. Beside what `scoring.population_score` says, such a score has (splits S, stimuli n, bins T):

``accuracy_source``, ``accuracy_target`` (S, T)
    Part of the held-out stimuli whose own object is chosen; `chance` in attrs.
``d_prime_source``, ``d_prime_target`` (n, T)
    Mean over the splits that hold the stimulus out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurofit.assembly.build import stimulus_index
from neurofit.errors import UnknownNameError
from neurofit.kernel.linear_decoder import PENALTY, Classifier
from neurofit.kernel.rank_correlation import spearman
from neurofit.kernel.reliability import spearman_brown
from neurofit.kernel.trials import half_means_of_all
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.decoding import STIMULUS, decode, labels_of
from neurofit.scoring.population_score import assemble_population_score, check_population_score
from neurofit.scoring.problem import Splitter, aligned_means, draw_halvings, fingerprints
from neurofit.vocabulary import SPLIT, STIMULUS_ID, TIME_BIN

FORMULAS = {
    "raw": "rho",
    "neural-d-prime": "rho / sqrt(reliability of the neural image-level d')",
}
"""Noise corrections of the agreement rho; the reliability is Spearman-Brown corrected."""
_DRAWN_AT_ONCE = 100


def decoding_agreement(
    source: xr.DataArray,
    target: xr.DataArray,
    *,
    labels: str = "object_name",
    classifier: Classifier = "svm",
    penalty: float = PENALTY,
    splitter: Splitter | None = None,
    formula: str = "neural-d-prime",
    n_halvings: int = 10,
    threshold: float = 0.1,
    random_state: int = 0,
    decoder_state: int = 0,
    n_resamples: int = 1000,
    n_jobs: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Compare the images of which `source` and `target` tell the object well.

    Parameters
    ----------
    source : xarray.DataArray (presentation, neuroid, time_bin)
        Activations of a model, or a recording; repetitions are averaged.
    target : xarray.DataArray (presentation, neuroid, time_bin)
        A recording with the coordinate `labels`, and with its repetitions where the formula corrects for noise.
    labels, classifier, penalty, splitter
        See `scoring.decoding.decode`; the same for both populations.
    formula : {'neural-d-prime', 'raw'}
        'neural-d-prime': rho / sqrt(reliability). The reliability is rho between the d' that are decoded from the means
        of two halves of the repetitions, classifiers and all, Spearman-Brown corrected, mean over halvings.
    n_halvings : int
        Each is two decodings more. 10 (neuroailab/streams @ 0570ab1, for neuroids).
    threshold : float
        Bins whose reliability is not above it are NaN; 0.1.
    random_state, decoder_state : int
        Of the halvings and resamples; of the classifier.
    n_resamples : int
        Bootstrap over stimuli of the agreement, the classifiers held fixed; 1,000.
    n_jobs : int, optional
    progress : bool

    Returns
    -------
    xarray.Dataset
        See this module.

    Raises
    ------
    AssemblyError, AlignmentError, MappingError, ReliabilityError, UnknownNameError
    """
    if formula not in FORMULAS:
        raise UnknownNameError("formula of decoding", formula, FORMULAS)
    splitter = splitter or StimulusShuffleSplit()
    source, mean = aligned_means(source, target)
    index = stimulus_index(target)[1]
    halvings = [] if formula == "raw" else draw_halvings(target, index, formula, n_halvings, random_state)
    options: dict[str, Any] = {
        "labels": labels_of(mean, labels),
        "classifier": classifier,
        "penalty": penalty,
        "splitter": splitter,
        "random_state": decoder_state,
        "n_jobs": n_jobs,
        "progress": progress,
    }
    of_source, of_target = decode(source, **options), decode(mean, **options)
    x, y = of_source["d_prime"].values, of_target["d_prime"].values
    held = np.isfinite(x[:, 0]) & np.isfinite(y[:, 0])
    reliability = [_between_halves(target, mean, index, mask, options) for mask in halvings]
    attrs = {
        "metric": "decoding",
        "measure": "Spearman's rho between image-level d' of both populations",
        "formula": formula,
        "formula_text": FORMULAS[formula],
        "threshold": threshold,
        "chance": of_target.attrs["chance"],
        "labels": labels,
        "scaling_source": of_source.attrs["scaling"],
        "fits_not_converged": of_source.attrs["fits_not_converged"] + of_target.attrs["fits_not_converged"],
        **{name: of_target.attrs[name] for name in ("classifier", "penalty", "splitter", "n_splits", "n_objects")},
        "n_stimuli": len(x),
        "n_neuroids": mean.sizes["neuroid"],
        "n_source_neuroids": source.sizes["neuroid"],
        "n_halvings": len(halvings),
        "n_resamples": n_resamples,
        "repetitions_min": mean.attrs["repetitions_min"],
        "repetitions_max": mean.attrs["repetitions_max"],
        **fingerprints(mean, mean.values.transpose(2, 0, 1), _splits(splitter, mean, options["labels"]), halvings),
    }
    score = assemble_population_score(
        spearman(x[held], y[held]),
        spearman_brown(np.reshape(reliability, (len(halvings), x.shape[1]))),
        _resampled(x[held], y[held], n_resamples, random_state),
        of_source["silent"].values,
        np.full(x.shape[1], held.sum()),
        mean,
        attrs,
    )
    both = {"source": of_source, "target": of_target}
    for name, decoded in both.items():
        score[f"accuracy_{name}"] = ((SPLIT, TIME_BIN), decoded["accuracy"].values)
        score[f"d_prime_{name}"] = ((STIMULUS, TIME_BIN), decoded["d_prime"].values)
    ids = mean[STIMULUS_ID].values.astype(str)
    return check_population_score(score.assign_coords({STIMULUS_ID: (STIMULUS, ids)}))


def _splits(splitter: Splitter, mean: xr.DataArray, labels: dict[str, str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the splits that `decode` makes."""
    ids = mean[STIMULUS_ID].values.astype(str)
    return list(splitter.split(ids.reshape(-1, 1), np.array([labels[i] for i in ids]), ids))


def _between_halves(
    target: xr.DataArray, mean: xr.DataArray, index: np.ndarray, mask: np.ndarray, options: dict[str, Any]
) -> np.ndarray:
    """Return rho (T,) between d' decoded from the two halves of a halving."""
    halves = half_means_of_all(target.values, index, len(mean), mask[None])[0]
    one, two = (decode(mean.copy(data=half.astype(mean.dtype)), **options)["d_prime"].values for half in halves)
    held = np.isfinite(one[:, 0])
    return spearman(one[held], two[held])


def _resampled(x: np.ndarray, y: np.ndarray, n_resamples: int, random_state: int) -> np.ndarray:
    """Return rho (B, T) for stimuli drawn with replacement."""
    rng = np.random.default_rng(random_state)
    rows = rng.integers(0, len(x), (n_resamples, len(x)))
    found = np.empty((n_resamples, x.shape[1]))
    for start in range(0, n_resamples, _DRAWN_AT_ONCE):
        drawn = rows[start : start + _DRAWN_AT_ONCE]
        for t in range(x.shape[1]):  # bin by bin: ranks of a few megabytes
            found[start : start + len(drawn), t] = spearman(x[drawn, t], y[drawn, t], axis=1)
    return found


__all__ = ["FORMULAS", "decoding_agreement"]
