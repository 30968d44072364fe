"""The processes of ``neurofit search run``: what one works on, and how several are started."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from neurofit.cli.output import Output, size_in_bytes

if TYPE_CHECKING:
    from neurofit.training.search import Finished
    from neurofit.training.search_measure import Predictivity
    from neurofit.training.search_study import StudySpec

_GRACE_S = 10  # in which interrupted workers give their trials back


@dataclass(frozen=True)
class Plan:
    """What was asked for, as another process can be told it; names as the command has them."""

    space: str
    recipe: str
    data: Path
    objectives: tuple[str, ...]
    sampler: Any
    pruner: Any
    seed: int
    trials: int
    url: str
    study: str
    benchmark: str | None
    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["float32", "bfloat16", "float16"]
    patience_s: float
    threads: int
    memory: str
    as_json: bool


def work_on(plan: Plan, worker: str = "") -> None:
    """Work on a study in this process until it has its trials; an interrupt or a SIGTERM gives the trial back.

    Parameters
    ----------
    plan : Plan
    worker : str
        Put before every line, where there are several.
    """
    import torch

    from neurofit.training.datasets import Task
    from neurofit.training.engine import Engine
    from neurofit.training.recipe import load_recipe
    from neurofit.training.search import finished_trials, work
    from neurofit.training.search_measure import ShortTraining, search_task
    from neurofit.training.search_space import load_space
    from neurofit.training.search_study import StudySpec, attach

    output = Output(plan.as_json)
    torch.set_num_threads(plan.threads)
    space, recipe = load_space(plan.space), load_recipe(plan.recipe)
    predictivity, compared = _predictivity(plan)
    task: Task = search_task(plan.data, space, memory_bytes=size_in_bytes(plan.memory))
    for remark in task.remarks:
        output.note(f"{worker}{remark}")
    data = {
        "images": f"{len(task.training)} training and {len(task.validation)} validation images of {plan.data.name}",
        "sha256": task.fingerprint,
        **compared,
    }
    spec = StudySpec(space, recipe, data, plan.objectives, plan.sampler, plan.pruner, plan.seed)
    study = attach(plan.url, plan.study, spec)
    measure = ShortTraining(task, recipe, Engine(plan.device, plan.precision), predictivity)
    output.note(f"{worker}study {plan.study}: {finished_trials(study)} of {plan.trials} trials are finished")
    with _terminable():
        work(
            study, spec, measure, plan.trials, patience_s=plan.patience_s,
            report=lambda finished: output.say(f"{worker}{told(finished, spec)}"),
            note=lambda text: output.note(f"{worker}{text}"),
        )  # fmt: skip


def start_workers(plan: Plan, count: int, output: Output) -> None:
    """Start so many processes and wait for them; others go on where one dies.

    Raises
    ------
    ConfigurationError
        If none of them reached the end.
    """
    from multiprocessing import get_context

    from neurofit.errors import ConfigurationError

    context = get_context("spawn")
    processes = [
        context.Process(target=_worker_process, args=(plan, f"worker {number}: ")) for number in range(1, count + 1)
    ]
    for process in processes:
        process.start()
    output.note(f"workers: processes {', '.join(str(process.pid) for process in processes)}")
    try:
        with _terminable():
            for process in processes:
                process.join()
    except BaseException:
        # a terminal interrupts all of us; who stops us otherwise stops us alone
        deadline = time.monotonic() + _GRACE_S
        for process in processes:
            process.join(max(deadline - time.monotonic(), 0))
        for process in processes:
            process.terminate()
        raise
    lost = [f"worker {i} ended with {p.exitcode}" for i, p in enumerate(processes, start=1) if p.exitcode]
    for remark in lost:
        output.note(remark)
    if len(lost) == count:
        raise ConfigurationError(
            "a worker of a search reaches its end", "; ".join(lost), "see what they said; the same command goes on"
        )


def _worker_process(plan: Plan, worker: str) -> None:
    """Be one of several; what is wrong is said in one sentence, as by the command."""
    import sys

    from neurofit.errors import NeurofitError

    try:
        work_on(plan, worker)
    except NeurofitError as error:
        print(f"{worker}{error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


@contextmanager
def _terminable() -> Iterator[None]:
    """In its block a SIGTERM, by which schedulers end jobs, is an interrupt."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def told(finished: Finished, spec: StudySpec) -> str:
    """Return the line on a trial that was ended."""
    from neurofit.training.search_study import OBJECTIVES

    what = finished.reason or finished.state
    if finished.values:
        pairs = zip(spec.objectives, finished.values, strict=True)
        what = ", ".join(f"{OBJECTIVES[name].label} {value:.3f}" for name, value in pairs)
        if finished.measured and "parameters" not in spec.objectives:
            what += f", {finished.measured['parameters']:,.0f} parameters"
    return f"trial {finished.number}: {what} ({finished.seconds:.1f} s)"


def _predictivity(plan: Plan) -> tuple[Predictivity | None, dict[str, str]]:
    """Return what scores a network against a benchmark, and what a study says of it; none unless it is an objective."""
    from neurofit.errors import ConfigurationError

    if "predictivity" not in plan.objectives:
        if plan.benchmark is not None:
            raise ConfigurationError(
                "a benchmark is for the objective predictivity", f"objectives are {', '.join(plan.objectives)}",
                "add predictivity to --objectives",
            )  # fmt: skip
        return None, {}
    if plan.benchmark is None:
        raise ConfigurationError(
            "predictivity is of a benchmark", "none was named", "add --benchmark sim-it, or that of a recording"
        )
    from neurofit.cli.options import check_predictivity
    from neurofit.files.manifest import load_manifest
    from neurofit.scoring.benchmark import load_benchmark
    from neurofit.scoring.run import load_target

    benchmark = load_benchmark(plan.benchmark)
    check_predictivity(benchmark, "search")
    target = load_target(benchmark)
    kind = "SIMULATED responses" if load_manifest(benchmark.dataset).simulated else "real recordings"
    told = f"{benchmark.name}, version {benchmark.version} ({kind})"
    return _scorer(benchmark, target), {"benchmark": told}


def _scorer(benchmark: Any, target: Any) -> Callable[[Any, Any], float]:
    from neurofit.models.preprocessing import Preprocessing
    from neurofit.scoring.run import run
    from neurofit.scoring.summary import headline
    from neurofit.subjects.model_subject import ModelSubject
    from neurofit.training.search_results import layers_by_region

    def score(network: Any, candidate: Any) -> float:
        layer = layers_by_region(candidate.network)[benchmark.region]
        device = str(next(network.parameters()).device)
        subject = ModelSubject(
            network.eval(), name="candidate", layers=network.layers, device=device,
            preprocessing=Preprocessing(candidate.network.input_px),
        )  # fmt: skip
        return float(headline(run(benchmark, subject, layer=layer, target=target), benchmark.aggregation).value)

    return score
