"""The kernel Stein discrepancy: zero for the score's law, a test of the size that it says, and thinning."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.metrics import InverseMultiquadric, SquaredExponential, energy_distance, stein_test, stein_thinned
from scorefield.metrics.stein_kernel import stein_diagonal, stein_kernel, stein_points

KERNELS = {
    "IMQ": InverseMultiquadric(),
    "IMQ, other power": InverseMultiquadric(0.7, -0.3),
    "Gaussian": SquaredExponential(),
    "Gaussian, given scale": SquaredExponential(1.5),
}
SPREADS = torch.stack([torch.eye(2), 0.4 * torch.eye(2)])
LAWS = {
    "normal": Gaussian(torch.zeros(1), torch.eye(1)),
    "correlated": Gaussian(
        torch.tensor([1.0, -1.0, 0.0]), torch.tensor([[2.0, 0.9, 0.0], [0.9, 1, 0.2], [0, 0.2, 0.5]])
    ),
    "two modes": GaussianMixture(
        torch.tensor([1.0, 3.0]),
        torch.tensor([[-2.0, 0.0], [2.0, 0.5]]),
        SPREADS,
    ),
}


def matrices(x: Tensor) -> Tensor:
    """A diffusion that is neither constant nor symmetric, `(n, d) -> (n, d, d)`."""
    d = x.shape[1]
    turn = torch.arange(d * d, dtype=x.dtype).reshape(d, d).sin()
    growing = (1 + x.square().sum(1)).sqrt()[:, None, None] * torch.eye(d, dtype=x.dtype)
    return growing + turn * x.cos()[:, :, None]


DIFFUSIONS: dict[str, Callable[[Tensor], Tensor] | None] = {"none": None, "matrices": matrices}


@pytest.mark.parametrize("diffusion", DIFFUSIONS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_stein_kernel_is_what_derivatives_make_of_the_kernel(kernel: str, diffusion: str) -> None:
    """Both Stein operators `(1 / p) div(p m g)`, written out with the density of a law and applied to the kernel."""
    k, scale, m = KERNELS[kernel], KERNELS[kernel].scale or 1.3, DIFFUSIONS[diffusion] or (lambda x: torch.eye(3)[None])
    law = LAWS["correlated"]
    g = torch.Generator().manual_seed(0)
    x, y = (torch.randn(4, 3, generator=g, dtype=torch.float64) for _ in range(2))

    def density(a: Tensor) -> Tensor:
        return law.log_density(a[None])[0].exp()

    def operator(g: Callable[[Tensor], Tensor], a: Tensor) -> Tensor:
        """The operator applied to each row of a matrix of fields `(r, d)`."""
        flow = torch.func.jacfwd(lambda z: density(z) * g(z) @ m(z[None])[0].to(z).T)(a)
        return flow.diagonal(dim1=-2, dim2=-1).sum(-1) / density(a)

    def u(a: Tensor, b: Tensor) -> Tensor:
        def inner(z: Tensor) -> Tensor:
            return operator(lambda v: k.derivatives((z - v).square().sum() / scale**2, 0)[0] * torch.eye(3).to(z), b)

        return operator(lambda z: inner(z)[None], a)[0]

    p, q = (stein_points(law.score, part, DIFFUSIONS[diffusion]) for part in (x, y))
    found, diagonal = stein_kernel(p, q, k, scale), stein_diagonal(p, k, scale)
    for i in range(4):
        for j in range(4):
            torch.testing.assert_close(found[i, j], u(x[i], y[j]))
        torch.testing.assert_close(diagonal[i], u(x[i], x[i] + 1e-9), rtol=1e-5, atol=1e-6)


def test_a_diffusion_of_ones_is_none_and_a_constant_one_moves_into_the_score() -> None:
    x = LAWS["correlated"].sample(30, 0)
    ones = stein_test(LAWS["correlated"].score, x, diffusion=lambda x: torch.eye(3).expand(len(x), 3, 3), bootstraps=19)
    torch.testing.assert_close(torch.tensor(ones), torch.tensor(stein_test(LAWS["correlated"].score, x, bootstraps=19)))
    twice = stein_test(
        LAWS["correlated"].score, x, diffusion=lambda x: 2 * torch.eye(3).expand(len(x), 3, 3), bootstraps=19
    )
    assert math.isclose(twice.v_statistic, 4 * ones.v_statistic, rel_tol=1e-9) and twice.p_value == ones.p_value


def test_both_statistics_reject_the_same_samples() -> None:
    """The wild bootstrap of the U-statistic, written out, has the p-value of the V-statistic's."""
    from scorefield.metrics.stein import _signs

    for k in range(5):
        x = 1.1 * LAWS["correlated"].sample(40, k)
        points = stein_points(LAWS["correlated"].score, x)
        u = stein_kernel(points, points, InverseMultiquadric(1.0), 1.0)
        u = u - u.diag().diag()
        signs = _signs(40, 99, 0.0, k)
        p = (1 + int(((signs * (u @ signs)).sum(0) >= u.sum()).sum())) / 100
        found = stein_test(LAWS["correlated"].score, x, kernel=InverseMultiquadric(1.0), bootstraps=99, seed=k)
        assert found.p_value == p and math.isclose(found.value, float(u.sum()) / (40 * 39))


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_discrepancy_of_the_law_itself_is_zero_on_average(name: str, kernel: str) -> None:
    values = [stein_test(LAWS[name].score, LAWS[name].sample(60, k), kernel=KERNELS[kernel], bootstraps=1).value
              for k in range(150)]  # fmt: skip
    z = np.mean(values) / (np.std(values) / math.sqrt(len(values)))
    # given kernels are unbiased; a scale measured on the sample moves it by far less than its spread
    assert abs(z) < (4 if KERNELS[kernel].scale else 6)


@pytest.mark.parametrize("name", LAWS)
def test_the_test_rejects_the_truth_as_often_as_it_says(name: str) -> None:
    p = [
        stein_test(LAWS[name].score, LAWS[name].sample(80, 1000 + k), bootstraps=99, seed=k).p_value for k in range(300)
    ]
    assert stats.binomtest(int((np.array(p) <= 0.05).sum()), 300, 0.05).pvalue > 1e-3


def test_a_chain_needs_to_be_told_of_its_memory() -> None:
    def chain(seed: int, n: int = 300, rho: float = 0.9) -> Tensor:
        z = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        x = [z[0]]
        for k in range(1, n):
            x.append(rho * x[-1] + math.sqrt(1 - rho**2) * z[k])
        return torch.stack(x)[:, None]

    def rate(memory: float) -> float:
        p = [stein_test(lambda x: -x, chain(k), memory=memory, bootstraps=99, seed=k).p_value for k in range(100)]
        return float((np.array(p) <= 0.05).mean())

    assert rate(0.0) > 0.3 and rate(20.0) < 0.2


POWER: dict[str, Callable[[Tensor], Tensor]] = {
    "shifted": lambda x: x + 0.5,
    "wider": lambda x: 1.6 * x,
    "heavy tails": lambda x: x * (1 + 0.4 * x.square()),
    "one mode lost": lambda x: x.abs() - 0.8,
}


@pytest.mark.parametrize("name", POWER)
def test_other_laws_are_found_out_and_more_data_find_more(name: str) -> None:
    def rate(n: int) -> float:
        p = [
            stein_test(lambda x: -x, POWER[name](LAWS["normal"].sample(n, 50 + k)), bootstraps=99, seed=k).p_value
            for k in range(30)
        ]
        return float((np.array(p) <= 0.05).mean())

    few, many = rate(30), rate(300)
    assert many >= max(0.9, few)


def test_pieces_shapes_and_dtypes_do_not_matter() -> None:
    x = LAWS["two modes"].sample(50, 0)
    whole = stein_test(LAWS["two modes"].score, x, bootstraps=19)
    parts = stein_test(LAWS["two modes"].score, x, bootstraps=19, chunk=7)
    image = stein_test(
        lambda y: LAWS["two modes"].score(y.flatten(1)).reshape(y.shape), x.reshape(50, 1, 2), bootstraps=19
    )
    for other in (parts, image):
        torch.testing.assert_close(torch.tensor(whole), torch.tensor(other))
    assert stein_test(LAWS["two modes"].score, x.numpy(), bootstraps=19) == whole


def test_thinning_takes_away_what_is_not_of_the_law() -> None:
    law = LAWS["correlated"]
    x = torch.cat([torch.full((100, 3), 5.0) + 0.1 * law.sample(100, 1), law.sample(900, 2)])  # a chain's beginning
    chosen = stein_thinned(law.score, x, 60)
    exact = law.sample(2000, 3)
    assert float((chosen < 100).double().mean()) < 0.05
    assert energy_distance(x[chosen], exact) < 0.5 * energy_distance(x[:: len(x) // 60], exact)
    assert len(set(chosen.tolist())) > 40


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "equal rows": (lambda: stein_test(lambda x: -x, torch.ones(5, 2)), "scale > 0"),
    "NaN": (lambda: stein_test(lambda x: -x, torch.tensor([[1.0], [math.nan]])), "first in row 1"),
    "score": (lambda: stein_test(lambda x: -x / (x != 2), torch.tensor([[1.0], [2.0], [3.0]])), "not finite at row 1"),
    "shape": (lambda: stein_test(lambda x: x[:, :1], torch.rand(5, 2)), r"x's shape, \(5, 2\), got \(5, 1\)"),
    "one row": (lambda: stein_test(lambda x: -x, torch.ones(1, 2)), "n >= 2"),
    "power": (lambda: InverseMultiquadric(power=-1.5), "between -1 and 0"),
    "given scale": (lambda: SquaredExponential(0.0), "> 0 and finite"),
    "memory": (lambda: stein_test(lambda x: -x, torch.rand(5, 1), memory=-1.0), "memory"),
    "count": (lambda: stein_thinned(lambda x: -x, torch.rand(5, 1), 0), "m must be an integer >= 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make()
