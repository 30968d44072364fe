"""What a score is: a Dataset, its contract, and the one table and one number drawn from it.

Variables of a score (dimensions split S, neuroid q, time_bin T, halving H):

``predictivity`` (S, q, T)
    Raw Pearson r of held-out prediction and trial mean.
``internal_consistency`` (q, T)
    Mean over splits and halvings of the held-out split-half consistency; NaN where the formula is 'raw'.
``mapping_consistency`` (q, T)
    The same of the predictions of mappings refitted to the halves; NaN where the formula does not use it.
``predictivity_corrected`` (S, q, T)
    Mean over halvings by the named formula; NaN where the neuroid x bin is not reliable. Formulas that work on
    aggregates (Brain-Score's) have none, and carry ``ceiling_by_halving`` (H, q, T) instead.
``terms_excluded`` (q, T)
    How many of the S x H terms had a consistency not above the threshold.
``components`` (S, T)
    PLS components that the data allowed; 0 for a regression without components.
``alpha`` (S, q, T)
    The penalty chosen for each neuroid, as it stands in the grid; ridge regression only.
``silent`` (T,)
    Bins in which the source is the same for all stimuli: its predictivity is 0 there by definition (the dashed
    feed-forward curves of the 2018 paper end at exactly 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from neurofit.errors import AssemblyError, MappingError, listed
from neurofit.scoring.formulas import correct, formula_named
from neurofit.scoring.metrics import PREDICTIVITY
from neurofit.scoring.population_score import check_population_score, metric_of
from neurofit.vocabulary import HALVING, NEUROID, PRESENTATION, SPLIT, TIME_BIN

REQUIRED_VARIABLES = (
    "predictivity",
    "internal_consistency",
    "mapping_consistency",
    "terms_excluded",
    "components",
    "silent",
)
MIN_VALID_TERMS = 0.5
"""Part of the (split, halving) terms that must be reliable for a neuroid x bin to be corrected."""


@dataclass(frozen=True)
class Terms:
    """Correlations before anything is averaged.

    Parameters
    ----------
    raw : array (S, T, q)
    internal, mapping : array (S, H, T, q)
        Spearman-Brown corrected; H = 0 where not computed.
    silent : array (T,), bool
    components : array (S, T), int
    alphas : array (S, T, q), optional
        Penalties of a ridge regression.
    ceiling : array (H, q, T), optional
        Of all stimuli, for formulas on aggregates.
    silent_terms : array (S, T, q), bool, optional
        Where the source is the same for all stimuli, if that is not so for all splits and neuroids of a bin.
    """

    raw: np.ndarray
    internal: np.ndarray
    mapping: np.ndarray
    silent: np.ndarray
    components: np.ndarray
    ceiling: np.ndarray | None = None
    alphas: np.ndarray | None = None
    silent_terms: np.ndarray | None = None

    @classmethod
    def joined(cls, parts: Sequence[Terms]) -> Terms:
        """Return consecutive groups of bins as one."""
        return cls(
            raw=np.concatenate([p.raw for p in parts], axis=1),
            internal=np.concatenate([p.internal for p in parts], axis=2),
            mapping=np.concatenate([p.mapping for p in parts], axis=2),
            silent=np.concatenate([p.silent for p in parts]),
            components=np.concatenate([p.components for p in parts], axis=1),
            alphas=None if parts[0].alphas is None else np.concatenate([p.alphas for p in parts], axis=1),
        )

    @classmethod
    def picked(cls, sources: Sequence[Terms], picks: np.ndarray) -> Terms:
        """Return terms of several sources in one: for every split, bin and neuroid those of the source that is named.

        Parameters
        ----------
        sources : sequence of Terms
            Of the same splits, halvings, bins and neuroids.
        picks : array of int (S, T, q)
            Which of them. `silent` is then a bin in which all are silent, `components` the fewest of those picked.
        """
        each = {i: picks == i for i in np.unique(picks).tolist()}
        first = sources[next(iter(each))]
        raw, internal, mapping = (np.full_like(a, np.nan) for a in (first.raw, first.internal, first.mapping))
        alphas = None if first.alphas is None else np.full_like(first.alphas, np.nan)
        silent = np.zeros(picks.shape, bool)
        components = np.full(first.components.shape, np.iinfo(first.components.dtype).max)
        for i, own in each.items():
            source = sources[i]
            raw[own] = source.raw[own]
            silent |= own & source.silent[:, None]
            components = np.where(own.any(2), np.minimum(components, source.components), components)
            for values, chosen in ((internal, source.internal), (mapping, source.mapping)):
                np.copyto(values, chosen, where=own[:, None])
            if alphas is not None and source.alphas is not None:
                alphas[own] = source.alphas[own]
        np.copyto(mapping, np.nan, where=silent[:, None])  # of predictions that are constant
        silent_bins = np.asarray(silent.all((0, 2)))
        return cls(raw, internal, mapping, silent_bins, components, alphas=alphas, silent_terms=silent)

    def with_ceiling(self, ceiling: np.ndarray) -> Terms:
        """Return the terms with the ceiling (H, q, T) of all stimuli."""
        return replace(self, ceiling=ceiling)


def assemble_score(terms: Terms, mean: xr.DataArray, attrs: Mapping[str, object]) -> xr.Dataset:
    """Average terms into a score.

    Parameters
    ----------
    terms : Terms
    mean : xarray.DataArray (presentation, neuroid, time_bin)
        The target, for its neuroid and time coordinates.
    attrs : mapping
        Scalars and strings; `formula` and `threshold` are needed.
    """
    formula, threshold = formula_named(str(attrs["formula"])), float(attrs["threshold"])  # type: ignore[arg-type]
    # a source that is the same for all stimuli predicts nothing: 0, not undefined
    raw = np.where(_silent_terms(terms), 0.0, terms.raw)  # (S, T, q)
    internal, mapping = nan_mean(terms.internal, (0, 1)), nan_mean(terms.mapping, (0, 1))  # (T, q)
    shape = mean.values.shape[1:]
    variables = {
        "predictivity": ((SPLIT, NEUROID, TIME_BIN), raw.swapaxes(1, 2)),
        "internal_consistency": ((NEUROID, TIME_BIN), internal.T),
        "mapping_consistency": ((NEUROID, TIME_BIN), mapping.T),
        "terms_excluded": ((NEUROID, TIME_BIN), np.zeros(shape, int)),
        "components": ((SPLIT, TIME_BIN), terms.components),
        "silent": ((TIME_BIN,), terms.silent),
    }
    if terms.alphas is not None:
        variables["alpha"] = ((SPLIT, NEUROID, TIME_BIN), terms.alphas.swapaxes(1, 2))
    if terms.ceiling is not None:
        variables["ceiling_by_halving"] = ((HALVING, NEUROID, TIME_BIN), terms.ceiling)
        variables["internal_consistency"] = ((NEUROID, TIME_BIN), nan_mean(terms.ceiling, 0))
    else:
        corrected, excluded = _corrected(raw, terms, internal, mapping, formula.name, threshold)
        variables["predictivity_corrected"] = ((SPLIT, NEUROID, TIME_BIN), corrected.swapaxes(1, 2))
        variables["terms_excluded"] = ((NEUROID, TIME_BIN), excluded.T)
    coords = {k: v for k, v in mean.coords.items() if PRESENTATION not in v.dims}
    return check_score(xr.Dataset(variables, coords=coords, attrs=dict(attrs)))


def _corrected(
    raw: np.ndarray, terms: Terms, internal: np.ndarray, mapping: np.ndarray, formula: str, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return corrected predictivity (S, T, q) and the number of unreliable terms (T, q)."""
    chosen = formula_named(formula)
    if not chosen.corrects:
        return raw.copy(), np.zeros(raw.shape[1:], int)
    m: np.ndarray | float = terms.mapping if chosen.needs_mapping_consistency else 1.0
    each = correct(formula, raw[:, None], terms.internal, m, threshold)  # (S, H, T, q)
    silent_terms = _silent_terms(terms)
    silent = silent_terms.all(0)
    # where the source is silent only the recording's own reliability matters: r is 0 whatever the mapping's
    each = np.where(silent_terms[:, None] & (terms.internal > threshold), 0.0, each)
    valid = np.isfinite(each)
    reliable = (internal > threshold) & (valid.mean((0, 1)) >= MIN_VALID_TERMS)
    if chosen.needs_mapping_consistency:
        reliable &= silent | (mapping > threshold)
    return np.where(reliable, nan_mean(each, 1), np.nan), (~valid).sum((0, 1))


def _silent_terms(terms: Terms) -> np.ndarray:
    """Return where the source is silent, (S, T, q) or what broadcasts to it."""
    return terms.silent[None, :, None] if terms.silent_terms is None else terms.silent_terms


def nan_mean(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Return the mean over finite values, NaN where there are none."""
    finite = np.isfinite(values)
    count = finite.sum(axis)
    total = np.where(finite, values, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def check_score(score: xr.Dataset) -> xr.Dataset:
    """Return the score if it keeps the contract of this module, or of `scoring.population_score` if it is one.

    Raises
    ------
    AssemblyError
        If a variable is missing or attrs hold more than scalars and strings.
    MappingError
        If a predictivity is infinite or outside [-1, 1].
    """
    strange = [k for k, v in score.attrs.items() if not isinstance(v, str | int | float | np.generic)]
    if strange:
        raise AssemblyError("attrs are scalars and strings", f"{listed(strange)} are not", "keep them elsewhere")
    if metric_of(score) != PREDICTIVITY:
        return check_population_score(score)
    missing = [v for v in REQUIRED_VARIABLES if v not in score]
    if "predictivity_corrected" not in score and "ceiling_by_halving" not in score:
        missing.append("predictivity_corrected or ceiling_by_halving")
    if missing:
        raise AssemblyError("a score has all its variables", f"missing {listed(missing)}", "make it with neurofit.run")
    r = score["predictivity"].values
    if np.isinf(r).any() or (np.abs(r[np.isfinite(r)]) > 1 + 1e-9).any():
        raise MappingError("a correlation lies in [-1, 1]", f"found {np.nanmax(np.abs(r))}", "report this as a defect")
    return score
