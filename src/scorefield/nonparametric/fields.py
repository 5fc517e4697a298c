"""Sums over centres of kernels of vector fields, a part of the rows at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.nonparametric.kernels import CurlFree, FieldKernel, Radial

_PAIRS = 1 << 21  # of rows and centres in memory at a time


def by_rows(of: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor, centres: int) -> tuple[Tensor, ...]:
    """What a function of rows gives, a part of them at a time, put together."""
    found = [of(part) for part in x.split(max(1, _PAIRS // max(1, centres)))]
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def squares(x: Tensor, y: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Both counted from the mean of y, and `t` of each pair; differentiable everywhere."""
    middle = y.mean(0)
    x, y = x - middle, y - middle
    t = (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T) / scale**2
    return x, y, t


def applied(parts: Radial, x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """`sum_m K(x, y_m) c_m`, `(a, d)`, for c `(b, d)`."""
    found = parts.a @ c
    if parts.b is not None:
        weight = parts.b * along(x, y, c)
        found = found + x * weight.sum(1)[:, None] - weight @ y
    return found


def along(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """`(x - y) . c`, `(a, b)`."""
    return x @ c.T - (y * c).sum(1)


def zeta(parts: Radial, x: Tensor, y: Tensor) -> Tensor:
    """The mean over y of `z r`, `(a, d)`."""
    return (x * parts.z.sum(1)[:, None] - parts.z @ y) / len(y)


def matrix(kernel: FieldKernel, x: Tensor, y: Tensor, scale: float) -> Tensor:
    """K between all points: `(a, b)` for a diagonal kernel, which acts on each coordinate, else `(a d, b d)`."""
    d = x.shape[1]
    x, y, t = squares(x, y, scale)
    parts = kernel.parts(t, d, scale)
    if parts.b is None:
        return parts.a
    r = x[:, None] - y
    whole = parts.b[..., None, None] * r[..., None] * r[..., None, :]
    whole.diagonal(dim1=-2, dim2=-1).add_(parts.a[..., None])
    return whole.permute(0, 2, 1, 3).reshape(len(x) * d, len(y) * d)


def as_columns(kernel: FieldKernel, h: Tensor) -> Tensor:
    """A field at points `(n, d)` as what `matrix` multiplies."""
    return h.reshape(-1, 1) if isinstance(kernel, CurlFree) else h
