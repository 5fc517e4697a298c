"""Gaussians and their mixtures: noised score, density, estimate and linear posterior in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield._tensor import check_batch, expand
from scorefield.analytic._law import CLEAN, check_noisy, in_pieces, noised, parameter
from scorefield.core import Estimate, Level
from scorefield.numerics.random import normal, uniform


class _Parts(NamedTuple):
    """A batch seen by each component k, in the eigenbasis of its covariance.

    Args:
        alpha: `()` or `(n, 1, 1)`; so is sigma.
        sigma: noise level.
        precise: `z / v` with `z = U_k^T (x - alpha m_k)` and `v = alpha^2 l_k + sigma^2`, `(n, K, d)`.
        variance: v, with 1 in place of 0, `(K, d)` or `(n, K, d)`.
        log_joint: `log(w_k N(x; alpha m_k, alpha^2 C_k + sigma^2))`, `(n, K)`.
    """

    alpha: Tensor
    sigma: Tensor
    precise: Tensor
    variance: Tensor
    log_joint: Tensor


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A mixture of Gaussians: `sum_k w_k N(m_k, C_k)`.

    Args:
        weights: `(K,)`, positive; made to sum to 1.
        means: `(K, d)`; samples have their dtype.
        covariances: `(K, d, d)`, symmetric, positive semi-definite. A singular one is allowed: score and density at
            sigma = 0 are then an error.

    Raises:
        ValueError: for shapes that do not fit, weights that are not positive, or a matrix that is no covariance.

    Example:
        >>> gm = GaussianMixture(torch.tensor([1.0, 3.0]), torch.tensor([[-1.0], [1.0]]), torch.full((2, 1, 1), 0.1))
        >>> gm.mean.tolist()
        [0.5]
        >>> round(float(gm(torch.zeros(1, 1), Level(0.0, 1.0)).x0), 6)
        0.5
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor
    mean: Tensor = field(init=False, repr=False)
    covariance: Tensor = field(init=False, repr=False)
    dtype: torch.dtype = field(init=False, repr=False)
    _basis: Tensor = field(init=False, repr=False)
    _offsets: Tensor = field(init=False, repr=False)
    _variances: Tensor = field(init=False, repr=False)
    _scale: float = field(init=False, repr=False)
    _singular: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        dtype = torch.as_tensor(self.means).dtype
        weights, means, covariances = (
            parameter(f"GaussianMixture({name})", getattr(self, name), dim)
            for name, dim in (("weights", 1), ("means", 2), ("covariances", 3))
        )
        count, d = means.shape
        if weights.shape != (count,) or covariances.shape != (count, d, d) or not means.numel():
            raise ValueError(
                f"GaussianMixture needs weights (K,), means (K, d), covariances (K, d, d), got "
                f"{tuple(weights.shape)}, {tuple(means.shape)}, {tuple(covariances.shape)}."
            )
        if not bool((weights > 0).all()):
            raise ValueError(f"weights must be positive, got {float(weights.min()):g}; leave empty components out.")
        if abs(float(weights.sum()) - 1) > 1e-12:  # so that what was normalised once stays as it is, bit for bit
            weights = weights / weights.sum()
        variances, basis = _eigenbasis(covariances)
        mean = weights @ means
        deviations = means - mean
        within = torch.einsum("k,kij->ij", weights, covariances)
        covariance = within + deviations.T @ (weights[:, None] * deviations)
        derived = {
            "weights": weights,
            "means": means,
            "covariances": covariances,
            "mean": mean,
            "covariance": covariance,
            "dtype": dtype,
            "_basis": basis.permute(1, 0, 2).reshape(d, count * d).contiguous(),  # all components side by side
            "_offsets": torch.einsum("kie,ki->ke", basis, deviations),
            "_variances": variances,
            "_scale": math.sqrt(float(covariance.diagonal().mean().clamp(min=0))),
            "_singular": bool((variances == 0).any()),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"GaussianMixture({len(self.weights)} components in {self.means.shape[1]} dimensions)"

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """`E[x0 | x]`, `E[eps | x]` at x `(n, d)`, for a level 0-d or `(n,)`, both ends included.

        The member of the pair that is small is summed over the components; the other follows from
        `alpha * x0 + sigma * eps = x`, which divides by the larger of the two scales.
        """
        self._check(x)
        return Estimate(*in_pieces(self._estimate, x, level, self._basis.shape[1]))

    def log_density(self, x: Tensor, level: Level | None = None) -> Tensor:
        """`log p(x)` in nats at a noise level (default: of the data), `(n, d) -> (n,)`.

        Raises:
            ValueError: at sigma = 0 when a covariance is singular.
        """
        level = self._checked(x, level)
        (value,) = in_pieces(lambda y, at: (self._parts(y, at).log_joint.logsumexp(1),), x, level, len(self._basis.T))
        return value

    def score(self, x: Tensor, level: Level | None = None) -> Tensor:
        """`grad log p(x)` at a noise level (default: of the data), `(n, d) -> (n, d)`.

        Raises:
            ValueError: at sigma = 0 when a covariance is singular.
        """
        level = self._checked(x, level)
        (value,) = in_pieces(lambda y, at: (self._score(y, at),), x, level, len(self._basis.T))
        return value

    def noise_variance(self, x: Tensor, level: Level) -> Tensor:
        """`E[|eps - E[eps | x]|^2 | x]`, `(n, d) -> (n,)`: what no denoiser can know at x, sigma > 0."""
        level = self._checked(x, level)
        (value,) = in_pieces(lambda y, at: (self._noise_variance(y, at),), x, level, len(self._basis.T))
        return value

    def sample(self, n: int, seed: int, level: Level | None = None, *, first: int = 0) -> Tensor:
        """n samples `(n, d)` in the dtype of the parameters as given, noised to a level if there is one.

        Sample i is a pure function of (seed, first + i).
        """
        u = uniform(n, (), seed, "analytic component", first=first, dtype=torch.float64, device=self.means.device)
        component = torch.searchsorted(self.weights.cumsum(0), u).clamp(max=len(self.weights) - 1)
        z = normal(n, self.mean.shape, seed, "analytic data", first=first, dtype=torch.float64, device=u.device)
        x = torch.empty_like(z)
        basis = self._basis.unflatten(1, self.means.shape)
        for k in range(len(self.weights)):
            chosen = component == k
            x[chosen] = self.means[k] + (z[chosen] * self._variances[k].sqrt()) @ basis[:, k].T
        return noised(x, seed, level, first).to(self.dtype)

    def posterior(self, y: Tensor, A: Tensor, noise_covariance: Tensor) -> GaussianMixture:
        """The law of x0 given `y = A x0 + noise`, exactly; noise is normal with the given covariance.

        Args:
            y: `(m,)`.
            A: `(m, d)`.
            noise_covariance: `(m, m)`.

        Raises:
            ValueError: for shapes that do not fit, or when y has no density (a singular covariance of y).

        Example:
            >>> prior = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1))
            >>> prior.posterior(torch.tensor([1.0]), torch.eye(1), torch.eye(1)).mean.tolist()
            [0.5]
        """
        y, A, noise = _measurement(y, A, noise_covariance, self.means)
        spread = A @ self.covariances @ A.T + noise
        factor, failed = torch.linalg.cholesky_ex(spread)
        if bool(failed.any()):
            raise ValueError("the covariance A C A^T + noise_covariance is singular; give the noise a full covariance.")
        residual = y - self.means @ A.T
        gain = torch.cholesky_solve(A @ self.covariances, factor).mT
        means = self.means + (gain @ residual[..., None]).squeeze(-1)
        rest = torch.eye(A.shape[1], dtype=A.dtype, device=A.device) - gain @ A
        covariances = rest @ self.covariances @ rest.mT + gain @ noise @ gain.mT  # Joseph's form stays semi-definite
        whitened = torch.linalg.solve_triangular(factor, residual[..., None], upper=False).squeeze(-1)
        log_weights = self.weights.log() - whitened.square().sum(1) / 2 - factor.diagonal(dim1=1, dim2=2).log().sum(1)
        weights = log_weights.softmax(0)
        possible = weights > 0
        return GaussianMixture(
            weights[possible], means[possible].to(self.dtype), ((covariances + covariances.mT) / 2)[possible]
        )

    def _parts(self, x: Tensor, level: Level) -> _Parts:
        alpha, sigma = (expand(v, x) for v in level)
        # about the mean first, so that a law far from the origin keeps its digits
        z = ((x - alpha * self.mean.to(x)) @ self._basis.to(x)).unflatten(1, self.means.shape)
        alpha, sigma = (v[..., None] if v.ndim else v for v in (alpha, sigma))
        z = z - alpha * self._offsets.to(x)
        variance = alpha * alpha * self._variances.to(x) + sigma * sigma
        variance = torch.where(variance > 0, variance, torch.ones_like(variance))
        precise = z / variance
        constant = self.weights.log().to(x) - 0.5 * math.log(2 * math.pi) * x.shape[1]
        log_joint = constant - 0.5 * ((z * precise).sum(-1) + variance.log().sum(-1))
        return _Parts(alpha, sigma, precise, variance, log_joint)

    def _estimate(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        parts = self._parts(x, level)
        responsibility = parts.log_joint.softmax(1)
        little_noise = parts.sigma <= parts.alpha * self._scale
        gain = torch.where(little_noise, parts.sigma, parts.alpha * self._variances.to(x))
        sum_ = (responsibility[..., None] * gain * parts.precise).flatten(1) @ self._basis.to(x).T
        alpha, sigma, little_noise = (v.squeeze(-1) if v.ndim else v for v in (*parts[:2], little_noise))
        centre = self.mean.to(x) + responsibility @ (self.means - self.mean).to(x)
        small = torch.where(little_noise, sum_, centre + sum_)
        by_alpha = (x - sigma * small) / torch.where(little_noise, alpha, torch.ones_like(alpha))
        by_sigma = (x - alpha * small) / torch.where(little_noise, torch.ones_like(sigma), sigma)
        return torch.where(little_noise, by_alpha, small), torch.where(little_noise, small, by_sigma)

    def _score(self, x: Tensor, level: Level) -> Tensor:
        parts = self._parts(x, level)
        return -(parts.log_joint.softmax(1)[..., None] * parts.precise).flatten(1) @ self._basis.to(x).T

    def _noise_variance(self, x: Tensor, level: Level) -> Tensor:
        parts = self._parts(x, level)
        responsibility = parts.log_joint.softmax(1)
        within = (parts.alpha**2 * self._variances.to(x) / parts.variance).sum(-1)
        noise = torch.einsum(
            "nke,ike->nki", parts.sigma * parts.precise, self._basis.to(x).unflatten(1, self.means.shape)
        )
        mean = torch.einsum("nk,nki->ni", responsibility, noise)
        return (responsibility * (within + (noise - mean[:, None]).square().sum(-1))).sum(1)

    def _check(self, x: Tensor) -> None:
        check_batch("x", x)
        if x.shape[1:] != self.mean.shape:
            raise ValueError(f"this law lives in {len(self.mean)} dimensions: x must be (n, {len(self.mean)}), got "
                             f"{tuple(x.shape)}.")  # fmt: skip

    def _checked(self, x: Tensor, level: Level | None) -> Level:
        self._check(x)
        level = CLEAN if level is None else level
        if self._singular:
            check_noisy(level, "a singular covariance")
        return level


@dataclass(frozen=True, eq=False)
class Gaussian:
    """`N(mean, covariance)`: a mixture of one component, with the same methods.

    Args:
        mean: `(d,)`; samples have its dtype.
        covariance: `(d, d)`, symmetric, positive semi-definite.

    Raises:
        ValueError: as `GaussianMixture`.

    Example:
        >>> law = Gaussian(torch.zeros(1), torch.eye(1))
        >>> law.score(torch.tensor([[2.0]]), Level(1.0, 1.0)).tolist()
        [[-1.0]]
    """

    mean: Tensor
    covariance: Tensor
    as_mixture: GaussianMixture = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mean, covariance = torch.as_tensor(self.mean), torch.as_tensor(self.covariance)
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise ValueError(f"Gaussian needs mean (d,) and covariance (d, d), got {tuple(mean.shape)} and "
                             f"{tuple(covariance.shape)}.")  # fmt: skip
        mixture = GaussianMixture(mean.new_ones(1, dtype=torch.float64), mean[None], covariance[None])
        object.__setattr__(self, "as_mixture", mixture)
        object.__setattr__(self, "mean", mixture.means[0])
        object.__setattr__(self, "covariance", mixture.covariances[0])

    def __repr__(self) -> str:
        return f"Gaussian({len(self.mean)} dimensions)"

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters as given, and of samples."""
        return self.as_mixture.dtype

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """As `GaussianMixture.__call__`."""
        return self.as_mixture(x, level)

    def log_density(self, x: Tensor, level: Level | None = None) -> Tensor:
        """As `GaussianMixture.log_density`."""
        return self.as_mixture.log_density(x, level)

    def score(self, x: Tensor, level: Level | None = None) -> Tensor:
        """As `GaussianMixture.score`."""
        return self.as_mixture.score(x, level)

    def noise_variance(self, x: Tensor, level: Level) -> Tensor:
        """As `GaussianMixture.noise_variance`; the same at every x."""
        return self.as_mixture.noise_variance(x, level)

    def sample(self, n: int, seed: int, level: Level | None = None, *, first: int = 0) -> Tensor:
        """As `GaussianMixture.sample`."""
        return self.as_mixture.sample(n, seed, level, first=first)

    def posterior(self, y: Tensor, A: Tensor, noise_covariance: Tensor) -> Gaussian:
        """The law of x0 given `y = A x0 + noise`; arguments as `GaussianMixture.posterior`."""
        mixture = self.as_mixture.posterior(y, A, noise_covariance)
        return Gaussian(mixture.mean.to(self.dtype), mixture.covariance)


def _eigenbasis(covariances: Tensor) -> tuple[Tensor, Tensor]:
    """Variances `(K, d)`, those within rounding of 0 set to 0, and eigenvectors in columns `(K, d, d)`."""
    scale = covariances.abs().amax((1, 2), keepdim=True)
    if not bool(((covariances - covariances.mT).abs() <= 1e-6 * scale).all()):
        raise ValueError("a covariance must be symmetric; give (C + C.T) / 2.")
    variances, basis = torch.linalg.eigh((covariances + covariances.mT) / 2)
    largest = variances.amax(1, keepdim=True)
    if not bool((variances >= -1e-6 * largest.abs()).all()) or bool((largest < 0).any()):
        raise ValueError(f"a covariance must be positive semi-definite, got an eigenvalue {float(variances.min()):g}.")
    rounding = largest * variances.shape[1] * torch.finfo(torch.float64).eps
    return torch.where(variances > rounding, variances, torch.zeros_like(variances)), basis


def _measurement(y: Tensor, A: Tensor, noise: Tensor, means: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y, A, noise = (parameter(name, v, dim).to(means.device) for name, v, dim in
                   (("y", y, 1), ("A", A, 2), ("noise_covariance", noise, 2)))  # fmt: skip
    m, d = len(y), means.shape[1]
    if A.shape != (m, d) or noise.shape != (m, m):
        raise ValueError(
            f"posterior needs y (m,), A (m, {d}), noise_covariance (m, m), got {tuple(y.shape)}, {tuple(A.shape)}, "
            f"{tuple(noise.shape)}."
        )
    _eigenbasis(noise[None])
    return y, A, noise
