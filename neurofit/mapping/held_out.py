"""What a mapping is asked for by a score: correlations on held-out images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from neurofit.kernel.correlation import pearson
from neurofit.kernel.held_out import HeldOut, HeldOutHalves, MapSplits, check_groups

Split = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
Floats = npt.NDArray[np.floating]


class HeldOutMapping(Protocol):
    """A mapping fitted to the training images of S splits; see `kernel.held_out.HeldOutFits`."""

    def correlate(self, Y: Floats) -> HeldOut:
        """Correlate predictions with responses Y (B, n, q) on the test images."""

    def correlate_halves(self, first: Floats, second: Floats) -> HeldOutHalves:
        """Correlate two halves of the trials (B, n, q) on the test images."""


class Mapping(Protocol):
    """A regression that a score can use."""

    def held_out(
        self,
        X: Floats,
        splits: Sequence[Split],
        *,
        n_groups: int = 1,
        map_splits: MapSplits = map,
        advance: Callable[[int], object] | None = None,
    ) -> HeldOutMapping:
        """Fit to features X (n, p) of the training images of each split; see `kernel.held_out.HeldOutFits`."""


class Predictor(Protocol):
    """What predicts the test images of one split at a time."""

    def prepare(self, X: Floats) -> Any:
        """Prepare features (n, p) once for all splits and target sets."""

    def predict_held_out(self, source: Any, Y: Any, train: Any, test: Any) -> tuple[Any, Any]:
        """Return predictions (B, n_test, q) of target sets (B, n, q), and what was chosen, (B,) or (B, q)."""


class PredictedHeldOut:
    """Correlations of a mapping that has predictions to offer, split by split.

    Parameters
    ----------
    mapping : Predictor
    X : array (n, p)
    splits, n_groups, map_splits, advance
        See `kernel.held_out.HeldOutFits`.
    """

    def __init__(
        self,
        mapping: Predictor,
        X: Floats,
        splits: Sequence[Split],
        *,
        n_groups: int = 1,
        map_splits: MapSplits = map,
        advance: Callable[[int], object] | None = None,
    ) -> None:
        self.mapping, self.n_groups = mapping, n_groups
        self._map, self._advance = map_splits, advance
        self.splits = [(train, np.sort(test)) for train, test in splits]
        for _, test in self.splits:
            check_groups(len(test), n_groups)
        self._source = mapping.prepare(X)

    def correlate(self, Y: Floats) -> HeldOut:
        """Correlate predictions with responses Y (B, n, q) on the test images."""
        prepared = self._source.with_targets(Y)

        def one(split: Split) -> tuple[Floats, Any]:
            predictions, chosen = self._predict(prepared, split)
            return self._correlated(predictions, Y[:, split[1]]), chosen

        r, chosen = zip(*self._map(one, self.splits), strict=True)
        return HeldOut(np.stack(r), np.stack([np.asarray(c) for c in chosen]))

    def correlate_halves(self, first: Floats, second: Floats) -> HeldOutHalves:
        """Correlate two halves of the trials (B, n, q) on the test images."""
        sides = [self._source.with_targets(Y) for Y in (first, second)]

        def both(split: Split) -> tuple[Floats, Floats]:
            one, two = (self._predict(side, split)[0] for side in sides)
            test = split[1]
            return self._correlated(one, two), self._correlated(first[:, test], second[:, test])

        mapping, responses = zip(*self._map(both, self.splits), strict=True)
        return HeldOutHalves(np.stack(mapping), np.stack(responses))

    def _predict(self, targets: Any, split: Split) -> tuple[Floats, Any]:
        predictions, chosen = self.mapping.predict_held_out(self._source, targets, *split)
        if self._advance is not None:
            self._advance(len(predictions))
        return predictions, chosen

    def _correlated(self, one: Floats, two: Floats) -> npt.NDArray[np.float64]:
        """Pearson's r (B, G, q) of values (B, G n_test, q)."""
        shape = (len(one), self.n_groups, -1, one.shape[-1])
        return pearson(one.reshape(shape), two.reshape(shape), axis=2)
