"""Inner products of features that stream by and are too many to hold: the n x n Gram matrix of each time bin.

Letters: n images, p features, T bins, b images of a batch, w features of a block.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas

from neurofit.errors import MappingError, OutputError
from neurofit.kernel.isometric import isometric_features

Array = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

#: Bytes of a centred block of features, n x w in float64, of which one is held at a time.
BLOCK_BYTES = 2**26
#: Up to this many bytes the features of all bins stay in memory instead of on disk.
KEPT_BYTES = 2**28
#: A bin whose features vary less than this share of their magnitude says nothing about the images: rounding of the
#: network alone (the same threshold as in `scoring.predictivity`).
SILENT = 1e-6
#: Rows of the triangle that are mirrored at a time.
MIRRORED_ROWS = 512


class GramStream:
    """Features of n images in T time bins, taken batch by batch; afterwards, their inner products.

    Neither n x p features nor p x p products are ever held in memory. Batches go to a scratch file (one without a
    name where the system allows it, so that nothing is left behind however the program ends), laid out in blocks of
    columns; each block is read back once per Gram matrix, centred over the images, and K += B B'. The columns' means
    are those of the whole block, so that large means cost no digits and the size of the batches changes nothing, not
    even rounding. A bin whose batch equals that of the bin before is stored once, and bins that are equal throughout
    share one Gram matrix.

    Parameters
    ----------
    n, p, n_bins : int
    joint : bool
        Whether `joint_features` will be asked for; sets the width of the blocks.
    folder : path, optional
        Where the scratch file goes; the system's folder for temporary files by default. n p T x 4 bytes at most.
    kept_bytes : int
        Up to this size there is no scratch file: the features stay in memory.
    precision : dtype
        In which the products of a block are formed: float64, or float32 for about half the time (each block is then
        summed up in float64; see docs/raw-width.md for the error).

    Raises
    ------
    OutputError
        If the disk is too full for what may come.
    """

    def __init__(
        self,
        n: int,
        p: int,
        n_bins: int = 1,
        *,
        joint: bool = False,
        folder: Path | None = None,
        kept_bytes: int = KEPT_BYTES,
        precision: npt.DTypeLike = np.float64,
    ) -> None:
        self.n, self.p, self.n_bins = n, p, n_bins
        self._precision = np.dtype(precision)
        width = max(1, BLOCK_BYTES // (8 * n * (n_bins if joint else 1)))
        self._blocks = [slice(start, min(start + width, p)) for start in range(0, p, width)]
        size = scratch_bytes(n, p, n_bins)
        self._store: _Store = _InMemory(n, p) if size <= kept_bytes else _OnDisk(n, p, self._blocks, size, folder)
        self._starts = [0]
        self._slots: list[list[int]] = []  # of each batch: where each bin's rows lie
        self._low, self._high = np.full((n_bins, p), np.inf, np.float32), np.full((n_bins, p), -np.inf, np.float32)

    def __enter__(self) -> GramStream:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the scratch file."""
        self.close()

    def close(self) -> None:
        """Remove the scratch file."""
        self._store.close()

    def add(self, bins: Sequence[npt.NDArray[np.floating]] | npt.NDArray[np.floating]) -> None:
        """Add the next b images: for every bin their features (b, p), kept in float32.

        Raises
        ------
        MappingError
            If shapes do not fit, a feature is not finite or there are more than n images.
        OutputError
            If the disk is full.
        """
        start, shapes = self._starts[-1], {np.shape(rows) for rows in bins}
        count = len(bins[0]) if len(bins) else 0
        if len(bins) != self.n_bins or shapes != {(count, self.p)} or not 0 < count <= self.n - start:
            raise MappingError(
                f"a batch has features (images, {self.p}) for each of {self.n_bins} bins, {self.n} images in all",
                f"after {start} images came {len(bins)} bins of shape {sorted(shapes)}",
                "flatten the layer and give every image once",
            )
        slots: list[int] = []
        low = high = before = np.empty(0, np.float32)
        for t, given in enumerate(bins):
            rows = np.asarray(given, np.float32)
            if t and is_same(rows, before):
                slots.append(slots[-1])
            else:
                low, high = rows.min(axis=0), rows.max(axis=0)
                self._check_finite(low, high, t)
                self._store.write(t, start, rows)
                slots.append(t)
            np.minimum(self._low[t], low, out=self._low[t])
            np.maximum(self._high[t], high, out=self._high[t])
            before = rows
        self._slots.append(slots)
        self._starts.append(start + count)

    @property
    def silent(self) -> npt.NDArray[np.bool_]:
        """Whether the features are the same for all images (T,), up to the rounding of a network."""
        return np.array([self._is_silent(t) for t in range(self.n_bins)])

    def _is_silent(self, t: int) -> bool:
        low, high = self._low[t], self._high[t]
        with np.errstate(over="ignore"):
            return bool((high - low <= SILENT * np.maximum(np.abs(low), np.abs(high))).all())

    @property
    def first_equal(self) -> list[int]:
        """Return for each bin the first one with the same features of all images (T,)."""
        columns = list(zip(*self._slots, strict=True))
        return [columns.index(column) for column in columns]

    def gram(self, t: int) -> Array:
        """Return the inner products (n, n) of the centred features of bin t; zeros if it is silent.

        Raises
        ------
        MappingError
            If images are missing.
        """
        return _mirrored(self._lower_gram([t]))

    def features(self, t: int) -> Array:
        """Return few features (n, at most n - 1) with the inner products of the p centred ones of bin t."""
        if self._is_silent(t):
            return np.empty((self.n, 0))
        return self._factored([t])

    def joint_features(self, dtype: npt.DTypeLike = np.float64) -> npt.NDArray[np.floating]:
        """Return few features (T, n, r) with the inner products of the p ones over all bins and images together.

        The inner products are those of features centred over the distinct samples, of which a silent bin has one.
        What centres again, as regressions do, sees no difference.

        Parameters
        ----------
        dtype : dtype
            Of the result; computed in float64.
        """
        silent, first = self.silent, self.first_equal
        distinct = sorted(set(first))
        sizes = [1 if silent[t] else self.n for t in distinct]
        ends = dict(zip(distinct, np.cumsum(sizes), strict=True))
        found = self._factored(distinct)
        features = np.empty((self.n_bins, self.n, found.shape[1]), dtype)
        for t, own in enumerate(first):
            features[t] = found[ends[own] - (1 if silent[own] else self.n) : ends[own]]
        return features

    def _factored(self, bins: Sequence[int]) -> Array:
        """Few features of the samples of some bins; centred samples have one rank less than their number."""
        gram = self._lower_gram(bins)
        return isometric_features(gram, self._tolerance(), overwrite=True)[0][:, : len(gram) - 1]

    def _lower_gram(self, bins: Sequence[int]) -> Array:
        """Lower triangle (Fortran order) of the Gram matrix of some bins: n samples of each, one of a silent bin."""
        self._check_complete()
        silent = self.silent if len(bins) > 1 else np.zeros(self.n_bins, bool)
        counts = [1 if silent[t] else self.n for t in bins]
        size = sum(counts)
        unit = self._unit(bins)
        product = blas.dsyrk if self._precision == np.float64 else blas.ssyrk
        gram = np.zeros((size, size), order="F")
        for number, block in enumerate(self._blocks):
            values = np.empty((size, block.stop - block.start), np.float32)
            begin = 0
            for t, count in zip(bins, counts, strict=True):
                for start, part in self._read(number, t):
                    stop = min(start + len(part), count)
                    values[begin + start : begin + stop] = part[: max(stop - start, 0)]
                begin += count
            centred = np.empty(values.shape, self._precision)
            np.subtract(values, values.mean(axis=0, dtype=np.float64), out=centred, casting="same_kind")
            centred *= 1 / unit
            if self._precision == np.float64:
                gram = product(1.0, centred.T, beta=1.0, c=gram, trans=1, lower=1, overwrite_c=1)
            else:
                gram += product(1.0, centred.T, trans=1, lower=1)
        gram *= unit**2
        return gram

    def _read(self, number: int, t: int) -> Iterator[tuple[int, Single]]:
        """Yield a bin's rows of a block of columns, in runs that lie together: first row, and rows."""
        begin = 0
        for batch, slots in enumerate(self._slots):
            last = batch == len(self._slots) - 1
            if last or self._slots[batch + 1][t] != slots[t]:
                stop = self._starts[batch + 1]
                yield begin, self._store.read(slots[t], begin, stop, self._blocks[number])
                begin = stop

    def _unit(self, bins: Sequence[int]) -> float:
        """Power of two near the largest feature, so that products stay in the range of single precision."""
        peak = max(float(np.abs(side[list(bins)]).max()) for side in (self._low, self._high))
        return float(2.0 ** np.frexp(peak)[1])

    def _tolerance(self) -> float | None:
        """Share of the largest squared norm that is rounding where products are formed in single precision."""
        return None if self._precision == np.float64 else 4 * float(np.finfo(np.float32).eps)

    def _check_finite(self, low: Single, high: Single, t: int) -> None:
        with np.errstate(invalid="ignore"):
            bad = ~(np.isfinite(low) & np.isfinite(high))
        if bad.any():
            raise MappingError(
                "features are finite",
                f"{int(bad.sum())} of {self.p} are not in bin {t}, the first is number {int(np.argmax(bad))}",
                "check the network's weights and preprocessing",
            )

    def _check_complete(self) -> None:
        if self._starts[-1] != self.n:
            raise MappingError(
                f"a Gram matrix is of all {self.n} images", f"{self._starts[-1]} were added", "add the others first"
            )


class _Store(Protocol):
    """Features (n, p) in slots, written by rows and read by blocks of columns."""

    def write(self, slot: int, start: int, rows: Single) -> None:
        """Store rows from `start` on."""

    def read(self, slot: int, start: int, stop: int, block: slice) -> Single:
        """Return rows of a block of columns."""

    def close(self) -> None:
        """Forget everything."""


class _InMemory:
    """Slots as arrays, made when they are first written."""

    def __init__(self, n: int, p: int) -> None:
        self._shape = (n, p)
        self._slots: dict[int, Single] = {}

    def write(self, slot: int, start: int, rows: Single) -> None:
        if slot not in self._slots:
            self._slots[slot] = np.empty(self._shape, np.float32)
        self._slots[slot][start : start + len(rows)] = rows

    def read(self, slot: int, start: int, stop: int, block: slice) -> Single:
        return self._slots[slot][start:stop, block]

    def close(self) -> None:
        self._slots.clear()


class _OnDisk:
    """Slots in one temporary file, block of columns after block of columns."""

    def __init__(self, n: int, p: int, blocks: list[slice], size: int, folder: Path | None) -> None:
        self._n, self._p, self._blocks = n, p, blocks
        self._folder = Path(tempfile.gettempdir() if folder is None else folder)
        try:
            free = shutil.disk_usage(self._folder).free
            if free < size:
                raise self._unusable(f"{free / 2**30:.1f} GiB are free, {size / 2**30:.1f} GiB may be needed")
            self._file = tempfile.TemporaryFile(prefix="neurofit-features-", buffering=0, dir=self._folder)  # noqa: SIM115
        except OSError as error:
            raise self._unusable(str(error)) from error

    def write(self, slot: int, start: int, rows: Single) -> None:
        try:
            for block in self._blocks:
                self._file.seek(self._offset(slot, start, block))
                left = _bytes(np.ascontiguousarray(rows[:, block]))
                while len(left):
                    left = left[self._file.write(left) :]
        except OSError as error:
            raise self._unusable(str(error)) from error

    def read(self, slot: int, start: int, stop: int, block: slice) -> Single:
        rows = np.empty((stop - start, block.stop - block.start), np.float32)
        left = _bytes(rows)
        try:
            self._file.seek(self._offset(slot, start, block))
            while len(left):
                got = self._file.readinto(left)
                if not got:
                    raise self._unusable(f"{len(left)} of {rows.nbytes} bytes did not come back")
                left = left[got:]
        except OSError as error:
            raise self._unusable(str(error)) from error
        return rows

    def close(self) -> None:
        self._file.close()

    def _offset(self, slot: int, start: int, block: slice) -> int:
        return 4 * (slot * self._n * self._p + self._n * block.start + start * (block.stop - block.start))

    def _unusable(self, found: str) -> OutputError:
        return OutputError(
            "the scratch folder holds the features of a wide layer for a while",
            f"{self._folder}: {found}",
            "make room or name another folder (--scratch), or project the layer (--features projected)",
        )


def scratch_bytes(n: int, p: int, n_bins: int) -> int:
    """Bytes of the features (n, p) of all bins in float32."""
    return 4 * n * p * n_bins


def _bytes(array: Single) -> memoryview:
    return array.view(np.uint8).reshape(-1).data


def is_same(a: Single, b: Single) -> bool:
    """Whether two arrays hold the same numbers; at once where they are the same memory."""
    if a.__array_interface__["data"] == b.__array_interface__["data"] and a.strides == b.strides:
        return True
    return bool(np.array_equal(a[:1], b[:1]) and np.array_equal(a, b))


def _mirrored(lower: Array) -> Array:
    """Fill the upper triangle from the lower, in place."""
    for start in range(0, len(lower), MIRRORED_ROWS):
        stop = min(start + MIRRORED_ROWS, len(lower))
        square = lower[start:stop, start:stop]
        square[...] = np.tril(square) + np.tril(square, -1).T
        lower[start:stop, stop:] = lower[stop:, start:stop].T
    return lower
