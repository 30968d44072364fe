"""Unrolling a network in time, without computing anything twice or in vain.

The *biological* unroll takes one layer per step: at step t every node reads its predecessor's output of step t - 1
(zeros at t = 0), and the first node reads frame t; so layer l first sees an image l - 1 steps after it appears. The
*deep* unroll makes a full forward sweep per step. Long-range feedback is of step t - 1 in both
(neuroailab/convrnns @ b76a44d, utils/main.py, `unroll` and `unroll_tf`).

Four things are saved, none of which changes a result:

- a node whose inputs are the very tensors of the step before keeps its drive, and its output too if it has no memory;
- a node does not run at steps that cannot reach what was asked for, through later nodes or through its own state;
- what is the same for all images, since none has arrived yet or since the frame is one blank for all, runs once;
- convolutions that read the same tensor run as one (`neurofit.models.layers.together`).

How gradients go back, and what is kept for them, is in `neurofit.models.bptt`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from neurofit.models.bptt import WHOLE, Backward, Blocks, Moment, detached, recomputed, repeatable, standing_steps
from neurofit.models.cells import Drive, Kernels, State

Shape = tuple[int, ...]
Keep = Callable[[Tensor, State], Tensor]
Connected = Callable[[str, int, str, int], bool]
_ALL_KEPT = Moment()


class SteppedNode(Protocol):
    """What is unrolled: a node with a drive and a step (see `neurofit.models.cells`)."""

    def stateful(self) -> bool:
        """Return whether a step depends on the step before."""

    def kernels(self) -> Kernels:
        """Return what the parameters alone determine."""

    def drive(self, node_input: Tensor, feedback: Sequence[Tensor] = (), kernels: Kernels = None) -> Drive:
        """Return what the input, and feedback of one map a source, determine."""

    def step(self, drive: Drive, state: State | None) -> tuple[Tensor, State]:
        """Return output and new state; None is the state before the first step."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the output's shape for an input (C, H, W)."""


@dataclass(frozen=True)
class Wiring:
    """How nodes are connected, besides each to the next.

    Parameters
    ----------
    feedback : mapping from target to sources
        Names of nodes.
    delay : int
        Steps from a node to the next: 1 in the biological unroll, 0 in the deep one.
    """

    feedback: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    delay: int = 1


def output_of(output: Tensor, state: State) -> Tensor:
    """Keep a node's output."""
    return output


def state_of(output: Tensor, state: State) -> Tensor:
    """Keep a node's state, all parts of it concatenated along the channels."""
    return torch.cat([part.expand(max(p.shape[0] for p in state), *part.shape[1:]) for part in state], dim=1)


def unroll(
    nodes: Mapping[str, SteppedNode],
    frames: Sequence[Tensor],
    layers: Collection[str],
    steps: Sequence[int],
    wiring: Wiring | None = None,
    keep: Keep = output_of,
    backward: Backward = WHOLE,
) -> dict[str, Tensor]:
    """Run a chain of nodes over T frames.

    Parameters
    ----------
    nodes : mapping from name to node
        In order from input to readout.
    frames : sequence of T tensors (B, 3, H, W)
    layers : collection of str
        Nodes of which something is kept.
    steps : sequence of int
        Ascending steps that are kept.
    wiring : Wiring, optional
        The biological unroll without feedback by default.
    keep : callable
        What is kept of a node's output and state; the output by default.
    backward : Backward
        How gradients go back; through all steps by default.

    Returns
    -------
    dict from layer to tensor (B, len(steps), ...)
    """
    wiring = wiring or Wiring()
    batch = max(frame.shape[0] for frame in frames)
    frames = _one_for_all(frames)
    kept: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    running = {name: _Running(node, backward.checkpoint) for name, node in nodes.items()}
    stateful = {name: run.stateful for name, run in running.items()}
    needed = needed_steps(stateful, layers, steps, wiring)
    moment = _moments(frames, stateful, needed, (layers, steps), wiring, backward)
    before = _zero_outputs(nodes, frames[0])
    for t in range(steps[-1] + 1):
        now: dict[str, Tensor] = {}
        previous = None
        for name, run in running.items():
            if t in needed[name]:
                node_input = frames[t] if previous is None else (before if wiring.delay else now)[previous]
                feedback = tuple(before[source] for source in wiring.feedback.get(name, ()))
                now[name] = run.advance((node_input, *feedback), moment(name, t))
                if name in kept and t in steps:
                    kept[name].append(keep(now[name], run.state))
            previous = name
        before |= now
    return {name: torch.stack([o.expand(batch, *o.shape[1:]) for o in outs], 1) for name, outs in kept.items()}


class _Running:
    """A node in one unroll: its state, and what it was last driven with.

    Parameters
    ----------
    node : SteppedNode
    checkpoint : bool
        Whether it computes again in the backward pass what it would keep for it.
    """

    def __init__(self, node: SteppedNode, checkpoint: bool) -> None:
        self.node, self.stateful, self.kernels = node, node.stateful(), node.kernels()
        self.state: State = ()
        self._recomputes, self._repeatable = checkpoint and torch.is_grad_enabled(), repeatable(node)
        self._inputs: tuple[Tensor, ...] = ()
        self._connected: tuple[bool, ...] = ()
        self._drive: Drive = None
        self._output: Tensor | None = None

    def advance(self, inputs: tuple[Tensor, ...], moment: Moment) -> Tensor:
        """Advance one step with the node's input and its feedback; return the output."""
        connected = moment.feedback_connected
        if connected != self._connected or not _same(inputs, self._inputs):
            self._inputs, self._connected, self._drive = inputs, connected, None
        elif self._output is not None and not self.stateful:
            return self._output
        state = (self.state or None) if self.stateful else None
        if state is not None and not moment.state_connected:
            state = detached(state)
        given = (self.node, self.kernels, inputs, connected)
        if self._drive is None and self._recomputes and not self._repeatable:
            self._drive = _driven(*given)
        elif self._drive is None and self.stateful and moment.standing:
            self._drive = self._called(_driven, *given)
        with torch.set_grad_enabled(torch.is_grad_enabled() and (moment.recorded or not self.stateful)):
            if self._drive is None:
                self._output, self.state = self._called(_driven_step, *given, state)
            else:
                self._output, self.state = self._called(self.node.step, self._drive, state)
        return self._output

    def _called(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return recomputed(function, *arguments) if self._recomputes else function(*arguments)


# Functions, not methods: what is computed again is held by the graph of its result, and would hold, with itself, the
# last result too, in a circle that nothing ends.
def _driven(node: SteppedNode, kernels: Kernels, inputs: tuple[Tensor, ...], connected: tuple[bool, ...]) -> Drive:
    feedback = inputs[1:]
    if not all(connected):
        feedback = tuple(m if whole else m.detach() for m, whole in zip(feedback, connected, strict=True))
    return node.drive(inputs[0], feedback, kernels)


def _driven_step(
    node: SteppedNode,
    kernels: Kernels,
    inputs: tuple[Tensor, ...],
    connected: tuple[bool, ...],
    state: State | None,
) -> tuple[Tensor, State]:
    return node.step(_driven(node, kernels, inputs, connected), state)


def _same(inputs: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> bool:
    return len(inputs) == len(others) and all(a is b for a, b in zip(inputs, others, strict=True))


def _moments(
    frames: Sequence[Tensor],
    stateful: Mapping[str, bool],
    needed: Mapping[str, set[int]],
    asked: tuple[Collection[str], Sequence[int]],
    wiring: Wiring,
    backward: Backward,
) -> Callable[[str, int], Moment]:
    """Return what matters to gradients of a step of a node; layers and steps are asked for."""
    if backward == WHOLE or not torch.is_grad_enabled():
        return lambda name, t: _ALL_KEPT
    blocks = Blocks(backward.truncate, {name: max(steps) for name, steps in needed.items() if steps})
    recorded = needed_steps(stateful, *asked, wiring, blocks.connected) if backward.truncate else needed
    standing = standing_steps(stateful, frames, needed, wiring.feedback, wiring.delay)

    def moment(name: str, t: int) -> Moment:
        sources = wiring.feedback.get(name, ())
        return Moment(
            recorded=t in recorded[name],
            standing=t in standing[name] or not backward.checkpoint,
            state_connected=blocks.connected(name, t - 1, name, t),
            feedback_connected=tuple(blocks.connected(source, t - 1, name, t) for source in sources),
        )

    return moment


def needed_steps(
    stateful: Mapping[str, bool],
    layers: Collection[str],
    steps: Collection[int],
    wiring: Wiring,
    connected: Connected | None = None,
) -> dict[str, set[int]]:
    """Return the steps at which each node must run, or at which a gradient comes back to it.

    Parameters
    ----------
    stateful : mapping from node to bool
        In order from input to readout: whether a node's step depends on its step before.
    layers, steps : collection
        What is asked for.
    wiring : Wiring
    connected : callable, optional
        Whether what a node, or feedback, carries over a step counts (source, its step, target, its step); by default
        it does.
    """
    names, following = list(stateful), dict(pairwise(stateful))
    readers: dict[str, list[str]] = {name: [] for name in names}
    for target, sources in wiring.feedback.items():
        for source in sources:
            readers[source].append(target)
    for name in names:
        if stateful[name]:
            readers[name].append(name)
    needed: dict[str, set[int]] = {name: set() for name in names}

    def carried(source: str, target: str, t: int) -> bool:
        return t + 1 in needed[target] and (connected is None or connected(source, t, target, t + 1))

    for t in range(max(steps), -1, -1):
        for name in reversed(names):
            asked = name in layers and t in steps
            passed_on = name in following and t + wiring.delay in needed[following[name]]
            if asked or passed_on or any(carried(name, reader, t) for reader in readers[name]):
                needed[name].add(t)
    return needed


def _zero_outputs(nodes: Mapping[str, SteppedNode], frame: Tensor) -> dict[str, Tensor]:
    """Return what each node emits before the first step: zeros, batch of one."""
    zeros: dict[str, Tensor] = {}
    shape: Shape = tuple(frame.shape[1:])
    for name, node in nodes.items():
        shape = node.output_shape(shape)
        zeros[name] = frame.new_zeros(1, *shape)
    return zeros


def _one_for_all(frames: Sequence[Tensor]) -> list[Tensor]:
    """Return the frames, those that are one image expanded over the batch as a batch of one; same stays same."""
    replaced = {id(frame): frame[:1] if frame.stride(0) == 0 else frame for frame in frames}
    return [replaced[id(frame)] for frame in frames]
