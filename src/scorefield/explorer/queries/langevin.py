"""Langevin chains on a mixture, at one noise level or down through many, with what they should show."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor

from scorefield import levels, metrics, plans
from scorefield.core import Level
from scorefield.denoiser import at
from scorefield.explorer.queries.laws import check_range, components, noised, shares
from scorefield.explorer.queries.params import Checked, Pair, Particles, Seed, Within
from scorefield.explorer.queries.pauses import paced
from scorefield.explorer.queries.subjects import Subject, SubjectParams, subject_of
from scorefield.mcmc import langevin
from scorefield.numerics.random import normal

if TYPE_CHECKING:
    from scorefield.explorer.session import Session

_FAR = 1e4  # standard deviations: chains that go further are not drawn


@dataclass(frozen=True)
class Run(SubjectParams, Checked):
    """A run of chains.

    Args:
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
    the picture `diverged`, a sentence, else None. A run of a network has its own samples as `exact`, and no modes.
    """
    if p.annealed and p.adjusted:
        raise ValueError("annealed chains are not adjusted; choose one of annealed and adjusted.")
    if p.annealed and p.step >= 4:
        raise ValueError(f"annealed chains need a step below 4 (in units of sigma^2), got {p.step:g}.")
    subject = subject_of(p, session)
    if subject.law is None and (p.adjusted or p.start == "first mode"):
        raise ValueError("a trained model has no modes and no log-density to adjust by: start wide, unadjusted.")
    return _annealed(p, subject) if p.annealed else _one_level(p, subject)


def _one_level(p: Run, subject: Subject) -> Iterator[dict[str, Any]]:
    sigma = max(p.sigma, subject.sigma_min)
    check_range(subject.model, sigma)
    level = Level(1.0, sigma)
    x, done = _start(p, subject), 0
    judge = _Judge(subject, p)
    yield judge(x, level, 0, None)
    while done < p.steps:
        count = min(p.every, p.steps - done)
        try:
            with torch.no_grad():
                chains = _advance(p, subject, level, x, count, done)
        except ValueError as error:
            yield judge.left(x, level, done, str(error))
            return
        x, done = chains.state, done + count
        acceptance = None if chains.acceptance is None else float(chains.acceptance.mean())
        if float((x - subject.mean).abs().max()) > _FAR * subject.scale:
            yield judge.left(x, level, done, f"the chains left the picture: step = {p.step:g} is too large here.")
            return
        yield judge(x, level, done, acceptance)


def _advance(p: Run, subject: Subject, level: Level, x: Tensor, count: int, done: int) -> langevin.Chains:
    keep: dict[str, Any] = {"seed": p.seed, "burn_in": count - 1, "start": done}
    if subject.law is None:
        return langevin.unadjusted(at(subject.model, level), x, p.step, count, **keep)
    target = noised(subject.law, level)
    score = paced(target.score)
    if not p.adjusted:
        return langevin.unadjusted(score, x, p.step, count, **keep)
    # the share of taken proposals is that of the steps that are kept: all of them here
    return langevin.adjusted(lambda z: -target.log_density(z), x, p.step, count, seed=p.seed, start=done, score=score)


def _annealed(p: Run, subject: Subject) -> Iterator[dict[str, Any]]:
    plan = annealing(p, subject)
    judge = _Judge(subject, p)
    x = plan.start(p.n, (2,), p.seed, subject.mean, subject.scale, dtype=subject.dtype)
    yield judge(x, plan.levels[0], 0, None)
    with torch.no_grad():
        steps = plans.walk(plan, subject.model, x, seed=p.seed)
        for state, _ in steps:
            if state.row % p.every == 0 or state.row == plan.evaluations:
                at_end = state.row == plan.evaluations  # a row aims at its own level's law, the last one at the next
                yield judge(state.x, plan.levels[state.row if at_end else state.row - 1], state.row, None)


def annealing(p: Run, subject: Subject) -> plans.Plan:
    """The plan that an annealed run follows: as many rows as steps, but for what levels do not divide."""
    top, low = min(20 * subject.scale, subject.sigma_max), max(p.sigma, 0.01, subject.sigma_min)
    if low >= top:
        raise ValueError(f"annealing ends below 20 standard deviations, {top:g} here, got sigma = {p.sigma:g}.")
    count = min(p.levels, p.steps)
    grid = levels.log_uniform(count, top, low, end=False)
    return plans.annealed_langevin(grid, max(1, p.steps // count), p.step)


def _start(p: Run, subject: Subject) -> Tensor:
    if p.start == "place":
        return torch.tensor([p.place], dtype=subject.dtype).expand(p.n, 2).clone()
    if p.start == "first mode" and subject.law is not None:
        return components(subject.law)[0].sample(p.n, p.seed, Level(1.0, p.sigma))
    z = normal(p.n, (2,), p.seed, "explorer start", dtype=subject.dtype)
    return subject.mean + 2 * math.hypot(subject.scale, p.sigma) * z


class _Judge:
    """Positions, compared with the law at their level."""

    def __init__(self, subject: Subject, p: Run) -> None:
        self.subject, self.seed = subject, p.seed

    def __call__(self, x: Tensor, level: Level, step: int, acceptance: float | None) -> dict[str, Any]:
        level, law = Level(*(float(v) for v in level)), self.subject.law
        sample, floor, exact = _answers(self.subject, len(x), self.seed, level)
        return {
            **_moments(x, None if law is None else shares(law, x, level)),
            "step": step,
            "sigma": level.sigma,
            "positions": x.float().numpy(),
            "exact": exact,
            "sliced_wasserstein": metrics.sliced_wasserstein(x, sample, projections=16),
            "floor": floor,
            "acceptance": acceptance,
            "diverged": None,
        }

    def left(self, x: Tensor, level: Level, step: int, why: str) -> dict[str, Any]:
        """The last answer of chains that left the picture."""
        return {"step": step, "sigma": float(level.sigma), "positions": x.float().numpy(), "diverged": why}


@lru_cache(maxsize=64)
@torch.no_grad()
def _answers(subject: Subject, n: int, seed: int, level: Level) -> tuple[Tensor, float, dict[str, Any]]:
    """At a level: samples, how far others of the same number are from them, and the law's own moments."""
    one, two = (subject.sample(n, seed + k, level) for k in (1, 2))
    floor = metrics.sliced_wasserstein(two, one, projections=16)
    if subject.law is None:
        return one, floor, _moments(one, None)
    target = noised(subject.law, level)
    moments = {
        "mean": target.mean.tolist(),
        "covariance": target.covariance.tolist(),
        "mode_weights": target.weights.tolist(),
    }
    return one, floor, moments


def _moments(x: Tensor, weights: Tensor | None) -> dict[str, Any]:
    return {
        "mean": x.mean(0).tolist(),
        "covariance": torch.cov(x.T, correction=0).tolist(),
        "mode_weights": None if weights is None else weights.tolist(),
    }
