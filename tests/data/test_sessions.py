from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurofit.data.sessions import join_sessions
from neurofit.errors import AssemblyError


def test_sessions_of_different_bins_are_not_joined(make_recording):
    with pytest.raises(AssemblyError, match="sessions have the same time bins - a, b differ"):
        join_sessions({"a": make_recording(), "b": make_recording(bins=((0, 10), (10, 20)))})


def test_sessions_without_enough_in_common_are_not_joined(make_recording):
    first, second = make_recording(q=2), make_recording(q=3)
    other = second.assign_coords(stimulus_id=("presentation", [f"x{s}" for s in second.stimulus_id.values]))
    with pytest.raises(AssemblyError, match="0 are common, and shown at least 0 times"):
        join_sessions({"a": first, "b": other})
    with pytest.raises(AssemblyError, match="shown 9 times or more in each - 40 are common, and shown at least 3"):
        join_sessions({"a": first, "b": second}, n_repetitions=9)


def test_a_session_keeps_its_own_simultaneous_trials(make_recording):
    parts = {"a": make_recording(q=2, seed=1, repetitions=(4, 4)), "b": make_recording(q=3, seed=2)}
    joined = join_sessions(parts, n_repetitions=2)
    assert joined.attrs == {
        "stimuli_left_out": 0,
        "presentations_beyond": sum(p.shape[0] for p in parts.values()) - 160,
    }
    for name, part in parts.items():
        own = joined.isel(neuroid=np.flatnonzero(joined.session.values == name))
        for row in range(0, joined.sizes["presentation"], 7):
            key = (own.stimulus_id.values[row], own.repetition.values[row])
            source = (part.stimulus_id.values == key[0]) & (part.repetition.values == key[1])
            np.testing.assert_array_equal(own.values[row], part.values[source][0])


def test_splitting_the_presentations_and_joining_them_changes_nothing(make_recording):
    whole = make_recording(n=10)
    parts = {"a": whole[:15], "b": whole[15:]}
    joined = join_sessions(parts)
    xr.testing.assert_identical(joined.drop_vars("session"), whole)
