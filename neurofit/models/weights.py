"""Weights on disk: safetensors, which load without executing code.

A file has every parameter of its network. Constants - buffers that the state dict leaves out, such as the decays of
stages without a cell - it has where they are not what they are in a new network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from neurofit.errors import DataFileError, listed
from neurofit.files.atomic import atomic_path, reporting_output_errors
from neurofit.models.layers import initialise


def save_weights(
    network: nn.Module, path: Path, details: Mapping[str, str], dtype: torch.dtype = torch.float16
) -> None:
    """Write all parameters to a safetensors file, whole or not at all.

    Parameters
    ----------
    network : torch.nn.Module
    path : Path
    details : mapping from str to str
        Kept in the file: accuracy, seed, the command that made it.
    dtype : torch.dtype
        Half precision by default, which loses nothing that predictivity could see and halves the file.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    tensors = {name: value.detach().to(dtype).contiguous() for name, value in _stored(network).items()}
    with reporting_output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part:
            save_file(tensors, part, metadata=dict(details))
            part.chmod(0o644)  # readable by others, as any file that is written


def load_weights(network: nn.Module, path: Path) -> dict[str, str]:
    """Fill all parameters of a network from a safetensors file.

    Parameters
    ----------
    network : torch.nn.Module
        Gets every parameter once, in its own precision.
    path : Path

    Returns
    -------
    dict from str to str
        The details that the file carries.

    Raises
    ------
    DataFileError
        If the file is unreadable, or its names or shapes are not the network's; the network is then unchanged.
    """
    own = network.state_dict()
    constants = {name: value for name, value in network.named_buffers() if name not in own}
    known = own | constants
    try:
        with safe_open(str(path), framework="pt") as file:
            names = set(file.keys())
            details = dict(file.metadata() or {})
            loaded = {name: file.get_tensor(name) for name in names & known.keys()}
    except (OSError, SafetensorError) as error:
        raise DataFileError(
            "weights are a readable safetensors file", f"{path}: {error}", "fetch or write it anew"
        ) from error
    strange, missing = sorted(names - known.keys()), sorted(own.keys() - names)
    misshapen = sorted(n for n, v in loaded.items() if v.shape != known[n].shape)
    if strange or missing or misshapen:
        raise DataFileError(
            "a weights file fills every parameter of its network once",
            f"{path}: missing {listed(missing, 3) or 'none'}; unknown {listed(strange, 3) or 'none'}; "
            f"of another shape {listed(misshapen, 3) or 'none'}",
            "use the file that was made for this network",
        )
    network.load_state_dict({name: loaded[name].to(value.dtype) for name, value in own.items()})
    for name in loaded.keys() & constants.keys():
        constants[name].copy_(loaded[name])
    return details


def weights_hash(network: nn.Module) -> str:
    """Return a SHA-256 over names, shapes and values of all that a weights file has."""
    return _tensors_hash(_stored(network))


def state_hash(network: nn.Module) -> str:
    """Return a SHA-256 over names, shapes and values of any module's parameters and persistent buffers."""
    return _tensors_hash({n: v for n, v in network.state_dict().items() if isinstance(v, Tensor)})


def _tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name}\0{tuple(value.shape)}\0{value.dtype}\0".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _stored(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters of a network, and the constants that are not what they are in a new one."""
    stored: dict[str, Tensor] = network.state_dict()
    for path, module in network.named_modules():
        constants = {n: v for n, v in module.named_buffers(path, recurse=False) if n not in stored}
        if constants:
            new = deepcopy(module)
            initialise(new, torch.Generator())
            initial = dict(new.named_buffers(path, recurse=False))
            stored |= {n: v for n, v in constants.items() if not torch.equal(v.detach(), initial[n])}
    return stored
