"""Networks without dynamics over time: one image in, features out, laid out over the steps of a presentation.

T steps t = 0 ... T-1; the image is on for the first N of them; f_l features of layer l for the image; a_l its latency.
Four modes (docs/adr/0009-static-networks-in-time.md says why these definitions):

- constant: y_l(t) = f_l for t >= a_l, also after the image is gone.
- once: y_l(t) = f_l for a_l <= t < a_l + N, the image-driven response alone.
- uniform, graded: y(t) = f_l for the one layer l of a sequence l_1 ... l_k whose share of the S = T - a steps from the
  sequence's latency a on holds the middle of step t: C_(i-1) / C_k <= (t - a + 1/2) / S < C_i / C_k, where
  C_i = w_1 + ... + w_i. All w_i are 1 in 'uniform'; in 'graded' w_i is the depth of l_i, its place, from 1, among all
  nodes. The image's going does not end the sequence. Each layer of it has columns of its own.

Everything else is 0. Features that are 0 for all images say nothing (docs/adr/0002-silent-source-bins.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate, pairwise, takewhile
from numbers import Integral
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from neurofit.errors import ConfigurationError, ModelContractError, UnknownNameError, listed
from neurofit.models.node_features import NodeFeatures, Nodes
from neurofit.models.static_modes import ALL, SEQUENCE_MODES, STATIC_MODES, StaticMode


class Reader(Protocol):
    """What reads the features of a static network: `NodeFeatures`, or `neurofit.models.steady.SteadyResponse`."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, from input to output."""

    @property
    def nodes(self) -> Mapping[str, str]:
        """Where each layer is read."""

    def __call__(self, images: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Return features (B, ...) of images (B, 3, H, W), in the order in which the layers were reached."""


class Run(NamedTuple):
    """The steps from `begin` up to, not including, `end`, in which a layer's features are there."""

    layer: str
    begin: int
    end: int


class StaticCourse(nn.Module):
    """Features of one image laid out over the steps of a presentation; keeps the contract of `neurofit.check_model`.

    Only the first frame is run, once: it is the image; it is gone where the frames are no longer this tensor. Features
    that are the same at all steps are expanded over them, not copied.

    Parameters
    ----------
    reader : Reader
        A torch module.
    mode : str
        One of `STATIC_MODES`; the module's documentation defines them.
    latency : int or mapping from layer to int
        Steps from the image's appearance to a layer's response (or a sequence's); 0 by default.
    sequences : mapping from str to sequence of layers, optional
        In the modes 'uniform' and 'graded', and there alone: what can be recorded. One sequence of all layers, named
        'all', by default.

    Raises
    ------
    UnknownNameError
        If a mode, or a layer in `latency` or `sequences`, is not known.
    ConfigurationError
        If a latency is negative or not in whole steps, a sequence is not in the layers' order, or sequences are given
        in another mode.
    """

    def __init__(
        self,
        reader: Reader,
        *,
        mode: StaticMode,
        latency: int | Mapping[str, int] = 0,
        sequences: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        if mode not in STATIC_MODES:
            raise UnknownNameError("mode of a static network", mode, STATIC_MODES)
        self.reader, self.mode = reader, mode
        self.sequences = self._sequences(sequences)
        self.latency = self._latencies(latency)

    @property
    def layers(self) -> tuple[str, ...]:
        """What can be recorded: the sequences in the modes that have them, otherwise the nodes."""
        return tuple(self.sequences) or self.reader.layers

    def forward(self, frames: Sequence[Tensor], layers: Collection[str] | None = None) -> dict[str, Tensor]:
        """Show frames and return activations over time.

        Parameters
        ----------
        frames : sequence of T tensors (B, 3, H, W)
            The first is the image. The same tensor object says that it is still on.
        layers : collection of str, optional
            All by default.

        Returns
        -------
        dict from layer to tensor (B, T, ...)
            A node's own shape, or (B, T, units of all its layers) of a sequence. Do not write to it: steps may share
            memory.

        Raises
        ------
        UnknownNameError, ModelContractError
            See `NodeFeatures.forward`; also if nodes are not reached in the order of a sequence.
        """
        asked = self.layers if layers is None else tuple(dict.fromkeys(layers))
        for layer in asked:
            if layer not in self.layers:
                raise UnknownNameError("layer", layer, self.layers)
        image = frames[0]
        on = sum(1 for _ in takewhile(lambda frame: frame is image, frames))
        read = dict.fromkeys(node for layer in asked for node in self.sequences.get(layer, (layer,)))
        features = self.reader(image, tuple(read))
        runs = {layer: self.runs(layer, on, len(frames)) for layer in asked}
        if self.sequences:
            return {layer: self._in_turn(layer, features, runs[layer], len(frames)) for layer in asked}
        return {layer: _held(features[layer], runs[layer][0], len(frames)) for layer in asked}

    def runs(self, layer: str, on: int, steps: int) -> list[Run]:
        """Return when which features are there, in the recording of a layer or a sequence.

        Parameters
        ----------
        layer : str
            One of `layers`.
        on, steps : int
            For how many steps the image is on, and how many there are.
        """
        latency = min(self.latency[layer], steps)
        if not self.sequences:
            return [Run(layer, latency, steps if self.mode == "constant" else min(latency + on, steps))]
        bounds = pairwise(run_bounds(self.weights(layer), steps - latency))
        return [
            Run(member, latency + begin, latency + end)
            for member, (begin, end) in zip(self.sequences[layer], bounds, strict=True)
        ]

    def weights(self, sequence: str) -> list[int]:
        """Return to what the runs of a sequence's layers are proportional: 1 each, or their depths."""
        depths = {layer: place for place, layer in enumerate(self.reader.layers, start=1)}
        return [depths[layer] if self.mode == "graded" else 1 for layer in self.sequences[sequence]]

    def describe(self) -> dict[str, object]:
        """Return what a record must say of the time course: scalars and strings."""
        nodes = ", ".join(n if n == layer else f"{layer} = {n}" for layer, n in self.reader.nodes.items())
        latencies = ", ".join(f"{layer} {steps}" for layer, steps in self.latency.items() if steps)
        told: dict[str, object] = {
            "static_mode": self.mode,
            "static_mode_in_words": STATIC_MODES[self.mode],
            "nodes": nodes,
            "latency_steps": latencies or "0",
        }
        for name, members in self.sequences.items():
            runs = zip(members, self.weights(name), strict=True)
            told[f"sequence_{name}"] = ", ".join(f"{layer} x {weight}" for layer, weight in runs)
        return told

    def _in_turn(self, name: str, features: Mapping[str, Tensor], runs: Sequence[Run], steps: int) -> Tensor:
        """Lay out the layers of a sequence one after the other, each in columns of its own."""
        members = self.sequences[name]
        reached = [layer for layer in features if layer in members]
        if reached != list(members):
            raise ModelContractError(
                "a sequence goes from input to output",
                f"'{name}' is {listed(members)}, but they are reached in the order {listed(reached)}",
                "name nodes and sequence in this order",
            )
        units = [features[layer].flatten(1) for layer in members]
        course = units[0].new_zeros(len(units[0]), steps, sum(u.shape[1] for u in units))
        columns = pairwise(accumulate((u.shape[1] for u in units), initial=0))
        for own, run, (left, right) in zip(units, runs, columns, strict=True):
            course[:, run.begin : run.end, left:right] = own.unsqueeze(1)
        return course

    def _sequences(self, given: Mapping[str, Sequence[str]] | None) -> dict[str, tuple[str, ...]]:
        nodes = self.reader.layers
        if self.mode not in SEQUENCE_MODES:
            if given is not None:
                raise ConfigurationError(
                    "sequences of layers are laid out in the modes 'uniform' and 'graded'",
                    f"the mode is '{self.mode}'",
                    "choose one of these modes, or leave the sequences out",
                )
            return {}
        sequences = {name: tuple(members) for name, members in ({ALL: nodes} if given is None else given).items()}
        for name, members in sequences.items():
            for layer in members:
                if layer not in nodes:
                    raise UnknownNameError(f"layer of the sequence '{name}'", layer, nodes)
            if not members or list(members) != sorted(set(members), key=nodes.index):
                raise ConfigurationError(
                    "a sequence has layers in the order of the nodes, each once",
                    f"'{name}' is {listed(members) or 'empty'}; the nodes are {listed(nodes)}",
                    "put them in order",
                )
        return sequences

    def _latencies(self, given: int | Mapping[str, int]) -> dict[str, int]:
        named = given if isinstance(given, Mapping) else dict.fromkeys(self.layers, given)
        for layer, steps in named.items():
            if layer not in self.layers:
                raise UnknownNameError("layer with a latency", layer, self.layers)
            if not isinstance(steps, Integral) or steps < 0:
                raise ConfigurationError(
                    "a response follows its image by whole steps",
                    f"the latency of {layer} is {steps!r}",
                    "give a number of steps from 0 on",
                )
        return {layer: int(named.get(layer, 0)) for layer in self.layers}


class StaticNetwork(StaticCourse):
    """A static network that is not ours, read at its submodules.

    Parameters
    ----------
    network : torch.nn.Module
        Called with one tensor (B, 3, H, W); what it returns is ignored.
    nodes : mapping from layer to str, or sequence of str
        Where features are read, from input to output; see `NodeFeatures`.
    mode, latency, sequences
        See `StaticCourse`. The feed-forward curves of the 2018 paper end at 150, 170 and 190 ms for V4, pIT and
        cIT/aIT: latencies of 5, 7 and 9 steps of 10 ms.

    Raises
    ------
    UnknownNameError
        If a submodule is not known, and as `StaticCourse` does.
    ConfigurationError
        See `StaticCourse`.
    """

    def __init__(
        self,
        network: nn.Module,
        nodes: Nodes,
        *,
        mode: StaticMode,
        latency: int | Mapping[str, int] = 0,
        sequences: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(NodeFeatures(network, nodes), mode=mode, latency=latency, sequences=sequences)


def _held(features: Tensor, run: Run, steps: int) -> Tensor:
    """Lay out one layer's features (B, ...) for the steps of a run."""
    if (run.begin, run.end) == (0, steps):
        return features.unsqueeze(1).expand(-1, steps, *features.shape[1:])
    course = features.new_zeros(len(features), steps, *features.shape[1:])
    course[:, run.begin : run.end] = features.unsqueeze(1)
    return course


def run_bounds(weights: Sequence[int], steps: int) -> list[int]:
    """Divide steps into runs with lengths proportional to weights.

    A step belongs to the run whose share of the time holds its middle, so that every run is within one step of its
    exact share; a run of less than a step may be empty.

    Parameters
    ----------
    weights : sequence of k positive int
    steps : int

    Returns
    -------
    list of k + 1 int
        Run i is the steps from bound i up to, not including, bound i + 1; the last bound is `steps`.
    """
    total = sum(weights)
    # ceil(steps * share - 1/2), in whole numbers
    return [-((total - 2 * steps * share) // (2 * total)) for share in accumulate(weights, initial=0)]


__all__ = ["ALL", "STATIC_MODES", "Reader", "Run", "StaticCourse", "StaticMode", "StaticNetwork", "run_bounds"]
