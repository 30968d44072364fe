"""Studies of a made-up measure: who draws what, what is counted, and what happens to workers that die."""

import math
import multiprocessing
import os
import signal
import time
from dataclasses import replace

import optuna
import pytest

from neurofit.errors import ConfigurationError, DataFileError, MissingExtraError, UnknownNameError
from neurofit.files.toml_schema import parse_table
from neurofit.training import search_study
from neurofit.training.recipe import load_recipe
from neurofit.training.search import NotTrainableError, work
from neurofit.training.search_results import (
    candidate_of,
    count_outcomes,
    entry_of,
    importances,
    pareto_front,
    pick,
    trial_rows,
)
from neurofit.training.search_space import SearchSpace
from neurofit.training.search_study import StudySpec, attach, open_study, storage_url

TABLE = {
    "name": "tiny", "input_px": 16, "classes": 3, "steps": {"low": 4, "high": 9},
    "stages": [{"channels": {"low": 2, "high": 8}}, {"channels": 4, "cell": {"choices": [True, False]}},
               {"channels": 4, "pool": False, "cell": True}],
    "cell": {"cell_channels": {"choices": [2, 4]}, "init_scale": {"low": 0.5, "high": 2.0}},
    "feedback": {"edges": [{"source": "conv3", "target": "conv2"}], "p_edge": 0.3},
}  # fmt: skip


def spec_of(**changes):
    space = parse_table(TABLE, SearchSpace, source="tiny.toml", what="search space")
    return StudySpec(**{"space": space, "recipe": load_recipe("port"), "data": {"sha256": "0"}} | changes)


def worth(candidate, seed=0):
    """Best with many channels in conv1 and an initial scale of 1."""
    nodes = candidate.network.nodes
    return nodes[0].channels / 10 - (nodes[2].cell.init_scale - 1) ** 2


def measure(candidate, seed, after_epoch):
    value = worth(candidate)
    for epoch in (1, 2):
        after_epoch(epoch, value)
    return {"top1": value, "parameters": 1000.0 * candidate.network.nodes[0].channels, "macs": 1e6, "seed": seed}


def url_of(folder, kind="db"):
    return storage_url(folder / f"study.{kind}", make=True)


@pytest.fixture
def in_memory(monkeypatch):
    """Studies that are not kept on a disk, whose commits take longer than all else here."""
    storages = {}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    monkeypatch.setattr(
        search_study, "open_storage", lambda url: storages.setdefault(url, optuna.storages.InMemoryStorage())
    )


def rows_after(folder, spec, trials, how=measure, name="a", **options):
    study = attach(url_of(folder), name, spec)
    work(study, spec, how, trials, **options)
    return trial_rows(study)


def finished(rows):
    return [row for row in rows if row.outcome in ("complete", "pruned", "failed")]


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsga2", pytest.param("gp", marks=pytest.mark.slow)])
def test_a_study_of_one_worker_is_the_same_again_also_when_it_was_stopped(tmp_path, sampler, in_memory):
    spec, most = spec_of(sampler=sampler), 13
    whole = rows_after(tmp_path, spec, most)
    for trials in (5, 11, most):
        parts = rows_after(tmp_path, spec, trials, name="again")
    other = rows_after(tmp_path, replace(spec, seed=1), 5, name="other")
    drawn = [[(row.params, row.values, row.measured.get("seed")) for row in rows] for rows in (whole, parts, other)]
    assert drawn[0] == drawn[1]
    assert drawn[0][:5] != drawn[2]
    assert len({str(row.params) for row in whole}) > most - 3  # no worker repeats its own draws after it was stopped


def test_tpe_finds_better_than_random(tmp_path, in_memory):
    last = {}
    for sampler in ("tpe", "random"):
        rows = rows_after(tmp_path, spec_of(sampler=sampler), 60, name=sampler)
        last[sampler] = [row.values[0] for row in rows if row.values][-20:]
    assert sum(last["tpe"]) / 20 > sum(last["random"]) / 20 + 0.1


def test_what_is_no_network_is_counted_with_its_reason(tmp_path, in_memory):
    rows = rows_after(tmp_path, spec_of(sampler="random"), 40)
    failed = [row for row in rows if row.outcome == "failed"]
    assert failed and len(finished(rows)) == 40
    assert {row.reason for row in failed} == {
        "no network: feedback enters the cell or out input of reciprocal gated cells alone"
    }
    assert all(row.params["feedback.conv3-conv2"] < 0.3 and not row.params["conv2.cell"] for row in failed)
    counts = count_outcomes(rows)
    assert counts["failed"] == counts[f"failed: {failed[0].reason}"] == len(failed)


@pytest.mark.parametrize("objectives", [("top1",), ("top1", "parameters")])
def test_what_cannot_be_trained_is_counted_with_its_reason(tmp_path, objectives, in_memory):
    def diverges(candidate, seed, after_epoch):
        if candidate.network.nodes[0].channels > 5:
            raise NotTrainableError("the loss or its gradients did not stay finite")
        found = measure(candidate, seed, lambda *_: None)
        return found if candidate.network.nodes[0].channels > 3 else {**found, "top1": float("nan")}

    told = []
    rows = rows_after(tmp_path, spec_of(objectives=objectives), 30, diverges, report=told.append)
    reasons = {row.reason for row in rows if row.reason}
    assert {"the loss or its gradients did not stay finite", "validation top-1 is not finite"} <= reasons
    assert len(finished(rows)) == len(rows) == len(told) == 30
    assert {one.number: one.reason for one in told} == {row.number: row.reason for row in rows}


def test_trials_below_the_median_are_pruned(tmp_path, in_memory):
    rows = rows_after(tmp_path, spec_of(sampler="random", pruner="median"), 40)
    kinds = count_outcomes(rows)
    assert kinds["pruned"] > 5 and kinds["complete"] >= 5
    assert len(finished(rows)) == 40
    with pytest.raises(ConfigurationError, match="trials are pruned by their accuracy, where it is the one objective"):
        spec_of(pruner="median", objectives=("top1", "parameters"))


def test_several_objectives_have_a_front(tmp_path, in_memory):
    spec = spec_of(objectives=("top1", "parameters"), sampler="nsga2")
    rows = rows_after(tmp_path, spec, 30)
    front = pareto_front(rows, spec)
    assert 1 < len(front) < 30
    for row in front:
        assert not any(o.values[0] > row.values[0] and o.values[1] < row.values[1] for o in rows if o.values)
        assert row.values[1] == pytest.approx(math.log10(row.measured["parameters"]))


def test_a_study_is_one_study(tmp_path):
    rows_after(tmp_path, spec_of(), 2)
    other = parse_table({**TABLE, "classes": 4}, SearchSpace, source="o", what="search space")
    for changed, told in (
        ({"space": other}, "space.classes 3, not 4"),
        ({"sampler": "random"}, "sampler tpe, not random"),
        ({"data": {"sha256": "1"}}, "data.sha256 0, not 1"),
        ({"recipe": replace(load_recipe("port"), batch=8)}, "recipe.batch 256, not 8"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            attach(url_of(tmp_path), "a", spec_of(**changed))
    _, kept = open_study(tmp_path)
    assert kept.as_document() == spec_of().as_document()


def test_studies_that_are_not_there_are_told(tmp_path):
    with pytest.raises(DataFileError, match="there is no .*study.db"):
        open_study(tmp_path)
    for name in ("a", "b"):
        rows_after(tmp_path, spec_of(), 1, name=name)
    with pytest.raises(ConfigurationError, match="holds a, b - add --study"):
        open_study(tmp_path)
    with pytest.raises(UnknownNameError, match="'c' is not known"):
        open_study(tmp_path, "c")
    (tmp_path / "other.db").write_bytes(b"no database, but a file of more than a few bytes" * 20)
    with pytest.raises(DataFileError, match="a study's storage can be opened"):
        open_study(tmp_path / "other.db")
    with pytest.raises(UnknownNameError, match="'top2' is not known - use 'top1'"):
        spec_of(objectives=("top2",))


def test_cma_es_asks_for_its_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install cmaes"):
        search_study.make_sampler(spec_of(sampler="cmaes"), 0)


def test_an_interrupted_trial_is_tried_again_with_the_same_parameters(tmp_path):
    calls = []

    def interrupted(candidate, seed, after_epoch):
        calls.append((candidate, seed))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(candidate, seed, after_epoch)

    with pytest.raises(KeyboardInterrupt):
        rows_after(tmp_path, spec_of(), 5, interrupted)
    rows = rows_after(tmp_path, spec_of(), 5, interrupted)
    assert len(finished(rows)) == 5
    assert calls[3] == calls[2]
    given_up = [row for row in rows if row.outcome == "given up"]
    again = [row for row in rows if row.retry_of is not None]
    assert [row.number for row in given_up] == [again[0].retry_of] and again[0].deaths == 0
    assert again[0].params == given_up[0].params


def test_an_error_that_is_not_the_candidates_ends_the_worker_and_loses_nothing(tmp_path, in_memory):
    def breaks(candidate, seed, after_epoch):
        raise DataFileError("a file can be read", "it is gone", "bring it back")

    with pytest.raises(DataFileError, match="it is gone"):
        rows_after(tmp_path, spec_of(), 3, breaks)
    assert len(finished(rows_after(tmp_path, spec_of(), 3))) == 3


def in_child(folder, kind, trials, how, patience_s):
    spec = spec_of(sampler="random")
    work(attach(url_of(folder, kind), "a", spec), spec, how, trials, patience_s=patience_s)


def start(*arguments):
    process = multiprocessing.get_context("fork").Process(target=in_child, args=arguments)
    process.start()
    return process


def slow(candidate, seed, after_epoch):
    time.sleep(0.01)
    return measure(candidate, seed, after_epoch)


def hangs_at(folder):
    def hang(candidate, seed, after_epoch):
        if len(list(folder.glob("began-*"))) == 1:
            (folder / f"hangs-{os.getpid()}").touch()
            time.sleep(600)
        (folder / f"began-{seed}").touch()
        return measure(candidate, seed, after_epoch)

    return hang


@pytest.mark.parametrize("kind", ["db", "journal"])
def test_workers_share_the_trials_of_one_study(tmp_path, kind):
    workers = [start(tmp_path, kind, 9, slow, 30.0) for _ in range(3)]
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    study, _ = open_study(tmp_path)
    rows = trial_rows(study)
    assert len(finished(rows)) == 9
    assert {row.outcome for row in rows} <= {"complete", "failed", "surplus"}
    used = [str(row.params) for row in finished(rows)]
    assert len(set(used)) == 9  # no trial was taken by two


@pytest.mark.parametrize("kind", ["db", "journal"])
def test_the_trial_of_a_killed_worker_is_tried_again(tmp_path, kind):
    worker = start(tmp_path, kind, 4, hangs_at(tmp_path), 30.0)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("hangs-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    spec, notes = spec_of(sampler="random"), []
    study = attach(url_of(tmp_path, kind), "a", spec)
    left = trial_rows(study)
    assert [row.outcome for row in left][-1] == "running"
    work(study, spec, measure, 4, patience_s=1.0, note=notes.append)
    rows = trial_rows(study)
    assert len(finished(rows)) == 4
    dead = left[-1].number
    assert rows[dead].outcome == "given up"
    (again,) = [row for row in rows if row.retry_of == dead]
    assert again.params == rows[dead].params and again.outcome == "complete" and again.deaths == 1
    assert again.measured["seed"] == search_study.trial_seed(0, dead)
    assert any(f"trial {dead} gave no sign of life" in note for note in notes)


def test_a_trial_that_kills_all_its_workers_fails_in_the_end(tmp_path, in_memory):
    from neurofit.training.search_trials import MOST_DEATHS, Claims, give_up

    spec = spec_of(sampler="random")
    study = attach(url_of(tmp_path), "a", spec)
    for _ in range(MOST_DEATHS + 1):
        trial = Claims(study, 1, 60.0, print).take()
        give_up(study, study.trials[trial.number], died=True)
    rows = trial_rows(study)
    assert [row.outcome for row in rows] == ["given up"] * MOST_DEATHS + ["failed"]
    assert rows[-1].reason == f"its worker died, {MOST_DEATHS + 1} times"
    assert Claims(study, 1, 60.0, print).take() is None


def test_a_worker_that_was_thought_dead_does_not_count(tmp_path, in_memory):
    spec, rivals = spec_of(sampler="random"), []

    def loses(candidate, seed, after_epoch):
        if not rivals:
            from neurofit.training.search_trials import give_up

            rivals.append(optuna.load_study(study_name="a", storage=search_study.open_storage(url_of(tmp_path))))
            give_up(rivals[0], rivals[0].trials[0], died=True)
        return measure(candidate, seed, lambda *_: None)

    notes = []
    rows = rows_after(tmp_path, spec, 3, loses, note=notes.append)
    assert notes == ["trial 0 was given to another worker meanwhile"]
    assert rows[0].outcome == "given up" and rows[1].retry_of == 0
    assert len(finished(rows)) == 3


def test_best_median_and_random_architectures_are_picked(tmp_path, in_memory):
    spec = spec_of(sampler="random")
    rows = rows_after(tmp_path, spec, 21)
    complete = sorted((row for row in rows if row.values), key=lambda row: -row.values[0])
    assert pick(rows, spec, "best") == complete[0]
    assert pick(rows, spec, "median") == complete[(len(complete) - 1) // 2]
    assert (
        pick(rows, spec, "random", 3) == pick(rows, spec, "random", 3)
        and len({pick(rows, spec, "random", seed).number for seed in range(10)}) > 2
    )
    assert pick(rows, spec, str(complete[4].number)) == complete[4]
    with pytest.raises(ConfigurationError, match="got 'worst'"):
        pick(rows, spec, "worst")
    with pytest.raises(ConfigurationError, match="there is none yet"):
        pick([], spec, "best")
    entry = entry_of(complete[0], spec, "a")
    assert worth(candidate_of(complete[0], spec)) == complete[0].values[0]
    assert entry.network == candidate_of(complete[0], spec).network
    assert entry.region_layers["V4"] == "conv1" and entry.region_layers["IT"] == "conv3"


def test_what_matters_is_found(tmp_path, in_memory):
    spec = spec_of(sampler="random")
    study = attach(url_of(tmp_path), "a", spec)
    work(study, spec, measure, 8)
    assert importances(study, spec) == {}
    work(study, spec, measure, 120)
    found = importances(study, spec)
    assert sum(found.values()) == pytest.approx(1)
    assert set(list(found)[:2]) == {"conv1.channels", "cell.init_scale"}
