"""What the stages of a score hold in memory at most, from the sizes of the problem.

Letters: n stimuli, P presentations, p units, k columns that are kept of them, T time bins, q neuroids, S splits,
H halvings, r features that the mapping works on. docs/planning.md holds the sums against what runs really take.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from neurofit.kernel import held_out, pls
from neurofit.kernel.gram import predicted_cost
from neurofit.kernel.gram_stream import BLOCK_BYTES
from neurofit.kernel.routes import BLOCK_COPIES, EXTREMES, GRAM_COPIES, FeaturePlan
from neurofit.subjects.pass_cost import PassMemory

LIBRARIES_BYTES = 70 * 2**20
"""What is loaded after a plan is made: code of the mapping, and matplotlib for the figure; measured: 50 to 80 MiB."""


@dataclass(frozen=True)
class Sizes:
    """Numbers that decide what a score takes.

    Parameters
    ----------
    stimuli : int
        n of the recording, to which features are aligned.
    shown : int
        Images that the network sees.
    presentations, neuroids, n_bins, n_splits, n_halvings : int
        P, q, T, S, H; H is 0 where nothing is halved.
    held_out : int
        Stimuli that a split leaves out.
    components : int
    stacked : bool
        One mapping for all bins.
    refits : bool
        Whether the mapping is fitted to the halves too.
    runs : tuple of int
        Lengths of the runs of bins in which the source is the same, which share their fits.
    recording_bytes : int
    contiguous : bool
        Whether the recording lies in memory as its dimensions are ordered.
    """

    stimuli: int
    shown: int
    presentations: int
    neuroids: int
    n_bins: int
    n_splits: int
    n_halvings: int
    held_out: int
    components: int
    stacked: bool
    refits: bool
    runs: tuple[int, ...]
    recording_bytes: int
    contiguous: bool

    @property
    def responses(self) -> int:
        """Bytes of the trial means of all stimuli, in float64."""
        return 8 * self.stimuli * self.neuroids * self.n_bins

    @property
    def samples(self) -> int:
        """Rows of one mapping."""
        return self.stimuli * (self.n_bins if self.stacked else 1)


def recording_bytes(
    plan: FeaturePlan, sizes: Sizes, passes: PassMemory | None, batch: int, averages: bool = False
) -> int:
    """Return what the network's activations and what is kept of them take.

    Parameters
    ----------
    plan : FeaturePlan
    sizes : Sizes
    passes : PassMemory or None
        None where the features come from a store.
    batch : int
    averages : bool
        Whether a bin is the mean of several steps.
    """
    kept = 4 * sizes.shown * plan.columns * sizes.n_bins
    if passes is None:
        return kept + 2 * min(kept, BLOCK_BYTES)
    count = min(batch, sizes.shown)
    network = passes.peak(count, -(-sizes.shown // count))
    batch_bins = 4 * count * plan.units * (sizes.n_bins if averages else 1)
    streaming = network + batch_bins
    if plan.route != "dual":
        return kept + streaming
    held = plan.kept_bytes + EXTREMES * 4 * plan.units * sizes.n_bins
    rows = sizes.shown * (sizes.n_bins if sizes.stacked else 1)
    gram = 8 * rows * rows * GRAM_COPIES
    # rows of the block as they are read, and centred
    block = min(max(BLOCK_BYTES, 8 * rows), 8 * rows * plan.units) * BLOCK_COPIES
    ends = kept + block + gram + passes.output_bytes * count
    return held + max(streaming, ends)


def aligning_bytes(plan: FeaturePlan, sizes: Sizes) -> int:
    """Return what bringing features and recording together takes: averages, copies in order, bins first."""
    recorded = 4 * sizes.shown * plan.columns * sizes.n_bins
    source = 4 * sizes.stimuli * plan.columns * sizes.n_bins
    # means over repetitions: a copy in float64, the sums in float64, and, where it is not in order, the recording
    own = recorded + 4 * recorded
    averaging = (2 + (not sizes.contiguous)) * sizes.recording_bytes + sizes.responses
    other = recorded + source + averaging
    ordered = recorded + 2 * source + _trials(sizes) + 2 * sizes.responses
    return max(own, other, ordered)


def mapping_bytes(plan: FeaturePlan, sizes: Sizes, threads: int) -> int:
    """Return what PLS takes with what is kept beside it: features, their order by bins, responses, trials."""
    recorded = 4 * sizes.shown * plan.columns * sizes.n_bins
    source = 4 * sizes.stimuli * plan.columns * sizes.n_bins
    beside = recorded + source + 3 * sizes.responses // 2 + _trials(sizes)
    if sizes.stacked:
        return beside + _group(plan, sizes, sizes.n_bins, threads)
    several = len(sizes.runs) >= 4 * threads
    largest = sorted(sizes.runs)[-threads if several else -1 :]
    return beside + sum(_group(plan, sizes, bins, 1 if several else threads) for bins in largest)


def _group(plan: FeaturePlan, sizes: Sizes, bins: int, threads: int) -> int:
    """Return what the splits and refits of one group of bins share, and what the threads that work on it hold."""
    N, q, S, p = sizes.samples, sizes.neuroids, sizes.n_splits, plan.columns
    dual = predicted_cost(N, p, "dual") < predicted_cost(N, p, "primal")
    r = min(N - 1, p) if dual else p
    features = 8 * N * r
    # targets of all bins, the two halves of every halving, and these apart
    stimuli = N if sizes.stacked else sizes.stimuli * bins
    targets = 8 * stimuli * q * (1 + 4 * sizes.n_halvings)
    chosen = 4 * sizes.stimuli * p * bins
    forming = 2 * 8 * N * N if dual else 8 * N * p
    left_out = 8 * sizes.held_out * (bins if sizes.stacked else 1) * r
    statistics = 8 * r * r + left_out
    keeps = S * 8 * r * r <= held_out.KEPT_BYTES
    trained = statistics * (S if keeps else min(threads, S))
    sets = max(2 * sizes.n_halvings * sizes.refits, 1) * (1 if sizes.stacked else bins)
    cross = min(max(pls.CHUNK_BYTES, 8 * q * r * (1 + (sets > 1))), 8 * q * r * sets)
    in_part = max(1, cross // (8 * q * r))
    values = 8 * in_part * q * N * (3 if sets > 1 else 2)
    # of one split: the difference of covariances while it is formed, the same in single precision, cross-products
    working = 2 * 8 * r * r + cross + 8 * in_part * (q * q + 4 * sizes.components * r)
    fitting = 2 * features + 8 * r * r + trained + (S + 1) * cross + values + min(threads, S) * working
    return chosen + targets + max(forming + features, fitting)


def _trials(sizes: Sizes) -> int:
    """Bytes of the single trials, bin by bin."""
    return sizes.recording_bytes if sizes.n_halvings else 0


def resident_bytes() -> tuple[int, int]:
    """Return what this process has in memory now, and what it had at most; equal where the system does not tell."""
    peak = _largest()
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - no file, and read at once
            pages = int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return peak, peak
    return pages * _page(), peak


def _largest() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _page() -> int:
    import mmap

    return mmap.PAGESIZE
