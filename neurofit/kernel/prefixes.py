"""Held-out correlations for several numbers of PLS components from one fit of the largest.

PLS extracts components one after the other, so that the first k of a fit are the fit of k components: predictions are
t[:, :k] L[:k] with scores t and loadings L. Letters as in `kernel.held_out`; P numbers of components.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurofit.errors import MappingError
from neurofit.kernel.held_out import HeldOut, HeldOutFits, HeldOutHalves
from neurofit.kernel.scored import with_each_other, with_targets


def correlate_prefixes(fits: HeldOutFits, Y: Any, grid: Sequence[int]) -> HeldOut:
    """Correlate predictions of the first so many components with responses on the test images.

    Parameters
    ----------
    fits : HeldOutFits
    Y : array (B, n, q)
        As for `HeldOutFits.correlate`.
    grid : sequence of P int
        Numbers of components, ascending, at most those of the fits.

    Returns
    -------
    HeldOut
        r (P, S, B, G, q); kept (S, B), of the largest number.

    Raises
    ------
    MappingError
        If the grid is not within the fits, or as `HeldOutFits.correlate`.
    """
    (r,), kept = fits.compared((Y,), with_targets, check_grid(grid, fits.n_components))
    return HeldOut(r, kept)


def correlate_halves_of_prefixes(fits: HeldOutFits, first: Any, second: Any, grid: Sequence[int]) -> HeldOutHalves:
    """Correlate two halves of the trials on the test images, for each number of components.

    Parameters
    ----------
    fits, grid
        See `correlate_prefixes`.
    first, second : array (B, n, q)
        As for `HeldOutFits.correlate_halves`.

    Returns
    -------
    HeldOutHalves
        Each (P, S, B, G, q); the responses' correlations do not depend on P.
    """
    (mapping, responses), _ = fits.compared((first, second), with_each_other, check_grid(grid, fits.n_components))
    return HeldOutHalves(mapping, responses)


def check_grid(grid: Sequence[int], most: int) -> tuple[int, ...]:
    """Return the numbers of components if they ascend from 1 or more to `most` or fewer.

    Raises
    ------
    MappingError
    """
    numbers = tuple(int(k) for k in grid)
    if not numbers or list(numbers) != sorted(set(numbers)) or numbers[0] < 1 or numbers[-1] > most:
        raise MappingError(
            f"numbers of components ascend between 1 and {most}",
            f"got {', '.join(map(str, numbers)) or 'none'}",
            "give each once, in order, within what the training images and features allow",
        )
    return numbers
