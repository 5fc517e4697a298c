"""The covariance of x0 at a noisy point: `Cov[x0 | x]`, from the Jacobian of its estimate or from a prior."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.core import Estimate, Level, Model
from scorefield.likelihood.reference import Reference

_NUMBERS = 1 << 24
"""Numbers in the largest intermediate tensor of a Jacobian."""


class Covariance(NamedTuple):
    """A covariance `basis diag(variances) basis^T` of flattened points, in float64.

    Args:
        variances: `(..., d)`, >= 0.
        basis: `(..., d, d)`, orthonormal columns; None: the coordinates themselves.
    """

    variances: Tensor
    basis: Tensor | None

    def to_basis(self, x: Tensor) -> Tensor:
        """x `(..., d)` in the basis."""
        return x if self.basis is None else (x[..., None, :] @ self.basis).squeeze(-2)

    def from_basis(self, x: Tensor) -> Tensor:
        """From the basis."""
        return x if self.basis is None else (x[..., None, :] @ self.basis.mT).squeeze(-2)

    @staticmethod
    def gaussian(prior: Reference, alpha: float, sigma: float) -> Covariance:
        """`Cov[x0 | x]` were the data normal: the same at every x, `(1, d)`."""
        v = prior.variances * (sigma**2 / (alpha**2 * prior.variances + sigma**2))
        return Covariance(v[None], prior.basis)


def estimate_and_vjp(
    model: Model, x: Tensor, level: Level, condition: Tensor | None, directions: Tensor
) -> tuple[Estimate, Tensor]:
    """The estimate at x `(n, *shape)`, and the rows `v^T d x0 / d x`, `(n, k, d)`, for directions v `(k, d)`.

    The model is evaluated once; its backward pass is batched over as many directions as memory allows. (Backward
    passes cost less here than forward derivatives; of a posterior mean either gives the same, its Jacobian being a
    covariance.)
    """

    def estimate(z: Tensor) -> tuple[Tensor, Tensor]:
        answer = model(z, level, condition)
        return answer.x0, answer.eps

    x0, pull, *aux = torch.func.vjp(estimate, x, has_aux=True)
    (eps,) = aux
    if not torch.is_grad_enabled():
        x0, eps = x0.detach(), eps.detach()
    n, k, d = len(x), len(directions), directions.shape[1]
    size = max(1, _NUMBERS // max(1, 8 * n * d))  # a network holds several times its input
    parts = []
    for start in range(0, k, size):
        part = directions[start : start + size].to(x).reshape(-1, 1, *x.shape[1:]).expand(-1, *x.shape)
        parts.append(torch.func.vmap(lambda v: pull(v)[0])(part).reshape(-1, n, d).movedim(0, 1))
    rows = torch.cat(parts, 1) if parts else x.new_zeros(n, 0, d)
    return Estimate(x0, eps), rows


def tweedie(
    model: Model, x: Tensor, alpha: float, sigma: float, condition: Tensor | None
) -> tuple[Estimate, Covariance]:
    """The estimate at x, and `Cov[x0 | x] = (sigma^2 / alpha) d x0 / d x`, symmetrised, negative variances set to 0.

    The second moment that goes with Tweedie's formula (Efron 2011).

    Raises:
        ValueError: where the Jacobian is not finite.
    """
    d = math.prod(x.shape[1:])
    answer, rows = estimate_and_vjp(model, x, Level(alpha, sigma), condition, torch.eye(d, device=x.device))
    covariance = (sigma**2 / alpha) * (rows.double() + rows.double().mT) / 2
    if not bool(torch.isfinite(covariance).all()):
        raise ValueError(f"the model's Jacobian at sigma / alpha = {sigma / alpha:g} is not finite.")
    variances, basis = torch.linalg.eigh(covariance)
    return answer, Covariance(variances.clamp(min=0), basis)
