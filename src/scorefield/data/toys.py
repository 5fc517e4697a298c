"""Distributions in the plane whose density is known exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from scorefield._tensor import check_batch
from scorefield.numerics.random import normal, uniform

_CHUNK = 1024  # points at once: with 512 components 4 MiB of float64


class Toy(Protocol):
    """A distribution in the plane with an exact density."""

    @property
    def name(self) -> str:
        """What it is called in `TOYS`."""
        ...

    def log_density(self, x: Tensor) -> Tensor:
        """Log-density `(n,)` in nats at x `(n, 2)`."""
        ...

    def sample(self, n: int, seed: int) -> Tensor:
        """n independent points `(n, 2)`, float64; point i depends on (seed, i) only."""
        ...


@dataclass(frozen=True, eq=False)
class Dots:
    """An equal mixture of round Gaussians of one width: `p(x) = mean over k of N(x; centres[k], std**2 I)`.

    Evenly spaced along a curve and closer together than their width they draw it with a brush; the finite mixture is
    the definition, so the density is exact.

    Args:
        name: what it is called.
        centres: `(K, 2)`, float64.
        std: standard deviation of each dot, > 0.

    Example:
        >>> toy = ring()
        >>> toy.sample(3, seed=0).shape, bool(toy.log_density(torch.zeros(1, 2)) < -10)
        (torch.Size([3, 2]), True)
    """

    name: str
    centres: Tensor = field(repr=False)
    std: float

    def log_density(self, x: Tensor) -> Tensor:
        """`logsumexp_k(-|x - centres_k|**2 / (2 std**2)) - log(K 2 pi std**2)`, `(n,)` for x `(n, 2)`."""
        _check_points(x)
        centres = self.centres.to(x)
        parts = [
            torch.logsumexp(
                ((part[:, :1] - centres[:, 0]).square() + (part[:, 1:] - centres[:, 1]).square()) / (-2 * self.std**2),
                1,
            )
            for part in x.split(_CHUNK)
        ]
        return torch.cat(parts) - math.log(len(centres) * 2 * math.pi * self.std**2)

    def sample(self, n: int, seed: int) -> Tensor:
        """n independent points `(n, 2)`, float64."""
        u = uniform(n, (), seed, f"toy/{self.name}/component", dtype=torch.float64)
        k = (u * len(self.centres)).long().clamp(max=len(self.centres) - 1)
        return self.centres[k] + self.std * normal(n, (2,), seed, f"toy/{self.name}/noise", dtype=torch.float64)


@dataclass(frozen=True)
class Checkerboard:
    """Uniform on every other square of a board centred at 0.

    Args:
        squares: along one side, even.
        side: of one square.

    Example:
        >>> board = Checkerboard()
        >>> board.log_density(torch.tensor([[0.5, 0.5], [0.5, -0.5]])).exp()
        tensor([0.0312, 0.0000])
    """

    squares: int = 4
    side: float = 2.0
    name: str = "checkerboard"

    def __post_init__(self) -> None:
        if self.squares < 2 or self.squares % 2 or not self.side > 0:
            raise ValueError(f"Checkerboard needs an even number of squares and side > 0, got {self}.")

    def log_density(self, x: Tensor) -> Tensor:
        """`-log(squares**2 / 2 * side**2)` on the squares and minus infinity outside, `(n,)` for x `(n, 2)`."""
        _check_points(x)
        cell = (x / self.side + self.squares / 2).floor()
        inside = ((cell >= 0) & (cell < self.squares)).all(1) & (cell.sum(1) % 2 == 0)
        level = -math.log(self.squares**2 / 2 * self.side**2)
        return torch.where(inside, torch.full_like(x[:, 0], level), torch.full_like(x[:, 0], -math.inf))

    def sample(self, n: int, seed: int) -> Tensor:
        """n independent points `(n, 2)`, float64."""
        u = uniform(n, (3,), seed, f"toy/{self.name}", dtype=torch.float64)
        x = u[:, 0] * self.squares
        row = 2 * (u[:, 1] * (self.squares // 2)).floor() + x.floor() % 2
        return self.side * (torch.stack([x, row + u[:, 2]], 1) - self.squares / 2)


def ring() -> Dots:
    """Eight Gaussians of standard deviation 0.3 on a circle of radius 3."""
    phi = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    return Dots("ring", 3 * torch.stack([phi.cos(), phi.sin()], 1), 0.3)


def moons() -> Dots:
    """Two interleaved half circles of radius 1 drawn with a brush of standard deviation 0.1."""
    phi = _along(0, math.pi, 96)
    upper = torch.stack([phi.cos(), phi.sin()], 1)
    return Dots("moons", torch.cat([upper, upper.new_tensor([1.0, 0.5]) - upper]), 0.1)


def spirals() -> Dots:
    """Two arms that wind one and a half times around 0 out to radius 3, with a brush of standard deviation 0.1.

    Dots are even in arc length but for the start: the angle grows as the root of the position along the arm.
    """
    phi = 3 * math.pi * _along(0, 1, 256).sqrt()
    arm = (phi / math.pi)[:, None] * torch.stack([phi.cos(), phi.sin()], 1)
    return Dots("spirals", torch.cat([arm, -arm]), 0.1)


def _along(start: float, stop: float, count: int) -> Tensor:
    """The middles of `count` equal parts of an interval."""
    return start + (stop - start) * (torch.arange(count, dtype=torch.float64) + 0.5) / count


def _check_points(x: Tensor) -> None:
    check_batch("x", x)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"points of the plane have the shape (n, 2), got {tuple(x.shape)}.")


TOYS: dict[str, Toy] = {
    "ring": ring(),
    "moons": moons(),
    "checkerboard": Checkerboard(),
    "spirals": spirals(),
}
