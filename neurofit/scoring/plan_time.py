"""An estimate of a score's time, from a short calibration on this machine: a few images, and a matrix product."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from neurofit.kernel.gram import predicted_cost
from neurofit.kernel.routes import FeaturePlan
from neurofit.scoring.plan_memory import Sizes
from neurofit.subjects.pass_cost import PassTime

PRODUCT_SIDE, PRODUCT_ROUNDS = 768, 3
"""Of the matrix product that is timed: .9 billion operations, some hundredths of a second."""

EFFICIENCY = 0.6
"""Share of that speed at which the mapping computes; docs/raw-width.md: 100 fits of 3,200 images, 25 of 42 GFLOP/s."""

FIT_SECONDS = 0.004
"""Of one fit besides its large products: eigenvectors and small steps of 25 components."""

READ_BYTES_S = 5e8
"""At which kept features are read and compared with their digests."""


@dataclass(frozen=True)
class Speed:
    """What was measured on this machine.

    Parameters
    ----------
    passes : PassTime or None
        None where the network will not be run.
    flops_s : float
        Floating-point operations a second of one thread, float64.
    """

    passes: PassTime | None
    flops_s: float

    def basis(self) -> str:
        """Return in words what the estimate rests on."""
        product = f"a matrix product at {self.flops_s / 1e9:.0f} GFLOP/s on one thread"
        if self.passes is None:
            return f"estimated from {product}"
        images = f"{self.passes.images} images at {1000 * (self.passes.network_s + self.passes.image_s):.0f} ms each"
        return f"estimated from {images} and {product}, as they were just now; other work slows both"


def measured_speed(passes: PassTime | None) -> Speed:
    """Return how fast this machine is now."""
    side = PRODUCT_SIDE
    a = np.random.default_rng(0).standard_normal((side, side))
    best = np.inf
    with threadpool_limits(1):
        for _ in range(PRODUCT_ROUNDS):
            began = time.perf_counter()
            a @ a
            best = min(best, time.perf_counter() - began)
    return Speed(passes, 2 * side**3 / best)


def activation_seconds(speed: Speed, plan: FeaturePlan, shown: int, n_bins: int, stored: bool) -> float:
    """Return how long it takes to have a layer's features.

    Parameters
    ----------
    speed : Speed
        Without passes, they are read from a store.
    plan : FeaturePlan
    shown, n_bins : int
    stored : bool
        Whether the run has a store, for which the images are read once more, to be hashed.
    """
    if speed.passes is None:
        return 4 * shown * plan.columns * n_bins / READ_BYTES_S
    each = speed.passes.network_s + speed.passes.image_s * (2 if stored else 1)
    return shown * each + plan.flops / (speed.flops_s * EFFICIENCY)


def mapping_seconds(speed: Speed, plan: FeaturePlan, sizes: Sizes, threads: int) -> tuple[float, float]:
    """Return how long the fits to the means take, and the refits to the halves of the trials."""
    once, halves = 1, 2 * sizes.n_halvings * sizes.refits
    groups, bins = (1, 1) if sizes.stacked else (len(sizes.runs), sum(sizes.runs))
    N, p, q, k, S = sizes.samples, plan.columns, sizes.neuroids, sizes.components, sizes.n_splits
    left_out = sizes.held_out * (sizes.n_bins if sizes.stacked else 1)
    dual = predicted_cost(N, p, "dual") < predicted_cost(N, p, "primal")
    r = min(N - 1, p) if dual else p
    shared = groups * ((N * N * p + N**3 / 3) * dual + 2 * N * r * r + S * 2 * left_out * r * r)

    def fits(sets: int, precision: float) -> float:
        products = 2 * N * q * r + S * 2 * left_out * q * r
        extraction = S * 2 * (q * q * r + k * (r * r + 2 * q * r))
        return bins * sets * (products + precision * extraction)

    rate = speed.flops_s * EFFICIENCY * threads
    small = FIT_SECONDS * bins * S / threads
    return (shared + fits(once, 1)) / rate + small * once, fits(halves, 0.5) / rate + small * halves
