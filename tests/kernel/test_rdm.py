"""RDMs and their comparison: against SciPy, against rsatoolbox, and for resampled stimuli against counting them out."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from neurofit.kernel.rdm import ResampledRDMs, compare, dissimilarities, draw_counts, pairs_of, unit_patterns

ROW, UNIT = np.arange(14)[:, None], np.arange(9)[None]
A = np.sin(1.7 * ROW + 0.9 * UNIT + 0.3 * ROW * UNIT)
B = A[:, :7] + 0.8 * np.cos(2.3 * ROW * (UNIT[:, :7] + 1))
DRAWN = np.bincount([0, 0, 1, 3, 3, 3, 4, 6, 7, 9, 9, 11, 12, 13], minlength=14).astype(float)

# rsatoolbox 0.3.2: calc_rdm(Dataset(A), distance), compare(a, b, 'spearman' | 'tau-a' | 'corr'); then both after
# subsample_pattern of DRAWN. Its Euclidean distance is the squared one over units: the same ranks, another r.
RSATOOLBOX = {
    ("correlation", "spearman"): (0.5691829909221213, 0.5466077281270956),
    ("correlation", "kendall"): (0.4056166056166056, 0.3912448700410397),
    ("correlation", "pearson"): (0.6487671012757089, 0.6259067920833943),
    ("euclidean", "spearman"): (0.4222487657270266, 0.3451210412475324),
    ("euclidean", "kendall"): (0.2927960927960928, 0.22489740082079343),
    ("half-squared", "pearson"): (0.508606269811732, 0.4063359527145047),
}


def rdms(distance):
    return [pairs_of(dissimilarities(patterns, distance)) for patterns in (A, B)]


@pytest.mark.parametrize(("distance", "scipy_s"), [("correlation", "correlation"), ("euclidean", "euclidean")])
def test_distances_are_scipy_s(distance, scipy_s):
    np.testing.assert_allclose(rdms(distance)[0], pdist(A, scipy_s), atol=1e-12)


@pytest.mark.parametrize(("distance", "how"), RSATOOLBOX)
def test_comparisons_are_rsatoolbox_s(distance, how):
    assert compare(*rdms(distance), how) == pytest.approx(RSATOOLBOX[distance, how][0], abs=1e-12)


@pytest.mark.parametrize(("distance", "how"), RSATOOLBOX)
def test_resampled_comparisons_are_rsatoolbox_s(distance, how):
    resampled = ResampledRDMs(14, how)
    resampled.add(*rdms(distance))
    # 91 pairs: each has a level of its own, so that only the ties of copies are left
    assert resampled.compare(DRAWN[None])[0, 0] == pytest.approx(RSATOOLBOX[distance, how][1], abs=1e-9)


def test_ties_count_as_rsatoolbox_counts_them():
    x, y = pdist(np.round(A), "sqeuclidean"), pdist(B)
    assert len(np.unique(x)) < len(x) / 4
    assert compare(x, y, "spearman") == pytest.approx(0.42065211499872057, abs=1e-12)
    assert compare(x, y, "kendall") == pytest.approx(0.28913308913308916, abs=1e-12)


def test_rsatoolbox_itself_agrees():
    data, rdm = pytest.importorskip("rsatoolbox.data"), pytest.importorskip("rsatoolbox.rdm")
    theirs = rdm.compare(*(rdm.calc_rdm(data.Dataset(p), "correlation") for p in (A, B)), "spearman")
    assert compare(*rdms("correlation"), "spearman") == pytest.approx(float(theirs[0, 0]), abs=1e-12)


@pytest.mark.parametrize("how", ["spearman", "kendall", "pearson"])
def test_many_resampled_pairs_are_nearly_counted_out(how):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((60, 5)) @ rng.standard_normal((5, 30)) + rng.standard_normal((60, 30))
    b = a @ rng.standard_normal((30, 40)) + 6 * rng.standard_normal((60, 40))
    x, y = (pairs_of(dissimilarities(p, "correlation")) for p in (a, b))
    resampled = ResampledRDMs(60, how)
    resampled.add(x, y)
    counts = draw_counts(60, 20, 0)
    found = resampled.compare(counts)[:, 0]
    i, j = np.triu_indices(60, 1)
    repeats = [(row[i] * row[j]).astype(int) for row in counts]
    expected = np.array([compare(np.repeat(x, w), np.repeat(y, w), how) for w in repeats])
    assert expected.std() > 0.01
    # levels cost little of the spread that is asked for
    assert np.abs(found - expected).max() < (1e-9 if how == "pearson" else 0.06 * expected.std())


def test_half_the_squared_distance_of_unit_patterns_is_one_minus_r():
    unit, flat = unit_patterns(A + 1e3)
    assert not flat.any()
    # what centres over stimuli, or turns the axes, changes nothing
    turned = (unit - unit.mean(0)) @ np.linalg.qr(np.random.default_rng(0).standard_normal((9, 9)))[0]
    np.testing.assert_allclose(pairs_of(dissimilarities(turned, "half-squared")), rdms("correlation")[0], atol=1e-9)


@pytest.mark.parametrize("how", ["spearman", "kendall", "pearson"])
def test_a_flat_pattern_is_left_out(how):
    holed = A.copy()
    holed[4] = 0.3
    x, y = pairs_of(dissimilarities(holed, "correlation")), rdms("correlation")[1]
    assert np.isnan(x).sum() == 13
    rest = np.delete(np.arange(14), 4)
    without = [pairs_of(dissimilarities(p[rest], "correlation")) for p in (A, B)]
    assert compare(x, y, how) == pytest.approx(compare(*without, how), abs=1e-12)
    resampled, smaller = ResampledRDMs(14, how), ResampledRDMs(13, how)
    resampled.add(x, y)
    smaller.add(*without)
    assert resampled.compare(DRAWN[None]) == pytest.approx(smaller.compare(DRAWN[rest][None]), abs=1e-9)


def test_a_constant_rdm_compares_with_nothing():
    assert np.isnan(compare(np.ones(10), np.arange(10.0), "spearman"))
