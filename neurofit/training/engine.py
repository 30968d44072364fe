"""What a training run runs on: device, precision, processes.

Lightning Fabric places modules, wraps them for several processes (`torchrun`), and scales and synchronises gradients;
the loop stays our own (docs/adr/0020).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from neurofit.errors import ConfigurationError, LostProcessError, MissingExtraError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["float32", "bfloat16", "float16"]
_PRECISIONS: dict[Precision, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
    "float16": "16-mixed",
}


@dataclass(frozen=True)
class Engine:
    """What a run runs on. Nothing here is meant to change a result beyond rounding.

    Parameters
    ----------
    device : {'auto', 'cpu', 'cuda', 'mps'}
    precision : {'float32', 'bfloat16', 'float16'}
        Of convolutions and matrix products; weights stay in float32. 'float16' scales the loss.
    parts : int
        A batch is passed in so many parts, whose gradients are added (gradient accumulation).
    checkpoint : bool
        Compute activations again in the backward pass instead of keeping them (`neurofit.models.bptt`).

    Raises
    ------
    ConfigurationError
        If 'float16' is asked for on a CPU, or there are no parts.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Precision = "float32"
    parts: int = 1
    checkpoint: bool = False

    def __post_init__(self) -> None:
        if self.parts < 1:
            raise ConfigurationError(
                "a batch is passed in at least one part", f"parts is {self.parts}", "choose 1 or more"
            )
        if self.precision == "float16" and self.device == "cpu":
            raise ConfigurationError(
                "float16 trains on an accelerator", "the device is cpu", "choose bfloat16 or float32"
            )

    def start(self) -> Fabric:
        """Return the running Fabric; under `torchrun` it joins the other processes.

        Raises
        ------
        MissingExtraError
            If Lightning Fabric is not installed.
        ConfigurationError
            If there is no such device here.
        """
        try:
            from lightning_fabric import Fabric
            from lightning_fabric.strategies import DDPStrategy
        except ImportError as error:
            raise MissingExtraError(
                "training runs on Lightning Fabric", f"{error.name} is not installed", "pip install 'neurofit[train]'"
            ) from error
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # every process would say who it is
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        world = int(os.environ.get("WORLD_SIZE", "1"))
        try:
            fabric = Fabric(
                accelerator=self.device,
                devices=processes,
                num_nodes=max(world // processes, 1),
                # cells that the readout's steps do not reach have no gradient in short unrolls
                strategy=DDPStrategy(find_unused_parameters=True) if world > 1 else "auto",
                precision=_PRECISIONS[self.precision],
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigurationError(
                "training runs on a device of this machine", f"{self.device}: {error}", "choose another --device"
            ) from error
        fabric.launch()
        return fabric


@contextmanager
def losing_no_process() -> Iterator[None]:
    """Tell in a sentence where a process that the others wait for is gone.

    Raises
    ------
    LostProcessError
    """
    try:
        yield
    except RuntimeError as error:
        text = " ".join(str(error).split())
        # PyTorch has a class for errors of NCCL alone
        if os.environ.get("WORLD_SIZE", "1") == "1" or not any(word in text for word in ("gloo", "NCCL", "ncclR")):
            raise
        raise LostProcessError(
            "all processes of a run go on together",
            f"process {os.environ.get('RANK', '0')} lost another one: {text[:200]}",
            "see what that one said; the same command goes on from the last state that was saved",
        ) from error


def is_first_process() -> bool:
    """Return whether this process speaks and writes for all; `torchrun` says which it is."""
    return os.environ.get("RANK", "0") == "0"
