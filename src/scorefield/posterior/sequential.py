"""Rounds of simulation for one observation, each from the prior where the posterior so far is.

Truncated proposals, Deistler and others (2022).

The prior is cut off outside the region that holds all but a thousandth of the posterior's mass; inside it keeps its
shape. So the simulations of all rounds train one posterior as they are, without weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from scorefield import _ranges
from scorefield.numerics.random import uniform
from scorefield.posterior.prior import Prior
from scorefield.posterior.simulating import Simulator, simulate
from scorefield.posterior.trained import TrainedPosterior
from scorefield.progress import Report, part, silent

_OUTSIDE = 1e-3  # of the posterior's mass, cut off
_DRAWS = 2000  # that the region is measured by
_MARGIN = 0.1  # of the draws' range, around them
_SETTLED = 0.7  # a region of more than this share of the last one's mass is no progress
_TRIES = 400  # times as many candidates as are wanted, at most


@dataclass(frozen=True)
class Round:
    """One round.

    Args:
        simulations: made in it.
        total: simulator calls so far.
        kept: share of the prior's mass that the region has from which they were drawn.
    """

    simulations: int
    total: int
    kept: float


@dataclass(frozen=True, eq=False)
class Region:
    """The prior where a posterior given an observation has its mass.

    Args:
        prior: of the parameters.
        posterior: that says where.
        x: the observation.
        threshold: least log-density, of the parameters in the user's units.
        low: `(d,)`, of the box around it, in coordinates without edges.
        high: `(d,)`.
    """

    prior: Prior
    posterior: TrainedPosterior
    x: Tensor
    threshold: float
    low: Tensor
    high: Tensor

    @staticmethod
    def of(prior: Prior, posterior: TrainedPosterior, x: Tensor, seed: int) -> Region:
        """Measured by draws."""
        theta = posterior.sample(x, _DRAWS, seed=seed)
        threshold = float(posterior.log_prob(theta, x).value.quantile(_OUTSIDE))
        u = prior.coordinates.inward(theta)
        low, high = u.amin(0), u.amax(0)
        margin = _MARGIN * (high - low)
        return Region(prior, posterior, x, threshold, low - margin, high + margin)

    def contains(self, theta: Tensor) -> Tensor:
        """Which parameters `(n, d)` lie in it, `(n,)`."""
        u = self.prior.coordinates.inward(theta)
        inside = ((u >= self.low) & (u <= self.high)).all(1)
        if bool(inside.any()):
            inside[inside.clone()] = self.posterior.log_prob(theta[inside], self.x).value >= self.threshold
        return inside

    def sample(self, n: int, seed: int) -> Tensor:
        """n draws of the prior inside, `(n, d)`: from the box around, kept by the prior's density and the region.

        Raises:
            ValueError: where hardly any of the box belongs to the region.
        """
        found: list[Tensor] = []
        tried, top = 0, self._top()
        while sum(len(part) for part in found) < n:
            if tried > _TRIES * max(n, 100):
                raise ValueError("the region is too small to be drawn from by its box; fit with more simulations.")
            size = max(4 * n, 500)
            place = uniform(size, (len(self.low) + 1,), seed, "region", first=tried, dtype=torch.float64)
            u = self.low + (self.high - self.low) * place[:, :-1]
            kept = place[:, -1].log() <= self.prior.log_density_inward(u) - top
            theta = self.prior.coordinates.outward(u[kept])
            found.append(theta[self.contains(theta)])
            tried += size
        return torch.cat(found)[:n]

    def _top(self) -> float:
        """The prior's greatest log-density in the box, by a net of points."""
        place = uniform(4096, (len(self.low),), 0, "top", dtype=torch.float64)
        u = self.low + (self.high - self.low) * place
        middle = torch.zeros_like(self.low).clamp(self.low, self.high)
        return float(self.prior.log_density_inward(torch.cat([u, middle[None]])).max()) + 0.1


def in_rounds(
    fit: Callable[[Tensor, Tensor, Callable[[int, int], Tensor]], TrainedPosterior],
    simulator: Simulator,
    prior: Prior,
    x: Tensor,
    rounds: int,
    simulations: int,
    *,
    folder: str | Path | None = None,
    processes: int = 1,
    seed: int = 0,
    report: Report = silent,
) -> tuple[TrainedPosterior, list[Round]]:
    """The posterior given one observation, from simulations in rounds; see the module.

    It ends before the last round where the region keeps more than 70 % of the last one's mass: more rounds would
    simulate the same.

    Args:
        fit: (parameters, observations, sampler of what they were drawn from) -> posterior.
        simulator: as `simulate`.
        prior: of the parameters, with its density.
        x: the observation, `(1, k)`.
        rounds: at most.
        simulations: in each.
        folder: where the simulations are kept, a folder for each round.
        processes: as `simulate`.
        seed: of everything random.
        report: hears how far the work is.
    """
    _ranges.COUNT("rounds", rounds)
    proposal: Prior | Callable[[int, int], Tensor] = prior
    done: list[Round] = []
    theta = observed = torch.empty(0)
    region: Region | None = None
    mass = 1.0
    while True:
        k = len(done)
        hear = part(report, k / rounds, (k + 0.5) / rounds)
        place = None if folder is None else Path(folder) / f"round-{k}"
        made = simulate(
            simulator, proposal, simulations, folder=place, processes=processes, seed=seed + 7919 * k, report=hear
        )
        theta, observed = (
            torch.cat([old, new]) if k else new for old, new in zip((theta, observed), made, strict=True)
        )
        done.append(Round(simulations, len(theta), mass))
        posterior = fit(theta, observed, _drawer(proposal, prior))
        report((k + 1) / rounds, f"round {k + 1}, {len(theta):,} simulations")
        if k + 1 == rounds:
            return posterior, done
        region = Region.of(prior, posterior, x, seed + k)
        last, mass = mass, float(region.contains(prior.sample(_DRAWS, seed + 31 + k)).double().mean())
        if mass > _SETTLED * last:
            warnings.warn(
                f"stopped after round {k + 1} of {rounds}, with {len(theta):,} simulations: the posterior's region "
                f"has {mass:.0%} of the prior's mass and no longer shrinks.",
                stacklevel=3,
            )
            return posterior, done
        proposal = region.sample


def _drawer(proposal: Prior | Callable[[int, int], Tensor], prior: Prior) -> Callable[[int, int], Tensor]:
    return prior.sample if isinstance(proposal, Prior) else proposal
