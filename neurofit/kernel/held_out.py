"""Correlations on held-out images, for many splits and target sets of one source, without forming predictions.

With scores t (n_test, k) and loadings L (k, q) a prediction is t L, so that Pearson's r of a neuroid needs t't, t'Y
and the variance of Y only; between two half-trial refits of the mapping it needs t1't2. All splits are worked on
together, a part of the target sets at a time: where the test sets partition the images (cross-validation folds), each
image enters the cross-products Y'X once for all splits.

Letters: n images, q neuroids, k components, B target sets, S splits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from neurofit.errors import MappingError
from neurofit.kernel.arrays import Array, like, namespace, to_numpy
from neurofit.kernel.centring import check_targets
from neurofit.kernel.gram import Rows, SharedSource, SharedTargets, TrainingFeatures
from neurofit.kernel.pls import (
    as_rows,
    check_n_components,
    chunks,
    components_in_single,
    components_of,
    predict_separately,
    safe_training,
)
from neurofit.kernel.scored import Scored, with_each_other, with_targets

MapSplits = Callable[..., Iterable[Any]]
Correlations = npt.NDArray[np.float64]
#: Covariances of training sets of all splits are kept up to this size, otherwise formed anew for each part.
KEPT_BYTES = 2**30


class HeldOut(NamedTuple):
    """Correlations of predictions with responses on held-out images.

    Attributes
    ----------
    r : ndarray (S, B, G, q)
        Signed; NaN where either side does not vary over the test images.
    kept : ndarray of int (S, B)
        Components kept; fewer than asked for where the rank was exhausted.
    """

    r: Correlations
    kept: npt.NDArray[np.int64]


class HeldOutHalves(NamedTuple):
    """Correlations between two halves of the trials on held-out images.

    Attributes
    ----------
    mapping : ndarray (S, B, G, q)
        Between the predictions of the mapping refitted to each half.
    responses : ndarray (S, B, G, q)
        Between the responses.
    """

    mapping: Correlations
    responses: Correlations


class HeldOutFits:
    """PLS fits to the training images of S splits, to be correlated with any number of target sets.

    Parameters
    ----------
    source : SharedSource
        Features of all n images.
    splits : sequence of (train, test)
        Rows (or masks of n rows) of each split.
    n_components : int
        k, at most min(m - 1, p) for m training images.
    n_groups : int
        G: a split's test rows in ascending order are so many equal runs (time bins, say), each correlated on its own.
    map_splits : callable
        Like `map`: called with a function and one item a split; a thread pool's `map` works on splits at a time.
    advance : callable, optional
        Told after each split how many fits were made.

    Raises
    ------
    MappingError
        If rows do not fit, or more components are asked for than the data allow.
    """

    def __init__(
        self,
        source: SharedSource,
        splits: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]],
        n_components: int,
        *,
        n_groups: int = 1,
        map_splits: MapSplits = map,
        advance: Callable[[int], object] | None = None,
    ) -> None:
        if not splits:
            raise MappingError("there is a split to fit to", "there is none", "give (train, test) rows")
        self.source, self.n_components, self.n_groups = source, n_components, n_groups
        self._map, self._advance = map_splits, advance
        rows = ((as_rows(train, "train", source), as_rows(test, "test", source)) for train, test in splits)
        self.splits = [(train, np.sort(test)) for train, test in rows]
        for train, test in self.splits:
            check_n_components(n_components, len(train), source.values.shape[1])
            check_groups(len(test), n_groups)
        r = source.features.shape[1]
        self._layout = _Layout.of(source, self.splits)
        self._keeps = len(self.splits) * r * r * source.features.itemsize <= KEPT_BYTES
        self._training: dict[int, TrainingFeatures | None] = {}

    def correlate(self, Y: Any) -> HeldOut:
        """Correlate predictions with responses on the test images.

        Parameters
        ----------
        Y : array (B, n, q)
            Target sets; each is fitted on the training images, and compared with itself on the test images.

        Raises
        ------
        MappingError
            If Y is not finite, or not of n images.
        """
        (r,), kept = self.compared((Y,), with_targets)
        return HeldOut(r[0], kept)

    def correlate_halves(self, first: Any, second: Any) -> HeldOutHalves:
        """Correlate two halves of the trials on the test images: predictions of the refitted mapping, and responses.

        Components are extracted in single precision (`kernel.pls.components_in_single`).

        Parameters
        ----------
        first, second : array (B, n, q)
            Means over the halves; set b of one belongs to set b of the other.

        Raises
        ------
        MappingError
            As `correlate`.
        """
        (mapping, responses), _ = self.compared((first, second), with_each_other)
        return HeldOutHalves(mapping[0], responses[0])

    def compared(
        self, arrays: tuple[Any, ...], compare: Callable[..., tuple[Array, ...]], prefixes: Sequence[int] = ()
    ) -> tuple[list[Correlations], npt.NDArray[np.int64]]:
        """Return correlations (P, S, B, G, q) of the first so many components, all by default, and those kept (S, B).

        See `correlate`, `correlate_halves` and `kernel.prefixes`, which say what is compared.
        """
        prefixes = prefixes or (self.n_components,)
        n = self.source.values.shape[0]
        sides = [check_targets(array, n) for array in arrays]
        if sides[0].shape != sides[-1].shape:
            raise MappingError(
                "two halves have the same target sets and neuroids",
                f"their shapes are {tuple(sides[0].shape)} and {tuple(sides[-1].shape)}",
                "give set b of one for set b of the other",
            )
        n_sets, _, q = sides[0].shape
        shape = (len(prefixes), len(self.splits), n_sets, self.n_groups, q)
        found = [np.full(shape, np.nan) for _ in arrays]
        kept = np.zeros((len(self.splits), n_sets), np.int64)
        itemsize = self.source.features.itemsize
        xp = namespace(*sides)
        for members in chunks(n_sets, q, max(self.source.features.shape[1], 1), itemsize, len(sides)):
            part = slice(members.start, members.stop)
            Y = sides[0][part] if len(sides) == 1 else xp.concat([side[part] for side in sides])
            sets = _Sets.of(self.source, Y, self._layout, self._map)
            work = partial(self._split, sets, len(sides), compare, prefixes)
            for s, (correlations, components) in enumerate(self._map(work, range(len(self.splits)))):
                for one, into in zip(correlations, found, strict=True):
                    into[:, s, part] = one
                kept[s, part] = components
                if self._advance is not None:
                    self._advance(Y.shape[0])
        return found, kept

    def _split(
        self,
        sets: _Sets,
        n_sides: int,
        compare: Callable[..., tuple[Array, ...]],
        prefixes: Sequence[int],
        s: int,
    ) -> tuple[list[Correlations], npt.NDArray[np.int64]]:
        """Return correlations (P, b, G, q) and components (b,) of one split; sides lie one after the other."""
        training = self._statistics(s)
        if training is None:
            several = [self._predicted(sets, s, k) for k in prefixes]
        else:
            whole = self._score(training, sets, s, n_sides > 1)
            several = [whole if k == self.n_components else whole.prefix(k) for k in prefixes]
        kept = to_numpy(several[-1].kept)
        b = len(kept) // n_sides
        compared = [compare(*(scored.part(slice(i * b, (i + 1) * b)) for i in range(n_sides))) for scored in several]
        return [np.stack([to_numpy(r) for r in each]) for each in zip(*compared, strict=True)], kept[:b]

    def _statistics(self, s: int) -> TrainingFeatures | None:
        if s in self._training:
            return self._training[s]
        features = self._layout.features[self._layout.blocks[s]] if self._layout.is_partition else None
        training = safe_training(self.source, self.splits[s][0], features)
        if self._keeps:
            self._training[s] = training
        return training

    def _score(self, training: TrainingFeatures, sets: _Sets, s: int, refits: bool) -> Scored:
        """Fit a split, and score its test images."""
        layout, test, removed = self._layout, self.splits[s][1], None
        if layout.is_partition:
            left_out = tested = sets.values[:, layout.blocks[s]]
            features, removed = training.left_out_features, sets.crosses[s]
        else:
            left_out = sets.values[:, layout.places[training.left_out]]
            same = np.array_equal(test, training.left_out)
            tested = left_out if same else sets.values[:, layout.places[test]]
            features = training.left_out_features if same else self.source.features[test]
        members = range(left_out.shape[0])
        means, cross, squares = training.cross(sets.targets, members, left_out, sets.total, removed)
        deviation = None
        if self.source.scale:
            deviation = _deviation(squares, len(training.train))
            cross /= deviation[:, :, None]
        extract = components_in_single if refits else components_of
        found = extract(training, sets.targets, members, cross, self.n_components, deviation)
        loadings = found.loadings if deviation is None else found.loadings * deviation[:, None]
        features = training.standardised(features)
        n_sets, k, r = found.rotations.shape
        xp = namespace(features)
        flat = (features @ found.rotations.reshape(n_sets * k, r).T).reshape(-1, n_sets, k)
        scores = self._grouped(xp.permute_dims(flat, (1, 0, 2)))
        offset, tested = sets.offset[:, None], self._grouped(tested)
        return Scored.of(scores, loadings[:, None], means[:, None], offset, tested, found.kept)

    def _predicted(self, sets: _Sets, s: int, k: int) -> Scored:
        """Fit a split on its rows alone where down-dating would lose digits; the scores are the predictions then."""
        train, test = self.splits[s]
        targets = sets.targets
        found, kept = predict_separately(self.source, targets.values, train, test, k)
        xp = namespace(found)
        predictions = (found - targets.mean[:, None]) / targets.unit[:, None, None]
        n_sets, _, q = predictions.shape
        identity = like(np.tile(np.eye(q), (n_sets, 1, 1, 1)), predictions, predictions.dtype)
        tested = xp.astype(sets.values[:, self._layout.places[test]], predictions.dtype, copy=False)
        offset, tested = sets.offset[:, None], self._grouped(tested)
        return Scored.of(self._grouped(predictions), identity, xp.zeros_like(offset), offset, tested, kept)

    def _grouped(self, values: Array) -> Array:
        """Divide test rows (b, G n_test, columns) into groups (b, G, n_test, columns)."""
        b, rows, columns = values.shape
        return values.reshape(b, self.n_groups, rows // self.n_groups, columns)


def check_groups(rows: int, n_groups: int) -> None:
    """Raise unless test rows are equal runs."""
    if n_groups < 1 or rows % n_groups:
        raise MappingError(
            "test rows are equal runs, one for each group",
            f"there are {rows} rows and {n_groups} groups",
            "hold the same images out in every group",
        )


@dataclass(frozen=True)
class _Layout:
    """Rows in blocks, each followed by a row for what belongs to the block as a whole.

    Attributes
    ----------
    is_partition : bool
        Whether the blocks are the test sets, each image in one of them and in the training sets of all other splits.
    blocks : list of slice
        Where the images of each block lie; the row after them is the block's own.
    places : ndarray of int (n,)
        Where each image lies.
    features : array (n + blocks, r)
        The source's features. A block's own row is the training mean of its split, times the root of m, where the
        blocks are test sets, and zero otherwise.
    """

    is_partition: bool
    blocks: list[slice]
    places: Rows
    features: Array

    @classmethod
    def of(cls, source: SharedSource, splits: list[tuple[Rows, Rows]]) -> _Layout:
        """Lay out the rows for these splits."""
        n, r = source.features.shape
        is_partition = source.shares and _is_partition(splits, n)
        rows = [np.sort(test) for _, test in splits] if is_partition else np.array_split(np.arange(n), len(splits))
        features = like(np.zeros((n + len(rows), r)), source.features, source.features.dtype)
        places, blocks, start = np.empty(n, np.intp), [], 0
        for part in rows:
            block = slice(start, start + len(part))
            places[part] = np.arange(block.start, block.stop)
            features[block] = source.features[part]
            if is_partition:
                features[block.stop] = _training_mean(features[block], n)
            blocks.append(block)
            start = block.stop + 1
        return cls(is_partition, blocks, places, features)


def _training_mean(left_out: Array, n: int) -> Array:
    """Training mean of values (..., left out, q) that sum to zero over all n images, times the root of their number."""
    return namespace(left_out).sum(left_out, axis=-2) / -((n - left_out.shape[-2]) ** 0.5)


@dataclass(frozen=True)
class _Sets:
    """Some target sets with what all splits need of them.

    Attributes
    ----------
    targets : SharedTargets
        b sets.
    values : array (b, n + blocks, q)
        Centred, in the layout's order; a block's own row as the features' is.
    offset : array (b, q)
        Global means in the units of the centred targets.
    crosses : list of array (b, q, r)
        Cross-products of each block with its own row; each is used, and overwritten, by its split alone.
    total : array (b, q, r)
        Cross-products of all images.
    """

    targets: SharedTargets
    values: Array
    offset: Array
    crosses: list[Array]
    total: Array

    @classmethod
    def of(cls, source: SharedSource, Y: Array, layout: _Layout, map_blocks: MapSplits) -> _Sets:
        """Centre Y (b, n, q) and form its cross-products with the features, block by block of images."""
        n_sets, _, q = Y.shape
        values = like(np.zeros((n_sets, len(layout.features), q)), Y, source.features.dtype)
        targets = SharedTargets.with_values(source, Y, values, layout.places)

        def product(block: slice) -> Array:
            if layout.is_partition:
                values[:, block.stop] = _training_mean(values[:, block], len(layout.places))
            whole = slice(block.start, block.stop + 1)
            return values[:, whole].swapaxes(1, 2) @ layout.features[whole]

        crosses = list(map_blocks(product, layout.blocks))
        own = [block.stop for block in layout.blocks]
        total = values[:, own].swapaxes(1, 2) @ -layout.features[own]
        for cross in crosses:
            total += cross
        return cls(targets, values, targets.mean / targets.unit[:, None], crosses, total)


def _deviation(squares: Array, m: int) -> Array:
    """Training standard deviations; 1 where there are none."""
    xp = namespace(squares)
    one = xp.ones_like(squares)
    return xp.sqrt(xp.where(squares > 0, squares / max(m - 1, 1), one))


def _is_partition(splits: list[tuple[Rows, Rows]], n: int) -> bool:
    """Say whether every image is a test image once, and a training image of all other splits."""
    tests = np.concatenate([test for _, test in splits])
    return (
        len(tests) == n
        and len(np.unique(tests)) == n
        and all(len(train) + len(test) == n and not np.isin(train, test).any() for train, test in splits)
    )
