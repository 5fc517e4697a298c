"""Langevin chains on a mixture, at one noise level or down through many, beside what they should show."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor

from scorefield import langevin, levels, metrics, plans
from scorefield._tensor import normal
from scorefield.analytic import GaussianMixture
from scorefield.core import Level
from scorefield.explorer.asks.laws import noised, shares, spread
from scorefield.explorer.asks.params import Checked, Law, Pair, Particles, Seed, Within, law_of

if TYPE_CHECKING:
    from scorefield.explorer.session import Session

_FAR = 1e4  # standard deviations: chains that go further are not drawn


@dataclass(frozen=True)
class Run(Checked):
    """A run of chains.

    Args:
        mixture: what they sample.
        n: chains.
        step: of one level: in squared units of x; annealed: in units of sigma^2, below 4.
        sigma: of one level: the noise on the data, 0 for none; annealed: the last level, 0.01 or more.
        annealed: go down through levels from 20 standard deviations, plans.annealed_langevin.
        levels: of annealing.
        adjusted: Metropolis-adjusted, at one level only.
        start: all at one place, drawn from the first mode, or wide: from a normal law of twice the spread.
        place: where, for "place".
        steps: in all.
        every: steps between two answers.
        seed: of starts and noise.
    """

    mixture: Law = "two modes"
    n: Particles = 2000
    step: Annotated[float, Within(1e-5, 1e3)] = 0.05
    sigma: Annotated[float, Within(0, 1000)] = 0.0
    annealed: bool = False
    levels: Annotated[int, Within(2, 50)] = 20
    adjusted: bool = False
    start: Literal["place", "first mode", "wide"] = "wide"
    place: Pair = (0.0, 0.0)
    steps: Annotated[int, Within(1, 500)] = 200
    every: Annotated[int, Within(1, 100)] = 5
    seed: Seed = 0


def run(p: Run, session: Session) -> Iterator[dict[str, Any]]:
    """Every so many steps `step`, `sigma`, `positions` `(n, 2)`, `mean`, `covariance`, `mode_weights`, `exact` (the
    same three), `sliced_wasserstein`, its `floor` (of two exact samples), `acceptance`; at the end of a run that left
    the picture `diverged`, a sentence, else None.
    """
    if p.annealed and p.adjusted:
        raise ValueError("annealed chains are not adjusted; choose one of annealed and adjusted.")
    if p.annealed and p.step >= 4:
        raise ValueError(f"annealed chains need a step below 4 (in units of sigma^2), got {p.step:g}.")
    law = law_of(p.mixture)
    return _annealed(p, law) if p.annealed else _one_level(p, law)


def _one_level(p: Run, law: GaussianMixture) -> Iterator[dict[str, Any]]:
    level = Level(1.0, p.sigma)
    target, x, done, acceptance = noised(law, level), _start(p, law), 0, 1.0
    judge = _Judge(law, p)
    yield judge(x, level, 0, None)
    while done < p.steps:
        count = min(p.every, p.steps - done)
        try:
            with torch.no_grad():
                chains = _advance(p, target, x, count, done)
        except ValueError as error:
            yield judge.left(x, level, done, str(error))
            return
        x, done, acceptance = chains.state, done + count, float(chains.acceptance.mean())
        if _far(x, law):
            yield judge.left(x, level, done, f"the chains left the picture: step = {p.step:g} is too large here.")
            return
        yield judge(x, level, done, acceptance)


def _advance(p: Run, target: GaussianMixture, x: Tensor, count: int, done: int) -> langevin.Chains:
    keep = {"seed": p.seed, "burn_in": count - 1, "start": done}
    if not p.adjusted:
        return langevin.unadjusted(target.score, x, p.step, count, **keep)
    # the share of taken proposals is that of the steps that are kept: all of them here
    return langevin.adjusted(
        lambda z: -target.log_density(z), x, p.step, count, seed=p.seed, start=done, score=target.score
    )


def _annealed(p: Run, law: GaussianMixture) -> Iterator[dict[str, Any]]:
    plan = annealing(p, law)
    judge = _Judge(law, p)
    x = plan.start(p.n, (2,), p.seed, law.mean, spread(law), dtype=torch.float64)
    yield judge(x, plan.levels[0], 0, None)
    for state, _ in plans.walk(plan, law, x, seed=p.seed):
        if state.row % p.every == 0 or state.row == plan.evaluations:
            at = plan.levels[state.row - 1]  # at whose law the row aimed; the last one goes to clean data
            yield judge(state.x, plan.levels[state.row] if state.row == plan.evaluations else at, state.row, None)


def annealing(p: Run, law: GaussianMixture) -> plans.Plan:
    """The plan that an annealed run follows: as many rows as steps, but for what levels do not divide."""
    top, low = 20 * spread(law), max(p.sigma, 0.01)
    if low >= top:
        raise ValueError(f"annealing ends below 20 standard deviations, {top:g} here, got sigma = {p.sigma:g}.")
    count = min(p.levels, p.steps)
    grid = levels.log_uniform(count, top, low, end=False)
    return plans.annealed_langevin(grid, max(1, p.steps // count), p.step)


def _start(p: Run, law: GaussianMixture) -> Tensor:
    if p.start == "place":
        return torch.tensor([p.place], dtype=torch.float64).expand(p.n, 2).clone()
    if p.start == "first mode":
        first = GaussianMixture(law.weights[:1], law.means[:1], law.covariances[:1])
        return first.sample(p.n, p.seed, Level(1.0, p.sigma))
    z = normal(p.n, (2,), p.seed, "explorer start", dtype=torch.float64)
    return law.mean + 2 * math.hypot(spread(law), p.sigma) * z


def _far(x: Tensor, law: GaussianMixture) -> bool:
    return bool((x - law.mean).abs().max() > _FAR * spread(law))


class _Judge:
    """Positions beside the exact law at their level."""

    def __init__(self, law: GaussianMixture, p: Run) -> None:
        self.law, self.seed = law, p.seed

    def __call__(self, x: Tensor, level: Level, step: int, acceptance: float | None) -> dict[str, Any]:
        level = Level(*(float(v) for v in level))
        target = noised(self.law, level)
        one, two = (self.law.sample(len(x), self.seed + k, level) for k in (1, 2))
        return {
            **_moments(x, shares(self.law, x, level)),
            "step": step,
            "sigma": level.sigma,
            "positions": x.float().numpy(),
            "exact": {
                "mean": target.mean.tolist(),
                "covariance": target.covariance.tolist(),
                "mode_weights": target.weights.tolist(),
            },
            "sliced_wasserstein": metrics.sliced_wasserstein(x, one, projections=16),
            "floor": metrics.sliced_wasserstein(two, one, projections=16),
            "acceptance": acceptance,
            "diverged": None,
        }

    def left(self, x: Tensor, level: Level, step: int, why: str) -> dict[str, Any]:
        """The last answer of chains that left the picture."""
        return {"step": step, "sigma": float(level.sigma), "positions": x.float().numpy(), "diverged": why}


def _moments(x: Tensor, weights: Tensor) -> dict[str, Any]:
    return {
        "mean": x.mean(0).tolist(),
        "covariance": torch.cov(x.T, correction=0).tolist(),
        "mode_weights": weights.tolist(),
    }
