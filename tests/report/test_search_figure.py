"""Figures and records of searches, from trials that are made up."""

import numpy as np
import pytest

from neurofit.report.search_figure import WINDOW, SearchHistory, plot_importances, plot_search_history, running_mean
from neurofit.report.search_record import make_search_record, mean_of_last
from neurofit.report.style import save_figure
from neurofit.training.recipe import load_recipe
from neurofit.training.search_results import TrialRow
from neurofit.training.search_space import load_space
from neurofit.training.search_study import StudySpec


def history(name, values, objectives=("top1",), sampler="tpe"):
    """A study whose trials have these values; None failed, () is given up."""
    rows = []
    for number, value in enumerate(values):
        kind = "failed" if value is None else "complete" if value != () else "given up"
        got = (value,) * len(objectives) if kind == "complete" else ()
        reason = "no network: nothing enters" if kind == "failed" else ""
        rows.append(TrialRow(number, kind, got, {"parameters": 10.0}, {"steps": 5}, reason, None, 0, 1.5))
    data = {"images": "8 training and 2 validation images of x.tar"}
    return SearchHistory(name, StudySpec(load_space("proxy"), load_recipe("short"), data, objectives, sampler), rows)


def test_a_running_mean_is_that_of_the_last():
    values = np.arange(50.0)
    means = running_mean(values)
    assert means[0] == 0 and means[4] == 2
    assert means[30] == pytest.approx(values[31 - WINDOW : 31].mean())


def test_both_studies_are_drawn_with_their_best_and_their_failures(tmp_path):
    studies = [history("tpe", [0.1, 0.3, None, 0.2, ()]), history("random", [0.2, None, 0.1], sampler="random")]
    figure = plot_search_history(studies)
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["tpe: each trial"].get_xdata()) == [1, 2, 4]
    best = [line for line in axes.lines if line.get_label() == "best so far"]
    assert [list(line.get_ydata()) for line in best] == [[0.1, 0.3, 0.3], [0.2, 0.2]]
    crosses = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "x"]
    assert crosses == [[3], [2]]
    caption = figure._supxlabel.get_text().replace("\n", " ")
    assert "tpe (tpe, seed 0): 3 complete, 1 failed, 0 pruned" in caption and "validation images of x.tar" in caption
    assert save_figure(figure, tmp_path / "history.png").stat().st_size > 10_000


def test_what_is_minimised_has_its_least_as_best():
    figure = plot_search_history([history("both", [3.0, 2.0, 4.0], objectives=("top1", "parameters"))])
    best = [
        [line.get_ydata().tolist() for line in axes.lines if line.get_label() == "best so far"] for axes in figure.axes
    ]
    assert best == [[[3.0, 3.0, 4.0]], [[3.0, 2.0, 2.0]]]


def test_the_first_importances_are_drawn():
    found = {f"p{i}": 1 / (i + 1) for i in range(20)}
    figure = plot_importances(found, history("tpe", [0.1] * 12))
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == [f"p{i}" for i in range(15)]
    assert "The other 5 are not shown" in figure._supxlabel.get_text().replace("\n", " ")


def test_a_record_has_every_trial_and_the_picks():
    study = history("tpe", [0.1, 0.3, None, 0.2, ()])
    record = make_search_record(study, {"steps": 1.0})
    assert record["trials_by_outcome"] == {
        "complete": 3, "failed": 1, "given up": 1, "failed: no network: nothing enters": 1,
    }  # fmt: skip
    assert record["picks"] == {"best": 1, "median": 3} and record["best_values"] == [0.3]
    assert len(record["trials"]) == 5 and record["space"]["name"] == "proxy" and record["sampler"] == "tpe"
    assert mean_of_last(study, 2) == pytest.approx(0.25)
    empty = make_search_record(history("none", [None]), {})
    assert empty["picks"] == {} and empty["best_values"] is None and empty["mean_of_last"] is None
