"""Control variates by Stein's identity: exact where they can be, unbiased, with errors that hold."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.metrics import InverseMultiquadric, SquaredExponential, expectation
from scorefield.metrics.control import _design
from scorefield.metrics.stein_kernel import stein_points

MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[2.0, 0.9, 0.0], [0.9, 1, 0.2], [0, 0.2, 0.5]], dtype=torch.float64)
NORMAL = Gaussian(MEAN, COVARIANCE)
SKEWED = GaussianMixture(
    torch.tensor([1.0, 3.0]), torch.tensor([[-0.7, 0.0], [0.7, 0.5]]), torch.stack([torch.eye(2), 0.4 * torch.eye(2)])
)


@pytest.mark.parametrize("degree", [1, 2])
def test_polynomials_under_a_gaussian_are_exact_from_any_points(degree: int) -> None:
    x = 3 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)  # of another law
    f = [x[:, 0] - 3 * x[:, 2] + 1]
    truth = [MEAN[0] - 3 * MEAN[2] + 1]
    if degree == 2:
        f += [x[:, 0] * x[:, 1], x.square().sum(1)]
        truth += [COVARIANCE[0, 1] + MEAN[0] * MEAN[1], COVARIANCE.trace() + MEAN.square().sum()]
    found = expectation(NORMAL.score, x, torch.stack(f, 1), degree=degree)
    torch.testing.assert_close(found.value, torch.stack(truth), rtol=1e-8, atol=1e-8)
    assert float(found.standard_error.max()) < 1e-6


def test_what_is_taken_away_is_the_stein_operator_of_monomials() -> None:
    x = SKEWED.sample(5, 0).double()
    middle, found = x.mean(0), _design(stein_points(SKEWED.score, x), 2)
    polynomials: list[Callable[[Tensor], Tensor]] = [
        lambda z: z[0], lambda z: z[1], lambda z: z[0] ** 2, lambda z: z[0] * z[1], lambda z: z[1] ** 2,
    ]  # fmt: skip
    for k, one in enumerate(polynomials):
        for i in range(5):
            z = x[i] - middle
            slope = torch.func.grad(one)(z) @ SKEWED.score(x)[i]
            torch.testing.assert_close(found[i, 1 + k], torch.func.hessian(one)(z).trace() + slope)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sine": lambda x: x[:, 0].sin(),
    "beyond": lambda x: (x[:, 1] > 0.3).double(),
    "product": lambda x: x[:, 0] * x[:, 1],
}
EXACT = {
    "sine": 0.25 * math.sin(-0.7) * math.exp(-0.5) + 0.75 * math.sin(0.7) * math.exp(-0.2),
    "beyond": 0.25 * stats.norm.sf(0.3) + 0.75 * stats.norm.sf(-0.2 / math.sqrt(0.4)),
    "product": 0.75 * 0.7 * 0.5,
}


@pytest.mark.parametrize("degree", [1, 2, 0])
def test_the_expectation_is_the_true_one_within_its_error(degree: int) -> None:
    """0 stands for a kernel, whose own error is not relied on."""
    exact = torch.tensor(list(EXACT.values()), dtype=torch.float64)
    ways = {"degree": degree} if degree else {"kernel": InverseMultiquadric()}
    off, plain, said = [], [], []
    for k in range(30):
        x = SKEWED.sample(80, k).double()
        found = expectation(SKEWED.score, x, torch.stack([f(x) for f in FUNCTIONS.values()], 1), **ways)
        off.append(found.value - exact)
        plain.append(found.plain - exact)
        said.append(found.standard_error)
    errors, z = torch.stack(off), torch.stack(off) / torch.stack(said)
    if degree:
        assert float(z.square().mean(0).max()) < 1 + 4 * math.sqrt(2 / 30)
    assert float((errors.mean(0) / errors.std(0)).abs().max()) < 4 / math.sqrt(30)
    gain = errors.square().mean(0) / torch.stack(plain).square().mean(0)
    assert float(gain.min()) < (0.6 if degree else 0.15)


def test_a_kernel_gains_more_the_more_points_there_are() -> None:
    """The root mean square error of control functionals falls faster than `n^-1/2` for a smooth function."""
    law = Gaussian(torch.zeros(1), torch.eye(1))

    def error(n: int) -> float:
        found = [expectation(law.score, x, x[:, 0].cos(), kernel=SquaredExponential(1.5)).value
                 for x in (law.sample(n, k).double() for k in range(10))]  # fmt: skip
        return float((torch.cat(found) - math.exp(-0.5)).square().mean().sqrt())

    assert error(60) < 0.1 * error(15)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "few": (lambda: expectation(NORMAL.score, torch.rand(9, 3), torch.rand(9)), "need more rows than 9"),
    "degree": (lambda: expectation(NORMAL.score, torch.rand(30, 3), torch.rand(30), degree=3), "degree"),
    "both": (
        lambda: expectation(NORMAL.score, torch.rand(30, 3), torch.rand(30), degree=1, kernel=SquaredExponential()),
        "not both",
    ),
    "values": (lambda: expectation(NORMAL.score, torch.rand(30, 3), torch.rand(29)), "30 rows of x"),
    "NaN": (lambda: expectation(NORMAL.score, torch.rand(30, 3), torch.full((30,), math.nan)), "first in row 0"),
    "equal": (
        lambda: expectation(NORMAL.score, torch.rand(3, 3)[[0, 1, 2] * 9], torch.rand(27),
                            kernel=SquaredExponential(), ridge=0.0),
        "greater ridge",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make()
