import numpy as np
import pandas as pd
import pytest
import torch

from neurofit.assembly.time_bins import make_time_bins
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import AlignmentError, AssemblyError, ConfigurationError, ModelContractError, UnknownNameError
from neurofit.models.preprocessing import Preprocessing
from neurofit.subjects.library import committed_layer, list_subjects, load_subject
from neurofit.subjects.model_subject import ModelSubject, check_model, choose_device
from neurofit.subjects.subject import RecordedSubject
from neurofit.subjects.viewing import Viewing

BINS = make_time_bins(0, 60, 10)
VIEWING = Viewing(on_ms=30, total_ms=60)


class Integrator(torch.nn.Module):
    """A user's own recurrent network: a leaky sum of colour means, called frame by frame."""

    def forward(self, frames, layers):
        state, states = torch.zeros(len(frames[0]), 3), []
        for frame in frames:
            state = 0.5 * state + frame.mean((2, 3))
            states.append(state)
        return {"sum": torch.stack(states, dim=1)}


class Images:
    def __getitem__(self, row):
        return np.random.default_rng(row).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def stimuli():
    return StimulusSet("noise", pd.DataFrame({"stimulus_id": [f"i{k}" for k in range(5)]}), Images(), size_deg=8)


def subject_of(network, layers=("sum",), **options):
    return ModelSubject(network, name="mine", layers=layers, preprocessing=Preprocessing(16), **options)


def test_a_users_network_is_recorded_over_time(stimuli):
    subject = check_model(subject_of(Integrator(), batch=2))
    activations = subject.record(stimuli, layer="sum", time_bins=BINS, viewing=VIEWING)
    assert activations.shape == (5, 3, 6)
    assert list(activations.stimulus_id.values) == stimuli.ids
    frame = subject.preprocessing([stimuli.image(4)]).mean((2, 3)).numpy()[0]
    expected, state = [], np.zeros(3)
    for t in range(6):
        state = 0.5 * state + (frame if t < 3 else 0.5)
        expected.append(state)
    np.testing.assert_allclose(activations.values[4].T, expected, rtol=1e-5)


def test_bins_average_the_steps_that_they_cover(stimuli):
    subject = subject_of(Integrator())
    fine = subject.record(stimuli, layer="sum", time_bins=BINS, viewing=VIEWING).values
    coarse = subject.record(stimuli, layer="sum", time_bins=[(5, 25)], viewing=VIEWING).values
    expected = 0.25 * fine[..., 0] + 0.5 * fine[..., 1] + 0.25 * fine[..., 2]
    np.testing.assert_allclose(coarse[..., 0], expected, rtol=1e-5)


def test_a_delay_shifts_the_steps(stimuli):
    late = subject_of(Integrator(), delay_ms=10).record(stimuli, layer="sum", time_bins=BINS[1:], viewing=VIEWING)
    on_time = subject_of(Integrator()).record(stimuli, layer="sum", time_bins=BINS[:-1], viewing=VIEWING)
    np.testing.assert_array_equal(late.values, on_time.values)
    with pytest.raises(AssemblyError, match=r"\(0, 10\) ms lie outside 10-70 ms"):
        subject_of(Integrator(), delay_ms=10).record(stimuli, layer="sum", time_bins=BINS, viewing=VIEWING)


def test_the_batch_size_changes_nothing(stimuli):
    recordings = [
        load_subject("rgc_untrained", batch=b).record(stimuli, layer="conv4", time_bins=BINS, viewing=VIEWING)
        for b in (1, 5)
    ]
    np.testing.assert_allclose(recordings[0].values, recordings[1].values, rtol=1e-4, atol=1e-5)


def test_wide_layers_are_projected_and_say_so(stimuli):
    subject = load_subject("rgc_untrained", max_features=50)
    activations = subject.record(stimuli, layer="conv3", time_bins=BINS, viewing=VIEWING)
    assert activations.attrs["units"] == 1024
    assert activations.attrs["route"] == "projected"
    assert activations.attrs["projected_to"] == 50
    assert activations.sizes["neuroid"] == 50
    whole = load_subject("rgc_untrained").record(stimuli, layer="conv3", time_bins=BINS, viewing=VIEWING)
    assert (whole.attrs["units"], whole.attrs["route"], whole.attrs["reduction"]) == (1024, "raw", "none")
    again = subject.record(stimuli, layer="conv3", time_bins=BINS, viewing=VIEWING)
    np.testing.assert_array_equal(activations.values, again.values)


def test_the_stream_yields_batches(stimuli):
    subject = load_subject("ff_untrained", batch=2)
    batches = list(subject.stream(stimuli, ["conv1", "conv5"], VIEWING))
    assert [b.stimulus_ids for b in batches] == [["i0", "i1"], ["i2", "i3"], ["i4"]]
    assert batches[0].activations["conv5"].shape == (2, 6, 128 * 2 * 2)


class Broken(torch.nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer, self.calls = answer, 0

    def forward(self, frames, layers):
        self.calls += 1
        return self.answer(frames, self.calls)


def steps(frames):
    return torch.stack([f.mean((2, 3)) for f in frames], 1)


BROKEN = {
    "a tensor": (lambda f, n: steps(f), "returns a mapping from layer to activations - mine returned Tensor"),
    "another layer": (lambda f, n: {"other": steps(f)}, "returned other without 'sum'"),
    "no time": (lambda f, n: {"sum": f[0].mean((2, 3))}, r"steps 4, ...\) - 'sum' of mine is \(3, 3\)"),
    "time first": (lambda f, n: {"sum": steps(f).swapaxes(0, 1)}, "stack the steps on axis 1"),
    "no units": (lambda f, n: {"sum": steps(f)[..., :0]}, r"'sum' of mine is \(3, 4, 0\)"),
    "NaN": (lambda f, n: {"sum": steps(f) * float("nan")}, "finite floating-point numbers"),
    "memory": (lambda f, n: {"sum": steps(f) + n}, "remembers nothing between two calls"),
    "batch norm": (lambda f, n: {"sum": steps(f) - steps(f).mean(0)}, "does not depend on the others of its batch"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_check_model_names_the_broken_promise(name):
    answer, message = BROKEN[name]
    with pytest.raises(ModelContractError, match=message):
        check_model(subject_of(Broken(answer)))


def test_unknown_names_are_told(stimuli, monkeypatch):
    with pytest.raises(UnknownNameError, match="layer .* 'conv9' is not known"):
        load_subject("ff_untrained").record(stimuli, layer="conv9", time_bins=BINS, viewing=VIEWING)
    with pytest.raises(UnknownNameError, match="model .* 'rcg' is not known - use 'rgc'"):
        load_subject("rcg")
    with pytest.raises(ConfigurationError, match="'tpu' is not; here: cpu"):
        choose_device("tpu")
    with pytest.raises(ConfigurationError, match="as torch names it - 'cpu:x:y' is not - use 'cpu'"):
        choose_device("cpu:x:y")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1").index == 1
    with pytest.raises(ConfigurationError, match="'cuda:2' is not; here: 2 of CUDA, numbered from 0"):
        choose_device("cuda:2")
    assert committed_layer(load_subject("rgc"), "V4") == "conv3"
    with pytest.raises(UnknownNameError, match="region with a committed layer of 'rgc'"):
        committed_layer(load_subject("rgc"), "V1")
    assert {"rgc", "ff", "pixels"} <= set(list_subjects())


def test_images_keep_their_visual_angle():
    image = np.full((10, 10, 3), 255, np.uint8)
    assert Viewing().placed(image, 4) is image
    larger = Viewing(field_deg=8).placed(image, 4)
    assert larger.shape == (20, 20, 3)
    assert (larger[5:15, 5:15] == 255).all()
    assert (larger[:5] == 128).all()
    assert Viewing(field_deg=2).placed(image, 4).shape == (5, 5, 3)
    assert Viewing(field_deg=8).placed(image, None) is image


def test_impossible_viewings_are_told():
    with pytest.raises(ConfigurationError, match="on_ms is 300 and total_ms 260"):
        Viewing(on_ms=300)
    with pytest.raises(ConfigurationError, match="not multiples of 10 ms"):
        Viewing(on_ms=95).steps(10)


def test_an_animal_is_a_subject(make_recording):
    recording = make_recording(n=6)
    animal = RecordedSubject(recording)
    ids = ["s003", "s001"]
    shown = StimulusSet("two", pd.DataFrame({"stimulus_id": ids}), Images())
    replayed = animal.record(shown, layer="IT", time_bins=[(70, 80)], viewing=Viewing())
    assert list(replayed.stimulus_id.values) == ids
    own = recording.values[recording.stimulus_id.values == "s001"].mean(0)
    np.testing.assert_allclose(replayed.values[1, :, 0], own[:, 0], rtol=1e-5)
    assert animal.describe() == {"kind": "animal", "name": "animal", "simulated": False}
    with pytest.raises(AlignmentError, match="unknown to it: i0"):
        animal.record(
            StimulusSet("x", pd.DataFrame({"stimulus_id": ["i0"]}), Images()),
            layer="IT",
            time_bins=[(70, 80)],
            viewing=Viewing(),
        )
    with pytest.raises(AlignmentError, match="'nobody' is not among animal"):
        RecordedSubject(recording, "nobody")
