"""Heat kernels of spheres, tori and rotations: the heat equation, both expansions, exact draws, both ends of time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.func import jvp

from scorefield.manifolds import SO3, Manifold, Sphere, Torus, divergence, radial
from scorefield.manifolds.radial import CIRCLE, ROTATIONS, SPHERE2, SPHERE3, Radial
from scorefield.numerics.random import normal

F64 = torch.float64
KERNELS = {"circle": CIRCLE, "sphere": SPHERE2, "three-sphere": SPHERE3, "rotations": ROTATIONS}
MANIFOLDS: tuple[Manifold, ...] = (Torus(1), Torus(3), Sphere(1), Sphere(2), Sphere(3), SO3())
R = torch.tensor([1e-3, 0.1, 0.7, 1.5, 1.6, 2.4, 3.0, 3.14], dtype=F64)
S = torch.tensor([0.05, 0.3, 0.9, 1.1, 3.9, 4.1, 9.0], dtype=F64)[:, None]

kernels = pytest.mark.parametrize("kernel", KERNELS.values(), ids=list(KERNELS))
manifolds = pytest.mark.parametrize("manifold", MANIFOLDS, ids=str)


def pairs(manifold: Manifold, n: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Points, and what Brownian motion makes of them."""
    y = manifold.uniform(n, 0, dtype=F64)
    return manifold.diffuse(y, normal(n, manifold.shape, 1, "pairs", dtype=F64), sigma), y


def grid(kernel: Radial, sigma: float, panels: int = 60) -> tuple[Tensor, Tensor]:
    """Distances and weights with which integrals over the manifold are right to rounding."""
    node, weight = radial.gauss_legendre(40)
    end = min(math.pi, 12 * sigma) / panels
    return (end * (torch.arange(panels)[:, None] + node)).flatten(), (end * weight).repeat(panels)


@kernels
def test_the_heat_equation_holds(kernel: Radial) -> None:
    """`d log p / d s = (L'' + L'^2 + (log area)' L') / 2`, L = log p: half the Laplacian of p over p."""
    r, s = (v.clone() for v in torch.broadcast_tensors(R[1:-1], S))

    def derivative(f, x):
        return jvp(f, (x,), (torch.ones_like(x),))[1]

    by_time = derivative(lambda t: kernel.log_kernel(r, t), s)
    first = derivative(lambda x: kernel.log_kernel(x, s), r)
    second = derivative(lambda x: derivative(lambda y: kernel.log_kernel(y, s), x), r)
    spread = derivative(kernel.log_area, r) if kernel.dim > 1 else torch.zeros_like(r)
    half_laplacian = (second + first.square() + spread * first) / 2
    scale = second.abs() + first.square() + (spread * first).abs() + by_time.abs()
    assert float(((by_time - half_laplacian).abs() / scale).max()) < 1e-10


@kernels
def test_both_expansions_agree_where_both_converge(kernel: Radial, monkeypatch: pytest.MonkeyPatch) -> None:
    times = kernel.radius**2 * torch.tensor([0.7, 1.0, 1.4], dtype=F64)[:, None]
    monkeypatch.setattr(radial, "CHANGE", 0.5)
    series = kernel.log_kernel(R, times)
    monkeypatch.setattr(radial, "CHANGE", 2.0)
    assert torch.allclose(kernel.log_kernel(R, times), series, rtol=0, atol=1e-12)


@kernels
def test_the_kernel_is_the_series_of_eigenfunctions(kernel: Radial) -> None:
    """Summed as it stands, with as many terms as it takes, where it is not lost in rounding."""
    s, n = 0.02 * kernel.radius**2, torch.arange(120, dtype=F64)[:, None]
    r = 0.14 * kernel.radius * torch.tensor([0.1, 1.0, 2.0, 3.5], dtype=F64)
    if kernel is CIRCLE:
        p = (1 + 2 * ((-((n + 1) ** 2) * s / 2).exp() * ((n + 1) * r).cos()).sum(0)) / (2 * math.pi)
    elif kernel is SPHERE2:
        from scipy.special import eval_legendre

        P = torch.as_tensor(eval_legendre(n.numpy(), r.cos().numpy()))
        p = ((2 * n + 1) * (-n * (n + 1) * s / 2).exp() * P).sum(0) / (4 * math.pi)
    elif kernel is SPHERE3:
        p = ((n + 1) * (-n * (n + 2) * s / 2).exp() * ((n + 1) * r).sin() / r.sin()).sum(0) / (2 * math.pi**2)
    else:
        wave = ((n + 0.5) * r).sin() / (r / 2).sin()
        p = ((2 * n + 1) * (-n * (n + 1) * s / 2).exp() * wave).sum(0) / (8 * math.pi**2)
    assert torch.allclose(kernel.log_kernel(r, torch.tensor(s, dtype=F64)).exp(), p, rtol=1e-11, atol=1e-12)


@kernels
@pytest.mark.parametrize("sigma", [0.01, 0.5, 1.5, 3.0])
def test_the_kernel_has_mass_1(kernel: Radial, sigma: float) -> None:
    r, weight = grid(kernel, sigma)
    log_p = kernel.log_kernel(r, torch.tensor(sigma**2, dtype=F64)) + kernel.log_area(r)
    assert abs(float((weight * log_p.exp()).sum()) - 1) < 1e-11


@manifolds
def test_the_score_is_the_gradient(manifold: Manifold) -> None:
    for sigma in (0.01, 0.4, 1.2):
        x, y = pairs(manifold, 20, sigma)
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(manifold.log_heat(x, y, sigma).sum(), x)
        metric = 2 if isinstance(manifold, SO3) else 1  # its inner product is half of that of the entries
        score = manifold.heat(x, y, sigma)[1]
        assert torch.allclose(metric * manifold.project(x, gradient), score, rtol=1e-9, atol=1e-10)


@manifolds
def test_the_score_is_regular_at_the_centre_and_beyond(manifold: Manifold) -> None:
    y = manifold.uniform(3, 0, dtype=F64)
    assert float(manifold.heat(y, y, 0.1)[1].abs().max()) < 1e-12
    far = manifold.exp(y, manifold.noise(y, normal(3, manifold.shape, 0, "far", dtype=F64)) * 1e-9)
    assert bool(torch.isfinite(manifold.heat(far, y, 1e-3)[1]).all())
    v = manifold.frame(y)[0]
    v = v / manifold.inner(y, v, v).sqrt().reshape(-1, *[1] * len(manifold.shape))
    opposite = manifold.exp(y, math.pi * v)
    for sigma in (1e-3, 0.3, 2.0):
        assert bool(torch.isfinite(manifold.heat(opposite, y, sigma)[1]).all())
        assert float(manifold.heat(opposite, y, sigma)[1].abs().max()) * sigma**2 < 1e-6


@manifolds
@pytest.mark.parametrize("sigma", [0.1, 1.2])
def test_draws_have_the_law_of_the_kernel(manifold: Manifold, sigma: float) -> None:
    """The mean of the first eigenfunction fades as it should, and so says Bartlett's identity of all of the score."""
    n = 2000
    x, y = pairs(manifold, n, sigma)
    manifold.check(x)
    if isinstance(manifold, Sphere):
        wave = (x * y).sum(1)
    elif isinstance(manifold, Torus):
        wave = (x - y).cos().mean(1)
    else:
        wave = (1 + 2 * manifold.distance(x, y).cos()) / 3
    error = float(wave.std()) / math.sqrt(n)
    assert abs(float(wave.mean()) - math.exp(-manifold.eigenvalue * sigma**2 / 2)) < 4 * error
    few = 300
    score, div = divergence(manifold, lambda at: manifold.heat(at, y[:few], sigma)[1], x[:few])
    both = manifold.inner(x[:few], score, score) + div
    assert abs(float(both.mean())) < 4 * float(both.std()) / math.sqrt(few)


@pytest.mark.parametrize("manifold", (Sphere(2), Sphere(3), SO3()), ids=str)
def test_distances_of_draws_are_distributed_as_the_kernel_says(manifold: Manifold) -> None:
    """The mass of the kernel within the distance of a draw is that of the normal law within the length of its noise."""
    kernel = {Sphere(2): SPHERE2, Sphere(3): SPHERE3, SO3(): ROTATIONS}[manifold]
    y, z = manifold.uniform(40, 0, dtype=F64), normal(40, manifold.shape, 1, "draws", dtype=F64)
    v = manifold.noise(y, z)
    normal_mass = torch.special.gammainc(torch.tensor(manifold.dim / 2, dtype=F64), manifold.inner(y, v, v) / 2)
    node, weight = radial.gauss_legendre(40)
    for sigma in (0.02, 0.8, 2.5):
        r = manifold.distance(manifold.diffuse(y, z, sigma), y)[:, None]
        log_p = kernel.log_kernel(r * node, torch.tensor(sigma**2, dtype=F64)) + kernel.log_area(r * node)
        assert float(((r * log_p.exp() * weight).sum(1) - normal_mass).abs().max()) < 1e-9


@manifolds
def test_early_it_is_normal_in_the_tangent_space_and_late_uniform(manifold: Manifold) -> None:
    z = normal(200, manifold.shape, 3, "ends", dtype=F64)
    y = manifold.uniform(200, 0, dtype=F64)
    sigma = 1e-3
    v = manifold.noise(y, z)
    x = manifold.diffuse(y, z, sigma)
    assert float(manifold.distance(x, manifold.exp(y, sigma * v)).max()) < 10 * sigma**3
    flat = -manifold.inner(y, v, v) / 2 - manifold.dim / 2 * math.log(2 * math.pi * sigma**2)
    assert torch.allclose(manifold.log_heat(x, y, sigma), flat, rtol=0, atol=20 * sigma**2)
    far = manifold.log_heat(manifold.uniform(200, 1, dtype=F64), y, 8.0)
    assert float((far + math.log(manifold.volume)).abs().max()) < 1e-11


@manifolds
def test_the_semigroup(manifold: Manifold) -> None:
    """Noise on noise is noise: the mean over draws of one kernel of another is the kernel of both together."""
    n, a, b = 1500, 0.5, 0.7
    y = manifold.uniform(1, 5, dtype=F64).expand(n, *manifold.shape)
    between = manifold.diffuse(y, normal(n, manifold.shape, 1, "between", dtype=F64), a)
    x = manifold.diffuse(y[:3], normal(3, manifold.shape, 2, "end", dtype=F64), b)
    for k in range(3):
        at = x[k : k + 1].expand(n, *manifold.shape)
        p = manifold.log_heat(at, between, b).exp()
        both = float(manifold.log_heat(at[:1], y[:1], math.hypot(a, b)).exp())
        assert abs(float(p.mean()) - both) < 4 * float(p.std()) / math.sqrt(n)


@manifolds
def test_motions_of_the_whole_change_nothing(manifold: Manifold) -> None:
    x, y = pairs(manifold, 10, 0.8)
    before = manifold.log_heat(x, y, 0.8)
    if isinstance(manifold, Torus):
        moved = manifold.exp(x, torch.full_like(x, 2.0)), manifold.exp(y, torch.full_like(y, 2.0))
    elif isinstance(manifold, Sphere):
        Q = torch.linalg.qr(normal(manifold.d + 1, (manifold.d + 1,), 0, "turn", dtype=F64)).Q
        moved = x @ Q, y @ Q
    else:
        left, right = manifold.uniform(2, 9, dtype=F64)
        moved = left @ x @ right, left @ y @ right
    assert torch.allclose(manifold.log_heat(*moved, 0.8), before, rtol=0, atol=1e-11)


@manifolds
def test_float32_is_float64_rounded(manifold: Manifold) -> None:
    x, y = (v.float() for v in pairs(manifold, 20, 0.5))
    assert manifold.log_heat(x, y, 0.5).dtype == manifold.heat(x, y, 0.5)[1].dtype == torch.float32
    assert torch.allclose(
        manifold.log_heat(x, y, 0.5).double(), manifold.log_heat(x.double(), y.double(), 0.5), atol=1e-5
    )


def test_a_draw_does_not_depend_on_its_batch_or_on_the_noise_levels_of_others() -> None:
    sphere = Sphere(2)
    y, z = sphere.uniform(6, 0, dtype=F64), normal(6, (3,), 1, "batch", dtype=F64)
    sigma = torch.tensor([0.01, 0.3, 0.9, 1.1, 2.0, 30.0], dtype=F64)
    alone = torch.cat([sphere.diffuse(y[k : k + 1], z[k : k + 1], sigma[k]) for k in range(6)])
    assert torch.allclose(sphere.diffuse(y, z, sigma), alone, rtol=0, atol=1e-9)


def test_noise_that_is_none_and_spheres_without_a_kernel_are_refused() -> None:
    x = Sphere(2).uniform(2, 0)
    for sigma in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="sigma must be positive and finite"):
            Sphere(2).log_heat(x, x, sigma)
    with pytest.raises(ValueError, match=r"of shape \(2,\)"):
        Sphere(2).log_heat(x, x, torch.ones(3))
    x = Sphere(4).uniform(2, 0)
    with pytest.raises(ValueError, match=r"dimension 1, 2 and 3, got Sphere\(4\)"):
        Sphere(4).heat(x, x, 1.0)
