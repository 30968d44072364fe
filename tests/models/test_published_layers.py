"""The layers that the authors of the released networks compare with each region."""

import pytest

from neurofit.models.description import describe_model
from neurofit.models.released import RELEASED
from neurofit.models.zoo import ZOO


@pytest.mark.parametrize("name", RELEASED)
def test_released_networks_have_their_authors_layers(name):
    entry = ZOO[name]
    several = entry.published_layers
    assert set(several) == {"V4", "pIT", "cIT", "aIT"}
    assert {layer for layers in several.values() for layer in layers} <= set(entry.layer_shapes())
    # what is compared where the user names no layer is one of them
    assert all(entry.region_layers[region] in layers for region, layers in several.items())
    assert len(several["V4"]) == (1 if "shallow" in name else 2)
    assert describe_model(name).published_layers == several


def test_other_networks_have_none():
    assert all(not entry.published_layers for name, entry in ZOO.items() if name not in RELEASED)
