"""Objects decoded from a population, bin by bin."""

import numpy as np
import pytest
import xarray as xr

from neurofit.assembly.build import make_assembly
from neurofit.errors import AlignmentError, ConfigurationError, MappingError, UnknownNameError
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.decoding import decode, labels_of

SPLITTER = StimulusShuffleSplit(4)
BINS = [(0, 10), (10, 20), (20, 30)]


@pytest.fixture
def recording(make_recording):
    """Four objects; nothing in the first bin, something in the second, more in the third."""
    rng = np.random.default_rng(5)
    objects = np.eye(4)[np.arange(80) % 4]
    made = make_recording(latents=objects, n=80, q=12, bins=BINS, repetitions=(2, 4), noise=2.0, seed=2)
    return make_assembly(
        made.values * np.array([0, 0.3, 1.0]) + rng.standard_normal(made.shape).astype(np.float32) * 0.8,
        stimulus_id=made["stimulus_id"].values,
        repetition=made["repetition"].values,
        neuroid_id=made["neuroid_id"].values,
        subject="animal",
        region="IT",
        time_bins=BINS,
        presentation_coords={"object_name": [f"o{int(i[1:]) % 4}" for i in made["stimulus_id"].values]},
    )


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_accuracy_and_d_prime_rise_with_the_signal(recording, classifier):
    found = decode(recording, classifier=classifier, splitter=SPLITTER)
    accuracy, d_prime = found["accuracy"].mean("split").values, found["d_prime"].median("stimulus").values
    assert accuracy[0] < 0.45 < accuracy[1] < accuracy[2]
    assert abs(d_prime[0]) < 0.5 < d_prime[1] < d_prime[2]
    assert found.attrs["fits_not_converged"] == 0


def test_means_are_over_the_splits_that_hold_a_stimulus_out(recording):
    found = decode(recording, splitter=SPLITTER)
    by_split = found["d_prime_by_split"].values
    held = np.isfinite(by_split).all(2)
    np.testing.assert_array_equal(held.sum(0), found["times_held_out"])
    np.testing.assert_array_equal(held.sum(1), 20)
    never = held.sum(0) == 0
    assert found.attrs["never_held_out"] == never.sum() > 0
    assert np.isnan(found["d_prime"].values[never]).all()
    np.testing.assert_allclose(
        found["d_prime"].values[~never], np.nanmean(by_split[:, ~never], axis=0), rtol=1e-5, atol=1e-6
    )


def test_order_of_presentations_and_neuroids_does_not_matter(recording):
    rng = np.random.default_rng(0)
    mixed = recording.isel(presentation=rng.permutation(recording.sizes["presentation"]), neuroid=rng.permutation(12))
    one, two = (decode(r, splitter=SPLITTER, classifier="logistic") for r in (recording, mixed))
    np.testing.assert_allclose(one["d_prime"], two["d_prime"], atol=1e-3)
    np.testing.assert_array_equal(one["stimulus_id"], two["stimulus_id"])


def test_threads_change_nothing(recording):
    one, two = (decode(recording, splitter=SPLITTER, n_jobs=n) for n in (1, 3))
    xr.testing.assert_identical(one, two)


def test_permuted_labels_are_at_chance(recording):
    true = labels_of(recording)
    shuffled = dict(zip(true, np.random.default_rng(1).permutation(list(true.values())), strict=True))
    found = decode(recording, labels=shuffled, splitter=StimulusShuffleSplit(10))
    assert (np.abs(found["accuracy"].mean("split") - 0.25) < 0.15).all()
    assert (np.abs(found["d_prime"].median("stimulus")) < 0.3).all()


def test_bins_without_a_difference_are_silent_and_equal_bins_shared(recording):
    values = recording.values.copy()
    values[:, :, 0] = np.arange(12)
    values[:, :, 1] = values[:, :, 2]
    found = decode(recording.copy(data=values), splitter=SPLITTER)
    np.testing.assert_array_equal(found["silent"], [True, False, False])
    np.testing.assert_array_equal(found["accuracy"][:, 0], 0.25)
    tested = found["times_held_out"].values > 0
    np.testing.assert_array_equal(found["d_prime"].values[tested, 0], 0)
    np.testing.assert_array_equal(found["accuracy"][:, 1], found["accuracy"][:, 2])
    assert found.attrs["distinct_bins"] == 1
    assert found.attrs["fits"] == 4


def test_a_part_of_a_response_is_the_same_pattern(recording):
    """Bins that a response fills in part have scaled copies of it: a decoder tells nothing more or less from them."""
    values = np.stack([recording.values[:, :, 2] * w + c for w, c in ((1, 0), (0.3, 0.7), (1 / 3, 0))], axis=2)
    found = decode(recording.copy(data=values), splitter=SPLITTER)
    np.testing.assert_array_equal(found["pattern"], 0)
    assert (found.attrs["distinct_bins"], found.attrs["fits"]) == (1, 12)
    np.testing.assert_allclose(found["d_prime"][:, 0], found["d_prime"][:, 1], atol=1e-2)
    np.testing.assert_array_equal(decode(recording, splitter=SPLITTER)["pattern"], np.arange(3))


def test_chance_is_naming_the_most_frequent(recording):
    assert decode(recording, splitter=SPLITTER).attrs["chance"] == 0.25
    labels = {i: "rare" if name == "o0" else "common" for i, name in labels_of(recording).items()}
    values = recording.values.copy()
    values[:, :, 0] = 1
    found = decode(recording.copy(data=values), labels=labels, splitter=SPLITTER)
    assert found.attrs["chance"] == 0.75
    np.testing.assert_array_equal(found["accuracy"][:, 0], 0.75)


def test_reduced_layers_have_one_scale(recording):
    z_scored = decode(recording, splitter=SPLITTER)
    reduced = decode(recording.assign_attrs(basis="per-bin"), splitter=SPLITTER)
    assert (z_scored.attrs["scaling"], reduced.attrs["scaling"]) == ("units", "global")
    stretched = recording * xr.DataArray(np.geomspace(1, 1e3, 12, dtype=np.float32), dims="neuroid")
    again = decode(stretched, splitter=SPLITTER)
    np.testing.assert_allclose(again["d_prime"], z_scored["d_prime"], atol=1e-2)


def test_labels_may_be_given(recording):
    named = decode(recording, splitter=SPLITTER)
    given = decode(recording.drop_vars("object_name"), labels=labels_of(recording), splitter=SPLITTER)
    xr.testing.assert_equal(named, given)
    assert given.attrs["labels"] == "given"


class Unfair:
    """Leaves an object out of the training stimuli."""

    def split(self, X, y=None, groups=None):
        yield np.flatnonzero(y != "o1"), np.flatnonzero(y == "o1")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": "category_name"}, AlignmentError, "one 'category_name' to be decoded - .* object_name - name one"),
        ({"labels": {"s000": "o0"}}, AlignmentError, "has a label to be decoded - 79 have none: s001"),
        ({"classifier": "forest"}, UnknownNameError, "'forest' is not known"),
        ({"basis": "correlation"}, MappingError, "centred and scaled over the units .basis 'correlation'"),
        ({"penalty": 0}, ConfigurationError, "penalty C is above 0 - it is 0"),
        ({"splitter": Unfair()}, MappingError, "every object is among the training .* 1 are not: o1"),
    ],
)
def test_errors(recording, change, error, message):
    change = dict(change)
    recording = recording.assign_attrs({"basis": change.pop("basis")} if "basis" in change else {})
    with pytest.raises(error, match=message):
        decode(recording, **({"splitter": SPLITTER} | change))


def test_one_object_cannot_be_told_from_itself(recording):
    with pytest.raises(AlignmentError, match="all stimuli show 'same'"):
        decode(recording, labels=dict.fromkeys(labels_of(recording), "same"))
