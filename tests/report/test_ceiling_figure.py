"""The figure of ceilings, and the inter-animal lines in others."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from neurofit.errors import AlignmentError
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.report.ceiling_figure import MOST_LABELS, draw_inter_animal, plot_ceilings
from neurofit.report.figures import plot_time_course
from neurofit.report.style import save_figure
from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.inter_animal import inter_animal_consistency, noise_ceiling
from neurofit.scoring.summary import summarise

OPTIONS = {"splitter": StimulusShuffleSplit(2), "n_halvings": 2}
WINDOW = AggregationSpec(window_ms=(70, 90), n_resamples=20)


@pytest.fixture
def recording(make_recording):
    latents = np.random.default_rng(0).standard_normal((60, 3))
    made = make_recording(latents=latents, q=8, repetitions=(6, 6), attrs={"simulated": 1, "dataset": "made"})
    return made.assign_coords(subject=("neuroid", list("AAABBBCC")))


@pytest.fixture
def scores(recording):
    return [
        inter_animal_consistency(recording, source=source, mapping=PLSMapping(3), **OPTIONS)
        for source in ("pooled", "A")
    ]


def caption(figure):
    return figure._supxlabel.get_text().replace("\n", " ")


def test_pairs_and_pooled_are_drawn_with_their_numbers(scores, tmp_path):
    figure = plot_ceilings(scores, WINDOW)
    top, middle, bottom = figure.axes
    drawn = {line.get_label(): line.get_ydata() for line in top.lines}
    np.testing.assert_allclose(drawn["inter-animal, raw r"], summarise(scores[0], WINDOW)["raw"])
    assert "A to B (3 to 3 neuroids)" in drawn
    assert "B+C to A (5 to 3 neuroids)" in drawn
    assert {"ceiling of r", "internal consistency"} < set(drawn)
    assert "inter-animal, noise-corrected" in [line.get_label() for line in middle.lines]
    assert [bar.get_height() for bar in bottom.patches] == summarise(scores[0], WINDOW)["counted"].tolist()
    assert "SIMULATED" in top.get_title(loc="left")
    assert "halves of both animals' trials" in caption(figure)
    assert save_figure(figure, tmp_path / "a.png").stat().st_size > 10_000


def test_many_pairs_share_a_label(make_recording):
    latents = np.random.default_rng(0).standard_normal((60, 3))
    names = list("ABCDEFG")
    recording = make_recording(latents=latents, q=7, repetitions=(6, 6)).assign_coords(subject=("neuroid", names))
    score = inter_animal_consistency(recording, mapping=PLSMapping(2), formula="raw", **OPTIONS)
    (panel,) = plot_ceilings([score], WINDOW).axes
    said = [text.get_text() for text in panel.get_legend().texts]
    assert len(names) > MOST_LABELS
    assert "7 pairs of animals" in said
    assert not any(" to " in text for text in said)


def test_one_animal_or_one_bin(recording, scores):
    figure = plot_ceilings([noise_ceiling(recording.isel(neuroid=[0, 1, 2]), **OPTIONS)], WINDOW)
    assert [line.get_label() for line in figure.axes[0].lines][:2] == ["ceiling of r", "internal consistency"]
    assert "which no other predicts" in caption(figure)
    single = plot_ceilings([score.isel(time_bin=[0]) for score in scores], WINDOW)
    assert single.axes[0].get_xlim() == (20, 130)


def test_the_inter_animal_line_lies_beside_the_ceiling(scores):
    figure = plot_time_course(scores[1], WINDOW, inter_animal=scores[0])
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    table = summarise(scores[0], WINDOW)
    np.testing.assert_allclose(lines["inter-animal, raw r"].get_ydata(), table["raw"])
    np.testing.assert_allclose(lines["inter-animal, noise-corrected"].get_ydata(), table["corrected"])


def test_what_does_not_compare_is_refused(recording, scores):
    axes = Figure().subplots()
    with pytest.raises(AlignmentError, match="have the same time bins"):
        draw_inter_animal(axes, scores[0], scores[0].isel(time_bin=[1]))
    other = inter_animal_consistency(recording, mapping=PLSMapping(3), formula="neural", **OPTIONS)
    with pytest.raises(AlignmentError, match="have the same noise correction - found both and neural"):
        draw_inter_animal(axes, other, scores[0])
