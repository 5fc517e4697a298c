"""Scores by kernels: kernels are what derivatives make of them, estimates solve their equations, and they converge."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scorefield import closed_form, langevin, nonparametric
from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.metrics import stein_test
from scorefield.nonparametric import (
    CurlFree,
    Cutoff,
    Diagonal,
    InverseMultiquadric,
    KernelScore,
    Landweber,
    Leading,
    NuMethod,
    SquaredExponential,
    Tikhonov,
    systems,
)
from scorefield.nonparametric.fields import along, applied, matrix, squares, zeta
from scorefield.nonparametric.filters import Filter
from scorefield.nonparametric.kernels import FieldKernel
from scorefield.numerics.kernels import RadialKernel

SCALE, D = 1.4, 2
RADIALS: dict[str, RadialKernel] = {
    "Gaussian": SquaredExponential(),
    "IMQ": InverseMultiquadric(),
    "IMQ, other power": InverseMultiquadric(power=-0.3),
}
KERNELS: dict[str, FieldKernel] = {
    f"{kind.__name__}, {name}": kind(radial) for kind in (Diagonal, CurlFree) for name, radial in RADIALS.items()
}
FILTERS: dict[str, Filter] = {
    "Tikhonov": Tikhonov(0.03),
    "cutoff": Cutoff(0.05),
    "leading": Leading(4),
    "Landweber": Landweber(7),
    "nu": NuMethod(5),
    "nu, other": NuMethod(4, nu=2.0),
}
LAWS = {
    "normal": Gaussian(torch.tensor([1.0, -1.0]), torch.tensor([[2.0, 0.6], [0.6, 1.0]])),
    "two modes": GaussianMixture(
        torch.tensor([1.0, 3.0]),
        torch.tensor([[-2.0, 0.0], [2.0, 0.5]]),
        torch.stack([torch.eye(2), 0.4 * torch.eye(2)]),
    ),
}


def points(n: int, seed: int = 0) -> Tensor:
    return LAWS["two modes"].sample(n, seed).double()


# ---------------------------------------------------------------------------------------------------------- kernels


@pytest.mark.parametrize("name", RADIALS)
def test_the_derivatives_of_a_profile_are_those_of_forward_mode(name: str) -> None:
    t = torch.linspace(0, 5, 11, dtype=torch.float64)
    f: Callable[[Tensor], Tensor] = lambda v: RADIALS[name].derivatives(v, 0)[0]  # noqa: E731
    for found in RADIALS[name].derivatives(t, 4):
        torch.testing.assert_close(found, f(t))
        f = lambda v, g=f: torch.func.jvp(g, (v,), (torch.ones_like(v),))[1]  # noqa: E731


def k_of(kernel: FieldKernel, r: Tensor) -> Tensor:
    return kernel.radial.derivatives(r.square().sum() / SCALE**2, 0)[0]


def K_of(kernel: FieldKernel, r: Tensor) -> Tensor:
    """K by its definition, divided by its value at 0."""
    if isinstance(kernel, Diagonal):
        return k_of(kernel, r) / k_of(kernel, 0 * r) * torch.eye(D).to(r)
    hessian = torch.func.hessian(lambda v: k_of(kernel, v))
    return -hessian(r) / -hessian(0 * r)[0, 0]


@pytest.mark.parametrize("name", KERNELS)
def test_fields_are_what_derivatives_make_of_the_kernel(name: str) -> None:
    kernel, x, y, c = KERNELS[name], points(3), points(4, 1), points(4, 2)
    u, v, t = squares(x, y, SCALE)
    parts = kernel.parts(t, D, SCALE)

    def field(at: Tensor) -> Tensor:
        return sum(K_of(kernel, at - y[m]) @ c[m] for m in range(4))

    def mean(at: Tensor) -> Tensor:  # sum_i d/dy_i K(at, y)_{.i} = -sum_i d/dr_i K(r)_{.i}
        jac = torch.func.vmap(torch.func.jacfwd(lambda r: K_of(kernel, r)))(at - y)
        return -torch.einsum("mjii->j", jac) / 4

    for i in range(3):
        torch.testing.assert_close(applied(parts, u, v, c)[i], field(x[i]))
        torch.testing.assert_close(zeta(parts, u, v)[i], mean(x[i]))
        spread = torch.func.jacfwd(field)(x[i]).trace()
        torch.testing.assert_close(-(parts.z * along(u, v, c)).sum(1)[i], spread)
        torch.testing.assert_close(parts.w.mean(1)[i], torch.func.jacfwd(mean)(x[i]).trace())
    product = matrix(kernel, x, y, SCALE) @ (c if isinstance(kernel, Diagonal) else c.reshape(-1, 1))
    torch.testing.assert_close(product.reshape(3, D), applied(parts, u, v, c))
    torch.testing.assert_close(K_of(kernel, 0 * x[0]), torch.eye(D).double())


# ---------------------------------------------------------------------------------------------------------- filters


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_divides_without_dividing_by_small_numbers(name: str) -> None:
    filter, sigma = FILTERS[name], torch.tensor([1e-9, 0.01, 0.2, 0.5, 0.9, 1.0], dtype=torch.float64)
    at_zero, g, r = filter.on(sigma)
    torch.testing.assert_close(r * sigma + at_zero, g)
    more = {"ridge": 1e-9, "least": 1e-3, "count": 5, "steps": 400}
    (field,) = set(more) & set(vars(filter))
    best = replace(filter, **{field: more[field]}).on(sigma).g
    torch.testing.assert_close(best[2:], 1 / sigma[2:], rtol=1e-3, atol=0)


def test_iterations_are_known_filters() -> None:
    sigma = torch.linspace(0.05, 1, 9, dtype=torch.float64)
    found = Landweber(7, 0.8).on(sigma).g
    torch.testing.assert_close(found, (1 - (1 - 0.8 * sigma) ** 7) / sigma)
    for nu in (0.5, 1.0, 3.0):
        torch.testing.assert_close(NuMethod(1, nu).on(sigma), Landweber(1, (4 * nu + 2) / (4 * nu + 1)).on(sigma))
    small = torch.tensor([1e-4], dtype=torch.float64)  # what is left after t steps: about t^2 sigma against t sigma
    left = [1 - small * f.on(small).g for f in (NuMethod(60), Landweber(60), Landweber(900))]
    assert float(left[0]) < float(left[2]) < float(left[1])


# -------------------------------------------------------------------------------------------------------- estimates


def K(kernel: FieldKernel, x: Tensor, y: Tensor) -> Tensor:
    """`(a d, b d)` whatever the kernel."""
    found = matrix(kernel, x, y, SCALE)
    return found if isinstance(kernel, CurlFree) else torch.kron(found, torch.eye(D).double())


def zeta_at(kernel: FieldKernel, x: Tensor, y: Tensor) -> Tensor:
    u, v, t = squares(x, y, SCALE)
    return zeta(kernel.parts(t, D, SCALE), u, v)


def scaled(kernel: FieldKernel) -> FieldKernel:
    return type(kernel)(replace(kernel.radial, scale=SCALE))  # type: ignore[type-var]


@pytest.mark.parametrize("base", [None, LAWS["normal"]], ids=["plain", "base"])
@pytest.mark.parametrize("name", KERNELS)
def test_tikhonov_solves_its_equation_everywhere(name: str, base: Gaussian | None) -> None:
    """`ridge f + mean of K(., x_m) f(x_m) = -zeta - mean of K(., x_m) s0(x_m)` for f beyond the base's s0."""
    x, new, ridge = points(12), points(5, 1), 0.02
    s = nonparametric.fit(x, kernel=scaled(KERNELS[name]), filter=Tikhonov(ridge), base=base)
    s0 = (lambda z: 0 * z) if base is None else base.score
    at = torch.cat([x, new])
    whole = K(KERNELS[name], at, x) @ s(x).reshape(-1, 1) / len(x)  # f + s0 at the data
    torch.testing.assert_close(
        ridge * (s(at) - s0(at)) + whole.reshape(-1, D), -zeta_at(KERNELS[name], at, x), rtol=1e-8, atol=1e-10
    )


def test_the_stein_gradient_estimator_is_li_and_turners() -> None:
    x, eta = points(15), 0.3
    k = SquaredExponential(SCALE)
    found = nonparametric.stein_gradient(x, eta / 15, radial=k)
    gram = k.derivatives(torch.cdist(x, x) ** 2 / SCALE**2, 0)[0]
    slopes = gram[..., None] * (x[:, None] - x) / SCALE**2  # of k(x_i, x_m) in x_m
    torch.testing.assert_close(found(x), -torch.linalg.solve(gram + eta * torch.eye(15), slopes.sum(1)))


def test_ssge_is_its_eigenfunctions() -> None:
    x, new, J = points(15), points(4, 1), 5
    k = SquaredExponential(SCALE)

    def features(z: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(k.derivatives(torch.cdist(x, x) ** 2 / SCALE**2, 0)[0])
        t = (z[:, None] - x).square().sum(2) / SCALE**2
        return math.sqrt(15) * k.derivatives(t, 0)[0] @ vectors[:, -J:] / values[-J:]

    slopes = torch.func.vmap(torch.func.jacfwd(lambda z: features(z[None])[0]))(x)  # (n, J, d)
    expected = features(new) @ -slopes.mean(0)
    torch.testing.assert_close(nonparametric.ssge(x, J, radial=k)(new), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("base", [None, LAWS["normal"]], ids=["plain", "base"])
def test_few_centres_minimise_the_loss_within_their_space(base: Gaussian | None) -> None:
    """The gradient of Hyvarinen's loss plus ridge / 2 times the squared norm in the coefficients is 0."""
    x, z, ridge = points(20), points(6, 1), 0.05
    kernel = CurlFree(SquaredExponential(SCALE))
    s = nonparametric.fit(x, kernel=kernel, filter=Tikhonov(ridge), centres=z, base=base)
    lite = nonparametric.kernel_exponential_family_lite(
        x, ridge, radial=SquaredExponential(SCALE), centres=z, base=base
    )

    def norm(c: Tensor) -> Tensor:
        if c.ndim == 2:
            return c.reshape(-1) @ K(kernel, z, z) @ c.reshape(-1)
        gram = SquaredExponential(SCALE).derivatives(squares(z, z, SCALE)[2], 0)[0]
        return c @ gram @ c / SCALE**2  # in the unit of the score

    for one in (s, lite):

        def loss(c: Tensor, one: KernelScore = one) -> Tensor:
            other = replace(one, coefficients=c)
            return (other.divergence(x) + other(x).square().sum(1) / 2).mean() + ridge / 2 * norm(c)

        slope = torch.func.grad(loss)(one.coefficients)
        size = torch.func.grad(loss)(0 * one.coefficients).abs().max()
        assert float(slope.abs().max()) < 1e-7 * float(size)


@pytest.mark.parametrize("name", ["Tikhonov", "Landweber", "nu"])
@pytest.mark.parametrize("kernel", ["Diagonal, Gaussian", "CurlFree, IMQ"])
def test_products_alone_give_the_same(name: str, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, new = points(20), points(5, 1)
    options = {"kernel": scaled(KERNELS[kernel]), "filter": FILTERS[name], "base": LAWS["normal"]}
    dense = nonparametric.fit(x, **options)(new)
    monkeypatch.setattr(systems, "DENSE", 1)
    torch.testing.assert_close(nonparametric.fit(x, **options)(new), dense, rtol=1e-7, atol=1e-9)
    monkeypatch.setattr(systems, "_CACHED", 1)
    torch.testing.assert_close(nonparametric.fit(x, **options)(new), dense, rtol=1e-7, atol=1e-9)
    with pytest.raises(ValueError, match="needs the eigenvalues"):
        nonparametric.fit(x, filter=Leading(2))


ESTIMATORS: dict[str, Callable[[Tensor], Callable[[Tensor], Tensor]]] = {
    **{f"{k}, {f}": lambda x, k=k, f=f: nonparametric.fit(x, kernel=KERNELS[k], filter=FILTERS[f])
       for k in ("Diagonal, Gaussian", "CurlFree, IMQ") for f in FILTERS},
    "centres": lambda x: nonparametric.fit(x, filter=FILTERS["nu"], centres=7),
    "lite": lambda x: nonparametric.kernel_exponential_family_lite(x, 1e-2, centres=7),
    "chosen": lambda x: nonparametric.kernel_exponential_family_lite(x, centres=7),
}  # fmt: skip


@pytest.mark.parametrize("name", ESTIMATORS)
def test_moving_turning_and_scaling_the_data_does_so_to_the_score(name: str) -> None:
    x, new = points(25), points(5, 1)
    turn = torch.tensor([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]], dtype=torch.float64)

    def move(z: Tensor) -> Tensor:
        return 30.0 * z @ turn.T + torch.tensor([500.0, -2.0])

    s = ESTIMATORS[name](x)(new)
    torch.testing.assert_close(ESTIMATORS[name](move(x))(move(new)), s @ turn.T / 30, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("base", [None, LAWS["normal"]], ids=["plain", "base"])
@pytest.mark.parametrize("name", ["CurlFree, IMQ", "CurlFree, Gaussian", "lite", "Diagonal, Gaussian"])
def test_divergence_and_log_density_belong_to_the_score(name: str, base: Gaussian | None) -> None:
    x, new = points(20), points(4, 1)
    if name == "lite":
        s = nonparametric.kernel_exponential_family_lite(x, 1e-2, base=base)
    else:
        s = nonparametric.fit(x, kernel=KERNELS[name], filter=NuMethod(6), base=base)
    jac = torch.func.vmap(torch.func.jacrev(lambda z: s(z[None])[0]))(new)
    torch.testing.assert_close(s.divergence(new), jac.diagonal(dim1=1, dim2=2).sum(1))
    if name.startswith("Diagonal"):
        with pytest.raises(ValueError, match="no gradient"):
            s.log_density(new)
        return
    torch.testing.assert_close(torch.func.grad(lambda z: s.log_density(z).sum())(new), s(new))
    torch.testing.assert_close(jac, jac.mT)
    value = (s.divergence(new) + s(new).square().sum(1) / 2).mean()
    assert math.isclose(s.loss(new).value, float(value), rel_tol=1e-9)


def median(x: Tensor, times: float) -> float:
    return times * float(torch.pdist(x).median())


CONVERGING: dict[str, Callable[[Tensor], Callable[[Tensor], Tensor]]] = {
    "Stein": lambda x: nonparametric.stein_gradient(x, 0.3 / len(x), radial=SquaredExponential(median(x, 1.5))),
    "SSGE": lambda x: nonparametric.ssge(x, 8, radial=SquaredExponential(median(x, 1.5))),
    "nu": lambda x: nonparametric.nu_method(
        x, math.isqrt(len(x)), kernel=CurlFree(InverseMultiquadric(median(x, 2.0)))
    ),
    "KEF": lambda x: nonparametric.kernel_exponential_family(x, 1 / len(x), radial=InverseMultiquadric(median(x, 2.0))),
    "KEF, centres": lambda x: nonparametric.kernel_exponential_family(
        x, 1 / len(x), radial=InverseMultiquadric(median(x, 2.0)), centres=30, base=closed_form.gaussian(x).law
    ),
    "lite, chosen": lambda x: nonparametric.kernel_exponential_family_lite(x, centres=20, folds=2),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", CONVERGING)
def test_with_more_data_the_estimate_nears_the_true_score(name: str, law: str) -> None:
    new = LAWS[law].sample(500, 99).double()
    true = LAWS[law].score(new)

    def error(n: int, repeats: int) -> float:
        found = [CONVERGING[name](LAWS[law].sample(n, k).double())(new) for k in range(repeats)]
        return float(sum((s - true).square().sum() for s in found) / (repeats * true.square().sum()))

    few, many = error(40, 4), error(400, 1)
    assert many < 10**-0.25 * few and many < 0.15, (few, many)


# ---------------------------------------------------------------------------------------------------------- uses


def test_it_is_a_static_score_of_any_shape_and_dtype() -> None:
    x = points(60)
    s = nonparametric.kernel_exponential_family_lite(x, 1e-2)
    image = nonparametric.kernel_exponential_family_lite(x.reshape(60, 1, 2), 1e-2)
    torch.testing.assert_close(image(x.reshape(60, 1, 2)).flatten(1), s(x))
    assert s(x.float()).dtype == torch.float32
    assert stein_test(s, x, bootstraps=19).p_value > 0.05
    chains = langevin.adjusted(lambda z: -s.log_density(z), x[:8], 0.3, 5, seed=0, score=s)
    assert bool(torch.isfinite(chains.pooled).all())
    one = nonparametric.fit(points(20)[:, :1], filter=NuMethod(5))
    assert one(torch.zeros(1, 1)).shape == (1, 1)
    assert nonparametric.fit(points(2), filter=NuMethod(2))(points(1)).shape == (1, 2)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "equal": (lambda: nonparametric.fit(torch.ones(5, 2)), "scale > 0"),
    "constant": (
        lambda: nonparametric.ssge(torch.eye(5, 2)[:, [0, 1, 1]] * torch.tensor([1, 1, 0])),
        "column 2 is 0 in",
    ),
    "NaN": (lambda: nonparametric.fit(torch.tensor([[1.0, 2.0], [3.0, math.nan]])), "row 1, column 1"),
    "infinite": (lambda: nonparametric.ssge(torch.tensor([[1.0], [math.inf]])), "row 1, column 0"),
    "one": (lambda: nonparametric.fit(torch.ones(1, 2)), "at least 2 points"),
    "flat": (lambda: nonparametric.fit(torch.ones(5)), "batch first"),
    "too few to choose": (lambda: nonparametric.fit(points(2)), "too few to hold out"),
    "centres": (lambda: nonparametric.fit(points(5), centres=9), "of 5 points"),
    "other centres": (lambda: nonparametric.fit(points(5), centres=torch.ones(3, 4)), "points of shape"),
    "other points": (lambda: nonparametric.fit(points(9), filter=NuMethod(1))(torch.ones(3, 4)), r"shape \(2,\)"),
    "ridge": (lambda: Tikhonov(0.0), "ridge"),
    "steps": (lambda: NuMethod(0), "steps"),
    "no filter": (lambda: nonparametric.fit(points(9), filter=()), "at least one"),
    "score alone": (
        lambda: nonparametric.fit(points(9), filter=NuMethod(1), base=lambda x: -x).log_density(points(1)),
        "no log_density",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make()
