"""Distillation: a model that takes each long step of a sampler as the flow of a teacher takes it, in one answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scorefield.core import Estimate, Level, Levels
from scorefield.levels import TrainingLevels
from scorefield.objectives.batch import Draws

FlowStep = Callable[[Tensor, int, Tensor | None], Tensor]
"""`(x (n, *shape), k, condition) -> (n, *shape)`: the state at level k + 1 of the flow through x at level k."""


def secant(x: Tensor, reached: Tensor, start: Level, stop: Level) -> Estimate:
    """The estimate whose deterministic (DDIM) step from x at one level ends at a given state of the next.

    `alpha x0 + sigma eps = x` and `alpha' x0 + sigma' eps = reached`, solved for the pair: of the flow's path between
    the two levels it is the secant where a model's estimate is the tangent (Salimans and Ho 2022).

    Args:
        x: states at `start`, `(n, *shape)`.
        reached: states at `stop`.
        start: a level, 0-d or `(n,)`.
        stop: of a smaller sigma / alpha.

    Example:
        >>> pair = secant(torch.tensor([[3.0]]), torch.tensor([[2.0]]), Level(1.0, 2.0), Level(1.0, 1.0))
        >>> pair.x0.item(), pair.eps.item()
        (1.0, 1.0)
    """
    (a, s), (b, t) = start.like(x), stop.like(x)
    determinant = a * t - s * b
    return Estimate((t * x - s * reached) / determinant, (a * reached - b * x) / determinant)


@dataclass(frozen=True, eq=False)
class Distillation:
    """The squared error of the steps of `plans.ddim(grid)` against a teacher's flow, over the variance of the state.

    A step's start is noised data at its level. The least loss is 0: the answer at each of the levels is then the
    `secant` of the flow, and the plan ends where the flow does (progressive distillation, Salimans and Ho 2022, in one
    round).

    Args:
        grid: K + 1 levels with falling sigma / alpha.
        flow: of the teacher between neighbours of them.
        sigma_data: the data's standard deviation.
        holes: of the interface: there are none.
    """

    grid: Levels
    flow: FlowStep
    sigma_data: float
    holes: bool = False

    @property
    def levels(self) -> TrainingLevels:
        """Each level but the last one equally often."""
        return _Starts(self.grid)

    def __call__(self, model: Any, x: Tensor, draws: Draws, condition: Tensor | None = None) -> Tensor:
        """One loss per sample, `(n,)`; arguments as `Objective`."""
        place = _place(self.grid, draws.u)
        state = _level(self.grid, place, x).noised(x, draws.noise)
        wanted = torch.empty_like(state)
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):  # the teacher is asked in its own dtype
            for k in place.unique().tolist():
                rows = place == k
                wanted[rows] = self.flow(state[rows], k, None if condition is None else condition[rows])
        return _error(model, self.grid, self.sigma_data, place, state, wanted, condition)


@dataclass(frozen=True, eq=False)
class PathDistillation:
    """The loss of `Distillation` on paths of the flow that were drawn before: the teacher is not asked again.

    A path that begins in noise has at every level the law of noised data there, so the loss is the same in the mean.
    Each path gives K steps for one draw of the teacher, and comes again in every epoch.

    Args:
        grid: K + 1 levels with falling sigma / alpha.
        sigma_data: the data's standard deviation.
        holes: of the interface: there are none.
    """

    grid: Levels
    sigma_data: float
    holes: bool = False

    @property
    def levels(self) -> TrainingLevels:
        """Each level but the last one equally often."""
        return _Starts(self.grid)

    def __call__(self, model: Any, x: Tensor, draws: Draws, condition: Tensor | None = None) -> Tensor:
        """One loss per path, `(n,)`; arguments as `Objective`, x the paths `(n, K + 1, *shape)`."""
        place, rows = _place(self.grid, draws.u), torch.arange(len(x), device=x.device)
        error = _error(model, self.grid, self.sigma_data, place, x[rows, place], x[rows, place + 1], condition)
        return error * x.shape[1]  # of one state, where the trainer counts the numbers of all


class _Starts(NamedTuple):
    """u in (0, 1) to the levels of a grid that steps start from."""

    grid: Levels

    def __call__(self, u: Tensor) -> Level:
        return _level(self.grid, _place(self.grid, u), u)


def _place(grid: Levels, u: Tensor) -> Tensor:
    """The step of each u in (0, 1): equal parts."""
    steps = len(grid.sigma) - 1
    return (u.double() * steps).long().clamp(0, steps - 1)


def _level(grid: Levels, place: Tensor, like: Tensor) -> Level:
    return Level(*(v.to(like)[place] for v in (grid.alpha, grid.sigma)))


def _error(
    model: Any,
    grid: Levels,
    sigma_data: float,
    place: Tensor,
    state: Tensor,
    wanted: Tensor,
    condition: Tensor | None,
) -> Tensor:
    """The squared distance of one step of the model from where it should end, over the variance there."""
    start, stop = (_level(grid, place + k, state) for k in range(2))
    estimate = model(state, start, condition)
    error = (stop.noised(estimate.x0, estimate.eps) - wanted).square().flatten(1).sum(1)
    return error / ((stop.alpha * sigma_data) ** 2 + stop.sigma**2)
