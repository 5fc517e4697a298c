"""The log-density of a model that corrects a base law whose density is known: only the correction is integrated.

Let p_m be the base law, noised, with `E[eps | z] = eps_m` at the level (1, s), let the model answer
`E[x0 | z] = x0_m + change`, and let t = log s. Along any path z(t) of velocity v,

    d (log q - log p_m) / dt = div(change) - change . eps_m / s + change . (v - v_q) / s^2,

where v_q = s eps_m - change is the velocity of the model's probability flow. The base law is never differentiated: the
trace of the Jacobian is that of the correction alone. The path needs no more than to be near the flow, because the last
term accounts for its velocity. So the network is asked at few levels, the same for all points: between them the base
law's own flow is followed by steps of Adams and Moulton, with a correction that is extrapolated from the levels before,
and the integrand, which is smooth in t and fades towards both ends, is summed by the trapezoidal rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from scorefield.likelihood.density import LogDensity
from scorefield.likelihood.reference import Reference
from scorefield.progress import Report, counted, part, silent

STEPS = 12
"""Between the levels at which the network is asked first, by default."""
_MOST_STEPS = 3072
_CAUTION = 4.0  # times less than what half as many levels change is the error taken for
_SHARE = 0.8  # of the work that is left, for a report
_ORDER = 3  # levels from which velocities are extrapolated
_CENTRE, _WIDTH, _EXTRA = -1.5, 2.0, 3.0  # of log s: where levels are densest, how far, how much denser
_MANY, _ENDS = 13, (3 / 8, 7 / 6, 23 / 24)  # levels from which on the ends are summed by Gregory's weights
_NEWTON = 3  # steps, from a table of 401: to the last digit
_GAUSS = tuple((0.5 + side * math.sqrt(0.15), (8 - 3 * abs(side)) / 18) for side in (-1, 0, 1))
"""Nodes in [0, 1] and their weights, exact for polynomials of degree 5."""


class CorrectedLaw(Protocol):
    """A base law and a correction of its answers, for points `(n, d)`, at the level (1, s)."""

    def base(self, z: Tensor, s: float) -> Tensor:
        """`E[eps | z]` of the base law, `(n, d)`."""
        ...

    def change(self, z: Tensor, s: float) -> tuple[Tensor, Tensor]:
        """The change of `E[x0 | z]`, `(n, d)`, and its divergence, `(n,)`."""
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
    """

    z: Tensor
    counted: Tensor
    reference: Reference

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
    """Of points, `(n,)` each: the log-density, its error, and how many levels were asked."""

    value: Tensor
    error: Tensor
    spent: Tensor

    @staticmethod
    def nothing(count: int) -> _Found:
        """Before any way."""
        zero = torch.zeros(count, dtype=torch.float64)
        return _Found(zero, zero, zero.long())

    def with_rows(self, rows: Tensor, found: tuple[Tensor, Tensor], levels: int) -> _Found:
        """With what was found for some rows in place of what was known, and the levels that it took."""
        value, error = (old.index_copy(0, rows, new) for old, new in zip(self[:2], found, strict=True))
        return _Found(value, error, self.spent.index_add(0, rows, torch.full_like(rows, levels)))

    def log_density(self) -> LogDensity:
        """Of an exact divergence: without a standard error."""
        nothing, interval = torch.zeros_like(self.value), self.value[:, None].expand(-1, 2).clone()
        return LogDensity(self.value, nothing, interval, self.error, self.spent)


def corrected_log_density(
    law_of: Callable[[Tensor], tuple[CorrectedLaw, Points]],
    count: int,
    at_once: int,
    low: float,
    high: float,
    tolerance: float,
    evaluations: int | None = None,
    report: Report = silent,
    first_steps: int = STEPS,
) -> LogDensity:
    """`log p` at the level (1, low) of the law that the flow carries from the Gaussian at (1, high).

    Args:
        law_of: the base law, its correction and the points of an index, `(n,)`.
        count: of the points.
        at_once: points solved at a time.
        low: least noise, > 0.
        high: most.
        tolerance: in nats. What is reported as the solver's error is a part of the difference between all levels and
            every other one, and of what the path missed: an estimate, no bound.
        evaluations: instead of a tolerance: levels at which the network is asked, >= 3.
        report: hears how far the work is.
        first_steps: even: between the levels at which the network is asked first, where there is a tolerance; twice as
            many for points whose error is above it, and so on.
    """
    steps = first_steps if evaluations is None else 2 * ((evaluations - 1) // 2)
    found, unsure, done = _Found.nothing(count), torch.arange(count), 0.0
    while len(unsure):
        hear = part(report, done, done + _SHARE * (1 - done))
        pieces = unsure.split(at_once)
        for rows in counted(pieces, len(pieces), hear, "log-densities"):
            found = found.with_rows(rows, _over_levels(*law_of(rows), low, high, steps), steps + 1)
        unsure = (found.error > tolerance).nonzero()[:, 0]
        steps, done = 2 * steps, done + _SHARE * (1 - done)
        if evaluations is not None or steps > _MOST_STEPS:
            break
    return found.log_density()


def _over_levels(law: CorrectedLaw, points: Points, low: float, high: float, steps: int) -> tuple[Tensor, Tensor]:
    """Follow the points over the levels and sum what the correction adds: values and their errors."""
    times, weights = _levels(low, high, steps)
    w, past, changes = points.at_rest(points.z, low), _Past([]), _Past([])
    slopes, missed, expected = [], points.z.new_zeros(len(points.z)), w
    for i, t in enumerate(times):
        s = math.exp(t)
        z = points.moving(w, s)
        change, trace = law.change(z, s)
        noise = law.base(z, s)
        slopes.append(trace - (change * noise).sum(1) / s)
        velocity, changes = points.velocity(w, s, noise, change), changes.with_answer(t, change / _unit(s))
        if i:
            missed += past.missed(points.moving(expected - velocity, s), changes)
        past = past.with_answer(t, velocity)
        if i < steps:
            w, expected = _followed(law, points, w, times[i + 1], past, changes)
    every = torch.stack(slopes)
    integral, coarse = _summed(weights, every), _summed(2 * weights[::2], every[::2])
    start, end = law.log_density(points.z, low), law.log_density(z, s)
    value = start + points.end(w, s) - end - integral - missed
    return value, ((integral - coarse).abs() + missed.abs()) / _CAUTION


def _followed(
    law: CorrectedLaw, points: Points, w: Tensor, then: float, past: _Past, changes: _Past
) -> tuple[Tensor, Tensor]:
    """A step of Adams and Moulton, the correction extrapolated: the points, and the velocity they are taken to have."""
    s = math.exp(then)
    guess = w + past.moved(then)
    noise = law.base(points.moving(guess, s), s)
    expected = points.velocity(guess, s, noise, _unit(s) * changes.at(then))
    return w + past.moved(then, expected), expected


def _unit(s: float) -> float:
    """The standard deviation that noise of s leaves of a standard normal: in units of it, what varies is smooth."""
    return s / math.sqrt(1 + s**2)


class _Past(NamedTuple):
    """What was found at the last levels, in units of `_unit`, the newest first, and the polynomial through it."""

    seen: list[tuple[float, Tensor]]

    def at(self, t: float) -> Tensor:
        """The polynomial's value."""
        return _combined([_lagrange(t, self._times, j) for j in range(len(self.seen))], self.seen)

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

    def missed(self, late: Tensor, changes: _Past) -> Tensor:
        """The integral since the last level of `change . late / s^2`, `(n,)`.

        Args:
            late: by how much the points' velocity is too great at the new level; before, this vanished at all levels
                seen, and so grows like the product of the distances from them.
            changes: the last two are at the new level and the last: linear in between.
        """
        (then, new), (last, old) = changes.seen[:2]
        before = after = 0.0
        for place, weight in _GAUSS:
            t = last + (then - last) * place
            share = (then - last) * weight * self._nodal(t) / self._nodal(then) / (1 + math.exp(2 * t))
            before, after = before + (1 - place) * share, after + place * share
        return ((before * old + after * new) * late).sum(1)

    def _nodal(self, t: float) -> float:
        return math.prod(t - time for time in self._times)

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


@lru_cache(maxsize=32)
def _levels(low: float, high: float, steps: int) -> tuple[list[float], np.ndarray[Any, np.dtype[np.float64]]]:
    """Times t = log s from low to high, densest where tables take shape: `t(u)` for equally spaced u, and `dt/du`."""
    ends = np.log([low, high])
    start, end = _passed(ends)
    wanted = np.linspace(start, end, steps + 1)
    fine = np.linspace(ends[0], ends[1], 401)
    times = np.interp(wanted, _passed(fine), fine)
    for _ in range(_NEWTON):
        times -= (_passed(times) - wanted) / _density(times)
    return times.tolist(), (end - start) / steps / _density(times)


def _density(t: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(1 + _EXTRA * np.exp(-0.5 * ((t - _CENTRE) / _WIDTH) ** 2))


def _passed(t: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The integral of `_density`: u, up to a constant and a factor."""
    place = torch.from_numpy((t - _CENTRE) / (_WIDTH * math.sqrt(2)))
    return np.asarray(t + _EXTRA * _WIDTH * math.sqrt(math.pi / 2) * torch.special.erf(place).numpy())


def _summed(weights: np.ndarray[Any, Any], values: Tensor) -> Tensor:
    """The trapezoidal rule, with Gregory's correction of the ends where the levels are many."""
    rule = np.array(weights)
    for i, share in enumerate(_ENDS if len(rule) > _MANY else (0.5,)):
        rule[i] *= share
        rule[-1 - i] *= share
    return torch.from_numpy(rule) @ values
