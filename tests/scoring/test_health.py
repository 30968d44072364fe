"""Curves of a regression's health: exact, and right about what is known."""

from dataclasses import replace

import numpy as np
import pytest

import neurofit as nf
from neurofit.assembly.build import make_assembly
from neurofit.errors import ConfigurationError, MappingError
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.benchmark import AggregationSpec, CorrectionSpec, MappingSpec, SplitSpec, TimeBinSpec
from neurofit.scoring.health import component_curve, default_sizes, headline_bins, learning_curve
from neurofit.scoring.health_summary import diagnose_components, diagnose_learning, quantities, tabulate
from neurofit.scoring.predictivity import predictivity

BINS = [(70, 80), (80, 90)]


def benchmark(k=5, formula="both", window=(70, 90), **changes):
    made = nf.Benchmark(
        "toy", "toy", 1, "toy", "IT", "a test", TimeBinSpec(70, 90, 10),
        mapping=MappingSpec(n_components=k),
        splits=SplitSpec(n_splits=3, stratify="object_name"),
        correction=CorrectionSpec(formula=formula, n_halvings=2),
        aggregation=AggregationSpec(window_ms=window),
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def pair(make_recording):
    """A source of 12 features, 4 of which drive the recording of 80 stimuli."""
    rng = np.random.default_rng(1)
    latents = rng.standard_normal((80, 4))
    recording = make_recording(latents=latents, n=80, q=6, repetitions=(4, 6), noise=1.5)
    features = np.concatenate([latents, 0.7 * rng.standard_normal((80, 8))], axis=1)
    values = np.stack([features, features + 0.3 * rng.standard_normal(features.shape)], axis=2)
    ids = [f"s{i:03d}" for i in range(80)]
    source = make_assembly(
        values, stimulus_id=ids, neuroid_id=[f"u{i}" for i in range(12)], subject="m", layer="l", time_bins=BINS
    )
    return source, recording


def score(pair, made, mapping=None, splitter=None):
    return predictivity(
        *pair,
        mapping=mapping or made.mapping.estimator(),
        splitter=splitter or made.splits.splitter(),
        temporal=made.mapping.temporal,
        formula=made.correction.formula,
        n_halvings=made.correction.n_halvings,
        stratify=made.splits.stratify,
    )


def same(curve, expected, tolerance=1e-10):
    for name in expected.data_vars:
        np.testing.assert_allclose(curve[name].values, expected[name].values, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("temporal", ["per-bin", "fixed"])
@pytest.mark.parametrize("formula", ["both", "raw", "brain-score"])
def test_slices_of_a_component_curve_are_the_scores(pair, temporal, formula):
    made = benchmark(formula=formula, mapping=MappingSpec(n_components=5, temporal=temporal))
    curve = component_curve(*pair, made, grid=(1, 5, 9))
    for k in (1, 5, 9):
        expected = score(pair, made, nf.PLSMapping(k))
        part = curve.sel(n_components=k)
        # refits to halves are in single precision
        same(part, expected, 1e-5 if formula == "both" else 1e-10)
        assert nf.headline(part, made.aggregation).value == pytest.approx(nf.headline(expected).value, abs=1e-5)
    assert curve.attrs["stimuli_hash"] == expected.attrs["stimuli_hash"]


def test_more_components_fit_the_training_stimuli_better(pair):
    curve = component_curve(*pair, benchmark())
    assert list(curve.n_components.values) == [1, 2, 3, 5, 10]  # 12 features, 60 training stimuli
    table = tabulate(curve, benchmark().aggregation)
    assert (np.diff(table["training"]) > -1e-9).all()
    assert (table["training"] > table["raw"]).all()
    # with all components the training r is that of least squares
    whole = component_curve(*pair, benchmark(), grid=(12,))
    source, recording = pair
    X, Y = source.values[:, :, 0], nf.average_repetitions(recording).values[:, :, 0]
    train = next(StimulusShuffleSplit(3).split(X, [f"o{i % 4}" for i in range(80)], source.stimulus_id.values))[0]
    design = np.c_[np.ones(len(train)), X[train]]
    fitted = design @ np.linalg.lstsq(design, Y[train], rcond=None)[0]
    r = [np.corrcoef(fitted[:, j], Y[train, j])[0, 1] for j in range(6)]
    np.testing.assert_allclose(whole.training_predictivity[0, 0, :, 0], r, atol=1e-8)


class Chosen:
    """The first stimuli of each split's nested order, by hand."""

    def __init__(self, splits):
        self.splits = splits

    def split(self, X, y=None, groups=None):
        yield from self.splits


@pytest.mark.parametrize("regression", ["pls", "ridge"])
def test_slices_of_a_learning_curve_are_scores_of_nested_subsets(pair, regression):
    made = benchmark(mapping=MappingSpec(regression))
    if regression == "pls":
        made = benchmark()
    curve = learning_curve(*pair, made, sizes=(20, 40, 60))
    same(curve.sel(n_training=60), score(pair, made), 1e-5)
    np.testing.assert_allclose(curve.internal_consistency[0], curve.internal_consistency[2], atol=1e-12)
    again = learning_curve(*pair, made, sizes=(20,))
    np.testing.assert_allclose(again.predictivity[0], curve.predictivity[0], atol=1e-10)
    other = learning_curve(*pair, made, sizes=(20,), random_state=1)
    assert not np.allclose(other.predictivity, again.predictivity)
    if regression == "ridge":
        assert set(curve["alpha"].dims) == {"n_training", "split", "neuroid", "time_bin"}


def test_a_slice_equals_the_score_of_its_training_stimuli(pair):
    from neurofit.mapping.nested import nested_order

    made, (source, _) = benchmark(), pair
    objects = np.array([f"o{i % 4}" for i in range(80)])
    whole = list(made.splits.splitter().split(source.values, objects, source.stimulus_id.values))
    rng = np.random.default_rng(0)
    orders = [nested_order(train, objects, rng) for train, _ in whole]
    parts = [(order[:24], test) for order, (_, test) in zip(orders, whole, strict=True)]
    for train, test in parts:
        assert not np.isin(train, test).any()
        assert (np.unique(objects[train], return_counts=True)[1] == 6).all()
    curve = learning_curve(*pair, made, sizes=(24, 60))
    same(curve.sel(n_training=24), score(pair, made, splitter=Chosen(parts)), 1e-5)


def linear_gaussian(n, p, q, noise, seed=0):
    """Features, and responses w x + e with |w| = 1: r of a perfect prediction is 1 / sqrt(1 + noise^2)."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    weights = rng.standard_normal((p, q))
    Y = X @ (weights / np.linalg.norm(weights, axis=0)) + noise * rng.standard_normal((n, q))
    ids = [f"s{i:05d}" for i in range(n)]
    source = make_assembly(
        X[:, :, None], stimulus_id=ids, neuroid_id=[f"u{i}" for i in range(p)], subject="m", layer="l",
        time_bins=BINS[:1],
    )  # fmt: skip
    target = make_assembly(
        Y[:, :, None], stimulus_id=ids, repetition=[0] * n, neuroid_id=[f"n{j}" for j in range(q)], subject="a",
        region="IT", time_bins=BINS[:1],
    )  # fmt: skip
    return source, target


def test_the_limit_of_a_linear_gaussian_problem_is_found():
    p, noise = 8, 1.2
    pair = linear_gaussian(4000, p, 30, noise)
    made = benchmark(p, "raw", splits=SplitSpec(n_splits=3, test_size=0.5))
    sizes = (40, 60, 90, 140, 210, 320)  # the largest is far from the limit
    curve = learning_curve(*pair, made, sizes=sizes)
    truth = 1 / np.sqrt(1 + noise**2)
    found = diagnose_learning(curve, made.aggregation, n_resamples=100)["raw"]
    values = tabulate(curve, made.aggregation)["raw"].to_numpy()
    # expected r of least squares on m stimuli: its weights err by noise^2 / (m - p - 1) in each direction
    expected = truth / np.sqrt(1 + p * noise**2 / (np.array(sizes) - p - 1))
    np.testing.assert_allclose(values, expected, atol=0.02)
    assert found.reasons == ()
    assert found.limit == pytest.approx(truth, abs=0.015)
    assert abs(found.limit - truth) < 0.3 * (truth - values[-1]) + 0.01
    limit = found.projections[-1]
    assert limit.factor == float("inf") and limit.supported
    assert limit.over_both.low <= truth <= limit.over_both.high
    assert 0.7 < found.exponent < 1.5


def test_what_does_not_support_an_extrapolation_is_said(pair):
    made = benchmark()
    few = diagnose_learning(learning_curve(*pair, made, sizes=(30, 40, 50, 60)), made.aggregation, 20)["raw"]
    assert any("4 sizes are few" in each for each in few.reasons)
    assert any("span a factor of 2.0" in each for each in few.reasons)
    assert not any(each.supported for each in few.projections)
    noise, target = linear_gaussian(60, 6, 4, 1.0)
    nothing = noise.copy(data=np.random.default_rng(5).standard_normal(noise.shape))
    raw = benchmark(4, "raw", splits=SplitSpec(n_splits=2))
    found = diagnose_learning(learning_curve(nothing, target, raw, sizes=(8, 12, 18, 27, 40)), raw.aggregation, 20)
    assert found["raw"].reasons
    with pytest.raises(MappingError, match="four or more"):
        diagnose_learning(learning_curve(*pair, made, sizes=(30, 60)), made.aggregation, 20)


def test_the_held_out_optimum_is_told_apart_from_the_benchmark_s(pair):
    made = benchmark(10)
    curve = component_curve(*pair, made)
    found = diagnose_components(curve, made.aggregation, 10, 50)["raw"]
    table = tabulate(curve, made.aggregation).set_index("n_components")["raw"]
    assert found.best == table.idxmax()
    assert found.gain == pytest.approx(table.max() - table[10]) and found.gain >= 0
    assert found.best in found.plateau and found.best_is_largest == (found.best == 10)
    assert len(found.best_by_bin) == 2
    for best, (low, high) in zip(found.best_by_bin, found.plateau_by_bin, strict=True):
        assert low <= best <= high
    absent = diagnose_components(component_curve(*pair, made, grid=(1, 2)), made.aggregation, 10, 50)["raw"]
    assert np.isnan(absent.chosen_value) and np.isnan(absent.gain)


@pytest.mark.parametrize("order", ["splits-then-neuroids", "neuroids-then-splits"])
@pytest.mark.parametrize("formula", ["both", "neural", "brain-score"])
def test_headlines_are_those_of_summaries(pair, order, formula):
    made = benchmark(formula=formula, aggregation=AggregationSpec(order, (80, 90)))
    curve = component_curve(*pair, made, grid=(2, 5))
    table = tabulate(curve, made.aggregation).set_index("n_components")
    for k in (2, 5):
        expected = nf.headline(curve.sel(n_components=k), made.aggregation)
        assert table.loc[k, "corrected"] == pytest.approx(expected.value, abs=1e-12)
        assert table.loc[k, "raw"] == pytest.approx(expected.raw, abs=1e-12)


def test_what_cannot_be_is_refused(pair):
    with pytest.raises(ConfigurationError, match="components are those of a PLS"):
        component_curve(*pair, benchmark(mapping=MappingSpec("ridge")))
    with pytest.raises(MappingError, match="between 1 and 12"):
        component_curve(*pair, benchmark(), grid=(5, 13))
    for sizes in ((6, 20), (40, 20), (20, 61), ()):
        with pytest.raises(MappingError, match="ascend between 7"):
            learning_curve(*pair, benchmark(), sizes=sizes)
    with pytest.raises(MappingError, match="1.6 training stimuli"):
        default_sizes(25, 40)
    assert default_sizes(25, 480) == [40, 61, 92, 139, 210, 317, 480]


def test_only_the_bins_of_the_headline(pair):
    source, target = headline_bins(*pair, benchmark(window=(80, 90)))
    assert source.sizes["time_bin"] == target.sizes["time_bin"] == 1
    fixed = benchmark(window=(80, 90), mapping=MappingSpec(n_components=5, temporal="fixed"))
    assert headline_bins(*pair, fixed)[0].sizes["time_bin"] == 2  # one mapping for all: none can be left out
    made = benchmark(window=(80, 90))
    part = quantities(learning_curve(source, target, made, sizes=(60,)))["raw"].values[0]
    whole = learning_curve(*pair, made, sizes=(60,)).predictivity[0, :, :, 1:].values
    np.testing.assert_allclose(part, whole, atol=1e-12)


@pytest.mark.slow
def test_the_generating_features_of_the_simulation_reach_its_ceiling(load_script, repository):
    """SIMULATED: the limit of r over the ceiling is 1, and of raw r the true ceiling."""
    from neurofit.assembly.build import select_region
    from neurofit.data.simulated import SimulatedVentralStream

    stream = SimulatedVentralStream()
    truth, recording = stream.truth("V4"), select_region(stream.record("V4"), "V4")
    peak = recording.isel(time_bin=[11, 12])  # 110-130 ms
    source = load_script(repository / "docs" / "make_recovery_table.py").latent_source(truth, stream, peak)
    made = replace(
        nf.load_benchmark("sim-v4").varied(n_splits=2, n_halvings=1, n_components=source.sizes["neuroid"]),
        aggregation=AggregationSpec(window_ms=(110, 130)),
    )
    curve = learning_curve(source, peak, made, sizes=(40, 70, 120, 200, 320))
    found = diagnose_learning(curve, made.aggregation, 50)
    true_ceiling = np.median(truth.true_ceiling()[:, [11, 12]], axis=0).mean()
    assert found["of_ceiling"].limit == pytest.approx(1, abs=0.03)
    assert found["raw"].limit == pytest.approx(true_ceiling, abs=0.03)
    assert found["of_ceiling"].reasons == () and found["of_ceiling"].projections[-1].supported
