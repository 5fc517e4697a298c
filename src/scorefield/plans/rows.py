"""What builders share: states as combinations of estimates, and the table that they add up to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from scorefield.core import Levels
from scorefield.plans.plan import Plan

Point = tuple[float, float]
"""A level as numbers, (alpha, sigma)."""


@dataclass(frozen=True)
class Combination:
    """A state not yet evaluated: `sum_j data[j] x0_j + sum_j noise[j] eps_j + c z`.

    Args:
        data: weights of the estimates of x0, by row.
        noise: weights of the estimates of eps, by row.
        c: standard deviation of new noise.
    """

    data: Mapping[int, float] = field(default_factory=dict)
    noise: Mapping[int, float] = field(default_factory=dict)
    c: float = 0.0

    @staticmethod
    def of(k: int, level: Point) -> Combination:
        """The state in which row k was evaluated: `alpha x0_k + sigma eps_k`."""
        return Combination({k: level[0]}, {k: level[1]})

    def scaled(self, factor: float) -> Combination:
        """All weights times a factor >= 0."""
        data = {j: v * factor for j, v in self.data.items()}
        return Combination(data, {j: v * factor for j, v in self.noise.items()}, self.c * factor)

    def plus(self, k: int, data: float = 0.0, noise: float = 0.0) -> Combination:
        """With more of row k's estimates."""
        return Combination(
            {**self.data, k: self.data.get(k, 0.0) + data}, {**self.noise, k: self.noise.get(k, 0.0) + noise}, self.c
        )

    def noised(self, c: float) -> Combination:
        """With independent noise of standard deviation c added; it merges with what is there."""
        return Combination(self.data, self.noise, math.hypot(self.c, c))


class Rows:
    """A table under construction: levels at which the model is evaluated, in order, and how each was reached."""

    def __init__(self) -> None:
        self._levels: list[Point] = []
        self._states: list[Combination] = []

    def evaluate(self, level: Point, state: Combination | None = None) -> int:
        """Evaluate the state at a level; the number of that row. The first state is the start (None)."""
        if (state is None) != (not self._levels):
            raise ValueError("the first row, and no other, starts from the plan's start.")
        if state is not None:
            self._states.append(state)
        self._levels.append(level)
        return len(self._levels) - 1

    def end(self, level: Point, state: Combination, name: str, order: float) -> Plan:
        """The plan whose last row arrives in a state at a level."""
        states = [*self._states, state]
        K = len(states)
        P, E = torch.zeros(2, K, K, dtype=torch.float64)
        for k, state in enumerate(states):
            for table, weights in ((P, state.data), (E, state.noise)):
                for j, value in weights.items():
                    table[k, j] = value
        alpha, sigma = torch.tensor([*self._levels, level], dtype=torch.float64).T
        c = torch.tensor([state.c for state in states], dtype=torch.float64)
        return Plan(Levels(alpha, sigma), P, E, c, name=name, order=order)


def points(lv: Levels, name: str) -> list[Point]:
    """The levels of a grid as numbers.

    Raises:
        TypeError: when lv is no `Levels`.
        ValueError: for fewer than two levels, or sigma = 0 before the last.
    """
    if not isinstance(lv, Levels):
        raise TypeError(f"plans.{name} needs a Levels grid, got {type(lv).__name__}; see scorefield.levels.")
    if len(lv) < 2:
        raise ValueError(f"plans.{name} needs at least two levels, got {len(lv)}.")
    if bool((lv.sigma[:-1] == 0).any()):
        raise ValueError(f"plans.{name}: only the last level may have sigma = 0; for inversion use lv.rising().")
    return list(zip(lv.alpha.tolist(), lv.sigma.tolist(), strict=True))


def ratio(level: Point) -> float:
    """`sigma / alpha`, infinite at alpha = 0."""
    return level[1] / level[0] if level[0] else math.inf


def shrink(level: Point, to: Point) -> float:
    """`(sigma' / alpha') / (sigma / alpha)` of a step from a level to another; 0 from alpha = 0 or to sigma = 0."""
    return (to[1] * level[0]) / (level[1] * to[0]) if to[0] else (1.0 if not level[0] else math.inf)


def falling(grid: list[Point], name: str, why: str) -> None:
    """Raise unless `sigma / alpha` falls along the grid."""
    for one, two in pairwise(grid):
        if not ratio(two) < ratio(one):
            raise ValueError(
                f"plans.{name}: {why} needs sigma / alpha to fall along the grid, got {ratio(one):g} then "
                f"{ratio(two):g}; use a deterministic plan to go up."
            )
