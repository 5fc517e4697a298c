"""Heat kernels as functions of the distance: the logarithm, exact at any time, and its derivative.

`p(r; s)` is the density, with respect to the volume, of Brownian motion (generator: half the Laplacian) at time
`s = sigma^2` and at the distance r from where it started. Each kernel has two expansions, one of eigenfunctions, which
converges fast for late times, and one of images (a sum over the ways around), which does for early ones; they change
over at `CHANGE`, where both have all digits of float64. What the images give keeps its relative accuracy in the
farthest tails, where a series of eigenfunctions has nothing left but rounding.

Sources: the wrapped normal law (Mardia and Jupp 2000, section 3.5.7); the kernels of spheres in terms of that of the
circle and the recursion by two dimensions (Camporesi 1990); Mehler and Dirichlet's integral of Legendre's polynomials
(DLMF 14.12.1 at mu = 0); IGSO(3) (Nikolayev and Savyolova 1997).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

CHANGE = 1.0
"""Time on a sphere of radius 1 from which the series of eigenfunctions is taken; for rotations 4 times that."""
_LAST = 10  # eigenvalue number; the next one's weight at s = CHANGE is below exp(-60)
_NODES = 40  # of Gauss and Legendre's rule
_REACH = 8.6  # standard deviations after which a normal density is 0 to rounding
_END = 1e-6  # distance to the ends 0 and pi at which even functions have their values there, to float64's rounding


class LogKernel(Protocol):
    """`log p(r; s)` for distances r and times s > 0 that broadcast, float64."""

    def __call__(self, r: Tensor, s: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Radial:
    """A heat kernel that depends on the distance alone.

    Args:
        dim: of the manifold.
        log_kernel: `log p(r; s)`.
        log_area: log of the area of the points at distance r.
        radius: of the sphere that the manifold is, or is covered by: sets the time scale.
    """

    dim: int
    log_kernel: LogKernel
    log_area: Callable[[Tensor], Tensor]
    radius: float = 1.0

    def heat(self, r: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """`log p` and `(d log p / d r) / sin r`, which is smooth also where the distance is not, at 0 and at pi."""
        r = r.clamp(_END, math.pi - _END)
        value, rate = with_rate(lambda at: self.log_kernel(at, s), r)
        return value, rate / r.sin()


def with_rate(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """`f(x)` and its derivative, entry by entry; both can be differentiated again."""
    value, pull, *_ = torch.func.vjp(f, x)  # ten times as fast here as forward mode
    return value, pull(torch.ones_like(value))[0]


# ---------------------------------------------------------------------------------------------------------- circle


def log_circle(angle: Tensor, s: Tensor) -> Tensor:
    """The wrapped normal law: `p = sum_k N(angle + 2 pi k; 0, s) = (1 + 2 sum_n exp(-n^2 s / 2) cos(n angle)) / 2 pi`.

    Args:
        angle: in [-pi, pi].
        s: time.
    """

    def series(s: Tensor) -> Tensor:
        n = torch.arange(1, _LAST + 1, dtype=s.dtype, device=s.device)
        waves = (_decay(n.square(), s) * (n * angle[..., None]).cos()).sum(-1)
        return torch.log1p(2 * waves) - math.log(2 * math.pi)

    return _either(s, lambda s: _wrapped(angle, s), series)


def _wrapped(angle: Tensor, s: Tensor) -> Tensor:
    turns = torch.arange(-2, 3, dtype=s.dtype, device=s.device) * (2 * math.pi)
    away = -(angle[..., None] + turns).square() / (2 * s[..., None])
    return away.logsumexp(-1) - 0.5 * (2 * math.pi * s).log()


# ------------------------------------------------------------------------------------------------------ two-sphere


def log_sphere2(r: Tensor, s: Tensor) -> Tensor:
    """The sphere in three dimensions: `p = sum_l (2 l + 1) exp(-l (l + 1) s / 2) P_l(cos r) / 4 pi`.

    With the theta function `A(f) = sum_k (-1)^k exp(-(f + 2 pi k)^2 / 2 s)`, Mehler and Dirichlet's integral of P_l
    makes that

        p = exp(s / 8) sqrt(2) / (4 pi^2) sqrt(2 pi / s) * integral_r^pi  -A'(f) / sqrt(cos r - cos f) df,

    which is smooth in `v = sqrt(f^2 - r^2)`, where the rule of Gauss and Legendre has it to rounding.
    """

    def images(s: Tensor) -> Tensor:
        at = _mehler(r, s)
        return at.log_front + (at.density / at.root * at.weight).sum(-1).log()

    def series(s: Tensor) -> Tensor:
        l = torch.arange(_LAST + 1, dtype=s.dtype, device=s.device)
        weights = (2 * l + 1) * _decay(l * (l + 1), s)
        return _polynomials(weights, _legendre(_LAST), r.cos()).log() - math.log(4 * math.pi)

    return _either(s, images, series)


def tail_sphere2(r: Tensor, s: Tensor) -> Tensor:
    """`log p` and the probability of a distance greater than r, stacked in front: integrals of the same two forms."""

    def images(s: Tensor) -> Tensor:
        at = _mehler(r, s)
        log_p = at.log_front + (at.density / at.root * at.weight).sum(-1).log()
        beyond = (at.density * at.root * at.v.square() * at.weight).sum(-1)
        return torch.stack([log_p, at.log_front.exp() * 4 * math.pi * beyond])

    def series(s: Tensor) -> Tensor:
        l = torch.arange(1, _LAST + 1, dtype=s.dtype, device=s.device)
        P, c = _legendre(_LAST + 1), r.cos()
        weights = _decay(l * (l + 1), s)
        p = 1 + _polynomials((2 * l + 1) * weights, P[1:-1], c)
        return torch.stack([p.log() - math.log(4 * math.pi), (1 + c + _polynomials(weights, P[2:] - P[:-2], c)) / 2])

    return _either(s, images, series)


@dataclass(frozen=True, eq=False)
class _Mehler:
    """The integrand at the nodes `(..., nodes)`: `exp(log_front) * density`, `root = sqrt(cos r - cos f) / v`."""

    log_front: Tensor
    density: Tensor
    root: Tensor
    v: Tensor
    weight: Tensor


def _mehler(r: Tensor, s: Tensor) -> _Mehler:
    node, weight = gauss_legendre()
    node, weight = node.to(s), weight.to(s)
    r = r.clamp(max=math.pi - 4e-15)
    most = (math.pi - r) * (math.pi + r)  # of v^2
    end = torch.minimum(most, _REACH**2 * s).sqrt()[..., None]
    v, time, r_ = end * node, s[..., None], r[..., None]
    f = (r_.square() + v.square()).sqrt()
    images = f * (-v.square() / (2 * time)).exp()
    for turn in (-2 * math.pi, 2 * math.pi):
        images = images - (f + turn) * (-(v.square() + 2 * turn * f + turn**2) / (2 * time)).exp()
    ahead = v.square() / (f + r_)  # f - r
    away = math.pi - r_ - ahead / 2  # pi - (f + r) / 2, with all its digits where that is small
    middle = torch.where(f + r_ < math.pi, sinc((f + r_) / 2), 2 * away.sin() / (f + r_))
    root = (middle * sinc(ahead / 2) / 2).sqrt()
    front = -r.square() / (2 * s) + s / 8 - 0.5 * math.log(2) - 2 * math.log(math.pi) - math.log(2)
    return _Mehler(front + 0.5 * (2 * math.pi / s).log(), images / (f * time), root, v, end * weight)


@functools.lru_cache(4)
def _legendre(last: int) -> Tensor:
    """Coefficients of P_0, ..., P_last by powers, `(last + 1, last + 1)`; their rounding fades with the weights."""
    P = torch.zeros(last + 1, last + 1, dtype=torch.float64)
    P[0, 0] = P[1, 1] = 1
    for l in range(1, last):
        P[l + 1, 1:] = (2 * l + 1) / (l + 1) * P[l, :-1]
        P[l + 1] -= l / (l + 1) * P[l - 1]
    return P


# ------------------------------------------------------------------------------------ three-sphere and rotations


def log_sphere3(r: Tensor, s: Tensor) -> Tensor:
    """The sphere in four dimensions: `p = sum_n (n + 1) exp(-n (n + 2) s / 2) sin((n + 1) r) / sin r / 2 pi^2`.

    Also `p = -exp(s / 2) w'(r) / (2 pi sin r)`, w the wrapped normal law on the circle, whose images are taken in
    pairs that keep their digits at r = 0 and at r = pi.
    """

    def images(s: Tensor) -> Tensor:
        near = r < math.pi / 2
        direct = _images_near(torch.where(near, r, torch.zeros_like(r)), s, _WHOLE)
        return _front(s) + torch.where(
            near, direct, _images_far(torch.where(near, torch.zeros_like(r), math.pi - r), s)
        )

    def series(s: Tensor) -> Tensor:
        n = torch.arange(_LAST + 1, dtype=s.dtype, device=s.device)
        weights = (n + 1) * _decay(n * (n + 2), s)
        return _polynomials(weights, _chebyshev(), r.cos()).log() - math.log(2 * math.pi**2)

    return _either(s, images, series)


def log_rotations(r: Tensor, s: Tensor) -> Tensor:
    """IGSO(3): `p = sum_l (2 l + 1) exp(-l (l + 1) s / 2) sin((l + 1/2) r) / sin(r / 2) / 8 pi^2`, r the angle.

    Rotations are half of the three-sphere of radius 2: both of a rotation's unit quaternions count, which leaves the
    even terms of its series, and half turns beside its images.
    """
    half = r / 2

    def images(s: Tensor) -> Tensor:
        return _front(s) + _images_near(half, s, _HALF) - math.log(8)

    def series(s: Tensor) -> Tensor:
        n = torch.arange(0, _LAST + 1, 2, dtype=s.dtype, device=s.device)
        weights = (n + 1) * _decay(n * (n + 2), s)
        return _polynomials(weights, _chebyshev()[::2], half.cos()).log() - math.log(8 * math.pi**2)

    return _either(s / 4, images, series)


_WHOLE = ((2 * math.pi, 1.0), (4 * math.pi, 1.0))
_HALF = ((math.pi, -1.0), (2 * math.pi, 1.0), (3 * math.pi, -1.0), (4 * math.pi, 1.0))


def _front(s: Tensor) -> Tensor:
    return s / 2 - 1.5 * (2 * math.pi * s).log()


def _images_near(r: Tensor, s: Tensor, turns: tuple[tuple[float, float], ...]) -> Tensor:
    """log of the images by the direct way, and by turns in both directions, with their signs; r up to pi / 2."""
    total = torch.ones_like(r)
    for turn, sign in turns:
        x = turn * r / s
        out = turn * (2 * r - turn) / (2 * s)  # the larger of a pair beside the direct way, log
        total = total + 2 * sign * out.exp() * ((1 + (-2 * x).exp()) / 2 - turn**2 / s * _sinhc_scaled(x))
    return -r.square() / (2 * s) - sinc(r).log() + total.log()


def _images_far(a: Tensor, s: Tensor) -> Tensor:
    """log of the images around r = pi, a = pi - r: a half turn, and three half turns, in both directions."""
    total = torch.zeros_like(a)
    for turn in (math.pi, 3 * math.pi):
        x = turn * a / s
        out = ((math.pi - a).square() - (turn - a).square()) / (2 * s)  # the larger of a pair beside the first, log
        total = total + 2 * out.exp() * (turn**2 / s * _sinhc_scaled(x) - (1 + (-2 * x).exp()) / 2)
    return -(math.pi - a).square() / (2 * s) - sinc(a).log() + total.log()


@functools.lru_cache(1)
def _chebyshev() -> Tensor:
    """Coefficients by powers of cos r of `sin((n + 1) r) / sin r`, n = 0, ..., `(_LAST + 1, _LAST + 1)`."""
    U = torch.zeros(_LAST + 1, _LAST + 1, dtype=torch.float64)
    U[0, 0], U[1, 1] = 1, 2
    for n in range(1, _LAST):
        U[n + 1, 1:] = 2 * U[n, :-1]
        U[n + 1] -= U[n - 1]
    return U


CIRCLE = Radial(1, log_circle, lambda r: torch.full_like(r, math.log(2)))
SPHERE2 = Radial(2, log_sphere2, lambda r: (2 * math.pi * r.sin()).log())
SPHERE3 = Radial(3, log_sphere3, lambda r: (4 * math.pi * r.sin().square()).log())
ROTATIONS = Radial(3, log_rotations, lambda r: (16 * math.pi * (r / 2).sin().square()).log(), radius=2.0)


# ------------------------------------------------------------------------------------------------------------ parts


def sinc(x: Tensor) -> Tensor:
    """`sin x / x`, with derivatives of all digits at 0."""
    small = x.abs() < 0.3
    q = torch.where(small, x, torch.zeros_like(x)).square()
    series = 1 - q / 6 * (1 - q / 20 * (1 - q / 42 * (1 - q / 72 * (1 - q / 110 * (1 - q / 156)))))
    large = torch.where(small, torch.ones_like(x), x)
    return torch.where(small, series, large.sin() / large)


def _sinhc_scaled(x: Tensor) -> Tensor:
    """`exp(-x) sinh x / x` for x >= 0."""
    small = x < 0.1
    y = torch.where(small, x, torch.zeros_like(x))
    q = y.square()
    series = (-y).exp() * (1 + q / 6 * (1 + q / 20 * (1 + q / 42 * (1 + q / 72))))
    large = torch.where(small, torch.ones_like(x), x)
    return torch.where(small, series, -torch.expm1(-2 * large) / (2 * large))


def _either(s: Tensor, images: Callable[[Tensor], Tensor], series: Callable[[Tensor], Tensor]) -> Tensor:
    """What each of the expansions gives where it converges; one that nothing asks for is left out."""
    if not torch._C._functorch.is_functorch_wrapped_tensor(s):
        early = s < CHANGE
        if bool(early.all()):
            return images(s)
        if not bool(early.any()):
            return series(s)
    return torch.where(s < CHANGE, images(s.clamp(max=CHANGE)), series(s.clamp(min=CHANGE)))


def _polynomials(weights: Tensor, coefficients: Tensor, c: Tensor) -> Tensor:
    """The sum over k of `weights[..., k]` times the polynomial in c with the coefficients `[k]`."""
    by_power = weights @ coefficients.to(weights)
    value = by_power[..., -1]
    for j in range(coefficients.shape[1] - 2, -1, -1):
        value = value * c + by_power[..., j]
    return value


def _decay(eigenvalue: Tensor, s: Tensor) -> Tensor:
    return (-eigenvalue * s[..., None] / 2).exp()


@functools.lru_cache(8)
def gauss_legendre(nodes: int = _NODES) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss and Legendre's rule on [0, 1]."""
    import numpy as np

    x, w = np.polynomial.legendre.leggauss(nodes)
    return torch.from_numpy((x + 1) / 2), torch.from_numpy(w / 2)
