"""Decoding as a metric: agreement of image-level d'."""

import numpy as np
import pytest

import neurofit as nf
from neurofit.assembly.build import average_repetitions
from neurofit.errors import AlignmentError, UnknownNameError
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.agreement import decoding_agreement
from neurofit.scoring.run import Target, score_source

BINS = ((70, 80), (80, 90))


@pytest.fixture
def recordings(make_recording):
    """A recording of four objects, the last of which is far from the others, and the same neuroids without noise."""
    rng = np.random.default_rng(5)
    objects = np.eye(4)[np.arange(60) % 4] * np.array([1, 1.5, 2, 4])
    latents = np.hstack([objects + 0.9 * rng.standard_normal((60, 4)), rng.standard_normal((60, 2))])
    options = {"q": 20, "bins": BINS, "repetitions": (4, 6), "latents": latents}
    return make_recording(noise=2.0, **options), average_repetitions(make_recording(noise=0.0, **options))


def test_the_truth_agrees_and_permuted_stimuli_do_not(recordings):
    recording, truth = recordings
    options = {"splitter": StimulusShuffleSplit(5), "n_halvings": 2, "n_resamples": 50}
    score = decoding_agreement(truth, recording, **options)
    assert (score.value > 0.5).all()
    assert (np.abs(score.corrected - 1) < 0.3).all()
    assert (score.accuracy_target.mean("split") > 0.3).all()
    assert score.sizes["stimulus"] == 60
    assert (score.stimuli_counted == np.isfinite(score.d_prime_target).sum("stimulus")).all()
    mixed = truth.copy(data=truth.values[np.random.default_rng(0).permutation(60)])
    assert (np.abs(decoding_agreement(mixed, recording, **options, formula="raw").value) < 0.4).all()


def test_a_recording_agrees_with_itself_and_goes_the_way_of_all_scores(tmp_path, recordings):
    recording, _ = recordings
    benchmark = nf.load_benchmark("sim-it").varied(metric="decoding", n_splits=3, formula="raw")
    score = score_source(benchmark, recording, Target(recording, None, 0.0))
    np.testing.assert_allclose(score.value, 1)
    again = nf.load_score(nf.save_score(score, tmp_path / "s.nc"))
    assert nf.headline(again) == nf.headline(score)
    assert {"accuracy_source", "accuracy_target"} <= set(nf.summarise(score))
    figure = nf.plot_time_course(score.assign_attrs(subject="animal", layer="IT"))
    assert len(figure.axes) == 2


def test_what_is_wrong_is_told(recordings):
    recording, truth = recordings
    with pytest.raises(UnknownNameError, match="'both' is not known"):
        decoding_agreement(truth, recording, formula="both")
    with pytest.raises(AlignmentError, match="one 'category_name' to be decoded"):
        decoding_agreement(truth, recording, labels="category_name")
