"""How a layer's features are kept: as they are, as exact inner products, or projected. Decided before anything runs.

Letters: n images, p units, T time bins, k columns kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from neurofit.errors import ConfigurationError, UnknownNameError
from neurofit.kernel.gram_stream import BLOCK_BYTES, KEPT_BYTES, scratch_bytes

Route = Literal["raw", "dual", "projected"]
Basis = Literal["units", "shared", "per-bin", "correlation"]
"""What the features may be: the units themselves, any basis with the same inner products, or one such for each bin;
or such a basis for each bin of what `kernel.rdm.unit_patterns` makes of every image's units."""

#: Memory that a run may use where the user says nothing: a laptop's half.
MEMORY_BYTES = 2**33
#: Copies of the features that are alive at once when they are averaged over repetitions (recorded; as float64 before
#: and after, which count twice), and when they are mapped (recorded, aligned, laid out bin by bin). Measured: 1,500
#: images and 10 bins took .45 GiB, .42 GiB were predicted.
AVERAGED_COPIES, MAPPED_COPIES = 5, 3
#: r x r numbers in float64 that one thread of the mapping works on, beside its n x r features.
MAPPING_COPIES = 5
#: Copies of the network's activations of a batch: on the device, as an array, one bin of it averaged.
BATCH_COPIES = 3
#: Numbers in float32 that a stream keeps of every unit in every bin: least and largest activation.
EXTREMES = 2
#: n x n numbers in float64 at once while a Gram matrix is formed and factored, and blocks of features beside it.
GRAM_COPIES, BLOCK_COPIES = 2, 2


@dataclass(frozen=True)
class Demand:
    """What is asked of one layer.

    Parameters
    ----------
    n : int
        Images.
    p : int
        Units of the layer.
    n_bins : int
        T.
    basis : str
        What the mapping allows: 'per-bin' where each bin has a mapping of its own that sees inner products only
        (unscaled PLS, ridge regression), 'shared' where one such mapping serves all bins, 'units' where the units
        themselves matter, 'correlation' where correlations of images over the units do.
    max_features : int
        Units above which a layer is not kept as it is, and to which it is projected.
    batch_bytes : int
        Activations of one batch.

    Raises
    ------
    UnknownNameError
        If there is no such basis.
    """

    n: int
    p: int
    n_bins: int
    basis: Basis
    max_features: int
    batch_bytes: int = 0

    def __post_init__(self) -> None:
        if self.basis not in get_args(Basis):
            raise UnknownNameError("basis of features", self.basis, get_args(Basis))


@dataclass(frozen=True)
class FeaturePlan:
    """How the features of a layer will be kept.

    Parameters
    ----------
    route : str
        'raw' (primal: p features), 'dual' (exact: at most n - 1 features with the same inner products, from the Gram
        matrix of the stream) or 'projected' (an approximation: sparse random projection).
    why : str
        The reason, in a clause.
    units, columns : int
        p, and k at most.
    memory_bytes : int
        Predicted peak, from recording to the mapping by one thread.
    result_bytes : int
        What the recorded features occupy.
    disk_bytes : int
        Predicted scratch space at most; bins in which nothing changed need none.
    flops : float
        Floating-point operations of the reduction at most.
    kept_bytes : int
        Memory of activations that stay until all layers of a pass are recorded, where that takes no disk.
    """

    route: Route
    why: str
    units: int
    columns: int
    memory_bytes: int
    result_bytes: int
    disk_bytes: int
    flops: float
    kept_bytes: int = 0

    def sentence(self) -> str:
        """Return the plan in words."""
        how = {
            "raw": "as they are",
            "dual": "exact by the Gram matrix (dual)",
            "projected": f"projected at random to {self.columns:,} (approximate)",
        }[self.route]
        disk = f", {size_text(self.disk_bytes)} scratch disk" if self.disk_bytes else ""
        return f"features: {self.units:,} units, {how}: {size_text(self.memory_bytes)} memory{disk}; {self.why}"


def plan_features(
    demand: Demand, wanted: Route | None = None, *, memory_bytes: int = MEMORY_BYTES, disk_bytes: int | None = None
) -> FeaturePlan:
    """Choose how to keep the features of a layer.

    Parameters
    ----------
    demand : Demand
    wanted : str, optional
        A route that the user insists on. By default 'raw' up to `max_features` units or where there are fewer units
        than images, otherwise 'dual' where the mapping allows it and it fits, otherwise 'projected'.
    memory_bytes : int
        What may be used.
    disk_bytes : int, optional
        Free scratch space; not limited by default.

    Raises
    ------
    ConfigurationError
        If the route does not fit, or is not exact for the mapping.
    """
    plans = {route: _planned(demand, route) for route in ("raw", "dual", "projected")}
    obstacles = {route: _obstacle(plan, demand, memory_bytes, disk_bytes) for route, plan in plans.items()}
    if wanted == "projected" and demand.p <= demand.max_features:
        wanted = "raw"  # there is nothing to project
    if wanted is not None:
        return _granted(plans[wanted], obstacles[wanted], "asked for")
    if demand.p <= demand.max_features:
        return _granted(plans["raw"], obstacles["raw"], f"at most {demand.max_features:,} units")
    if demand.p < demand.n and not obstacles["raw"]:
        return _granted(plans["raw"], "", f"fewer units than the {demand.n:,} images")
    if not obstacles["dual"]:
        return _granted(plans["dual"], "", f"more units than the {demand.max_features:,} that are kept as they are")
    return _granted(plans["projected"], obstacles["projected"], f"not exact because {obstacles['dual']}")


def plan_layers(
    demands: Mapping[str, Demand],
    wanted: Route | None = None,
    *,
    memory_bytes: int = MEMORY_BYTES,
    disk_bytes: int | None = None,
) -> dict[str, FeaturePlan]:
    """Choose for several layers that are recorded in one pass and share memory and disk, narrow ones first.

    Parameters
    ----------
    demands : mapping from layer to Demand
    wanted, memory_bytes, disk_bytes
        See `plan_features`.

    Raises
    ------
    ConfigurationError
        See `plan_features`.
    """
    plans: dict[str, FeaturePlan] = {}
    for layer in sorted(demands, key=lambda name: demands[name].p):
        plan = plan_features(demands[layer], wanted, memory_bytes=memory_bytes, disk_bytes=disk_bytes)
        memory_bytes -= plan.result_bytes + plan.kept_bytes
        disk_bytes = None if disk_bytes is None else disk_bytes - plan.disk_bytes
        plans[layer] = plan
    return {layer: plans[layer] for layer in demands}


def size_text(size: float) -> str:
    """Write a number of bytes as a person would: '1.1 GiB', '35 MiB'."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{-(-size // 2**20):.0f} MiB"


def _planned(demand: Demand, route: Route) -> FeaturePlan:
    n, p, T = demand.n, demand.p, demand.n_bins
    samples = n * T if demand.basis == "shared" else n
    working, disk, kept, flops = demand.batch_bytes * BATCH_COPIES, 0, 0, 0.0
    if route == "raw":
        columns = p
    elif route == "projected":
        columns = min(p, demand.max_features)
        flops = 2.0 * n * T * p**0.5 * columns
    else:
        columns = min(p, max(samples - 1, 1))  # one image: a column of zeros
        stored = scratch_bytes(n, p, T)
        disk, kept = (0, stored) if stored <= KEPT_BYTES else (stored, 0)
        block = max(BLOCK_BYTES, 8 * samples) * BLOCK_COPIES
        factored = 8 * samples**2 * GRAM_COPIES
        working = kept + EXTREMES * 4 * p * T + max(working, block + factored)
        flops = float(samples**2 * p * (1 if demand.basis == "shared" else T))
    result = 4 * n * columns * T
    rank = min(columns, samples - 1)
    mapping = 8 * (samples * rank + MAPPING_COPIES * rank**2)
    # what is copied and mapped was collected before
    memory = max(result + working, AVERAGED_COPIES * result, MAPPED_COPIES * result + mapping)
    return FeaturePlan(route, "", p, columns, memory, result, disk, flops, kept)


def _obstacle(plan: FeaturePlan, demand: Demand, memory_bytes: int, disk_bytes: int | None) -> str:
    """Say why a plan cannot be carried out; nothing if it can."""
    if plan.route == "dual" and demand.basis == "units":
        return "the mapping sees the units themselves, not their inner products alone"
    if plan.memory_bytes > memory_bytes:
        return f"it needs {size_text(plan.memory_bytes)} of {size_text(max(memory_bytes, 0))} memory"
    if disk_bytes is not None and plan.disk_bytes > disk_bytes:
        return f"it needs {size_text(plan.disk_bytes)} of {size_text(max(disk_bytes, 0))} scratch disk"
    return ""


def _granted(plan: FeaturePlan, obstacle: str, why: str) -> FeaturePlan:
    if obstacle:
        raise ConfigurationError(
            "the features fit their mapping, the memory and the scratch disk",
            f"'{plan.route}' features of {plan.units:,} units: {obstacle}",
            "allow more (--memory, --scratch), take other --features, or ask for fewer bins or a smaller batch",
        )
    return FeaturePlan(**{**vars(plan), "why": why})
