"""Pairwise interaction models: densities whose score is linear in a matrix of interactions, on supports with edges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.objectives.closed_form import EVERYWHERE
from scorefield.objectives.supports import Box, Domain, Everywhere, Support

_REAL = (Everywhere, Box, Domain)  # the field of coordinate j is h_j(x) times the vector's coordinate j


@dataclass(frozen=True, eq=False)
class Interactions:
    """`log p(x) = -t(x) . K t(x) / (2 a) + eta . u(x) - constant`, `t = x^a` and `u = x^b / b` for each coordinate.

    An exponent of 0 means the logarithm, `t = log x` (then without the a in the factor) or `u = log x`. No edge
    between i and j, `K_ij = 0`, is their conditional independence given all the others.

    Args:
        name: in words.
        a: exponent of the interactions, >= 0.
        b: exponent of the part linear in eta, >= 0.
        support: of the data: `Everywhere`, `Box` or `Domain` (`ball`, `polytope`) of `objectives.supports`.
        location: whether eta is free; otherwise it is 0.
        cap: the greatest distance to an edge that counts, in units of a column's scale (see `moments.scales`).

    Raises:
        ValueError: for exponents out of range, powers of numbers that may be negative, a support of another kind.

    Source: Yu, Drton and Shojaie (2019); Inouye, Ravikumar and Dhillon (2016) for a = b = 1/2.
    """

    name: str
    a: float = 1.0
    b: float = 1.0
    support: Support = EVERYWHERE
    location: bool = True
    cap: float = math.inf

    def __post_init__(self) -> None:
        for letter, value in (("a", self.a), ("b", self.b), ("cap", self.cap)):
            if not value >= 0 or (letter != "cap" and math.isinf(value)):
                raise ValueError(f"Interactions({letter}=...) must be >= 0 and finite, got {value}.")
        if not self.cap > 0:
            raise ValueError("Interactions(cap=...) must be > 0, got 0.")
        if not isinstance(self.support, _REAL):
            raise ValueError(
                f"graphs are fitted on Everywhere, a Box or a Domain, got {self.support}; families.dirichlet and "
                "others of objectives.families fit laws on simplices and spheres."
            )
        low = self.support.low if isinstance(self.support, Box) else -math.inf
        positive = bool((torch.as_tensor(low) >= 0).all())
        if (self.a, self.b) != (1.0, 1.0) and not positive and not isinstance(self.support, Domain):
            raise ValueError(
                f"x^{self.a:g} and x^{self.b:g} need x > 0: give a Box with low >= 0, or a = b = 1 for any numbers."
            )

    @property
    def plain(self) -> bool:
        """Whether every edge's weight is 1, and one Gram matrix serves all columns."""
        return isinstance(self.support, Everywhere) and self.a == 1 and self.b == 1

    def t(self, x: Tensor) -> Tensor:
        """What interacts, `x^a` or `log x`, any shape."""
        return x.log() if self.a == 0 else x**self.a

    def scaled_support(self, scale: Tensor) -> Support:
        """The support of `x / scale`, scale `(d,)`, with the cap."""
        support = self.support
        if isinstance(support, Box):
            low, high, cap = (torch.as_tensor(v).to(scale) / scale for v in (support.low, support.high, support.cap))
            return Box(low, high, support.power, cap.clamp(max=self.cap))
        if isinstance(support, Domain):
            return Domain(lambda z: support.distance(z * scale.to(z)), support.power, min(support.cap, self.cap))
        return support


def gaussian(*, location: bool = True) -> Interactions:
    """`N(mean, K^-1)`; without a location the mean is 0. K is then the precision matrix (Lin, Drton and Shojaie 2016).

    Example:
        >>> gaussian().name
        'Gaussian'
    """
    return Interactions("Gaussian", location=location)


def truncated_gaussian(
    low: float | Tensor = 0.0,
    high: float | Tensor = math.inf,
    *,
    location: bool = True,
    power: float = 1.0,
    cap: float = 3.0,
) -> Interactions:
    """`exp(-(x - m) . K (x - m) / 2)` between edges, by default of non-negative numbers.

    Args:
        low: a number or `(d,)`.
        high: likewise.
        location: whether m is free; otherwise it is 0.
        power: of the weight `min(distance to the edge, cap)^power`.
        cap: in units of a column's scale.
    """
    return Interactions("truncated Gaussian", 1.0, 1.0, Box(low, high, power), location, cap)


def exponential_square_root(*, location: bool = True, power: float = 1.5, cap: float = 3.0) -> Interactions:
    """`exp(2 eta . sqrt(x) - sqrt(x) . K sqrt(x))` on x > 0 (Inouye, Ravikumar and Dhillon 2016)."""
    return interactions(0.5, 0.5, location=location, power=power, cap=cap)


def gamma(*, power: float = 1.5, cap: float = 3.0) -> Interactions:
    """`exp(eta . log(x) - sqrt(x) . K sqrt(x))` on x > 0, eta > -1: gamma laws, where K is diagonal."""
    return interactions(0.5, 0.0, power=power, cap=cap)


def interactions(
    a: float,
    b: float,
    low: float | Tensor = 0.0,
    high: float | Tensor = math.inf,
    *,
    location: bool = True,
    power: float | None = None,
    cap: float = 3.0,
) -> Interactions:
    """The a-b model between edges at or above 0 (Yu, Drton and Shojaie 2019).

    Args:
        a: exponent of the interactions, >= 0; 0 is the logarithm.
        b: exponent of the part that is linear in eta, likewise.
        low: a number or `(d,)`.
        high: likewise.
        location: whether eta is free; otherwise it is 0.
        power: of the weight; `max(2 - a, 1/2)` where it is not given, 2 with logarithms.
        cap: in units of a column's scale.
    """
    named = {(0.5, 0.5): "exponential square root", (0.5, 0.0): "gamma interactions"}
    if power is None:
        power = 2.0 if 0 in (a, b) else max(2 - a, 0.5)
    name = named.get((a, b), f"interactions of a = {a:g}, b = {b:g}")
    return Interactions(name, a, b, Box(low, high, power), location, cap)
