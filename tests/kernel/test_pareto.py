"""Pareto fronts by their definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neurofit.kernel.pareto import pareto_front

POINTS = st.lists(st.tuples(st.integers(0, 8), st.integers(-4, 4)), min_size=1, max_size=25)


def dominates(a, b):
    return a[0] <= b[0] and a[1] >= b[1] and a != b


@given(POINTS)
def test_the_front_is_what_no_point_dominates(points):
    front = pareto_front(*zip(*points, strict=True))
    assert front.any()
    for i, point in enumerate(points):
        assert front[i] == (not any(dominates(other, point) for other in points))
    best = [p for p, on in zip(points, front, strict=True) if on]
    for point in points:  # what is not on the front is dominated by something that is
        assert point in best or any(dominates(other, point) for other in best)


@given(POINTS, st.randoms())
def test_order_and_monotone_scales_do_not_matter(points, random):
    cost, value = np.array(points, float).T
    front = pareto_front(cost, value)
    np.testing.assert_array_equal(pareto_front(np.exp(cost), value**3), front)
    order = list(range(len(points)))
    random.shuffle(order)
    np.testing.assert_array_equal(pareto_front(cost[order], value[order]), front[order])


def test_what_is_not_defined_is_not_on_it():
    assert pareto_front([1, 2, np.nan, 3], [0.5, np.nan, 0.9, 0.6]).tolist() == [True, False, False, True]
