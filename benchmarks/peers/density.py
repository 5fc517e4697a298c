"""Measures log-densities: error against the exact one, and how often the model is asked, here and at the peers'.

An evaluation is one state at which the model is asked, whatever the number of points and of derivatives there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from peers import kdiffusion
from peers.problems import F64, Counted, Problem
from scorefield import Level
from scorefield.likelihood import log_density

CLEAN = 1e-5
"""Noise, over the data's standard deviation, at which the peers' solvers start: they divide by it."""


class Row(NamedTuple):
    """One method: RMS error in nats, mean evaluations of the model a point, seconds for all points."""

    name: str
    error: float
    evaluations: float
    seconds: float


def measure(problem: Problem, points: int = 32) -> list[Row]:
    """Each method on exact samples; the peers' solvers step for the batch as a whole."""
    x = problem.model.sample(points, 11)
    exact = problem.model.log_density(x)
    rows = []
    for name, method in methods(problem).items():
        start = time.perf_counter()
        with torch.random.fork_rng():
            torch.random.default_generator.manual_seed(0)
            value, evaluations = method(x)
        spent = time.perf_counter() - start
        rows.append(Row(name, float((value - exact).square().mean().sqrt()), evaluations, spent))
    return rows


Method = Callable[[Tensor], tuple[Tensor, float]]


def methods(problem: Problem) -> dict[str, Method]:
    def ours(**options: object) -> Method:
        def run(x: Tensor) -> tuple[Tensor, float]:
            found = log_density(problem.model, x, **options)  # type: ignore[arg-type]
            return found.value, float(found.evaluations.double().mean())

        return run

    def k_diffusion(tolerance: float) -> Method:
        def run(x: Tensor) -> tuple[Tensor, float]:
            model = Counted(problem.model)
            return kdiffusion.log_likelihood(model, x, CLEAN, problem.high, tolerance), model.count

        return run

    def textbook(tolerance: float) -> Method:
        return lambda x: dopri5(problem, x, tolerance)

    return {
        "scorefield, exact divergence, tolerance 1e-3": ours(tolerance=1e-3),
        "scorefield, exact divergence, tolerance 1e-5": ours(tolerance=1e-5),
        "scorefield, exact divergence, 100 evaluations": ours(evaluations=100),
        "scorefield, exact divergence, 200 evaluations": ours(evaluations=200),
        "scorefield, Hutchinson, 16 probes": ours(divergence="hutchinson", tolerance=1e-3),
        "scorefield, Hutch++, 16 probes": ours(divergence="hutch++", tolerance=1e-3),
        "k-diffusion, log_likelihood, tolerance 1e-4": k_diffusion(1e-4),
        "k-diffusion, log_likelihood, tolerance 1e-6": k_diffusion(1e-6),
        "torchdiffeq dopri5, exact divergence, tolerance 1e-3": textbook(1e-3),
        "torchdiffeq dopri5, exact divergence, tolerance 1e-5": textbook(1e-5),
    }


def dopri5(problem: Problem, x: Tensor, tolerance: float) -> tuple[Tensor, float]:
    """What one writes with torchdiffeq: `dx/dsigma = eps` and its exact divergence, from CLEAN to N(0, high^2).

    The density there is taken for the clean one, as published code does.
    """
    from torchdiffeq import odeint

    model = Counted(problem.model)
    d = x.shape[1]
    basis = torch.eye(d, dtype=F64)

    def rate(sigma: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        noise = model(state[0], Level(1.0, sigma)).eps

        def along(v: Tensor) -> Tensor:
            point = state[0], v.expand_as(state[0])
            return torch.func.jvp(lambda y: problem.model(y, Level(1.0, sigma)).eps, point[:1], point[1:])[1] @ v

        return noise, torch.func.vmap(along)(basis).sum(0)

    times = torch.tensor([CLEAN, problem.high], dtype=F64)
    y, change = odeint(rate, (x, x.new_zeros(len(x))), times, rtol=tolerance, atol=tolerance, method="dopri5")
    prior = -0.5 * (y[-1] / problem.high).square().sum(1) - d * (0.5 * math.log(2 * math.pi) + math.log(problem.high))
    return prior + change[-1], model.count
