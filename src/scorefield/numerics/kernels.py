"""Radial kernels `k(x, y) = profile(|x - y|^2 / scale^2)` and the derivatives of their profiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class RadialKernel(Protocol):
    """A positive definite function of the distance: a scale, or None for one measured on the data, and a profile."""

    @property
    def scale(self) -> float | None:
        """In the units of the data."""

    def profile(self, t: Tensor) -> Tensor:
        """k as a function of `t = |x - y|^2 / scale^2`, smooth at 0, differentiable by `torch.func`."""


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

    def profile(self, t: Tensor) -> Tensor:
        """k as a function of `|x - y|^2 / scale^2`."""
        return (1 + t) ** self.power


@dataclass(frozen=True)
class SquaredExponential:
    """`k = exp(-|x - y|^2 / (2 scale^2))`, the Gaussian kernel; as a Stein kernel it may miss samples that fall apart.

    Args:
        scale: in the units of the data, > 0; None: the median distance within the sample.
    """

    scale: float | None = None

    def __post_init__(self) -> None:
        _check_scale(self.scale)

    def profile(self, t: Tensor) -> Tensor:
        """k as a function of `|x - y|^2 / scale^2`."""
        return (-t / 2).exp()


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """`|x - y|^2` of each row of x `(a, d)` and y `(b, d)`, `(a, b)`, without cancellation."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()


def derivatives(profile: Callable[[Tensor], Tensor], t: Tensor, order: int) -> list[Tensor]:
    """A function of numbers at each of t, and its derivatives there up to an order.

    Example:
        >>> [v.tolist() for v in derivatives(lambda t: t**3, torch.tensor([2.0]), 2)]
        [[8.0], [12.0], [12.0]]
    """
    unit, functions = torch.ones_like(t), [profile]
    for _ in range(order):
        functions.append(_slope(functions[-1], unit))
    return [f(t) for f in functions]


def _slope(f: Callable[[Tensor], Tensor], unit: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda v: torch.func.jvp(f, (v,), (unit,))[1]
