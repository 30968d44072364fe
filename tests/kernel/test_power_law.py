"""Saturating power laws, against known parameters and scipy's curve_fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from neurofit.errors import MappingError
from neurofit.kernel.power_law import EXPONENTS, fit_power_law

SIZES = np.array([40, 60, 91, 138, 209, 317, 480])


@settings(max_examples=60, deadline=None)
@given(limit=st.floats(-0.5, 1.5), gap=st.floats(0.05, 2), exponent=st.floats(0.15, 2.5))
def test_exact_curves_are_recovered(limit, gap, exponent):
    scale = gap * 40**exponent
    law = fit_power_law(SIZES, limit - scale * SIZES[None] ** -exponent)
    assert law.exponent[0] == pytest.approx(exponent, rel=1e-3)
    assert law.limit[0] == pytest.approx(limit, abs=2e-3 * gap / exponent)
    assert law.residual[0] < 1e-4 * gap
    assert law.at(960)[0] == pytest.approx(limit - scale * 960**-exponent, abs=1e-3 * gap)
    assert law.at(float("inf"))[0] == law.limit[0]
    assert not law.at_bound()[0]


def test_noisy_curves_equal_the_best_of_several_starts_of_curve_fit():
    rng = np.random.default_rng(0)
    y = 0.6 - 2.0 * SIZES[None] ** -0.6 + 0.005 * rng.standard_normal((20, len(SIZES)))
    law = fit_power_law(SIZES, y)

    def model(m, limit, scale, exponent):
        return limit - scale * m**-exponent

    for i, curve in enumerate(y):
        found = []
        for start in ([0.5, 1, 0.3], [0.6, 3, 0.8], [0.7, 10, 1.5]):
            bounds = ([-5, 0, EXPONENTS[0]], [5, 1e4, EXPONENTS[1]])
            values, _ = curve_fit(model, SIZES, curve, start, bounds=bounds, max_nfev=5000)
            found.append((np.sqrt(np.mean((curve - model(SIZES, *values)) ** 2)), values))
        residual, values = min(found, key=lambda each: each[0])
        assert law.residual[i] <= residual + 1e-7
        assert law.limit[i] == pytest.approx(values[0], abs=2e-3)


def test_curves_that_do_not_grow_have_their_mean_and_those_at_a_bound_say_so():
    law = fit_power_law(SIZES, [[0.5] * 7, list(np.linspace(0.6, 0.4, 7)), list(np.log(SIZES)), [0, *[1] * 6]])
    assert law.scale[0] == law.scale[1] == 0
    np.testing.assert_allclose(law.limit[:2], 0.5)
    assert law.at_bound().tolist()[2:] == [True, True]


@pytest.mark.parametrize(
    ("sizes", "values", "message"),
    [
        ([1, 2, 3], [[1, 2, 3]], "four or more"),
        ([1, 2, 2, 3], [[1, 2, 3, 4]], "distinct"),
        ([0, 1, 2, 3], [[1, 2, 3, 4]], "positive"),
        ([1, 2, 3, 4], [[1, 2, 3]], "shape"),
        ([1, 2, 3, 4], [[1, 2, 3, np.nan]], "1 of 4 are not"),
    ],
)
def test_bad_curves_are_refused(sizes, values, message):
    with pytest.raises(MappingError, match=message):
        fit_power_law(sizes, values)
