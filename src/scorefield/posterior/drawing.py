"""Draws and log-densities of a conditional law."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.numerics.random import normal
from scorefield.plans import Plan, default, run
from scorefield.posterior.conditional import SIGMA_MAX, SIGMA_MIN, BoundScore
from scorefield.progress import Report, counted, silent

STEPS = 20
"""Network evaluations per draw, by default."""
_AT_ONCE = 8192


def plan(steps: int = STEPS) -> Plan:
    """The plan of draws, in units of each condition's scale."""
    return default(steps, scale=1.0, sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX)


@torch.no_grad()
def draws(
    bound: BoundScore, row: Tensor, seed: int, steps: int = STEPS, first: int = 0, report: Report = silent
) -> Tensor:
    """One draw of y for each row of conditions, `(n,)` int64: `(n, d)` float64.

    Draw i is a function of (seed, first + i).
    """
    found, way = [], plan(steps)
    pieces = row.split(_AT_ONCE)
    for k, piece in enumerate(counted(pieces, len(pieces), report, "draws")):
        start = first + k * _AT_ONCE
        x = _start(bound, way, piece, seed, start)
        x = run(way, bound, x, seed=seed, first=start, condition=piece)
        found.append(bound.outward(x, piece))
    return torch.cat(found) if found else torch.empty(0, bound.score.dim, dtype=torch.float64)


def _start(bound: BoundScore, way: Plan, row: Tensor, seed: int, first: int) -> Tensor:
    """Points of the normal laws at the plan's first level."""
    level = way.levels[0]
    noise = normal(len(row), (bound.score.dim,), seed, "conditional", first=first)
    laws = bound.unit(row, noise)
    spread = (laws.variances * level.alpha**2 + level.sigma**2).sqrt()
    return laws.out_of(spread * noise)
