"""Correlations of held-out predictions from scores and loadings.

Letters: b target sets, G groups of test images, q neuroids, k components.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from neurofit.kernel.arrays import Array, at_least, namespace
from neurofit.kernel.correlation import CONSTANT


@dataclass(frozen=True)
class Scored:
    """What one split says of some target sets.

    Attributes
    ----------
    scores : array (b, G, n_test, k)
        Centred over the test images of each group.
    loadings : array (b, 1, k, q)
    tested : array (b, G, n_test, q)
        Responses to the test images in the units of the targets' location, centred or nearly so.
    predicted_spread, spread : array (b, G, q)
        Roots of the sums of squares of centred predictions and responses; NaN where they do not vary.
    kept : array (b,)
        Components kept.
    centre : array (b, G, 1, k)
        Means over the test images by which scores were centred.
    means, offset : array (b, 1, q)
        Training and global means of the targets, in their units.
    """

    scores: Array
    loadings: Array
    tested: Array
    predicted_spread: Array
    spread: Array
    kept: Array
    centre: Array
    means: Array
    offset: Array

    @classmethod
    def of(cls, scores: Array, loadings: Array, means: Array, offset: Array, tested: Array, kept: Array) -> Scored:
        """Centre what is not.

        Parameters
        ----------
        scores, loadings, means, offset, tested, kept
            See the attributes.
        """
        centre = namespace(scores).mean(scores, axis=2, keepdims=True)
        level = means + (centre @ loadings)[:, :, 0]
        scores = scores - centre
        tested, spread = _spread(tested, offset)
        predicted = _predicted_spread(scores, loadings, level, offset)
        return cls(scores, loadings, tested, predicted, spread, kept, centre, means, offset)

    def prefix(self, k: int) -> Scored:
        """Return what the first k components say alone; `kept` stays that of all."""
        scores, loadings, centre = self.scores[..., :k], self.loadings[:, :, :k], self.centre[..., :k]
        level = self.means + (centre @ loadings)[:, :, 0]
        predicted = _predicted_spread(scores, loadings, level, self.offset)
        return replace(self, scores=scores, loadings=loadings, centre=centre, predicted_spread=predicted)

    def part(self, sets: slice) -> Scored:
        """Return some of the target sets."""
        return Scored(*(getattr(self, each.name)[sets] for each in fields(self)))


def with_targets(scored: Scored) -> tuple[Array]:
    """Correlate predictions with the responses to the test images."""
    products = scored.scores.swapaxes(2, 3) @ scored.tested
    return (_ratio(_contracted(scored.loadings, products), scored.predicted_spread, scored.spread),)


def with_each_other(one: Scored, two: Scored) -> tuple[Array, Array]:
    """Correlate two predictions, and the responses that they are predictions of."""
    xp = namespace(one.scores)
    between = one.scores.swapaxes(2, 3) @ two.scores
    predicted = _contracted(one.loadings, between @ two.loadings)
    responses = xp.einsum("bgnq,bgnq->bgq", one.tested, two.tested)
    responses -= one.tested.shape[2] * xp.mean(one.tested, axis=2) * xp.mean(two.tested, axis=2)
    return _ratio(predicted, one.predicted_spread, two.predicted_spread), _ratio(responses, one.spread, two.spread)


def _contracted(loadings: Array, products: Array) -> Array:
    """Sum over components (b, G, q) of loadings (b, 1, k, q) times products (b, G, k, q)."""
    return namespace(products).einsum("bkq,bgkq->bgq", loadings[:, 0], products)


def _spread(tested: Array, offset: Array) -> tuple[Array, Array]:
    """Return responses, centred where their mean is large, and the roots of their sums of squares."""
    xp = namespace(tested)
    n = tested.shape[2]
    mean, squares = xp.mean(tested, axis=2), xp.einsum("bgnq,bgnq->bgq", tested, tested)
    high, low = xp.max(tested, axis=2), xp.min(tested, axis=2)
    noise = CONSTANT * xp.abs(offset) + _rounding(tested) * xp.maximum(xp.abs(high), xp.abs(low))
    flat = high - low <= 2 * noise
    # Targets are centred over all images, so that the mean over some is usually small against their spread.
    if bool(xp.any(n * mean**2 > 0.5 * squares)):
        tested = tested - mean[:, :, None]
        squares = xp.einsum("bgnq,bgnq->bgq", tested, tested)
    else:
        squares = squares - n * mean**2
    return tested, _root(squares, flat)


def _predicted_spread(scores: Array, loadings: Array, level: Array, offset: Array) -> Array:
    """Root of the sum of squares (b, G, q) of centred predictions; NaN where it is the rounding of their level."""
    xp = namespace(scores)
    squares = _contracted(loadings, (scores.swapaxes(2, 3) @ scores) @ loadings)
    noise = CONSTANT * xp.abs(offset) + _rounding(scores) * xp.abs(level)
    return _root(squares, squares <= scores.shape[2] * noise**2)


def _root(squares: Array, flat: Array) -> Array:
    """Square root; NaN where nothing varies."""
    xp = namespace(squares)
    nothing = xp.full_like(squares, xp.nan)
    return xp.where(flat | (squares <= 0), nothing, xp.sqrt(at_least(squares, 0.0)))


def _rounding(values: Array) -> float:
    """Share of their magnitude by which values of this precision may be wrong."""
    return CONSTANT * (1.0 if values.dtype == namespace(values).float64 else 2.0**29)


def _ratio(numerator: Array, one: Array, two: Array) -> Array:
    """Return r; NaN where a side does not vary, and rounding alone can carry it beyond 1."""
    xp = namespace(numerator)
    return xp.clip(xp.astype(numerator, xp.float64) / one / two, -1.0, 1.0)
