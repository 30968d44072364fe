"""How gradients go back through the steps of an unroll; what a network computes stays the same.

*Truncation*: a gradient crosses at most K steps of a state. In the biological unroll an image takes a step a layer to
the readout, so that a cut at one moment for all nodes would part the readout from the image wherever K is less than
the depth. Steps are therefore counted for each node by itself, back from the last at which it runs, and what a node
reads of the node before it is never cut. Nodes that wait for each other in a row count the same: step t of a node and
step t + 1 of the next are equally far back.

Each node's steps, so counted, fall into blocks of K + 1. A state, or long-range feedback, that leads from one block
to another is detached. With one loss, at the last step, gradients cross K steps exactly (or as many as there are); a
loss on earlier steps, of a decoder that reads several, starts anywhere in its block and crosses K at most. This is
BPTT(h; h') of Williams and Peng (1990, Neural Computation 2:490) with h' = h = K + 1, counted along the way of the
image. K = 1 already gives every parameter a gradient: the c of a reciprocal gated cell is seen a step later.

*Checkpointing*: each step of each node is a segment of its own, of which inputs and state alone are kept; what is
inside (gates, activations, pooling) is computed again when its gradient is due (Chen et al. 2016, arXiv:1604.06174;
for recurrent networks Gruslys et al. 2016, arXiv:1606.03401, who keep hidden states alone likewise). Segments of many
steps would keep fewer states, and hold all nodes' insides of a whole segment at once: more, up to some 30 steps
(docs/speed.md). A drive that stands for several steps is kept, as without checkpoints, and not computed at each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from neurofit.errors import ConfigurationError


@dataclass(frozen=True)
class Backward:
    """How gradients go back through time.

    Parameters
    ----------
    truncate : int
        Steps of a state that a gradient crosses at most, see `neurofit.models.bptt`; 0 is all.
    checkpoint : bool
        Compute what a node's step keeps for its gradient a second time instead of keeping it. Gradients are the same.

    Raises
    ------
    ConfigurationError
        If truncate is negative.
    """

    truncate: int = 0
    checkpoint: bool = False

    def __post_init__(self) -> None:
        if self.truncate < 0:
            raise ConfigurationError(
                "gradients go back through a number of steps, or through all (0)",
                f"truncate is {self.truncate}",
                "choose 0 or more",
            )


WHOLE = Backward()
"""Through all steps, everything kept."""


@dataclass(frozen=True)
class Blocks:
    """Blocks of steps between which states and feedback carry no gradient.

    Parameters
    ----------
    truncate : int
        K; 0 is a single block.
    last : mapping from node to int
        Step at which each node runs last.
    """

    truncate: int
    last: Mapping[str, int]

    def connected(self, source: str, sent: int, target: str, read: int) -> bool:
        """Return whether a gradient goes from what a node reads at a step to what another, or itself, sent before."""
        return not self.truncate or self._block(source, sent) == self._block(target, read)

    def _block(self, node: str, step: int) -> int:
        # a source that never ran is read at step 0 alone, as the zeros of before
        return (self.last.get(node, step) - step) // (self.truncate + 1)


@dataclass(frozen=True)
class Moment:
    """What matters to gradients of one step of one node.

    Parameters
    ----------
    recorded : bool
        Whether a gradient comes back to it.
    standing : bool
        Whether the next step has the same inputs, and so the same drive.
    state_connected : bool
        Whether gradients go on to the state that it starts from.
    feedback_connected : tuple of bool
        Likewise for each source of long-range feedback.
    """

    recorded: bool = True
    standing: bool = True
    state_connected: bool = True
    feedback_connected: tuple[bool, ...] = ()


def standing_steps(
    stateful: Mapping[str, bool],
    frames: Sequence[Tensor],
    needed: Mapping[str, set[int]],
    feedback: Mapping[str, tuple[str, ...]],
    delay: int,
) -> dict[str, set[int]]:
    """Return the steps of each node whose inputs are the same tensors at its next step.

    Parameters
    ----------
    stateful : mapping from node to bool
        In order from input to readout.
    frames : sequence of T tensors
    needed : mapping from node to set of int
        Steps at which each node runs.
    feedback, delay
        See `neurofit.models.unroll.Wiring`.
    """
    changed: dict[str, set[int]] = {name: set() for name in stateful}

    def renewed(name: str, t: int) -> bool:
        return t in needed[name] and (stateful[name] or t in changed[name])

    for t, frame in enumerate(frames):
        previous = None
        for name in stateful:
            other = frame is not frames[t - 1] if previous is None else renewed(previous, t - delay)
            if t == 0 or other or any(renewed(source, t - 1) for source in feedback.get(name, ())):
                changed[name].add(t)
            previous = name
    return {name: {t for t in steps if t + 1 in steps and t + 1 not in changed[name]} for name, steps in needed.items()}


def recomputed(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function, keeping its arguments alone; it is called again when a gradient comes back to it."""
    # no node draws random numbers, whose state would have to be kept too
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)


def repeatable(node: object) -> bool:
    """Return whether a node may be driven twice with the same input: not while batch norm gathers statistics."""
    parts = node.modules() if isinstance(node, nn.Module) else ()
    return not any(isinstance(part, _BatchNorm) and part.training and part.track_running_stats for part in parts)


def detached(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return a state through which no gradient goes."""
    return tuple(part.detach() for part in state)
