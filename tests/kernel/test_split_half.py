"""All halvings at once against the plain loop over halvings, neuroids and bins."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurofit.errors import ReliabilityError
from neurofit.kernel import split_half
from neurofit.kernel.correlation import pearson
from neurofit.kernel.reliability import half_means, halve, halvings_by_repetition, spearman_brown
from neurofit.kernel.split_half import split_half_correlations
from neurofit.kernel.trials import half_means_of_all, presentations_of


def plain_loop(values, index, masks):
    """Neuroid by neuroid and stimulus by stimulus, with what is there."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    found = np.full((len(masks), flat.shape[1]), np.nan)
    for h, first in enumerate(masks):
        for c, column in enumerate(flat.T):
            present = ~np.isnan(column)
            means = []
            for stimulus in np.unique(index):
                halves = [column[(index == stimulus) & present & half] for half in (first, ~first)]
                if all(map(len, halves)):
                    means.append([half.mean() for half in halves])
            if len(means) > 1:
                found[h, c] = pearson(*np.array(means).T)
    return found.reshape(len(masks), *values.shape[1:])


def recording(seed, counts, shape, offset=0.0, dtype=np.float64):
    """Responses in random order, each stimulus' with a signal of its own."""
    rng = np.random.default_rng(seed)
    index = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    signal = rng.standard_normal((len(counts), *shape))
    values = signal[index] + rng.standard_normal((len(index), *shape)) + offset
    return values.astype(dtype), index, rng


def same_trials(index, n_halvings, rng):
    """Halvings of the ordinals of each stimulus' presentations, in the order in which they lie."""
    rank = np.zeros(len(index), int)
    for stimulus in np.unique(index):
        rank[index == stimulus] = np.arange(np.sum(index == stimulus))
    return np.stack(list(halvings_by_repetition(rank, n_halvings, int(rng.integers(100)))))


shapes = st.sampled_from([(1,), (3,), (2, 3), (4, 1, 2)])


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(2, 7), min_size=3, max_size=12),
    shape=shapes,
    n_halvings=st.integers(1, 6),
    offset=st.sampled_from([0.0, 1e3, -1e6]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 10**6),
)
def test_halves_of_each_stimulus_equal_the_plain_loop(counts, shape, n_halvings, offset, dtype, seed):
    values, index, rng = recording(seed, counts, shape, offset, dtype)
    masks = np.stack([halve(index, rng) for _ in range(n_halvings)])
    found = split_half_correlations(values, index, masks)
    np.testing.assert_allclose(found, plain_loop(values, index, masks), rtol=0, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(3, 300),
    n_trials=st.integers(2, 6),
    shape=shapes,
    n_halvings=st.integers(1, 12),
    offset=st.sampled_from([0.0, 1e3, -1e6]),
    dtype=st.sampled_from([np.float32, np.float64]),
    layout=st.sampled_from(["any", "trials together", "trials apart"]),
    seed=st.integers(0, 10**6),
)
def test_halves_of_ordinals_equal_the_loop_over_halvings(n, n_trials, shape, n_halvings, offset, dtype, layout, seed):
    values, index, rng = recording(seed, [n_trials] * n, shape, offset, dtype)
    masks = same_trials(index, n_halvings, rng)
    assert split_half._same_trials(split_half.trial_groups(index), masks) is not None
    if layout != "any":
        order = np.argsort(index, kind="stable")
        order = order if layout == "trials together" else order.reshape(n, -1).T.ravel()
        values, index, masks = values[order], index[order], masks[:, order]
    expected = np.stack([pearson(*half_means(values, index, n, first)) for first in masks])
    np.testing.assert_allclose(split_half_correlations(values, index, masks), expected, rtol=0, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(2, 6), min_size=3, max_size=15),
    shape=shapes,
    missing=st.floats(0.01, 0.6),
    offset=st.sampled_from([0.0, 1e6]),
    equal=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_missing_trials_are_left_out_of_their_neuroid(counts, shape, missing, offset, equal, seed):
    counts = [counts[0]] * len(counts) if equal else counts
    values, index, rng = recording(seed, counts, shape, offset)
    masks = same_trials(index, 4, rng) if equal else np.stack([halve(index, rng) for _ in range(4)])
    values[rng.random(values.shape) < missing] = np.nan
    values[..., 0] = np.nan_to_num(values[..., 0], nan=offset)  # and where nothing is missing nothing changes
    found = split_half_correlations(values, index, masks)
    # over two or three stimuli that differ by little, digits of a mean a million times larger are lost by either way
    expected = plain_loop(values, index, masks)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 if offset == 0 else 1e-6)


def test_both_routes_agree():
    values, index, rng = recording(0, [6] * 300, (5, 2), 1e4)
    masks, groups = same_trials(index, 20, rng), split_half.trial_groups(index)
    flat = values.reshape(len(values), -1)
    one = split_half._by_trial_covariance(flat, split_half._same_trials(groups, masks)).correlations()
    two = split_half._by_weighted_halves(flat, groups, masks).correlations()
    three = split_half._by_counted_halves(flat, groups, masks).correlations()
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-12)
    np.testing.assert_allclose(three, two, rtol=0, atol=1e-12)


def test_many_columns_and_halvings_come_in_blocks(monkeypatch):
    values, index, rng = recording(1, [4] * 50, (150, 2))
    masks = {"same": same_trials(index, 7, rng), "own": np.stack([halve(index, rng) for _ in range(7)])}
    whole = {name: split_half_correlations(values, index, m) for name, m in masks.items()}
    means = half_means_of_all(values, index, 50, masks["own"])
    monkeypatch.setattr(split_half, "BLOCK_VALUES", 2000)
    monkeypatch.setattr("neurofit.kernel.trials.BLOCK_VALUES", 2000)
    monkeypatch.setattr(split_half, "COLUMNS", 16)
    for name, m in masks.items():
        np.testing.assert_allclose(split_half_correlations(values, index, m), whole[name], rtol=0, atol=1e-13)
    np.testing.assert_allclose(half_means_of_all(values, index, 50, masks["own"]), means, rtol=1e-13)


def test_time_bins_may_lie_anywhere_in_memory():
    values, index, rng = recording(2, [4] * 20, (3, 5))
    masks = same_trials(index, 30, rng)
    moved = np.moveaxis(np.ascontiguousarray(np.moveaxis(values, -1, 0)), 0, -1)
    assert not moved.flags.c_contiguous
    expected = split_half_correlations(values, index, masks)
    np.testing.assert_allclose(split_half_correlations(moved, index, masks), expected, rtol=0, atol=1e-13)
    expected = half_means_of_all(values, index, 20, masks)
    np.testing.assert_allclose(half_means_of_all(moved, index, 20, masks), expected, rtol=1e-13)


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_units_do_not_matter(equal, scale):
    values, index, rng = recording(3, [4] * 30 if equal else [3, 4, 5] * 10, (3,))
    masks = same_trials(index, 30, rng) if equal else np.stack([halve(index, rng) for _ in range(5)])
    expected = split_half_correlations(values, index, masks)
    np.testing.assert_allclose(split_half_correlations(values * scale, index, masks), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("equal", [True, False])
def test_neuroids_without_variance_are_nan(equal):
    values, index, rng = recording(4, [4] * 30 if equal else [3, 4, 5] * 10, (6,))
    masks = same_trials(index, 30, rng) if equal else np.stack([halve(index, rng) for _ in range(5)])
    values[:, 0] = 0
    values[:, 1] = 0.1  # the mean of which is rounded
    values[:, 2] = 1e6 * np.pi
    values[:, 3] = 1e6 + 1e-13 * values[:, 3]
    values[:, 4] = np.nan
    found = split_half_correlations(values, index, masks)
    assert np.isnan(found[:, :5]).all()
    assert np.isfinite(found[:, 5]).all()


def test_trials_that_cancel_have_no_variance():
    """Every trial varies, the first half's mean does not."""
    signal = np.random.default_rng(5).standard_normal((40, 1, 1)) * 0.1
    values = (signal * np.array([1, -1, 1, 1])[:, None]).reshape(160, 1)
    index, masks = np.repeat(np.arange(40), 4), np.tile([True, True, False, False], (20, 40))
    masks[1] = np.tile([True, False, True, False], 40)
    found = split_half_correlations(values, index, masks)
    assert np.isnan(found[0])
    np.testing.assert_array_equal(np.isnan(plain_loop(values, index, masks[:2])), np.isnan(found[:2]))


def test_float32_recordings_lose_nothing():
    values, index, rng = recording(6, [20] * 200, (4,), 1e4, np.float32)
    masks = same_trials(index, 10, rng)
    expected = split_half_correlations(values.astype(np.float64), index, masks)
    np.testing.assert_allclose(split_half_correlations(values, index, masks), expected, rtol=0, atol=1e-12)


def test_few_halvings_of_many_trials_skip_the_covariance():
    values, index, rng = recording(7, [40] * 10, (3,))
    masks = same_trials(index, 1, rng)
    assert split_half._same_trials(split_half.trial_groups(index), masks) is None
    expected = pearson(*half_means(values, index, 10, masks[0]))
    np.testing.assert_allclose(split_half_correlations(values, index, masks)[0], expected, rtol=0, atol=1e-12)


def test_padding_is_no_presentation():
    rng = np.random.default_rng(8)
    padded = rng.standard_normal((12, 6, 3, 2)) + rng.standard_normal((12, 1, 3, 2))
    whole, index, repetition = presentations_of(padded)
    assert whole.base is not None and whole.shape == (72, 3, 2)
    np.testing.assert_array_equal(index, np.repeat(np.arange(12), 6))
    np.testing.assert_array_equal(repetition, np.tile(np.arange(6), 12))
    for stimulus, count in enumerate(rng.integers(2, 7, 12)):
        padded[stimulus, rng.permutation(6)[count:]] = np.nan
    padded[3, 2, 0] = np.nan  # a neuroid's, not the presentation's
    values, index, repetition = presentations_of(padded)
    assert len(values) == (~np.isnan(padded).all((2, 3))).sum()
    np.testing.assert_array_equal(values, padded[index, repetition])
    masks = np.stack([halve(index, rng) for _ in range(5)])
    np.testing.assert_allclose(
        split_half_correlations(values, index, masks), plain_loop(values, index, masks), rtol=0, atol=1e-10
    )


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.integers(2, 7), min_size=1, max_size=25),
    shape=shapes,
    n_halvings=st.integers(1, 5),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 10**6),
)
def test_half_means_of_all_halvings_equal_those_of_each(counts, shape, n_halvings, dtype, seed):
    values, index, rng = recording(seed, counts, shape, 3.0, dtype)
    masks = np.stack([halve(index, rng) for _ in range(n_halvings)])
    found = half_means_of_all(values, index, len(counts), masks)
    expected = np.stack([half_means(values, index, len(counts), first) for first in masks])
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v, i, m: (v, i, m[0]), "one stimulus index per presentation - values have the shape"),
        (lambda v, i, m: (v, i[:-1], m), "one stimulus index per presentation"),
        (lambda v, i, m: (v, i, m.astype(int)), "halvings .* of int64"),
        (lambda v, i, m: (v, i, m | (i == 2)), "1 stimuli with 4 presentations have none in a half, the first is .* 2"),
        (lambda v, i, m: (v, i, m & False), "5 stimuli with 4 presentations have none"),
        (lambda v, i, m: (np.where(i[:, None] == 1, np.inf, v), i, m), "8 are infinite"),
    ],
)
def test_bad_input_is_told(spoil, message):
    values, index, rng = recording(9, [4] * 5, (2,))
    masks = same_trials(index, 20, rng)
    with pytest.raises(ReliabilityError, match=message):
        split_half_correlations(*spoil(values, index, masks))


def test_stimuli_without_presentations_have_no_half_means():
    values, index, rng = recording(10, [4] * 5, (2,))
    masks = same_trials(index, 2, rng)
    with pytest.raises(ReliabilityError, match=r"the stimuli 0 to 6 - 2 of them have none \(5, 6\)"):
        half_means_of_all(values, index, 7, masks)
    with pytest.raises(ReliabilityError, match="the largest index is 4"):
        half_means_of_all(values, index, 4, masks)


def test_the_ceiling_of_brain_score(shared, load_script):
    """The peer's own value, from an array of its own layout (repetitions, n, q)."""
    cases = load_script(shared("golden", "peers_cases.py"))
    golden = json.loads(shared("golden", "peers.json").read_text())["internal_consistency"][0]
    values = cases.repetition_case(200, 20, 11).reshape(-1, 20)
    index, repetition = np.tile(np.arange(200), 11), np.repeat(np.arange(11), 200)
    masks = np.stack(list(halvings_by_repetition(repetition, 10, 1)))
    medians = np.median(spearman_brown(split_half_correlations(values, index, masks)), axis=1)
    assert medians.mean() == pytest.approx(golden["ceiling"], abs=golden["tolerance"])
    assert medians.std() / np.sqrt(10) == pytest.approx(golden["error"], abs=golden["tolerance"])
