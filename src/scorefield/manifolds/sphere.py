"""Spheres: unit vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.manifolds.manifold import check_points, noise_level
from scorefield.manifolds.radial import CIRCLE, SPHERE2, SPHERE3, Radial, sinc
from scorefield.manifolds.radii import quantile
from scorefield.numerics.random import normal
from scorefield.objectives.supports import Sphere as Support

_KERNELS = {1: CIRCLE, 2: SPHERE2, 3: SPHERE3}
_TINY = 1e-12  # of a squared length: kept away from 0, where a root has no derivative


@dataclass(frozen=True)
class Sphere:
    """The d-dimensional sphere of radius 1: unit vectors `(n, d + 1)`, with distances in radians.

    The geometry is that of any d; the heat kernel is there for d = 1, 2 and 3, exact to about 1e-14 in its logarithm at
    any distance and noise level: images of the wrapped normal law, and series of eigenfunctions for late times.

    Args:
        d: dimension, >= 1: 2 is the surface of a ball.

    Raises:
        ValueError: for another d.

    Example:
        >>> sphere = Sphere(2)
        >>> x = torch.tensor([[1.0, 0.0, 0.0]])
        >>> sphere.exp(x, torch.tensor([[0.0, math.pi / 2, 0.0]])).round(decimals=6).abs().tolist()
        [[0.0, 1.0, 0.0]]
        >>> round(float(sphere.log_heat(x, x, 10.0)), 4), round(-math.log(4 * math.pi), 4)  # uniform in the end
        (-2.531, -2.531)
    """

    d: int = 2

    def __post_init__(self) -> None:
        if isinstance(self.d, bool) or not isinstance(self.d, int) or self.d < 1:
            raise ValueError(f"Sphere(d) needs a dimension >= 1, got {self.d!r}; the surface of a ball is Sphere(2).")

    @property
    def shape(self) -> tuple[int, ...]:
        """`(d + 1,)`."""
        return (self.d + 1,)

    @property
    def dim(self) -> int:
        """d."""
        return self.d

    @property
    def volume(self) -> float:
        """`2 pi^((d + 1) / 2) / gamma((d + 1) / 2)`."""
        half = (self.d + 1) / 2
        return 2 * math.pi**half / math.gamma(half)

    @property
    def eigenvalue(self) -> float:
        """d."""
        return float(self.d)

    @property
    def embedded(self) -> int:
        """d + 1."""
        return self.d + 1

    def check(self, x: Tensor) -> None:
        """Raise for a vector that is not of length 1, naming its row."""
        check_points(self, "x", x)
        if len(x):
            Support().check(x)

    def nearest(self, x: Tensor) -> Tensor:
        """`x / |x|`."""
        return Support().nearest(x)

    def project(self, x: Tensor, w: Tensor) -> Tensor:
        """`w - x (x . w)`."""
        return Support().field(x, w)

    def inner(self, x: Tensor, v: Tensor, w: Tensor) -> Tensor:
        """`v . w`."""
        return (v * w).sum(1)

    def noise(self, x: Tensor, z: Tensor) -> Tensor:
        """The tangent part of z."""
        return self.project(x, z)

    def frame(self, x: Tensor) -> Tensor:
        """All but the first row of Householder's reflection of x to an axis."""
        x = x.detach()
        mirror = x.clone()
        mirror[:, 0] += torch.where(x[:, 0] < 0, -1.0, 1.0).to(x)
        eye = torch.eye(self.d + 1).to(x)
        H = eye - 2 * mirror[:, :, None] * mirror[:, None, :] / mirror.square().sum(1)[:, None, None]
        return H[:, 1:].transpose(0, 1)

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """`cos |v| x + sin |v| / |v| v`."""
        length = _length(v)
        return self.nearest(length.cos() * x + sinc(length) * v)

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """As `Manifold.log`.

        Raises:
            ValueError: for opposite points, between which there is no single shortest geodesic.
        """
        across = self.project(x, y - x)
        angle, length = self.distance(x, y)[:, None], _length(across)
        opposite = (angle[:, 0] > 3) & (length[:, 0] < 1e-6)
        if bool(opposite.any()):
            raise ValueError(f"row {int(opposite.nonzero()[0])}: the points are opposite; every direction leads there.")
        return across * torch.where(angle < 1e-4, torch.ones_like(angle), angle / length)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """The angle, with all its digits also where it is near 0 or pi."""
        return 2 * torch.atan2(_length(x - y), _length(x + y))[:, 0]

    def uniform(self, n: int, seed: int, *, first: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        """Directions of normal vectors; arguments as `Manifold.uniform`."""
        return self.nearest(normal(n, self.shape, seed, "uniform on a sphere", first=first, dtype=dtype))

    def embed(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def tangent(self, x: Tensor, w: Tensor) -> Tensor:
        """`project`."""
        return self.project(x, w)

    def log_heat(self, x: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
        """As `Manifold.log_heat`, for d = 1, 2, 3."""
        s = noise_level(sigma, x).square()
        return self._kernel.log_kernel(self.distance(x.double(), y.double()), s).to(x.dtype)

    def heat(self, x: Tensor, y: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """As `Manifold.heat`: the score is along `y - x (x . y)`."""
        s, x_, y_ = noise_level(sigma, x).square(), x.double(), y.double()
        value, slope = self._kernel.heat(self.distance(x_, y_), s)
        return value.to(x.dtype), (-slope[:, None] * self.project(x_, y_)).to(x.dtype)

    def diffuse(self, y: Tensor, z: Tensor, sigma: float | Tensor) -> Tensor:
        """As `Manifold.diffuse`: in a random direction, as far as the inverse distribution function says."""
        s, y_ = noise_level(sigma, y).square(), y.double()
        v = self.noise(y_, z.double())
        reach = _length(v)[:, 0]
        r = s.sqrt() * reach if self.d == 1 else quantile(self._kernel, reach, s.sqrt())
        return self.exp(y_, v * (r / reach)[:, None]).to(y.dtype)

    @property
    def _kernel(self) -> Radial:
        if self.d not in _KERNELS:
            raise ValueError(
                f"the heat kernel is there for spheres of dimension 1, 2 and 3, got Sphere({self.d}); of more "
                "dimensions there are manifolds.walk, along geodesics, and fit_von_mises_fisher."
            )
        return _KERNELS[self.d]


def _length(v: Tensor) -> Tensor:
    """`(n, 1)`, with a derivative at 0."""
    return v.square().sum(1, keepdim=True).clamp(min=_TINY**2).sqrt()
