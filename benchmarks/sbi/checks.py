"""Checks the tasks and the references against each other: python benchmarks/sbi/checks.py [tasks ...]

Ranks: for parameters from the prior and what the simulator gives for them, the rank of each parameter among draws from
the reference is uniform, if and only if simulator, prior, likelihood and reference belong together. The p-value is of a
chi-square test over ten bins; the smallest of a task's is to be read times their number.

Moves: Metropolis steps with the likelihood leave the reference as it is. The p-values are of Kolmogorov-Smirnov tests
between draws that moved and others that did not, for each parameter and for their log-posterior density.
"""

from __future__ import annotations

import sys

import references
import torch
from scipy.stats import chisquare, ks_2samp
from tasks import TASKS, Task
from torch import Tensor

OBSERVATIONS, DRAWS, BINS = 200, 199, 10
MOVED, STEPS = 5000, 100


def rank_p_values(task: Task, count: int = OBSERVATIONS) -> Tensor:
    """One p-value for each parameter, (d,)."""
    ranks = []
    for number, one in enumerate(references.observations(task, 77, count)):
        drawn = references.draws(task, one.x, DRAWS, number)
        ranks.append((drawn < one.theta).sum(0))
    counts = torch.stack([torch.histc(r.float(), BINS, 0, DRAWS + 1) for r in torch.stack(ranks).T])
    return torch.tensor([chisquare(row).pvalue for row in counts.numpy()])


def log_posterior(task: Task, x: Tensor, theta: Tensor) -> Tensor:
    """Up to a constant, (n,); -inf outside the prior's support."""
    inside = task.prior.support.check(theta.float())
    safe = torch.where(inside[:, None], theta, theta[inside][:1])
    value = task.prior.log_prob(safe.float()).double() + task.log_likelihood(safe, x)
    return torch.where(inside, value, -torch.inf)


def moved(task: Task, x: Tensor, theta: Tensor, seed: int) -> tuple[Tensor, float]:
    """The draws (n, d) after random-walk Metropolis steps shaped like the draws, and the share of accepted ones."""
    generator = torch.Generator().manual_seed(seed)
    n, d = theta.shape
    here = theta.double()
    root = torch.linalg.cholesky(here.T.cov()) * 2.0 / d**0.5
    height, accepted = log_posterior(task, x, here), 0.0
    for step in range(STEPS):
        scale = (1.0, 0.3, 0.1, 0.03)[step % 4]
        there = here + scale * torch.randn(n, d, generator=generator, dtype=torch.float64) @ root.T
        other = log_posterior(task, x, there)
        take = torch.rand(n, generator=generator, dtype=torch.float64).log() < other - height
        here, height = torch.where(take[:, None], there, here), torch.where(take, other, height)
        accepted += float(take.double().mean()) / STEPS
    return here, accepted


def move_p_values(task: Task, x: Tensor) -> tuple[list[float], float]:
    """One p-value for each parameter and one for the log-posterior, and the share of accepted steps."""
    still, start = references.draws(task, x, 2 * MOVED, 0).split(MOVED)
    there, accepted = moved(task, x, start, 0)
    pairs = [*zip(still.double().T, there.T, strict=True)]
    pairs.append((log_posterior(task, x, still.double()), log_posterior(task, x, there)))
    return [float(ks_2samp(a.numpy(), b.numpy()).pvalue) for a, b in pairs], accepted


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or TASKS:
        task = TASKS[name]
        for number, one in enumerate(references.observations(task, references.OPEN, 3)):
            p, accepted = move_p_values(task, one.x)
            print(f"{name} {number}: {accepted:.0%} of steps taken, p = {' '.join(f'{v:.2f}' for v in p)}", flush=True)
        print(f"{name}: ranks p = {' '.join(f'{v:.2f}' for v in rank_p_values(task))}", flush=True)


if __name__ == "__main__":
    main()
