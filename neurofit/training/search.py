"""Search architectures: a worker takes trials of a study, draws their networks, and has them measured.

Many workers may attach to one study; none knows of the others but through its storage (`search_study`,
`search_trials`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.trial import TrialState

from neurofit.errors import NeurofitError
from neurofit.models.description import count_parameters
from neurofit.training.search_space import Candidate, sample
from neurofit.training.search_study import OBJECTIVES, StudySpec, make_sampler, trial_seed
from neurofit.training.search_trials import (
    FAILURE,
    MEASURED,
    SECONDS,
    Beating,
    Claims,
    give_up,
    is_finished,
    origin,
)

PATIENCE_S = 60.0
_BEATS = 4  # signs of life within the patience of the others

AfterEpoch = Callable[[int, float], None]
"""Called with the epoch, which counts from 1, and the accuracy after it; may raise."""


class Measure(Protocol):
    """What a candidate is worth."""

    def __call__(self, candidate: Candidate, seed: int, after_epoch: AfterEpoch) -> Mapping[str, float]:
        """Return what was measured, by names of which some are `OBJECTIVES`.

        Raises
        ------
        NotTrainableError
            If the candidate cannot be trained. Any other error ends the worker, and the trial is tried again.
        """


class NotTrainableError(Exception):
    """A network cannot be trained; says why, in words that are the same for all trials of that kind.

    Parameters
    ----------
    reason : str
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class _LostError(Exception):
    """Others thought this worker dead, and gave its trial up."""


@dataclass(frozen=True)
class Finished:
    """A trial that this worker ended.

    Parameters
    ----------
    number : int
    state : str
        'complete', 'pruned' or 'failed'.
    values : tuple of float
        Of the objectives, in their order; empty unless complete.
    measured : mapping
    reason : str
        Why it failed.
    seconds : float
    """

    number: int
    state: str
    values: tuple[float, ...] = ()
    measured: Mapping[str, float] | None = None
    reason: str = ""
    seconds: float = 0.0


def work(
    study: optuna.Study,
    spec: StudySpec,
    measure: Measure,
    trials: int,
    *,
    report: Callable[[Finished], None] = lambda finished: None,
    note: Callable[[str], None] = lambda text: None,
    patience_s: float = PATIENCE_S,
) -> int:
    """Work on a study until it has its trials; return how many of them this worker finished.

    Parameters
    ----------
    study : optuna.Study
        Of `search_study.attach`.
    spec : StudySpec
    measure : Measure
    trials : int
        Finished trials (complete, pruned or failed) of the whole study, by all workers together.
    report : callable
        Called with every trial that this worker ends.
    note : callable
        Gets remarks on other workers.
    patience_s : float
        Seconds without a sign of life after which a trial is given up and tried again; a worker gives one four times
        in so long. 60 by default: a busy database may keep a writer waiting for seconds.

    Raises
    ------
    KeyboardInterrupt
        As it came; the trial that was interrupted will be tried again.
    NeurofitError
        Whatever else is wrong than a candidate; the trial likewise.
    """
    claims, done = Claims(study, trials, patience_s, note), 0
    while (trial := claims.take()) is not None:
        finished = _one(study, spec, measure, trial, patience_s)
        if finished is None:
            note(f"trial {trial.number} was given to another worker meanwhile")
            continue
        done += 1
        report(finished)
    return done


def _one(
    study: optuna.Study, spec: StudySpec, measure: Measure, trial: optuna.Trial, patience_s: float
) -> Finished | None:
    """Work on one trial; None where others gave it up."""
    began = time.perf_counter()
    study.sampler = make_sampler(spec, origin(trial))
    prunes = len(spec.objectives) == 1
    try:
        with Beating(trial, patience_s / _BEATS) as beating:
            measured = measure_trial(
                trial, spec, measure, lambda epoch, top1: _watch(trial, beating, prunes, epoch, top1)
            )
        trial.set_user_attr(MEASURED, dict(measured))
        trial.set_user_attr(SECONDS, time.perf_counter() - began)
        values = [OBJECTIVES[name].value(measured[name]) for name in spec.objectives]
        study.tell(trial, values)
        return Finished(trial.number, "complete", tuple(values), measured, seconds=time.perf_counter() - began)
    except (_LostError, optuna.exceptions.UpdateFinishedTrialError):
        return None
    except optuna.TrialPruned:
        return _end(study, trial, "pruned", TrialState.PRUNED, began)
    except NotTrainableError as failure:
        # samplers of one objective learn from what is PRUNED, not from what is FAIL
        state = TrialState.PRUNED if prunes else TrialState.FAIL
        return _end(study, trial, "failed", state, began, failure.reason)
    except BaseException:
        _release(study, trial)
        raise


def measure_trial(trial: Any, spec: StudySpec, measure: Measure, after_epoch: AfterEpoch) -> Mapping[str, float]:
    """Draw a trial's network and have it measured.

    Raises
    ------
    NotTrainableError
        If it is no network, or what was measured is not finite.
    """
    try:
        candidate = sample(trial, spec.space)
        count_parameters(candidate.network)  # feedback into a cell that is not there is found by building it
    except NeurofitError as error:
        raise NotTrainableError(f"no network: {error.promise}") from error
    measured = measure(candidate, trial_seed(spec.seed, origin(trial)), after_epoch)
    for name in spec.objectives:
        if not math.isfinite(measured[name]):
            raise NotTrainableError(f"{OBJECTIVES[name].label} is not finite")
    return measured


def _watch(trial: optuna.Trial, beating: Beating, prunes: bool, epoch: int, top1: float) -> None:
    """Report an epoch; raise where the trial is not to go on."""
    if beating.lost:
        raise _LostError
    if prunes:
        trial.report(top1, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned


def _end(
    study: optuna.Study, trial: optuna.Trial, outcome: str, state: TrialState, began: float, reason: str = ""
) -> Finished | None:
    """End a trial that has no value."""
    seconds = time.perf_counter() - began
    try:
        trial.set_user_attr(SECONDS, seconds)
        if reason:
            trial.set_user_attr(FAILURE, reason)
        study.tell(trial, state=state)
    except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
        return None
    return Finished(trial.number, outcome, reason=reason, seconds=seconds)


def _release(study: optuna.Study, trial: optuna.Trial) -> None:
    """Have a trial that could not be worked on to its end tried again."""
    frozen = study.get_trials(deepcopy=False)[trial.number]
    give_up(study, frozen, died=False)


def finished_trials(study: optuna.Study) -> int:
    """Return how many trials of a study are complete, pruned or failed."""
    return sum(map(is_finished, study.get_trials(deepcopy=False)))
