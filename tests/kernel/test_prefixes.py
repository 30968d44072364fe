"""Every number of components from one fit equals a fit of its own."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import KFold, ShuffleSplit

from neurofit.errors import MappingError
from neurofit.kernel.gram import SharedSource
from neurofit.kernel.held_out import HeldOutFits
from neurofit.kernel.prefixes import correlate_halves_of_prefixes, correlate_prefixes

GRID = (1, 2, 5, 9)


def data(n=70, p=30, q=12, n_sets=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * 0.9 ** np.arange(p) + 3
    weights = rng.standard_normal((n_sets, p, q)) * 0.8 ** np.arange(q)
    return X, X @ weights + rng.standard_normal((n_sets, n, q))


def partition(n):
    return list(KFold(5, shuffle=True, random_state=0).split(np.empty((n, 1))))


def overlapping(n):
    return list(ShuffleSplit(3, test_size=0.3, random_state=0).split(np.empty((n, 1))))


def separate(X, Y, splits, k, precision="float64", scale=False, n_groups=1):
    return HeldOutFits(SharedSource.of(X, scale, precision=precision), splits, k, n_groups=n_groups)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("splits", [partition, overlapping])
@pytest.mark.parametrize("scale", [False, True])
def test_prefixes_equal_separate_fits(kind, precision, splits, scale):
    X, Y = data()
    fits = separate(kind(X), Y, splits(70), max(GRID), precision, scale)
    found = correlate_prefixes(fits, kind(Y), GRID)
    halves = correlate_halves_of_prefixes(fits, kind(Y[:1]), kind(Y[1:]), GRID)
    tolerance = 1e-12 if precision == "float64" else 1e-6
    for i, k in enumerate(GRID):
        one = separate(kind(X), Y, splits(70), k, precision, scale)
        np.testing.assert_allclose(found.r[i], one.correlate(kind(Y)).r, rtol=0, atol=tolerance)
        expected = one.correlate_halves(kind(Y[:1]), kind(Y[1:]))
        np.testing.assert_allclose(halves.mapping[i], expected.mapping, rtol=0, atol=1e-6)
        np.testing.assert_allclose(halves.responses[i], expected.responses, rtol=0, atol=tolerance)


def test_groups_outliers_and_exhausted_ranks():
    X, Y = data(n=60, p=12)
    X[0] *= 1e9  # held out alone, it takes all variance with it: fitted without down-dating
    train = np.arange(1, 40)
    splits = [(train, np.arange(40, 60)), (np.arange(20, 60), np.arange(0, 20))]
    found = correlate_prefixes(separate(X, Y, splits, 9, n_groups=2), Y, GRID)
    for i, k in enumerate(GRID):
        expected = separate(X, Y, splits, k, n_groups=2).correlate(Y).r
        np.testing.assert_allclose(found.r[i], expected, rtol=0, atol=1e-9)
    low_rank = np.repeat(np.random.default_rng(1).standard_normal((60, 3)), 4, axis=1)
    found = correlate_prefixes(separate(low_rank, Y, splits, 9), Y, (2, 5, 9))
    assert (found.kept == 3).all()
    np.testing.assert_allclose(found.r[1], found.r[2], rtol=0, atol=1e-12)
    assert not np.allclose(found.r[0], found.r[1])


@pytest.mark.parametrize("grid", [(), (0, 3), (3, 2), (2, 2), (5, 10)])
def test_a_grid_ascends_within_the_fits(grid):
    X, Y = data()
    with pytest.raises(MappingError, match="ascend between 1 and 9"):
        correlate_prefixes(separate(X, Y, partition(70), 9), Y, grid)
