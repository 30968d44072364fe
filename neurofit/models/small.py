"""Networks small enough to train and run anywhere: five stages at 64 px, 100 classes, with any cell or control.

All have the stages of the bundled `rgc` and `ff`; cells sit in conv3-conv5, as wide as their stage.

`SMALL_RGC_FEEDBACK` adds long-range feedback by analogy with the released rgc_intermediate, whose edges 8-5, 9-6, 10-7,
7-6 and 10-9 lie among its nodes with cells: some skip a stage or two on the way back, some lead to the node before. Of
three nodes with cells this leaves 5-3 (the long one), 4-3 and 5-4 (the short ones), which are all that there are; they
enter as there, through 1 x 1 into `out` (`neurofit.models.feedback.RELEASED_ENTRY`). In the biological unroll the
scores first see the image at step index 5, what 4-3 and 5-4 add at 7, and what 5-3 adds at 8: the readout at index 9
(the tenth step) has the short loops closed twice and the long one once.
"""

from __future__ import annotations

from dataclasses import replace

from neurofit.models.architectures import FIXED_DECAY, TRAINED_DECAY, Stage, shallow
from neurofit.models.cells import SimpleRNNConfig
from neurofit.models.controls import deeper, wider
from neurofit.models.gated_cells import GRUConfig, IntersectionRNNConfig, LSTMConfig, UGRNNConfig
from neurofit.models.network import NetworkConfig
from neurofit.models.reciprocal_gated import ReciprocalGatedConfig

# At 64 px the last stage keeps its 2 x 2 map unpooled, so that the 2 x 2 readout fits.
SMALL: tuple[Stage, ...] = ((24, True), (48, True), (64, True), (96, True), (128, False))
_WIDTHS = tuple(channels for channels, _ in SMALL[2:])

SMALL_RGC = shallow([ReciprocalGatedConfig(n) for n in _WIDTHS], SMALL, input_px=64, classes=100)
SMALL_RGC_FEEDBACK = replace(SMALL_RGC, feedback=(("conv5", "conv3"), ("conv4", "conv3"), ("conv5", "conv4")))
SMALL_FF = shallow(None, SMALL, input_px=64, classes=100)

# Cells as the released shallow networks have them (layer norm in the vanilla cell, fixed decays in conv1 and conv2),
# except the LSTM, whose constants were searched for the released network alone.
SMALL_CELLS: dict[str, NetworkConfig] = {
    "timedecay": shallow([TRAINED_DECAY] * 3, SMALL, FIXED_DECAY, 64, 100),
    "simplernn": shallow([SimpleRNNConfig(n, layer_norm=True) for n in _WIDTHS], SMALL, None, 64, 100),
    "gru": shallow([GRUConfig(n) for n in _WIDTHS], SMALL, None, 64, 100),
    "lstm": shallow([LSTMConfig(n) for n in _WIDTHS], SMALL, None, 64, 100),
    "ugrnn": shallow([UGRNNConfig(n) for n in _WIDTHS], SMALL, None, 64, 100),
    "intersectionrnn": shallow([IntersectionRNNConfig(n) for n in _WIDTHS], SMALL, None, 64, 100),
}

SMALL_WIDER = shallow(None, wider(SMALL, 2.82), input_px=64, classes=100)
SMALL_DEEPER = shallow(None, deeper(SMALL, {2: 1, 3: 2, 4: 3, 5: 8}), input_px=64, classes=100)
"""19 convolutions; conv6, conv10 and conv19 end the stages conv3, conv4 and conv5 of the recurrent network."""
