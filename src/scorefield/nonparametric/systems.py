"""From data, a kernel and filters to estimates: the whole space, and spaces of a few centres.

The minimiser over all fields is a combination of zeta and of K at the data, over a subspace one of K (or of gradients
of k) at its centres. Either way one decomposition answers for every filter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from scorefield.core import StaticScore
from scorefield.nonparametric.expansion import Density, KernelEnergy, KernelScore, laplacian
from scorefield.nonparametric.fields import applied, as_columns, by_rows, matrix, squares, zeta
from scorefield.nonparametric.filters import (
    Cutoff,
    Filter,
    Filtered,
    Landweber,
    Leading,
    NuMethod,
    Tikhonov,
    after_steps,
    on_spectrum,
)
from scorefield.nonparametric.kernels import CurlFree, FieldKernel
from scorefield.numerics.kernels import RadialKernel

DENSE = 3000
"""Rows of a matrix that is decomposed; beyond, filters that need products alone."""
_CACHED = 9_000_000  # pairs of points whose kernel is kept
_TOLERANCE = 1e-10  # relative, of conjugate gradients


class Data(NamedTuple):
    """A sample.

    Args:
        rows: `(n, d)`, float64.
        shape: of a point.
        base: what the estimate is added to.
        base_scores: of these rows, `(n, d)`; None without a base.
    """

    rows: Tensor
    shape: tuple[int, ...]
    base: Density | StaticScore | None
    base_scores: Tensor | None

    def take(self, index: Tensor) -> Data:
        """Some of the rows."""
        scores = None if self.base_scores is None else self.base_scores[index]
        return Data(self.rows[index], self.shape, self.base, scores)


# ------------------------------------------------------------------------------------------------- the whole space


def full(data: Data, kernel: FieldKernel, scale: float, filters: Sequence[Filter]) -> list[KernelScore]:
    """`-g(L) (zeta + L s0)`, added to the base s0, for each filter."""
    x, n = data.rows, len(data.rows)
    product = _operator(kernel, x, scale)
    u, v, t = squares(x, x, scale)
    h = zeta(kernel.parts(t, x.shape[1], scale), u, v)
    s0 = data.base_scores
    if s0 is not None:
        h = h + product(s0)
    found = _dense(kernel, x, scale, h, filters) if _is_dense(kernel, x) else _free(product, h, filters)
    made = []
    for filter, (at_zero, _, r) in zip(filters, found, strict=True):
        coefficients = -(r if s0 is None else r + at_zero * s0) / n
        made.append(KernelScore(kernel, scale, x, coefficients, -at_zero, data.shape, data.base, filter))
    return made


def _is_dense(kernel: FieldKernel, x: Tensor) -> bool:
    return len(x) * (x.shape[1] if isinstance(kernel, CurlFree) else 1) <= DENSE


def _dense(kernel: FieldKernel, x: Tensor, scale: float, h: Tensor, filters: Sequence[Filter]) -> list[Filtered]:
    """g and r of the kernel's matrix over n, applied to h `(n, d)`."""
    values, vectors = torch.linalg.eigh(matrix(kernel, x, x, scale) / len(x))
    inside = vectors.T @ as_columns(kernel, h)

    def back(part: Tensor) -> Tensor:
        return (vectors @ (part[:, None] * inside)).reshape(h.shape)

    on = on_spectrum(filters, values.clamp(min=0))
    return [Filtered(one.at_zero, back(one.g), back(one.r)) for one in on]


def _free(product: Callable[[Tensor], Tensor], h: Tensor, filters: Sequence[Filter]) -> list[Filtered]:
    """The same by products with the matrix alone."""
    iterative = [filter for filter in filters if isinstance(filter, Landweber | NuMethod)]
    found = after_steps(iterative, product, h)
    for filter in filters:
        if isinstance(filter, Cutoff | Leading):
            raise ValueError(
                f"{type(filter).__name__} needs the eigenvalues of a matrix of {h.numel():,} numbers a side, more than "
                f"{DENSE:,}; take Tikhonov or NuMethod, a Diagonal kernel, or a part of the sample."
            )
        if isinstance(filter, Tikhonov):
            found[filter] = _conjugate_gradients(product, h, filter)
    return [found[filter] for filter in filters]


def _conjugate_gradients(product: Callable[[Tensor], Tensor], h: Tensor, filter: Tikhonov) -> Filtered:
    """`(A + ridge) v = h` by scipy."""
    from scipy.sparse.linalg import LinearOperator, cg

    def times(v: object) -> object:
        u = torch.as_tensor(v, dtype=h.dtype).reshape(h.shape)
        return (product(u) + filter.ridge * u).flatten().numpy()

    size = h.numel()
    right = h.flatten().numpy()
    v, failed = cg(LinearOperator((size, size), matvec=times, dtype=right.dtype), right, rtol=_TOLERANCE, maxiter=5000)
    if failed:
        raise ValueError(f"the system of {size:,} numbers was not solved for {filter}; take a greater ridge.")
    g = torch.as_tensor(v, dtype=h.dtype).reshape(h.shape)
    return Filtered(1 / filter.ridge, g, -g / filter.ridge)


def _operator(kernel: FieldKernel, x: Tensor, scale: float) -> Callable[[Tensor], Tensor]:
    """`K c / n` at the data, for c `(n, d)`."""
    n, d = x.shape

    def whole(part: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        u, v, t = squares(part, x, scale)
        return (applied(kernel.parts(t, d, scale), u, v, c) / n,)

    if n * n > _CACHED:
        return lambda c: by_rows(lambda part: whole(part, c), x, n)[0]
    u, v, t = squares(x, x, scale)
    parts = kernel.parts(t, d, scale)
    return lambda c: applied(parts, u, v, c) / n


# ------------------------------------------------------------------------------------------------------ few centres


def nystrom(
    data: Data, centres: Tensor, kernel: FieldKernel, scale: float, filters: Sequence[Filter]
) -> list[KernelScore]:
    """The filtered least squares over `sum_a K(x, z_a) c_a` (Sutherland and others 2018)."""
    z, x = centres, data.rows
    across = matrix(kernel, z, x, scale)
    u, v, t = squares(z, x, scale)
    right = as_columns(kernel, zeta(kernel.parts(t, x.shape[1], scale), u, v))
    if data.base_scores is not None:
        right = right + across @ as_columns(kernel, data.base_scores) / len(x)
    solved = _projected(matrix(kernel, z, z, scale), across @ across.T / len(x), right, filters)
    return [
        KernelScore(kernel, scale, z, c.reshape(z.shape), 0.0, data.shape, data.base, filter)
        for filter, c in zip(filters, solved, strict=True)
    ]


def lite(
    data: Data, centres: Tensor, radial: RadialKernel, scale: float, filters: Sequence[Filter]
) -> list[KernelEnergy]:
    """The filtered least squares over log-densities `sum_a alpha_a k(x, z_a)` (Strathmann and others 2015)."""
    z, x = centres, data.rows
    u, v, t = squares(z, x, scale)
    slope = 2 / scale**2 * radial.derivatives(t, 1)[1]
    gradients = slope[..., None] * (v - u[:, None])  # of k in x, (m, n, d)
    right = laplacian(radial, z, x, scale).mean(1, keepdim=True)
    if data.base_scores is not None:
        right = right + torch.einsum("mnd,nd->m", gradients, data.base_scores)[:, None] / len(x)
    gradients = gradients.flatten(1)
    unit = scale**2 / (-2 * float(radial.derivatives(torch.zeros(1, dtype=x.dtype), 1)[1]))
    between = radial.derivatives(squares(z, z, scale)[2], 0)[0]
    solved = _projected(between, unit * (gradients @ gradients.T) / len(x), unit * right, filters)
    return [
        KernelEnergy(radial, scale, z, c[:, 0], data.shape, data.base, filter)
        for filter, c in zip(filters, solved, strict=True)
    ]


def _projected(inner: Tensor, second: Tensor, right: Tensor, filters: Sequence[Filter]) -> list[Tensor]:
    """`-g` of the second moment within a space with these inner products, applied to the right side."""
    values, vectors = torch.linalg.eigh((inner + inner.T) / 2)
    kept = values > 1e-12 * values[-1]
    basis = vectors[:, kept] / values[kept].sqrt()  # orthonormal in the space
    values, inside = torch.linalg.eigh(basis.T @ second @ basis)
    basis = basis @ inside
    return [-basis @ (one.g[:, None] * (basis.T @ right)) for one in on_spectrum(filters, values.clamp(min=0))]


Estimate = TypeVar("Estimate", KernelScore, KernelEnergy)
Solver = Callable[[Data, float, Sequence[Filter]], list[Estimate]]
