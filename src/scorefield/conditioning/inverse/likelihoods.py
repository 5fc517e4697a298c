"""What a measurement says of a point, as a log-likelihood: any callable `x0 -> log p(y | x0)`, and the common ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

LogLikelihood: TypeAlias = Callable[[Tensor], Tensor]
"""Points `(n, *shape)` to `log p(y | x0)`, `(n,)`, up to a constant; differentiable twice."""
Forward: TypeAlias = Callable[[Tensor], Tensor]
"""Points `(n, *shape)` to noiseless measurements `(n, *measured)`, differentiable; linear operators too."""


@dataclass(frozen=True, eq=False)
class Normal:
    """`y = forward(x0) + noise` with normal noise: any differentiable measurement.

    Args:
        forward: of points.
        y: `(*measured)`; NaN: not observed.
        variance: of the noise, > 0: a number or of y's shape.

    Example:
        >>> Normal(lambda x: x.square(), torch.tensor([4.0]), 1.0)(torch.tensor([[-2.0], [1.0]]))
        tensor([-0.9189, -5.4189])
    """

    forward: Forward
    y: Tensor
    variance: float | Tensor

    def __post_init__(self) -> None:
        variance = torch.as_tensor(self.variance)
        if not bool(((variance > 0) & torch.isfinite(variance)).all()):
            raise ValueError("Normal(variance=...) must be > 0 and finite; exact measurements need a linear operator.")

    def __call__(self, x0: Tensor) -> Tensor:
        """`(n,)`."""
        y = self.y.to(x0)
        seen = ~y.isnan()
        variance = torch.as_tensor(self.variance).to(x0).expand(y.shape)
        square = (y.nan_to_num() - self.forward(x0)).square() / variance + (2 * math.pi * variance).log()
        return -0.5 * torch.where(seen, square, 0.0).flatten(1).sum(1)


@dataclass(frozen=True, eq=False)
class Poisson:
    """Counts: `y ~ Poisson(gain * max(forward(x0), 0) + dark)`.

    Args:
        forward: of points.
        y: counts `(*measured)`; NaN: not observed.
        gain: counts per unit of what is measured, > 0.
        dark: counts without any light, > 0: what makes a count possible where the model says none.

    Example:
        >>> Poisson(lambda x: x, torch.tensor([3.0]), dark=0.1)(torch.tensor([[2.9], [0.0]])).round(decimals=2)
        tensor([-1.5000, -8.8000])
    """

    forward: Forward
    y: Tensor
    gain: float = 1.0
    dark: float = 0.1

    def __post_init__(self) -> None:
        counts = self.y[~self.y.isnan()]
        if not bool(((counts >= 0) & (counts == counts.round()) & torch.isfinite(counts)).all()):
            raise ValueError("Poisson(y=...) must be whole numbers >= 0, counts; NaN where nothing was observed.")
        if not (0 < self.gain < math.inf and 0 < self.dark < math.inf):
            raise ValueError(f"Poisson needs gain > 0 and dark > 0, got {self.gain} and {self.dark}.")

    def __call__(self, x0: Tensor) -> Tensor:
        """`(n,)`."""
        y = self.y.to(x0)
        seen, counts = ~y.isnan(), y.nan_to_num()
        rate = self.gain * self.forward(x0).clamp(min=0) + self.dark
        value = counts * rate.log() - rate - torch.lgamma(counts + 1)
        return torch.where(seen, value, 0.0).flatten(1).sum(1)


@dataclass(frozen=True, eq=False)
class Intensity:
    """`|A x|^2`: phase retrieval, where A has one part, or a real and an imaginary one as a last dimension of 2.

    Args:
        A: linear operator or callable.
        parts: whether the last dimension of `A x` is (real, imaginary).
    """

    A: Any
    parts: bool = False

    def __call__(self, x0: Tensor) -> Tensor:
        """`(n, *measured)`."""
        square: Tensor = self.A(x0).square()
        return square.sum(-1) if self.parts else square


@dataclass(frozen=True, eq=False)
class Saturated:
    """`A x` as a sensor gives it that saturates at both ends: `clip(A x, low, high)`.

    Args:
        A: linear operator or callable.
        low: least value.
        high: greatest.
    """

    A: Any
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"Saturated needs low < high, got {self.low} and {self.high}.")

    def __call__(self, x0: Tensor) -> Tensor:
        """`(n, *measured)`."""
        y: Tensor = self.A(x0).clamp(self.low, self.high)
        return y
