"""Which trials a study has, who works on them, and what happens to those whose worker died.

Optuna knows a trial's state; here it has one of `OUTCOMES`. A worker that is killed leaves its trial running: it stops
to give signs of life, is *given up*, and its parameters are tried again in a new trial. Optuna's own heartbeat exists
for databases alone; this one is a number in the trial, which every storage keeps, and is timed by who watches it, so
that clocks of several machines need not agree.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

Outcome = Literal["complete", "pruned", "failed", "given up", "surplus", "running", "waiting"]
OUTCOMES: dict[Outcome, str] = {
    "complete": "trained and measured",
    "pruned": "stopped early, since others were better by then",
    "failed": "no network, or one that cannot be trained; the reason is kept",
    "given up": "its worker died or was interrupted; tried again as another trial",
    "surplus": "begun by two workers at once for the last place, and dropped at once",
    "running": "being trained",
    "waiting": "to be tried again",
}
MOST_DEATHS = 3
"""Workers that a trial may cost before it counts as failed: one that needs too much memory kills them all."""

FAILURE, MEASURED, RETRY_OF, DEATHS, SECONDS = "failure", "measured", "retry_of", "deaths", "seconds"
_SURPLUS, _BEAT = "surplus", "beat"
_FINISHED = ("complete", "pruned", "failed")


def outcome(trial: FrozenTrial) -> Outcome:
    """Return what became of a trial.

    Failed ones are Optuna's PRUNED where there is one objective, so that its samplers learn from them.
    """
    if trial.state == TrialState.RUNNING:
        return "running"
    if trial.state == TrialState.WAITING:
        return "waiting"
    if trial.state == TrialState.COMPLETE:
        return "complete"
    if FAILURE in trial.user_attrs:
        return "failed"
    if trial.state == TrialState.PRUNED:
        return "pruned"
    return "surplus" if _SURPLUS in trial.user_attrs else "given up"


def is_finished(trial: FrozenTrial) -> bool:
    """Return whether a trial has used its part of the budget."""
    return outcome(trial) in _FINISHED


def is_counted(trial: FrozenTrial) -> bool:
    """Return whether a trial uses a part of the budget, or will."""
    return outcome(trial) not in ("given up", "surplus")


def origin(trial: FrozenTrial | optuna.Trial) -> int:
    """Return the number of a trial, or of the one that it repeats."""
    return trial.user_attrs.get(RETRY_OF, trial.number)


class Claims:
    """One worker's view of a study: takes trials until the budget is used, and gives up those of dead workers.

    Parameters
    ----------
    study : optuna.Study
    budget : int
        Finished trials of the whole study.
    patience_s : float
        For how long a trial may give no sign of life.
    note : callable
        Gets remarks.
    """

    def __init__(self, study: optuna.Study, budget: int, patience_s: float, note: Callable[[str], None]) -> None:
        self.study, self.budget, self.patience_s, self.note = study, budget, patience_s, note
        self._seen: dict[int, tuple[Any, float]] = {}

    def take(self) -> optuna.Trial | None:
        """Return a trial to work on; None when the budget is used. Waits while others work on the last ones."""
        waits = False
        while True:
            trials = self._trials()
            self._give_up_dead(trials)
            counted = [trial for trial in trials if is_counted(trial)]
            if sum(map(is_finished, counted)) >= self.budget:
                return None
            if len(counted) < self.budget or any(outcome(trial) == "waiting" for trial in counted):
                taken = self._ask()
                if taken is not None:
                    return taken
            elif not waits:
                waits = True
                running = sum(outcome(trial) == "running" for trial in counted)
                self.note(f"waiting for {running} trial{'s' * (running > 1)} of other workers")
            time.sleep(min(1.0, self.patience_s / 10))

    def _trials(self) -> Sequence[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _ask(self) -> optuna.Trial | None:
        """Take a trial, unless others have taken the last places since the trials were counted."""
        trial = self.study.ask()
        before = sum(is_counted(other) for other in self._trials() if other.number < trial.number)
        if before < self.budget:
            return trial
        trial.set_user_attr(_SURPLUS, True)
        self.study.tell(trial, state=TrialState.FAIL)
        return None

    def _give_up_dead(self, trials: Sequence[FrozenTrial]) -> None:
        now = time.monotonic()
        for trial in trials:
            if outcome(trial) != "running":
                self._seen.pop(trial.number, None)
                continue
            beat, since = self._seen.setdefault(trial.number, (trial.user_attrs.get(_BEAT), now))
            if trial.user_attrs.get(_BEAT) != beat:
                self._seen[trial.number] = (trial.user_attrs.get(_BEAT), now)
            elif now - since > self.patience_s and give_up(self.study, trial, died=True):
                self.note(f"trial {trial.number} gave no sign of life for {self.patience_s:g} s: tried again")


def give_up(study: optuna.Study, trial: FrozenTrial, died: bool) -> bool:
    """Give up a running trial and have its parameters tried again; False where somebody else has ended it.

    A process that dies between the two leaves a trial that is not counted, in whose place another is drawn.
    """
    deaths = trial.user_attrs.get(DEATHS, 0) + died
    try:
        if deaths > MOST_DEATHS:
            optuna.Trial(study, trial._trial_id).set_user_attr(FAILURE, f"its worker died, {deaths} times")
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
        return False
    if deaths > MOST_DEATHS:
        return True
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={RETRY_OF: origin(trial), DEATHS: deaths},
        )
    )
    return True


class Beating:
    """Gives signs of life for a trial while it is worked on, from a thread.

    Parameters
    ----------
    trial : optuna.Trial
    every_s : float
    """

    def __init__(self, trial: optuna.Trial, every_s: float) -> None:
        self.trial, self.every_s = trial, every_s
        self.lost = False
        """Whether the trial was given up by others, who thought this worker dead."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Beating:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        count = 0
        while not self._stop.wait(self.every_s if count else 0):
            count += 1
            try:
                self.trial.storage.set_trial_user_attr(self.trial._trial_id, _BEAT, count)
            except optuna.exceptions.UpdateFinishedTrialError:
                self.lost = True
                return
            except optuna.exceptions.StorageInternalError:
                continue  # a storage that is busy for a while: the next sign of life may pass
        self.trial.storage.remove_session()
