"""Dominant eigenvectors against LAPACK, on sequences of matrices like those of PLS and on degenerate ones."""

from __future__ import annotations

import numpy as np
import pytest

from neurofit.kernel import eigen
from neurofit.kernel.eigen import DominantEigenvectors


def relative_residual(G, vectors):
    values = np.einsum("bi,bij,bj->b", vectors, G, vectors)
    residuals = np.einsum("bij,bj->bi", G, vectors) - values[:, None] * vectors
    return np.linalg.norm(residuals, axis=1) / values


def wishart(n_members, size, decay, seed):
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n_members, size, 2 * size)) * np.arange(1, 2 * size + 1) ** -decay
    return factors @ factors.swapaxes(1, 2)


@pytest.mark.parametrize("size", [1, 5, 24, 25, 60, 168])
@pytest.mark.parametrize("decay", [0.0, 0.5, 2.0])
def test_equals_lapack_through_deflations(size, decay):
    G = wishart(3, size, decay, seed=size)
    tracker, hint = DominantEigenvectors(size), None
    for _ in range(min(size, 12)):
        values, basis = np.linalg.eigh(G)
        vectors = tracker.solve(G, hint)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-12)
        # the eigenvalue of an accepted vector is that of the dominant one, not of another one
        np.testing.assert_allclose(np.einsum("bi,bij,bj->b", vectors, G, vectors), values[:, -1], rtol=1e-9)
        gap = 1 - values[:, -2] / values[:, -1] if size > 1 else np.ones(3)
        angle = np.linalg.norm(
            vectors - basis[:, :, -1] * np.einsum("bi,bi->b", vectors, basis[:, :, -1])[:, None], axis=1
        )
        assert (angle < 2 * eigen.TOLERANCES["float64"] / gap + 1e-13).all()
        # project out a direction near the dominant one: a change of rank two
        direction = vectors + 0.3 * np.random.default_rng(size).standard_normal(vectors.shape) / np.sqrt(size)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        hint = np.einsum("bij,bj->bi", G, direction)
        outer = hint[:, :, None] * direction[:, None]
        G = G - outer - outer.swapaxes(1, 2)
        G += np.einsum("bi,bi->b", hint, direction)[:, None, None] * direction[:, :, None] * direction[:, None]


def test_directions_without_contact_are_found_in_turn():
    """Diagonal matrices never mix their eigenvectors: nothing but the random row can find the later ones."""
    size = 60
    diagonal = np.stack([np.linspace(2, 1, size), np.linspace(1, 3, size)])
    G = np.eye(size) * diagonal[:, :, None]
    tracker, hint = DominantEigenvectors(size), None
    for _ in range(30):
        vectors = tracker.solve(G, hint)
        found = np.abs(vectors).argmax(axis=1)
        np.testing.assert_array_equal(found, diagonal.argmax(axis=1))
        diagonal[np.arange(2), found] = 0.0
        G = np.eye(size) * diagonal[:, :, None]
        hint = vectors.copy()


def test_members_that_do_not_converge_go_to_lapack(monkeypatch):
    monkeypatch.setattr(eigen, "MAX_ROUNDS", 1)
    G = wishart(4, 50, 0.0, seed=1)
    tracker = DominantEigenvectors(50)
    assert (relative_residual(G, tracker.solve(G)) < 1e-11).all()
    assert tracker.n_fallbacks == 4


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_low_rank_and_zero_matrices(rank):
    factors = np.random.default_rng(2).standard_normal((2, 40, rank))
    G = factors @ factors.swapaxes(1, 2)
    tracker, hint = DominantEigenvectors(40), None
    for _ in range(3):
        vectors = tracker.solve(G, hint)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-12)
        np.testing.assert_allclose(
            np.einsum("bi,bij,bj->b", vectors, G, vectors), np.linalg.eigvalsh(G)[:, -1], atol=1e-9
        )
        hint = np.zeros((2, 40))


def test_coinciding_eigenvalues_give_some_vector_of_their_space():
    basis = np.linalg.qr(np.random.default_rng(3).standard_normal((50, 50)))[0]
    G = (basis * np.r_[np.ones(12), np.linspace(0.5, 0.1, 38)]) @ basis.T
    vectors = DominantEigenvectors(50).solve(G[None])
    assert relative_residual(G[None], vectors)[0] < 1e-11
    assert np.linalg.norm(vectors[0] @ basis[:, :12]) == pytest.approx(1, abs=1e-10)
