"""What the simulator does, learned: a normal law of the observation given the parameters, and whether it holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scorefield.metrics import c2st
from scorefield.numerics.random import normal
from scorefield.posterior.conditional import Whitening
from scorefield.posterior.networks import NormalNetwork, VectorReader, standardised
from scorefield.posterior.observations import ObservationCodec
from scorefield.posterior.training import Pairs, Recipe, fit_normal
from scorefield.progress import Report, silent

MOST_VALUES = 64
"""An observation of more values is not simulated by a normal law."""
_ERRORS = 2.5  # standard errors above a half at which a classifier's accuracy says that the law does not hold
_TESTED = 2000  # residuals that the classifier sees, at most
_FEWEST = 40
_MEMBERS = 3
_PLACE = math.sqrt(12)  # a place between 0 and 1 has variance 1 / 12


@dataclass(frozen=True, eq=False)
class Likelihood:
    """log p(x | u) by the mean of normal laws whose means and covariances are functions of the parameters.

    Args:
        networks: from the features of u to the laws of v.
        whitening: from standardised observations to v.
        codec: of the observations.
        accuracy: of a classifier that tells its residuals on held-out simulations from standard normal ones; 0.5: none.
        standard_error: of accuracy.
    """

    networks: tuple[NormalNetwork, ...]
    whitening: Whitening
    codec: ObservationCodec
    accuracy: float = math.nan
    standard_error: float = math.nan

    @property
    def holds(self) -> bool:
        """Whether held-out simulations do not contradict it."""
        return self.accuracy <= 0.5 + _ERRORS * self.standard_error

    @torch.no_grad()
    def log_density(self, u: Tensor, v: Tensor) -> Tensor:
        """`log p(v | u)` for u `(n, d)` of one observation, or of several independent ones, v `(m, k)`: `(n,)`."""
        each = torch.stack([self._of(network, u, v) for network in self.networks])
        return (each.logsumexp(0) - math.log(len(self.networks))).sum(1)

    def _of(self, network: NormalNetwork, u: Tensor, v: Tensor) -> Tensor:
        """Of one network, `(n, m)`."""
        away, slope = residuals(network, u, v)
        return slope[:, None] - 0.5 * (away.square().sum(2) + v.shape[1] * math.log(2 * math.pi))

    def observed(self, x: Tensor) -> Tensor:
        """Observations `(m, k)` in v, without bounds."""
        return self.whitening.inward(self.codec.standardised(x))

    @torch.no_grad()
    def simulate(self, u: Tensor, seed: int) -> Tensor:
        """One observation for each u `(n, d)`, in the user's units, `(n, k)`."""
        noise = normal(len(u), (len(self.whitening.mean),), seed, "emulated")
        member = torch.arange(len(u)) % len(self.networks)
        v = torch.empty_like(noise, dtype=torch.float64)
        for k, network in enumerate(self.networks):
            mean, factor = network(features(u[member == k]))
            away = torch.linalg.solve_triangular(factor, noise[member == k, :, None], upper=False)
            v[member == k] = (mean + away[..., 0]).double()
        return self.codec.original(self.whitening.outward(v))


def features(u: Tensor) -> Tensor:
    """What a network sees of parameters u `(n, d)`: them, and their places between 0 and 1, `(n, 2 d)` float32.

    So that what is linear in a parameter between two edges is linear in what is seen.
    """
    return torch.cat([u, _PLACE * (torch.special.ndtr(u.double()) - 0.5)], 1).float()


@torch.no_grad()
def residuals(network: NormalNetwork, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Standardised residuals of observations v `(m, k)` for each u, `(n, m, k)`, and their `log |dr / dv|`, `(n,)`."""
    mean, factor = network(features(u))
    factor = factor.double()
    away = torch.einsum("nij,nmj->nmi", factor, v - mean.double()[:, None])
    return away, factor.diagonal(dim1=1, dim2=2).log().sum(1)


def fit_likelihood(
    u: Tensor,
    x: Tensor,
    codec: ObservationCodec,
    recipe: Recipe,
    report: Report = silent,
    *,
    always: bool = False,
) -> Likelihood:
    """The normal laws of observations given parameters, with their test on held-out simulations.

    Where the codec bends columns, straight ones are tried as well; the greater held-out likelihood decides.

    Args:
        u: parameters `(n, d)`, in coordinates without edges.
        x: observations `(n, k)` without holes.
        codec: of the observations.
        recipe: sizes and budget.
        report: hears how far the training is.
        always: train all networks, also where the first one's law does not hold.
    """
    codecs = [codec] if not bool((codec.bend != 1).any()) else [codec, codec.straight(x)]
    found = []
    for one in codecs:
        share = 1 / (len(codecs) + _MEMBERS - 1)
        pairs = Pairs.split(one.standardised(x), features(u), recipe.settings.seed)
        first = _member(pairs, recipe, share, 0, report)
        found.append((_held_out(pairs, *first, one), pairs, *first, one))
    _, pairs, network, whitening, codec = max(found, key=lambda f: f[0])
    law = Likelihood((network,), whitening, codec)
    accuracy, error = _told_apart(pairs, law, recipe.settings.seed)
    law = replace(law, accuracy=accuracy, standard_error=error)
    if not law.holds and not always:
        return law
    more = [_member(pairs, recipe, share, k, report)[0] for k in range(1, _MEMBERS)]
    return replace(law, networks=(network, *more))


def _member(pairs: Pairs, recipe: Recipe, share: float, k: int, report: Report) -> tuple[NormalNetwork, Whitening]:
    """One network, with a share of the budget and a seed of its own."""
    settings = replace(recipe.part(share), seed=recipe.settings.seed + k)
    reader = VectorReader(pairs.z.shape[1], recipe.width, dropout=recipe.dropout)
    return fit_normal(pairs, reader, replace(recipe, settings=settings), report)


@torch.no_grad()
def _held_out(pairs: Pairs, network: NormalNetwork, whitening: Whitening, codec: ObservationCodec) -> float:
    """The mean log-likelihood of held-out pairs in the user's units, up to a constant that codecs share."""
    y, z = pairs.y[pairs.trained :], pairs.z[pairs.trained :]
    away, slope = standardised(whitening.inward(y), *network(z))
    bent = codec.log_slope(codec.original(y))
    return float((bent + slope - 0.5 * away.square().sum(1)).mean()) + whitening.log_slope


def _told_apart(pairs: Pairs, law: Likelihood, seed: int) -> tuple[float, float]:
    """`told_apart` of the first network on held-out pairs."""
    z = pairs.z[pairs.trained :][:_TESTED]
    with torch.no_grad():
        away, _ = standardised(law.whitening.inward(pairs.y[pairs.trained :][:_TESTED]), *law.networks[0](z))
    return told_apart(z, away, seed)


def told_apart(seen: Tensor, away: Tensor, seed: int) -> tuple[float, float]:
    """A classifier's accuracy at telling (seen, residual) from (seen, standard normal), and its standard error.

    Args:
        seen: `(n, ...)`, features of the parameters.
        away: `(n, k)`, standardised residuals.
        seed: of the classifier.
    """
    seen, away = seen[:_TESTED], away[:_TESTED]
    if len(seen) < _FEWEST:
        return 1.0, 0.0  # nothing can be said of so few
    noise = normal(len(away), away.shape[1:], seed, "residual")
    found = c2st(torch.cat([seen, away.float()], 1), torch.cat([seen.flip(0), noise], 1), seed=seed)
    return found.value, found.standard_error
