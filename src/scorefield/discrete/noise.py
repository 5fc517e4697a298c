"""Noise schedules of tokens: how much noise there is in all at time t, and at which rate it comes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from scorefield._ranges import whole

_STEPS = whole(1, 1_000_000)


class Noise(Protocol):
    """`t` in [0, 1] to the total noise, rising, and back down in steps."""

    def total(self, t: Tensor) -> Tensor:
        """The integral of the rate up to t."""
        ...

    def rate(self, t: Tensor) -> Tensor:
        """Its derivative in t."""
        ...

    def grid(self, steps: int) -> Tensor:
        """Totals to step through, `(steps + 1,)` float64: from that of t = 1 down to 0."""
        ...


@dataclass(frozen=True)
class LogLinear:
    """`exp(-total) = 1 - (1 - left) t`: noise has reached a share of tokens linear in t (Lou and others 2024).

    Args:
        left: share of the tokens that noise has not reached at t = 1; 0 is an infinite total, from which `analytic`
            steps start exactly where the limit is reached, and `euler` ones cannot.

    Example:
        >>> LogLinear().total(torch.tensor(0.5))
        tensor(0.6921)
    """

    left: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 <= self.left < 1:
            raise ValueError(f"LogLinear(left=...) must be in [0, 1), got {self.left}.")

    def total(self, t: Tensor) -> Tensor:
        """As `Noise`."""
        return -torch.log1p(-(1 - self.left) * t)

    def rate(self, t: Tensor) -> Tensor:
        """As `Noise`."""
        return (1 - self.left) / (1 - (1 - self.left) * t)

    def grid(self, steps: int) -> Tensor:
        """As `Noise`."""
        _STEPS("steps", steps)
        return self.total(torch.linspace(1, 0, steps + 1, dtype=torch.float64))


@dataclass(frozen=True)
class Geometric:
    """`total = low**(1 - t) * high**t` (Lou and others 2024); the last step of a grid goes from low to 0.

    Args:
        low: total at t = 0, > 0.
        high: total at t = 1.

    Example:
        >>> Geometric(0.01, 100.0).total(torch.tensor(0.5))
        tensor(1.)
    """

    low: float = 1e-2
    high: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise ValueError(f"Geometric needs 0 < low < high, finite, got {self.low} and {self.high}.")

    def total(self, t: Tensor) -> Tensor:
        """As `Noise`."""
        return torch.exp(math.log(self.low) + math.log(self.high / self.low) * t)

    def rate(self, t: Tensor) -> Tensor:
        """As `Noise`."""
        return math.log(self.high / self.low) * self.total(t)

    def grid(self, steps: int) -> Tensor:
        """As `Noise`."""
        _STEPS("steps", steps)
        t = torch.linspace(1, 0, steps, dtype=torch.float64) if steps > 1 else torch.ones(1, dtype=torch.float64)
        return torch.cat([self.total(t), torch.zeros(1, dtype=torch.float64)])
