"""Spearman's correlation against SciPy's."""

import numpy as np
from scipy.stats import spearmanr

from neurofit.kernel.rank_correlation import spearman


def test_equals_scipy_with_ties_and_in_batches():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, (2, 5, 30)).astype(float)
    expected = [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b, axis=1), expected, rtol=1e-12)


def test_is_one_for_any_rising_function_and_nan_where_all_are_tied():
    x = np.linspace(-2, 2, 11)
    assert spearman(x, np.exp(x)) == 1
    assert np.isnan(spearman(x, np.ones(11)))
