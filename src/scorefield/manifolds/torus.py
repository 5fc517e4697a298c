"""Tori: angles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.manifolds.manifold import check_points, noise_level
from scorefield.manifolds.radial import log_circle, with_rate
from scorefield.numerics.random import uniform


@dataclass(frozen=True)
class Torus:
    """The flat d-dimensional torus: d angles `(n, d)` in radians; answers are in [-pi, pi).

    The heat kernel is a product of wrapped normal laws, exact at any distance and noise level.

    Args:
        d: number of angles, >= 1.

    Raises:
        ValueError: for another d.

    Example:
        >>> torus = Torus(2)
        >>> x, y = torch.tensor([[3.0, 0.0], [-3.0, 0.5]]).double().split(1)
        >>> torus.log(x, y).round(decimals=4).tolist()
        [[0.2832, 0.5]]
    """

    d: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.d, bool) or not isinstance(self.d, int) or self.d < 1:
            raise ValueError(f"Torus(d) needs a number of angles >= 1, got {self.d!r}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """`(d,)`."""
        return (self.d,)

    @property
    def dim(self) -> int:
        """d."""
        return self.d

    @property
    def volume(self) -> float:
        """`(2 pi)^d`."""
        return (2 * math.pi) ** self.d

    @property
    def eigenvalue(self) -> float:
        """1."""
        return 1.0

    @property
    def embedded(self) -> int:
        """2 d."""
        return 2 * self.d

    def check(self, x: Tensor) -> None:
        """Raise for what is no finite angle."""
        check_points(self, "x", x)

    def nearest(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def project(self, x: Tensor, w: Tensor) -> Tensor:
        """w."""
        return w

    def inner(self, x: Tensor, v: Tensor, w: Tensor) -> Tensor:
        """`v . w`."""
        return (v * w).sum(1)

    def noise(self, x: Tensor, z: Tensor) -> Tensor:
        """z."""
        return z

    def frame(self, x: Tensor) -> Tensor:
        """The axes."""
        return torch.eye(self.d).to(x)[:, None, :].expand(self.d, len(x), self.d)

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """`x + v`, in [-pi, pi)."""
        return _wrapped(x + v)

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """`y - x`, in [-pi, pi)."""
        return _wrapped(y - x)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """The length of `log`."""
        return self.log(x, y).norm(dim=1)

    def uniform(self, n: int, seed: int, *, first: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        """Independent angles; arguments as `Manifold.uniform`."""
        u = uniform(n, self.shape, seed, "uniform on a torus", first=first, dtype=torch.float64)
        return _wrapped(2 * math.pi * u).to(dtype)

    def embed(self, x: Tensor) -> Tensor:
        """Cosines, then sines."""
        return torch.cat([x.cos(), x.sin()], 1)

    def tangent(self, x: Tensor, w: Tensor) -> Tensor:
        """The part of w along each circle."""
        across, up = w.chunk(2, 1)
        return up * x.cos() - across * x.sin()

    def log_heat(self, x: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
        """As `Manifold.log_heat`."""
        s = noise_level(sigma, x).square()[:, None].expand(x.shape)
        return log_circle(self.log(y.double(), x.double()), s).sum(1).to(x.dtype)

    def heat(self, x: Tensor, y: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """As `Manifold.heat`: angle by angle."""
        s = noise_level(sigma, x).square()[:, None].expand(x.shape)
        value, rate = with_rate(lambda at: log_circle(at, s), self.log(y.double(), x.double()))
        return value.sum(1).to(x.dtype), rate.to(x.dtype)

    def diffuse(self, y: Tensor, z: Tensor, sigma: float | Tensor) -> Tensor:
        """As `Manifold.diffuse`: normal noise, wrapped."""
        return self.exp(y.double(), noise_level(sigma, y)[:, None] * z.double()).to(y.dtype)


def _wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
