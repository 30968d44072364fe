"""A score that is planned before it runs, where what it takes can be predicted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.metrics import PREDICTIVITY
from neurofit.scoring.plan import Planned, plan_run
from neurofit.scoring.run import Target, load_target
from neurofit.subjects.library import LoadedSubject
from neurofit.subjects.model_subject import ModelSubject


def fit_into_memory(
    benchmark: Benchmark,
    subject: LoadedSubject,
    layer: str,
    *,
    limit_bytes: int,
    data: str | Path | None = None,
    mapping_device: str = "cpu",
    timed: bool = False,
    load: Callable[[Benchmark, str | Path | None], Target] = load_target,
) -> Planned | None:
    """Plan a score so that it keeps to its memory; see `plan_run`.

    Parameters
    ----------
    benchmark, subject, layer, data, mapping_device
        See `neurofit.run`.
    limit_bytes, timed
        See `plan_run`.
    load : callable
        Loads the target, given benchmark and data.

    Returns
    -------
    Planned or None
        None where the memory is not predicted: of other metrics than predictivity, of subjects without a network, of
        compiled networks, and of mappings on another device than the CPU unless the plan alone is asked for.

    Raises
    ------
    ConfigurationError
        If it does not fit in any way.
    """
    if benchmark.metric.kind != PREDICTIVITY:
        return None
    if not isinstance(subject, ModelSubject) or subject.execution.compiled:
        return None
    if mapping_device != "cpu" and not timed:
        return None
    return plan_run(benchmark, subject, layer, load(benchmark, data), limit_bytes=limit_bytes, timed=timed)
