"""PLS components from sufficient statistics, for B target sets of the same features in one batch.

"Improved kernel PLS 2" (Dayal & MacGregor 1997, J. Chemometrics 11:73-85) with the cross-products deflated lazily:
the original S is kept, and what earlier components explained is subtracted from its products. Letters: r features,
q neuroids, k components, B target sets; vectors of a component lie along rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import device

from neurofit.kernel.arrays import Array, Precision, eps, namespace, precision_of, subtract_products, to_numpy
from neurofit.kernel.eigen import DominantEigenvectors

#: G is formed anew when its trace has fallen by this: what rounding left of the earlier trace would then show.
REFRESH: dict[Precision, float] = {"float64": 1e-5, "float32": 1e-2}
#: Rounding errors of a sum of n products, in units of sqrt(n) times the machine epsilon; below it nothing is left.
NOISE = 4.0


@dataclass(frozen=True)
class Components:
    """Components of B target sets; those beyond `kept` are zero.

    Attributes
    ----------
    rotations : array (B, k, r)
        Scores are centred features @ rotations'; they are orthonormal over the training images.
    loadings : array (B, k, q)
        Predictions are scores @ loadings.
    kept : array of int (B,)
        Components before the rank was exhausted.
    """

    rotations: Array
    loadings: Array
    kept: Array


def extract_components(
    covariance: Array,
    cross: Array,
    n_components: int,
    *,
    n: int,
    feature_norm: float,
    target_norms: Array,
) -> Components:
    """Extract PLS2 components.

    Parameters
    ----------
    covariance : array (r, r)
        C = Xc'Xc over the training images.
    cross : array (B, q, r)
        S = Yc'Xc of each target set.
    n_components : int
        k; fewer are kept where the rank is exhausted.
    n : int
        Images that went into the sums.
    feature_norm, target_norms : float, array (B,)
        Frobenius norms of the matrices whose products C and S are; they tell rounding from structure.

    Returns
    -------
    Components
    """
    n_sets, q, r = cross.shape
    xp = namespace(cross)
    if r == 0:
        nothing = _zeros(cross, n_sets, n_components, 0), _zeros(cross, n_sets, n_components, q)
        return Components(*nothing, kept=xp.zeros_like(target_norms, dtype=xp.int64))
    if q > r:  # at most r directions of the targets covary with anything: work on those
        basis, triangle = xp.linalg.qr(cross)
        reduced = extract_components(
            covariance,
            triangle,
            n_components,
            n=n,
            feature_norm=feature_norm,
            target_norms=target_norms,
        )
        return Components(reduced.rotations, reduced.loadings @ basis.swapaxes(1, 2), reduced.kept)
    deflation = _Deflation(covariance, cross, n_components)
    noise = NOISE * eps(cross) * n**0.5
    smallest_weight = noise * feature_norm * target_norms
    smallest_variance = noise * feature_norm**2
    kept = xp.zeros_like(target_norms, dtype=xp.int64)
    alive = xp.ones_like(target_norms, dtype=xp.bool)
    for a in range(n_components):
        weights = deflation.weights(a)
        alive = alive & (xp.linalg.vector_norm(weights, axis=1) > smallest_weight)
        alive = deflation.add(a, weights, alive, smallest_variance)
        if not bool(xp.any(alive)):
            break
        kept[alive] += 1
    return Components(deflation.rotations, deflation.loadings, kept)


class _Deflation:
    """Everything that changes from component to component; arrays are zero for target sets that are exhausted."""

    def __init__(self, covariance: Array, cross: Array, n_components: int) -> None:
        n_sets, q, r = cross.shape
        self.covariance = covariance
        self.cross = cross
        self.rotations, self.x_loadings = (_zeros(cross, n_sets, n_components, r) for _ in range(2))
        self.loadings = _zeros(cross, n_sets, n_components, q)
        self.gram = cross @ cross.swapaxes(1, 2)
        self.start = _traces(self.gram)
        self.refresh = REFRESH[precision_of(cross)]
        self.eigenvectors = DominantEigenvectors(q)
        self.image: Array = None
        self.coupling: Array | None = None

    def weights(self, a: int) -> Array:
        """Weights S_a'c (B, r) of component a, with c the dominant eigenvector of G = S_a S_a'."""
        vectors = self.eigenvectors.solve(self.gram, self.coupling)
        self.image = _products(self.gram, vectors)
        earlier = _products(self.loadings[:, :a], vectors)
        return _combination(self.cross, vectors) - _combination(self.x_loadings[:, :a], earlier)

    def add(self, a: int, weights: Array, alive: Array, smallest_variance: float) -> Array:
        """Add component a to the target sets that are alive and have variance left; say which."""
        xp = namespace(weights)
        rotation = weights
        for _ in range(2):  # twice is enough for conjugacy to rounding
            rotation = rotation - _combination(self.rotations[:, :a], _products(self.x_loadings[:, :a], rotation))
        image = rotation @ self.covariance
        variance = xp.einsum("br,br->b", rotation, image)
        alive = alive & (variance > smallest_variance * xp.einsum("br,br->b", rotation, rotation))
        one = xp.ones_like(variance)
        normaliser = xp.where(alive, 1.0 / xp.sqrt(xp.where(alive, variance, one)), xp.zeros_like(one))[:, None]
        self.rotations[:, a] = rotation * normaliser
        self.x_loadings[:, a] = image * normaliser
        # S_a r = S_a w / |.| = G c / |.|, whatever c is: earlier rotations have no product with what is left of S
        self.loadings[:, a] = self.image * normaliser
        self._deflate(a)
        if not bool(xp.all(alive)):
            self.gram[~alive] = 0.0
        return alive

    def _deflate(self, a: int) -> None:
        """Take component a out of G: G <- G - q g' - g q', with g = S_a p - |p|^2 q / 2."""
        xp = namespace(self.gram)
        x_loading, loading = self.x_loadings[:, a], self.loadings[:, a]
        coupling = _products(self.cross, x_loading)
        coupling -= _combination(self.loadings[:, :a], _products(self.x_loadings[:, :a], x_loading))
        coupling -= 0.5 * xp.einsum("br,br->b", x_loading, x_loading)[:, None] * loading
        self.coupling = coupling
        subtract_products(self.gram, xp.stack([loading, coupling], axis=1), xp.stack([coupling, loading], axis=1))
        spent = to_numpy(_traces(self.gram) < self.refresh * self.start)
        for b in spent.nonzero()[0].tolist():
            rest = self.cross[b] - self.loadings[b, : a + 1].T @ self.x_loadings[b, : a + 1]
            self.gram[b] = rest @ rest.T
            self.start[b] = _traces(self.gram[b : b + 1])[0]


def _zeros(similar: Array, *shape: int) -> Array:
    """Zeros of that shape, of the kind and precision of another array."""
    xp = namespace(similar)
    return xp.zeros(shape, dtype=similar.dtype, device=device(similar))


def _traces(matrices: Array) -> Array:
    """Traces (B,) of matrices (B, q, q)."""
    return namespace(matrices).einsum("bii->b", matrices)


def _products(rows: Array, vectors: Array) -> Array:
    """Inner products (B, a) of rows (B, a, d) with vectors (B, d)."""
    return (rows @ vectors[:, :, None])[:, :, 0]


def _combination(rows: Array, coefficients: Array) -> Array:
    """Sums (B, d) of rows (B, a, d) with coefficients (B, a)."""
    return (coefficients[:, None, :] @ rows)[:, 0]
