"""Several numbers of PLS components, or of training stimuli, of one problem: each contained in the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from neurofit.errors import MappingError
from neurofit.kernel.arrays import Precision
from neurofit.kernel.held_out import HeldOut, HeldOutFits, HeldOutHalves, MapSplits
from neurofit.kernel.prefixes import check_grid, correlate_halves_of_prefixes, correlate_prefixes
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.held_out import Floats, Split
from neurofit.mapping.splitters import Rows


class NestedPLS:
    """PLS with each of P numbers of components, all from one fit of the largest.

    It is asked for S x P splits: the S splits of the problem, repeated for each number of components in turn. So what
    reads correlations by split reads those of P numbers of components, and needs to know nothing of it.

    Parameters
    ----------
    mapping : PLSMapping
        Its scaling and precision; on the CPU.
    grid : sequence of int
        Numbers of components, ascending.

    Raises
    ------
    MappingError
        If the grid does not ascend, or the mapping is computed on another device.
    """

    def __init__(self, mapping: PLSMapping, grid: Sequence[int]) -> None:
        if mapping.device != "cpu":
            raise MappingError(
                "several numbers of components at once are computed on the CPU",
                f"the mapping is on '{mapping.device}'",
                "leave the device out",
            )
        self.grid = check_grid(grid, max(grid, default=0))
        self.scale: bool = mapping.scale
        self.precision: Precision = mapping.precision

    def __repr__(self) -> str:
        return repr(PLSMapping(self.grid[-1], scale=self.scale, precision=self.precision))

    def held_out(
        self,
        X: Floats,
        splits: Sequence[Split],
        *,
        n_groups: int = 1,
        map_splits: MapSplits = map,
        advance: Callable[[int], object] | None = None,
    ) -> NestedHeldOut:
        """Fit to features X (n, p) of the training images of each split; see `kernel.held_out.HeldOutFits`."""
        n_numbers = len(self.grid)
        largest = PLSMapping(self.grid[-1], scale=self.scale, precision=self.precision)
        fits = largest.held_out(
            X,
            splits[: len(splits) // n_numbers],
            n_groups=n_groups,
            map_splits=map_splits,
            advance=None if advance is None else lambda fitted: advance(fitted * n_numbers),
        )
        if not isinstance(fits, HeldOutFits):
            raise MappingError(
                "numbers of components are compared on the CPU",
                f"the fits are {type(fits).__name__}",
                "leave the device out",
            )
        return NestedHeldOut(fits, self.grid)


class NestedHeldOut:
    """Correlations of P numbers of components, as of P S splits.

    Parameters
    ----------
    fits : HeldOutFits
        Of S splits.
    grid : sequence of P int
    """

    def __init__(self, fits: HeldOutFits, grid: Sequence[int]) -> None:
        self.fits, self.grid = fits, grid

    def correlate(self, Y: Floats) -> HeldOut:
        """Correlate predictions with responses Y (B, n, q) on the test images."""
        found = correlate_prefixes(self.fits, Y, self.grid)
        kept = np.minimum(found.kept, np.asarray(self.grid)[:, None, None])
        return HeldOut(_as_splits(found.r), kept.reshape(-1, kept.shape[2]))

    def correlate_halves(self, first: Floats, second: Floats) -> HeldOutHalves:
        """Correlate two halves of the trials (B, n, q) on the test images."""
        found = correlate_halves_of_prefixes(self.fits, first, second, self.grid)
        return HeldOutHalves(_as_splits(found.mapping), _as_splits(found.responses))


def _as_splits(r: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Turn (P, S, B, G, q) into (P S, B, G, q)."""
    return r.reshape(-1, *r.shape[2:])


def nested_order(train: Rows, strata: npt.NDArray[np.generic] | None, rng: np.random.Generator) -> Rows:
    """Return training rows in an order of which every beginning is a random subset, stratified as the whole.

    Parameters
    ----------
    train : array of int (m,)
    strata : array (n,), optional
        Stratum of every stimulus; one for all by default.
    rng : numpy.random.Generator

    Returns
    -------
    array of int (m,)
        The first j rows hold each stratum in proportion, to within one stimulus.
    """
    shuffled = rng.permutation(train)
    if strata is None:
        return shuffled
    own = np.asarray(strata)[shuffled]
    place = np.empty(len(shuffled))
    for stratum in np.unique(own):
        members = np.flatnonzero(own == stratum)
        # evenly spread over the order, from a start of its own, so that no stratum always comes first
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return shuffled[np.argsort(place, kind="stable")]
