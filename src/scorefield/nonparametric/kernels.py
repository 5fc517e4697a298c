"""Kernels for vector fields: diagonal, and curl-free, whose fields are gradients.

Both have, for `r = x - y` and `t = |r|^2 / scale^2`, the form `K(x, y) c = a c + b r (r . c)` with functions a and b
of t, and `K(x, x) = 1`, so that eigenvalues are at most 1 and what is made of them has no unit but the score's. The
mean of `zeta = sum_i d/dy_i K(x, y)_i` over samples y of p is `-E[K(x, y) score(y)]`, by parts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from scorefield.numerics.kernels import InverseMultiquadric, RadialKernel, SquaredExponential


class Radial(NamedTuple):
    """`K c = a c + b r (r . c)`, `div_x K c = -z r . c`, `zeta = z r`, `div_x zeta = w`: each `(rows, centres)`."""

    a: Tensor
    b: Tensor | None
    z: Tensor
    w: Tensor


class Potentials(NamedTuple):
    """What the fields are gradients of: `K c` of `c . r` times `of_k`, zeta of `of_zeta`."""

    of_k: Tensor
    of_zeta: Tensor


@dataclass(frozen=True)
class Diagonal:
    """`K(x, y) = k(x, y) / k(x, x)` times the identity: each coordinate of the score by itself.

    Args:
        radial: k.
    """

    radial: RadialKernel = field(default_factory=SquaredExponential)

    def parts(self, t: Tensor, d: int, scale: float) -> Radial:
        """The functions of t in d dimensions."""
        f, slope, curve = self.radial.derivatives(t, 2)
        one, square = float(self.radial.derivatives(torch.zeros((), dtype=torch.float64), 0)[0]), scale**2
        return Radial(f / one, None, -2 * slope / (square * one), -(2 * d * slope + 4 * t * curve) / (square * one))


@dataclass(frozen=True)
class CurlFree:
    """`K(x, y) = -grad grad^T k(x - y)`, scaled: fields are gradients, so that there is a log-density.

    Args:
        radial: k.
    """

    radial: RadialKernel = field(default_factory=InverseMultiquadric)

    def parts(self, t: Tensor, d: int, scale: float) -> Radial:
        """The functions of t in d dimensions."""
        _, f1, f2, f3, f4 = self.radial.derivatives(t, 4)
        one, square = self._one, scale**2
        q1, q2 = (2 * d + 4) * f2 + 4 * t * f3, (2 * d + 8) * f3 + 4 * t * f4  # of scale^2 times the Laplacian of k
        return Radial(
            -2 * f1 / one, -4 * f2 / (square * one), 2 * q1 / (square * one), (2 * d * q1 + 4 * t * q2) / (square * one)
        )

    def potentials(self, t: Tensor, d: int) -> Potentials:
        """What the fields are gradients of."""
        _, f1, f2 = self.radial.derivatives(t, 2)
        return Potentials(-2 * f1 / self._one, (2 * d * f1 + 4 * t * f2) / self._one)

    @property
    def _one(self) -> float:
        return -2 * float(self.radial.derivatives(torch.zeros(1, dtype=torch.float64), 1)[1])


FieldKernel: TypeAlias = Diagonal | CurlFree
