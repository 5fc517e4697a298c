"""The Gaussian with the data's mean and covariance: what the ODE starts from, and what it is measured against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from scorefield._tensor import check_batch, check_real
from scorefield.core import Model

Moment: TypeAlias = float | Tensor


@dataclass(frozen=True, eq=False)
class Reference:
    """`N(mean, basis diag(variances) basis^T)` of flattened data, in float64.

    Args:
        mean: `(d,)`.
        variances: `(d,)`, >= 0: the eigenvalues of the covariance.
        basis: `(d, d)`, eigenvectors in columns; None: the coordinates themselves.
    """

    mean: Tensor
    variances: Tensor
    basis: Tensor | None = None

    @property
    def scale(self) -> float:
        """The data's standard deviation, root mean square over coordinates, > 0."""
        return math.sqrt(float(self.variances.mean()))

    def to_basis(self, x: Tensor) -> Tensor:
        """x `(..., d)` in the eigenbasis."""
        return x if self.basis is None else x @ self.basis

    def from_basis(self, x: Tensor) -> Tensor:
        """From the eigenbasis."""
        return x if self.basis is None else x @ self.basis.T

    @staticmethod
    def of(model: Model, x: Tensor, mean: Moment | None = None, covariance: Moment | None = None) -> Reference:
        """The reference for points like x: as given, else from the model.

        Args:
            model: its `.mean`, and its `.covariance` or `.sigma_data`, are taken where these are not given.
            x: `(n, *shape)`.
            mean: a number or of one point's shape; default: the model's, or 0.
            covariance: a number (a variance), variances in one point's shape or `(d,)`, or a matrix `(d, d)`.

        Raises:
            ValueError: for shapes that do not fit, for what is no covariance, or when the spread of the data is
                neither given nor an attribute of the model.
        """
        check_batch("x", x)
        d = math.prod(x.shape[1:])
        mean = getattr(model, "mean", None) if mean is None else mean
        if covariance is None:
            covariance = getattr(model, "covariance", None)
        if covariance is None:
            sigma_data = getattr(model, "sigma_data", None)
            if sigma_data is None:
                raise ValueError(
                    "this model does not know the spread of its data (.covariance or .sigma_data); give "
                    "covariance=..., a number, one per coordinate, or a matrix."
                )
            covariance = float(sigma_data) ** 2
        centre = _flat("mean", 0.0 if mean is None else mean, d, x.device)
        spread = torch.as_tensor(covariance, dtype=torch.float64, device=x.device)
        if spread.shape == (d, d) and d > 1:
            return Reference(centre, *_eigen(spread))
        variances = _flat("covariance", spread, d, x.device)
        return Reference(centre, _checked(variances))


def _flat(name: str, value: Moment, d: int, device: torch.device) -> Tensor:
    v = torch.as_tensor(value, dtype=torch.float64, device=device).detach()
    if v.numel() not in (1, d):
        raise ValueError(f"{name} must be a number or have {d} entries as a point has, got shape {tuple(v.shape)}.")
    check_real(name, v)
    return v.reshape(-1).expand(d).clone()


def _eigen(covariance: Tensor) -> tuple[Tensor, Tensor]:
    check_real("covariance", covariance)
    if not bool(((covariance - covariance.T).abs() <= 1e-6 * covariance.abs().max()).all()):
        raise ValueError("covariance must be symmetric; give (C + C.T) / 2.")
    variances, basis = torch.linalg.eigh((covariance + covariance.T) / 2)
    return _checked(variances), basis


def _checked(variances: Tensor) -> Tensor:
    largest = float(variances.max())
    if not (largest > 0 and bool((variances >= -1e-6 * largest).all())):
        raise ValueError(
            f"covariance must have no negative and some positive variance, got {float(variances.min()):g}."
        )
    return variances.clamp(min=0.0)
