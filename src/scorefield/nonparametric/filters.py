"""Spectral filters: how an estimator inverts the operator of a kernel that data tell only in part.

The score solves `L s = -zeta` for an operator L with eigenvalues in [0, 1] that fall to 0. A filter is a function
`g(sigma)` near `1 / sigma` that stays bounded at 0; the estimate is `-g(L) zeta`. Beside g itself an estimate needs
`g(0)` and `r(sigma) = (g(sigma) - g(0)) / sigma`, which each filter gives without dividing by small numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from scorefield._ranges import real, whole

_POSITIVE, _STEPS = real(0, 1e12, open_low=True), whole(1, 1_000_000)
_RATE = real(0, 2, open_low=True, open_high=True)


class Filtered(NamedTuple):
    """A filter on a spectrum `(k,)`.

    Args:
        at_zero: `g(0)`.
        g: `(k,)`.
        r: `(g(sigma) - g(0)) / sigma`, `(k,)`.
    """

    at_zero: float
    g: Tensor
    r: Tensor


@dataclass(frozen=True)
class Tikhonov:
    """`g = 1 / (sigma + ridge)`: the loss with `ridge / 2` times the squared norm.

    With a curl-free kernel this is the kernel exponential family (Sriperumbudur and others 2017), with a diagonal one
    at the data the Stein gradient estimator (Li and Turner 2018, whose eta is n times the ridge).

    Args:
        ridge: > 0.
    """

    ridge: float

    def __post_init__(self) -> None:
        _POSITIVE("Tikhonov(ridge=...)", self.ridge)

    def on(self, sigma: Tensor) -> Filtered:
        """The filter on a spectrum `(k,)`, >= 0."""
        g = 1 / (sigma + self.ridge)
        return Filtered(1 / self.ridge, g, -g / self.ridge)


@dataclass(frozen=True)
class Cutoff:
    """`g = 1 / sigma` where `sigma >= least`, else 0: the score within the leading eigenfunctions.

    Args:
        least: > 0; the kernels of this package have eigenvalues of at most 1.
    """

    least: float

    def __post_init__(self) -> None:
        _POSITIVE("Cutoff(least=...)", self.least)

    def on(self, sigma: Tensor) -> Filtered:
        """The filter on a spectrum `(k,)`, >= 0."""
        return _kept(sigma, sigma >= self.least)


@dataclass(frozen=True)
class Leading:
    """`g = 1 / sigma` on the `count` greatest eigenvalues, else 0.

    With a diagonal kernel this is the spectral Stein gradient estimator (SSGE; Shi, Sun and Zhu 2018).

    Args:
        count: of eigenfunctions, >= 1; eigenvalues below 1e-12 times the greatest are never taken.
    """

    count: int

    def __post_init__(self) -> None:
        _STEPS("Leading(count=...)", self.count)

    def on(self, sigma: Tensor) -> Filtered:
        """The filter on a spectrum `(k,)`, >= 0."""
        kept = torch.zeros_like(sigma, dtype=torch.bool)
        kept[sigma.argsort(descending=True)[: self.count]] = True
        return _kept(sigma, kept & (sigma > 1e-12 * sigma.max()))


def _kept(sigma: Tensor, kept: Tensor) -> Filtered:
    g = torch.where(kept, 1 / torch.where(kept, sigma, 1.0), 0.0)
    return Filtered(0.0, g, g.square())


class Step(NamedTuple):
    """`s <- s + momentum (s - s before) - rate (L s + zeta)`."""

    momentum: float
    rate: float


@dataclass(frozen=True)
class Landweber:
    """Gradient descent on the loss, stopped early: `g = (1 - (1 - rate sigma)^steps) / sigma`.

    Args:
        steps: >= 1.
        rate: of a step, between 0 and 2.
    """

    steps: int
    rate: float = 1.0

    def __post_init__(self) -> None:
        _STEPS("Landweber(steps=...)", self.steps)
        _RATE("Landweber(rate=...)", self.rate)

    def step(self, k: int) -> Step:
        """The k-th step, from 1."""
        return Step(0.0, self.rate)

    def on(self, sigma: Tensor) -> Filtered:
        """The filter on a spectrum `(k,)`, within [0, 1]."""
        return on_spectrum([self], sigma)[0]


@dataclass(frozen=True)
class NuMethod:
    """Accelerated gradient descent, stopped early: in t steps as far as `t^2` of Landweber's (Zhou, Shi and Zhu 2020).

    `momentum = (t - 1)(2t - 3)(2t + 2 nu - 1) / ((t + 2 nu - 1)(2t + 4 nu - 1)(2t + 2 nu - 3))`,
    `rate = 4 (2t + 2 nu - 1)(t + nu - 1) / ((t + 2 nu - 1)(2t + 4 nu - 1))`; one step is one of Landweber's with
    rate `(4 nu + 2) / (4 nu + 1)`.

    Args:
        steps: >= 1.
        nu: > 0, the smoothness of scores for which it is best.
    """

    steps: int
    nu: float = 1.0

    def __post_init__(self) -> None:
        _STEPS("NuMethod(steps=...)", self.steps)
        _POSITIVE("NuMethod(nu=...)", self.nu)

    def step(self, k: int) -> Step:
        """The k-th step, from 1."""
        t, nu = float(k), self.nu
        both = (t + 2 * nu - 1) * (2 * t + 4 * nu - 1)
        rate = 4 * (2 * t + 2 * nu - 1) * (t + nu - 1) / both
        if k == 1:
            return Step(0.0, rate)
        return Step((t - 1) * (2 * t - 3) * (2 * t + 2 * nu - 1) / (both * (2 * t + 2 * nu - 3)), rate)

    def on(self, sigma: Tensor) -> Filtered:
        """The filter on a spectrum `(k,)`, within [0, 1]."""
        return on_spectrum([self], sigma)[0]


Iterative: TypeAlias = Landweber | NuMethod
Filter: TypeAlias = Tikhonov | Cutoff | Leading | Landweber | NuMethod


def iterates(steps: Callable[[int], Step], operator: Callable[[Tensor], Tensor], h: Tensor) -> Iterator[Filtered]:
    """After each step `g(0)`, `g(A) h` and `r(A) h` of an iterative filter, by products with the operator A alone.

    Args:
        steps: of a filter.
        operator: A.
        h: what A is applied to.
    """
    zero, g, r = (0.0, 0.0), (torch.zeros_like(h),) * 2, (torch.zeros_like(h),) * 2  # now, and one before
    k = 0
    while True:
        k += 1
        u, w = steps(k)
        # r: (g - g(0)) / sigma of the line for g, divided by sigma before it is computed
        r = (r[0] + u * (r[0] - r[1]) - w * g[0], r[0])
        g = (g[0] + u * (g[0] - g[1]) + w * (h - operator(g[0])), g[0])
        zero = (zero[0] + u * (zero[0] - zero[1]) + w, zero[0])
        yield Filtered(zero[0], g[0], r[0])


def after_steps(
    filters: Sequence[Iterative], operator: Callable[[Tensor], Tensor], h: Tensor
) -> dict[Filter, Filtered]:
    """What `iterates` gives for each filter, those that differ in their number of steps alone in one run."""
    found: dict[Filter, Filtered] = {}
    families: dict[Iterative, list[Iterative]] = {}
    for filter in filters:
        families.setdefault(replace(filter, steps=1), []).append(filter)
    for family in families.values():
        last = max(filter.steps for filter in family)
        for k, result in zip(range(1, last + 1), iterates(family[0].step, operator, h), strict=False):
            for filter in family:
                if filter.steps == k:
                    found[filter] = result
    return found


def on_spectrum(filters: Sequence[Filter], sigma: Tensor) -> list[Filtered]:
    """Each filter on a spectrum `(k,)`, within [0, 1]."""
    iterative = [filter for filter in filters if isinstance(filter, Landweber | NuMethod)]
    found = after_steps(iterative, lambda v: sigma * v, torch.ones_like(sigma))
    return [found[f] if isinstance(f, Landweber | NuMethod) else f.on(sigma) for f in filters]
