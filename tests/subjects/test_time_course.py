"""Subjects without dynamics of their own in a static mode; all others as they are."""

from copy import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from neurofit.assembly.time_bins import make_time_bins
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import ConfigurationError, UnknownNameError
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.repeated import RepeatedNetwork
from neurofit.models.static import STATIC_MODES, run_bounds
from neurofit.subjects.library import committed_layer, load_subject
from neurofit.subjects.model_subject import ModelSubject, check_model
from neurofit.subjects.static import static_subject
from neurofit.subjects.subject import RecordedSubject
from neurofit.subjects.time_course import dynamics_of, in_static_mode, time_course
from neurofit.subjects.viewing import Viewing

BINS, VIEWING = make_time_bins(0, 260, 10), Viewing()
CONVS = ("conv1", "conv2", "conv3", "conv4", "conv5")


class Images:
    def __getitem__(self, row):
        return np.random.default_rng(row).integers(0, 256, (20, 20, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def stimuli():
    return StimulusSet("noise", pd.DataFrame({"stimulus_id": [f"s{k:03d}" for k in range(4)]}), Images())


@pytest.fixture(scope="module")
def ff():
    subject = load_subject("ff_untrained")
    with torch.no_grad():
        for name, parameter in subject.network.named_parameters():
            if parameter.ndim == 1:  # without biases the blank would be as silent as zeros are
                parameter.normal_(0.3, 0.1, generator=torch.Generator().manual_seed(len(name)))
    return subject


def made(mode, **options):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
    nodes, regions = {"V4": "0", "IT": "2"}, {"V4": "V4", "IT": "IT"}
    regions = {} if mode in ("uniform", "graded") else regions
    return static_subject(
        network, nodes, name="made", preprocessing=Preprocessing(16), mode=mode, region_layers=regions, **options
    )


@pytest.mark.parametrize("mode", STATIC_MODES)
def test_a_network_of_the_zoo_keeps_the_contract_in_every_mode(ff, mode):
    laid_out = in_static_mode(ff, mode)
    assert check_model(laid_out).layers == (("all",) if mode in ("uniform", "graded") else ff.layers)
    assert laid_out.name == ff.name
    told = laid_out.describe()
    assert (told["static_mode"], told["static_mode_in_words"]) == (mode, STATIC_MODES[mode])
    assert told["parameters"] == ff.describe()["parameters"]
    assert told["weights_sha256"] == ff.describe()["weights_sha256"]
    assert "static_mode" not in ff.describe()


def test_constant_has_the_same_features_in_every_bin(ff, stimuli):
    unrolled = ff.record(stimuli, layer="conv5", time_bins=BINS, viewing=VIEWING)
    constant = in_static_mode(ff, "constant").record(stimuli, layer="conv5", time_bins=BINS, viewing=VIEWING)
    for t in range(26):
        np.testing.assert_allclose(constant.values[..., t], unrolled.values[..., 4], rtol=1e-5, atol=1e-6)


def test_once_is_the_unroll_while_the_image_drives_it_and_zero_where_not(ff, stimuli):
    unrolled = ff.record(stimuli, layer="conv4", time_bins=BINS, viewing=VIEWING).values
    once = in_static_mode(ff, "once").record(stimuli, layer="conv4", time_bins=BINS, viewing=VIEWING).values
    np.testing.assert_allclose(once[..., 3:13], unrolled[..., 3:13], rtol=1e-5, atol=1e-6)
    outside = [*range(3), *range(13, 26)]
    assert not once[..., outside].any()
    assert np.ptp(unrolled[..., outside], axis=0).max() == 0  # the same for all images, but not zero
    assert np.abs(unrolled[..., outside]).max() > 0.01


@pytest.mark.parametrize("mode", ["uniform", "graded"])
def test_sequences_fill_70_to_260_ms_with_all_layers_but_the_readout(ff, stimuli, mode):
    ff = copy(ff)
    ff.max_features = 20_000  # all units as they are
    laid_out = in_static_mode(ff, mode)
    assert committed_layer(laid_out, "IT") == committed_layer(laid_out, "V1") == "all"
    recorded = laid_out.record(stimuli, layer="all", time_bins=BINS, viewing=VIEWING)
    assert not recorded.values[..., :7].any()
    weights = [1] * 5 if mode == "uniform" else [1, 2, 3, 4, 5]
    bounds = run_bounds(weights, 19)
    left = 0
    for layer, begin, end in zip(CONVS, bounds[:-1], bounds[1:], strict=True):
        steady = ff.record(stimuli, layer=layer, time_bins=BINS[9:10], viewing=VIEWING).values[..., 0]
        columns = slice(left, left + steady.shape[1])
        for t in range(26):
            expected = steady if 7 + begin <= t < 7 + end else 0 * steady
            np.testing.assert_allclose(recorded.values[:, columns, t], expected, rtol=1e-4, atol=1e-5)
        left += steady.shape[1]
    assert left == recorded.sizes["neuroid"]


def test_named_layers_are_a_sequence_of_their_own_depth(ff):
    laid_out = in_static_mode(ff, "graded", layers=["conv4", "conv5"], latency_ms=100)
    assert laid_out.layers == ("conv4+conv5",)
    assert committed_layer(laid_out, "IT") == "conv4+conv5"
    assert laid_out.network.weights("conv4+conv5") == [4, 5]
    assert time_course(laid_out, "conv4+conv5", VIEWING).text.endswith("depth; conv4 100-170, conv5 170-260 ms")


def test_pixels_can_be_laid_out():
    pixels = load_subject("pixels")
    assert time_course(pixels, "pixels", VIEWING).text == "own: the image while it is on, then the blank"
    once = in_static_mode(pixels, "once", latency_ms=70)
    assert time_course(once, "pixels", VIEWING).text.endswith("; pixels 70-170 ms")
    assert committed_layer(in_static_mode(pixels, "graded"), "IT") == "all"


def test_what_a_maker_chose_stays_where_nothing_else_is_asked_for():
    subject = made("once", latency={"IT": 3})
    assert in_static_mode(subject, "once") is subject
    again = in_static_mode(in_static_mode(subject, "graded"), "graded")
    assert (again.layers, again.network.latency) == (("all",), {"all": 7})
    assert in_static_mode(made("constant", latency={"IT": 3}), "once").network.latency == {"V4": 0, "IT": 3}
    assert in_static_mode(subject, "constant").network.latency == {"V4": 0, "IT": 0}
    assert in_static_mode(subject, "once", latency_ms=50).network.latency == {"V4": 5, "IT": 5}
    assert in_static_mode(subject, "once", latency_ms=50).region_layers == {"V4": "V4", "IT": "IT"}
    assert subject.network.latency == {"V4": 0, "IT": 3}


def test_a_makers_sequences_stay_in_the_other_mode_of_sequences():
    subject = made("uniform", sequences={"ventral": ("V4", "IT"), "late": ("IT",)}, latency={"late": 2})
    graded = in_static_mode(subject, "graded")
    assert graded.layers == ("ventral", "late")
    assert graded.network.latency == {"ventral": 0, "late": 2}
    told = graded.describe()
    assert told["sequence_ventral"] == "V4 x 1, IT x 2"
    once = in_static_mode(graded, "once")
    assert (once.layers, once.region_layers) == (("V4", "IT"), {})
    assert "sequence_ventral" not in once.describe()
    assert in_static_mode(graded, "graded", layers=["IT"]).network.latency == {"IT": 7}


def test_a_later_first_step_begins_later():
    subject = load_subject("ff_untrained", delay_ms=10)
    assert in_static_mode(subject, "once", latency_ms=70).network.latency["conv5"] == 6
    assert time_course(in_static_mode(subject, "once"), "conv5", VIEWING).text.endswith("conv5 50-150 ms")


@pytest.mark.parametrize("latency_ms", [75, 0, 5])
def test_a_latency_is_at_a_step(latency_ms):
    subject = load_subject("ff_untrained", delay_ms=10)
    with pytest.raises(ConfigurationError, match=f"a latency of {latency_ms} ms, and 'ff_untrained' has steps"):
        in_static_mode(subject, "once", latency_ms=latency_ms)


def repeated():
    return ModelSubject(
        RepeatedNetwork(nn.Identity()), name="user", layers=["x"], preprocessing=Preprocessing(8), region_layers={}
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [("rgc_untrained", "it has cells with memory in conv3, conv4, conv5"), ("user", "its network returns the activa")],
)
def test_dynamics_of_its_own_are_refused_with_their_reason(name, reason):
    subject = repeated() if name == "user" else load_subject(name)
    with pytest.raises(ConfigurationError, match=f"without dynamics of its own - '{name}': {reason}.* - score it as"):
        in_static_mode(subject, "once")
    assert time_course(subject, "conv5", VIEWING).text.startswith(f"own: {reason}")
    assert time_course(subject, "conv5", VIEWING).mode == "own"


def test_a_recording_has_a_time_course(make_recording):
    animal = RecordedSubject(make_recording())
    assert dynamics_of(animal) == "it was recorded"
    with pytest.raises(ConfigurationError, match="'animal': it was recorded"):
        in_static_mode(animal, "constant")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mode": "twice"}, UnknownNameError, "'twice' is not known"),
        ({"mode": "graded", "layers": ["conv9"]}, UnknownNameError, "layer of the sequence 'conv9' .*'conv9' is not"),
        ({"mode": "graded", "layers": ["conv5", "conv4"]}, ConfigurationError, "put them in order"),
        ({"mode": "graded", "layers": []}, ConfigurationError, "is empty"),
        ({"mode": "once", "layers": ["conv5"]}, ConfigurationError, "the mode is 'once'"),
    ],
)
def test_impossible_choices_are_told(ff, options, error, message):
    with pytest.raises(error, match=message):
        in_static_mode(ff, **options)
