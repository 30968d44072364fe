"""Recurrent networks as users have them, in the manner of CORnet-S and CORnet-RT: no hooks, no step lost."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from neurofit.assembly.time_bins import make_time_bins
from neurofit.data.stimuli import StimulusSet
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.repeated import RepeatedNetwork
from neurofit.subjects.model_subject import ModelSubject, check_model
from neurofit.subjects.viewing import Viewing

AREAS = {"V1": 6, "V2": 8, "V4": 10}
BINS = make_time_bins(0, 50, 10)
VIEWING = Viewing(on_ms=30, total_ms=50)


def seeded(network):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
    return network.eval()


class SharedBlock(nn.Module):
    """In the manner of CORnet-S: one convolution for all times, a norm for each."""

    def __init__(self, channels, times):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(times))

    def forward(self, x, t):
        return torch.relu(self.norms[min(t, len(self.norms) - 1)](self.conv(x)) + x)


class Unrolled(nn.Module):
    """Returns a sequence: the block reads its own output, driven by the present frame."""

    def __init__(self, times=3):
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 4, 3, stride=2), SharedBlock(4, times)

    def forward(self, frames, layers):
        state, course = 0, []
        for t, frame in enumerate(frames):
            state = self.block(self.stem(frame) + 0.5 * state, t)
            course.append(state)
        return {"V2": torch.stack(course, dim=1)}


class Area(nn.Module):
    """In the manner of CORnet-RT: drive from the area below, plus its own state."""

    def __init__(self, below, channels):
        super().__init__()
        self.feed, self.recur = nn.Conv2d(below, channels, 3, stride=2, padding=1), nn.Conv2d(channels, channels, 1)

    def forward(self, below, state):
        return torch.tanh(self.feed(below) + self.recur(state))


class OneLayerPerStep(nn.Module):
    """Called once per step; at every step each area reads what the one below gave at the step before."""

    def __init__(self):
        super().__init__()
        widths = [3, *AREAS.values()]
        self.areas = nn.ModuleDict({name: Area(b, c) for name, b, c in zip(AREAS, widths, widths[1:], strict=False)})

    def forward(self, frame, states):
        if states is None:
            sides = [frame.shape[-1] // 2 ** (i + 1) for i in range(len(AREAS))]
            states = {n: frame.new_zeros(len(frame), c, s, s) for (n, c), s in zip(AREAS.items(), sides, strict=True)}
        below, new = frame, {}
        for name, area in self.areas.items():
            new[name] = area(below, states[name])
            below = states[name]
        return new, new


@pytest.fixture
def stimuli():
    images = {k: np.random.default_rng(k).integers(0, 256, (16, 16, 3), dtype=np.uint8) for k in range(4)}
    return StimulusSet("noise", pd.DataFrame({"stimulus_id": [f"i{k}" for k in images]}), images)


def subject_of(network, layers):
    return ModelSubject(network, name="mine", layers=layers, preprocessing=Preprocessing(16), batch=3)


def test_a_network_that_returns_a_sequence(stimuli):
    network = seeded(Unrolled())
    subject = check_model(subject_of(network, ["V2"]))
    recorded = subject.record(stimuli, layer="V2", time_bins=BINS, viewing=VIEWING).values
    frames = [Preprocessing(16)([stimuli.image(k) for k in range(4)])] * 3 + [torch.full((4, 3, 16, 16), 0.5)] * 2
    state = torch.zeros(4, 4, 7, 7)
    with torch.inference_mode():
        for t, frame in enumerate(frames):
            drive = network.stem(frame) + 0.5 * state
            normed = network.block.norms[min(t, 2)](network.block.conv(drive))
            state = torch.relu(normed + drive)
            np.testing.assert_allclose(recorded[..., t], state.flatten(1), rtol=1e-4, atol=1e-5)


def test_a_network_that_is_called_step_by_step(stimuli):
    network = seeded(OneLayerPerStep())
    subject = check_model(subject_of(RepeatedNetwork(network), list(AREAS)))
    recorded = subject.record_many(stimuli, layers=list(AREAS), time_bins=BINS, viewing=VIEWING)
    values = {layer: assembly.values for layer, assembly in recorded.items()}
    for layer, arrival in {"V1": 0, "V2": 1, "V4": 2}.items():  # one layer per step: before, all images look alike
        varies = np.ptp(values[layer], axis=0).max(axis=0) > 1e-6
        assert varies.tolist() == [t >= arrival for t in range(5)], layer
    steps = values["V1"].transpose(2, 0, 1)
    assert all(np.abs(a - b).max() > 1e-3 for a, b in pairwise(steps))  # no step is another's copy
    image = Preprocessing(16)([stimuli.image(k) for k in range(4)])
    with torch.inference_mode():
        first = torch.tanh(network.areas["V1"].feed(image) + network.areas["V1"].recur.bias[:, None, None])
        second = torch.tanh(network.areas["V1"].feed(image) + network.areas["V1"].recur(first))
    np.testing.assert_allclose(values["V1"][..., 0], first.flatten(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(values["V1"][..., 1], second.flatten(1), rtol=1e-4, atol=1e-5)
