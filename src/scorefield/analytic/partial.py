"""A Gaussian mixture conditional on any part of its coordinates: exact estimates where some are given, some hidden."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield._tensor import check_batch, expand
from scorefield.analytic.mixture import GaussianMixture
from scorefield.core import Estimate, Level, check_level

GIVEN_NOISE = 1e-4  # a given coordinate counts as seen with this much noise: keeps collinear coordinates solvable


class Pattern(NamedTuple):
    """What each coordinate of each row is, `(n, d)` booleans; the rest are hidden.

    Args:
        queried: of which the estimate is wanted; they carry noise.
        given: conditioned on, without noise.
        value: the given values, 0 elsewhere.
    """

    queried: Tensor
    given: Tensor
    value: Tensor

    @staticmethod
    def of(given: Tensor) -> Pattern:
        """From `(n, d)`: a number is given, NaN is queried, infinity is hidden."""
        finite = torch.isfinite(given)
        return Pattern(torch.isnan(given), finite, torch.where(finite, given, torch.zeros_like(given)))

    @property
    def whole(self) -> bool:
        """Whether everything is queried."""
        return bool(self.queried.all())


class ComponentEstimates(NamedTuple):
    """The components' estimates for a batch.

    Args:
        log_joint: `log w_k p_k(row)` up to a constant of the row, `(n, K)`.
        eps: `E[eps | row, k]` of the queried coordinates, `(n, K, d)`; elsewhere without meaning.
        x0: `E[x0 | row, k]`, `(n, K, d)`.
    """

    log_joint: Tensor
    eps: Tensor
    x0: Tensor


class ConditionedRows(NamedTuple):
    """The mixture of each row's queried coordinates given its own, decomposed once for all levels.

    Args:
        pattern: of the rows.
        place: `(n,)`, which of the P different patterns a row has.
        basis: eigenvectors of the conditional covariances, `(P, K, d, d)`; 0 off the queried coordinates.
        variances: their eigenvalues, `(P, K, d)`.
        means: conditional, `(n, K, d)`.
        log_weights: `log w_k p_k(given)` up to a constant of the row, `(n, K)`.
    """

    pattern: Pattern
    place: Tensor
    basis: Tensor
    variances: Tensor
    means: Tensor
    log_weights: Tensor

    @staticmethod
    def of(law: GaussianMixture, pattern: Pattern) -> ConditionedRows:
        """Condition a mixture on what is given in each row; float64."""
        bits = torch.cat([pattern.queried, pattern.given], 1)
        patterns, place = torch.unique(bits, dim=0, return_inverse=True)
        (n, d), k = pattern.queried.shape, len(law.weights)
        basis, variances = law.means.new_zeros(len(patterns), k, d, d), law.means.new_zeros(len(patterns), k, d)
        means, log_weights = law.means.expand(n, k, d).clone(), law.weights.log().expand(n, k).clone()
        for p, one in enumerate(patterns):
            queried, given = (part.nonzero()[:, 0] for part in one.chunk(2))
            rows = (place == p).nonzero()[:, 0]
            covariance = law.covariances[:, queried][:, :, queried]
            if len(given):
                known = law.covariances[:, given][:, :, given] + GIVEN_NOISE**2 * torch.eye(len(given)).to(law.means)
                factor = torch.linalg.cholesky(known)
                half = torch.linalg.solve_triangular(factor, law.covariances[:, given][:, :, queried], upper=False)
                away = pattern.value[rows][:, given][:, None] - law.means[:, given]
                z = torch.linalg.solve_triangular(factor, away.permute(1, 2, 0), upper=False)
                covariance = covariance - half.mT @ half
                means[rows[:, None], :, queried] += torch.einsum("kgn,kga->nak", z, half)
                log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
                log_weights[rows] -= (0.5 * z.square().sum(1) + log_det[:, None]).T
            if len(queried):
                spread, vectors = torch.linalg.eigh(covariance)
                variances[p][:, queried] = spread.clamp(min=0.0)
                whole = basis.new_zeros(k, len(queried), d)
                whole[:, :, queried] = vectors
                basis[p][:, queried] = whole
        return ConditionedRows(pattern, place, basis, variances, means, log_weights)

    def rows(self, index: Tensor) -> ConditionedRows:
        """Some of the rows."""
        pattern = Pattern(*(v[index] for v in self.pattern))
        return self._replace(
            pattern=pattern, place=self.place[index], means=self.means[index], log_weights=self.log_weights[index]
        )

    def estimate(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Estimate:
        """The mixture's estimate at x `(n, d)`, for levels 0-d or `(n, 1)`; float64."""
        return combine_components(self._component_estimates(x, alpha, sigma), x, alpha, sigma)

    def log_density(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """`log p(queried | given)` of the noised x `(n, d)`, in nats, `(n,)`; levels 0-d or `(n, 1)`."""
        queried = self.pattern.queried
        constant = 0.5 * queried.sum(1).double() * math.log(2 * math.pi)
        # the directions off the queried coordinates have eigenvectors of 0 and the variance sigma^2 in every component
        elsewhere = (~queried).sum(1).double() * torch.log(sigma.expand(len(x), 1)[:, 0] ** 2) / 2
        joint = self._component_estimates(x, alpha, sigma).log_joint
        return torch.logsumexp(joint, 1) - torch.logsumexp(self.log_weights, 1) - constant + elsewhere

    def posterior_variance(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The posterior variance of each coordinate under the first component, `(n, d)`, 0 where not queried."""
        spread = self.variances[self.place][:, 0]
        spread = spread * sigma**2 / (alpha**2 * spread + sigma**2)
        return torch.einsum("nde,ne->nd", self.basis[self.place][:, 0].square(), spread)

    def _component_estimates(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> ComponentEstimates:
        """The components' estimates at x `(n, d)`; float64."""
        basis, spread = self.basis[self.place], self.variances[self.place]
        z = torch.einsum("nkd,nkde->nke", x[:, None] - alpha[..., None] * self.means, basis)
        variance = (alpha**2)[..., None] * spread + (sigma**2)[..., None]
        log_joint = self.log_weights - 0.5 * (z.square() / variance + variance.log()).sum(-1)
        eps = torch.einsum("nke,nkde->nkd", sigma[..., None] * z / variance, basis)
        moved = torch.einsum("nke,nkde->nkd", alpha[..., None] * spread * z / variance, basis)
        return ComponentEstimates(log_joint, eps, self.means + moved)


class PartialMixture:
    """The exact model of a Gaussian mixture when some coordinates are given and others are hidden.

    `model(x, level, condition)` with condition `(n, d)`: a finite number is the given value of that coordinate, NaN
    says that it is queried and carries noise in x, infinity that it is hidden (integrated out). Coordinates that are
    not queried are answered as independent standard normals, so that samplers and log-densities, which work on all
    coordinates, leave them alone. Without a condition all are queried.

    Args:
        law: the mixture.
        device: to compute on.

    Example:
        >>> law = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.tensor([[[1.0, 0.5], [0.5, 1.0]]]))
        >>> given = torch.tensor([[float("nan"), 2.0]])
        >>> e = PartialMixture(law)(torch.zeros(1, 2), Level(1.0, 1e3), given)
        >>> round(float(e.x0[0, 0]), 3)
        1.0
    """

    def __init__(self, law: GaussianMixture, device: torch.device | str | None = None) -> None:
        self.law = law
        if device is not None and torch.device(device) != law.means.device:
            self.law = GaussianMixture(*(v.to(device) for v in (law.weights, law.means, law.covariances)))
        self.mean, self.covariance = self.law.mean, self.law.covariance

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """The estimate at x `(n, d)`, for a level 0-d or `(n,)` with sigma > 0."""
        check_batch("x", x)
        check_level(level)
        alpha, sigma = (expand(v, x).double() for v in level)
        z = x.double()
        pattern = None if condition is None else Pattern.of(condition.to(z))
        if pattern is None or pattern.whole:
            estimate = self.law(z, level)
        else:
            estimate = combine_components(self.component_estimates(z, alpha, sigma, pattern), z, alpha, sigma)
            estimate = standard_normal_elsewhere(estimate, z, alpha, sigma, pattern.queried)
        return Estimate(*(v.to(x.dtype) for v in estimate))

    def component_estimates(self, x: Tensor, alpha: Tensor, sigma: Tensor, pattern: Pattern) -> ComponentEstimates:
        """Each row with its own pattern: one Cholesky factor per row and component; float64."""
        law = self.law
        root = precision_roots(alpha, sigma, pattern)  # of the precision with which a coordinate is seen
        factor = scaled_cholesky(law.covariances, root)
        seen = torch.where(pattern.queried, x / sigma, pattern.value * root)
        r = seen[:, None] - root[:, None] * law.means
        v = torch.cholesky_solve(r[..., None], factor)[..., 0]
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_joint = law.weights.log() - 0.5 * ((r * v).sum(-1) + log_det)
        x0 = law.means + torch.einsum("kde,nke->nkd", law.covariances, root[:, None] * v)
        return ComponentEstimates(log_joint, v, x0)


def precision_roots(alpha: Tensor, sigma: Tensor, pattern: Pattern) -> Tensor:
    """The square root of the precision with which each coordinate is seen, `(n, d)`: 0 where hidden."""
    queried = (alpha / sigma).expand(pattern.queried.shape)
    return torch.where(pattern.queried, queried, pattern.given.to(queried) / GIVEN_NOISE)


def scaled_cholesky(covariances: Tensor, root: Tensor) -> Tensor:
    """The Cholesky factor of `1 + root C root` for covariances `(K, d, d)` and rows `(n, d)`: `(n, K, d, d)`."""
    scaled = root[:, None, :, None] * covariances * root[:, None, None, :]
    scaled.diagonal(dim1=-2, dim2=-1).add_(1.0)
    factor: Tensor = torch.linalg.cholesky(scaled)
    return factor


def combine_components(components: ComponentEstimates, x: Tensor, alpha: Tensor, sigma: Tensor) -> Estimate:
    """The components' estimates combined: the smaller of the pair is summed, the other follows from the identity."""
    share = torch.softmax(components.log_joint, 1)[..., None]
    eps, x0 = (share * components.eps).sum(1), (share * components.x0).sum(1)
    near = alpha >= sigma
    return Estimate(
        torch.where(near, (x - sigma * eps) / torch.where(near, alpha, 1.0), x0),
        torch.where(near, eps, (x - alpha * x0) / torch.where(near, 1.0, sigma)),
    )


def standard_normal_elsewhere(estimate: Estimate, x: Tensor, alpha: Tensor, sigma: Tensor, queried: Tensor) -> Estimate:
    """The estimate with independent standard normals in place of what is not queried."""
    total = alpha**2 + sigma**2
    return Estimate(
        torch.where(queried, estimate.x0, alpha * x / total), torch.where(queried, estimate.eps, sigma * x / total)
    )


def log_standard_normal(count: Tensor, noise: float) -> Tensor:
    """`log N(0; 0, 1 + noise^2)` in as many coordinates: what coordinates that are not queried add at 0."""
    return -0.5 * count.double() * math.log(2 * math.pi * (1 + noise**2))
