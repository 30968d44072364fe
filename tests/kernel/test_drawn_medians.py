"""Medians of draws equal medians of what was drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurofit.kernel import drawn_medians
from neurofit.kernel.drawn_medians import draw_counts, medians_of_draws


def drawn(values, counts):
    """The definition: repeat every value as often as it was drawn."""
    found = np.full((values.shape[1], counts.shape[1]), np.nan)
    for c, column in enumerate(values.T):
        for b, each in enumerate(counts.T):
            taken = np.repeat(column, each)
            taken = taken[np.isfinite(taken)]
            if len(taken):
                found[c, b] = np.median(taken)
    return found


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 6), st.floats(0, 1), st.integers(0, 2**31), st.booleans())
def test_medians_are_those_of_the_drawn_values(q, columns, missing, seed, ties):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, (q, columns)).astype(float) if ties else rng.standard_normal((q, columns))
    values[rng.random(values.shape) < missing] = np.nan
    counts = draw_counts(q, 20, seed)
    assert (counts.sum(0) == q).all()
    np.testing.assert_allclose(medians_of_draws(values, counts), drawn(values, counts), atol=1e-12)


@pytest.mark.parametrize(("q", "kind"), [(127, np.uint8), (128, np.uint16), (300, np.uint16)])
def test_counts_do_not_overflow(q, kind):
    values = np.random.default_rng(0).standard_normal((q, 3))
    counts = draw_counts(q, 10)
    assert counts.dtype == kind
    everything_once = np.zeros_like(counts[:, :1])
    everything_once[5] = q
    counts = np.concatenate([counts, everything_once], axis=1)
    np.testing.assert_allclose(medians_of_draws(values, counts), drawn(values, counts))


def test_blocks_make_no_difference(monkeypatch):
    values = np.random.default_rng(0).standard_normal((30, 7))
    counts = draw_counts(30, 50)
    whole = medians_of_draws(values, counts)
    monkeypatch.setattr(drawn_medians, "BLOCK", 100)
    assert (medians_of_draws(values, counts) == whole).all()


def test_one_of_everything_is_the_median():
    values = np.random.default_rng(0).standard_normal((31, 4))
    once = np.ones((31, 1), np.uint8)
    np.testing.assert_array_equal(medians_of_draws(values, once)[:, 0], np.median(values, 0))
