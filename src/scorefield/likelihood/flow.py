"""The probability-flow ODE in the coordinates in which a Gaussian stands still.

With `s = sigma / alpha`, `R^2 = alpha^2 C + sigma^2` (C the reference's covariance) and `w = R^-1 (x - alpha mean)`,
the state w of Gaussian data does not move, and starts and ends standard normal. For other data

    dw/ds = alpha R^-1 (eps - eps_G),    d log q / ds = -alpha (div eps - div eps_G),    eps_G = sigma R^-1 w,

q the density of w. Time is `u = s / (c + s)`, c the data's standard deviation, with the level `alpha = 1 - u`,
`sigma = c u`: regular at clean data, u = 0, and at pure noise, u = 1, where `alpha (eps - eps_G) ds` is taken as
`-(c / sigma) (x0 - x0_G) du`. All of it is a function of the model's pair of answers alone: no schedule enters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core import Estimate, Level, Model
from scorefield.likelihood.reference import Reference
from scorefield.likelihood.traces import LinearPart, Tracer


@dataclass(frozen=True, eq=False)
class Flow:
    """The ODE of a state `(n, d + m)`: w in the reference's eigenbasis, and the m estimates of `log q(start) - log q`.

    Args:
        model: evaluated at levels inside the range that is integrated.
        reference: mean and covariance of the data.
        tracer: of the divergence.
        shape: of one point.
        condition: for the model: None, 0-d, or one per sample.
        tolerance: the error in nats that `measure` counts as 1.
    """

    model: Model
    reference: Reference
    tracer: Tracer
    shape: tuple[int, ...]
    condition: Tensor | None
    tolerance: float

    def time(self, ratio: float) -> float:
        """u of a noise level `sigma / alpha`."""
        return 1.0 if math.isinf(ratio) else ratio / (self.reference.scale + ratio)

    def start(self, z: Tensor, ratio: float) -> Tensor:
        """The state of points z `(n, d)` of the level (1, ratio)."""
        w = self.reference.to_basis(z - self.reference.mean) / self._root(1.0, ratio)
        return torch.cat([w, z.new_zeros(len(z), self.tracer.count)], 1)

    def log_densities(self, y: Tensor, ratio: float) -> Tensor:
        """`log p` at the start, a point of the level (1, ratio), from the state at the noise's end: `(n, m)`."""
        d = len(self.reference.mean)
        w, integral = y[:, :d], y[:, d:]
        normal = -0.5 * (w.square().sum(1) + d * math.log(2 * math.pi))
        return (normal - self._root(1.0, ratio).log().sum())[:, None] + integral

    def __call__(self, u: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """`d state / du` at times u `(n,)`, for `integrate`."""
        alpha, sigma, root = self._at(u)
        w = y[:, : len(self.reference.mean)]
        x = alpha * self.reference.mean + self.reference.from_basis(w * root)
        level, by_noise = Level(alpha[:, 0], sigma[:, 0]), alpha >= 0.5
        condition = self.condition
        if condition is not None and condition.ndim:
            condition = condition[index]
        c = self.reference.scale  # the answer that is small there, eps or x0, counts by its distance to the Gaussian's
        factor = torch.where(by_noise, c / alpha.clamp(min=0.5), -c / sigma.clamp(min=0.25 * c))
        slope = torch.where(by_noise, sigma, alpha * self.reference.variances) / root

        def answer(x: Tensor) -> Tensor:
            e: Estimate = self.model(x.reshape(-1, *self.shape), level, condition)
            return torch.where(by_noise, e.eps.flatten(1), e.x0.flatten(1))

        def product(v: Tensor) -> Tensor:
            return self.reference.from_basis(self.reference.to_basis(v) * (slope / root))

        value, traces = self.tracer(answer, LinearPart(product, (slope / root).sum(1)), x, index)
        offset = torch.where(by_noise, torch.zeros_like(w), self.reference.mean)
        rate = factor * (self.reference.to_basis(value - offset) - slope * w) / root
        return torch.cat([rate, factor * traces.T], 1)

    def measure(self, u: Tensor, y: Tensor, slope: Tensor, error: Tensor) -> Tensor:
        """What errors of a step do to the log-density, in units of the tolerance, `(n,)`.

        An error of w counts by the score there, `-R eps / sigma`, which follows from dw/du: where the score is that of
        the flow's own density it is the adjoint of the ODE. The parts add as squares: their signs vary.
        """
        alpha, sigma, root = self._at(u.clamp(max=1.0))
        d = len(self.reference.mean)
        c = self.reference.scale
        score = -y[:, :d] - alpha / (c * sigma) * root.square() * slope[:, :d]
        own = error[:, d:].mean(1)
        return ((score * error[:, :d]).square().sum(1) + own.square()).sqrt() / self.tolerance

    def _at(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """alpha and sigma `(n, 1)`, and R `(n, d)`."""
        alpha, sigma = (1 - u)[:, None], (self.reference.scale * u)[:, None]
        return alpha, sigma, self._root(alpha, sigma)

    def _root(self, alpha: float | Tensor, sigma: float | Tensor) -> Tensor:
        return (alpha**2 * self.reference.variances + sigma**2).sqrt()
