"""Ways of computing a network: what they change, and what is refused."""

from __future__ import annotations

import shutil

import pytest
import torch

from neurofit.errors import ConfigurationError
from neurofit.models.execution import Execution
from neurofit.models.network import ConvRNN
from neurofit.models.presentation import Presentation
from neurofit.models.zoo import zoo_entry

CPU = torch.device("cpu")


def activations(execution: Execution, steps: int = 6):
    network = execution.prepared(ConvRNN(zoo_entry("rgc").network, seed=0), CPU)
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with execution.running(CPU):
        return {k: v.float() for k, v in network(Presentation(steps, 4).frames(execution.frame(image))).items()}


def worst(found, expected):
    return max(float((found[layer] - expected[layer]).abs().max() / expected[layer].std()) for layer in expected)


def test_the_layout_changes_rounding_only():
    expected = activations(Execution())
    found = activations(Execution(channels_last=True))
    assert 0 <= worst(found, expected) < 1e-3
    assert found.keys() == expected.keys()


def test_bfloat16_keeps_three_digits_or_so():
    expected, found = activations(Execution()), activations(Execution("bfloat16"))
    assert worst(found, expected) > 1e-6  # it was in another precision
    for layer in expected:
        one, two = found[layer].flatten(), expected[layer].flatten()
        assert torch.corrcoef(torch.stack([one, two]))[0, 1] > 0.99


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler uses what torch deprecates
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_nodes_compute_the_same():
    assert worst(activations(Execution(compiled=True), steps=4), activations(Execution(), steps=4)) < 1e-3


def test_gradients_are_off_while_running():
    with Execution().running(CPU):
        assert torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu")
    with Execution("bfloat16").running(CPU):
        assert torch.is_autocast_enabled("cpu")


def test_what_cannot_be_done_is_said():
    with pytest.raises(ConfigurationError, match="choose one of these"):
        Execution("int8")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="float16 needs an accelerator"):
        Execution("float16").prepared(torch.nn.Identity(), CPU)
    with pytest.raises(ConfigurationError, match="not made of neurofit's nodes"):
        Execution(compiled=True).prepared(torch.nn.Identity(), CPU)


def test_a_record_says_what_differs_from_the_defaults():
    assert Execution().described() == {}
    assert Execution("bfloat16", channels_last=True).described() == {
        "network_precision": "bfloat16",
        "channels_last": True,
    }
