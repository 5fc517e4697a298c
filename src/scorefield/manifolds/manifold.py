"""What a manifold answers: its geometry, and its heat kernel."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from scorefield._tensor import check_batch
from scorefield.numerics.divergence import Field, hutchinson


class Manifold(Protocol):
    """A compact manifold whose points are tensors of `shape`; tangent vectors have the same shape.

    sigma is the noise level: Brownian motion, whose generator is half the Laplacian, at time `sigma^2`, close to
    normal noise of that standard deviation in the tangent space while it is small, and uniform in the end.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one point, and of one tangent vector."""
        ...

    @property
    def dim(self) -> int:
        """Of the manifold."""
        ...

    @property
    def volume(self) -> float:
        """Of the whole: the uniform density is 1 over it."""
        ...

    @property
    def eigenvalue(self) -> float:
        """The least of minus the Laplacian above 0: what is not uniform fades as `exp(-eigenvalue sigma^2 / 2)`."""
        ...

    @property
    def embedded(self) -> int:
        """How many numbers `embed` gives for a point."""
        ...

    def check(self, x: Tensor) -> None:
        """Raise a ValueError, naming the row, for points that are not of the manifold."""
        ...

    def nearest(self, x: Tensor) -> Tensor:
        """The point nearest to x, `(n, *shape)`, which lies close to the manifold; right to first order."""
        ...

    def project(self, x: Tensor, w: Tensor) -> Tensor:
        """The part of w `(n, *shape)` that is tangent at x."""
        ...

    def inner(self, x: Tensor, v: Tensor, w: Tensor) -> Tensor:
        """The inner product of tangent vectors at x, `(n,)`."""
        ...

    def noise(self, x: Tensor, z: Tensor) -> Tensor:
        """Standard normal tangent vectors at x from standard normal numbers z, both `(n, *shape)`."""
        ...

    def frame(self, x: Tensor) -> Tensor:
        """Tangent vectors at x, `(dim, n, *shape)`, orthonormal as vectors of numbers."""
        ...

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Where the geodesic from x with the velocity v is at time 1."""
        ...

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """The velocity at x of the shortest geodesic that is at y at time 1."""
        ...

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """The length of the shortest geodesic, `(n,)`."""
        ...

    def uniform(self, n: int, seed: int, *, first: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        """Points drawn uniformly, `(n, *shape)`; point i is a pure function of (seed, first + i)."""
        ...

    def embed(self, x: Tensor) -> Tensor:
        """Smooth numbers `(n, embedded)` that tell all points apart: what a network sees."""
        ...

    def tangent(self, x: Tensor, w: Tensor) -> Tensor:
        """The tangent vector at x nearest to w `(n, embedded)`, a vector of the space that `embed` leads to."""
        ...

    def log_heat(self, x: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
        """`log p(x | y)`, `(n,)`, of Brownian motion from y at time sigma^2, in nats per unit of volume."""
        ...

    def heat(self, x: Tensor, y: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """`log_heat` and the score, its Riemannian gradient with respect to x, `(n, *shape)`."""
        ...

    def diffuse(self, y: Tensor, z: Tensor, sigma: float | Tensor) -> Tensor:
        """Exact draws of Brownian motion from y at time sigma^2, from standard normal numbers z `(n, *shape)`.

        The map from z is smooth, and becomes `exp(y, sigma * noise(y, z))` for small sigma.
        """
        ...


def divergence(manifold: Manifold, field: Field, x: Tensor) -> tuple[Tensor, Tensor]:
    """The Riemannian divergence of a tangent field, exactly, by `dim` derivatives.

    Args:
        manifold: where the points lie.
        field: `(n, *shape) -> (n, *shape)`, tangent at points of the manifold.
        x: `(n, *shape)`.

    Returns:
        `field(x)` and the divergence `(n,)`; both can be differentiated.

    Example:
        >>> from scorefield.manifolds import Sphere
        >>> sphere = Sphere(2)
        >>> north = torch.tensor([[0.0, 0.0, 1.0]])
        >>> value, div = divergence(sphere, lambda x: sphere.project(x, north.expand_as(x)), north)
        >>> div.tolist()  # the gradient of height, whose Laplacian is -2 times height
        [-2.0]
    """
    value, parts = hutchinson(lambda y: field(manifold.nearest(y)), x, manifold.frame(x))
    return value, parts.sum(0)


def noise_level(sigma: float | Tensor, x: Tensor) -> Tensor:
    """sigma as float64 of x's batch, `(n,)`.

    Raises:
        ValueError: for a noise level that is not positive and finite, or another shape.
    """
    value = torch.as_tensor(sigma, dtype=torch.float64, device=x.device)
    if value.ndim > 1 or (value.ndim and len(value) != len(x)):
        raise ValueError(f"sigma must be a number or of shape ({len(x)},), got the shape {tuple(value.shape)}.")
    if not torch._C._functorch.is_functorch_wrapped_tensor(value) and not bool(((value > 0) & value.isfinite()).all()):
        worst = float(value.min()) if not bool((value > 0).all()) else float(value.max())
        raise ValueError(f"sigma must be positive and finite, got {worst:g}; the heat kernel at 0 is a point.")
    return value.expand(len(x))


def check_points(manifold: Manifold, name: str, x: Tensor) -> None:
    """Raise unless x are finite points of the right shape."""
    check_batch(name, x)
    if tuple(x.shape[1:]) != manifold.shape:
        shape = ", ".join(map(str, manifold.shape))
        raise ValueError(f"points of {manifold} have the shape (n, {shape}), got {tuple(x.shape)}.")
    if not bool(torch.isfinite(x).all()):
        row = int((~torch.isfinite(x.flatten(1)).all(1)).nonzero()[0])
        raise ValueError(f"row {row} of {name} has NaN or infinite values; remove or fill it.")
