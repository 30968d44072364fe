import json

import numpy as np
import pytest
import xarray as xr

from neurofit.assembly.time_bins import make_time_bins, overlap_weights, rebin, step_bins
from neurofit.errors import AssemblyError


def test_bins_fill_their_span():
    assert make_time_bins(70, 100, 10) == [(70, 80), (80, 90), (90, 100)]
    majajhong = make_time_bins(-100, 300, 20, 10)
    assert len(majajhong) == 39
    assert (majajhong[0], majajhong[-1]) == ((-100, -80), (280, 300))
    with pytest.raises(AssemblyError, match=r"20 ms every 20 ms do not fill \[0, 50\)"):
        make_time_bins(0, 50, 20)


def test_steps_become_milliseconds():
    assert step_bins(3, 10) == [(0, 10), (10, 20), (20, 30)]
    assert step_bins(2, 10, delay_ms=10) == [(10, 20), (20, 30)]


def test_overlap_weights_average():
    # specification of the time alignment: sources of 20 ms every 10 ms, asked for (100, 110)
    weights = overlap_weights([(90, 110), (100, 120)], [(100, 110)])
    np.testing.assert_allclose(weights, [[0.5, 0.5]])
    weights = overlap_weights(make_time_bins(0, 250, 25), [(70, 170)])
    np.testing.assert_allclose(weights[0, 2:7], np.array([0.2, 1, 1, 1, 0.8]) / 4)
    assert weights.sum() == pytest.approx(1)


def brainscore_weights(sources, targets):
    """Brain-Score's weights from ours: the same overlaps, over the source's width instead of all overlaps' sum."""
    ours = overlap_weights(sources, targets)
    covered = np.array([[max(0, min(e, b) - max(s, a)) for a, b in sources] for s, e in targets]).sum(1)
    return ours * covered[:, None] / np.diff(np.asarray(sources), axis=1).ravel()


def test_brainscore_weights_follow_from_ours():
    """What Brain-Score's time alignment gave (its weights sum to the sources that a target covers, not to 1)."""
    thirds, ends = [(0, 100), (100, 200), (200, 300)], [(0, 50), (250, 300)]
    np.testing.assert_allclose(brainscore_weights(thirds, ends), [[0.5, 0, 0], [0, 0, 0.5]])
    np.testing.assert_array_equal(overlap_weights(thirds, ends), [[1, 0, 0], [0, 0, 1]])  # means, as the bins are
    fine = make_time_bins(0, 250, 25)
    found = dict(zip([start for start, _ in fine], brainscore_weights(fine, [(70, 170)])[0].round(12), strict=True))
    assert {start: w for start, w in found.items() if w} == {50: 0.2, 75: 1, 100: 1, 125: 1, 150: 0.8}
    overlapping = make_time_bins(-100, 300, 20, 10)
    found = brainscore_weights(overlapping, [(100, 110)])[0]
    assert {overlapping[i]: found[i] for i in found.nonzero()[0]} == {(90, 110): 0.5, (100, 120): 0.5}


def test_the_recorded_weights_of_brainscore(shared):
    facts = json.loads(shared("golden", "peers.json").read_text())["time_alignment"]
    assert facts["25 ms bins 0-250, asked for (70, 170)"] == {"50": 0.2, "75": 1, "100": 1, "125": 1, "150": 0.8}
    assert facts["20 ms bins at 10 ms stride, asked for (100, 110)"].endswith("weight 0.5 each")


@pytest.mark.parametrize("sources", [[(0, 100)], [(0, 50), (60, 200)]])
def test_an_uncovered_bin_is_refused(sources):
    with pytest.raises(AssemblyError, match=r"\(40, 110\).* ms lie outside .* or in a gap"):
        overlap_weights(sources, [(40, 110)])


def test_rebinning(make_recording):
    fine = make_recording(bins=make_time_bins(0, 60, 10))
    coarse = rebin(fine, make_time_bins(0, 60, 30))
    np.testing.assert_allclose(coarse.values[..., 0], fine.values[..., :3].mean(-1), rtol=1e-5, atol=1e-6)
    assert rebin(fine, make_time_bins(0, 60, 10)) is fine
    xr.testing.assert_equal(rebin(fine, [(20, 30)]), fine.isel(time_bin=[2]))
