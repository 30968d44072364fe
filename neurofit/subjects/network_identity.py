"""What a network computes, as a document: its parameters, its structure, and the code that runs it.

Two networks with the same document give the same activations to the same frames on the same machine. What cannot be
described so has no identity, and nothing of it is stored: `NoIdentityError` says why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache, partial
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurofit.models.node_features import NodeFeatures
from neurofit.subjects.code_identity import CodeIdentity, NoIdentityError, qualified

HOOKS = ("_forward_hooks", "_forward_pre_hooks")
"""Of a module's own attributes, those that change what it returns; the others are PyTorch's bookkeeping."""

MEMORIES: Mapping[type, frozenset[str]] = {NodeFeatures: frozenset({"_proven"})}
"""Attributes that a network writes while it runs, and that change nothing of what it returns."""

_NAMED = (torch.dtype, torch.device, torch.memory_format, torch.layout, PurePath)


def network_identity(network: nn.Module) -> dict[str, Any]:
    """Return the document of a network.

    Parameters
    ----------
    network : torch.nn.Module

    Returns
    -------
    dict
        `class`, `weights_sha256` (all parameters, buffers and other tensors), `structure_sha256` (classes, settings,
        hooks) and `code` (see `CodeIdentity.document`).

    Raises
    ------
    NoIdentityError
        If something of it cannot be described.
    """
    return identity_of(network)


def identity_of(thing: object) -> dict[str, Any]:
    """Return the document of any object made of modules, tensors and plain values; see `network_identity`."""
    walk = _Walk()
    structure = walk.described(thing, "")
    return {
        "class": qualified(type(thing)),
        "weights_sha256": walk.tensors.hexdigest(),
        "structure_sha256": hashlib.sha256(json.dumps(structure, sort_keys=True).encode()).hexdigest(),
        "code": walk.code.document(),
    }


class _Walk:
    """Goes through everything that an object refers to, once."""

    def __init__(self) -> None:
        self.tensors, self.code = hashlib.sha256(), CodeIdentity()
        self._seen: dict[int, str] = {}
        self._alive: list[object] = []  # an id is only one's own while it lives

    def described(self, value: object, path: str) -> Any:
        """Return a value as JSON; tensors by their place, which their digest has too."""
        if value is None or type(value) in (bool, int, str):
            return value
        if isinstance(value, float | complex | bytes):
            return [type(value).__name__, value.hex() if isinstance(value, float | bytes) else repr(value)]
        if isinstance(value, _NAMED):
            return [type(value).__name__, str(value)]
        if isinstance(value, Enum):
            return ["enum", self.code.named(type(value)), value.name]
        if isinstance(value, int | str):
            return [self.code.named(type(value)), str(value)]
        if not isinstance(value, tuple):  # equal tuples may be one or several, as Python likes
            if id(value) in self._seen:
                return ["again", self._seen[id(value)]]
            self._seen[id(value)] = path
            self._alive.append(value)
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if isinstance(value, np.ndarray | np.generic):
            return self._array(np.asarray(value), path)
        if isinstance(value, type):
            return ["class", self.code.named(value)]
        if isinstance(value, FunctionType | BuiltinFunctionType | MethodType | partial):
            return self._function(value, path)
        return self._composed(value, path)

    def _composed(self, value: object, path: str) -> Any:
        kind = self.code.named(type(value))
        if isinstance(value, tuple | list):
            return [kind, [self.described(item, f"{path}[{i}]") for i, item in enumerate(value)]]
        if isinstance(value, set | frozenset):
            return [kind, sorted(json.dumps(self.described(item, f"{path}{{}}")) for item in value)]
        if isinstance(value, Mapping):
            pairs = [[self.described(k, path), self.described(v, f"{path}[{k!r}]")] for k, v in value.items()]
            return [kind, pairs, self._attributes(value, path)]
        if isinstance(value, nn.Module):
            return [kind, self._module(value, path)]
        if isinstance(value, torch.jit.ScriptModule | torch.jit.ScriptFunction) or not hasattr(value, "__dict__"):
            if is_dataclass(value):  # with slots
                return [
                    kind,
                    {f.name: self.described(getattr(value, f.name), f"{path}.{f.name}") for f in fields(value)},
                ]
            raise NoIdentityError(f"{path or 'it'} is a {qualified(type(value))}, whose content is not known")
        return [kind, self._attributes(value, path)]

    def _attributes(self, value: object, path: str, without: frozenset[str] = frozenset()) -> dict[str, Any]:
        content = getattr(value, "__dict__", {})
        return {name: self.described(item, f"{path}.{name}") for name, item in content.items() if name not in without}

    def _module(self, module: nn.Module, path: str) -> dict[str, Any]:
        if isinstance(module, torch.jit.ScriptModule):
            raise NoIdentityError(f"{path or 'it'} is compiled (TorchScript), and its code is not known")
        skipped = _bookkeeping() | next((names for kind, names in MEMORIES.items() if isinstance(module, kind)), set())
        told = self._attributes(module, path, frozenset(skipped))
        for group in (module._parameters, module._buffers, module._modules):
            for name, item in group.items():
                told[name] = self.described(item, f"{path}.{name}")
        for name in HOOKS:
            hooks = getattr(module, name)
            if hooks:
                told[name] = [self.described(hook, f"{path}.{name}") for hook in hooks.values()]
        return told

    def _tensor(self, value: Tensor, path: str) -> list[Any]:
        try:
            content = value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        except (RuntimeError, NotImplementedError, TypeError) as error:
            raise NoIdentityError(f"the tensor {path} cannot be read ({type(error).__name__})") from error
        self._count(path, tuple(value.shape), str(value.dtype), content)
        return ["tensor", path]

    def _array(self, value: np.ndarray, path: str) -> list[Any]:
        if value.dtype.hasobject:
            raise NoIdentityError(f"the array {path} holds objects")
        self._count(path, value.shape, str(value.dtype), np.ascontiguousarray(value).view(np.uint8).reshape(-1))
        return ["array", path]

    def _count(self, path: str, shape: tuple[int, ...], dtype: str, content: np.ndarray) -> None:
        self.tensors.update(f"{path}\0{shape}\0{dtype}\0".encode())
        self.tensors.update(content.data)

    def _function(self, value: Any, path: str) -> list[Any]:
        if isinstance(value, partial):
            return ["partial", *(self.described(item, path) for item in (value.func, value.args, value.keywords))]
        if isinstance(value, MethodType):
            return ["method", *(self.described(item, path) for item in (value.__func__, value.__self__))]
        compiled = getattr(value, "_torchdynamo_orig_callable", None)
        if compiled is not None:
            return ["compiled", self.described(compiled, path)]
        if isinstance(value, BuiltinFunctionType):
            return ["function", value.__module__, value.__qualname__]
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        bound = [cells, value.__defaults__, value.__kwdefaults__]
        return ["function", self.code.named(value), *(self.described(item, f"{path}()") for item in bound)]


@cache
def _bookkeeping() -> frozenset[str]:
    """Attributes that every module has."""
    return frozenset(vars(nn.Module()))


__all__ = ["NoIdentityError", "identity_of", "network_identity"]
