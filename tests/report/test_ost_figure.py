"""The figure of solution times says what it shows."""

import numpy as np
import pytest

from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.report.ost_figure import plot_solution_times
from neurofit.report.style import save_figure
from neurofit.scoring.solution_comparison import solution_times_of_model
from neurofit.scoring.solution_times import object_solution_times

SPLITTER = StimulusShuffleSplit(3)


def words(figure):
    texts = [figure.get_suptitle(), figure.get_supxlabel()]
    for axes in figure.axes:
        texts += [axes.get_xlabel(), axes.get_ylabel(), *(t.get_text() for t in axes.texts)]
    return " ".join(texts).replace("\n", " ")


@pytest.fixture
def recording(make_recording):
    bins = [(t, t + 10) for t in (70, 80, 90)]
    made = make_recording(
        latents=np.eye(4)[np.arange(60) % 4] * 3, n=60, q=8, bins=bins, noise=3.0, attrs={"simulated": 1}
    )
    objects = [f"o{int(i[1:]) % 4}" for i in made["stimulus_id"].values]
    return made.assign_coords(object_name=("presentation", objects))


def test_model_and_population(recording, tmp_path):
    neural = object_solution_times(recording, splitter=SPLITTER)
    model = solution_times_of_model(recording, neural, splitter=SPLITTER)
    figure = plot_solution_times(neural, model, names=("IT", "rgc conv5"), on_ms=100)
    said = words(figure)
    for part in ("SIMULATED", "Spearman 1.00", "rgc conv5", "s.e.m. over splits", "(ms)", "z(hit rate)", "reference"):
        assert part in said
    assert save_figure(figure, tmp_path / "ost.png").stat().st_size > 10_000


def test_a_population_alone_and_one_without_times(recording):
    neural = object_solution_times(recording, splitter=SPLITTER)
    assert "stimuli per 10 ms" in words(plot_solution_times(neural))
    static = recording.copy(data=np.repeat(recording.values[:, :, :1], 3, axis=2))
    model = solution_times_of_model(static, neural, splitter=SPLITTER)
    assert "no dynamics" in words(plot_solution_times(neural, model))
