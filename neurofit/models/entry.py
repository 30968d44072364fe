"""What is known of a network that can be named, besides its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from neurofit.models.network import NetworkConfig, layer_shapes
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import Presentation
from neurofit.models.unroll import Shape


def layers_by_region(v4: str, pit: str, it: str) -> dict[str, str]:
    """Return which layer is compared with which region; IT as a whole gets the last convolutional layer."""
    return {"V4": v4, "pIT": pit, "cIT": it, "aIT": it, "IT": it}


# As the released code's README assigns them (neuroailab/convrnns @ b76a44d). It names two layers a region of the
# intermediate networks: conv5 and conv6 for V4, conv7 and conv8 for pIT, conv9 and conv10 for cIT and aIT; we take the
# later of each, which ends a stage or is the last.
SHALLOW_LAYERS = layers_by_region("conv3", "conv4", "conv5")
INTERMEDIATE_LAYERS = layers_by_region("conv6", "conv8", "conv10")
# Both layers a region, as that README has them. Its shallow networks' conv6 is no node of theirs and is left out.
PUBLISHED_SOURCE = "README of neuroailab/convrnns @ b76a44d"
PUBLISHED_SHALLOW: Mapping[str, tuple[str, ...]] = {
    "V4": ("conv3",), "pIT": ("conv4",), "cIT": ("conv5",), "aIT": ("conv5",)
}  # fmt: skip
PUBLISHED_INTERMEDIATE: Mapping[str, tuple[str, ...]] = {
    "V4": ("conv5", "conv6"), "pIT": ("conv7", "conv8"), "cIT": ("conv9", "conv10"), "aIT": ("conv9", "conv10")
}  # fmt: skip


@dataclass(frozen=True)
class ZooEntry:
    """A network that can be named.

    Parameters
    ----------
    summary : str
        One line for tables.
    network : NetworkConfig or None
        None is the pixel baseline.
    preprocessing : Preprocessing
    region_layers : mapping from region to layer
        Which layer is compared with which region where the user names none.
    published_layers : mapping from region to tuple of layers
        All that its authors compare with a region (`PUBLISHED_SOURCE`); empty for other networks.
    presentation : Presentation or None
        With which it was trained, or would be, and is read out by the network's decoder.
    weights : str or None
        Name of a file: in the package, or beside the file that the entry is read from.
    released : str or None
        Name of the released network whose published weights it has, once fetched. Neither is seeded random weights.
    top1, top5 : float or None
        Published ImageNet validation accuracy in percent.
    step_ms : int
        10 in the papers.
    licence : str
        Of the weights.
    """

    summary: str
    network: NetworkConfig | None
    preprocessing: Preprocessing
    region_layers: Mapping[str, str] = field(default_factory=lambda: SHALLOW_LAYERS)
    presentation: Presentation | None = None
    weights: str | None = None
    released: str | None = None
    top1: float | None = None
    top5: float | None = None
    step_ms: int = 10
    licence: str = "BSD-3-Clause"
    published_layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def decoder(self) -> str | None:
        """Kind of the network's decoder."""
        return None if self.network is None else self.network.decoder.kind

    def first_steps(self) -> dict[str, int]:
        """Return the first step at which each layer has seen the first frame."""
        return {"pixels": 0} if self.network is None else self.network.first_steps()

    def layer_shapes(self) -> dict[str, Shape]:
        """Return the shape of each layer's output, (C, H, W) or (classes,); no weights are made."""
        size = self.preprocessing.size_px
        return {"pixels": (3, size, size)} if self.network is None else layer_shapes(self.network)
