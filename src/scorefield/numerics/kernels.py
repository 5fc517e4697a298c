"""Radial kernels `k(x, y) = profile(|x - y|^2 / scale^2)` with the derivatives of their profiles.

The derivatives are written out: four nested forward-mode ones of a matrix of kernels took 100 times as long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class RadialKernel(Protocol):
    """A positive definite function of the distance: a scale, or None for one measured on the data, and a profile."""

    @property
    def scale(self) -> float | None:
        """In the units of the data."""

    def derivatives(self, t: Tensor, order: int) -> list[Tensor]:
        """k as a function of `t = |x - y|^2 / scale^2`, and its derivatives in t up to an order (at most 4)."""


def _check_scale(scale: float | None) -> None:
    if scale is not None and not 0 < scale < math.inf:
        raise ValueError(f"a kernel's scale must be > 0 and finite, got {scale}.")


@dataclass(frozen=True)
class InverseMultiquadric:
    """`k = (1 + |x - y|^2 / scale^2)^power`; as a Stein kernel it is 0 in the limit for p alone (Gorham, Mackey 2017).

    Args:
        scale: in the units of the data, > 0; None: the median distance within the sample.
        power: between -1 and 0.
    """

    scale: float | None = None
    power: float = -0.5

    def __post_init__(self) -> None:
        _check_scale(self.scale)
        if not -1 < self.power < 0:
            raise ValueError(f"InverseMultiquadric(power=...) must be between -1 and 0, got {self.power}.")

    def derivatives(self, t: Tensor, order: int) -> list[Tensor]:
        """k as a function of `t = |x - y|^2 / scale^2`, and its derivatives in t up to an order."""
        found = [(1 + t) ** self.power]
        for k in range(order):
            found.append((self.power - k) * found[-1] / (1 + t))
        return found


@dataclass(frozen=True)
class SquaredExponential:
    """`k = exp(-|x - y|^2 / (2 scale^2))`, the Gaussian kernel; as a Stein kernel it may miss samples that fall apart.

    Args:
        scale: in the units of the data, > 0; None: the median distance within the sample.
    """

    scale: float | None = None

    def __post_init__(self) -> None:
        _check_scale(self.scale)

    def derivatives(self, t: Tensor, order: int) -> list[Tensor]:
        """k as a function of `t = |x - y|^2 / scale^2`, and its derivatives in t up to an order."""
        k = (-t / 2).exp()
        return [k * (-0.5) ** i for i in range(order + 1)]


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """`|x - y|^2` of each row of x `(a, d)` and y `(b, d)`, `(a, b)`, without cancellation."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
