"""Nested training sets and numbers of components."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurofit.errors import MappingError
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.nested import NestedPLS, nested_order


@settings(max_examples=50, deadline=None)
@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=6), seed=st.integers(0, 100), part=st.floats(0.05, 1))
def test_every_beginning_holds_the_strata_in_proportion(counts, seed, part):
    strata = np.repeat(np.arange(len(counts)), counts)
    train = np.random.default_rng(seed).permutation(len(strata))
    order = nested_order(train, strata, np.random.default_rng(seed))
    assert sorted(order) == sorted(train)
    m = max(1, int(part * len(order)))
    found = np.bincount(strata[order[:m]], minlength=len(counts))
    # each stratum is spread evenly, so that counts differ from proportion by one, and by one more for the others' shift
    assert (np.abs(found - m * np.array(counts) / len(strata)) <= 2).all()


def test_orders_are_random_and_repeatable():
    train = np.arange(50)
    first = nested_order(train, None, np.random.default_rng(0))
    np.testing.assert_array_equal(first, nested_order(train, None, np.random.default_rng(0)))
    assert (first != nested_order(train, None, np.random.default_rng(1))).any()
    counts = np.zeros(50)
    for seed in range(400):
        counts[nested_order(train, np.arange(50) % 5, np.random.default_rng(seed))[:10]] += 1
    assert counts.min() > 40 and counts.max() < 130  # 80 expected, s.d. 8


def test_correlations_come_number_by_number():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((40, 8)), rng.standard_normal((2, 40, 5))
    splits = [(np.arange(30), np.arange(30, 40)), (np.arange(10, 40), np.arange(10))]
    done = []
    nested = NestedPLS(PLSMapping(), (2, 6)).held_out(X, splits * 2, advance=done.append)
    found = nested.correlate(Y)
    for i, k in enumerate((2, 6)):
        expected = PLSMapping(k).held_out(X, splits).correlate(Y)
        np.testing.assert_allclose(found.r[2 * i : 2 * i + 2], expected.r, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(found.kept[2 * i : 2 * i + 2], expected.kept)
    assert sum(done) == 2 * len(splits) * 2  # as many as the splits that were asked for, times the target sets


def test_only_the_cpu_and_ascending_numbers():
    with pytest.raises(MappingError, match="on 'cuda'"):
        NestedPLS(PLSMapping(device="cuda"), (1, 2))
    with pytest.raises(MappingError, match="ascend"):
        NestedPLS(PLSMapping(), (2, 1))
