"""A network as a subject: shown images for a while, it yields activations over time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn
from tqdm import tqdm

from neurofit.assembly.time_bins import TimeBins
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import ConfigurationError, ModelContractError, UnknownNameError
from neurofit.kernel.routes import Basis, FeaturePlan
from neurofit.models.execution import Execution
from neurofit.models.preprocessing import Preprocessing
from neurofit.subjects.features import MAX_FEATURES, FeatureOptions
from neurofit.subjects.outputs import check_outputs, unit_arrays
from neurofit.subjects.recording import record_layers
from neurofit.subjects.viewing import MID_GREY, Viewing
from neurofit.vocabulary import STIMULUS_ID

SMALL_INPUT_PX = 64
"""Up to this side of the input a network counts as small, and runs on one CPU thread."""


class TemporalNetwork(Protocol):
    """What `ModelSubject` wraps: T frames in, activations with a time axis out."""

    def __call__(self, frames: Sequence[Tensor], layers: Collection[str]) -> Mapping[str, Tensor]:
        """Return {layer: (B, T, ...)} for T frames (B, 3, H, W); layers not asked for may be left out."""


@dataclass(frozen=True)
class ActivationBatch:
    """Activations of a few stimuli.

    Parameters
    ----------
    stimulus_ids : list of str
        B of them.
    activations : mapping from layer to array (B, T, units)
    """

    stimulus_ids: list[str]
    activations: Mapping[str, np.ndarray]


class ModelSubject:
    """A torch module that is recorded as an animal is.

    Parameters
    ----------
    network : torch.nn.Module
        Called as ``network(frames, layers)`` with T frames (B, 3, H, W); returns {layer: tensor (B, T, ...)}. See
        `check_model`.
    name : str
    layers : sequence of str
        What can be recorded.
    preprocessing : Preprocessing
    step_ms : int
        Duration of one step; 10 ms in the ConvRNN papers.
    delay_ms : int
        When step 0 begins after stimulus onset (see `assembly.time_bins.step_bins`).
    device : str
        'cpu', 'cuda', 'mps', or 'auto' for the best there is.
    batch : int
        Images per forward pass.
    max_features : int
        Layers of more units are not kept as they are: their inner products are, where the mapping allows it, or they
        are projected at random to this number, as they stream by.
    random_state : int
        Of that projection.
    features : FeatureOptions, optional
        Which of these, and how much memory and disk they may take.
    announce : callable, optional
        Is told, before layers are recorded, how the features of each are kept: one sentence.
    execution : Execution, optional
        Precision, memory layout and compilation of the network; plain float32 by default.
    details : mapping, optional
        What a record should say besides: weights, their hash, accuracy.
    region_layers : mapping from region to layer, optional
        Which layer is compared with which region where the user names none.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        layers: Sequence[str],
        preprocessing: Preprocessing,
        step_ms: int = 10,
        delay_ms: int = 0,
        device: str = "cpu",
        batch: int = 32,
        max_features: int = MAX_FEATURES,
        random_state: int = 0,
        features: FeatureOptions | None = None,
        announce: Callable[[str], object] | None = None,
        execution: Execution | None = None,
        details: Mapping[str, object] | None = None,
        region_layers: Mapping[str, str] | None = None,
    ) -> None:
        self.network = network
        self.place(device, execution or Execution())
        self._name, self._layers = name, tuple(layers)
        self.preprocessing, self.step_ms, self.delay_ms = preprocessing, step_ms, delay_ms
        self.batch, self.max_features, self.random_state = batch, max_features, random_state
        self.features, self.announce = features or FeatureOptions(), announce
        self.details, self.region_layers = dict(details or {}), dict(region_layers or {})
        for layer in self.region_layers.values():
            if layer not in self._layers:
                raise UnknownNameError("layer committed to a region", layer, self._layers)

    def place(self, device: str, execution: Execution) -> None:
        """Move the network to a device, to be computed there as `execution` says.

        Raises
        ------
        ConfigurationError
            If the device is not there, or cannot compute so.
        """
        self.device, self.execution = choose_device(device), execution
        self.network = execution.prepared(self.network, self.device)

    @property
    def name(self) -> str:
        """Name of the model."""
        return self._name

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers that can be recorded."""
        return self._layers

    def stream(
        self, stimuli: StimulusSet, layers: Collection[str], viewing: Viewing, progress: bool = False
    ) -> Iterator[ActivationBatch]:
        """Yield raw activations, a batch of stimuli at a time.

        Parameters
        ----------
        stimuli : StimulusSet
        layers : collection of str
        viewing : Viewing
        progress : bool
            Whether to draw a bar on standard error.

        Raises
        ------
        UnknownNameError
            If a layer is not the model's.
        ModelContractError
            If the network returns something else than it promised.
        """
        self.check_layers(layers)
        starts = range(0, len(stimuli), self.batch)
        bar = tqdm(starts, desc=f"{self.name} sees {stimuli.name}", unit="batch", disable=not progress, leave=False)
        for start in bar:
            rows = range(start, min(start + self.batch, len(stimuli)))
            images = [viewing.placed(stimuli.image(row), stimuli.size_deg) for row in rows]
            with self.execution.running(self.device), _on_threads(self.threads()):
                outputs = self.network(self.frames(images, viewing), layers)
            check_outputs(outputs, layers, len(rows), viewing.steps(self.step_ms)[1], self.name)
            yield ActivationBatch([stimuli.ids[row] for row in rows], unit_arrays(outputs, layers))

    def frames(self, images: list[np.ndarray], viewing: Viewing) -> list[Tensor]:
        """Return what the network sees, step by step: the image's tensor while it is on, then the blank's."""
        on, total = viewing.steps(self.step_ms)
        shown = self.execution.frame(self.preprocessing(images).to(self.device))
        blank = self.preprocessing.blank_frame().to(self.device).expand_as(shown)
        return [shown] * on + [blank] * (total - on)

    def record(
        self,
        stimuli: StimulusSet,
        *,
        layer: str,
        time_bins: TimeBins,
        viewing: Viewing | None = None,
        basis: Basis = "units",
        progress: bool = False,
    ) -> xr.DataArray:
        """Return a layer's activations in time bins, reduced as they stream; see `record_many`."""
        return self.record_many(
            stimuli, layers=[layer], time_bins=time_bins, viewing=viewing, basis=basis, progress=progress
        )[layer]

    def record_many(
        self,
        stimuli: StimulusSet,
        *,
        layers: Collection[str],
        time_bins: TimeBins,
        viewing: Viewing | None = None,
        basis: Basis = "units",
        progress: bool = False,
    ) -> dict[str, xr.DataArray]:
        """Return several layers' activations in time bins, reduced as they stream, from one pass over the stimuli.

        Parameters
        ----------
        stimuli : StimulusSet
            n images.
        layers : collection of str
        time_bins : sequence of (start, end) in ms
            A bin's activation is the overlap-weighted mean of the steps that it covers.
        viewing : Viewing, optional
            100 ms of 260 by default.
        basis : {'units', 'shared', 'per-bin'}
            What the features of a wide layer may be. 'units': the units, or a projection of them that approximates
            their inner products. 'shared': also other features with exactly these inner products, over all bins and
            images. 'per-bin': those may differ from bin to bin, so that only what treats every bin on its own may
            see them.
        progress : bool

        Returns
        -------
        dict from layer to xarray.DataArray (presentation, neuroid, time_bin), float32
            One presentation per stimulus, in the set's order; attrs `units`, `route` ('raw', 'dual', 'projected'),
            `features` (the plan in words), `reduction`, and `projected_to` or `basis` where that applies.

        Raises
        ------
        AssemblyError
            If a bin reaches beyond the viewing.
        ConfigurationError
            If the features do not fit the memory or disk that they may take.
        OutputError
            If scratch files cannot be written.
        """
        return record_layers(self, stimuli, layers, time_bins, viewing or Viewing(), basis, progress)

    def plan(
        self,
        stimuli: StimulusSet,
        layers: Collection[str],
        n_bins: int,
        viewing: Viewing,
        basis: Basis = "units",
        units: Mapping[str, int] | None = None,
    ) -> dict[str, FeaturePlan]:
        """Return how the features of each layer would be kept, after one image has been shown.

        Parameters
        ----------
        stimuli, layers, viewing, basis
            See `record_many`.
        n_bins : int
        units : mapping from layer to int, optional
            Of `units`, where they are known: nothing is then shown.

        Raises
        ------
        ConfigurationError
            If they do not fit the memory or disk that they may take.
        """
        units = units or self.units(layers, viewing)
        steps = min(self.batch, len(stimuli)) * viewing.steps(self.step_ms)[1]
        return self.features.plans(len(stimuli), units, n_bins, basis, self.max_features, steps)

    def units(self, layers: Collection[str], viewing: Viewing) -> dict[str, int]:
        """Return how many units each layer has, after a grey image has been shown."""
        grey = np.full((8, 8, 3), MID_GREY, np.uint8)
        first = StimulusSet("one grey image", pd.DataFrame({STIMULUS_ID: ["grey"]}), [grey])
        shown = next(self.stream(first, layers, viewing)).activations
        return {layer: shown[layer].shape[2] for layer in dict.fromkeys(layers)}

    def check_layers(self, layers: Collection[str]) -> None:
        """Raise if a layer is not the model's."""
        for layer in layers:
            if layer not in self._layers:
                raise UnknownNameError("layer", layer, self._layers)

    def threads(self) -> int:
        """Return on how many threads of the CPU the network runs.

        Operations of small networks last well under a millisecond; where a core is busy with something else, each would
        wait for it, and a run of seconds was seen to take minutes. They get one.
        """
        small = self.device.type == "cpu" and self.preprocessing.size_px <= SMALL_INPUT_PX
        return 1 if small else torch.get_num_threads()

    def describe(self) -> dict[str, object]:
        """Return what a record must say of the model."""
        return {
            "kind": "model",
            "name": self.name,
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "step_ms": self.step_ms,
            "delay_ms": self.delay_ms,
            "input_px": self.preprocessing.size_px,
            "device": str(self.device),
            **self.execution.described(),
            **self.details,
        }


@contextmanager
def _on_threads(count: int) -> Iterator[None]:
    """Run operations on so many CPU threads."""
    before = torch.get_num_threads()
    if count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count != before:
            torch.set_num_threads(before)


def choose_device(name: str) -> torch.device:
    """Return the device of that name; 'auto' takes CUDA, then Apple's MPS, then the CPU.

    Raises
    ------
    ConfigurationError
        If the device is not there.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if available[d]))
    kind = name.split(":")[0]
    if not available.get(kind, False):
        present = ", ".join(d for d, there in available.items() if there)
        raise ConfigurationError("the device is present", f"'{name}' is not; here: {present}", "choose one or 'auto'")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigurationError("a device is named as torch names it", f"'{name}' is not", f"use '{kind}'") from error
    if kind == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = f"'{name}' is not; here: {torch.cuda.device_count()} of CUDA, numbered from 0"
        raise ConfigurationError("the device is present", found, "choose one or 'auto'")
    return device


def check_model(subject: ModelSubject, steps: int = 4) -> ModelSubject:
    """Return the subject if its network keeps the contract, and say what is wrong if not.

    The network is run on three random images for a few steps: it must return every layer of `subject.layers` as a
    finite floating-point tensor (B, T, ...), the same for an image alone as in a batch, and the same when asked
    again (no memory of the last images).

    Parameters
    ----------
    subject : ModelSubject
    steps : int
        How many steps to try, at least 2.

    Raises
    ------
    ModelContractError
        Naming the broken promise.
    """
    side = subject.preprocessing.size_px
    images = list(np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8))
    viewing = Viewing(on_ms=subject.step_ms * (steps - 1), total_ms=subject.step_ms * steps)
    with torch.inference_mode():
        together = subject.network(subject.frames(images, viewing), subject.layers)
        check_outputs(together, subject.layers, 3, steps, subject.name)
        again = subject.network(subject.frames(images, viewing), subject.layers)
        alone = subject.network(subject.frames(images[:1], viewing), subject.layers)
    for layer in subject.layers:
        if not torch.allclose(together[layer], again[layer], rtol=1e-4, atol=1e-5):
            raise ModelContractError(
                "a network remembers nothing between two calls",
                f"'{layer}' of {subject.name} differs when the same images are shown again",
                "start its states anew in every forward call",
            )
        scale = together[layer].abs().max()
        if not torch.allclose(together[layer][:1], alone[layer], rtol=1e-3, atol=1e-4 * float(scale)):
            raise ModelContractError(
                "the response to an image does not depend on the others of its batch",
                f"'{layer}' of {subject.name} does",
                "put normalisation layers into eval mode and keep images apart",
            )
    return subject


@contextmanager
def with_threads(threads: int) -> Iterator[None]:
    """Run networks on so many threads of the CPU meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
