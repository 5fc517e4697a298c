"""Lengths as a sampler measures them: a covariance by its root, diagonal or whole, of all chains or of each.

With `C = L L^T` a chain moves as if in the coordinates `L^-1 x`, in which the target is round where C is its
covariance: momenta are standard normal there, a move by p is `L p` in x, and a score s is `L^T s`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield._tensor import check_real


@dataclass(frozen=True, eq=False)
class Metric:
    """A covariance C that scales a chain's moves.

    Args:
        root: L. Of each coordinate `(d,)`, or lower triangular `(d, d)`; with a first dimension n, one for each chain.
        dense: whether it is of all coordinates together.
    """

    root: Tensor
    dense: bool

    @property
    def covariance(self) -> Tensor:
        """C: variances `(d,)` or a matrix `(d, d)`, `(n, ...)` where each chain has its own."""
        return self.root @ self.root.mT if self.dense else self.root.square()

    def outward(self, p: Tensor) -> Tensor:
        """`L p`, `(n, *shape)`."""
        return self._times(self.root, p)

    def inward(self, s: Tensor) -> Tensor:
        """`L^T s`, `(n, *shape)`."""
        return self._times(self.root.mT if self.dense else self.root, s)

    def _times(self, A: Tensor, v: Tensor) -> Tensor:
        flat = v.flatten(1)
        if not self.dense:
            return (A * flat).reshape(v.shape)
        return (flat @ A.mT if A.ndim == 2 else (A @ flat[..., None])[..., 0]).reshape(v.shape)

    def __repr__(self) -> str:
        kind = "a matrix" if self.dense else "variances"
        each = ", one for each chain" if self.root.ndim > 1 + self.dense else ""
        return f"Metric({kind} of {self.root.shape[-1]} coordinates{each})"


def metric_of(covariance: Tensor | Metric | None, x: Tensor) -> Metric:
    """The metric of chains x `(n, *shape)`: of None all lengths are 1.

    Raises:
        ValueError: for a covariance that is neither of x's shape without n, nor `(d, d)`, or is not positive definite.
    """
    d = x[0].numel()
    if isinstance(covariance, Metric):
        root = covariance.root
        each = root.ndim > 1 + covariance.dense
        if root.shape[-1] != d or (each and len(root) != len(x)):
            raise ValueError(f"{covariance} does not fit chains of shape {tuple(x.shape)}; give the one they ran with.")
        return Metric(root.to(x), covariance.dense)
    if covariance is None:
        return Metric(x.new_ones(d), False)
    check_real("covariance", covariance)
    dense = covariance.shape == (d, d) and d > 1
    if not dense and covariance.shape not in (x.shape[1:], (d, d)):
        raise ValueError(
            f"covariance must hold variances of shape {tuple(x.shape[1:])} or be a matrix ({d}, {d}) for x of shape "
            f"{tuple(x.shape)}, got {tuple(covariance.shape)}."
        )
    if dense:
        _check_symmetric(covariance)
    return rooted(covariance.detach().to(x).reshape((d, d) if dense else (d,)), dense)


def _check_symmetric(C: Tensor) -> None:
    scale = C.diagonal().abs().sqrt()
    off = (C - C.T).abs() > 1e-5 * scale[:, None] * scale
    if bool(off.any()):
        i, j = off.nonzero()[0].tolist()
        raise ValueError(
            f"covariance is not symmetric: entry ({i}, {j}) is {float(C[i, j]):g} and ({j}, {i}) is "
            f"{float(C[j, i]):g}; give C itself, not its root."
        )


def rooted(covariance: Tensor, dense: bool) -> Metric:
    """A metric from C, `(..., d)` or `(..., d, d)`."""
    if not dense:
        if not bool((covariance > 0).all()):
            column = int((~(covariance > 0)).reshape(-1, covariance.shape[-1]).any(0).nonzero()[0, 0])
            raise ValueError(f"covariance has a variance that is not positive, of coordinate {column}.")
        return Metric(covariance.sqrt(), False)
    root, failed = torch.linalg.cholesky_ex(covariance)
    if bool(failed.any()):
        raise ValueError("covariance is not positive definite; add a little to its diagonal, or give variances alone.")
    return Metric(root, True)
