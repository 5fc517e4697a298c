"""How the table behind `plans.default` was chosen: error of orders and grids on random mixtures with the exact model.

    python benchmarks/default_choices.py 5 10 20      # budgets; about a minute each

Error: RMS distance of end points from the converged probability flow, over the data's RMS; the score of a choice is the
geometric mean, over the mixtures, of the errors' RMS and median. Every mixture is standardised, so that levels are in
units of the data's standard deviation.
"""

from __future__ import annotations

import itertools
import math
import sys

import torch
from torch import Tensor

from scorefield import levels, plans
from scorefield.analytic import GaussianMixture
from scorefield.plans import FLOW, Plan, run
from scorefield.plans.default import logistic_levels

F64 = torch.float64
HIGH, LOW = 80.0, 0.002
Problem = tuple[GaussianMixture, Tensor, Tensor]


def log_uniform(draw: torch.Generator, low: float, high: float) -> float:
    return low * (high / low) ** float(torch.rand(1, generator=draw))


def mixture(seed: int) -> GaussianMixture:
    """1 to 64 dimensions, 2 to 10 modes of rank 1 to 6 plus a small sphere, mean 0, mean variance 1."""
    draw = torch.Generator().manual_seed(seed)
    d, K = (1, 2, 2, 4, 8, 16, 32, 64)[seed % 8], int(torch.randint(2, 11, (1,), generator=draw))
    rank = min(d, int(torch.randint(1, 7, (1,), generator=draw)))
    means = torch.randn(K, d, generator=draw, dtype=F64)
    root = torch.randn(K, d, rank, generator=draw, dtype=F64) / math.sqrt(rank)
    size, floor = log_uniform(draw, 0.08, 0.7), log_uniform(draw, 0.05, 0.3)
    covariances = size**2 * (root @ root.mT + floor**2 * torch.eye(d, dtype=F64))
    weights = torch.rand(K, generator=draw, dtype=F64) + 0.3
    weights /= weights.sum()
    means -= weights @ means
    total = torch.einsum("k,kij->ij", weights, covariances + means[:, :, None] * means[:, None, :])
    scale = math.sqrt(float(total.trace()) / d)
    return GaussianMixture(weights, means / scale, covariances / scale**2)


def problem(seed: int, n: int = 24) -> Problem:
    """A mixture, starts at sigma = 80, and where the probability flow takes them."""
    model = mixture(seed)
    fine = plans.rk4(levels.karras(120, HIGH, 1e-4))
    x = fine.start(n, (model.means.shape[1],), seed=seed, std=1.0, dtype=F64)
    return model, x, run(fine, model, x)


def errors(plan: Plan, case: Problem) -> tuple[float, float]:
    """RMS and median over the trajectories."""
    model, x, end = case
    each = ((run(plan, model, x) - end) ** 2).mean(1).sqrt() / (end**2).mean().sqrt()
    return float((each**2).mean().sqrt()), float(each.median())


def main() -> None:
    cases = [problem(seed) for seed in range(16)]
    for n in map(int, sys.argv[1:] or ["10"]):
        found = []
        for order, power, centre in itertools.product((1, 2, 3, 4), (0.5, 0.7, 0.85, 1.0), (0.4, 0.6, 0.8, 1.0)):
            plan = plans.unipc(logistic_levels(n, HIGH, LOW, power, centre), order, FLOW)
            logs = torch.tensor([errors(plan, case) for case in cases], dtype=F64).log().mean(0)
            found.append((math.exp(float(logs.mean())), *logs.exp().tolist(), order, power, centre))
        print(f"{n} evaluations: score, RMS, median; order, power, centre")
        for score, rms, median, order, power, centre in sorted(found)[:5]:
            print(f"    {score:.2e}  {rms:.2e}  {median:.2e};  {order}  {power}  {centre}")


if __name__ == "__main__":
    main()
