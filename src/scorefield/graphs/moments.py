"""The loss of generalised score matching as a quadratic of K: what of the data it needs, and its gradient.

Row j of K, as parameters of the score's coordinate j alone, has the loss `k . G_j k / 2 - g_j . k` with

    G_j = E[h_j r_j^2 t t^T] - c_j c_j^T / D_j,    g_j = E[t d_j(h_j r_j)] + e_j E[h_j r_j t'_j] - c_j m_j / D_j,

`r = x^(a-1)`, `q = x^(b-1)`, `c_j = E[h_j r_j q_j t]`, `D_j = E[h_j q_j^2]`, `m_j = E[d_j(h_j q_j)]`: eta is
solved for, `eta_j = (c_j . k - m_j) / D_j`, and without a location c is 0. G is never formed: a gradient is two
products of matrices, for a Gaussian one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scorefield._columns import check_finite, column_named, numbers_of, with_names
from scorefield.graphs.models import Interactions
from scorefield.objectives.supports import Box, Domain, Support


@dataclass(frozen=True, eq=False)
class Sample:
    """Data as they enter: columns scaled, transformed and weighted.

    Args:
        model: of them.
        names: of the columns.
        scale: of each column, `(d,)`: the model sees `z = x / scale`.
        shift: what is taken from z before it interacts, `(d,)`: the mean where a = b = 1 and there is a location.
        t: `(d, n)`: `t(z) - shift`.
        r: `x^(a-1)`, of z, `(d, n)`, as all that follows.
        q: `x^(b-1)`.
        field_r: `h r`.
        field_q: `h q`.
        slope_r: the derivative of `h r`.
        slope_q: that of `h q`.
        own: `h r t'`.
    """

    model: Interactions
    names: tuple[str, ...]
    scale: Tensor
    shift: Tensor
    t: Tensor
    r: Tensor
    q: Tensor
    field_r: Tensor
    field_q: Tensor
    slope_r: Tensor
    slope_q: Tensor
    own: Tensor

    @property
    def n(self) -> int:
        """Rows."""
        return self.t.shape[1]

    @property
    def d(self) -> int:
        """Columns."""
        return self.t.shape[0]

    def rows(self, chosen: Tensor) -> Sample:
        """The sample of some rows `(m,)`, scaled and shifted as this one."""
        parts = (v[:, chosen] for v in (self.t, self.r, self.q, self.field_r, self.field_q))
        slopes = (v[:, chosen] for v in (self.slope_r, self.slope_q, self.own))
        return Sample(self.model, self.names, self.scale, self.shift, *parts, *slopes)


@dataclass(frozen=True, eq=False)
class Quadratic:
    """The loss `sum_j K_j . G_j K_j / 2 - g_j . K_j` of matrices K `(d, d)`, rows K_j.

    Args:
        t: `(d, n)`, or `(d, d)` with the Gram matrix as `gram`.
        weight: `h r^2`, `(d, n)`; unused with a Gram matrix.
        gram: `E[t t^T]`, `(d, d)`, where one serves all columns.
        cross: c, `(d, d)`, row j of column j.
        inner: D, `(d,)`.
        linear: g, `(d, d)`.
        curvature: the diagonals of G, `(d, d)`.
        n: rows of the data.
    """

    t: Tensor
    weight: Tensor
    gram: Tensor | None
    cross: Tensor
    inner: Tensor
    linear: Tensor
    curvature: Tensor
    n: int

    @property
    def d(self) -> int:
        """Columns."""
        return len(self.cross)

    def apply(self, K: Tensor) -> Tensor:
        """Rows `G_j K_j`, `(d, d)`."""
        whole = K @ self.gram if self.gram is not None else (self.weight * (K @ self.t)) @ self.t.T / self.n
        return whole - self.cross * ((K * self.cross).sum(1) / self.inner)[:, None]

    def apply_pairs(self, i: Tensor, j: Tensor, values: Tensor) -> Tensor:
        """Of a symmetric K, 0 but for entries at `i <= j`: `(G_i K_i)_j + (G_j K_j)_i`, once where i = j, `(p,)`."""
        other = torch.where(i == j, 0.0, values)
        base = self.t if self.gram is None else self.gram
        mixed = torch.zeros(self.d, base.shape[1], dtype=base.dtype)
        mixed.index_add_(0, i, values[:, None] * base[j]).index_add_(0, j, other[:, None] * base[i])
        along = torch.zeros(self.d, dtype=base.dtype)
        along.index_add_(0, i, values * self.cross[i, j]).index_add_(0, j, other * self.cross[j, i])
        along /= self.inner
        if self.gram is None:
            mixed *= self.weight / self.n
            one, two = (mixed[i] * self.t[j]).sum(1), (mixed[j] * self.t[i]).sum(1)
        else:
            one, two = mixed[i, j], mixed[j, i]
        one = one - self.cross[i, j] * along[i]
        return torch.where(i == j, one, one + two - self.cross[j, i] * along[j])

    def value(self, K: Tensor) -> float:
        """The loss."""
        return float((K * (self.apply(K) / 2 - self.linear)).sum())


def quadratic(sample: Sample) -> Quadratic:
    """The loss of a sample."""
    t, n = sample.t, sample.n
    weight = sample.field_r * sample.r
    linear = sample.slope_r @ t.T / n
    linear.diagonal().add_(sample.own.mean(1))
    cross = torch.zeros_like(linear)
    inner = torch.ones_like(sample.scale)
    if sample.model.location:
        cross = (sample.field_r * sample.q) @ t.T / n
        inner = (sample.field_q * sample.q).mean(1)
        linear -= cross * (sample.slope_q.mean(1) / inner)[:, None]
    curvature = weight @ t.square().T / n - cross.square() / inner[:, None]
    gram = t @ t.T / n if sample.model.plain and n >= sample.d else None
    return Quadratic(t, weight, gram, cross, inner, linear, curvature, n)


def location(sample: Sample, K: Tensor) -> Tensor:
    """Eta `(d,)` of the scaled, shifted data, given K of them."""
    if not sample.model.location:
        return torch.zeros_like(sample.scale)
    cross = (sample.field_r * sample.q) @ sample.t.T / sample.n
    return ((K * cross).sum(1) - sample.slope_q.mean(1)) / (sample.field_q * sample.q).mean(1)


def sample_of(x: Any, model: Interactions) -> Sample:
    """Data as a model needs them.

    Args:
        x: `(n, d)`, n >= 3 and d >= 2: a data frame, an array or a tensor of numbers.
        model: of them.

    Raises:
        ValueError: for a hole, an infinite number, a point on or beyond the edge of the support, a constant column,
            each with its row and column.
    """
    points, names = table_of(x)
    _check_points(points, names, model)
    scale = scales(points, model)
    z = (points / scale).T.contiguous()
    support = model.scaled_support(scale)
    r, factor = (1 / z, 1.0) if model.a == 0 else (z ** (model.a - 1), model.a)
    q = 1 / z if model.b == 0 else z ** (model.b - 1)
    field_r, slope_r = _field(support, z, lambda y: 1 / y if model.a == 0 else y ** (model.a - 1))
    field_q, slope_q = _field(support, z, lambda y: 1 / y if model.b == 0 else y ** (model.b - 1))
    t = model.t(z)
    centred = model.location and model.a == model.b == 1
    shift = t.mean(1) if centred else torch.zeros_like(scale)
    own = field_r * r * factor
    return Sample(model, names, scale, shift, t - shift[:, None], r, q, field_r, field_q, slope_r, slope_q, own)


def scales(points: Tensor, model: Interactions) -> Tensor:
    """Of the columns of `(n, d)`, `(d,)`: standard deviations with a free mean (a = b = 1), else root mean squares."""
    if model.location and model.a == model.b == 1:
        return points.std(0, correction=0)
    return points.square().mean(0).sqrt()


def table_of(x: Any) -> tuple[Tensor, tuple[str, ...]]:
    """Numbers `(n, d)` in float64 and the names of their columns."""
    points, names = numbers_of("a graph", x)
    if points.ndim != 2 or len(points) < 3 or points.shape[1] < 2:
        raise ValueError(f"a graph needs numbers (n, d), n >= 3 and d >= 2, got the shape {tuple(points.shape)}.")
    return points.cpu(), names or tuple(f"x{k}" for k in range(points.shape[1]))


def _check_points(points: Tensor, names: tuple[str, ...], model: Interactions) -> None:
    check_finite(points, names)
    constant = (points == points[0]).all(0)
    if bool(constant.any()):
        column = int(constant.nonzero()[0])
        value = float(points[0, column])
        raise ValueError(f"{column_named(column, names)} is constant, {value:g}; leave it out.")
    _check_edges(model.support, points.shape[1])
    try:
        model.support.check(points)
    except ValueError as error:
        raise ValueError(with_names(str(error), names)) from None


def _check_edges(support: Support, d: int) -> None:
    """Raise for a box whose edges are those of another number of columns."""
    for name in ("low", "high", "cap") if isinstance(support, Box) else ():
        edges = torch.as_tensor(getattr(support, name))
        if edges.ndim and edges.shape != (d,):
            raise ValueError(f"{name} has the shape {tuple(edges.shape)}, and the data {d} columns: give one for each.")


def _field(support: Support, z: Tensor, of: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The field of a vector of(z), and of each coordinate of it the derivative in that coordinate, both `(d, n)`."""
    points = z.T

    def field(y: Tensor) -> Tensor:
        return support.field(y, of(y))

    if not isinstance(support, Domain):  # each coordinate by itself
        slopes = torch.func.jvp(field, (points,), (torch.ones_like(points),))[1]
        return field(points).T.contiguous(), slopes.T.contiguous()
    slope = torch.empty_like(z)
    for j in range(len(z)):
        along = torch.zeros_like(points)
        along[:, j] = 1
        slope[j] = torch.func.jvp(field, (points,), (along,))[1][:, j]
    return field(points).T.contiguous(), slope
