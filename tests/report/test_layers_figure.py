"""The figure of a layer commitment."""

from dataclasses import replace

import numpy as np
import pytest

from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.report.layers_figure import FRACTIONS_2018, plot_layers
from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.commitment import Commitment, LayerRow
from neurofit.scoring.committed import LayerScores
from neurofit.scoring.predictivity import predictivity

BINS = [(0, 10), (10, 20), (20, 30), (30, 40)]
WINDOW = AggregationSpec(window_ms=(10, 40), n_resamples=20)
ATTRS = {"simulated": 1, "subject": "rgc_intermediate", "region": "V4", "dataset": "made", "benchmark": "bench"}


def result(make_recording, bins, layers=("conv4", "conv5", "conv6"), model="rgc_intermediate"):
    recording = make_recording(bins=bins)
    source = recording.isel(presentation=recording.repetition.values == 0).copy()
    source.values[:, :, 0] = 0  # silent
    options = {"mapping": PLSMapping(2), "splitter": StimulusShuffleSplit(2), "formula": "raw"}
    score = predictivity(source, recording, **options).assign_attrs(ATTRS)
    share = np.full(len(layers), 1 / len(layers))
    rows = [
        LayerRow(layer, 0.5, 0.4, 0.6, (0.5, 0.5), fraction, (0.2, 0.4))
        for layer, fraction in zip(layers, share.tolist(), strict=True)
    ]
    commitment = Commitment(
        simulated=True, model=model, weights_sha256="", benchmark="bench", benchmark_version=1, dataset="made",
        region="V4", per="region", window_ms=(10, 40), average="responses",
        mapping="", inner_splits="3", stimuli_hash="", splits_hash="",
        neuroids_hash="", responses_hash="", split_hashes=("a", "b"), layer=layers[-1],
        split_layers=(layers[0], layers[-1]), units=(), choices=(), overall=(), table=tuple(rows), date="",
        neurofit_version="",
    )  # fmt: skip
    return LayerScores(commitment, dict.fromkeys(layers, score), score)


def words(figure):
    return " ".join(figure._supxlabel.get_text().split())


def test_every_layer_has_a_row_and_a_bar(make_recording):
    figure = plot_layers(result(make_recording, BINS), WINDOW)
    heat, bars = figure.axes[:2]
    assert [label.get_text() for label in heat.get_yticklabels()] == ["conv4", "conv5", "conv6"]
    assert [round(bar.get_width(), 3) for bar in bars.patches] == [0.333] * 3
    assert bars.get_title(loc="left") == "conv6 in 1 of 2 splits"
    hatched = [c for c in heat.collections if c.get_hatch()]
    assert len(hatched) == 3  # the silent bin of each layer
    assert "SIMULATED" in heat.get_title(loc="left")
    assert "SIMULATED" in words(figure) and "raw Pearson r" in words(figure)


@pytest.mark.parametrize(("model", "drawn"), [("rgc_intermediate", True), ("rgc", False)])
def test_the_fractions_of_2018_lie_beside_those_of_its_kind_of_network(make_recording, model, drawn):
    figure = plot_layers(result(make_recording, BINS, model=model), WINDOW)
    diamonds = [line for line in figure.axes[1].lines if line.get_marker() == "D"]
    assert len(diamonds) == drawn
    assert ("figure 4B of the 2018 paper" in words(figure)) == drawn
    if drawn:
        assert list(diamonds[0].get_xdata()) == [FRACTIONS_2018["V4"]["conv4"], FRACTIONS_2018["V4"]["conv6"]]


def test_few_bins_show_their_numbers(make_recording):
    shown = result(make_recording, BINS[:2])
    figure = plot_layers(replace(shown), replace(WINDOW, window_ms=(10, 20)))
    assert len([text for text in figure.axes[0].texts if text.get_text().strip("-")]) >= 3
