"""What `neurofit score --plan` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurofit.cli.output import Output

if TYPE_CHECKING:
    from neurofit.scoring.plan import RunPlan


def say_plan(output: Output, plan: RunPlan) -> None:
    """Say what a score will take, stage by stage, and print it as JSON where that was asked for."""
    from neurofit.kernel.routes import size_text

    sizes = plan.sizes
    output.say(
        f"plan: {plan.model}, layer {plan.layer}, on {plan.benchmark} ({plan.region}): {sizes.stimuli:,} images, "
        f"{sizes.presentations:,} presentations, {sizes.neuroids:,} neuroids, {sizes.n_bins} time bins"
    )
    output.say(plan.features.sentence())
    output.say(f"store: {plan.store}")
    output.say()
    output.say(f"{'stage':12} {'memory':>9} {'time':>9}   what")
    loaded = f"libraries, network, recording (at most {size_text(plan.so_far_bytes)} until now)"
    output.say(f"{'loaded':12} {size_text(plan.resident_bytes):>9} {'':>9}   {loaded}")
    for stage in plan.stages:
        output.say(
            f"{stage.name:12} {'+ ' + size_text(stage.memory_bytes):>9} {_time(stage.seconds):>9}   {stage.what}"
        )
    output.say()
    output.say(f"peak memory: about {size_text(plan.peak_bytes)}, of {size_text(plan.limit_bytes)} that it may have")
    free = _free()
    if free is not None:
        output.say(f"free on this machine: {size_text(free)}, beside what is loaded")
    if plan.features.disk_bytes:
        output.say(f"scratch disk: up to {size_text(plan.features.disk_bytes)}")
    if plan.seconds is not None:
        output.say(f"time: about {_time(plan.seconds)}; {plan.estimate}")
    say_changes(output, plan)
    output.emit(plan.as_dict())


def say_changes(output: Output, plan: RunPlan) -> None:
    """Say what is other than was asked for, so that a run fits."""
    from neurofit.kernel.routes import size_text

    if plan.changes:
        output.say(f"to fit {size_text(plan.limit_bytes)}: {'; '.join(plan.changes)}")


def _free() -> int | None:
    """Return the memory that this process can still have; None where the system does not tell."""
    from neurofit.files.machine import memory

    try:
        return memory().free
    except OSError:
        return None


def _time(seconds: float | None) -> str:
    """Write an estimated time with no more digits than it deserves."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
