"""Supports with edges, and curved ones: the field for which integration by parts holds without a boundary term.

On a support M, for a density p that need not vanish at its edge and any smooth score s,

    E[<grad log p, v>] = -E[div v]

where v = `support.field(x, s(x))` is `h * s` with a weight h that is 0 at the edge (Hyvarinen 2007; Yu, Drton and
Shojaie 2019; Liu, Kanamori and Williams 2022), or the part of s along a curved support (Mardia, Kent and Laha 2016).
`<s, v> / 2 + div v` is then the loss of `objectives.generalised`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_ON = 1e-6  # how far a point may be from a curved support, in float32's rounding


class Support(Protocol):
    """Where data can lie."""

    def check(self, x: Tensor) -> None:
        """Raise a ValueError that names the row (and column) of a point on or beyond the edge."""
        ...

    def nearest(self, x: Tensor) -> Tensor:
        """The point of a curved support nearest to x `(n, *shape)`, right to first order; x itself otherwise."""
        ...

    def field(self, x: Tensor, s: Tensor) -> Tensor:
        """v at points x of the support, of vectors s there, both `(n, *shape)`."""
        ...


@dataclass(frozen=True)
class Everywhere:
    """The whole space, also that of angles: `v = s`."""

    def check(self, x: Tensor) -> None:
        """Nothing is outside."""

    def nearest(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def field(self, x: Tensor, s: Tensor) -> Tensor:
        """s."""
        return s


@dataclass(frozen=True, eq=False)
class Tapered:
    """The whole space with a weight that falls off in the tails: `h = (1 + ((x - centre) / reach)^2)^-2`.

    A score that is a polynomial of degree k - 1 makes samples in the tail weigh as x^(2k - 2), where maximum likelihood
    has x^k; the weight bounds that.

    Args:
        centre: a number or `(*shape)`.
        reach: likewise, > 0.

    Example:
        >>> Tapered().field(torch.tensor([[1.0]]), torch.tensor([[1.0]]))
        tensor([[0.2500]])
    """

    centre: float | Tensor = 0.0
    reach: float | Tensor = 1.0

    def __post_init__(self) -> None:
        if not bool((torch.as_tensor(self.reach) > 0).all()):
            raise ValueError(f"a Tapered weight needs a reach > 0, got {self.reach}.")

    def check(self, x: Tensor) -> None:
        """Nothing is outside."""

    def nearest(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def field(self, x: Tensor, s: Tensor) -> Tensor:
        """h s."""
        away = (x - _like(self.centre, x)) / _like(self.reach, x)
        return s * (1 + away.square()) ** -2


@dataclass(frozen=True, eq=False)
class Box:
    """Each coordinate between two edges; without the upper one, half-lines: `h = min(x - low, high - x, cap)^power`.

    Power 2 keeps the variance of an estimate finite where a density has any power of the distance (gamma, beta); power
    1 with a cap at about the data's median suits densities finite at the edge (Yu, Drton and Shojaie 2019).

    Args:
        low: a number or `(*shape)`; -infinity: no edge there.
        high: likewise.
        power: > 0.
        cap: greatest distance that counts, a number or `(*shape)`, > 0.

    Example:
        >>> Box().field(torch.tensor([[3.0]]), torch.tensor([[1.0]]))
        tensor([[9.]])
    """

    low: float | Tensor = 0.0
    high: float | Tensor = math.inf
    power: float = 2.0
    cap: float | Tensor = math.inf

    def __post_init__(self) -> None:
        if not bool((torch.as_tensor(self.low) < torch.as_tensor(self.high)).all()):
            raise ValueError(f"a Box needs low < high, got {self.low} and {self.high}.")
        if not bool((torch.as_tensor(self.cap) > 0).all()):
            raise ValueError(f"a Box needs a cap > 0, got {self.cap}.")
        _check_power(self.power)

    def check(self, x: Tensor) -> None:
        """Raise for a coordinate on or beyond an edge."""
        outside = ~((x > _like(self.low, x)) & (x < _like(self.high, x)))
        if bool(outside.any()):
            row = int(outside.flatten(1).any(1).nonzero()[0])
            column = int(outside[row].flatten().nonzero()[0])
            low, high = (float(_like(v, x).expand(x.shape[1:]).flatten()[column]) for v in (self.low, self.high))
            raise ValueError(
                f"row {row}, column {column}: {float(x[row].flatten()[column]):.10g} is not between {low:.10g} and "
                f"{high:.10g}; points must lie inside of the support, not on its edge."
            )

    def nearest(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def field(self, x: Tensor, s: Tensor) -> Tensor:
        """`h * s`, h of each coordinate."""
        low, high, cap = (_like(v, x) for v in (self.low, self.high, self.cap))
        away = torch.minimum(torch.minimum(x - low, high - x), cap)
        unbounded = torch.isinf(away)
        return s * torch.where(unbounded, 1.0, torch.where(unbounded, 1.0, away) ** self.power)


@dataclass(frozen=True, eq=False)
class Domain:
    """Any domain with a distance to its edge: `h = min(distance(x), cap)^power`, one number for all coordinates.

    Args:
        distance: `(n, *shape) -> (n,)`, > 0 inside, differentiable almost everywhere; the distance to the edge itself
            is the weight of Liu, Kanamori and Williams (2022).
        power: > 0.
        cap: greatest distance that counts.

    Example:
        >>> Domain(lambda x: 1 - x.norm(dim=1)).field(torch.tensor([[0.6, 0.0]]), torch.ones(1, 2))
        tensor([[0.4000, 0.4000]])
    """

    distance: Callable[[Tensor], Tensor]
    power: float = 1.0
    cap: float = math.inf

    def __post_init__(self) -> None:
        _check_power(self.power)

    def check(self, x: Tensor) -> None:
        """Raise for a point on or beyond the edge."""
        away = self.distance(x)
        if not bool((away > 0).all()):
            row = int((~(away > 0)).nonzero()[0])
            raise ValueError(
                f"row {row} lies on or beyond the edge of its support (distance {float(away[row]):.3g}); points must "
                "lie inside."
            )

    def nearest(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def field(self, x: Tensor, s: Tensor) -> Tensor:
        """`h * s`."""
        h = self.distance(x).clamp(max=self.cap) ** self.power
        return s * h.reshape(-1, *[1] * (s.ndim - 1))


def ball(centre: Tensor, radius: float, power: float = 1.0) -> Domain:
    """`|x - centre| < radius`, centre `(d,)`."""
    if not (math.isfinite(radius) and radius > 0):
        raise ValueError(f"a ball needs a radius > 0, got {radius}.")
    return Domain(lambda x: radius - (x - centre.to(x)).norm(dim=1), power)


def polytope(A: Tensor, b: Tensor, power: float = 1.0) -> Domain:
    """`A x < b`, A `(m, d)`, b `(m,)`: the distance to the nearest of the m faces.

    Raises:
        ValueError: for a face without a direction, or sizes that do not fit.
    """
    if A.ndim != 2 or b.shape != A.shape[:1]:
        raise ValueError(f"a polytope needs A (m, d) and b (m,), got {tuple(A.shape)} and {tuple(b.shape)}.")
    length = A.norm(dim=1)
    if not bool((length > 0).all()):
        raise ValueError(f"face {int((length == 0).nonzero()[0])} of the polytope has no direction: its row of A is 0.")
    return Domain(lambda x: ((b.to(x) - x @ A.to(x).T) / length.to(x)).amin(1), power)


@dataclass(frozen=True)
class Simplex:
    """Compositions: d parts > 0 that sum to 1; `v = h (s - mean of s)` with `h = (smallest part)^power`.

    Args:
        power: > 0; 2 keeps variances finite for every Dirichlet law.

    Example:
        >>> Simplex(1.0).field(torch.tensor([[0.25, 0.75]]), torch.tensor([[1.0, 0.0]]))
        tensor([[ 0.1250, -0.1250]])
    """

    power: float = 2.0

    def __post_init__(self) -> None:
        _check_power(self.power)

    def check(self, x: Tensor) -> None:
        """Raise for a part that is 0 or less, and for parts that do not sum to 1."""
        Box(0.0, math.inf).check(x)
        off = (x.sum(1) - 1).abs()
        if float(off.max()) > _ON * x.shape[1]:
            row = int(off.argmax())
            raise ValueError(f"row {row}: the parts of a composition sum to 1, these to {float(x[row].sum()):g}.")

    def nearest(self, x: Tensor) -> Tensor:
        """Along (1, ..., 1)."""
        return x + (1 - x.sum(1, keepdim=True)) / x.shape[1]

    def field(self, x: Tensor, s: Tensor) -> Tensor:
        """`h (s - mean of s)`."""
        return (s - s.mean(1, keepdim=True)) * x.amin(1, keepdim=True) ** self.power


@dataclass(frozen=True)
class Sphere:
    """Unit vectors `(n, d)`: v is the part of s along the sphere.

    Example:
        >>> Sphere().field(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 3.0]]))
        tensor([[0., 3.]])
    """

    def check(self, x: Tensor) -> None:
        """Raise for a vector that is not of length 1."""
        off = (x.norm(dim=1) - 1).abs()
        if not float(off.max()) <= _ON * math.sqrt(x.shape[1]):
            row = int(off.nan_to_num(nan=math.inf).argmax())
            raise ValueError(f"row {row} has length {float(x[row].norm()):g}, and a point of the sphere 1.")

    def nearest(self, x: Tensor) -> Tensor:
        """`x / |x|`."""
        return x / x.norm(dim=1, keepdim=True)

    def field(self, x: Tensor, s: Tensor) -> Tensor:
        """`s - x (x . s)`."""
        return s - x * (x * s).sum(1, keepdim=True)


@dataclass(frozen=True)
class Stiefel:
    """Matrices `(n, a, b)` with orthonormal columns, rotations among them: v is the part of s along them.

    Example:
        >>> Stiefel().field(torch.eye(2)[None], torch.ones(1, 2, 2))
        tensor([[[0., 0.],
                 [0., 0.]]])
    """

    def check(self, x: Tensor) -> None:
        """Raise for a matrix whose columns are not orthonormal."""
        if x.ndim != 3 or x.shape[1] < x.shape[2]:
            raise ValueError(f"these are matrices (n, a, b) with a >= b, got the shape {tuple(x.shape)}.")
        off = (x.mT @ x - torch.eye(x.shape[2]).to(x)).abs().flatten(1).amax(1)
        if not float(off.max()) <= 10 * _ON:
            row = int(off.nan_to_num(nan=math.inf).argmax())
            raise ValueError(f"row {row}: the columns of the matrix are not orthonormal, off by {float(off[row]):.2g}.")

    def nearest(self, x: Tensor) -> Tensor:
        """`x (3 - x^T x) / 2`: Newton's step to the polar factor, whose derivative at an orthonormal x it has."""
        return x @ (3 * torch.eye(x.shape[2]).to(x) - x.mT @ x) / 2

    def field(self, x: Tensor, s: Tensor) -> Tensor:
        """`s - x (x^T s + s^T x) / 2`."""
        inner = x.mT @ s
        return s - x @ (inner + inner.mT) / 2


def _like(value: float | Tensor, x: Tensor) -> Tensor:
    """A number with all of its digits, where x has them."""
    return torch.as_tensor(value, dtype=x.dtype, device=x.device)


def _check_power(power: float) -> None:
    if not (math.isfinite(power) and power > 0):
        raise ValueError(f"power must be > 0 and finite, got {power}.")
