"""Held-out losses per noise level, with fixed noise, next to their floor where the data's exact model is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core import Model
from scorefield.numerics.random import normal
from scorefield.objectives.batch import Draws, Objective
from scorefield.training import parallel
from scorefield.training.rows import Rows

BINS = 16
"""Losses are taken at this many noise levels: the middles of as many equal parts of the training density."""
POINTS = 4096
"""Noised held-out points, over all levels, where the training pays for them."""
SHARE = 0.05
"""Of the work of the steps that it stands for, what an evaluation takes at most."""
_ANSWERS = 3  # of the network, that a sample of a step costs: backward is twice forward


def affordable(steps: int, batch: int) -> int:
    """How many noised points `SHARE` of the work of training pays for: the same number at every level, at least one.

    Args:
        steps: that the evaluation stands for.
        batch: samples in a step.

    Example:
        >>> affordable(250, 128), affordable(50, 128), affordable(3, 128)
        (4096, 960, 48)
    """
    return BINS * max(1, min(POINTS, int(SHARE * _ANSWERS * batch * steps)) // BINS)


@dataclass(frozen=True)
class Evaluation:
    """Held-out losses of the averaged weights, per noise level and per coordinate, with fixed noise.

    Args:
        step: after this many steps.
        sigmas: the noise levels, sigma / alpha.
        losses: the weighted denoising loss at each.
        floors: its least possible value on the same points, where the data's exact model is known.
        mean: over the levels: the held-out training loss.
        best: whether no earlier one was lower.
    """

    step: int
    sigmas: tuple[float, ...]
    losses: tuple[float, ...]
    floors: tuple[float, ...] | None
    mean: float
    best: bool


class HeldOut:
    """Held-out points, always with the same noise, so that losses differ by the weights alone.

    Args:
        x: held-out data `(m, *shape)`.
        condition: what goes with each row.
        objective: of the training.
        exact: the data's exact model, where it is known.
        seed: of the noise.
        points: over all levels, a multiple of `BINS`; those of fewer points are the first ones of more.
    """

    def __init__(
        self,
        x: Rows,
        condition: Tensor | None,
        objective: Objective,
        exact: Model | None,
        seed: int,
        points: int = POINTS,
    ) -> None:
        self.points = points
        row = torch.arange(points) // BINS % len(x)
        self.bin = torch.arange(points) % BINS
        middles = (torch.arange(BINS) + 0.5) / BINS
        ratios = torch.as_tensor(objective.levels(middles).ratio)
        order = ratios.argsort()
        self.sigmas = tuple(ratios[order].tolist())
        self.u = middles[order][self.bin].to(x.dtype)
        self.x, self.row, self.seed = x, row, seed  # points and noise are made part by part: they may be large images
        self.condition = None if condition is None else condition[row]
        self.objective = objective
        self.floors = None if exact is None else self.losses(exact, torch.device("cpu"), processes=False)

    @torch.no_grad()
    def losses(self, model: Model, device: torch.device, processes: bool = True) -> tuple[float, ...]:
        """The mean loss per coordinate at each level; the processes share the work."""
        parts = parallel.world() if processes else 1
        mine = torch.arange(parallel.rank() if processes else 0, len(self.row), parts)
        shape, dtype = self.x.shape[1:], self.x.dtype
        total = torch.zeros(BINS, dtype=torch.float64)
        for part in mine.split(512):
            given = None if self.condition is None else self.condition[part].to(device)
            x, u = (v.to(device) for v in (self.x[self.row[part].to(self.x.device)], self.u[part]))
            noise = normal(len(part), shape, self.seed, "held-out", first=part, dtype=dtype, device=device)
            each = self.objective(model, x, Draws(noise, u, part.to(device)), given)
            total.index_add_(0, self.bin[part], each.double().cpu())
        count = len(self.row) / BINS * math.prod(shape)
        mean = total if parts == 1 else parts * torch.tensor(parallel.mean_over_processes(total.tolist(), device))
        return tuple((mean / count).tolist())
