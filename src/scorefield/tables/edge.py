"""Maps of a column whose density ends in walls onto the whole line: straight, but for a logarithm next to a wall."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scorefield.data.dataset import Array
from scorefield.tables.wall import OUTSIDE, finite

_PARTS = (0.3, 0.1, 0.03)  # of a robust standard deviation: how far from a wall the logarithm reaches


@dataclass(frozen=True)
class Edge:
    """`d / scale = log(1 + exp(y))`, d the distance from a wall: the softplus function.

    Far from the wall x is as it was, and a value next to it lies only a few scales farther off than the others: what
    predicts x from other columns stays as smooth as it was, which normal scores (`Wall`) stretch. Values beyond the
    wall are as improbable as there, about e^14 times less than at it, and not forbidden.

    Args:
        bound: the wall.
        above: whether x lies above it.
        scale: > 0, in units of x.
    """

    bound: float = 0.0
    above: bool = True
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"an edge needs a scale > 0, got {self.scale}.")

    @property
    def bounds(self) -> tuple[float, float]:
        """The open interval of x that has any density: all."""
        return -math.inf, math.inf

    @property
    def inside(self) -> tuple[float, float]:
        """The values of y at the wall, and at the free end."""
        end = float(_score(np.zeros(1))[0])
        return (end, math.inf) if self.above else (-math.inf, -end)

    def forward(self, x: Array) -> Array:
        """x `(n,)` to y."""
        y = _score((x - self.bound if self.above else self.bound - x) / self.scale)
        return y if self.above else -y

    def inverse(self, y: Array) -> Array:
        """y `(n,)` to x, finite."""
        d = self.scale * _distance(y if self.above else -y)
        return finite(self.bound + d if self.above else self.bound - d)

    def log_slope(self, y: Array) -> Array:
        """`log dy/dx` at the x that belongs to y."""
        return _log_slope(y if self.above else -y) - math.log(self.scale)


@dataclass(frozen=True)
class Edges:
    """`Edge` at both ends: `(x - low) / scale = log(1 + exp(y)) - log(1 + exp(y - L))`, y less L / 2.

    L is the distance of the walls in scales.

    Args:
        low: the lower wall.
        high: the upper wall, above it.
        scale: > 0, in units of x.
    """

    low: float = 0.0
    high: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not (self.low < self.high and self.scale > 0):
            raise ValueError(f"edges need low < high and a scale > 0, got {self.low}, {self.high} and {self.scale}.")

    @property
    def bounds(self) -> tuple[float, float]:
        """The open interval of x that has any density: all."""
        return -math.inf, math.inf

    @property
    def inside(self) -> tuple[float, float]:
        """The values of y at the walls."""
        end = self._length / 2 - float(_score(np.zeros(1), self._length)[0])
        return -end, end

    @property
    def _length(self) -> float:
        return (self.high - self.low) / self.scale

    def forward(self, x: Array) -> Array:
        """x `(n,)` to y."""
        near = np.minimum(x - self.low, self.high - x) / self.scale  # from the nearer wall
        y = _score(near, self._length) - self._length / 2
        return np.asarray(np.where(x - self.low <= self.high - x, y, -y))

    def inverse(self, y: Array) -> Array:
        """y `(n,)` to x, finite."""
        near = self.scale * _distance(self._length / 2 - np.abs(y), self._length)
        return finite(np.where(y < 0, self.low + near, self.high - near))

    def log_slope(self, y: Array) -> Array:
        """`log dy/dx` at the x that belongs to y."""
        return _log_slope(self._length / 2 - np.abs(y), self._length) - math.log(self.scale)


def edges_around(low: float | None, high: float | None, spread: float) -> list[Edge | Edges]:
    """Edges at one place or two with scales that are parts of a spread, to choose among."""
    scales = [part * spread for part in _PARTS]
    if low is not None and high is not None:
        return [Edges(low, high, scale) for scale in scales]
    return [Edge(low if low is not None else high or 0.0, low is not None, scale) for scale in scales]


def _score(t: Array, length: float = math.inf) -> Array:
    """y at a distance of t scales from one wall, the other one `length` scales from it; straight for t < 0."""
    inside = np.maximum(t, 0.0)
    y = inside + np.log(OUTSIDE - np.expm1(-inside)) - np.log(OUTSIDE - np.expm1(inside - length))
    return np.asarray(y + np.minimum(t, 0.0))


def _distance(y: Array, length: float = math.inf) -> Array:
    """The t that belongs to y."""
    end = float(_score(np.zeros(1), length)[0])
    inside = np.maximum(y, end)
    shift = math.log1p(OUTSIDE)
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        t = np.logaddexp(0.0, inside + shift) - np.logaddexp(shift, inside - length)
    return np.asarray(np.where(y < end, y - end, np.maximum(t, 0.0)))


def _log_slope(y: Array, length: float = math.inf) -> Array:
    """log dy/dt at the t that belongs to y."""
    t = _distance(y, length)
    inside = np.maximum(t, 0.0)
    near, far = -np.expm1(-inside), -np.expm1(inside - length)
    slope = 1 + (1 - near) / (near + OUTSIDE) + (1 - far) / (far + OUTSIDE)
    return np.where(t < 0, 0.0, np.log(slope))
