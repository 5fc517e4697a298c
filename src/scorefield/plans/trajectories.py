"""Accurate trajectories of the probability flow, with states at every noise level: the reference for plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.core import Estimate, Level, Levels, Model
from scorefield.plans.multistep import unipc
from scorefield.plans.run import walk
from scorefield.plans.variables import FLOW, integrals

_NODES = 6
"""Past and later slopes through which a state between two levels is interpolated."""


@dataclass(frozen=True, eq=False)
class Trajectories:
    """States of the probability flow at falling noise levels, alpha = 1, and what lies between them.

    In `y = x / (scale + sigma)`, `u = sigma / (scale + sigma)` the flow is `dy/du = eps - x0 / scale`, regular at
    both ends; between levels the slope is the polynomial through six of its values, integrated exactly.

    Args:
        scale: the data's standard deviation.
        sigma: `(T + 1,)`, falling to 0.
        states: `(T + 1, n, *shape)`.
        slopes: `eps - x0 / scale`, `(T, n, *shape)`.
    """

    scale: float
    sigma: Tensor
    states: Tensor
    slopes: Tensor

    def __len__(self) -> int:
        return self.states.shape[1]

    @property
    def start(self) -> Tensor:
        """Where they begin, `(n, *shape)`."""
        return self.states[0]

    @property
    def end(self) -> Tensor:
        """Where they arrive at sigma = 0, `(n, *shape)`."""
        return self.states[-1]

    def part(self, first: int, stop: int) -> Trajectories:
        """Those of samples first to stop - 1."""
        return Trajectories(self.scale, self.sigma, self.states[:, first:stop], self.slopes[:, first:stop])

    def at(self, level: Level) -> Tensor:
        """The states at a level within the range, `(n, *shape)`: `alpha` times those at `sigma / alpha`."""
        alpha, sigma = float(level.alpha), float(level.ratio)
        if sigma == 0:
            return alpha * self.end
        count = len(self.slopes)
        above = int((self.sigma[:count] >= sigma * (1 - 1e-14)).sum()) - 1
        if above < 0:
            raise ValueError(f"the trajectories start at sigma = {float(self.sigma[0]):g}, below {sigma:g}.")
        near = float(self.sigma[above])
        if near <= sigma * (1 + 1e-14):
            return alpha * self.states[above]
        first = max(0, min(above + 1 - _NODES // 2, count - _NODES))
        nodes = [(self.scale, float(s)) for s in self.sigma[first : min(first + _NODES, count)]]
        noise = integrals(FLOW, nodes, (self.scale, near), (self.scale, sigma))[1]
        y = self.states[above] / (self.scale + near)
        for j, weight in enumerate(noise):
            y = y + weight * self.slopes[first + j]
        return alpha * (self.scale + sigma) * y

    def errors(self, x0: Tensor) -> Tensor:
        """Distances of other end points from theirs, RMS over coordinates, over the RMS of all ends, `(n,)`."""
        each = ((x0 - self.end).double() ** 2).flatten(1).mean(1)
        return (each / (self.end.double() ** 2).mean()).sqrt()


def solve_flow(model: Model, x: Tensor, lv: Levels, scale: float, condition: Tensor | None = None) -> Trajectories:
    """The probability flow from x `(n, *shape)` along a fine grid that ends at sigma = 0: one evaluation a level.

    Predictor and corrector of order 5 on straight lines (`unipc`). Below the last level above 0 the slope is continued
    as the polynomial that it is there.

    Args:
        model: `(x, level, condition) -> Estimate`.
        lv: falling, alpha = 1, about a hundred levels.
        scale: the data's standard deviation.
        condition: `(n, ...)`, handed to the model.
    """
    states, slopes = [x], []
    for state, estimate in walk(unipc(lv, 4, FLOW, scale), model, x, condition=condition):
        states.append(state.x)
        slopes.append(estimate.eps - estimate.x0 / scale)
    return Trajectories(scale, lv.sigma, torch.stack(states), torch.stack(slopes))


class Errors(NamedTuple):
    """Distances of end points from the accurate ones, over the RMS of these.

    Args:
        rms: over all.
        median: over the samples, which a few that change basin do not move.
    """

    rms: float
    median: float

    @staticmethod
    def of(each: Tensor, weight: Tensor | None = None) -> Errors:
        """From the distances `(n,)` that `Trajectories.errors` gives, and how many samples each represents."""
        weight = torch.ones_like(each) if weight is None else weight.to(each)
        rms = ((weight * each**2).sum() / weight.sum()).sqrt()
        return Errors(float(rms), float(weighted_median(each, weight)))

    @property
    def score(self) -> float:
        """The geometric mean of both."""
        return self.mean(0.5)

    def mean(self, share: float) -> float:
        """The geometric mean of both in which the RMS has a share from 0 to 1."""
        return float(max(self.rms, 1e-300) ** share * max(self.median, 1e-300) ** (1 - share))


def weighted_median(values: Tensor, weight: Tensor) -> Tensor:
    """The least of the values `(n,)` that, with all below it, has half of the weight."""
    values, order = values.sort()
    total = weight[order].cumsum(0)
    return values[(total < 0.5 * total[-1]).sum()]


@dataclass(eq=False)
class CountingModel:
    """A model evaluated in batches, which counts its single-sample evaluations.

    Args:
        model: any.
        batch: most samples at once.
        evaluations: single-sample evaluations so far.
        bar: called with the number of evaluations of each batch: `tqdm.update`.
    """

    model: Model
    batch: int = 1024
    evaluations: int = 0
    bar: Callable[[int], object] | None = None

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """The model's estimate at x `(n, *shape)`, without gradients."""
        self.evaluations += len(x)
        parts = []
        with torch.no_grad():
            for i in range(0, len(x), self.batch):
                given = None if condition is None else condition[i : i + self.batch]
                parts.append(self.model(x[i : i + self.batch], level, given))
                if self.bar is not None:
                    self.bar(len(parts[-1].x0))
        if len(parts) == 1:
            return parts[0]
        return Estimate(torch.cat([e.x0 for e in parts]), torch.cat([e.eps for e in parts]))

    def vjp(self, x: Tensor, level: Level, condition: Tensor | None, data: Tensor, noise: Tensor) -> Tensor:
        """The gradient in x of `sum(data * x0 + noise * eps)`, as x. It counts as three evaluations a sample.

        Raises:
            RuntimeError: by a model that records no gradients.
        """
        self.evaluations += 3 * len(x)
        parts = []
        with torch.enable_grad():
            for i in range(0, len(x), self.batch):
                part = slice(i, i + self.batch)
                at = x[part].detach().requires_grad_(True)
                estimate = self.model(at, level, None if condition is None else condition[part])
                parts.append(torch.autograd.grad([*estimate], [at], [data[part], noise[part]])[0])
                if self.bar is not None:
                    self.bar(3 * len(at))
        return torch.cat(parts)
