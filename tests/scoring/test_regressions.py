"""Which regression a benchmark maps with, in its TOML file, in its variations, and in the score."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from neurofit.assembly.build import average_repetitions, make_assembly
from neurofit.errors import ConfigurationError
from neurofit.kernel.correlation import pearson
from neurofit.kernel.ridge import DEFAULT_ALPHAS
from neurofit.mapping.estimators import PLSMapping, RidgeMapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.benchmark import Benchmark, MappingSpec, load_benchmark
from neurofit.scoring.predictivity import predictivity

BINS = ((0, 10), (10, 20), (20, 30))


@pytest.fixture
def with_mapping(tmp_path, repository):
    """Return a function from the lines of a [mapping] table to the benchmark."""
    shipped = (repository / "benchmarks" / "sim-it.toml").read_text()
    table = 'kind = "pls"\nn_components = 25\ntemporal = "per-bin"\n'
    assert table in shipped

    def read(lines):
        (tmp_path / "mine.toml").write_text(shipped.replace(table, lines))
        return Benchmark.from_toml(tmp_path / "mine.toml")

    return read


def test_a_benchmark_may_map_by_ridge(with_mapping):
    mapping = with_mapping('kind = "ridge"\nalphas = [0.1, 1, 10]\nrelative_alphas = false\n').mapping
    assert mapping == MappingSpec("ridge", alphas=(0.1, 1.0, 10.0), relative_alphas=False)
    assert repr(mapping.estimator()) == "RidgeMapping(alphas=(0.1, 1.0, 10.0), relative_alphas=False)"
    plain = with_mapping('kind = "ridge"\ntemporal = "fixed"\n').mapping
    assert (plain.alphas, plain.relative_alphas, plain.n_components) == (DEFAULT_ALPHAS, True, None)
    assert repr(plain.estimator()) == "RidgeMapping()"
    assert (plain.basis(), mapping.basis()) == ("shared", "per-bin")


def test_pls_is_the_default(with_mapping):
    mapping = with_mapping("").mapping
    assert (mapping.kind, mapping.n_components, mapping.alphas, mapping.relative_alphas) == ("pls", 25, None, None)
    assert mapping == load_benchmark("sim-it").mapping
    assert repr(mapping.estimator()) == "PLSMapping()"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('kind = "ridge"\nn_components = 25\n', "mapping.n_components is not for kind 'ridge'"),
        ('kind = "ridge"\nscale = true\n', "mapping.scale is not for kind 'ridge'"),
        ('kind = "ridge"\nprecision = "float32"\n', "mapping.precision is not for kind 'ridge'"),
        ('kind = "pls"\nprecision = "float16"\n', "precision"),
        ('kind = "ridge"\nalphas = []\n', "mapping.alphas is empty"),
        ('kind = "ridge"\nalphas = [1.0, 0.0]\n', "mapping.alphas #2 is 0.0, which is not positive"),
        ('kind = "pls"\nalphas = [1.0]\nrelative_alphas = true\n', "2 problems: .*alphas is not for kind 'pls'"),
        ('kind = "rigde"\n', "the nearest is 'ridge'"),
    ],
)
def test_what_belongs_to_the_other_regression_is_told(with_mapping, lines, message):
    with pytest.raises(ConfigurationError, match=message):
        with_mapping(lines)


def test_another_regression_changes_the_name(with_mapping):
    shipped = load_benchmark("sim-it")
    varied = shipped.varied(regression="ridge")
    assert varied.name == "sim-it (varied)"
    assert varied.mapping == MappingSpec("ridge")
    assert shipped.varied(regression="pls") is shipped
    assert varied.varied(regression="pls", n_components=7).mapping == MappingSpec(n_components=7)
    assert shipped.varied(regression="ridge", temporal="fixed").mapping.temporal == "fixed"
    with pytest.raises(ConfigurationError, match="the benchmark's is 'ridge': n_components is not for kind 'ridge'"):
        shipped.varied(regression="ridge", n_components=7)


@pytest.fixture
def latents():
    return np.random.default_rng(5).standard_normal((120, 6))


@pytest.fixture
def recording(make_recording, latents):
    return make_recording(latents=latents, q=8, bins=BINS, noise=2.0, repetitions=(6, 10))


def features(latents, noise=0.0):
    rng = np.random.default_rng(1)
    values = np.repeat(latents[:, :, None], len(BINS), axis=2)
    return make_assembly(
        values + noise * rng.standard_normal(values.shape),
        stimulus_id=[f"s{i:03d}" for i in range(len(latents))],
        neuroid_id=[f"u{j}" for j in range(latents.shape[1])],
        subject="model",
        layer="latents",
        time_bins=list(BINS),
    )


@pytest.mark.parametrize("noise", [0.0, 0.5])  # the source is the same in all bins, or it is not
def test_a_score_by_ridge_is_scikit_learns(latents, recording, noise):
    source, splitter, grid = features(latents, noise), StimulusShuffleSplit(3), (0.1, 1.0, 10.0, 100.0)
    found = predictivity(
        source, recording, mapping=RidgeMapping(grid, relative_alphas=False), splitter=splitter, n_halvings=2
    )
    mean = average_repetitions(recording)
    assert found["predictivity"].shape == found["alpha"].shape == (3, 8, 3)
    assert (found["components"].values == 0).all()
    for s, (train, test) in enumerate(splitter.split(mean.values, groups=mean.stimulus_id.values)):
        for t in range(3):
            X, Y = source.values[:, :, t], mean.values[:, :, t].astype(float)
            reference = RidgeCV(grid, alpha_per_target=True).fit(X[train], Y[train])
            expected = pearson(reference.predict(X[test]), Y[test])
            np.testing.assert_allclose(found["predictivity"].values[s, :, t], expected, atol=1e-7)
            np.testing.assert_array_equal(found["alpha"].values[s, :, t], reference.alpha_)
    assert found.attrs["mapping"] == "RidgeMapping(alphas=(0.1, 1.0, 10.0, 100.0), relative_alphas=False)"
    assert np.isfinite(found["predictivity_corrected"].values).all()


def test_one_ridge_for_all_bins(latents, recording):
    found = predictivity(
        features(latents, 0.5),
        recording,
        mapping=RidgeMapping(),
        splitter=StimulusShuffleSplit(2),
        formula="raw",
        temporal="fixed",
    )
    alphas = found["alpha"].values
    assert (alphas == alphas[:, :, :1]).all()
    assert np.isin(alphas, DEFAULT_ALPHAS).all()


def test_silent_bins_and_null(latents, recording):
    source = features(latents)
    source.values[:, :, 2] = 0.7
    found = predictivity(source, recording, mapping=RidgeMapping(), splitter=StimulusShuffleSplit(3), n_halvings=2)
    assert found.silent.values.tolist() == [False, False, True]
    assert (found["predictivity"].values[:, :, 2] == 0).all()
    null = []
    for seed in range(6):
        shuffled = features(np.random.default_rng(seed).permutation(latents))
        options = {"mapping": RidgeMapping(), "splitter": StimulusShuffleSplit(3), "formula": "raw"}
        null.append(float(predictivity(shuffled, recording, **options)["predictivity"].mean()))
    assert abs(np.mean(null)) < 0.06


def test_where_both_regressions_are_sound_they_nearly_agree(latents, recording):
    by = {
        mapping: predictivity(
            features(latents), recording, mapping=mapping, splitter=StimulusShuffleSplit(4), formula="raw"
        )["predictivity"]
        for mapping in (PLSMapping(6), RidgeMapping())
    }
    one, other = by.values()
    np.testing.assert_allclose(one.mean("split"), other.mean("split"), atol=0.03)
