"""Who is recorded in the simulation: numbers of neuroids, their time courses, rates and tuning to the latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neurofit.assembly.time_bins import make_time_bins
from neurofit.vocabulary import NEUROID_ID, REGION, SUBJECT, SUBREGION

BIN_MS, PRESENTATION_MS = 10, 100
# 0-260 ms, as the ConvRNN papers compare (specification of the ConvRNN papers, section 5).
TIME_BINS = tuple(make_time_bins(0, 260, BIN_MS))

_RISE_MS, _TRANSIENT_MS, _SUSTAINED, _FALL_MS = 9.0, 30.0, 0.6, 14.0
_LATE_DELAY_MS, _LATE_DURATION_MS = (40.0, 70.0), (100.0, 140.0)
_BASE_SHARE = (0.04, 0.15)  # of the peak rate, before the stimulus acts


@dataclass(frozen=True)
class Population:
    """The neuroids of one subregion.

    Parameters
    ----------
    region, subregion : str
    counts : mapping of subject to number of neuroids
        88 V4 and 168 IT = 88 pIT + 80 aIT together, as in the recordings that the ConvRNN papers used.
    latency_ms : (float, float)
        Range of the first response over neuroids.
    peak_hz : (float, float)
        Median over neuroids of the mean rate at the peak, and the standard deviation of its logarithm. Multi-unit
        rates, tuned until the split-half consistency came near the curves of the papers' figure (section 6.4).
    tuning : (float, float)
        Range of m, the depth of modulation by the image.
    late_gain : (float, float)
        Range of the late component's peak relative to the early one's.
    early, late : mapping of part of the latents to share of the tuning's variance
    """

    region: str
    subregion: str
    counts: Mapping[str, int]
    latency_ms: tuple[float, float]
    peak_hz: tuple[float, float]
    tuning: tuple[float, float]
    late_gain: tuple[float, float]
    early: Mapping[str, float]
    late: Mapping[str, float]

    @property
    def size(self) -> int:
        """Number of neuroids."""
        return sum(self.counts.values())

    def neuroids(self) -> pd.DataFrame:
        """Return one row per neuroid: neuroid_id, subject, region, subregion."""
        rows = [
            (f"{subject}-{self.subregion}-{k:03d}", subject, self.region, self.subregion)
            for subject, count in self.counts.items()
            for k in range(count)
        ]
        return pd.DataFrame(rows, columns=[NEUROID_ID, SUBJECT, REGION, SUBREGION])


POPULATIONS = (
    Population(
        "V4",
        "V4",
        counts={"sim-A": 70, "sim-B": 18},
        latency_ms=(50, 70),
        peak_hz=(108, 0.5),
        tuning=(0.7, 1.0),
        late_gain=(0.3, 0.6),
        early={"image": 1.0},
        late={"image": 0.4, "late_identity": 0.6},
    ),
    Population(
        "IT",
        "pIT",
        counts={"sim-A": 46, "sim-B": 42},
        latency_ms=(70, 85),
        peak_hz=(125, 0.5),
        tuning=(0.7, 1.0),
        late_gain=(0.5, 1.0),
        early={"image": 0.6, "early_identity": 0.15, "pose": 0.25},
        late={"image": 0.2, "pose": 0.2, "late_identity": 0.6},
    ),
    Population(
        "IT",
        "aIT",
        counts={"sim-A": 38, "sim-B": 42},
        latency_ms=(80, 100),
        peak_hz=(65, 0.5),
        tuning=(0.65, 1.0),
        late_gain=(0.4, 0.8),
        early={"image": 0.25, "early_identity": 0.5, "pose": 0.25},
        late={"pose": 0.2, "late_identity": 0.8},
    ),
)


def early_course(latency_ms: np.ndarray) -> np.ndarray:
    """Return the course (N, T), peak 1, of the stimulus-driven response.

    Zero before the latency (N,), then a transient and a sustained part; both fall once the stimulus has been gone for
    as long as the latency.
    """
    since = _bin_centres() - latency_ms[:, None]
    on = since.clip(0)
    course = (1 - np.exp(-on / _RISE_MS)) * (_SUSTAINED + (1 - _SUSTAINED) * np.exp(-on / _TRANSIENT_MS))
    course = course * np.exp(-(since - PRESENTATION_MS).clip(0) / _FALL_MS)
    return course / course.max(1, keepdims=True)


def late_course(onset_ms: np.ndarray, duration_ms: np.ndarray, centres_ms: np.ndarray | None = None) -> np.ndarray:
    """Return the course (N, T), peak 1, of the recurrent response: one smooth hump from its onset (N,) on."""
    centres = _bin_centres() if centres_ms is None else centres_ms
    phase = (centres - onset_ms[:, None]) / duration_ms[:, None]
    return np.sin(np.pi * phase.clip(0, 1)) ** 2


def draw_courses(population: Population, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the base (N,) and the early and late courses (2, N, T) of a population, in mean counts per bin."""
    size = population.size
    median, spread = population.peak_hz
    peak = median * np.exp(spread * rng.standard_normal(size)) * BIN_MS / 1000
    latency = rng.uniform(*population.latency_ms, size)
    onset = latency + rng.uniform(*_LATE_DELAY_MS, size)
    late = late_course(onset, rng.uniform(*_LATE_DURATION_MS, size)) * rng.uniform(*population.late_gain, size)[:, None]
    base = peak * rng.uniform(*_BASE_SHARE, size)
    return base, np.stack([early_course(latency), late]) * peak[:, None]


def draw_tuning(
    population: Population, parts: Mapping[str, int], latents: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw the weights (2, D, N) of the early and late tuning to the latents (n, D).

    `latents @ weights[c]` lies within [-m, m] of each neuroid. Cubed normal deviates make a few latents dominate a
    neuroid.
    """
    size = population.size
    depth = rng.uniform(*population.tuning, size)
    weights = []
    for shares in (population.early, population.late):
        scale = np.concatenate(
            [np.full(count, np.sqrt(shares.get(part, 0.0) / count)) for part, count in parts.items()]
        )
        drawn = rng.standard_normal((latents.shape[1], size)) ** 3 * scale[:, None]
        weights.append(drawn * depth / np.abs(latents @ drawn).max(0))
    return np.stack(weights)


def _bin_centres() -> np.ndarray:
    return np.asarray(TIME_BINS).mean(1)
