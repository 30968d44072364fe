"""Object solution times of populations whose truth is known by construction."""

import numpy as np
import pytest
import xarray as xr

from neurofit.assembly.build import make_assembly
from neurofit.errors import AlignmentError, ConfigurationError, ReliabilityError
from neurofit.kernel.rank_correlation import spearman
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.decoding import decode, labels_of
from neurofit.scoring.solution_comparison import compare_solution_times, solution_times_of_model
from neurofit.scoring.solution_times import (
    object_solution_times,
    solution_time_consistency,
    solution_times,
    table_of_bins,
    typical_best,
)

SPLITTER = StimulusShuffleSplit(6)
BINS = [(t, t + 10) for t in range(50, 130, 10)]
N, K, Q = 120, 4, 12
LEVEL = 1.2
OPTIONS = {"splitter": SPLITTER, "classifier": "logistic", "labels": "object_name"}


def planted(noise=0.1, repetitions=1, seed=0, onset=None):
    """A population in which image i begins to tell its object in bin onset[i], and goes on doing so.

    Every object begins as often in each bin: otherwise saying nothing yet would tell that it is one of the late ones.
    """
    rng = np.random.default_rng(seed)
    objects = np.arange(N) % K
    onset = (np.arange(N) // K) % (len(BINS) - 1) if onset is None else onset
    codes = np.linalg.qr(np.random.default_rng(8).standard_normal((Q, K)))[0].T * 3
    begun = np.arange(len(BINS)) >= onset[:, None]
    signal = codes[objects][:, :, None] * begun[:, None, :]
    index = np.tile(np.arange(N), repetitions)
    values = signal[index] + noise * np.sqrt(repetitions) * rng.standard_normal((len(index), Q, len(BINS)))
    recording = make_assembly(
        values.astype(np.float32),
        stimulus_id=[f"s{i:03d}" for i in index],
        repetition=np.repeat(np.arange(repetitions), N),
        neuroid_id=[f"n{j}" for j in range(Q)],
        subject="animal",
        region="IT",
        time_bins=BINS,
        presentation_coords={"object_name": [f"o{objects[i]}" for i in index]},
    )
    return recording, np.array([t + 5.0 for t, _ in BINS])[onset]


def static(recording, bins):
    """The last bin's responses in some bins, nothing in the others."""
    values = np.zeros_like(recording.values)
    values[:, :, bins] = recording.values[:, :, -1:]
    return recording.copy(data=values)


@pytest.fixture(scope="module")
def solved():
    recording, truth = planted()
    return recording, truth, object_solution_times(recording, reference=LEVEL, **OPTIONS)


@pytest.mark.parametrize("classifier", ["logistic", "svm"])
def test_planted_times_are_recovered_within_a_bin(solved, classifier):
    recording, truth, found = solved
    if classifier == "svm":
        found = object_solution_times(recording, reference=LEVEL, **(OPTIONS | {"classifier": "svm"}))
    times, tested = found["solution_time"].values, found["times_held_out"].values > 0
    has = np.isfinite(times)
    assert has[tested].mean() > 0.97
    assert not has[~tested].any()
    # a crossing lies between the centre of the last bin without the object and that of the first with it
    off = times[has] - truth[has]
    assert (np.abs(off) <= 10).mean() > 0.9
    assert -10 < np.median(off) <= 0
    assert spearman(times[has], truth[has]) > 0.95


def test_permuted_labels_solve_nothing(solved):
    recording, _, _ = solved
    true = labels_of(recording)
    shuffled = dict(zip(true, np.random.default_rng(3).permutation(list(true.values())), strict=True))
    found = object_solution_times(recording, **(OPTIONS | {"labels": shuffled}))
    assert found.attrs["n_solved"] == 0
    assert np.isnan(found["reference"]).all()
    assert "cannot be told apart above chance" in found.attrs["why_none"]


def test_the_default_reference_is_the_largest_median(solved):
    _, _, found = solved
    decoding = found.drop_vars(["solution_time", "solution_time_by_split", "reference", "solved"])
    level = typical_best(decoding)
    assert level == pytest.approx(np.nanmedian(decoding["d_prime"], axis=0).max())
    again = solution_times(decoding)
    np.testing.assert_allclose(again["reference"], level)
    assert 0.4 < again.attrs["fraction_solved"] < 1  # half of the images in its best bin, and others in other bins


def test_a_reference_for_each_image(solved):
    _, _, found = solved
    ids = found["stimulus_id"].values
    by_name = {i: (LEVEL if k % 2 else 99.0) for k, i in enumerate(ids)}
    half = solution_times(found, reference=by_name)
    assert not half["solved"].values[::2].any()
    np.testing.assert_array_equal(half["solution_time"][1::2], found["solution_time"][1::2])
    in_order = solution_times(found, reference=list(by_name.values()))
    xr.testing.assert_equal(half, in_order)
    assert half.attrs["reference"] == "given for each stimulus"


def test_times_begin_with_the_window(solved):
    _, _, found = solved
    late = solution_times(found, reference=LEVEL, window_ms=(80, 130))
    before = found["solution_time"].values < 80
    np.testing.assert_array_equal(late["solution_time"].values[before], 85.0)
    assert (late.attrs["window_start_ms"], late.attrs["window_end_ms"]) == (80, 130)


@pytest.mark.parametrize("bins", [slice(None), slice(2, 5)])
def test_a_population_without_dynamics_has_no_times(solved, bins):
    recording, _, neural = solved
    same = solution_times_of_model(static(recording, bins), neural, splitter=SPLITTER)
    assert np.isnan(same["solution_time"]).all()
    assert same.attrs["why_none"].startswith("no dynamics: the responses are the same in all")
    assert same["solved"].values[same["times_held_out"].values > 0].mean() > 0.9
    compared = compare_solution_times(same, neural)
    assert np.isnan([compared.spearman, compared.standard_error, compared.low, compared.high]).all()
    assert compared.fraction_solved > 0.9
    assert "the model has no solution times: no dynamics" in compared.why_none
    assert np.isnan([row["solved"] for row in table_of_bins(same)]).all()


def test_silence_has_no_times(solved):
    recording, _, neural = solved
    silent = solution_times_of_model(recording * 0, neural, splitter=SPLITTER)
    assert silent.attrs["why_none"] == "the responses are the same for all stimuli in every bin"
    assert silent.attrs["n_solved"] == 0


def test_a_population_agrees_with_itself(solved):
    recording, _, neural = solved
    compared = compare_solution_times(solution_times_of_model(recording, neural, splitter=SPLITTER), neural)
    assert (compared.spearman, compared.low, compared.high) == pytest.approx((1, 1, 1))
    assert (compared.median_lag_ms, compared.fraction_solved, compared.standard_error) == (0, 1, pytest.approx(0))
    assert compared.n_both == neural.attrs["n_solved"]


def test_two_recordings_of_the_same_times_agree_and_of_others_do_not(solved):
    _, _, neural = solved
    same = solution_times_of_model(planted(seed=1)[0], neural, splitter=SPLITTER)
    assert compare_solution_times(same, neural).spearman > 0.9
    onset = (np.random.default_rng(77).permutation(N // K)[:, None] % (len(BINS) - 1)).repeat(K, 1).ravel()
    other = compare_solution_times(solution_times_of_model(planted(onset=onset)[0], neural, splitter=SPLITTER), neural)
    assert other.low < 0 < other.high or abs(other.spearman) < 0.3
    assert other.splits_counted == 6
    assert other.standard_error > 0


def test_the_part_solved_by_then_rises_to_the_part_solved(solved):
    _, _, found = solved
    part = [row["solved"] for row in table_of_bins(found)]
    assert (np.diff(part) >= 0).all()
    assert part[-1] == pytest.approx(found.attrs["fraction_solved"])


def test_a_static_response_that_fills_bins_in_part_has_no_times():
    """Its d' is one number; interpolation between bins that it fills and one of rounding would order images by it."""
    recording, _ = planted()
    share = np.array([0, 0, 0.3, 1, 1, 1 / 3, 0, 0], np.float32)
    values = recording.values[:, :, -1:] * share
    found = object_solution_times(recording.copy(data=values), reference=LEVEL, **OPTIONS)
    assert "no dynamics: the responses are the same in all 4 of 8 bins" in found.attrs["why_none"]
    assert np.isnan(found["solution_time"]).all() and found.attrs["n_solved"] > 60


def test_dynamics_are_those_of_the_window(solved):
    values = static(solved[0], slice(2, 6)).values
    values[:, :, 1] = solved[0].values[:, :, 3]
    recording = solved[0].copy(data=values)
    assert object_solution_times(recording, reference=LEVEL, **OPTIONS).attrs["why_none"] == ""
    found = object_solution_times(recording, reference=LEVEL, window_ms=(70, 130), **OPTIONS)
    assert "no dynamics" in found.attrs["why_none"] and found.attrs["dynamic"] == 0


def test_a_majority_that_is_always_named_is_no_reference():
    """With unequal labels, naming the frequent one is right more often than once in K, whatever is seen."""
    recording, _ = planted()
    noise = recording.copy(data=np.random.default_rng(3).standard_normal(recording.shape).astype(np.float32))
    labels = {i: "rare" if name == "o0" else "common" for i, name in labels_of(recording).items()}
    found = decode(noise, labels=labels, splitter=SPLITTER)
    assert found["accuracy"].mean("split").max() > 0.65
    assert np.isnan(typical_best(found))


def test_consistency_of_halves():
    recording, _ = planted(repetitions=4)
    found = solution_time_consistency(recording, reference=LEVEL, **OPTIONS)
    assert found["consistency"].values > 0.9
    assert found["n_both"].values > 60
    with pytest.raises(ReliabilityError, match="each stimulus was shown once"):
        solution_time_consistency(planted()[0], **OPTIONS)


def test_bins_before_the_stimulus_are_not_searched(solved):
    recording, _, _ = solved
    early = recording.assign_coords(
        time_bin_start=("time_bin", np.arange(-30, 50, 10)), time_bin_end=("time_bin", np.arange(-20, 60, 10))
    )
    found = object_solution_times(early, reference=LEVEL, **OPTIONS)
    assert np.nanmin(found["solution_time"]) == 5.0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"window_ms": (60, 70)}, ConfigurationError, "two time bins or more inside the window - 1 of 8 lie in 60-70"),
        ({"reference": [1.0, 2.0]}, AlignmentError, "one for each stimulus - its shape is .2,. and there are 120"),
        ({"reference": {"s000": 1.0}}, AlignmentError, "every stimulus has a reference - 119 have none: s001"),
    ],
)
def test_errors(solved, change, error, message):
    with pytest.raises(error, match=message):
        solution_times(solved[2], **change)


def test_only_what_was_made_alike_is_compared(solved):
    recording, _, neural = solved
    other_level = object_solution_times(recording, reference=0.5, **OPTIONS)
    with pytest.raises(AlignmentError, match="same reference"):
        compare_solution_times(other_level, neural)
    other_splits = solution_times(
        decode(recording, classifier="logistic", splitter=StimulusShuffleSplit(6, random_state=1)), reference=LEVEL
    )
    with pytest.raises(AlignmentError, match="the same splitter"):
        compare_solution_times(other_splits, neural)
    with pytest.raises(AlignmentError, match="unknown to it"):
        solution_times_of_model(recording.isel(presentation=slice(50)), neural, splitter=SPLITTER)
