"""Checks the tasks and the references against each other: python benchmarks/sbi/checks.py [tasks ...]

Ranks: for parameters from the prior and what the simulator gives for them, the rank of each parameter among draws from
the reference is uniform, if and only if simulator, prior, likelihood and reference belong together. The p-value is of a
chi-square test over ten bins; the smallest of a task's is to be read times their number.

Moves: Metropolis steps with the likelihood leave the reference as it is; moved and unmoved draws then give a C2ST of
0.5, here by 2,000 of each.
"""

from __future__ import annotations

import sys

import judge
import references
import torch
from scipy.stats import chisquare
from tasks import TASKS, Task
from torch import Tensor

OBSERVATIONS, DRAWS, BINS = 200, 199, 10
MOVED, STEPS = 2000, 100


def rank_p_values(task: Task, count: int = OBSERVATIONS) -> Tensor:
    """One p-value for each parameter, (d,)."""
    ranks = []
    for number, one in enumerate(references.observations(task, 77, count)):
        drawn = references.draws(task, one.x, DRAWS, number)
        ranks.append((drawn < one.theta).sum(0))
    counts = torch.stack([torch.histc(r.float(), BINS, 0, DRAWS + 1) for r in torch.stack(ranks).T])
    return torch.tensor([chisquare(row).pvalue for row in counts.numpy()])


def moved(task: Task, x: Tensor, theta: Tensor, seed: int) -> tuple[Tensor, float]:
    """The draws (n, d) after random-walk Metropolis steps shaped like the draws, and the share of accepted ones."""
    generator = torch.Generator().manual_seed(seed)
    n, d = theta.shape
    here = theta.double()
    root = torch.linalg.cholesky(here.T.cov()) * 2.0 / d**0.5

    def target(points: Tensor) -> Tensor:
        inside = task.prior.support.check(points.float())
        safe = torch.where(inside[:, None], points, here)
        value = task.prior.log_prob(safe.float()).double() + task.log_likelihood(safe, x)
        return torch.where(inside, value, -torch.inf)

    height, accepted = target(here), 0.0
    for step in range(STEPS):
        scale = (1.0, 0.3, 0.1, 0.03)[step % 4]
        there = here + scale * torch.randn(n, d, generator=generator, dtype=torch.float64) @ root.T
        other = target(there)
        take = torch.rand(n, generator=generator, dtype=torch.float64).log() < other - height
        here, height = torch.where(take[:, None], there, here), torch.where(take, other, height)
        accepted += float(take.double().mean()) / STEPS
    return here.float(), accepted


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or TASKS:
        task = TASKS[name]
        p = rank_p_values(task)
        print(f"{name}: ranks p = {' '.join(f'{v:.2f}' for v in p)}", flush=True)
        one = references.observations(task, references.OPEN)[0]
        still, start = references.draws(task, one.x, 2 * MOVED, 0).split(MOVED)
        there, accepted = moved(task, one.x, start, 0)
        accuracy = judge.c2st(still, there, 0)
        print(f"{name}: C2ST after {STEPS} Metropolis steps ({accepted:.0%} taken) {accuracy:.3f}", flush=True)


if __name__ == "__main__":
    main()
