"""Seeded arrays for the speed of the mapping and of the split-half reliability, and how many operations a job takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from neurofit.kernel.reliability import halve, halvings_by_repetition

Array = npt.NDArray[np.floating]
Rows = npt.NDArray[np.intp]
Unit = tuple[int, int]
Partition = Literal["folds", "random"]

#: What features and responses have in common: this many latents, whose strength falls as the root of their number.
LATENTS = 200
#: Share of images held out in a random split.
HELD_OUT = 0.25
#: With it `halvings_by_repetition` draws what Brain-Score's ceiling draws.
BRAIN_SCORE_SEED = 1


@dataclass(frozen=True)
class Sizes:
    """How large the arrays of a job are. The default is one layer of a network and one region of temporal IT data.

    Parameters
    ----------
    images, features, neuroids, bins, splits, components : int
        n, p, q, T, S, k.
    halvings : int
        Of the trials; the mapping is refitted to both halves of each in every split.
    seed : int
    """

    images: int = 5760
    features: int = 1000
    neuroids: int = 168
    bins: int = 20
    splits: int = 10
    components: int = 25
    halvings: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Problem:
    """Features, targets and splits, all float64; every contender ends in Pearson's r on the test images.

    Attributes
    ----------
    X : array (n, p)
    Y : array (T, n, q)
        Trial means, one target set a bin.
    halves : tuple of array (H T, n, q), or None
        Means over the halves of the trials; set h T + t is bin t of halving h. With halves, the mapping's consistency
        is wanted too: r between the predictions of the mappings refitted to both.
    splits : list of (train, test)
        Row numbers.
    components : int
    folds : bool
        Whether the test sets are a partition of the images.
    """

    X: Array
    Y: Array
    halves: tuple[Array, Array] | None
    splits: list[tuple[Rows, Rows]]
    components: int
    folds: bool

    @cached_property
    def fold_of(self) -> npt.NDArray[np.intp]:
        """Return the number of the split (n,) in which an image is tested."""
        fold = np.empty(len(self.X), np.intp)
        for s, (_, test) in enumerate(self.splits):
            fold[test] = s
        return fold

    @property
    def n_sets(self) -> int:
        """Target sets among which units are counted: halvings x bins, or bins."""
        return len(self.Y) if self.halves is None else len(self.halves[0])

    @property
    def n_fits(self) -> int:
        """Fits of the whole job."""
        refits = 0 if self.halves is None else 2 * len(self.halves[0])
        return (len(self.Y) + refits) * len(self.splits)

    def share(self, units: list[Unit]) -> float:
        """Return the part of all fits that these units (set, split) are: one fit each, or the two of a halving."""
        return len(units) * (1 if self.halves is None else 2) / self.n_fits

    def operations(self) -> float:
        """Count the floating-point operations that the job takes at least.

        With n images, r shared features (p, or n - 1 where p is larger), q neuroids, B target sets and k components,
        by "improved kernel PLS 2" on statistics that splits share:

        - covariance n r^2 (half of a symmetric product is enough) and cross-products 2 n r q B, once over the folds;
          random splits take the same of their test images once more;
        - a fit: r q^2 for G = S S', and per component 2 r^2 (u = C w), 6 r q (w = S'c, h = S p, S -= q p') and 6 q^2
          (G -= q h' + h q', q = G c); making w conjugate twice adds 4 r k^2. Iterations for c are not counted;
        - its score: 2 m r k for the test scores, and m k^2 + 2 m k q + 2 k^2 q for r without predictions (m test
          images); between two halves m k^2 in place of m k q;
        - with more features than images, n^2 p for the inner products of images and n^3 / 3 for their factor.

        Additions and multiplications count one each.
        """
        (n, p), q, k = self.X.shape, self.Y.shape[2], self.components
        r = min(p, n - 1)
        sets = self.n_fits // len(self.splits)
        tested = np.array([len(test) for _, test in self.splits], float)
        statistics = r**2 + 2 * r * q * sets
        total = n * statistics + (0 if self.folds else tested.sum() * statistics)
        fit = r * q**2 + k * (2 * r**2 + 6 * r * q + 6 * q**2) + 4 * r * k**2
        total += self.n_fits * fit + sets * (2 * r * k + k**2) * tested.sum()
        total += len(self.Y) * (2 * k * q * tested.sum() + 2 * k**2 * q * len(tested))
        if self.halves is not None:
            total += len(self.halves[0]) * (2 * k**2 * tested.sum() + 6 * k**2 * q * len(tested))
        return float(total + (n**2 * p + n**3 / 3 if p > n else 0))


def make_problem(sizes: Sizes, partition: Partition = "folds", refits: bool = False) -> Problem:
    """Return rectified features of falling strength, and other mixtures of their latents with noise in every bin.

    Parameters
    ----------
    sizes : Sizes
    partition : {"folds", "random"}
        Shuffled k-fold cross-validation, or random splits with a quarter of the images held out.
    refits : bool
        Whether there are half-trial means. Their noise is of opposite sign, so that they average to the trial mean.
    """
    rng = np.random.default_rng(sizes.seed)
    n, n_latents = sizes.images, min(LATENTS, sizes.features)
    latents = rng.standard_normal((n, n_latents)) * np.arange(1, n_latents + 1) ** -0.5
    X = latents @ rng.standard_normal((n_latents, sizes.features))
    X += 0.5 * rng.standard_normal(X.shape)
    np.maximum(X, 0, out=X)
    Y = np.empty((sizes.bins, n, sizes.neuroids))
    for one in Y:
        one[:] = latents @ rng.standard_normal((n_latents, sizes.neuroids))
        one /= one.std(axis=0)
        one += rng.standard_normal(one.shape)
    halves = None
    if refits:
        halves = tuple(np.empty((sizes.halvings * sizes.bins, n, sizes.neuroids)) for _ in range(2))
        for b, (first, second) in enumerate(zip(*halves, strict=True)):
            noise = rng.standard_normal(first.shape)
            np.add(Y[b % sizes.bins], noise, out=first)
            np.subtract(Y[b % sizes.bins], noise, out=second)
    splits = list(_folds(n, sizes.splits, rng) if partition == "folds" else _random_splits(n, sizes.splits, rng))
    return Problem(X, Y, halves, splits, sizes.components, partition == "folds")


def _folds(n: int, n_splits: int, rng: np.random.Generator) -> Iterator[tuple[Rows, Rows]]:
    order = rng.permutation(n)
    for test in np.array_split(order, n_splits):
        yield np.setdiff1d(order, test), np.sort(test)


def _random_splits(n: int, n_splits: int, rng: np.random.Generator) -> Iterator[tuple[Rows, Rows]]:
    for _ in range(n_splits):
        train, test = np.split(rng.permutation(n), [n - round(HELD_OUT * n)])
        yield np.sort(train), np.sort(test)


@dataclass(frozen=True)
class Trials:
    """Responses to repeated stimuli; the halves' means are correlated for every halving.

    Attributes
    ----------
    values : array (n R, q)
        float32, a common signal plus noise of twice its spread; the trials of a stimulus lie next to each other.
    stimulus, repetition : array of int (n R,)
    halvings : array of bool (H, n R)
        The first halves, all of the same size.
    """

    values: Array
    stimulus: Rows
    repetition: Rows
    halvings: npt.NDArray[np.bool_]


def make_trials(shape: tuple[int, int, int], n_halvings: int, alike: bool, seed: int = 0) -> Trials:
    """Return responses of the shape (n, R, q) and halvings of their trials.

    Parameters
    ----------
    shape : tuple of int
        R is even.
    n_halvings : int
    alike : bool
        Whether a halving divides the trials of all stimuli alike, as Brain-Score's do, or each stimulus' own.
    seed : int
    """
    rng = np.random.default_rng(seed)
    n, n_trials, q = shape
    values = rng.standard_normal(shape, np.float32)
    values *= 2
    values += rng.standard_normal((n, 1, q), np.float32)
    stimulus, repetition = (indices.ravel() for indices in np.indices((n, n_trials)))
    if alike:
        drawn = list(halvings_by_repetition(repetition, n_halvings, BRAIN_SCORE_SEED))
    else:
        drawn = [halve(stimulus, rng) for _ in range(n_halvings)]
    return Trials(values.reshape(-1, q), stimulus, repetition, np.stack(drawn))
