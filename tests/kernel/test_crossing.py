"""When a course first reaches a level."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neurofit.kernel.crossing import first_crossing

TIMES = np.array([5.0, 15.0, 25.0, 35.0])


@pytest.mark.parametrize(
    ("course", "level", "expected"),
    [
        ([0, 1, 2, 3], 1.5, 20.0),
        ([0, 1, 2, 3], 1.0, 15.0),  # at the level counts
        ([0, 4, 0, 4], 1.0, 7.5),  # the first of two crossings
        ([2, 0, 0, 3], 1.0, 5.0),  # above at once
        ([0, 0, 0, 0.9], 1.0, np.nan),
        ([-4, -2, 2, 2], 0.0, 20.0),
        ([0, 1, 2, 3], np.nan, np.nan),
        ([np.nan] * 4, 1.0, np.nan),
    ],
)
def test_is_interpolated_between_the_last_below_and_the_first_above(course, level, expected):
    np.testing.assert_allclose(first_crossing(course, TIMES, level), expected)


@given(arrays(float, (3, 2, 4), elements=st.floats(-3, 3)), arrays(float, (2,), elements=st.floats(-2, 2)))
def test_a_batch_equals_its_courses_and_lies_between_the_neighbours(values, levels):
    found = first_crossing(values, TIMES, levels)
    for i in np.ndindex(3, 2):
        np.testing.assert_array_equal(found[i], first_crossing(values[i], TIMES, levels[i[1]]))
        above = np.flatnonzero(values[i] >= levels[i[1]])
        if len(above):
            assert TIMES[max(above[0] - 1, 0)] <= found[i] <= TIMES[above[0]]
        else:
            assert np.isnan(found[i])
