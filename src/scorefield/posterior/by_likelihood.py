"""Posteriors by a learned likelihood and the prior: particles from the prior, tempered to the observation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scorefield.mcmc.tempered import LogDensityFunction, Tempered, tempered
from scorefield.posterior.likelihood import Likelihood
from scorefield.posterior.natural import NaturalLikelihood
from scorefield.posterior.prior import Prior
from scorefield.progress import Report, silent

PARTICLES, FEW = 2000, 500
"""At least, for one posterior, and for each of many."""


@dataclass(frozen=True, eq=False)
class ByLikelihood:
    """The posterior of parameters given independent observations, by their likelihood.

    Args:
        likelihood: of one observation.
        prior: of the parameters, whose density is known.
    """

    likelihood: Likelihood | NaturalLikelihood
    prior: Prior

    def particles(self, x: Tensor, n: int, seed: int, report: Report = silent) -> Tempered:
        """Particles in coordinates without edges, given all of the observations x `(m, k)` together."""
        v = self.likelihood.observed(x)
        first = self.prior.coordinates.inward(self.prior.sample(n, seed))
        return tempered(
            first,
            lambda u: self.likelihood.log_density(u, v),
            self.prior.log_density_inward,
            seed=seed,
            report=report,
        )

    def draws(self, x: Tensor, n: int, seed: int, report: Report = silent, least: int = PARTICLES) -> Tensor:
        """n draws of u given all observations, `(n, d)`, from so many particles at least."""
        return self.particles(x, max(n, least), seed, report).samples[:n]

    def log_evidence(self, x: Tensor, first: Tensor, log_first: LogDensityFunction, seed: int) -> float:
        """`log p(x)` of the observations x `(m, k)` together, by particles that start from another law.

        Up to what the likelihood leaves open.

        Args:
            x: `(m, k)`.
            first: `(n, d)`, draws of a law that is about the posterior, rather wider.
            log_first: its log-density, normalised.
            seed: of the particles' moves.
        """
        v = self.likelihood.observed(x)

        def ratio(u: Tensor) -> Tensor:
            return self.likelihood.log_density(u, v) + self.prior.log_density_inward(u) - log_first(u)

        return tempered(first, ratio, log_first, seed=seed, last_moves=0).log_evidence

    def log_density(self, u: Tensor, x: Tensor) -> Tensor:
        """`log p(u, x)`, `(n,)`: not normalised, for a natural likelihood up to a function of x."""
        return self.likelihood.log_density(u, self.likelihood.observed(x)) + self.prior.log_density_inward(u)
