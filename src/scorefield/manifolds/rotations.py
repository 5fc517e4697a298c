"""Rotations of three-dimensional space: matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.manifolds.manifold import check_points, noise_level
from scorefield.manifolds.radial import ROTATIONS, sinc
from scorefield.manifolds.radii import quantile
from scorefield.numerics.random import normal
from scorefield.objectives.supports import Stiefel

_TINY = 1e-12


@dataclass(frozen=True)
class SO3:
    """Rotations: orthogonal matrices `(n, 3, 3)` of determinant 1; the distance is the angle of what leads from one to
    the other, so that the inner product of tangent matrices is half of that of their entries.

    The heat kernel is IGSO(3) (Nikolayev and Savyolova 1997; Leach and others 2022), exact at any angle and noise
    level.

    Example:
        >>> group = SO3()
        >>> eye = torch.eye(3)[None]
        >>> quarter = group.exp(eye, hat(torch.tensor([[0.0, 0.0, math.pi / 2]])))
        >>> quarter.round(decimals=4).abs().tolist()
        [[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]
        >>> round(float(group.distance(eye, quarter)), 4)
        1.5708
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """`(3, 3)`."""
        return (3, 3)

    @property
    def dim(self) -> int:
        """3."""
        return 3

    @property
    def volume(self) -> float:
        """`8 pi^2`."""
        return 8 * math.pi**2

    @property
    def eigenvalue(self) -> float:
        """2."""
        return 2.0

    @property
    def embedded(self) -> int:
        """9."""
        return 9

    def check(self, x: Tensor) -> None:
        """Raise for a matrix that is no rotation, naming its row."""
        check_points(self, "x", x)
        if not len(x):
            return
        Stiefel().check(x)
        mirrored = torch.linalg.det(x) < 0
        if bool(mirrored.any()):
            raise ValueError(f"row {int(mirrored.nonzero()[0])} is a reflection: a rotation has the determinant 1.")

    def nearest(self, x: Tensor) -> Tensor:
        """Newton's step to the polar factor."""
        return Stiefel().nearest(x)

    def project(self, x: Tensor, w: Tensor) -> Tensor:
        """`x` times the antisymmetric part of `x^T w`."""
        inside = x.mT @ w
        return x @ (inside - inside.mT) / 2

    def inner(self, x: Tensor, v: Tensor, w: Tensor) -> Tensor:
        """Half of the sum of the products of the entries."""
        return (v * w).sum((1, 2)) / 2

    def noise(self, x: Tensor, z: Tensor) -> Tensor:
        """The tangent part of z, times the root of 2: the angular velocity is standard normal."""
        return math.sqrt(2) * self.project(x, z)

    def frame(self, x: Tensor) -> Tensor:
        """`x` times the three generators, each of entries with sum of squares 1."""
        return x.detach()[None] @ hat(torch.eye(3).to(x))[:, None] / math.sqrt(2)

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Rodrigues' formula."""
        w = vee(x.mT @ v)
        angle = w.square().sum(1).clamp(min=_TINY**2).sqrt()[:, None, None]
        K = hat(w)
        half = sinc(angle / 2).square() / 2
        return x @ (torch.eye(3).to(x) + sinc(angle) * K + half * (K @ K))

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """As `Manifold.log`; of the two shortest ways of a half turn, one."""
        q = quaternion(x.mT @ y)
        axis = q[:, 1:]
        sine = axis.square().sum(1, keepdim=True).clamp(min=_TINY**2).sqrt()
        return x @ hat(axis * (2 * torch.atan2(sine, q[:, :1]) / sine))

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """The angle, with all its digits also where it is near 0 or pi."""
        M = x.mT @ y
        sine = vee(M).square().sum(1).clamp(min=_TINY**2).sqrt()
        return torch.atan2(sine, (M.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2)

    def uniform(self, n: int, seed: int, *, first: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        """Directions of normal quaternions (Shoemake 1992); arguments as `Manifold.uniform`."""
        q = normal(n, (4,), seed, "uniform rotations", first=first, dtype=torch.float64)
        return matrix(q / q.norm(dim=1, keepdim=True)).to(dtype)

    def embed(self, x: Tensor) -> Tensor:
        """The nine entries."""
        return x.flatten(1)

    def tangent(self, x: Tensor, w: Tensor) -> Tensor:
        """`project` of w as a matrix."""
        return self.project(x, w.unflatten(1, (3, 3)))

    def log_heat(self, x: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
        """As `Manifold.log_heat`."""
        s = noise_level(sigma, x).square()
        return ROTATIONS.log_kernel(self.distance(y.double(), x.double()), s).to(x.dtype)

    def heat(self, x: Tensor, y: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """As `Manifold.heat`: the score is along the axis of the rotation from y to x."""
        s, x_, y_ = noise_level(sigma, x).square(), x.double(), y.double()
        value, slope = ROTATIONS.heat(self.distance(y_, x_), s)
        M = y_.mT @ x_
        return value.to(x.dtype), (slope[:, None, None] * (x_ @ (M - M.mT)) / 2).to(x.dtype)

    def diffuse(self, y: Tensor, z: Tensor, sigma: float | Tensor) -> Tensor:
        """As `Manifold.diffuse`: about a random axis, by the angle that the inverse distribution function says."""
        s, y_ = noise_level(sigma, y).square(), y.double()
        v = self.noise(y_, z.double())
        reach = self.inner(y_, v, v).clamp(min=_TINY**2).sqrt()
        angle = quantile(ROTATIONS, reach, s.sqrt())
        return self.exp(y_, v * (angle / reach)[:, None, None]).to(y.dtype)


def hat(w: Tensor) -> Tensor:
    """The antisymmetric matrices of angular velocities `(n, 3)`."""
    a, b, c = w.unbind(1)
    o = torch.zeros_like(a)
    return torch.stack([o, -c, b, c, o, -a, -b, a, o], 1).unflatten(1, (3, 3))


def vee(K: Tensor) -> Tensor:
    """The angular velocities `(n, 3)` of the antisymmetric parts of matrices."""
    return torch.stack([K[:, 2, 1] - K[:, 1, 2], K[:, 0, 2] - K[:, 2, 0], K[:, 1, 0] - K[:, 0, 1]], 1) / 2


def matrix(q: Tensor) -> Tensor:
    """The rotations of unit quaternions `(n, 4)`, real part first."""
    K = hat(q[:, 1:])
    return torch.eye(3).to(q) + 2 * (q[:, :1, None] * K + K @ K)


def quaternion(R: Tensor) -> Tensor:
    """Unit quaternions `(n, 4)` of rotations, real part first and >= 0 (Shepperd 1978).

    All products of two of its numbers follow from the matrix; the row of the largest number is taken.
    """
    t, w = R.diagonal(dim1=1, dim2=2).sum(1), 2 * vee(R)
    S = R + R.mT + (1 - t)[:, None, None] * torch.eye(3).to(R)
    top = torch.cat([(1 + t)[:, None], w], 1)[:, None, :]
    P = torch.cat([top, torch.cat([w[:, :, None], S], 2)], 1)  # 4 q q^T
    row = P.diagonal(dim1=1, dim2=2).argmax(1)
    q = P.gather(1, row[:, None, None].expand(-1, 1, 4))[:, 0]
    q = q / q.norm(dim=1, keepdim=True)
    return torch.where(q[:, :1] < 0, -q, q)
