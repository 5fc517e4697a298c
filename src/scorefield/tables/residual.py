"""What the mixture leaves to the network, and helpers for rows that are queried in parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield._tensor import rows_of
from scorefield.core import Estimate, Level


class Residual(NamedTuple):
    """What the reference leaves to the network, in float64.

    Args:
        estimate: the reference's.
        basis: `(d, d)` of the directions that are scaled; None: the coordinates.
        scale: the standard deviation that a Gaussian with the reference's covariance leaves, `(n, d)`.
    """

    estimate: Estimate
    basis: Tensor | None
    scale: Tensor

    def scaled(self, raw: Tensor) -> Tensor:
        """The change of `E[x0]` for the network's raw answer."""
        return raw * self.scale if self.basis is None else ((raw @ self.basis) * self.scale) @ self.basis.T

    def unscaled(self, x0: Tensor) -> Tensor:
        """The inverse of `scaled`: an error of x0 in units of what is left to learn."""
        return x0 / self.scale if self.basis is None else (x0 @ self.basis) / self.scale


def answer_separately(
    whole: Tensor, x: Tensor, level: Level, answer: Callable[[Tensor, Level, Tensor], Estimate]
) -> Estimate:
    """The answers of rows that are queried as a whole and of the others, each kind by itself: no row sees another.

    Args:
        whole: `(n,)` bool.
        x: `(n, d)`.
        level: 0-d or `(n,)`.
        answer: `(x, level, rows) -> Estimate` of some rows.
    """
    kinds = [index for index in (whole.nonzero()[:, 0], (~whole).nonzero()[:, 0]) if len(index)]
    if len(kinds) < 2:
        return answer(x, level, torch.arange(len(x), device=x.device))
    parts = [answer(x[rows], Level(*(rows_of(v, rows) for v in level)), rows) for rows in kinds]
    back = torch.cat(kinds).argsort()
    return Estimate(*(torch.cat(values)[back] for values in zip(*parts, strict=True)))


def safe_sqrt(variance: Tensor) -> Tensor:
    """Its root, of variances that rounding may have left below 0."""
    return variance.clamp(min=1e-12).sqrt()


def interpolation_weights(place: Tensor, count: int) -> Tensor:
    """Weights `(n, count)` of equally spaced knots for linear interpolation at places in [0, 1], beyond it the end's.

    Example:
        >>> interpolation_weights(torch.tensor([0.25, 2.0]), 3).tolist()
        [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    at = place.clamp(0, 1)[:, None] * (count - 1)
    return (1 - (at - torch.arange(count, device=place.device)).abs()).clamp(min=0)
