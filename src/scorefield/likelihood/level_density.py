"""Where noise levels lie: densest where a law takes shape, so that few are enough for an integral over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

KNOTS, MOST_HEIGHT, MOST_STEPS = 24, 1e3, 96
"""How many heights are measured; how great a height may be, and how many levels may come first."""
_FINE = 401  # of a table of the integral, from which Newton's steps start
_NEWTON = 3  # steps: to the last digit
_SPREAD = 1.1  # each measured height's width, in distances between them
_PEAK = 6.0  # greatest height that is measured
_POWER = 1 / 3  # of the integrand's size: equal errors of the trapezoidal rule where its curvature is like its size


class LevelDensity(NamedTuple):
    """`1 + sum_k heights_k exp(-(t - centres_k)^2 / 2 width^2)` levels, up to a factor, per unit of t = log s.

    Args:
        centres: `(k,)`, of log s.
        width: > 0.
        heights: `(k,)`, >= 0.
        steps: even: between the levels that are asked first.

    Example:
        >>> times, weights = LevelDensity((0.0,), 1.0, (3.0,)).levels(0.01, 100.0, 4)
        >>> [round(t, 2) for t in times], round(float(weights[1:].sum()), 1)
        ([-4.61, -1.24, -0.0, 1.24, 4.61], 8.7)
    """

    centres: tuple[float, ...]
    width: float
    heights: tuple[float, ...]
    steps: int = 12

    def levels(self, low: float, high: float, steps: int) -> tuple[list[float], Tensor]:
        """Times t = log s from `log low` to `log high`: `t(u)` for steps of u of one size, and `dt/du` times that."""
        ends = np.log([low, high])
        start, end = self._passed(ends)
        wanted, fine = np.linspace(start, end, steps + 1), np.linspace(ends[0], ends[1], _FINE)
        times = np.interp(wanted, self._passed(fine), fine)
        for _ in range(_NEWTON):
            times -= (self._passed(times) - wanted) / self._at(times)
        times[0], times[-1] = ends
        return times.tolist(), torch.from_numpy((end - start) / steps / self._at(times))

    @staticmethod
    def of_sizes(times: list[float], sizes: Tensor) -> LevelDensity:
        """Levels where an integrand is great.

        Args:
            times: increasing, of log s.
            sizes: of the integrand there, `(levels,)`, >= 0.
        """
        each = np.interp(_knots(times[0], times[-1]), times, sizes.numpy()) ** _POWER
        if not np.isfinite(each).all() or not each.max() > 0:
            return USUAL
        heights = _PEAK / _SPREAD / math.sqrt(2 * math.pi) * each / each.max()
        return LevelDensity.of_heights(times[0], times[-1], heights.tolist())

    @staticmethod
    def of_heights(low: float, high: float, heights: Sequence[float], steps: int = 12) -> LevelDensity:
        """With heights at equal distances from low to high, of log s: how `of_sizes` made it."""
        width = _SPREAD * (high - low) / (KNOTS - 1)
        return LevelDensity(tuple(_knots(low, high).tolist()), width, tuple(heights), steps)

    def _at(self, t: np.ndarray) -> np.ndarray:
        away = (t[:, None] - np.array(self.centres)) / self.width
        return np.asarray(1 + np.exp(-0.5 * away**2) @ np.array(self.heights))

    def _passed(self, t: np.ndarray) -> np.ndarray:
        """The integral: u, up to a constant."""
        place = torch.from_numpy((t[:, None] - np.array(self.centres)) / (self.width * math.sqrt(2)))
        mass = torch.special.erf(place).numpy() @ np.array(self.heights)
        return np.asarray(t + self.width * math.sqrt(math.pi / 2) * mass)


def _knots(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, KNOTS)


USUAL = LevelDensity((-1.0,), 2.5, (6.0,))
"""Where data scaled to about 1 take shape."""
