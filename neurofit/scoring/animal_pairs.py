"""One row per pair of animals, drawn from inter-animal scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.inter_animal import COMMON_STIMULI, NO_SOURCE, SOURCE_ANIMALS, SOURCE_NEUROIDS
from neurofit.scoring.summary import headline_of_neuroids
from neurofit.vocabulary import NEUROID, SUBJECT


def pair_table(scores: Sequence[xr.Dataset], aggregation: AggregationSpec | None = None) -> pd.DataFrame:
    """Return one row per source and target animal.

    Parameters
    ----------
    scores : sequence of xarray.Dataset
        Of `inter_animal_consistency`; rows that several give are given once.
    aggregation : AggregationSpec, optional

    Returns
    -------
    DataFrame
        source, target; source_neuroids, stimuli, neuroids; raw, corrected, low, high (mean over the bins of the
        window, median over the target's neuroids, bootstrap over them), consistency, counted, excluded.
    """
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for score in (score for score in scores if score.attrs["source"] != NO_SOURCE):
        for key, part in parts_by_pair(score).items():
            found = headline_of_neuroids(part, aggregation)
            rows[key] = {
                "source": key[0],
                "target": key[1],
                "source_neuroids": int(part[SOURCE_NEUROIDS][0]),
                "stimuli": int(part[COMMON_STIMULI][0]),
                "neuroids": part.sizes[NEUROID],
                "raw": found.raw,
                "corrected": found.value,
                "low": found.low,
                "high": found.high,
                "consistency": found.ceiling,
                "counted": found.neuroids_counted,
                "excluded": found.neuroids_excluded,
            }
    return pd.DataFrame(list(rows.values()))


def parts_by_pair(score: xr.Dataset) -> dict[tuple[str, str], xr.Dataset]:
    """Divide a score by (source animals, target animal)."""
    sources, targets = (score[name].values.astype(str) for name in (SOURCE_ANIMALS, SUBJECT))
    pairs = dict.fromkeys(zip(sources.tolist(), targets.tolist(), strict=True))
    return {
        (one, two): score.isel({NEUROID: np.flatnonzero((sources == one) & (targets == two))}) for one, two in pairs
    }
