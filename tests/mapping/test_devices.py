"""Mappings on a device of torch's: here the CPU stands for one."""

import numpy as np
import torch

from neurofit.kernel.gram import SharedSource
from neurofit.kernel.held_out import HeldOutFits
from neurofit.mapping.devices import OnDevice, on_device
from neurofit.mapping.estimators import PLSMapping


def test_a_mapping_on_a_device_equals_one_in_numpy():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 20))
    Y = X @ rng.standard_normal((3, 20, 30)) + rng.standard_normal((3, 60, 30))
    splits = [(np.arange(45), np.arange(45, 60)), (np.arange(15, 60), np.arange(15))]
    here = PLSMapping(5).held_out(X, splits)
    there = OnDevice(HeldOutFits(SharedSource.of(on_device(X, "cpu")), splits, 5), "cpu")
    np.testing.assert_allclose(there.correlate(Y).r, here.correlate(Y).r, rtol=0, atol=1e-10)
    for one, two in zip(there.correlate_halves(Y, Y + 1), here.correlate_halves(Y, Y + 1), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-10)


def test_a_copy_goes_to_the_device():
    values = np.arange(6.0).reshape(2, 3)[:, ::-1]
    moved = on_device(values, "cpu")
    assert isinstance(moved, torch.Tensor)
    np.testing.assert_array_equal(moved.numpy(), values)
    moved[0] = 9
    np.testing.assert_array_equal(values[0], [2, 1, 0])
