"""A static network, one image in, as a subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurofit.models.preprocessing import Preprocessing
from neurofit.models.static import StaticMode, StaticNetwork
from neurofit.models.weights import state_hash
from neurofit.subjects.model_subject import ModelSubject

if TYPE_CHECKING:
    from torch import nn

    from neurofit.models.node_features import Nodes


def static_subject(
    network: nn.Module,
    nodes: Nodes,
    *,
    name: str,
    preprocessing: Preprocessing,
    mode: StaticMode,
    latency: int | Mapping[str, int] = 0,
    sequences: Mapping[str, Sequence[str]] | None = None,
    details: Mapping[str, object] | None = None,
    **options: Any,
) -> ModelSubject:
    """Return a subject that reads features of a static network and lays them out over time.

    Parameters
    ----------
    network : torch.nn.Module
        Called with one tensor of images (B, 3, H, W); what it returns is ignored.
    nodes : mapping from layer to str, or sequence of str
        Dotted names of submodules whose outputs are the layers, from input to output; the names of
        ``network.named_modules()``.
    name : str
    preprocessing : Preprocessing
    mode : str
        'constant', 'once', 'uniform' or 'graded'; `neurofit.models.static` defines them. There is no default: a static
        network says nothing about time, and every choice is a claim.
    latency, sequences
        See `neurofit.models.static.StaticNetwork`.
    details : mapping, optional
        What a record should say besides time course, nodes, preprocessing and the weights' hash.
    **options
        Of `ModelSubject`: step_ms, delay_ms, device, batch, features, region_layers ...

    Raises
    ------
    UnknownNameError
        If a submodule, a mode or a layer is not known.
    ConfigurationError
        If the time course is impossible.
    """
    static = StaticNetwork(network, nodes, mode=mode, latency=latency, sequences=sequences)
    told = {
        **(details or {}),
        **static.describe(),
        "interpolation": preprocessing.interpolation,
        "resize_px": preprocessing.resize_px,
        "weights_sha256": state_hash(network),
    }
    return ModelSubject(static, name=name, layers=static.layers, preprocessing=preprocessing, details=told, **options)
