"""What was observed: `y = A x0 + noise`, for a matrix A or for single coordinates, with any entry of y left out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

_JITTER = 1e-12
"""Relative addition to the variances of y, so that an observation that repeats another has a density."""
_TINY = 1e-30
"""Absolute one, for an observation that cannot vary."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """Observations of flattened points `(d,)`, in float64.

    Args:
        A: `(m, d)`, or int64 `(m,)`: the coordinates that are observed.
        y: `(b, m)`, one row for each sample, or one for all; 0 where nothing is observed.
        observed: `(b, m)`, 1 where y is observed and 0 elsewhere; one row where it is the same in all.
        noise: `(m,)` variances, or `(m, m)`.
        root: of the noise, as a vector or a matrix: `root root^T = noise`.
        d: numbers in a point.
    """

    A: Tensor
    y: Tensor
    observed: Tensor
    noise: Tensor
    root: Tensor
    d: int

    @staticmethod
    def of(A: Tensor, y: Tensor, noise_covariance: float | Tensor, d: int) -> Measurement:
        """The measurement from the forms that users give, checked.

        Args:
            A: `(m, d)`, an int64 list `(m,)` of coordinates of the flattened point, or a boolean mask of the point.
            y: `(m,)` or `(b, m)`; NaN: not observed.
            noise_covariance: a variance, `(m,)` variances, or `(m, m)`.
            d: numbers in a point.

        Raises:
            TypeError: for an A that is none of these.
            ValueError: for shapes that do not fit, values that are not finite, or a noise that is no covariance.
        """
        A = _operator(torch.as_tensor(A), d)
        y = torch.as_tensor(y).detach().to(A.device, torch.float64)
        if y.ndim not in (1, 2) or y.shape[-1] != len(A):
            raise ValueError(f"y must be (m,) or (n, m) with m = {len(A)} observations as A, got {tuple(y.shape)}.")
        if bool(torch.isinf(y).any()):
            raise ValueError("y has infinite values; give finite numbers, or NaN where nothing was observed.")
        y = torch.atleast_2d(y)
        noise, root = _noise(torch.as_tensor(noise_covariance, dtype=torch.float64).detach().to(A.device), len(A))
        observed = (~y.isnan()).double()
        observed = observed[:1] if bool((observed == observed[:1]).all()) else observed
        return Measurement(A, y.nan_to_num(), observed, noise, root, d)

    @property
    def at_coordinates(self) -> bool:
        """Whether A picks coordinates."""
        return self.A.ndim == 1

    @property
    def elementwise(self) -> bool:
        """Whether observations of independent coordinates are independent."""
        return self.at_coordinates and self.noise.ndim == 1

    def rows(self, index: Tensor) -> Measurement:
        """The observations of samples `index`, in that order; one row for all stays one."""
        if len(self.y) == 1:
            return self
        observed = self.observed if len(self.observed) == 1 else self.observed[index]
        return replace(self, y=self.y[index], observed=observed)

    def inflated(self, variance: float) -> Measurement:
        """The same with noise of this variance on the point's coordinates added to that of y, in each entry."""
        if variance == 0:
            return self
        more = variance * (torch.ones_like(self.y[0]) if self.at_coordinates else self.A.square().sum(1))
        noise, root = _noise(self.noise + (more if self.noise.ndim == 1 else more.diag()), len(self.A))
        return replace(self, noise=noise, root=root)

    def __call__(self, x: Tensor) -> Tensor:
        """`A x` for x `(..., d)`, `(..., m)`."""
        return x[..., self.A] if self.at_coordinates else x @ self.A.T

    def columns(self, basis: Tensor | None) -> Tensor | None:
        """`A basis`, `(..., m, d)`; None where that is a choice of coordinates and everything goes by coordinates."""
        if basis is None:
            return None if self.elementwise else self.matrix()
        return basis[..., self.A, :] if self.at_coordinates else self.A @ basis

    def matrix(self) -> Tensor:
        """A as a matrix `(m, d)`."""
        if not self.at_coordinates:
            return self.A
        return torch.nn.functional.one_hot(self.A, self.d).double()

    def residual(self, mean: Tensor) -> Tensor:
        """`y - A mean`, `(b, ..., m)`, for mean `(b, ..., d)`: 0 where nothing is observed."""
        return self._spread(self.observed, mean) * (self._spread(self.y, mean) - self(mean))

    def perturbed(self, mean: Tensor, z: Tensor) -> Tensor:
        """`y - A mean - noise`, from standard normal numbers z `(b, ..., m)`."""
        noise = z * self.root if self.root.ndim == 1 else z @ self.root.T
        return self.residual(mean) - self._spread(self.observed, mean) * noise

    def law(self, variances: Tensor, columns: Tensor | None) -> Law:
        """The law of y - its mean, when x0 has these variances `(b, ..., d)` along the basis of the columns."""
        if columns is None:
            observed = self._spread(self.observed, variances)
            spread = variances[..., self.A] + self.noise
            return Law(torch.where(observed > 0, _lifted(spread), 1.0), observed.sum(-1))
        product = (columns * variances[..., None, :]) @ columns.mT
        return self.law_of(product)

    def law_of(self, product: Tensor) -> Law:
        """The same from `A Cov[x0] A^T`, `(b, ..., m, m)`."""
        spread = product + (self.noise.diag() if self.noise.ndim == 1 else self.noise)
        observed = self._spread(self.observed, spread.diagonal(dim1=-2, dim2=-1))
        diagonal = torch.where(observed > 0, _lifted(spread.diagonal(dim1=-2, dim2=-1)), 1.0)
        spread = spread * observed[..., None] * observed[..., None, :]
        spread = spread.diagonal_scatter(diagonal.expand(spread.shape[:-1]), dim1=-2, dim2=-1)
        return Law(torch.linalg.cholesky_ex(spread).L, observed.sum(-1))

    def _spread(self, rows: Tensor, like: Tensor) -> Tensor:
        """`(b, m)` as `(b, 1, ..., m)` against a tensor `(b, ..., m or d)`."""
        return rows.reshape(len(rows), *[1] * (like.ndim - 2), rows.shape[1])


class Law(NamedTuple):
    """A normal law of mean 0, for the entries of y that are observed.

    Args:
        factor: its variances `(..., m)` when independent, else its Cholesky factor `(..., m, m)`.
        entries: `(...)`, how many entries are observed.
    """

    factor: Tensor
    entries: Tensor

    def solve(self, residual: Tensor, diagonal: bool) -> Tensor:
        """`covariance^-1 residual`, `(..., m)`."""
        if diagonal:
            return residual / self.factor
        shape = torch.broadcast_shapes(residual.shape[:-1], self.factor.shape[:-2])
        wide = residual.expand(*shape, -1)[..., None]
        return torch.cholesky_solve(wide, self.factor.expand(*shape, -1, -1)).squeeze(-1)

    def log_density(self, residual: Tensor, diagonal: bool) -> Tensor:
        """`log N(residual; 0, covariance)`, `(...)`."""
        if diagonal:
            square, log_det = residual.square() / self.factor, self.factor.log().sum(-1)
        else:
            shape = torch.broadcast_shapes(residual.shape[:-1], self.factor.shape[:-2])
            factor = self.factor.expand(*shape, -1, -1)
            wide = residual.expand(*shape, -1)[..., None]
            square = torch.linalg.solve_triangular(factor, wide, upper=False).squeeze(-1).square()
            log_det = 2 * self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (square.sum(-1) + log_det + self.entries * math.log(2 * math.pi))


def _lifted(variance: Tensor) -> Tensor:
    return variance * (1 + _JITTER) + _TINY


def _operator(A: Tensor, d: int) -> Tensor:
    """A as `(m, d)` float64 or `(m,)` int64."""
    if A.dtype == torch.bool:
        if A.numel() != d:
            raise ValueError(f"a mask of observed coordinates must have the {d} entries of a point, got {A.numel()}.")
        return A.reshape(-1).nonzero().reshape(-1)
    if A.is_floating_point():
        if A.ndim != 2 or A.shape[1] != d:
            raise ValueError(f"A must be a matrix (m, {d}) for points of {d} numbers, got {tuple(A.shape)}.")
        if not bool(torch.isfinite(A).all()):
            raise ValueError("A must be finite, got NaN or infinite values.")
        return A.detach().double()
    if A.is_complex() or A.ndim != 1:
        raise TypeError(
            f"A must be a floating-point matrix (m, d), a boolean mask of the point, or a list of coordinates (m,), "
            f"got {A.dtype} of shape {tuple(A.shape)}."
        )
    if len(A) and not (int(A.min()) >= 0 and int(A.max()) < d):
        raise ValueError(f"observed coordinates must be from 0 to {d - 1}, got {int(A.min())} to {int(A.max())}.")
    if len(A.unique()) < len(A):
        raise ValueError("a coordinate is observed twice; give each once, or a matrix A.")
    return A.long()


def _noise(noise: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Variances and deviations, or a matrix and its root."""
    if not bool(torch.isfinite(noise).all()):
        raise ValueError("noise_covariance must be finite, got NaN or infinite values; 0 means an exact observation.")
    if noise.ndim == 0 or noise.shape == (m,):
        noise = noise.expand(m).clone()
        if bool((noise < 0).any()):
            raise ValueError(f"noise variances must be >= 0, got {float(noise.min()):g}.")
        return noise, noise.sqrt()
    if noise.shape != (m, m):
        raise ValueError(f"noise_covariance must be a number, ({m},) or ({m}, {m}), got {tuple(noise.shape)}.")
    largest = float(noise.abs().max()) if m else 0.0
    if not bool(((noise - noise.T).abs() <= 1e-6 * largest).all()):
        raise ValueError("noise_covariance must be symmetric; give (G + G.T) / 2.")
    variances, basis = torch.linalg.eigh((noise + noise.T) / 2)
    if m and float(variances.min()) < -1e-6 * largest:
        raise ValueError(f"noise_covariance must be positive semi-definite, got eigenvalue {float(variances.min()):g}.")
    return (noise + noise.T) / 2, basis * variances.clamp(min=0).sqrt()
