"""The log-density of a model that corrects a base law whose density is known: only the correction is integrated.

Let p_m be the base law, noised, with `E[eps | z] = eps_m` at the level (1, s), let the model answer
`E[x0 | z] = x0_m + change`, and let t = log s. Along any path z(t) of velocity v,

    d (log q - log p_m) / dt = div(change) - change . eps_m / s + change . (v - v_q) / s^2,

where v_q = s eps_m - change is the velocity of the model's probability flow. The base law is never differentiated: the
trace of the Jacobian is that of the correction alone. The path is a step of Adams and Bashforth from level to level and
one of Adams and Moulton back over it, for which the network is asked without its derivatives, at a small part of their
cost; by how much it is not the flow's the last term accounts for, as far as the model's answers are the gradient of its
density. The integrand, which is smooth in t and fades towards both ends, is summed by the trapezoidal rule over levels
that are the same for all points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from scorefield.likelihood.density import LogDensity
from scorefield.likelihood.level_density import USUAL, LevelDensity
from scorefield.likelihood.reference import Reference
from scorefield.progress import Report, counted, part, silent

_MOST_STEPS = 3072
_CAUTION = 4.0  # times less than what half as many levels change is the error taken for
_SHARE = 0.8  # of the work that is left, for a report
_FINE, _LESS = 48, 8.0  # steps from which on what half the levels change is held to be no less than this part of before
_FEW = 6  # levels, of which none is left out for differences
_ORDER = 3  # levels from which velocities are extrapolated
_MANY, _ENDS = 13, (3 / 8, 7 / 6, 23 / 24)  # levels from which on the ends are summed by Gregory's weights
_GAUSS = tuple((0.5 + side * math.sqrt(0.15), (8 - 3 * abs(side)) / 18) for side in (-1, 0, 1))
"""Nodes in [0, 1] and their weights, exact for polynomials of degree 5."""


class CorrectedLaw(Protocol):
    """A base law and a correction of its answers, for points `(n, d)`, at the level (1, s)."""

    def base(self, z: Tensor, s: float) -> Tensor:
        """`E[eps | z]` of the base law, `(n, d)`."""
        ...

    def change(self, z: Tensor, s: float) -> Tensor:
        """The change of `E[x0 | z]`, `(n, d)`."""
        ...

    def change_and_divergence(self, z: Tensor, s: float) -> tuple[Tensor, Tensor]:
        """The same, and its divergence, `(n,)`."""
        ...

    def log_density(self, z: Tensor, s: float) -> Tensor:
        """Of the base law, `(n,)`."""
        ...


class Points(NamedTuple):
    """Points and the Gaussian that their coordinates are measured by.

    Args:
        z: `(n, d)` float64, the reference's mean taken off.
        counted: `(n, d)` bool: the coordinates that a point has; the others stay 0, with answers of 0.
        reference: N(0, C): at (1, high) the law is N(0, C + high^2).
        beside: how far points are from these whose log-densities are wanted too, `(k, n, d)`: near enough that at half
            of the levels the difference is found.
    """

    z: Tensor
    counted: Tensor
    reference: Reference
    beside: Tensor | None = None

    @property
    def others(self) -> Tensor:
        """`beside`, of which there may be none."""
        return self.z.new_zeros(0, *self.z.shape) if self.beside is None else self.beside

    def at_rest(self, z: Tensor, s: float) -> Tensor:
        """The coordinates in which data of the reference stand still."""
        return self.reference.to_basis(z) / self.root(s)

    def moving(self, w: Tensor, s: float) -> Tensor:
        """The inverse of `at_rest`."""
        return self.reference.from_basis(w * self.root(s))

    def root(self, s: float) -> Tensor:
        """The standard deviations of the noised reference, `(d,)`."""
        return (self.reference.variances + s**2).sqrt()

    def velocity(self, w: Tensor, s: float, noise: Tensor, change: Tensor) -> Tensor:
        """That of w along the flow of `E[eps] = noise - change / s`, as t = log s passes, in units of `_unit`."""
        root = self.root(s)
        moving = self.reference.to_basis(s * noise - change) / (_unit(s) * root)
        return moving.sub_(w * (s**2 / _unit(s) / root**2))

    def end(self, w: Tensor, s: float) -> Tensor:
        """The log-density of the noised reference, over the coordinates that count."""
        each = -0.5 * (w.square() + math.log(2 * math.pi)) - self.root(s).log()
        return each.sum(1) if self.reference.basis is not None else torch.where(self.counted, each, 0.0).sum(1)


class _Found(NamedTuple):
    """Of points, `(n,)` each: the log-density, its error, how many levels were asked; and differences, `(k, n)`."""

    value: Tensor
    error: Tensor
    spent: Tensor
    beside: Tensor

    @staticmethod
    def nothing(count: int, others: int) -> _Found:
        """Before any way."""
        zero = torch.zeros(count, dtype=torch.float64)
        return _Found(zero, zero, zero.long(), zero.expand(others, -1))

    def with_rows(self, rows: Tensor, slopes: Slopes) -> _Found:
        """With what was found for some rows in place of what was known, and the levels that it took."""
        value, error = slopes.summed()
        beside, uncertain = slopes.differences()
        levels = len(slopes.weights) + slopes.beside.shape[0] * slopes.beside.shape[1]
        return _Found(
            self.value.index_copy(0, rows, value),
            self.error.index_copy(0, rows, error + uncertain),
            self.spent.index_add(0, rows, torch.full_like(rows, levels)),
            self.beside.index_copy(1, rows, beside),
        )

    def log_density(self) -> LogDensity:
        """Of an exact divergence: without a standard error."""
        nothing, interval = torch.zeros_like(self.value), self.value[:, None].expand(-1, 2).clone()
        return LogDensity(self.value, nothing, interval, self.error, self.spent)


def corrected_log_densities(
    law_of: Callable[[Tensor], tuple[CorrectedLaw, Points]],
    count: int,
    at_once: int,
    low: float,
    high: float,
    tolerance: float,
    evaluations: int | None = None,
    report: Report = silent,
    density: LevelDensity = USUAL,
    others: int = 0,
) -> tuple[LogDensity, Tensor]:
    """`log p` at the level (1, low) of the law that the flow carries from the Gaussian at (1, high).

    Args:
        law_of: the base law, its correction and the points of an index, `(n,)`.
        count: of the points.
        at_once: points solved at a time.
        low: least noise, > 0.
        high: most.
        tolerance: in nats. What is reported as the solver's error is a part of the difference between all levels and
            every other one, and of what the path missed: an estimate, no bound.
        evaluations: instead of a tolerance: levels at which the network is asked with its derivatives, >= 3. Before
            each it is asked once without them, which is not counted.
        report: hears how far the work is.
        density: of the levels; where there is a tolerance, its steps are the first, and twice as many are made for
            points whose error is above it, and so on.
        others: how many points lie beside each, as `Points.beside` says.

    Returns:
        The log-densities, and by how much those of the points beside differ from them, `(others, n)`.
    """
    steps = density.steps if evaluations is None else 2 * ((evaluations - 1) // 2)
    found, unsure, done = _Found.nothing(count, others), torch.arange(count), 0.0
    while len(unsure):
        hear = part(report, done, done + _SHARE * (1 - done))
        pieces, grid = unsure.split(at_once), density.levels(low, high, steps)
        for rows in counted(pieces, len(pieces), hear, "log-densities"):
            found = found.with_rows(rows, over_levels(*law_of(rows), *grid))
        unsure = (found.error > tolerance).nonzero()[:, 0]
        steps, done = 2 * steps, done + _SHARE * (1 - done)
        if evaluations is not None or steps > _MOST_STEPS:
            break
    return found.log_density(), found.beside


class Slopes(NamedTuple):
    """What is summed over the levels, for points.

    Args:
        weights: of the trapezoidal rule, but for its ends, `(levels,)`.
        whole: the integrand, `(levels, n)`.
        late: what in it is of the path's velocity, `(levels, n)`.
        ends: what the base law adds, `(n,)`.
        beside: by how much the integrand differs at the points beside, at some of the levels, `(k, some, n)`.
        ends_beside: by how much what the base law adds does, `(k, n)`.
    """

    weights: Tensor
    whole: Tensor
    late: Tensor
    ends: Tensor
    beside: Tensor
    ends_beside: Tensor

    def summed(self, stride: int = 1) -> tuple[Tensor, Tensor]:
        """The log-densities and their errors, as if every stride-th level had been asked."""
        integral, coarse = self._over_every(stride), self._over_every(2 * stride)
        error = (integral - coarse).abs() + _summed(self.weights, self.late).abs()
        steps = (len(self.weights) - 1) // stride
        if steps >= _FINE and steps % 4 == 0:
            error = torch.maximum(error, (coarse - self._over_every(4 * stride)).abs() / _LESS)
        return self.ends - integral, error / _CAUTION

    def differences(self) -> tuple[Tensor, Tensor]:
        """Of the log-densities of the points beside, `(k, n)`, and the greatest of their errors, `(n,)`."""
        if not len(self.beside):
            return self.ends_beside, torch.zeros_like(self.ends)
        weights = _stride(len(self.weights)) * self.weights[:: _stride(len(self.weights))]
        integral = _summed(weights, self.beside)
        away = (integral - _summed(2 * weights[::2], self.beside[:, ::2])) if len(weights) % 2 else integral
        return self.ends_beside - integral, away.abs().amax(0) / _CAUTION

    def _over_every(self, stride: int) -> Tensor:
        return _summed(stride * self.weights[::stride], self.whole[::stride])


def over_levels(law: CorrectedLaw, points: Points, times: list[float], weights: Tensor) -> Slopes:
    """Follow the points over the levels of these t = log s, and what the correction adds there."""
    w, past = points.at_rest(points.z, math.exp(times[0])), _Past([])
    away = [points.at_rest(other, math.exp(times[0])) for other in points.others]
    expected, slopes, late, beside = None, [], [], []
    for i, t in enumerate(times):
        s = math.exp(t)
        own, velocity, missed = _slope(law, points, w, s, expected)
        slopes.append(own)
        late.append(missed)
        if away and i % _stride(len(times)) == 0:
            path = velocity if expected is None else expected
            beside.append(torch.stack([_slope(law, points, w + far, s, path)[0] - own for far in away]))
        past = past.with_answer(t, velocity)
        if i + 1 < len(times):
            w, expected = _followed(law, points, w, times[i + 1], past)
    ends = _ends(law, points, points.z, w, times)
    moved = zip(points.others, away, strict=True)
    other_ends = [_ends(law, points, points.z + z, w + far, times) - ends for z, far in moved]
    nothing = weights.new_zeros(0, len(ends))
    return Slopes(
        weights,
        torch.stack(slopes),
        torch.stack(late),
        ends,
        torch.stack(beside, 1) if beside else nothing[:, None],
        torch.stack(other_ends) if other_ends else nothing,
    )


def _slope(
    law: CorrectedLaw, points: Points, w: Tensor, s: float, path: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The integrand at points that move with the velocity `path`, the flow's velocity, and what is of the path in it.

    Without a path the points move with the flow.
    """
    z = points.moving(w, s)
    change, trace = law.change_and_divergence(z, s)
    noise = law.base(z, s)
    velocity = points.velocity(w, s, noise, change)
    missed = torch.zeros_like(w) if path is None else points.moving(path - velocity, s)
    late = (change * missed).sum(1) * (_unit(s) / s**2)
    return trace - (change * noise).sum(1) / s + late, velocity, late


def _ends(law: CorrectedLaw, points: Points, z: Tensor, w: Tensor, times: list[float]) -> Tensor:
    """What the base law adds to the log-densities of points z that end at w."""
    first, last = math.exp(times[0]), math.exp(times[-1])
    return law.log_density(z, first) + points.end(w, last) - law.log_density(points.moving(w, last), last)


def _stride(levels: int) -> int:
    """Of so many levels, every how many-th the differences of points beside are found at."""
    return 2 if levels > _FEW and levels % 2 else 1


def _followed(law: CorrectedLaw, points: Points, w: Tensor, then: float, past: _Past) -> tuple[Tensor, Tensor]:
    """The points a level further, and the velocity that they are taken there with."""
    s = math.exp(then)
    guess = w + past.moved(then)
    z = points.moving(guess, s)
    velocity = points.velocity(guess, s, law.base(z, s), law.change(z, s))
    return w + past.moved(then, velocity), velocity


def _unit(s: float) -> float:
    """The standard deviation that noise of s leaves of a standard normal: in units of it, what varies is smooth."""
    return s / math.sqrt(1 + s**2)


class _Past(NamedTuple):
    """The velocities at the last levels, in units of `_unit`, the newest first, and the polynomial through them."""

    seen: list[tuple[float, Tensor]]

    def with_answer(self, t: float, answer: Tensor) -> _Past:
        """One level further."""
        return _Past([(t, answer), *self.seen[: _ORDER - 1]])

    def moved(self, then: float, there: Tensor | None = None) -> Tensor:
        """The integral since the last level of the polynomial, through `there` at its end if that is known."""
        known = self.seen if there is None else [(then, there), *self.seen]
        times, last = [t for t, _ in known], self._times[0]
        nodes = [(last + (then - last) * place, (then - last) * weight) for place, weight in _GAUSS]
        shares = [sum(_unit(math.exp(t)) * _lagrange(t, times, j) * h for t, h in nodes) for j in range(len(times))]
        return _combined(shares, known)

    @property
    def _times(self) -> list[float]:
        return [t for t, _ in self.seen]


def _combined(shares: list[float], seen: list[tuple[float, Tensor]]) -> Tensor:
    total = shares[0] * seen[0][1]
    for share, (_, answer) in zip(shares[1:], seen[1:], strict=True):
        total.add_(answer, alpha=share)
    return total


def _lagrange(t: float, times: list[float], j: int) -> float:
    """The polynomial that is 1 at the j-th time and 0 at the others."""
    return math.prod((t - other) / (times[j] - other) for k, other in enumerate(times) if k != j)


def _summed(weights: Tensor, values: Tensor) -> Tensor:
    """The trapezoidal rule, with Gregory's correction of the ends where the levels are many."""
    rule = weights.clone()
    for i, share in enumerate(_ENDS if len(rule) > _MANY else (0.5,)):
        rule[i] *= share
        rule[-1 - i] *= share
    return rule @ values
