"""Maps of a column whose density ends in walls onto the whole line: normal scores of a law with the same walls."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scorefield.data.dataset import Array

OUTSIDE = 1e-6
"""The probability of the whole line beyond a wall, in the law whose normal scores are taken."""
_SHAPES = (0.0, 0.25, 0.5, 1.0, 2.0)  # of a wall's law
_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # times the one that has the median of the values


@dataclass(frozen=True)
class Walls:
    """`y = ndtri(F(x))`, F uniform between two walls: y is standard normal where x is uniform.

    The density of x may end at a wall anywhere from 0 to infinity, and that of y is smooth with a Gaussian tail. The
    places of walls are estimates, so values beyond them are not forbidden: F leaves 1e-6 for each side, an exponential
    law whose scale is the distance of the walls. They have a density, about e^14 times smaller than inside, and take
    part as values at the wall do.

    Args:
        low: the lower wall.
        high: the upper wall, above it.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"walls need low < high, got {self.low} and {self.high}.")

    @property
    def bounds(self) -> tuple[float, float]:
        """The open interval of x that has any density: all."""
        return -math.inf, math.inf

    @property
    def inside(self) -> tuple[float, float]:
        """The values of y at the walls."""
        edge = _edge()
        return edge, -edge

    def forward(self, x: Array) -> Array:
        """x `(n,)` to y."""
        from scipy.special import ndtri

        near = np.minimum(x - self.low, self.high - x) / (self.high - self.low)  # from the nearer wall, at most 1/2
        inside = ndtri(OUTSIDE + (1 - 2 * OUTSIDE) * np.maximum(near, 0.0))
        y = np.where(near < 0, _score_beyond(np.minimum(near, 0.0)), inside)
        return np.asarray(np.where(x - self.low <= self.high - x, y, -y))

    def inverse(self, y: Array) -> Array:
        """y `(n,)` to x, finite."""
        from scipy.special import ndtr

        size = -np.abs(y)
        wide = self.high - self.low
        near = (ndtr(size) - OUTSIDE) / (1 - 2 * OUTSIDE)
        near = wide * np.where(near < 0, _beyond(np.minimum(size, _edge())), near)
        return finite(np.where(y < 0, self.low + near, self.high - near))

    def log_slope(self, y: Array) -> Array:
        """`log dy/dx` at the x that belongs to y."""
        size = -np.abs(y)
        wide = math.log(self.high - self.low)
        inside = math.log1p(-2 * OUTSIDE) - _log_normal(size)
        return np.asarray(np.where(size < _edge(), _log_slope_beyond(size), inside) - wide)


@dataclass(frozen=True)
class Wall:
    """`y = ndtri(F(x))`, F a generalised Pareto law (Pickands 1975) that begins at a wall.

    With d the distance from the wall, `1 - F = (1 + shape d / scale)^(-1 / shape)`; shape 0 is the exponential law. The
    other side of x is as free as without a wall. Beyond the wall all is as in `Walls`, over the distance `scale`.

    Args:
        bound: the wall.
        above: whether x lies above it.
        scale: > 0, in units of x.
        shape: >= 0, of the tail: 0 for exponential and lighter ones, 1 for one without a mean.
    """

    bound: float = 0.0
    above: bool = True
    scale: float = 1.0
    shape: float = 0.0

    def __post_init__(self) -> None:
        if not (self.scale > 0 and self.shape >= 0):
            raise ValueError(f"a wall needs a scale > 0 and a shape >= 0, got {self.scale} and {self.shape}.")

    @property
    def bounds(self) -> tuple[float, float]:
        """The open interval of x that has any density: all."""
        return -math.inf, math.inf

    @property
    def inside(self) -> tuple[float, float]:
        """The values of y at the wall, and at the free end."""
        return (_edge(), math.inf) if self.above else (-math.inf, -_edge())

    def forward(self, x: Array) -> Array:
        """x `(n,)` to y."""
        from scipy.special import ndtri, ndtri_exp

        d = (x - self.bound if self.above else self.bound - x) / self.scale
        survival = -self._hazard(np.maximum(d, 0.0))
        part = OUTSIDE + (1 - OUTSIDE) * -np.expm1(survival)
        y = np.where(part < 0.5, ndtri(np.minimum(part, 0.5)), -ndtri_exp(survival + math.log1p(-OUTSIDE)))
        y = np.where(d < 0, _score_beyond(np.minimum(d, 0.0)), y)
        return np.asarray(y if self.above else -y)

    def inverse(self, y: Array) -> Array:
        """y `(n,)` to x, finite."""
        y = y if self.above else -y
        d = np.where(y < _edge(), _beyond(np.minimum(y, _edge())), self._distance(y))
        with np.errstate(over="ignore"):
            d = self.scale * d
            return finite(self.bound + d if self.above else self.bound - d)

    def log_slope(self, y: Array) -> Array:
        """`log dy/dx` at the x that belongs to y."""
        from scipy.special import log_ndtr

        y = y if self.above else -y
        survival = log_ndtr(-y)
        inside = (1 + self.shape) * survival - self.shape * math.log1p(-OUTSIDE) - _log_normal(y)
        beyond = _log_slope_beyond(np.minimum(y, 0.0))
        return np.asarray(np.where(y < _edge(), beyond, inside) - math.log(self.scale))

    def _hazard(self, d: Array) -> Array:
        """-log(1 - F) at a distance in scales."""
        return np.log1p(self.shape * d) / self.shape if self.shape else d

    def _distance(self, y: Array) -> Array:
        """The distance in scales that belongs to y inside."""
        from scipy.special import log_ndtr, ndtr

        hazard = math.log1p(-OUTSIDE) - log_ndtr(-y)
        near = -np.log1p(-np.minimum(np.maximum(ndtr(y) - OUTSIDE, 0.0) / (1 - OUTSIDE), 0.5))  # exact near the wall
        hazard = np.where(y < 0, near, np.maximum(hazard, 0.0))
        with np.errstate(over="ignore"):
            return np.asarray(np.expm1(self.shape * hazard) / self.shape if self.shape else hazard)


def walls_around(x: Array, bound: float, *, above: bool) -> list[Wall]:
    """Walls at a place with scales and shapes around those of the values `(n,)`, to choose among."""
    median = abs(float(np.median(x)) - bound)
    made = []
    for shape in _SHAPES:
        unit = math.expm1(shape * math.log(2)) / shape if shape else math.log(2)
        made += [Wall(bound, above, factor * median / unit, shape) for factor in _SCALES]
    return made


def folded(y: Tensor, walls: tuple[tuple[float, float], ...]) -> Tensor:
    """Draws y `(n, d)` that fell beyond a wall, reflected at it: none is beyond, and none are heaped at the wall.

    Args:
        y: NaN where nothing is.
        walls: of each of the d numbers.
    """
    if all(math.isinf(end) for ends in walls for end in ends):
        return y
    low, high = y.new_tensor(walls).unbind(1)
    y = torch.where(y < low, 2 * low - y, y)
    y = torch.where(y > high, 2 * high - y, y)
    return y.clamp(low + _MARGIN, high - _MARGIN)


_MARGIN = 1e-7  # of y: rounding leads no reflected draw back beyond the wall


def _edge() -> float:
    """y at a lower wall."""
    from scipy.special import ndtri

    return float(ndtri(OUTSIDE))


def _score_beyond(d: Array) -> Array:
    """y where `P = OUTSIDE e^d`, d <= 0."""
    from scipy.special import ndtri_exp

    return np.asarray(ndtri_exp(d + math.log(OUTSIDE)))


def _beyond(y: Array) -> Array:
    """That d, for y up to `_edge()`."""
    from scipy.special import log_ndtr

    return np.asarray(log_ndtr(y) - math.log(OUTSIDE))


def _log_slope_beyond(y: Array) -> Array:
    """log dy/dd there."""
    from scipy.special import log_ndtr

    return np.asarray(log_ndtr(y) - _log_normal(y))


def _log_normal(y: Array) -> Array:
    return np.asarray(-0.5 * y**2 - 0.5 * math.log(2 * math.pi))


def finite(x: Array) -> Array:
    """x, the largest float in place of what is beyond it."""
    most = np.finfo(np.float64).max
    return np.asarray(np.clip(x, -most, most))
