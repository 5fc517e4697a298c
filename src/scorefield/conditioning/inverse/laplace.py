"""A local normal law of x0 under any log-likelihood: its mode, curvature and evidence, by Laplace's method."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.conditioning.inverse.covariance import Covariance
from scorefield.conditioning.inverse.likelihoods import LogLikelihood

_STEPS = 6
"""Of Newton's method; a step costs derivatives of the log-likelihood, none of the model."""
_CLOSE = 1e-3
"""Standard deviations before y: modes that moved less are taken as found. (Weights correct what is left.)"""
_LENGTHS = (1.0, 0.5, 0.25, 0.0625, 0.0)
"""Shares of a step that are tried; the best is taken."""


class Laplace(NamedTuple):
    """`x0 = mean + basis sqrt(v) u` with u normal given y: `N(mode, precision^-1)`.

    Args:
        mean: of x0 before y, `(n, d)`.
        spread: its covariance.
        mode: `(n, d)`, of u.
        precision: `(n, d, d)`, of u: at least the identity.
        factor: its Cholesky factor.
        log_evidence: `(n,)`, Laplace's estimate of `log p(y)`.
    """

    mean: Tensor
    spread: Covariance
    mode: Tensor
    precision: Tensor
    factor: Tensor
    log_evidence: Tensor

    @staticmethod
    def of(log_likelihood: LogLikelihood, mean: Tensor, spread: Covariance, shape: tuple[int, ...]) -> Laplace:
        """The law at points `(n, d)`, by Newton's method, the curvature made positive where it is not."""

        def value(u: Tensor, at: Tensor, root: Tensor, basis: Tensor) -> Tensor:
            """`log p(y | x0)` of one u `(d,)`."""
            x0 = at + basis @ (root * u)
            return log_likelihood(x0.reshape(1, *shape))[0]

        n, d = mean.shape
        root = spread.variances.sqrt().expand(n, d)
        basis = torch.eye(d, dtype=mean.dtype, device=mean.device) if spread.basis is None else spread.basis
        data = (mean, root, basis.expand(n, d, d))
        values = torch.func.vmap(value)
        slopes, curvatures = (torch.func.vmap(f(value)) for f in (torch.func.grad, torch.func.hessian))
        u = torch.zeros_like(mean)
        for _ in range(_STEPS):
            precision = _positive(-curvatures(u, *data))
            rise = slopes(u, *data) - u
            step = torch.linalg.solve(precision, rise[..., None]).squeeze(-1)
            tried = torch.stack([u + share * step for share in _LENGTHS])
            heights = torch.stack([values(t, *data) - 0.5 * t.square().sum(1) for t in tried])
            best = heights.nan_to_num(-math.inf).argmax(0)
            moved = tried.gather(0, best[None, :, None].expand(1, n, d))[0]
            found, u = bool(((moved - u).abs() < _CLOSE).all()), moved
            if found:
                break
        precision = _positive(-curvatures(u, *data))
        factor = torch.linalg.cholesky(precision)
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_evidence = values(u, *data) - 0.5 * (u.square().sum(1) + log_det)
        return Laplace(mean, spread, u, precision, factor, log_evidence)

    def draw(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """u, x0 `(n, d)`, and `log p(u) - log q(u)`, `(n,)`, of the law before y and this one."""
        u = self.mode + torch.linalg.solve_triangular(self.factor.mT, z[..., None], upper=True).squeeze(-1)
        log_det = 2 * self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        ratio = 0.5 * (z.square().sum(1) - u.square().sum(1) - log_det)
        return u, self.mean + self.spread.from_basis(self.spread.variances.sqrt() * u), ratio

    def log_ratio(self, x: Tensor, gain: float, noise: float) -> Tensor:
        """`log p(x) - log q(x)` of `x = gain * x0 + noise * z`, x0 before y and given y, for x `(n, d)`."""
        v = self.spread.variances.expand_as(x)
        r = self.spread.to_basis(x - gain * self.mean)
        before = gain**2 * v + noise**2
        off = r - gain * v.sqrt() * self.mode
        inner = torch.cholesky_inverse(self.factor) * (v.sqrt()[..., None] * v.sqrt()[..., None, :])
        after = torch.linalg.cholesky(gain**2 * inner + noise**2 * torch.eye(x.shape[1]).to(x))
        square = torch.linalg.solve_triangular(after, off[..., None], upper=False).squeeze(-1).square().sum(1)
        log_det = 2 * after.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return 0.5 * (square + log_det - (r.square() / before + before.log()).sum(1))

    def take(self, chosen: Tensor) -> Laplace:
        """The laws at points `chosen`."""
        variances, basis = self.spread
        variances = variances if len(variances) == 1 else variances[chosen]
        basis = basis if basis is None or basis.ndim == 2 else basis[chosen]
        rest = (v[chosen] for v in (self.mode, self.precision, self.factor, self.log_evidence))
        return Laplace(self.mean[chosen], Covariance(variances, basis), *rest)


def _positive(curvature: Tensor) -> Tensor:
    """`1 + curvature` `(n, d, d)`, the curvature symmetric and without negative directions."""
    variances, basis = torch.linalg.eigh(((curvature + curvature.mT) / 2).nan_to_num())
    return (basis * (1 + variances.clamp(min=0))[:, None]) @ basis.mT
