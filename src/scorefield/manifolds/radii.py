"""How far Brownian motion is from where it started: the inverse of the distribution function of the distance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.manifolds.radial import SPHERE2, Radial, gauss_legendre, tail_sphere2

_NODES = 24
_STEPS = 60  # of which about five are taken
_DIGITS = 1e-8  # of a step, the last one's square is what is left
_EDGE = 1e-10


def quantile(kernel: Radial, reach: Tensor, sigma: Tensor) -> Tensor:
    """The distance that is as far out as a normal vector of length `reach` is: `P(distance < r) = P(|z| < reach)`.

    The lesser of the two tails is solved for, as `log P` by `log r` or `log(pi - r)`, in which both are nearly straight
    lines: Newton's steps, or halves where one leaves its bracket. Where the curvature is not negative Brownian motion
    stays behind that of flat space, so that r is at most `sigma * reach`.

    Args:
        kernel: of the manifold.
        reach: lengths of standard normal vectors in `kernel.dim` dimensions, `(n,)` float64.
        sigma: the root of the time, `(n,)` float64.
    """
    s, half = sigma.square(), torch.full_like(reach, kernel.dim / 2)
    below, beyond = (f(half, reach.square() / 2) for f in (torch.special.gammainc, torch.special.gammaincc))
    inner = below < 0.5
    wanted = torch.where(inner, below, beyond).clamp(min=1e-300).log()
    high = (sigma * reach).clamp(max=math.pi * (1 - _EDGE))
    low, r = torch.zeros_like(high), ((sigma * reach) ** -4 + (2 * below.sqrt().asin()).clamp(min=1e-9) ** -4) ** -0.25
    r = torch.minimum(r, 0.999 * high)
    for _ in range(_STEPS):
        found, log_density = _tails(kernel, r, s, inner)
        off = torch.where(inner, found - wanted, wanted - found)
        low, high = torch.where(off < 0, r, low), torch.where(off < 0, high, r)
        rate = (log_density - found).exp()  # of the tail's logarithm by r
        left = math.pi - r
        step = torch.where(inner, r * (-off / (rate * r)).exp(), math.pi - left * (off / (rate * left)).exp())
        new = torch.where((step > low * (1 - _EDGE)) & (step < high * (1 + _EDGE)), step, (low + high) / 2)
        moved, r = (new - r).abs() / (r + sigma), new
        if bool((moved <= _DIGITS).all()):
            break
    return r


def _tails(kernel: Radial, r: Tensor, s: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
    """log of the probability of a distance below r where `inner`, else beyond it, and log of its density, `(n,)`."""
    if kernel is SPHERE2:
        log_p, beyond = tail_sphere2(r, s)
        log_density, below = log_p + kernel.log_area(r), 1 - beyond
    else:
        node, weight = (v.to(r) for v in gauss_legendre(_NODES))
        below = r * (_log_density(kernel, r[:, None] * node, s[:, None]).exp() * weight).sum(1)
        log_density, beyond = _log_density(kernel, r, s), 1 - below
    return torch.where(inner, below, beyond).clamp(min=1e-300).log(), log_density


def _log_density(kernel: Radial, r: Tensor, s: Tensor) -> Tensor:
    return kernel.log_kernel(r, s.expand(r.shape)) + kernel.log_area(r)
