"""What a search found: its trials as rows, and the architectures that can be taken out of it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from neurofit.errors import ConfigurationError
from neurofit.files.json_text import NUMBER, misfit
from neurofit.models.entry import ZooEntry
from neurofit.models.entry import layers_by_region as regions
from neurofit.models.network import NetworkConfig
from neurofit.models.preprocessing import Preprocessing
from neurofit.training.search_space import Candidate, sample
from neurofit.training.search_study import OBJECTIVES, StudySpec, reading_study
from neurofit.training.search_trials import DEATHS, FAILURE, MEASURED, RETRY_OF, SECONDS, outcome

PICKS = ("best", "median", "random")

_ATTRIBUTES = {MEASURED: {...: NUMBER}, FAILURE: str, RETRY_OF: int, DEATHS: int, SECONDS: NUMBER}
_FEWEST_FOR_IMPORTANCE = 10


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Parameters
    ----------
    number : int
    outcome : str
        See `search_trials.OUTCOMES`.
    values : tuple of float
        Of the objectives; empty unless complete.
    measured : mapping
        Whatever was measured: top1, parameters, macs ...
    params : mapping
        What was drawn.
    reason : str
        Why it failed.
    retry_of : int or None
        The trial that it repeats.
    deaths : int
        Workers that it had cost before.
    seconds : float
        NaN unless finished.
    """

    number: int
    outcome: str
    values: tuple[float, ...]
    measured: Mapping[str, float]
    params: Mapping[str, Any]
    reason: str
    retry_of: int | None
    deaths: int
    seconds: float


def trial_rows(study: optuna.Study) -> list[TrialRow]:
    """Return the trials of a study, in the order in which they were begun."""
    with reading_study(f"the study '{study.study_name}'"):
        return [_row(trial) for trial in study.get_trials(deepcopy=False)]


def _row(trial: optuna.trial.FrozenTrial) -> TrialRow:
    kind, attrs = outcome(trial), trial.user_attrs
    if found := misfit(attrs, _ATTRIBUTES):
        raise ValueError(f"of trial {trial.number}, {found}")
    return TrialRow(
        number=trial.number,
        outcome=kind,
        values=tuple(map(float, trial.values)) if kind == "complete" else (),
        measured=attrs.get(MEASURED, {}),
        params=dict(trial.params),
        reason=attrs[FAILURE] if kind == "failed" else "",
        retry_of=attrs.get(RETRY_OF),
        deaths=attrs.get(DEATHS, 0),
        seconds=float(attrs.get(SECONDS, np.nan)),
    )


def count_outcomes(rows: Sequence[TrialRow]) -> dict[str, int]:
    """Return how many trials there are of each outcome, and of each reason to fail."""
    return dict(Counter(row.outcome for row in rows)) | {
        f"failed: {reason}": count for reason, count in sorted(Counter(r.reason for r in rows if r.reason).items())
    }


def ranked(rows: Sequence[TrialRow], spec: StudySpec) -> list[TrialRow]:
    """Return the complete trials, the best by the first objective first; of equal ones, the earlier."""
    sign = -1 if OBJECTIVES[spec.objectives[0]].direction == "maximize" else 1
    return sorted((row for row in rows if row.values), key=lambda row: (sign * row.values[0], row.number))


def pareto_front(rows: Sequence[TrialRow], spec: StudySpec) -> list[TrialRow]:
    """Return the complete trials that no other beats in one objective without losing in another, by the first."""
    signs = np.array([-1 if OBJECTIVES[name].direction == "maximize" else 1 for name in spec.objectives])
    complete = ranked(rows, spec)
    values = np.array([row.values for row in complete]).reshape(-1, len(signs)) * signs
    beaten = [bool(((values <= own).all(1) & (values < own).any(1)).any()) for own in values]
    return [row for row, is_beaten in zip(complete, beaten, strict=True) if not is_beaten]


def pick(rows: Sequence[TrialRow], spec: StudySpec, which: str, seed: int = 0) -> TrialRow:
    """Return one complete trial.

    Parameters
    ----------
    rows : sequence of TrialRow
    spec : StudySpec
    which : str
        'best' or 'median' by the first objective (of an even number, the better of the two in the middle), 'random' of
        all that are complete, or the number of a trial. 'best', 'median' and 'random' are the paper's three.
    seed : int
        Of 'random'.

    Raises
    ------
    ConfigurationError
        If no trial is complete, or that one is not.
    """
    complete = ranked(rows, spec)
    if not complete:
        raise ConfigurationError("a study has a complete trial to pick", "there is none yet", "let it go on")
    if which == "best":
        return complete[0]
    if which == "median":
        return complete[(len(complete) - 1) // 2]
    if which == "random":
        return sorted(complete, key=lambda row: row.number)[np.random.default_rng(seed).integers(len(complete))]
    chosen = [row for row in complete if str(row.number) == which]
    if not chosen:
        raise ConfigurationError(
            "a pick is best, median, random, or the number of a complete trial", f"got '{which}'", "see search show"
        )
    return chosen[0]


def candidate_of(row: TrialRow, spec: StudySpec) -> Candidate:
    """Return the network of a trial."""
    with reading_study(f"trial {row.number}"), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of values that the space does not have
        return sample(optuna.trial.FixedTrial(dict(row.params), row.number), spec.space)


def entry_of(row: TrialRow, spec: StudySpec, study: str) -> ZooEntry:
    """Return a trial's network as an entry that can be written to a file and trained in full.

    The last three stages are compared with V4, pIT, and the rest of IT, as those of the shallow networks are.
    """
    candidate = candidate_of(row, spec)
    name = spec.objectives[0]
    drawn = ", ".join(
        f"{key.replace('_', ' ')} {getattr(candidate, key):.3g}"
        for key in ("learning_rate", "weight_decay")
        if getattr(candidate, key) is not None
    )
    return ZooEntry(
        f"trial {row.number} of study {study}: {OBJECTIVES[name].label} {row.values[0]:.3f} in the search"
        + (f", with {drawn}" if drawn else ""),
        candidate.network,
        Preprocessing(candidate.network.input_px),
        layers_by_region(candidate.network),
        candidate.presentation,
    )


def layers_by_region(network: NetworkConfig) -> dict[str, str]:
    """Return which stage is compared with which region: the last but two with V4, the last but one with pIT."""
    names = [node.name for node in network.nodes]
    return regions(*([names[0]] * 3 + names)[-3:])


def importances(study: optuna.Study, spec: StudySpec) -> dict[str, float]:
    """Return how much each parameter mattered for being among the best tenth, largest first; they sum to 1.

    By PED-ANOVA, Optuna's default (Watanabe et al., 2023, arXiv:2304.10255): it compares the distribution of each
    parameter among the best with that among all, asks for no model, and has no interactions. With several objectives,
    the first. Empty where fewer than 10 trials are complete.
    """
    complete = [trial for trial in study.get_trials(deepcopy=False) if outcome(trial) == "complete"]
    if len(complete) < _FEWEST_FOR_IMPORTANCE:
        return {}
    sign = -1 if OBJECTIVES[spec.objectives[0]].direction == "maximize" else 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PedAnova", UserWarning)  # that low targets are good, which is why they are
        return optuna.importance.get_param_importances(study, target=lambda trial: sign * trial.values[0])
