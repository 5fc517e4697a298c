"""The law of y given a condition: a normal law whose mean and covariance depend on it, and a score that corrects it.

In coordinates v in which the residuals of y have covariance 1 on the whole, let N(m, C) be the normal law given the
condition, with C = Q diag(c) Q^T, and `scale` the geometric mean of its standard deviations. At noise s,

    E[v0 | v] = m + C (C + s^2)^-1 (v - m) + (C s^2 (C + s^2)^-1)^(1/2) F,

where the network F sees `(C + s^2)^(-1/2) (v - m)`, log(s / scale) and the condition. F has unit variance at every
level before it is known, is regular at both ends, and 0 where the law is normal: linear Gaussian problems are exact
with no network at all. Square roots are the symmetric ones, so that F is a smooth function of the condition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from scorefield.core import Estimate, Level
from scorefield.numerics.random import normal
from scorefield.posterior.networks import NormalEnsemble, NormalNetwork, ScoreNetwork

SIGMA_MIN, SIGMA_MAX = 2e-3, 50.0
"""Range of the noise, in units of each condition's own scale."""


class Laws(NamedTuple):
    """The normal laws of n conditions, in v.

    Args:
        mean: `(n, d)`.
        variances: `(n, d)`, in the basis.
        basis: `(n, d, d)`, eigenvectors in columns.
        scale: `(n,)`, the geometric mean of the standard deviations.
    """

    mean: Tensor
    variances: Tensor
    basis: Tensor
    scale: Tensor

    def rows(self, index: Tensor) -> Laws:
        """Those of some conditions."""
        return Laws(*(v[index] for v in self))

    def into(self, v: Tensor) -> Tensor:
        """Vectors `(n, d)` in the basis."""
        return torch.einsum("nji,nj->ni", self.basis, v)

    def out_of(self, v: Tensor) -> Tensor:
        """The inverse of `into`."""
        return torch.einsum("nij,nj->ni", self.basis, v)

    def like(self, v: Tensor) -> Laws:
        """In v's dtype, on its device."""
        return Laws(*(part.to(v) for part in self))


class Noised(NamedTuple):
    """Points at noise s, in the basis, as the correction needs them.

    Args:
        away: `(n, d)`, `Q^T (v - m)`.
        total: `(n, d)`, the variances c + s^2.
        noise: `(n, 1)`, s.
    """

    away: Tensor
    total: Tensor
    noise: Tensor

    @staticmethod
    def of(laws: Laws, v: Tensor, s: Tensor) -> Noised:
        """Of v `(n, d)` at s `(n,)`."""
        noise = s[:, None]
        return Noised(laws.into(v - laws.mean), laws.variances + noise**2, noise)

    def seen(self, laws: Laws) -> Tensor:
        """What the network sees, `(C + s^2)^(-1/2) (v - m)`."""
        return laws.out_of(self.away / self.total.sqrt())

    def denoised(self, laws: Laws, f: Tensor) -> Tensor:
        """`E[v0 | v] - m` `(n, d)`, with the correction F in the basis."""
        return laws.out_of(laws.variances / self.total * self.away + self.weight(laws) * f)

    def weight(self, laws: Laws) -> Tensor:
        """The standard deviations that the noise leaves open, `(n, d)`: of F in the basis."""
        return self.noise * (laws.variances / self.total).sqrt()


@dataclass(frozen=True, eq=False)
class Whitening:
    """y = mean + root v: residuals of y have covariance 1 in v.

    Args:
        mean: `(d,)` float64.
        root: `(d, d)` float64, lower triangular.
    """

    mean: Tensor
    root: Tensor

    def inward(self, y: Tensor) -> Tensor:
        """y `(n, d)` to v, float64."""
        away = (y.double() - self.mean).T
        return torch.linalg.solve_triangular(self.root, away, upper=False).T

    def outward(self, v: Tensor) -> Tensor:
        """v to y."""
        return self.mean + v.double() @ self.root.T

    @property
    def log_slope(self) -> float:
        """`log |dv / dy|`."""
        return -float(self.root.diagonal().log().sum())


class ConditionalScore(nn.Module):
    """The score of y given a condition z at every noise level.

    Args:
        normal: the normal law in v given z.
        networks: whose mean corrects it; none: the law is normal.
        whitening: y to v.
    """

    def __init__(
        self, normal: NormalNetwork | NormalEnsemble, networks: list[ScoreNetwork], whitening: Whitening
    ) -> None:
        super().__init__()
        self.normal = normal
        self.networks = nn.ModuleList(networks)
        self.whitening = whitening

    @property
    def dim(self) -> int:
        """d."""
        return self.normal.dim

    @torch.no_grad()
    def laws(self, z: Tensor, at_once: int = 8192) -> Laws:
        """The normal laws of conditions z `(n, ...)`, in float64."""
        parts = [_laws(*self.normal(part)) for part in z.split(at_once)]
        return Laws(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def bound(self, z: Tensor) -> BoundScore:
        """The model of y given conditions z `(m, ...)`."""
        with torch.no_grad():
            features = [network.reader(z) for network in self.networks]  # type: ignore[operator]
        return BoundScore(self, self.laws(z), features)


def _laws(mean: Tensor, factor: Tensor) -> Laws:
    precision = (factor.mT @ factor).double()
    inverse, basis = torch.linalg.eigh(precision)
    variances = 1 / inverse.clamp(min=1e-12)
    return Laws(mean.double(), variances, basis, variances.log().mean(1).div(2).exp())


class BoundScore:
    """The laws given m conditions as one model: each in units of its scale, from its own mean.

    A point x0 of condition i stands for `v = mean_i + scale_i x0`; which condition a point belongs to is the model's
    `condition`, `(n,)` int64 (without it there is one condition for all).

    Args:
        score: of y given z.
        laws: of the conditions.
        features: that each network reads of them.
    """

    sigma_min, sigma_max = SIGMA_MIN, SIGMA_MAX

    def __init__(self, score: ConditionalScore, laws: Laws, features: list[Tensor]) -> None:
        self.score, self.laws, self.features = score, laws, features

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """The estimate at x `(n, d)`; levels in units of the scale."""
        row = self.index(x, condition)
        laws = self.unit(row, x)
        alpha, sigma = (torch.as_tensor(v, dtype=x.dtype, device=x.device) for v in level)
        s = (sigma / alpha).expand(len(x))
        alpha = alpha.expand(len(x))[:, None]
        noised = Noised.of(laws, x / alpha, s)
        f = laws.into(self.correction(noised.seen(laws), s.log(), row).to(x))
        share = noised.noise / noised.total * noised.away - (laws.variances / noised.total).sqrt() * f
        return Estimate(noised.denoised(laws, f), laws.out_of(share))

    def index(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Which condition each point belongs to, `(n,)`."""
        return torch.zeros(len(x), dtype=torch.int64) if condition is None else condition

    def unit(self, row: Tensor, like: Tensor) -> Laws:
        """The laws of points, in their own units: mean 0 and scale 1."""
        laws = self.laws.rows(row)
        variances = laws.variances / laws.scale[:, None].square()
        return Laws(torch.zeros_like(laws.mean), variances, laws.basis, torch.ones_like(laws.scale)).like(like)

    def correction(self, seen: Tensor, log_level: Tensor, row: Tensor) -> Tensor:
        """The mean of the networks' answers, `(n, d)`."""
        if not len(self.score.networks):
            return torch.zeros_like(seen)
        w, level = seen.float(), log_level.float()
        each = [
            network.answer(w, level, features[row])  # type: ignore[operator]
            for network, features in zip(self.score.networks, self.features, strict=True)
        ]
        return torch.stack(each).mean(0)

    def outward(self, x: Tensor, row: Tensor) -> Tensor:
        """Points of the conditions to y, float64."""
        laws = self.laws.rows(row)
        return self.score.whitening.outward(laws.mean + laws.scale[:, None] * x.double())

    def inward(self, y: Tensor, row: Tensor) -> Tensor:
        """y to points of the conditions."""
        laws = self.laws.rows(row)
        return (self.score.whitening.inward(y) - laws.mean) / laws.scale[:, None]

    def log_slope(self, row: Tensor) -> Tensor:
        """`log |dx / dy|` of the conditions, `(n,)`."""
        return self.score.whitening.log_slope - self.score.dim * self.laws.scale[row].log()

    def wide(self, i: int, n: int, factor: float, seed: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """n draws of y `(n, d)` from the normal law of condition i made wider by a factor, and its log-density."""
        whitening, laws = self.score.whitening, self.laws.rows(torch.tensor([i]))
        spread = factor * laws.variances.sqrt()
        noise = normal(n, (self.score.dim,), seed, "wide", dtype=torch.float64)
        constant = whitening.log_slope - float(spread.log().sum()) - 0.5 * self.score.dim * math.log(2 * math.pi)

        def log_density(y: Tensor) -> Tensor:
            away = (whitening.inward(y) - laws.mean) @ laws.basis[0] / spread
            return constant - 0.5 * away.square().sum(1)

        return whitening.outward(laws.mean + (spread * noise) @ laws.basis[0].T), log_density
