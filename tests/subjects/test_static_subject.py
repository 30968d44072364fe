import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from neurofit.assembly.time_bins import make_time_bins
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import ConfigurationError, ModelContractError, UnknownNameError
from neurofit.mapping.estimators import PLSMapping
from neurofit.models.preprocessing import Preprocessing
from neurofit.scoring.predictivity import predictivity
from neurofit.subjects.library import committed_layer
from neurofit.subjects.model_subject import ModelSubject, check_model
from neurofit.subjects.static import static_subject
from neurofit.subjects.viewing import Viewing

BINS = make_time_bins(0, 60, 10)
VIEWING = Viewing(on_ms=30, total_ms=60)
NODES = {"V4": "conv", "IT": "pool"}


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(2)
        with torch.no_grad():
            weights = torch.randn(self.conv.weight.shape, generator=torch.Generator().manual_seed(0))
            self.conv.weight.copy_(weights)
            self.conv.bias.zero_()
        self.seen = 0

    def forward(self, x):
        self.seen += len(x)
        return self.pool(self.relu(self.conv(x)))


class Images:
    def __getitem__(self, row):
        return np.random.default_rng(row).integers(0, 256, (20, 20, 3), dtype=np.uint8)


@pytest.fixture
def stimuli():
    return StimulusSet("noise", pd.DataFrame({"stimulus_id": [f"s{k:03d}" for k in range(40)]}), Images())


def subject_of(mode, **options):
    return static_subject(
        Small(), NODES, name="small", preprocessing=Preprocessing(16), mode=mode, **{"batch": 16, **options}
    )


@pytest.mark.parametrize("mode", ["constant", "once", "uniform", "graded"])
def test_every_mode_keeps_the_contract(mode):
    check_model(subject_of(mode))


def test_a_network_in_training_mode_is_put_into_eval():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    check_model(static_subject(network, ["1"], name="bn", preprocessing=Preprocessing(16), mode="once"))


def test_recorded_features_are_the_networks_own(stimuli):
    subject = subject_of("once")
    recorded = subject.record(stimuli, layer="V4", time_bins=BINS, viewing=VIEWING)
    network = Small()
    with torch.inference_mode():
        expected = network.conv(Preprocessing(16)([stimuli.image(k) for k in range(40)])).flatten(1).numpy()
    for t in range(6):
        np.testing.assert_allclose(recorded.values[..., t], expected if t < 3 else 0 * expected, rtol=1e-4, atol=1e-5)


def test_every_image_runs_once_for_all_layers_and_steps(stimuli):
    subject = subject_of("constant")
    subject.record_many(stimuli, layers=["V4", "IT"], time_bins=BINS, viewing=VIEWING)
    assert subject.network.reader.network.seen == 40 + 1  # and a grey one, to learn how many units there are


def test_a_stream_of_equal_steps_is_not_copied(stimuli):
    batch = next(subject_of("constant").stream(stimuli, ["V4"], VIEWING))
    values = batch.activations["V4"]
    assert values.shape == (16, 6, 4 * 7 * 7)
    assert values.strides[1] == 0
    assert values.flags.c_contiguous is False
    assert next(subject_of("once").stream(stimuli, ["V4"], VIEWING)).activations["V4"].strides[1] > 0


def test_values_that_are_not_finite_are_still_found():
    network = Small()
    with torch.no_grad():
        network.conv.bias[0] = float("nan")
    subject = static_subject(network, NODES, name="small", preprocessing=Preprocessing(16), mode="constant")
    with pytest.raises(ModelContractError, match="finite floating-point numbers - 'V4' of small"):
        check_model(subject)


def test_a_sequence_predicts_in_every_bin_what_its_layer_does_alone(stimuli, make_recording):
    """Columns of the other layers are constant in a bin, and take no part."""
    recording = make_recording(n=40, bins=BINS, repetitions=(2, 2))
    options = {"mapping": PLSMapping(n_components=4), "n_halvings": 1, "formula": "raw"}
    at_once = subject_of("constant").record_many(stimuli, layers=["V4", "IT"], time_bins=BINS, viewing=VIEWING)
    turns = subject_of("uniform").record(stimuli, layer="all", time_bins=BINS, viewing=VIEWING)
    alone = {layer: predictivity(source, recording, **options) for layer, source in at_once.items()}
    in_turn = predictivity(turns, recording, **options)
    for t, layer in enumerate(["V4"] * 3 + ["IT"] * 3):
        expected = alone[layer]["predictivity"].isel(time_bin=t).values
        np.testing.assert_allclose(in_turn["predictivity"].isel(time_bin=t).values, expected, atol=1e-6)
    assert np.abs(alone["V4"]["predictivity"].values - alone["IT"]["predictivity"].values).max() > 0.01


def test_the_record_tells_the_time_course_and_the_preprocessing():
    told = subject_of("once", latency={"IT": 3}, details={"weights": "seeded"}).describe()
    assert told["kind"] == "model"
    assert told["static_mode"] == "once"
    assert told["nodes"] == "V4 = conv, IT = pool"
    assert told["latency_steps"] == "IT 3"
    assert told["weights"] == "seeded"
    assert told["interpolation"] == "bilinear"
    assert len(told["weights_sha256"]) == 64
    assert all(value is None or isinstance(value, str | int) for value in told.values())


def test_layers_can_be_committed_to_regions():
    assert committed_layer(subject_of("once", region_layers={"V4": "V4", "IT": "IT"}), "IT") == "IT"
    with pytest.raises(ConfigurationError, match="'small' commits none to IT or any region - add --layer: V4, IT"):
        committed_layer(subject_of("once"), "IT")
    with pytest.raises(UnknownNameError, match="layer committed to a region .* 'conv' is not known"):
        subject_of("once", region_layers={"V4": "conv"})


def test_a_mode_must_be_chosen():
    with pytest.raises(TypeError, match="mode"):
        static_subject(Small(), NODES, name="small", preprocessing=Preprocessing(16))
    assert isinstance(subject_of("once"), ModelSubject)
