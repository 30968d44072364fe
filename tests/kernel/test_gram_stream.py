"""The Gram matrix of a stream against the features that it was made of, and PLS on both."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import PLSRegression
from sklearn.exceptions import ConvergenceWarning

from neurofit.errors import MappingError, OutputError
from neurofit.kernel import gram_stream
from neurofit.kernel.correlation import pearson
from neurofit.kernel.gram import SharedSource
from neurofit.kernel.gram_stream import GramStream
from neurofit.kernel.pls import predict_held_out


@pytest.fixture(autouse=True)
def narrow_blocks(monkeypatch):
    """Several blocks of columns, the last one narrower."""
    monkeypatch.setattr(gram_stream, "BLOCK_BYTES", 2**12)


def streamed(X, batch, **options):
    """Stream features (T, n, p) in batches; kept_bytes=0 takes the scratch file."""
    T, n, p = X.shape
    stream = GramStream(n, p, T, **options)
    for start in range(0, n, batch):
        stream.add(X[:, start : start + batch])
    return stream


def centred(X):
    X = X.astype(np.float64)
    return X - X.mean(axis=-2, keepdims=True)


def activations(T, n, p, seed=0, offset=0.0):
    """Rectified features (T, n, p) of a few latents, as a layer has."""
    rng = np.random.default_rng(seed)
    latents = rng.standard_normal((n, 8)) * 0.7 ** np.arange(8)
    X = np.maximum(latents @ rng.standard_normal((T, 8, p)) + 0.1 * rng.standard_normal((T, n, p)), 0)
    return (X + offset).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(2, 40), p=st.integers(1, 60), T=st.integers(1, 3), batch=st.integers(1, 40),
    seed=st.integers(0, 999), kept=st.sampled_from([0, 10**9]),
)  # fmt: skip
def test_inner_products_whatever_the_batches(n, p, T, batch, seed, kept):
    X = np.random.default_rng(seed).standard_normal((T, n, p)).astype(np.float32)
    with streamed(X, batch, kept_bytes=kept) as stream, streamed(X, n) as whole:
        for t in range(T):
            gram = stream.gram(t)
            expected = centred(X[t]) @ centred(X[t]).T
            np.testing.assert_allclose(gram, expected, rtol=0, atol=1e-12 * max(expected.max(), 1e-30))
            np.testing.assert_array_equal(gram, whole.gram(t))  # the batches change nothing, not even rounding
            features = stream.features(t)
            assert features.shape[1] <= n - 1
            np.testing.assert_allclose(features @ features.T, gram, rtol=0, atol=1e-11 * max(gram.max(), 1e-30))
        joint = stream.joint_features().reshape(T * n, -1)
        together = centred(X.reshape(T * n, p))
        np.testing.assert_allclose(centred(joint) @ centred(joint).T, together @ together.T, atol=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_predictions_equal_those_of_scikit_learn_on_the_raw_features(offset):
    X = activations(1, 48, 700, offset=offset)
    rng = np.random.default_rng(1)
    Y = centred(X[0]) @ rng.standard_normal((700, 5)) * 0.6 ** np.arange(5)
    Y += 0.3 * Y.std(0) * rng.standard_normal(Y.shape)
    train, test = np.arange(36), np.arange(36, 48)
    with streamed(X, 7, kept_bytes=0) as stream:
        features = stream.features(0)
    found, _ = predict_held_out(SharedSource.of(features), Y[None], train, test, 6)
    model = PLSRegression(6, scale=False, tol=1e-20, max_iter=100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        raw = X[0].astype(np.float64)
        expected = model.fit(raw[train], Y[train]).predict(raw[test])
    difference = pearson(found[0], Y[test], axis=0) - pearson(expected, Y[test], axis=0)
    assert np.abs(difference).max() < 1e-8


def test_one_mapping_for_all_bins_sees_the_same_inner_products():
    X = activations(3, 40, 300)
    X[0] = 0.5  # before the response: silent
    X[2, :, :150] = X[1, :, :150]
    rng = np.random.default_rng(2)
    Y = rng.standard_normal((1, 120, 4))
    train = np.concatenate([t * 40 + np.arange(30) for t in range(3)])
    test = np.concatenate([t * 40 + np.arange(30, 40) for t in range(3)])
    with streamed(X, 16, joint=True, kept_bytes=0) as stream:
        joint = stream.joint_features()
    assert joint.shape == (3, 40, 80)  # 2 bins of 40 samples and a silent one, less one for the mean
    assert np.ptp(joint[0], axis=0).max() == 0
    found, _ = predict_held_out(SharedSource.of(joint.reshape(120, -1)), Y, train, test, 5)
    expected, _ = predict_held_out(SharedSource.of(X.reshape(120, -1)), Y, train, test, 5)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_single_precision_errs_as_stated():
    X = activations(1, 60, 2000)
    with streamed(X, 32) as double, streamed(X, 32, precision=np.float32) as single:
        exact, rounded = double.gram(0), single.gram(0)
        features = single.features(0)
    norms = np.sqrt(exact.diagonal())
    error = np.abs(rounded - exact) / np.outer(norms, norms)
    assert 0 < error.max() < 1e-6
    assert np.abs((features @ features.T - exact) / np.outer(norms, norms)).max() < 1e-5
    assert features.shape[1] <= 59


@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_tiny_and_huge_activations_stay_in_range(scale, precision):
    X = activations(1, 20, 90)
    with streamed((X * scale).astype(np.float32), 8, precision=precision) as stream:
        gram = stream.gram(0) / scale**2
    np.testing.assert_allclose(gram, centred(X[0]) @ centred(X[0]).T, atol=1e-5 * gram.max())


def test_equal_and_silent_bins_are_known_and_stored_once(monkeypatch):
    X = activations(5, 12, 30)
    X[0] = 0
    X[1] = 0.25 * np.arange(30)
    X[3] = X[2]
    X[4, :8] = X[3, :8]  # equal at first only
    written = []
    write = gram_stream._OnDisk.write
    monkeypatch.setattr(gram_stream._OnDisk, "write", lambda *a: (written.append(a[1:3]), write(*a)))
    with streamed(X, 4, kept_bytes=0) as stream:
        assert stream.silent.tolist() == [True, True, False, False, False]
        assert stream.first_equal == [0, 1, 2, 2, 4]
        assert (3, 0) not in written
        assert [start for slot, start in written if slot == 4] == [8]
        np.testing.assert_array_equal(stream.gram(1), 0)
        assert stream.features(1).shape == (12, 0)
        expected = centred(X[4]) @ centred(X[4]).T
        np.testing.assert_allclose(stream.gram(4), expected, atol=1e-12 * expected.max())


def test_the_scratch_file_never_stays(tmp_path):
    X = activations(1, 10, 20)
    with streamed(X, 5, kept_bytes=0, folder=tmp_path) as stream:
        stream.gram(0)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), streamed(X, 5, kept_bytes=0, folder=tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_that_cannot_serve_is_told(tmp_path, monkeypatch):
    with pytest.raises(OutputError, match=r"for a while - .*nowhere: .*No such file.* - make room"):
        GramStream(4, 5, kept_bytes=0, folder=tmp_path / "nowhere")
    with pytest.raises(OutputError, match=r"GiB are free, 745\d{3}.* GiB may be needed"):
        GramStream(4, 5, 10**13, folder=tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    stream = GramStream(4, 5, kept_bytes=0, folder=tmp_path)
    with stream:
        monkeypatch.setattr(gram_stream, "_bytes", full)
        with pytest.raises(OutputError, match=r"No space left on device - make room"):
            stream.add(np.zeros((1, 4, 5), np.float32))
    monkeypatch.undo()
    with GramStream(4, 5, kept_bytes=0, folder=tmp_path) as stream:
        stream.add(np.arange(20, dtype=np.float32).reshape(1, 4, 5))
        os.truncate(stream._store._file.fileno(), 40)
        with pytest.raises(OutputError, match=r"40 of 80 bytes did not come back - make room"):
            stream.gram(0)
        monkeypatch.setattr(stream._store, "_offset", full)
        with pytest.raises(OutputError, match=r"No space left on device - make room"):
            stream.gram(0)


def test_broken_batches_are_told():
    stream = GramStream(4, 5, 2)
    with pytest.raises(MappingError, match=r"features \(images, 5\) for each of 2 bins.*1 bins of shape \[\(4, 5\)\]"):
        stream.add(np.zeros((1, 4, 5)))
    with pytest.raises(MappingError, match=r"4 images in all - after 0 images came 2 bins of shape \[\(5, 5\)\]"):
        stream.add(np.zeros((2, 5, 5)))
    rows = np.zeros((2, 3, 5))
    rows[1, 2, 4] = np.nan
    with pytest.raises(MappingError, match="1 of 5 are not in bin 1, the first is number 4"):
        stream.add(rows)
    stream.add(np.zeros((2, 3, 5)))
    with pytest.raises(MappingError, match="of all 4 images - 3 were added"):
        stream.gram(0)
