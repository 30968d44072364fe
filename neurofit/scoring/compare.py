"""Does one subject predict a region better than another? Paired over neuroids, and over images.

Both subjects are scored on the same neuroids, stimuli, splits and halvings; what is compared is the difference of each
neuroid's predictivity, bin by bin and in windows. Its centre over neuroids is their trimmed mean. Two things might have
been different: which neuroids were recorded, and which images were shown.

- *Neuroids* are drawn with replacement.
- *Images*: 'refitted', both subjects are mapped again without each of K groups of images, training and test alike
  (`scoring.jackknife`); 'bootstrap', the held-out images are drawn with replacement while the fits stay, which leaves
  the luck of the training images out. Neuroids share the images, so that a test over neuroids alone takes the luck of
  the images for an effect; docs/comparisons.md shows how often each of these does.

The difference deviates by the sum of both. Bins (and windows, apart) are tested together by the largest of their
differences in standard errors, which corrects for their number with regard to how alike they are. Wilcoxon's
signed-rank test over neuroids, with Holm's correction, is given beside it, as it is common, and as an answer to another
question: it is about these images alone.

Letters: q neuroids, T time bins or windows, K groups of images.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import wilcoxon

from neurofit.assembly.schema import time_bins_of
from neurofit.errors import AlignmentError, ConfigurationError, UnknownNameError, listed
from neurofit.kernel.paired import (
    against_zero,
    draw_images,
    draw_neuroids,
    holm,
    nan_mean,
    rank_biserial,
    trimmed_mean,
)
from neurofit.scoring.formulas import formula_named
from neurofit.scoring.image_bootstrap import with_images_drawn
from neurofit.scoring.windows import Window, bins_in_windows, default_windows
from neurofit.vocabulary import TIME_BIN_END, TIME_BIN_START

SAME_FOR_BOTH = {
    "metric": "metric",
    "dataset": "dataset",
    "region": "region",
    "stimuli_hash": "stimuli",
    "neuroids_hash": "neuroids",
    "responses_hash": "responses",
    "splits_hash": "splits",
    "halvings_hash": "halvings of the repetitions",
    "formula": "formula",
    "threshold": "threshold of consistency",
    "mapping": "mapping",
    "temporal_mapping": "temporal mapping",
    "on_ms": "presentation",
}
"""Attributes of a score that must be equal for a difference to mean anything, and what they are called."""

FEWEST_NEUROIDS = 6
"""With fewer pairs no outcome of a signed-rank test is significant at .05 on either side (2 / 2^5 = .0625).

Of a recording of fewer the images alone are drawn; where fewer of a larger one are reliable, nothing is tested.
"""

FEWEST_DRAWS = 100
TOLD = ("simulated", "benchmark", "n_stimuli", "n_splits", "image_groups")

Images = Literal["refitted", "bootstrap"]
NEEDED: dict[Images, tuple[str, str]] = {
    "refitted": ("without_group", "image_groups=10 (neurofit score --image-groups 10)"),
    "bootstrap": ("prediction", "keep_predictions=True (neurofit score --predictions)"),
}
"""Variable of a score that each way of drawing images needs, and how a score comes to have it."""


@dataclass(frozen=True)
class _Test:
    """How differences are tested; see `compare`."""

    images: Images
    level: float
    n_draws: int
    random_state: int


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Parameters
    ----------
    first, second : str
        Names of the subjects; a positive difference is in favour of the first.
    bins, windows : DataFrame
        One row per time bin, or window (column `window`): start and end in ms; `first`, `second` (trimmed means over
        the neuroids counted in both), `difference` (trimmed mean of the paired differences), `low`, `high` (its
        interval), `error`, `p`, `p_corrected` (images and neuroids), `p_wilcoxon`, `p_wilcoxon_corrected` (neuroids
        alone), `effect_size` (rank-biserial correlation), `share` (of neuroids in favour of the first), `neuroids`,
        `significant`.
    attrs : mapping
        Formula, what was drawn, level, and what both scores share: scalars and strings.
    """

    first: str
    second: str
    bins: pd.DataFrame
    windows: pd.DataFrame
    attrs: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a record."""
        tables = {"windows": self.windows.to_dict("records"), "time_bins": self.bins.to_dict("records")}
        return {"first": self.first, "second": self.second, **self.attrs, **tables}


def compare(
    first: xr.Dataset,
    second: xr.Dataset,
    *,
    windows: Mapping[str, Window] | None = None,
    images: Images = "refitted",
    level: float = 0.95,
    n_draws: int = 2000,
    random_state: int = 0,
) -> Comparison:
    """Compare how well two subjects predict the same recording.

    Parameters
    ----------
    first, second : xarray.Dataset
        Scores of one benchmark, with images left out in groups (`run(..., image_groups=10)`), or with predictions
        (`run(..., keep_predictions=True)`) for `images='bootstrap'`.
    windows : mapping from name to (start, end) in ms, optional
        `scoring.windows.default_windows` of the region by default.
    images : {'refitted', 'bootstrap'}
        How the images might have been others.
    level : float
        Of the intervals; differences are significant at 1 - level after correction. 0.95.
    n_draws : int
        2000.
    random_state : int
        Of the draws.

    Returns
    -------
    Comparison

    Raises
    ------
    AlignmentError
        If the scores differ in anything but the subject.
    ConfigurationError
        If a score does not know how it depends on the images, or a number is out of range.
    """
    check_comparable([first, second], images)
    # a p value is at least 1 / (draws + 1): with fewer nothing could be significant
    if not 0 < level < 1 or n_draws < max(FEWEST_DRAWS, 1 / (1 - level)):
        raise ConfigurationError(
            f"a level lies between 0 and 1, and there are {FEWEST_DRAWS} draws and 1 / (1 - level) or more",
            f"level is {level}, n_draws {n_draws}",
            "use 0.95 and 2000",
        )
    bins = time_bins_of(first["predictivity"])
    region = str(first.attrs.get("region", ""))
    inside = bins_in_windows(bins, default_windows(region) if windows is None else windows, all_named=bool(windows))
    test = _Test(images, level, n_draws, random_state)
    values, replicates = _paired(first, second, test)
    edges = pd.DataFrame(bins, columns=[TIME_BIN_START, TIME_BIN_END])
    spans = [(name, bins[i[0]][0], bins[i[-1]][1]) for name, i in inside.items()]
    named = pd.DataFrame(spans, columns=["window", TIME_BIN_START, TIME_BIN_END])
    attrs = {name: first.attrs[name] for name in (*SAME_FOR_BOTH, *TOLD) if name in first.attrs}
    formula = formula_named(str(first.attrs["formula"]))
    attrs["values"] = "corrected" if formula.corrects and not formula.on_aggregates else "raw"
    one, other = names_of([first, second])
    return Comparison(
        one,
        other,
        edges.join(_tested(values, replicates, test)),
        named.join(_tested(_windowed(values, inside), _windowed(replicates, inside), test)),
        attrs | asdict(test),
    )


def check_comparable(scores: Sequence[xr.Dataset], images: Images = "refitted") -> None:
    """Raise unless the scores differ in nothing but the subject.

    Raises
    ------
    AlignmentError
        Naming what differs.
    ConfigurationError
        If a score does not know how it depends on the images.
    """
    if images not in NEEDED:
        raise UnknownNameError("way of drawing images", images, NEEDED)
    variable, option = NEEDED[images]
    for score in scores:
        if (metric := score.attrs.get("metric", "predictivity")) != "predictivity":
            raise ConfigurationError(
                "predictivities are compared, neuroid by neuroid",
                f"the score of {name_of(score)} has the metric '{metric}', which is of a population as a whole",
                "score with the metric 'predictivity'",
            )
        if variable not in score:
            raise ConfigurationError(
                f"a comparison with images '{images}' knows how each score depends on them",
                f"the score of {name_of(score)} was made without '{variable}'",
                f"score again with {option}",
            )
    first = scores[0]
    needed = SAME_FOR_BOTH | ({"image_groups": "groups of images"} if images == "refitted" else {})
    for other in scores[1:]:
        different = [
            f"{what} ({_told(first, name)} and {_told(other, name)})"
            for name, what in needed.items()
            if _told(first, name) != _told(other, name)
        ]
        if time_bins_of(first["predictivity"]) != time_bins_of(other["predictivity"]):
            different.insert(0, f"time bins ({first.sizes['time_bin']} and {other.sizes['time_bin']})")
        if different:
            raise AlignmentError(
                "subjects are compared where all else is equal",
                f"{name_of(first)} and {name_of(other)} were scored with different {listed(different, 4)}",
                "score both with the same benchmark and options",
            )


def _told(score: xr.Dataset, name: str) -> str:
    """Return an attribute as it is compared: a mapping is the same wherever it was computed."""
    return re.sub(r"(, )?device='[^']*'", "", str(score.attrs.get(name, "not named")))


def name_of(score: xr.Dataset) -> str:
    """Return the subject and layer of a score."""
    subject, layer = score.attrs.get("subject", "unnamed"), score.attrs.get("layer")
    return f"{subject} ({layer})" if layer else str(subject)


def names_of(scores: Sequence[xr.Dataset]) -> list[str]:
    """Return subjects and layers, and the static modes of those that would be called alike without."""
    names = [name_of(score) for score in scores]
    modes = [score.attrs.get("source_static_mode", "own") for score in scores]
    return [f"{n}, {mode}" if names.count(n) > 1 and mode != "own" else n for n, mode in zip(names, modes, strict=True)]


def neuroid_values(score: xr.Dataset) -> np.ndarray:
    """Return each neuroid's predictivity (q, T), mean over splits; raw where the formula corrects aggregates only."""
    name = "predictivity_corrected" if "predictivity_corrected" in score else "predictivity"
    return nan_mean(score[name].values, 0)


def _paired(first: xr.Dataset, second: xr.Dataset, test: _Test) -> tuple[np.ndarray, np.ndarray]:
    """Return values (2, q, T) and those with other images (2, K, q, T), NaN where either subject's is."""
    values = np.stack([neuroid_values(first), neuroid_values(second)])
    both = np.isfinite(values).all(0)
    if test.images == "refitted":
        replicates = [score["without_group"].values for score in (first, second)]
    else:
        replicates = [with_images_drawn(score, test.n_draws, test.random_state) for score in (first, second)]
    return np.where(both, values, np.nan), np.where(both, np.stack(replicates), np.nan)


def _windowed(values: np.ndarray, windows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Average bins (..., T) into windows."""
    return np.stack([nan_mean(values[..., inside], -1) for inside in windows.values()], -1)


def _tested(values: np.ndarray, replicates: np.ndarray, test: _Test) -> pd.DataFrame:
    """Return one row for each of T quantities of neuroids (2, q, T) and of neuroids with other images (2, K, q, T)."""
    differences = values[0] - values[1]
    n = np.isfinite(differences).sum(0)
    centre = trimmed_mean(differences)
    other_images = trimmed_mean((replicates[0] - replicates[1]).swapaxes(0, 1))  # (K, T)
    if test.images == "refitted":
        deviations = draw_images(other_images, test.n_draws, test.random_state)
    else:
        deviations = np.nan_to_num(other_images - nan_mean(other_images))
    if sampled := len(differences) >= FEWEST_NEUROIDS:  # a few neuroids are themselves, not a sample of others
        deviations = deviations + np.nan_to_num(draw_neuroids(differences, test.n_draws, test.random_state + 1))
    enough = n >= (FEWEST_NEUROIDS if sampled else 1)
    tested = against_zero(np.where(enough, centre, np.nan), deviations, test.level)
    signed_rank = [_wilcoxon(d[np.isfinite(d)]) for d in differences.T]
    first, second = trimmed_mean(values[0]), trimmed_mean(values[1])
    return pd.DataFrame(
        {
            "first": first,
            "second": second,
            "difference": centre,
            "low": tested.low,
            "high": tested.high,
            "error": tested.error,
            "p": tested.p,
            "p_corrected": tested.p_corrected,
            "p_wilcoxon": signed_rank,
            "p_wilcoxon_corrected": holm(signed_rank),
            "effect_size": [rank_biserial(d) for d in differences.T],
            "share": np.where(n > 0, (differences > 0).sum(0) / np.maximum(n, 1), np.nan),
            "neuroids": n,
            "significant": np.nan_to_num(tested.p_corrected, nan=1.0) < 1 - test.level,
        }
    )


def _wilcoxon(differences: np.ndarray) -> float:
    """Return the p value of Wilcoxon's signed-rank test; NaN for too few neuroids, or no difference in any."""
    if len(differences) < FEWEST_NEUROIDS or not differences.any():
        return float("nan")
    return float(wilcoxon(differences, zero_method="zsplit").pvalue)
