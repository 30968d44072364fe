from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurofit.kernel.spike_counts import count_spikes, whole_microseconds

# Whole microseconds around a handful of edges, so that draws often hit an edge exactly.
MICROSECONDS = st.integers(-300_000, 300_000) | st.integers(-30, 30).map(lambda ms: ms * 10_000)
TRAINS = st.lists(st.lists(MICROSECONDS, max_size=25), min_size=1, max_size=3)
ONSETS = st.lists(MICROSECONDS, min_size=1, max_size=5)
BINS = st.lists(st.tuples(st.integers(-100, 100), st.integers(1, 100)), min_size=1, max_size=4).map(
    lambda drawn: np.array([(start, start + width) for start, width in drawn])
)


def seconds(microseconds):
    return np.array(microseconds, float) / 1e6


def by_hand(trains, onsets, bins):
    """Count one spike, presentation and bin at a time, in integers."""
    counts = np.zeros((len(onsets), len(trains), len(bins)), int)
    outside = np.zeros(len(trains), int)
    for j, train in enumerate(trains):
        for spike in train:
            hits = [
                (i, t)
                for i, onset in enumerate(onsets)
                for t, (start, end) in enumerate(bins.tolist())
                if onset + 1000 * start <= spike < onset + 1000 * end
            ]
            for i, t in hits:
                counts[i, j, t] += 1
            outside[j] += not hits
    return counts, outside


@settings(deadline=None)
@given(TRAINS, ONSETS, BINS)
def test_equal_to_counting_by_hand(trains, onsets, bins):
    found = count_spikes([seconds(t) for t in trains], seconds(onsets), bins)
    counts, outside = by_hand(trains, onsets, bins)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_array_equal(found.outside, outside)


@settings(deadline=None)
@given(TRAINS, ONSETS, st.lists(st.integers(-100, 100), min_size=2, max_size=8, unique=True).map(sorted))
def test_a_partition_of_a_bin_conserves_its_spikes(trains, onsets, edges):
    trains, onsets = [seconds(t) for t in trains], seconds(onsets)
    parts = count_spikes(trains, onsets, np.column_stack([edges[:-1], edges[1:]]))
    whole = count_spikes(trains, onsets, np.array([[edges[0], edges[-1]]]))
    np.testing.assert_array_equal(parts.counts.sum(2, keepdims=True), whole.counts)
    np.testing.assert_array_equal(parts.outside, whole.outside)


@settings(deadline=None)
@given(TRAINS, ONSETS, BINS, st.integers(-(10**12), 10**12))
def test_a_shift_of_the_clock_changes_nothing(trains, onsets, bins, shift):
    before = count_spikes([seconds(t) for t in trains], seconds(onsets), bins)
    trains, onsets = [[s + shift for s in train] for train in trains], [o + shift for o in onsets]
    after = count_spikes([seconds(t) for t in trains], seconds(onsets), bins)
    np.testing.assert_array_equal(before.counts, after.counts)
    np.testing.assert_array_equal(before.outside, after.outside)


@settings(deadline=None)
@given(st.lists(MICROSECONDS, max_size=30), st.randoms())
def test_the_order_of_spikes_does_not_matter(train, random):
    shuffled = random.sample(train, len(train))
    bins = np.array([[0, 50], [50, 100]])
    first, second = (count_spikes([seconds(t)], seconds([0]), bins).counts for t in (train, shuffled))
    np.testing.assert_array_equal(first, second)


def test_sums_of_floats_fall_on_the_edge_that_was_meant():
    assert 0.1 + 0.2 > 0.3 and 1.1 + 2.2 > 3.3  # what floats make of it
    for onset, spike in ((0.1, 0.3), (1.1, 3.3)):
        edge = round(1000 * (spike - onset))
        counts = count_spikes([np.array([spike])], np.array([onset]), np.array([[0, edge], [edge, edge + 1]])).counts
        assert counts.ravel().tolist() == [0, 1]


def test_samples_of_30_khz_stay_apart():
    samples = whole_microseconds(np.arange(10**6) / 30_000)
    assert (np.diff(samples) >= 33).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e10])
def test_times_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="1 of 2 times are not numbers below"):
        count_spikes([np.array([0.0, bad])], np.zeros(1), np.array([[0, 1]]))


def test_nothing_shown_and_nothing_fired():
    assert count_spikes([np.zeros(0)], np.zeros(2), np.array([[0, 1]])).counts.tolist() == [[[0]], [[0]]]
    assert count_spikes([np.ones(3)], np.zeros(0), np.array([[0, 1]])).outside.tolist() == [3]
