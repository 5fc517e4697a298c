"""How the divergence along the flow is taken: exactly, or by random probes that stay fixed through the solve."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from scorefield.numerics.divergence import Field, ProbeKind, hutchinson, jacobian_trace, probe

Divergence: TypeAlias = Literal["exact", "hutchinson", "hutch++"]
DIVERGENCES: tuple[Divergence, ...] = ("exact", "hutchinson", "hutch++")

_ROWS = 1 << 18  # numbers in one batched backward pass, by default
_FEW = 16  # dimensions below which probes are spheres: sums of so few random signs are too coarse for an interval


class LinearPart(NamedTuple):
    """A symmetric matrix K for every sample.

    Args:
        product: `v -> v K`, for v `(m, n, d)`.
        trace: `(n,)`.
    """

    product: Field
    trace: Tensor


@dataclass(frozen=True, eq=False)
class Tracer:
    """Estimates of `tr J - tr K`, J the Jacobian of a field and K a symmetric matrix of known trace, one per probe.

    K is taken off before probing, as a control variate: a field that is K exactly is traced without variance.

    Args:
        divergence: how.
        probes: `(m, N, d)`, fixed random directions of all N samples; unused for the exact trace.
        sketch: `(k, N, d)`, for Hutch++.
        chunk: directions at a time; None: by memory.
    """

    divergence: Divergence
    probes: Tensor
    sketch: Tensor
    chunk: int | None

    @staticmethod
    def of(divergence: Divergence, probes: int, x: Tensor, seed: int, first: int, chunk: int | None) -> Tracer:
        """The probes of the samples x `(N, d)`, whose first has the index `first`: pure functions of (seed, index)."""
        kind: ProbeKind = "sphere" if x.shape[1] < _FEW else "rademacher"
        none = x.new_zeros(0, *x.shape)
        if divergence == "exact":
            return Tracer(divergence, none, none, chunk)
        if divergence == "hutchinson":
            return Tracer(divergence, probe(kind, probes, x, seed, purpose="log density", first=first), none, chunk)
        k = probes // 3
        if k >= x.shape[1]:  # the sketch would span everything
            return Tracer("exact", none, none, chunk)
        draws = probe("gaussian", probes - k, x, seed, purpose="log density", first=first)
        return Tracer(divergence, draws[k:], draws[:k], chunk)

    @property
    def count(self) -> int:
        """Estimates per sample."""
        return 1 if self.divergence == "exact" else len(self.probes)

    def __call__(self, f: Field, linear: LinearPart, x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """`f(x)` `(n, d)` and the estimates `(m, n)` at x `(n, d)`, the samples `index`; f acts sample by sample."""
        size = self.chunk or max(1, _ROWS // max(1, x.numel()))
        if self.divergence == "exact":
            value, trace = jacobian_trace(f, x, chunk=size)
            return value, (trace - linear.trace)[None]
        probes = self.probes[:, index]
        if self.divergence == "hutchinson":
            return _probed(f, linear, x, probes, size)
        return _sketched(f, linear, x, probes, self.sketch[:, index], size)


def _probed(f: Field, linear: LinearPart, x: Tensor, probes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    if size >= len(probes):
        value, estimates = hutchinson(f, x, probes)
    else:
        value, rows = _rows(f, x, size)
        estimates = (rows(probes) * probes).sum(2)
    return value, estimates - (linear.product(probes) * probes).sum(2)


def _sketched(
    f: Field, linear: LinearPart, x: Tensor, probes: Tensor, sketch: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Hutch++ (Meyer, Musco, Musco and Woodruff 2021): exact on a sketched subspace Q, probed outside of it.

    What is sketched is `J - a K - b I` with a and b fitted to the sketch itself, and the probes outside have a fixed
    length, so that neither K nor a multiple of the identity adds variance: a denoiser's Jacobian is one of them and few
    directions more.
    """
    value, rows = _rows(f, x, size)
    seen, explained = rows(sketch), linear.product(sketch)
    a, b = _fit(seen, explained, sketch)

    def rest(v: Tensor) -> Tensor:
        return rows(v) - a[:, None] * linear.product(v)

    Q = torch.linalg.qr((seen - a[:, None] * explained - b[:, None] * sketch).permute(1, 2, 0)).Q  # (n, d, k)
    basis = Q.permute(2, 0, 1)
    inside = (rest(basis) * basis).sum((0, 2))
    outside = probes - torch.einsum("ndk,nek,jne->jnd", Q, Q, probes)
    outside = outside * (math.sqrt(x.shape[1] - len(sketch)) / outside.norm(dim=2, keepdim=True))
    return value, inside + (a - 1) * linear.trace + (rest(outside) * outside).sum(2)


def _fit(y: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """The least squares coefficients of y on u and v, all `(k, n, d)`, sample by sample: two `(n,)`."""
    uu, uv, vv, uy, vy = ((p * q).sum((0, 2)) for p, q in ((u, u), (u, v), (v, v), (u, y), (v, y)))
    alike = uu * vv - uv**2 <= 1e-9 * uu * vv  # K is a multiple of I: either will do
    determinant = torch.where(alike, torch.ones_like(uu), uu * vv - uv**2)
    a = torch.where(alike, torch.zeros_like(uu), (vv * uy - uv * vy) / determinant)
    return a, (vy - a * uv) / vv


def _rows(f: Field, x: Tensor, size: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """`f(x)`, and `v -> v^T J` for v `(m, n, d)`, `size` of the m at a time."""
    value, pull, *_ = torch.func.vjp(f, x)

    def rows(v: Tensor) -> Tensor:
        return torch.cat([torch.func.vmap(lambda u: pull(u)[0])(part) for part in v.split(size)])

    return value.detach(), rows
