"""Exponential families fitted by score matching in closed form: parameters in their usual form, errors, a table.

No normalising constant is needed, which is what makes truncated, directional and square-root families as easy as a
Gaussian. Standard errors are sandwich ones, right for data that are not of the family too, and are brought to the usual
parameters by the delta method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield import _ranges
from scorefield.objectives.closed_form import ExponentialFamilyFit, Statistics, exponential_family
from scorefield.objectives.supports import Box, Everywhere, Simplex, Sphere, Support


@dataclass(frozen=True, eq=False)
class Family:
    """`p(x) ~ exp(theta . T(x))` on a support.

    Args:
        name: in words.
        statistics: T, `(n, d) -> (n, k)`.
        support: where x lies.
        names: of the usual parameters, p of them.
        usual: theta `(k,)` to these `(p,)`, differentiable.
    """

    name: str
    statistics: Statistics
    support: Support
    names: tuple[str, ...]
    usual: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class FamilyFit:
    """A family fitted to data.

    Args:
        family: what was fitted.
        natural: the fit of theta.
        n: samples.
        method: by which it was fitted, in words.
    """

    family: Family
    natural: ExponentialFamilyFit
    n: int
    method: str = "score matching"

    @property
    def parameters(self) -> Tensor:
        """The usual parameters, `(p,)`, as `family.names`."""
        return self.family.usual(self.natural.theta)

    @property
    def covariance(self) -> Tensor:
        """Of them, `(p, p)`, by the delta method."""
        J = torch.func.jacrev(self.family.usual)(self.natural.theta)
        covariance: Tensor = J @ self.natural.covariance @ J.T
        return covariance

    @property
    def standard_error(self) -> Tensor:
        """Of them, `(p,)`."""
        return self.covariance.diagonal().sqrt()

    def interval(self, level: float = 0.95) -> Tensor:
        """Confidence intervals `(p, 2)` by the normal law of the estimate."""
        _ranges.real(0, 1)("interval(level=...)", level)
        z = math.sqrt(2) * float(torch.erfinv(torch.tensor(level, dtype=torch.float64)))
        half = z * self.standard_error
        return torch.stack([self.parameters - half, self.parameters + half], 1)

    def wald(self, values: Tensor | Sequence[float]) -> float:
        """The p-value of Wald's test that the usual parameters have these values: chi-squared, p degrees of freedom."""
        asked = torch.as_tensor(values, dtype=torch.float64)
        if asked.shape != self.parameters.shape:
            raise ValueError(f"wald takes {len(self.family.names)} values, {', '.join(self.family.names)}.")
        apart = asked - self.parameters
        square = apart @ torch.linalg.solve(self.covariance, apart)
        half = torch.tensor(len(apart) / 2, dtype=torch.float64)
        return float(torch.special.gammaincc(half, square / 2))

    def summary(self, level: float = 0.95) -> str:
        """A table: each parameter with its standard error, z, two-sided p of being 0, and confidence interval."""
        value, error, interval = self.parameters, self.standard_error, self.interval(level)
        z = value / error
        p = torch.erfc(z.abs() / math.sqrt(2))
        width = max(9, *(len(name) for name in self.family.names))
        low, high = (f"{100 * q:g} %" for q in ((1 - level) / 2, (1 + level) / 2))
        head = f"{self.family.name}, {self.n:,} samples, {self.method}; information criterion {self.criterion:.6g}"
        columns = ("estimate", "std err", "z", "p", low, high)
        lines = [head, " " * width + "".join(f"{name:>12}" for name in columns)]
        for j, name in enumerate(self.family.names):
            numbers = (value[j], error[j], z[j], p[j], *interval[j])
            lines.append(f"{name:<{width}}" + "".join(f"{float(number):>12.4g}" for number in numbers))
        return "\n".join(lines)

    @property
    def criterion(self) -> float:
        """The score matching information criterion (Matsuda, Uehara and Hyvarinen 2021): less is better.

        The loss at the estimate plus `tr(Omega G^-1) / n`, what it is too low by for having been fitted. It compares
        families on the same support with the same weight.
        """
        return self.natural.loss + self.natural.optimism

    def __repr__(self) -> str:
        shown = zip(self.family.names, self.parameters.tolist(), self.standard_error.tolist(), strict=True)
        return f"FamilyFit({self.family.name}: {', '.join(f'{n} = {v:.4g} +- {e:.2g}' for n, v, e in shown)})"


def fit(x: Any, family: Family, *, weights: Tensor | None = None) -> FamilyFit:
    """Fit a family.

    Args:
        x: `(n, d)` or `(n,)`: a tensor, an array or a data frame of numbers.
        family: of the functions below, or one's own.
        weights: of the samples, `(n,)`.

    Raises:
        ValueError: for a sample on or beyond the edge of the support, named by row and column; for statistics that
            depend on each other on these samples.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.distributions.Gamma(3.0, 2.0).sample((0,))  # or any positive numbers
        >>> x = -torch.rand(5000, 3, generator=g).log().sum(1) / 2
        >>> found = fit(x, gamma())
        >>> found.parameters.round().tolist()
        [3.0, 2.0]
    """
    points = x if isinstance(x, Tensor) else torch.from_numpy(np.array(x))
    if points.ndim not in (1, 2) or points.is_complex():
        raise ValueError(f"fit takes numbers (n,) or (n, d), got the shape {tuple(points.shape)}.")
    points = points.double().reshape(len(points), -1)
    found = exponential_family(points, family.statistics, weights=weights, support=family.support)
    return FamilyFit(family, found, len(points))


@dataclass(frozen=True, eq=False)
class ScoreExpFamily:
    """Data and the family that is to be fitted to them, in the manner of statsmodels: `fit` gives the results.

    Args:
        x: `(n, d)` or `(n,)`: a data frame, an array or a tensor of numbers.
        family: of the functions below, or one's own.

    Example:
        >>> ScoreExpFamily([1.0, 2.0, 3.0, 4.0], normal()).fit()
        FamilyFit(normal: mean = 2.5 +- 0.56, variance = 1.25 +- 0.5)
    """

    x: Any
    family: Family

    def fit(self, *, weights: Tensor | None = None) -> FamilyFit:
        """See `families.fit`."""
        return fit(self.x, self.family, weights=weights)


# ------------------------------------------------------------------------------------------------------- the families


def normal(d: int = 1) -> Family:
    """`N(mean, variance)` of one number, or of d with their precision matrix."""
    return _normal("normal", d, Everywhere())


def truncated_normal(
    low: float | Tensor = 0.0, high: float | Tensor = math.inf, d: int = 1, power: float = 1.0
) -> Family:
    """`exp(-(x - m) . K (x - m) / 2)` between edges: m and K (or, of one number, 1 / K) are those before truncation."""
    return _normal("truncated normal", d, Box(low, high, power))


def gamma() -> Family:
    """`x^(shape - 1) exp(-rate x)` on x > 0."""
    return Family("gamma", lambda x: torch.cat([x.log(), -x], 1), Box(), ("shape", "rate"), _after_first_one)


def beta() -> Family:
    """`x^(a - 1) (1 - x)^(b - 1)` on 0 < x < 1."""
    return Family(
        "beta", lambda x: torch.cat([x.log(), (-x).log1p()], 1), Box(0.0, 1.0), ("a", "b"), lambda theta: theta + 1
    )


def dirichlet(parts: int) -> Family:
    """`prod x_j^(a_j - 1)` of compositions of so many parts."""
    names = tuple(f"a{j}" for j in range(parts))
    return Family("Dirichlet", torch.log, Simplex(), names, lambda theta: theta + 1)


def polynomially_tilted(parts: int) -> Family:
    """`prod x_j^beta_j exp(y . A y + b . y)` of compositions, y all parts but the last (Scealy and Wood 2022).

    The polynomially tilted pairwise interaction model (PPI): Dirichlet laws, tilted by interactions of either sign.
    `beta_j > -1`; A is symmetric, its upper half stands in the table.
    """
    _ranges.whole(2, 1000)("polynomially_tilted(parts=...)", parts)
    pairs = [(i, j) for i in range(parts - 1) for j in range(i, parts - 1)]
    products = _products(pairs, 1.0)
    names = (
        *(f"beta{j}" for j in range(parts)),
        *(f"b{j}" for j in range(parts - 1)),
        *(f"A{i}{j}" for i, j in pairs),
    )
    statistics = lambda x: torch.cat([x.log(), x[:, :-1], products(x)], 1)  # noqa: E731
    return Family("polynomially tilted pairwise interactions", statistics, Simplex(), names, lambda theta: theta)


def von_mises() -> Family:
    """`exp(concentration cos(x - direction))` of angles, in radians."""

    def usual(theta: Tensor) -> Tensor:
        return torch.stack([torch.atan2(theta[1], theta[0]), torch.linalg.vector_norm(theta)])

    statistics = lambda x: torch.cat([x.cos(), x.sin()], 1)  # noqa: E731
    return Family("von Mises", statistics, Everywhere(), ("direction", "concentration"), usual)


def von_mises_fisher(d: int) -> Family:
    """`exp(concentration direction . x)` of unit vectors `(n, d)`."""

    def usual(theta: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(theta)
        return torch.cat([theta / length, length[None]])

    names = (*(f"direction{j}" for j in range(d)), "concentration")
    return Family("von Mises-Fisher", lambda x: x, Sphere(), names, usual)


def bingham(d: int) -> Family:
    """`exp(x . A x)` of unit vectors `(n, d)`, A symmetric; its last diagonal entry, free as `|x| = 1`, is 0."""
    pairs = [(i, j) for i in range(d) for j in range(i, d)][:-1]
    return Family("Bingham", _products(pairs, 1.0), Sphere(), tuple(f"A{i}{j}" for i, j in pairs), lambda theta: theta)


def fisher_bingham(d: int) -> Family:
    """`exp(b . x + x . A x)` of unit vectors, A as `bingham`."""
    curved = bingham(d)
    names = (*(f"b{j}" for j in range(d)), *curved.names)
    statistics = lambda x: torch.cat([x, curved.statistics(x)], 1)  # noqa: E731
    return Family("Fisher-Bingham", statistics, Sphere(), names, lambda theta: theta)


def polynomial(degree: int) -> Family:
    """`exp(theta1 x + ... + theta_k x^k)` of one number."""
    _ranges.whole(1, 40)("polynomial(degree=...)", degree)
    powers = torch.arange(1, degree + 1)
    names = tuple(f"theta{k}" for k in powers.tolist())
    return Family("polynomial", lambda x: x ** powers.to(x), Everywhere(), names, lambda theta: theta)


def exponential_square_root(d: int) -> Family:
    """`exp(2 eta . sqrt(x) - sqrt(x) . K sqrt(x))` on positive x (Inouye, Ravikumar and Dhillon 2016)."""
    pairs = [(i, j) for i in range(d) for j in range(i, d)]
    products = _products(pairs, -1.0)
    names = (*(f"eta{j}" for j in range(d)), *(f"K{i}{j}" for i, j in pairs))
    statistics = lambda x: torch.cat([2 * x.sqrt(), products(x.sqrt())], 1)  # noqa: E731
    return Family("exponential square root", statistics, Box(), names, lambda theta: theta)


def _normal(name: str, d: int, support: Support) -> Family:
    pairs = [(i, j) for i in range(d) for j in range(i, d)]
    products = _products(pairs, -0.5)

    def usual(theta: Tensor) -> Tensor:
        K = theta.new_zeros(d, d)
        i, j = torch.tensor(pairs).T
        K = K.index_put((i, j), theta[d:])
        K = K.index_put((j, i), theta[d:])
        mean = torch.linalg.solve(K, theta[:d])
        return torch.cat([mean, 1 / theta[1:] if d == 1 else theta[d:]])

    names = ("mean", "variance") if d == 1 else (*(f"mean{j}" for j in range(d)), *(f"K{i}{j}" for i, j in pairs))
    return Family(name, lambda x: torch.cat([x, products(x)], 1), support, names, usual)


def _products(pairs: Sequence[tuple[int, int]], factor: float) -> Statistics:
    """`factor x_i x_j` of each pair, both orders of it."""
    i, j = torch.tensor(pairs).T
    scale = factor * torch.where(i == j, 1.0, 2.0).double()
    return lambda x: x[:, i] * x[:, j] * scale.to(x)


def _after_first_one(theta: Tensor) -> Tensor:
    return torch.stack([theta[0] + 1, theta[1]])
