"""How a recording keeps wide layers: exactly, by their inner products, in one pass over the stimuli."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurofit.assembly.time_bins import make_time_bins, rebin
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import AssemblyError, ConfigurationError, MappingError, UnknownNameError
from neurofit.kernel import gram_stream, routes
from neurofit.scoring.predictivity import predictivity
from neurofit.subjects.features import FeatureOptions, binned, collector
from neurofit.subjects.library import load_subject
from neurofit.subjects.viewing import Viewing

BINS = make_time_bins(0, 60, 10)
SHOWN = {"time_bins": BINS, "viewing": Viewing(on_ms=30, total_ms=60)}


class Images:
    def __getitem__(self, row):
        return np.random.default_rng(row).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def stimuli():
    return StimulusSet("noise", pd.DataFrame({"stimulus_id": [f"s{k:03d}" for k in range(40)]}), Images())


@pytest.fixture
def on_disk(monkeypatch):
    for module in (gram_stream, routes):
        monkeypatch.setattr(module, "KEPT_BYTES", 0)


def inner_products(assembly, t):
    values = assembly.values[:, :, t].astype(np.float64)
    values -= values.mean(0)
    return values @ values.T


def test_a_wide_layer_is_recorded_exactly(stimuli, tmp_path, on_disk):
    said = []
    options = FeatureOptions(scratch=tmp_path)
    subject = load_subject("rgc_untrained", max_features=50, features=options, announce=said.append)
    exact = subject.record(stimuli, layer="conv3", basis="per-bin", **SHOWN)
    assert exact.sizes == {"presentation": 40, "neuroid": 39, "time_bin": 6}
    assert exact.neuroid_id.values[17] == "conv3-isometric-17"
    assert exact.attrs["reduction"] == "exact (inner products of 1024 units)"
    assert (exact.attrs["route"], exact.attrs["basis"]) == ("dual", "per-bin")
    assert said == [exact.attrs["features"]]
    assert said[0].startswith("features: 1,024 units, exact by the Gram matrix (dual): ")
    assert list(tmp_path.iterdir()) == []
    raw = load_subject("rgc_untrained").record(stimuli, layer="conv3", **SHOWN)
    for t in range(6):
        expected = inner_products(raw, t)
        np.testing.assert_allclose(inner_products(exact, t), expected, atol=1e-6 * max(expected.max(), 1e-30))
    assert (exact.values[:, :, :2] == 0).all()  # no image has arrived in conv3


def test_scores_of_exact_features_are_those_of_the_units(stimuli, make_recording):
    recording = make_recording(n=40, bins=tuple(BINS[2:]))
    subject = load_subject("rgc_untrained", max_features=50)
    whole = load_subject("rgc_untrained")
    shown = SHOWN | {"time_bins": BINS[2:]}
    for temporal, basis in (("per-bin", "per-bin"), ("fixed", "shared")):
        scores = [
            predictivity(
                s.record(stimuli, layer="conv3", basis=basis, **shown), recording, temporal=temporal, formula="raw"
            )
            for s in (subject, whole)
        ]
        exact, expected = (score.predictivity.values for score in scores)
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(exact, expected, atol=2e-6)


@pytest.mark.parametrize("basis", ["per-bin", "shared"])
def test_a_layer_of_low_rank_allows_as_many_components_as_its_units(basis):
    rng = np.random.default_rng(0)
    activations = (rng.standard_normal((2, 40, 3)) @ rng.standard_normal((3, 500))).astype(np.float32)
    plan = routes.plan_features(routes.Demand(40, 500, 2, basis, 100))
    with collector(plan, 40, 2, basis) as taker:
        taker.add(activations)
        values = taker.values(False)
    assert values.shape == (40, 39, 2)
    assert (np.abs(values).max(axis=(0, 2)) > 0).sum() in (3, 4)
    found, expected = (v - v.mean(0) for v in (values[:, :, 1], activations[1]))
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4 * np.abs(expected).max() ** 2)


def test_several_layers_in_one_pass(stimuli):
    subject = load_subject("ff_untrained", max_features=500, batch=16)
    passes = []
    stream = subject.stream
    subject.stream = lambda images, *a: (passes.append(len(images)), stream(images, *a))[1]
    together = subject.record_many(stimuli, layers=["conv5", "conv3", "conv4"], basis="shared", **SHOWN)
    assert passes == [1, 40]  # one grey image to learn the widths
    assert list(together) == ["conv5", "conv3", "conv4"]
    assert [a.attrs["route"] for a in together.values()] == ["dual", "dual", "raw"]
    for layer, activations in together.items():
        alone = subject.record(stimuli, layer=layer, basis="shared", **SHOWN)
        np.testing.assert_array_equal(activations.values, alone.values)


def test_batches_change_nothing_beyond_the_networks_rounding(stimuli):
    recorded = [
        load_subject("rgc_untrained", max_features=50, batch=b).record(stimuli, layer="conv3", basis="per-bin", **SHOWN)
        for b in (7, 40)
    ]
    one, other = (inner_products(a, 4) for a in recorded)
    np.testing.assert_allclose(one, other, atol=1e-4 * one.max())


def test_what_does_not_fit_is_refused_before_anything_is_shown(stimuli, tmp_path, monkeypatch):
    subject = load_subject("rgc_untrained", max_features=50, features=FeatureOptions("dual", 2**20))
    with pytest.raises(ConfigurationError, match=r"'dual' features of 1,024 units: it needs .* of 1 MiB memory"):
        subject.record(stimuli, layer="conv3", basis="per-bin", **SHOWN)
    subject = load_subject("rgc_untrained", max_features=50, features=FeatureOptions("dual"))
    with pytest.raises(ConfigurationError, match="the mapping sees the units themselves"):
        subject.record(stimuli, layer="conv3", **SHOWN)
    with pytest.raises(ConfigurationError, match="the scratch folder is there - .*nowhere is no folder"):
        FeatureOptions(scratch=tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="the scratch folder is there - n{300} is no folder"):
        FeatureOptions(scratch=Path("n" * 300))
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigurationError, match="the scratch folder can be written to - .* cannot"):
        FeatureOptions(scratch=tmp_path)


def test_words_that_are_none_are_told(stimuli):
    with pytest.raises(UnknownNameError, match="choice of features .* 'dul' is not known - use 'dual'"):
        FeatureOptions("dul")
    with pytest.raises(UnknownNameError, match="basis of features .* 'per_bin' is not known - use 'per-bin'"):
        load_subject("rgc_untrained").record(stimuli, layer="conv3", basis="per_bin", **SHOWN)


def test_one_image_has_the_inner_product_of_a_centred_one(stimuli):
    one = StimulusSet("one", stimuli.table.iloc[:1], Images())
    exact = load_subject("rgc_untrained", max_features=50).record(one, layer="conv3", basis="per-bin", **SHOWN)
    assert exact.attrs["route"] == "dual"
    assert exact.shape == (1, 1, 6)
    assert (exact.values == 0).all()


def test_an_interrupted_recording_leaves_nothing_behind(stimuli, tmp_path, on_disk):
    subject = load_subject("rgc_untrained", max_features=50, features=FeatureOptions(scratch=tmp_path), batch=10)
    stream = subject.stream

    def interrupted(images, *a):
        for number, batch in enumerate(stream(images, *a)):
            if number == 2:
                raise KeyboardInterrupt
            yield batch

    subject.stream = interrupted
    with pytest.raises(KeyboardInterrupt):
        subject.record(stimuli, layer="conv3", basis="per-bin", **SHOWN)
    assert list(tmp_path.iterdir()) == []


def test_bins_of_their_own_basis_are_not_averaged(stimuli):
    subject = load_subject("rgc_untrained", max_features=50)
    apart = subject.record(stimuli, layer="conv3", basis="per-bin", **SHOWN)
    assert rebin(apart, BINS[2:4]).sizes["time_bin"] == 2
    with pytest.raises(AssemblyError, match="other features with the same inner products in every bin"):
        rebin(apart, [(20, 40)])
    shared = subject.record(stimuli, layer="conv3", basis="shared", **SHOWN)
    raw = load_subject("rgc_untrained").record(stimuli, layer="conv3", **SHOWN)
    expected = inner_products(rebin(raw, [(20, 40)]), 0)
    np.testing.assert_allclose(inner_products(rebin(shared, [(20, 40)]), 0), expected, atol=1e-6 * expected.max())


def test_steps_are_averaged_into_bins():
    rng = np.random.default_rng(0)
    activations = rng.standard_normal((3, 4, 5)).astype(np.float32)
    weights = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0.25, 0.5, 0.25]], np.float32)
    bins = binned(activations, weights)
    np.testing.assert_allclose(bins, np.einsum("ts,bsp->tbp", weights, activations), rtol=1e-6)
    assert bins[1] is bins[0]
    still = np.broadcast_to(activations[:, :1], (3, 4, 5))
    static = binned(still, weights)
    assert len(static) == 3
    assert all(b is static[0] for b in static)
    np.testing.assert_array_equal(static[0], activations[:, 0])


def test_features_that_are_not_finite_are_told(stimuli):
    subject = load_subject("rgc_untrained", max_features=50, batch=40)
    stream = subject.stream

    def broken(images, *a):
        for batch in stream(images, *a):
            if len(images) > 1:
                batch.activations["conv3"][5, 3, 100] = np.inf
            yield batch

    subject.stream = broken
    with pytest.raises(MappingError, match="1 of 1024 are not in bin 3, the first is number 100"):
        subject.record(stimuli, layer="conv3", basis="per-bin", **SHOWN)
