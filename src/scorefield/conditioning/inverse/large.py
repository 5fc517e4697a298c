"""Measurements of images that are too large for a matrix: solved by conjugate gradients, without a density."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scorefield.conditioning.inverse.covariance import Covariance
from scorefield.conditioning.inverse.operators import Operator

_TOLERANCE = 1e-8
"""Residual of a solve, over the size of the right side."""
_MOST = 2000
"""Iterations of a solve."""


@dataclass(frozen=True, eq=False)
class LargeMeasurement:
    """`y = A x0 + noise` of flattened points, where A is only called; as `Measurement`, for independent draws.

    Args:
        operator: on points of its shape.
        y: `(b, m)`, one row for each sample, or one for all; 0 where nothing is observed.
        observed: `(b, m)`, 1 where y is observed and 0 elsewhere.
        variance: of the noise.
    """

    operator: Operator
    y: Tensor
    observed: Tensor
    variance: float

    @staticmethod
    def of(operator: Operator, y: Tensor, noise_covariance: float | Tensor) -> LargeMeasurement:
        """From `(m,)` or `(b, m)`, NaN where not observed.

        Raises:
            ValueError: for values that are not finite, or a noise that is no variance > 0.
        """
        noise = torch.as_tensor(noise_covariance)
        if noise.ndim or not 0 < float(noise) < math.inf:
            raise ValueError(
                "measurements of images this large need noise of one variance > 0 for all entries; give a number."
            )
        if bool(torch.isinf(y).any()):
            raise ValueError("y has infinite values; give finite numbers, or NaN where nothing was observed.")
        y = torch.atleast_2d(y).double()
        return LargeMeasurement(operator, y.nan_to_num(), (~y.isnan()).double(), float(noise))

    @property
    def d(self) -> int:
        """Numbers in a point."""
        return math.prod(self.operator.shape)

    def rows(self, index: Tensor) -> LargeMeasurement:
        """The observations of samples `index`, in that order; one row for all stays one."""
        if len(self.y) == 1:
            return self
        return replace(self, y=self.y[index], observed=self.observed[index])

    @property
    def at_coordinates(self) -> bool:
        """Whether A picks coordinates: not as far as it is known here."""
        return False

    def inflated(self, variance: float) -> LargeMeasurement:
        """The same: without weights there is nothing to keep bounded."""
        return self

    def columns(self, basis: Tensor | None) -> None:
        """None: nothing is written out."""
        return None

    def moved(self, x0: Tensor, spread: Covariance, z: Tensor) -> Tensor:
        """`C A^T (A C A^T + noise)^-1 (y - A x0 - noise)`, `(b, 1, d)`, for x0 and z `(b, 1, ...)`."""
        variances, basis = spread.variances.reshape(1, -1), spread.basis
        flat, seen = x0[:, 0], self.observed

        def forward(x: Tensor) -> Tensor:
            return self.operator(x.reshape(len(x), *self.operator.shape)).reshape(len(x), -1) * seen

        def spread_back(w: Tensor) -> Tensor:
            measured = (w * seen).reshape(len(w), *self.operator.measured)
            back = self.operator.T(measured).reshape(len(w), -1)
            return variances * back if basis is None else (variances * (back @ basis)) @ basis.T

        def apply(w: Tensor) -> Tensor:
            return forward(spread_back(w)) + self.variance * w

        right = (self.y - math.sqrt(self.variance) * z[:, 0]) * seen - forward(flat)
        return spread_back(conjugate_gradients(apply, right))[:, None]


def conjugate_gradients(apply: Callable[[Tensor], Tensor], right: Tensor) -> Tensor:
    """`apply(w) = right` for each row, by conjugate gradients (Hestenes and Stiefel 1952).

    Args:
        apply: a symmetric positive definite map of `(b, m)`.
        right: `(b, m)`.

    Raises:
        ValueError: where it does not converge.
    """
    w = torch.zeros_like(right)
    residual = direction = right
    size = residual.square().sum(1, keepdim=True)
    least = _TOLERANCE**2 * size.clamp(min=1e-300)
    for _ in range(_MOST):
        if bool((size <= least).all()):
            return w
        there = apply(direction)
        step = torch.where(size > least, size / (direction * there).sum(1, keepdim=True), 0.0)
        w, residual = w + step * direction, residual - step * there
        new = residual.square().sum(1, keepdim=True)
        direction = residual + torch.where(size > least, new / size, 0.0) * direction
        size = torch.where(size > least, new, size)
    raise ValueError(f"conjugate gradients did not converge in {_MOST} iterations; give the measurement more noise.")
