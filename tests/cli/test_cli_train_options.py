"""What `neurofit train` makes of its options before it trains."""

import pytest
import torch

from neurofit.cli.train import _trainable
from neurofit.errors import ConfigurationError

OWN = """
import torch

def network():
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 2))
"""


def test_the_seed_decides_the_initial_weights_of_a_users_module(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    name = f"{tmp_path / 'own.py'}:network"
    first, again, other = (next(_trainable(name, 2, seed, None, None).network.parameters()) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("steps", "words"), [(3, "long enough for the readout"), (1001, "steps is between 0 and 1,000")]
)
def test_steps_that_the_architecture_file_could_not_have_are_told_at_once(steps, words):
    with pytest.raises(ConfigurationError, match=words):
        _trainable("ff_untrained", 3, 0, steps, None)
