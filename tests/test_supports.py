"""Score matching on supports with edges, and curved ones: integration by parts, scale, exact recovery, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from scorefield.numerics.divergence import jacobian_trace
from scorefield.objectives import generalised
from scorefield.objectives.closed_form import exponential_family
from scorefield.objectives.supports import (
    Box,
    Domain,
    Everywhere,
    Simplex,
    Sphere,
    Stiefel,
    Support,
    Tapered,
    ball,
    polytope,
)

N = 20_000
HALF = torch.tensor([0.0, -math.inf], dtype=torch.float64)
TRIANGLE = polytope(
    torch.tensor([[-2.0, 0.0], [0.0, -1.0], [3.0, 3.0]]).double(), torch.tensor([0.0, 0.0, 3.0]).double()
)


class Case(NamedTuple):
    """Points with weights of a law `p ~ exp(theta . T)` that does not vanish at the edge of its support."""

    support: Support
    points: Callable[[torch.Generator], tuple[Tensor, Tensor]]  # (n, *shape), and their log-density up to a constant
    statistics: Callable[[Tensor], Tensor]
    theta: tuple[float, ...]


def _normal(*shape: int, g: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def _uniform(*shape: int, g: torch.Generator) -> Tensor:
    return torch.rand(*shape, generator=g, dtype=torch.float64)


def _exponential(g: torch.Generator) -> tuple[Tensor, Tensor]:
    x = -_uniform(N, 2, g=g).log()
    return x, -x.sum(1)


def _half(g: torch.Generator) -> tuple[Tensor, Tensor]:
    x = torch.stack([-_uniform(N, g=g).log(), 1.5 * _normal(N, g=g)], 1)
    return x, -x[:, 0] - (x[:, 1] / 1.5) ** 2 / 2


def _flat(make: Callable[[torch.Generator], Tensor]) -> Callable[[torch.Generator], tuple[Tensor, Tensor]]:
    def points(g: torch.Generator) -> tuple[Tensor, Tensor]:
        x = make(g)
        return x, torch.zeros(len(x), dtype=torch.float64)

    return points


def _disc(g: torch.Generator) -> Tensor:
    angle, radius = 2 * math.pi * _uniform(N, g=g), 1.5 * _uniform(N, g=g).sqrt()
    return torch.stack([0.5 + radius * angle.cos(), radius * angle.sin()], 1)


def _triangle(g: torch.Generator) -> Tensor:
    u = _uniform(N, 2, g=g)
    return torch.where(u.sum(1, keepdim=True) > 1, 1 - u, u)


def _compositions(g: torch.Generator) -> Tensor:
    x = -_uniform(N, 3, g=g).log()
    return x / x.sum(1, keepdim=True)


def _directions(g: torch.Generator) -> Tensor:
    x = _normal(N, 3, g=g)
    return x / x.norm(dim=1, keepdim=True)


def _frames(columns: int) -> Callable[[torch.Generator], Tensor]:
    def made(g: torch.Generator) -> Tensor:
        Q, R = torch.linalg.qr(_normal(N // 4, 3, 3, g=g))
        Q = Q * R.diagonal(dim1=1, dim2=2).sign()[:, None, :]
        if columns == 3:
            Q = Q * torch.where(torch.linalg.det(Q) < 0, -1.0, 1.0)[:, None, None]
        return Q[:, :, :columns]

    return made


def _normal_statistics(x: Tensor) -> Tensor:
    return torch.cat([x, -(x**2) / 2, -(x[:, :1] * x[:, 1:])], 1)


def _wide(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Of N(0, 4)."""
    x = 2 * _normal(N, 2, g=g)
    return x, -x.square().sum(1) / 8


def _angles(x: Tensor) -> Tensor:
    return torch.cat([x.cos(), x.sin()], 1)


def _logs(x: Tensor) -> Tensor:
    return torch.cat([x.log(), -x], 1)


def _quadratic(x: Tensor) -> Tensor:
    return torch.cat([x, x[:, :1] ** 2, x[:, :1] * x[:, 1:2]], 1)


NORMAL = (0.3, -0.2, 1.0, 1.5, 0.4)
CASES: dict[str, Case] = {
    "orthant": Case(Box(), _exponential, _normal_statistics, NORMAL),
    "orthant, power 1": Case(Box(power=1.0), _exponential, _normal_statistics, NORMAL),
    "orthant, capped": Case(Box(power=1.0, cap=1.0), _exponential, _normal_statistics, NORMAL),
    "orthant, gamma": Case(Box(), _exponential, _logs, (0.6, 1.2, 1.2, 1.5)),
    "half-plane": Case(Box(HALF, power=1.0), _half, _normal_statistics, NORMAL),
    "square": Case(Box(0.0, 1.0), _flat(lambda g: _uniform(N, 2, g=g)), _normal_statistics, NORMAL),
    "square, power 1": Case(Box(0.0, 1.0, 1.0), _flat(lambda g: _uniform(N, 2, g=g)), _normal_statistics, NORMAL),
    "disc": Case(ball(torch.tensor([0.5, 0.0]), 1.5), _flat(_disc), _normal_statistics, NORMAL),
    "disc, squared": Case(ball(torch.tensor([0.5, 0.0]), 1.5, 2.0), _flat(_disc), _normal_statistics, NORMAL),
    "triangle": Case(TRIANGLE, _flat(_triangle), _normal_statistics, NORMAL),
    "simplex": Case(Simplex(), _flat(_compositions), torch.log, (0.5, 1.0, 0.2)),
    "simplex, power 1": Case(Simplex(1.0), _flat(_compositions), torch.log, (1.2, 1.5, 1.1)),
    "plane, tapered": Case(Tapered(torch.tensor([0.5, -1.0]), 0.7), _wide, _normal_statistics, NORMAL),
    "circle of angles": Case(Everywhere(), _flat(lambda g: 2 * math.pi * _uniform(N, 1, g=g)), _angles, (0.8, -0.5)),
    "sphere": Case(Sphere(), _flat(_directions), _quadratic, (0.8, -0.3, 0.5, 0.6, -0.4)),
    "rotations": Case(Stiefel(), _flat(_frames(3)), lambda x: x.flatten(1), (0.5, 0.1, 0, 0, -0.3, 0.2, 0, 0, 0.4)),
    "frames": Case(Stiefel(), _flat(_frames(2)), lambda x: x.flatten(1), (0.5, 0.1, 0, 0, -0.3, 0.2)),
}


def weighed(name: str, seed: int = 0) -> tuple[Case, Tensor, Tensor]:
    """Points of a case and their weights, which sum to 1."""
    case = CASES[name]
    x, base = case.points(torch.Generator().manual_seed(seed))
    return case, x, (log_density(case, x) - base).softmax(0)


def log_density(case: Case, x: Tensor) -> Tensor:
    return case.statistics(x) @ torch.tensor(case.theta, dtype=x.dtype)


def score(case: Case) -> Callable[[Tensor], Tensor]:
    return torch.func.grad(lambda x: log_density(case, x).sum())


def z_of(value: Tensor, w: Tensor) -> float:
    """How many standard errors a weighted mean is from 0."""
    mean = (w * value).sum()
    return float(mean / (w * (value - mean)).square().sum().sqrt())


@pytest.mark.parametrize("name", CASES)
def test_integration_by_parts_leaves_no_boundary_term(name: str) -> None:
    case, x, w = weighed(name)
    d = x[0].numel()
    g = torch.Generator().manual_seed(7)
    for _ in range(3):
        W, b = _normal(d, d, g=g), _normal(d, g=g)

        def field(y: Tensor, W: Tensor = W, b: Tensor = b) -> Tensor:
            at = case.support.nearest(y)
            return case.support.field(at, (at.flatten(1).sin() @ W + b).sin().reshape(at.shape))  # of period 2 pi

        v, divergence = jacobian_trace(field, x)
        assert abs(z_of((score(case)(x) * v).flatten(1).sum(1) + divergence, w)) < 4


@pytest.mark.parametrize("name", CASES)
def test_the_loss_is_least_at_the_true_scale(name: str) -> None:
    case, x, w = weighed(name, seed=1)
    true = score(case)
    one, minus = generalised(true, x, case.support), generalised(lambda y: -true(y), x, case.support)
    square, linear = one + minus, (one - minus) / 2  # <s, v>, div v
    scale = -float((w * linear).sum() / (w * square).sum())
    assert abs(z_of(linear + square, w)) < 4 and scale == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("rotations", "simplex, power 1")])
def test_the_closed_form_finds_the_law(name: str) -> None:
    case, x, w = weighed(name, seed=2)
    found = exponential_family(x, case.statistics, weights=w, support=case.support)
    apart = (found.theta - torch.tensor(case.theta).double()) / found.standard_error
    assert float(apart.abs().max()) < 4 and float(found.standard_error.max()) < 0.6


@pytest.mark.parametrize("name", CASES)
def test_the_closed_form_is_where_the_generalised_loss_is_least(name: str) -> None:
    case, x, _ = weighed(name)
    x = x[:200]
    found = exponential_family(x, case.statistics, 1e-3, support=case.support)

    def loss(theta: Tensor) -> Tensor:
        s = torch.func.grad(lambda y: (case.statistics(y) @ theta).sum())
        return generalised(s, x, case.support).mean() + 1e-3 * theta.square().sum() / 2

    slope = torch.func.grad(loss)(found.theta)
    assert float(slope.abs().max()) < 1e-9 * float(1 + found.theta.abs().max() * x.abs().max() ** 4)


def test_exponential_waiting_times_have_the_estimate_of_the_paper() -> None:
    """Hyvarinen (2007): with `h = x^2` the rate is `2 sum x / sum x^2`."""
    x = torch.tensor([[0.5], [1.0], [3.0]], dtype=torch.float64)
    found = exponential_family(x, lambda y: -y, support=Box())
    assert float(found.theta) == pytest.approx(2 * 4.5 / 10.25)


def test_probes_give_the_divergence_on_average() -> None:
    case, x, _ = weighed("orthant")
    x, true = x[:50], score(CASES["orthant"])
    exact = generalised(true, x, case.support)
    guess = generalised(true, x, case.support, probes=4000, seed=0)
    torch.testing.assert_close(guess, exact, atol=0.2 * float(exact.abs().max()), rtol=0)
    torch.testing.assert_close(generalised(true, x, case.support, chunk=1), exact)
    with pytest.raises(TypeError, match="seed"):
        generalised(true, x, case.support, probes=1)


def test_a_score_may_point_away_from_a_curved_support() -> None:
    case, x, _ = weighed("sphere")
    true = score(case)
    plain = generalised(true, x[:100], case.support)
    torch.testing.assert_close(generalised(lambda y: true(y) + 5 * y * y[:, :1].exp(), x[:100], case.support), plain)


OUTSIDE: dict[str, tuple[Support, list, str]] = {
    "orthant": (Box(), [[1.0, 2.0], [0.5, 0.0]], "row 1, column 1: 0 is not between 0 and inf"),
    "NaN": (Box(), [[1.0, math.nan]], "row 0, column 1: nan"),
    "square": (Box(0.0, 1.0), [[0.2, 0.3], [1.0, 0.3]], "row 1, column 0: 1 is not between 0 and 1"),
    "disc": (ball(torch.zeros(2), 1.0), [[0.0, 0.0], [3.0, 4.0]], r"row 1 lies on or beyond .* \(distance -4\)"),
    "triangle": (TRIANGLE, [[0.9, 0.9]], "row 0 lies on or beyond"),
    "simplex, edge": (Simplex(), [[0.5, 0.5, 0.0]], "row 0, column 2"),
    "simplex, sum": (Simplex(), [[0.5, 0.5], [0.5, 0.6]], "row 1: the parts of a composition sum to 1, these to 1.1"),
    "sphere": (Sphere(), [[1.0, 0.0], [1.0, 1.0]], "row 1 has length 1.41421"),
    "rotations": (Stiefel(), [[[1.0, 0.0], [0.0, 2.0]]], "row 0: the columns of the matrix are not orthonormal"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_points_outside_are_named(name: str) -> None:
    support, x, message = OUTSIDE[name]
    with pytest.raises(ValueError, match=message):
        generalised(lambda y: y, torch.tensor(x, dtype=torch.float64), support)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Box(1.0, 1.0), "low < high"),
        (lambda: Box(power=0.0), "power must be > 0"),
        (lambda: ball(torch.zeros(2), 0.0), "radius > 0"),
        (lambda: polytope(torch.zeros(2, 2), torch.ones(2)), "face 0 of the polytope has no direction"),
        (lambda: polytope(torch.ones(2, 2), torch.ones(3)), r"A \(m, d\) and b \(m,\)"),
        (lambda: Domain(torch.ones_like, power=math.inf), "power"),
    ],
)
def test_supports_that_are_none_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
