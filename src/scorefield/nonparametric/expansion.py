"""What is estimated: a score as a sum over centres, with its divergence, its loss and, of gradients, a log-density."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from scorefield._tensor import check_batch
from scorefield.core import StaticScore
from scorefield.nonparametric.fields import along, applied, by_rows, squares, zeta
from scorefield.nonparametric.kernels import CurlFree, FieldKernel
from scorefield.numerics.divergence import jacobian_trace
from scorefield.numerics.kernels import RadialKernel


class Loss(NamedTuple):
    """Hyvarinen's loss `tr(grad s) + |s|^2 / 2` on a sample: less is better.

    Args:
        value: the mean.
        standard_error: of it.
    """

    value: float
    standard_error: float


@runtime_checkable
class Density(Protocol):
    """A law whose score and log-density, up to a constant, are known, such as `analytic.Gaussian`."""

    def score(self, x: Tensor) -> Tensor: ...

    def log_density(self, x: Tensor) -> Tensor: ...


class _Expansion:
    """What every estimate does with its own `_field`, `_divergence` and `_potential` of float64 rows `(n, d)`."""

    shape: tuple[int, ...]
    base: Density | StaticScore | None

    def __call__(self, x: Tensor) -> Tensor:
        """The score at x, `(n, *shape) -> (n, *shape)`."""
        rows = self._rows(x)
        found = self._field(rows)
        if self.base is not None:
            found = found + base_score(self.base, rows.reshape(x.shape)).flatten(1)
        return found.reshape(x.shape).to(x.dtype)

    score = __call__

    def divergence(self, x: Tensor) -> Tensor:
        """The trace of the score's Jacobian, exactly, `(n, *shape) -> (n,)`."""
        rows = self._rows(x)
        found = self._divergence(rows)
        if self.base is not None:
            base = self.base
            found = found + jacobian_trace(lambda z: base_score(base, z), rows.reshape(x.shape))[1]
        return found.to(x.dtype)

    def log_density(self, x: Tensor) -> Tensor:
        """`log p` up to a constant, `(n, *shape) -> (n,)`.

        Raises:
            ValueError: for a diagonal kernel, whose field is no gradient; for a base of which only the score is known.
        """
        rows = self._rows(x)
        found = self._potential(rows)
        if self.base is not None:
            if not isinstance(self.base, Density):
                raise ValueError("the base has a score but no log_density, so there is none here; give such a base.")
            found = found + self.base.log_density(rows.reshape(x.shape))
        return found.to(x.dtype)

    def loss(self, x: Tensor) -> Loss:
        """Hyvarinen's loss on points that were not fitted, `(n, *shape)`."""
        s = self(x.double()).flatten(1)
        each = self.divergence(x.double()) + s.square().sum(1) / 2
        return Loss(float(each.mean()), float(each.std()) / math.sqrt(len(each)) if len(each) > 1 else math.nan)

    def _rows(self, x: Tensor) -> Tensor:
        check_batch("x", x)
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(f"this score was estimated for points of shape {self.shape}, got {tuple(x.shape[1:])}.")
        return x.flatten(1).double()

    def _field(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _divergence(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _potential(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def losses(estimates: Sequence[KernelScore] | Sequence[KernelEnergy], points: Tensor) -> Tensor:
    """Hyvarinen's loss of each estimate at each of points `(n, *shape)`: `(len(estimates), n)`.

    Args:
        estimates: with the same kernel, scale, centres and base.
        points: `(n, *shape)`, float64.
    """
    rows, base = points.flatten(1), estimates[0].base
    s0, extra = (torch.zeros_like(rows), rows.new_zeros(len(rows)))
    if base is not None:
        s0, extra = jacobian_trace(lambda z: base_score(base, z).flatten(1).reshape(z.shape), points)
        s0 = s0.flatten(1)
    scores = [one for one in estimates if isinstance(one, KernelScore)]
    found = _fields(scores, rows) if scores else [(one._field(rows), one._divergence(rows)) for one in estimates]
    return torch.stack([div + extra + (s + s0).square().sum(1) / 2 for s, div in found])


def _fields(estimates: Sequence[KernelScore], rows: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Fields and divergences of estimates that share a kernel and centres, which are compared once."""
    first = estimates[0]
    u, v, t = squares(rows, first.centres, first.scale)
    parts = first.kernel.parts(t, u.shape[1], first.scale)
    mean, spread = zeta(parts, u, v), parts.w.mean(1)
    return [
        (one.weight * mean + applied(parts, u, v, one.coefficients),
         one.weight * spread - (parts.z * along(u, v, one.coefficients)).sum(1))
        for one in estimates
    ]  # fmt: skip


def base_score(base: Density | StaticScore, x: Tensor) -> Tensor:
    """The score of a base at x."""
    return base.score(x) if isinstance(base, Density) else base(x)


@dataclass(frozen=True, eq=False)
class KernelScore(_Expansion):
    """`s(x) = base(x) + weight zeta(x) + sum_m K(x, x_m) c_m`.

    Args:
        kernel: K.
        scale: of it, in units of x.
        centres: x_m, `(m, d)`.
        coefficients: c, `(m, d)`.
        weight: of zeta.
        shape: of a point.
        base: a law or a score that the rest is added to.
        how: the filter that it was made by, for display.
    """

    kernel: FieldKernel
    scale: float
    centres: Tensor
    coefficients: Tensor
    weight: float
    shape: tuple[int, ...]
    base: Density | StaticScore | None = None
    how: object = None

    def __repr__(self) -> str:
        made = f", {self.how}" if self.how is not None else ""
        return f"KernelScore({len(self.centres)} centres, {type(self.kernel).__name__}, scale {self.scale:.4g}{made})"

    def _field(self, x: Tensor) -> Tensor:
        def of(part: Tensor) -> tuple[Tensor, ...]:
            u, v, t = squares(part, self.centres, self.scale)
            parts = self.kernel.parts(t, u.shape[1], self.scale)
            return (self.weight * zeta(parts, u, v) + applied(parts, u, v, self.coefficients),)

        return by_rows(of, x, len(self.centres))[0]

    def _divergence(self, x: Tensor) -> Tensor:
        def of(part: Tensor) -> tuple[Tensor, ...]:
            u, v, t = squares(part, self.centres, self.scale)
            parts = self.kernel.parts(t, u.shape[1], self.scale)
            return (self.weight * parts.w.mean(1) - (parts.z * along(u, v, self.coefficients)).sum(1),)

        return by_rows(of, x, len(self.centres))[0]

    def _potential(self, x: Tensor) -> Tensor:
        kernel = self.kernel
        if not isinstance(kernel, CurlFree):
            raise ValueError("a diagonal kernel's field is no gradient and has no log_density; use CurlFree.")

        def of(part: Tensor) -> tuple[Tensor, ...]:
            u, v, t = squares(part, self.centres, self.scale)
            of_k, of_zeta = kernel.potentials(t, u.shape[1])
            return (self.weight * of_zeta.mean(1) + (of_k * along(u, v, self.coefficients)).sum(1),)

        return by_rows(of, x, len(self.centres))[0]


@dataclass(frozen=True, eq=False)
class KernelEnergy(_Expansion):
    """`log p(x) = log base(x) + sum_a alpha_a k(x, z_a) + constant`.

    Args:
        radial: k.
        scale: of it, in units of x.
        centres: z, `(m, d)`.
        coefficients: alpha, `(m,)`.
        shape: of a point.
        base: a law or a score that the rest is added to.
        how: the filter that it was made by, for display.
    """

    radial: RadialKernel
    scale: float
    centres: Tensor
    coefficients: Tensor
    shape: tuple[int, ...]
    base: Density | StaticScore | None = None
    how: object = None

    def __repr__(self) -> str:
        made = f", {self.how}" if self.how is not None else ""
        return f"KernelEnergy({len(self.centres)} centres, scale {self.scale:.4g}{made})"

    def _field(self, x: Tensor) -> Tensor:
        def of(part: Tensor) -> tuple[Tensor, ...]:
            u, v, t = squares(part, self.centres, self.scale)
            weight = 2 / self.scale**2 * self.radial.derivatives(t, 1)[1] * self.coefficients
            return (u * weight.sum(1)[:, None] - weight @ v,)

        return by_rows(of, x, len(self.centres))[0]

    def _divergence(self, x: Tensor) -> Tensor:
        return by_rows(lambda u: (laplacian(self.radial, u, self.centres, self.scale) @ self.coefficients,), x,
                       len(self.centres))[0]  # fmt: skip

    def _potential(self, x: Tensor) -> Tensor:
        def of(part: Tensor) -> tuple[Tensor, ...]:
            t = squares(part, self.centres, self.scale)[2]
            return (self.radial.derivatives(t, 0)[0] @ self.coefficients,)

        return by_rows(of, x, len(self.centres))[0]


def laplacian(radial: RadialKernel, x: Tensor, z: Tensor, scale: float) -> Tensor:
    """Of `k(x, z)` in x, `(a, b)`."""
    t = squares(x, z, scale)[2]
    _, f1, f2 = radial.derivatives(t, 2)
    return (2 * x.shape[1] * f1 + 4 * t * f2) / scale**2


def checked(x: Tensor) -> Tensor:
    """A sample as float64 rows `(n, d)`.

    Raises:
        ValueError: for fewer than 2 points, or values that are not finite.
    """
    check_batch("x", x)
    bad = (~torch.isfinite(x.detach().flatten(1))).nonzero()
    if len(bad):
        row, column = bad[0].tolist()
        raise ValueError(f"x is not finite at row {row}, column {column}; leave such rows out.")
    if len(x) < 2 or not x[0].numel():
        raise ValueError(f"a score is estimated from at least 2 points of at least 1 number, got {tuple(x.shape)}.")
    return x.detach().flatten(1).double()


def base_at(base: Density | StaticScore | None, rows: Tensor, shape: torch.Size) -> Tensor | None:
    """The base's score at rows `(n, d)`, checked."""
    if base is None:
        return None
    found = base_score(base, rows.reshape(len(rows), *shape)).detach().flatten(1).double()
    if found.shape != rows.shape or not bool(torch.isfinite(found).all()):
        raise ValueError(f"the base's score must be finite and of x's shape, got {tuple(found.shape)}.")
    return found
