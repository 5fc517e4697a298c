"""Layers without random initialisation, and one seeded initialisation for all networks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from scorefield.nets._members import Members
from scorefield.numerics.random import normal


class _Linear(nn.Linear):
    def reset_parameters(self) -> None:
        """Draw nothing from torch's global generator; torch's own `skip_init` loads its compiler, over a second."""


class _Conv1d(nn.Conv1d):
    def reset_parameters(self) -> None:
        """As `_Linear`."""


class _Conv2d(nn.Conv2d):
    def reset_parameters(self) -> None:
        """As `_Linear`."""


class _Conv3d(nn.Conv3d):
    def reset_parameters(self) -> None:
        """As `_Linear`."""


class _Embedding(nn.Embedding):
    def reset_parameters(self) -> None:
        """As `_Linear`."""


Convolution: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d
_CONVOLUTIONS: dict[int, type[Convolution]] = {1: _Conv1d, 2: _Conv2d, 3: _Conv3d}


def linear(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """An `nn.Linear` that has not drawn from torch's global generator; `initialise` fills it."""
    return _Linear(inputs, outputs, bias=bias)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, axes: int = 2) -> Convolution:
    """A convolution along one to three axes that keeps the size (at stride 1), uninitialised as `linear`."""
    return _CONVOLUTIONS[axes](inputs, outputs, kernel, stride=stride, padding=kernel // 2)


def norm(channels: int) -> nn.GroupNorm:
    """GroupNorm (Wu and He 2018), about 8 groups of 8 channels or more; its jvp needs a contiguous input."""
    return nn.GroupNorm(math.gcd(channels, max(1, min(8, channels // 8))), channels)


def lookup(rows: int, width: int) -> nn.Embedding:
    """An `nn.Embedding`, uninitialised as `linear`."""
    return _Embedding(rows, width)


@torch.no_grad()
def initialise(network: nn.Module, seed: int, zero: Iterable[nn.Module] = ()) -> None:
    """Fill every parameter from a stream of its own: a pure function of (seed, parameter name, row).

    Weights of linear and convolution layers are normal with variance 1 / inputs (LeCun and others 1998), rows of
    lookup tables standard normal, norms are the identity, biases and parameters of the network's own are 0.

    Args:
        network: whose parameters are set; torch's global generator is not touched.
        seed: any int.
        zero: layers that start at 0, so that what they feed starts as if they were not there.
    """
    if any(parameter.is_meta for parameter in network.parameters()):
        return  # shapes without memory: there is nothing to fill
    for path, module in network.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            purpose = f"parameter {path}.{name}"
            if name == "weight" and isinstance(module, nn.Linear | Convolution):
                parameter.copy_(_draw(parameter, seed, purpose) / math.sqrt(parameter[0].numel()))
            elif name == "weight" and isinstance(module, Members):
                parameter.copy_(_draw(parameter, seed, purpose) / math.sqrt(parameter.shape[1]))
            elif name == "weight" and isinstance(module, nn.Embedding):
                parameter.copy_(_draw(parameter, seed, purpose))
            elif name == "weight":
                parameter.fill_(1)
            else:
                parameter.zero_()
    for module in zero:
        for parameter in module.parameters():
            parameter.zero_()


def _draw(like: Tensor, seed: int, purpose: str) -> Tensor:
    return normal(len(like), like.shape[1:], seed, purpose, device=like.device)
