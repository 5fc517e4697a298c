"""Sequential Monte Carlo from a law that can be drawn from to one whose density is known (Del Moral and others 2006).

Particles are drawn from the first law and moved towards the second over laws between them, `first^(1 - b) target^b`.
Each next b is taken so that the weights leave half of the particles effective; they are resampled, and moved by steps
along differences of other particles (ter Braak 2006), which have the law's own scales and correlations, also where it
has several modes, and need no derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from scorefield.numerics.random import normal, uniform
from scorefield.progress import Report, silent

LogDensityFunction: TypeAlias = Callable[[Tensor], Tensor]
FEWEST_FAMILIES = 10  # of particles with one ancestor each, by whose shares an error can be told
_SHARE = 0.5  # of the particles, effective after a step towards the target
_MOVES, _LAST_MOVES = 12, 60
_MOST_STEPS = 200
_JITTER = 1e-3  # of the particles' spread, added to every move
_LONG = 5  # every so many moves one goes the whole difference: from mode to mode


class Tempered(NamedTuple):
    """Where the particles ended.

    Args:
        samples: `(n, d)`.
        log_evidence: of the target's total mass over the first law's, in nats.
        standard_error: of log_evidence, by the particles' ancestors, so that it holds also where the moves are too few
            to make particles of one ancestor independent; NaN where these are worth fewer than 10 ancestors, and cannot
            tell: give more particles, or more moves.
        steps: laws between the two.
        acceptance: share of the last moves that were accepted.
    """

    samples: Tensor
    log_evidence: float
    standard_error: float
    steps: int
    acceptance: float


@torch.no_grad()
def tempered(
    first: Tensor,
    log_ratio: LogDensityFunction,
    log_first: LogDensityFunction,
    *,
    seed: int = 0,
    moves: int = _MOVES,
    last_moves: int = _LAST_MOVES,
    report: Report = silent,
) -> Tempered:
    """Particles of `exp(log_first + log_ratio)`, from draws of `exp(log_first)`.

    Args:
        first: `(n, d)`, draws of the first law, n >= 8.
        log_ratio: `(n, d) -> (n,)`: log-density of the target less that of the first law, up to a constant; -inf where
            the target has none. Such as a log-likelihood, where the first law is the prior.
        log_first: `(n, d) -> (n,)`, of the first law, up to a constant.
        seed: of everything random; the result is a function of it and of `first`.
        moves: of every particle at each law between.
        last_moves: at the target.
        report: hears how far the work is.

    Raises:
        ValueError: for fewer than 8 particles, a target that has no mass where the first law has, or
            one that is not reached in 200 steps.

    Example:
        >>> x = normal(2000, (1,), 0, "start", dtype=torch.float64)
        >>> found = tempered(x, lambda x: -2 * (x[:, 0] - 1) ** 2, lambda x: -0.5 * x[:, 0] ** 2)
        >>> abs(float(found.samples.mean()) - 0.8) < 0.05
        True
    """
    if len(first) < 8:
        raise ValueError(f"tempered needs at least 8 particles, got {len(first)}.")
    x, ratio, base = first.clone(), log_ratio(first), log_first(first)
    if not bool(torch.isfinite(ratio).any()):
        raise ValueError("the target has no mass where the first law has any; start from a wider law.")
    power, total, variance, step, share = 0.0, 0.0, 0.0, 0, 0.0
    ancestors = torch.arange(len(x))
    while power < 1 and step < _MOST_STEPS:
        increase = _increase(ratio, 1 - power)
        weight = increase * ratio
        total += float(weight.logsumexp(0)) - math.log(len(x))
        variance = _relative_variance(weight, ancestors)
        power = 1.0 if increase == 1 - power else power + increase
        index = resampled(weight, seed, step)
        x, ratio, base, ancestors = x[index], ratio[index], base[index], ancestors[index]
        mover = Mover(log_ratio, log_first, power, seed, step)
        x, ratio, base, share = mover.moved(x, ratio, base, last_moves if power == 1 else moves)
        step += 1
        report(power, "particles")
    if power < 1:
        raise ValueError(
            f"the target is not reached after {_MOST_STEPS} steps: particles are at the power {power:.3g} of it; start "
            "from a law nearer to the target, or give more particles."
        )
    return Tempered(x, total, math.sqrt(variance) if variance < 1 / FEWEST_FAMILIES else math.nan, step, share)


class Mover:
    """Moves of particles at one law."""

    def __init__(
        self, log_ratio: LogDensityFunction, log_first: LogDensityFunction, power: float, seed: int, step: int
    ) -> None:
        self.log_ratio, self.log_first, self.power, self.seed, self.step = log_ratio, log_first, power, seed, step

    def moved(self, x: Tensor, ratio: Tensor, base: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, float]:
        """After so many Metropolis steps, with the share of the last one that was accepted."""
        accepted = torch.ones(len(x), dtype=torch.bool)
        for k in range(count):
            number = self.step * 10_000 + k
            tried = self._proposal(x, number)
            new_ratio, new_base = self.log_ratio(tried), self.log_first(tried)
            gain = self.power * (new_ratio - ratio) + new_base - base
            gain = torch.where(torch.isfinite(ratio), gain, torch.inf)
            accepted = uniform(len(x), (), self.seed, "accept", row=number, dtype=torch.float64).log() < gain
            x = torch.where(accepted[:, None], tried, x)
            ratio, base = torch.where(accepted, new_ratio, ratio), torch.where(accepted, new_base, base)
        return x, ratio, base, float(accepted.double().mean())

    def _proposal(self, x: Tensor, number: int) -> Tensor:
        """Along the difference of two others, with lengths over one order of magnitude."""
        n, d = x.shape
        place = uniform(n, (3,), self.seed, "others", row=number, dtype=torch.float64)
        away = 1 + (place[:, :2] * (n - 1)).long()
        own = torch.arange(n)
        one, other = x[(own + away[:, 0]) % n], x[(own + away[:, 1]) % n]
        length = 2.38 / math.sqrt(2 * d) * 10 ** (-place[:, 2:])
        if number % _LONG == 0:
            length = torch.ones_like(length)
        noise = normal(n, (d,), self.seed, "jitter", row=number, dtype=x.dtype)
        return x + length * (one - other) + _JITTER * length * x.std(0) * noise


def _increase(ratio: Tensor, most: float) -> float:
    """The greatest step of the power that leaves half of the particles effective."""
    if _effective(most * ratio) >= _SHARE * len(ratio):
        return most
    low, high = 0.0, most
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _effective(middle * ratio) >= _SHARE * len(ratio) else (low, middle)
    return max(low, 1e-12)


def _effective(weight: Tensor) -> float:
    return float((2 * weight.logsumexp(0) - (2 * weight).logsumexp(0)).exp())


def _relative_variance(weight: Tensor, ancestors: Tensor) -> float:
    """Of the estimate of the mass, from the shares that families have of it (Chan and Lai 2013; Lee and Whiteley 2018).

    Systematic resampling hands on weights with hardly any noise of its own, so nothing is taken off for it.
    """
    n = len(weight)
    shares = torch.zeros(n, dtype=torch.float64).index_add(0, ancestors, weight.softmax(0).double().cpu())
    return max(0.0, (n * float(shares.square().sum()) - 1) / (n - 1))


def resampled(weight: Tensor, seed: int, step: int) -> Tensor:
    """Systematic resampling, in an order without meaning."""
    n = len(weight)
    start = float(uniform(1, (), seed, "resample", row=step, dtype=torch.float64))
    edges = weight.softmax(0).cumsum(0)
    places = (torch.arange(n, dtype=torch.float64) + start) / n
    index = torch.searchsorted(edges / edges[-1], places).clamp(max=n - 1)
    return index[uniform(n, (), seed, "order", row=step, dtype=torch.float64).argsort()]
