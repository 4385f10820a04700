"""What a record holds on to: tensors as they went in, and a module as it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Held:
    """A tensor as it went in; a copy, or a reference whose version tells whether it was changed in place since."""

    tensor: Tensor
    version: int | None

    @classmethod
    def of(cls, tensor: Tensor, copy: bool) -> "Held":
        """A copy of ``tensor``, or itself."""
        kept = tensor.detach().clone() if copy else tensor.detach()
        return cls(kept, None if copy or kept.is_inference() else kept._version)

    @property
    def is_unchanged(self) -> bool:
        return self.version is None or self.tensor._version == self.version


def twin_with(module: nn.Module, weights: Mapping[str, Tensor], prefix: str = "") -> nn.Module:
    """A look-alike of ``module`` that has ``weights`` for those of its parameters that they name.

    Nothing is swapped in and out of the module itself, which others may be running or asking at the same time.
    """
    twin = type(module).__new__(type(module))
    twin.__dict__.update(module.__dict__)
    parameters, children = module._parameters.items(), module._modules.items()
    twin.__dict__["_parameters"] = {name: weights.get(prefix + name, value) for name, value in parameters}
    twin.__dict__["_modules"] = {
        name: None if child is None else twin_with(child, weights, f"{prefix}{name}.") for name, child in children
    }
    return twin


def autocast_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, torch.dtype] | None:
    """The device and dtype of the autocast that a call runs under, if any."""
    tensor = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
    if tensor is None or not torch.is_autocast_enabled(tensor.device.type):
        return None
    return tensor.device.type, torch.get_autocast_dtype(tensor.device.type)


def same_autocast(autocast: tuple[str, torch.dtype] | None) -> torch.autocast:
    """The autocast that ``autocast_of`` found, again; none where there was none."""
    device, dtype = autocast or ("cpu", torch.bfloat16)
    return torch.autocast(device, dtype=dtype, enabled=autocast is not None)
