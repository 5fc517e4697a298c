"""Coordinates in which multistep and Runge-Kutta plans interpolate, and the exact integration of their polynomials.

Along a path of levels `w = x / r` is `A x0 + B eps`, and the probability flow is `dw/du = A'(u) x0 + B'(u) eps`,
whatever the scale r and the coordinate u. A method interpolates x0 and eps by polynomials in u through past
estimates and integrates exactly, so that constant estimates (data at one point) are followed exactly in every variable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from scorefield.plans.rows import Combination, Point


@dataclass(frozen=True)
class Variable:
    """A coordinate u of noise levels with a scale r: `(alpha, sigma) / r = point(u)`.

    Args:
        name: for display.
        coordinate: `(alpha, sigma) -> u`; may be infinite at an end.
        radius: `(alpha, sigma) -> r`.
        point: `u -> (A, B)`, for tensors.
        rate: `u -> (dA/du, dB/du)`.
    """

    name: str
    coordinate: Callable[[float, float], float]
    radius: Callable[[float, float], float]
    point: Callable[[Tensor], tuple[Tensor, Tensor]]
    rate: Callable[[Tensor], tuple[Tensor, Tensor]]

    def __repr__(self) -> str:
        return f"Variable({self.name})"

    def regular(self, *levels: Point) -> bool:
        """Whether the coordinate is finite at all these levels."""
        return all(math.isfinite(self.coordinate(*level)) for level in levels)

    def at(self, u: float, like: tuple[Point, Point]) -> Point:
        """The level at coordinate u between two others, in their scale."""
        A, B = (float(v) for v in self.point(torch.tensor(u, dtype=torch.float64)))
        (a, s), (b, t) = like
        if a == b and A:
            return a, a * B / A
        share = (u - self.coordinate(a, s)) / (self.coordinate(b, t) - self.coordinate(a, s))
        size = (1 - share) * math.hypot(a, s) + share * math.hypot(b, t)
        return size * A / math.hypot(A, B), size * B / math.hypot(A, B)


def _log_ratio(alpha: float, sigma: float) -> float:
    return math.log(alpha / sigma) if alpha and sigma else math.copysign(math.inf, alpha - sigma)


def _divide(a: float, b: float) -> float:
    return a / b if b else math.inf


def _one(u: Tensor) -> Tensor:
    return torch.ones_like(u)


def _zero(u: Tensor) -> Tensor:
    return torch.zeros_like(u)


EPS = Variable("eps", lambda a, s: _divide(s, a), lambda a, s: a, lambda u: (_one(u), u), lambda u: (_zero(u), _one(u)))
"""Polynomials of eps in sigma / alpha: EDM's and k-diffusion's. Singular at alpha = 0."""
X0 = Variable("x0", lambda a, s: _divide(a, s), lambda a, s: s, lambda u: (u, _one(u)), lambda u: (_one(u), _zero(u)))
"""Polynomials of x0 in alpha / sigma. Singular at sigma = 0."""
FLOW = Variable(
    "flow", lambda a, s: s / (a + s), lambda a, s: a + s, lambda u: (1 - u, u), lambda u: (-_one(u), _one(u))
)
"""Polynomials of eps - x0 in `sigma / (alpha + sigma)`: straight lines. Regular at both ends."""
ANGLE = Variable(
    "angle", lambda a, s: math.atan2(s, a), math.hypot, lambda u: (u.cos(), u.sin()), lambda u: (-u.sin(), u.cos())
)
"""Polynomials of the pair in the angle `atan(sigma / alpha)`: `x / r = cos(u) x0 + sin(u) eps`.
Regular at both ends."""
LOG_X0 = Variable("log-snr x0", _log_ratio, lambda a, s: s, lambda u: (u.exp(), _one(u)), lambda u: (u.exp(), _zero(u)))
"""Polynomials of x0 in `log(alpha / sigma)`: DPM-Solver++ (Lu and others 2022b). Singular at both ends."""
LOG_EPS = Variable(
    "log-snr eps", _log_ratio, lambda a, s: a, lambda u: (_one(u), (-u).exp()), lambda u: (_zero(u), -(-u).exp())
)
"""Polynomials of eps in `log(alpha / sigma)`: DPM-Solver (Lu and others 2022a), DEIS. Singular at both ends."""

VARIABLES: tuple[Variable, ...] = (EPS, X0, FLOW, ANGLE, LOG_X0, LOG_EPS)
"""All of them, for tables of tests and for names in files and on the command line."""


@cache
def gauss(count: int = 32) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss and Legendre on [0, 1]"""
    from numpy.polynomial.legendre import leggauss

    x, w = (torch.from_numpy(v) for v in leggauss(count))
    return (x + 1) / 2, w / 2


def integrals(variable: Variable, nodes: Sequence[Point], start: Point, end: Point) -> tuple[list[float], list[float]]:
    """`int L_j A' du` and `int L_j B' du` from start to end, L_j the Lagrange basis through the nodes' coordinates."""
    lo, hi = (variable.coordinate(*level) for level in (start, end))
    x, weight = gauss()
    u = lo + (hi - lo) * x
    dA, dB = ((hi - lo) * rate for rate in variable.rate(u))
    places = [variable.coordinate(*level) for level in nodes]
    data, noise = [], []
    for j, place in enumerate(places):
        basis = weight.clone()
        for i, other in enumerate(places):
            if i != j:
                basis *= (u - other) / (place - other)
        data.append(float(basis @ dA))
        noise.append(float(basis @ dB))
    return data, noise


def step(
    variable: Variable, state: Combination, start: Point, end: Point, nodes: Sequence[tuple[int, Point]]
) -> Combination:
    """From a state at one level to the next along the polynomial through the nodes (row, level), the newest first.

    Where the variable is singular at an end, or has no finite node, this is the DDIM step of the newest estimate.
    """
    finite = [(k, level) for k, level in nodes if variable.regular(level)]
    if not variable.regular(start, end) or not finite:
        k = nodes[0][0]
        factor = end[1] / start[1]
        return state.scaled(factor).plus(k, data=end[0] - factor * start[0])
    data, noise = integrals(variable, [level for _, level in finite], start, end)
    r = variable.radius(*end)
    state = state.scaled(r / variable.radius(*start))
    for (k, _), p, e in zip(finite, data, noise, strict=True):
        state = state.plus(k, data=r * p, noise=r * e)
    return state
