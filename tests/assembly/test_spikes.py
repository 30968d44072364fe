from __future__ import annotations

import numpy as np
import pytest

import neurofit as nf
from neurofit.assembly.spikes import number_showings
from neurofit.errors import AssemblyError


def binned(**changes):
    given = {
        "spike_times": [[0.0105, 0.0299999], [9.0]],
        "onsets": [0.0, 0.02, 5.0],
        "time_bins": [(0, 10), (10, 30)],
        "stimulus_id": ["a", "b", "a"],
        "neuroid_id": ["n0", "n1"],
        "subject": "m",
        "region": "IT",
    }
    return nf.bin_spikes(**given | changes)


def test_counts_and_what_is_outside():
    recording = binned()
    # 29.9999 ms is 30.000 ms in whole microseconds: not in [10, 30) of the first, in [30, 50) of the second
    assert recording.values.tolist() == [[[0, 1], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [0, 0]]]
    assert recording.attrs == {"spikes": 3, "spikes_outside": 1}
    assert recording.repetition.values.tolist() == [0, 0, 1]
    assert recording.dtype == np.float32


def test_overlapping_presentations_share_a_spike():
    counts = binned(onsets=[0.0, 0.001, 0.002])[:, 0]
    assert counts.values.tolist() == [[0, 1], [1, 1], [1, 1]]  # spikes at 10.5 and 30 ms


def test_showings_are_numbered_in_time():
    assert number_showings(["a", "b", "a", "a"], [3.0, 0.0, 1.0, 2.0]).tolist() == [2, 0, 0, 1]
    assert number_showings([], []).tolist() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spike_times": [[np.nan], []]}, "spikes and onsets have times in s - 1 of 1 times"),
        ({"onsets": [0.0, 1.0]}, "every presentation has one onset - found 2 for 3"),
        ({"spike_times": [[]]}, "every neuroid has one array of spike times - found 1 for 2"),
        ({"time_bins": []}, "time bins are pairs of integer ms - found none"),
        ({"time_bins": [(0.5, 1.0)]}, r"pairs of integer ms - found \[0.5, 1.0\]"),
        ({"time_bins": [(10, 10)]}, "every time bin ends after it starts"),
    ],
)
def test_refusals(changes, words):
    with pytest.raises(AssemblyError, match=words):
        binned(**changes)
