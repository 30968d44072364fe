"""Every layer, step, output and state of ten networks, and their decoders, equal the authors' own code."""

import dataclasses

import numpy as np
import pytest
import torch
from golden_models import GoldenModel, activations, compare_activations, compare_logits

from neurofit.models.decoders import LAST_STEP
from neurofit.models.released import RELEASED

MODELS = (
    "timedecay_shallow", "simplernn_shallow", "gru_shallow", "lstm_shallow", "intersectionrnn_shallow",
    "ugrnn_shallow", "rgc_shallow", "ugrnn_intermediate", "rgc_intermediate",
)  # fmt: skip
LONGEST = "intersectionrnn_shallow"  # waits for the slow run
QUICK = {(model, "default_released") for model in MODELS if model != LONGEST} | {("timedecay_shallow", "neural")}
ALSO = {"rgc_intermediate": ("rgc_intermediate_tmaxconf",)}  # another decoder on the same network

OF_STD, RELATIVE_L2 = 1e-4, 5e-6  # of the golden data's README


def presentations():
    for model in MODELS:
        for presentation in ("default_released", "default", "neural", "constant"):
            marks = () if (model, presentation) in QUICK else pytest.mark.slow
            yield pytest.param(model, presentation, marks=marks)


@pytest.mark.parametrize(("name", "presentation"), list(presentations()))
def test_equals_the_authors_code(name, presentation, shared, differences):
    model = GoldenModel(name, shared)
    found = activations(model, presentation)
    for each in (model, *(GoldenModel(other, shared) for other in ALSO.get(name, ()))):
        compared = [
            *compare_activations(each, presentation, found),
            *decoded(each, presentation, found["out/imnetds"]),
        ]
        differences += compared
        assert len(compared) == len(found) + 4
        for difference in compared:
            assert difference.of_std < OF_STD, difference
            assert difference.relative_l2 < RELATIVE_L2, difference
            assert difference.of_norm < RELATIVE_L2, difference


def decoded(model, presentation, scores):
    """Compare what each decoder makes of the scores (steps, images, classes), and which steps it chose."""
    network = model.released.network
    logits = torch.from_numpy(scores).movedim(0, 1)[:, network.decoded_steps(len(scores))]
    assert logits.shape == model.expected[f"decoder/{presentation}/logits"].shape
    own = network.decoder.kind
    for quantity, kind in {"last": "last", "max_conf": "max_conf", "thresh": "thresh", "model": own}.items():
        decoder = model.decoder(kind, logits.shape[2], presentation)
        answer = decoder(logits) if kind == "last" else at_their_steps(model, presentation, decoder, logits)
        yield compare_logits(model, presentation, quantity, answer.numpy())


def at_their_steps(model, presentation, decoder, logits):
    """The scores at the steps that the authors' code chose, which must be ours, or tie with ours.

    Time decay under a standing image converges: from step 14 on its confidence differs by rounding alone.
    """
    kind = decoder.config.kind
    confidence = model.expected[f"decoder/{presentation}/max_prob"]
    np.testing.assert_allclose(decoder.confidence(logits).numpy(), confidence, rtol=1e-4)
    ours, theirs = decoder.choose(logits).numpy(), model.expected[f"decoder/{presentation}/{kind}_index"]
    images = np.arange(len(theirs))
    if (model.name, presentation, kind) == ("timedecay_shallow", "constant", "max_conf"):
        np.testing.assert_allclose(confidence[images, ours], confidence[images, theirs], rtol=0, atol=2.5e-7)
    else:
        np.testing.assert_array_equal(ours, theirs)
    return logits[images, theirs]


def test_networks_that_share_activations_differ_in_their_decoder_alone():
    ((one, (other,)),) = ALSO.items()
    assert dataclasses.replace(RELEASED[other].network, decoder=LAST_STEP) == RELEASED[one].network
