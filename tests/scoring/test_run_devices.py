"""Where a mapping can be computed."""

import pytest

from neurofit.errors import ConfigurationError
from neurofit.mapping.estimators import PLSMapping, RidgeMapping
from neurofit.scoring.run import placed


def test_the_device_reaches_the_mapping_and_its_name():
    assert placed(PLSMapping(), "cpu").device == "cpu"
    assert "device='cuda'" in repr(placed(PLSMapping(), "cuda"))


@pytest.mark.parametrize(
    ("mapping", "device", "message"),
    [(RidgeMapping(), "cuda", "is PLS"), (PLSMapping(), "mps", "MPS has no float64")],
)
def test_what_cannot_be_computed_there_is_said(mapping, device, message):
    with pytest.raises(ConfigurationError, match=message):
        placed(mapping, device)
