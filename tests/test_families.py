"""Exponential families by score matching: parameters recovered, intervals that cover, tests, a criterion, a table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor

from scorefield.objectives import closed_form, efficiency, families
from scorefield.objectives.families import Family, fit


class Case(NamedTuple):
    """A family, draws `(n, d)` of one of its laws, and that one's usual parameters."""

    family: Family
    draw: Callable[[int, np.random.Generator], np.ndarray]
    truth: tuple[float, ...]


def _rejected(propose: Callable[[int], np.ndarray], accept: Callable[[np.ndarray], np.ndarray], n: int) -> np.ndarray:
    """The first n proposals that are accepted."""
    found: list[np.ndarray] = []
    while sum(map(len, found)) < n:
        x = propose(4 * n)
        found.append(x[accept(x)])
    return np.concatenate(found)[:n]


def _truncated(n: int, draw: np.random.Generator) -> np.ndarray:
    root = np.linalg.cholesky(np.linalg.inv(np.array([[1.5, -0.5], [-0.5, 1.0]])))
    return _rejected(lambda m: np.array([0.5, -0.2]) + draw.normal(size=(m, 2)) @ root.T, lambda x: (x > 0).all(1), n)


def _on_sphere(energy: Callable[[np.ndarray], np.ndarray], most: float) -> Callable:
    def drawn(n: int, draw: np.random.Generator) -> np.ndarray:
        def propose(m: int) -> np.ndarray:
            x = draw.normal(size=(m, 3))
            return x / np.linalg.norm(x, axis=1, keepdims=True)

        return _rejected(propose, lambda x: draw.random(len(x)) < np.exp(energy(x) - most), n)

    return drawn


def _quartic(n: int, draw: np.random.Generator) -> np.ndarray:
    log_p = lambda x: 0.5 * x[:, 0] + x[:, 0] ** 2 - 0.5 * x[:, 0] ** 4  # noqa: E731
    return _rejected(lambda m: draw.uniform(-4, 4, (m, 1)), lambda x: draw.random(len(x)) < np.exp(log_p(x) - 1.1), n)


def _square_root(n: int, draw: np.random.Generator) -> np.ndarray:
    """`exp(2 eta . sqrt(x) - sqrt(x) . K sqrt(x))` from exponential proposals."""
    K = np.array([[1.0, 0.3], [0.3, 1.2]])

    def accept(x: np.ndarray) -> np.ndarray:
        r = np.sqrt(x)
        log_p = 2 * r @ np.array([0.2, -0.3]) - np.einsum("ni,ij,nj->n", r, K, r)
        return draw.random(len(x)) < np.exp(log_p + 0.7 * x.sum(1) - 0.3)

    return _rejected(lambda m: draw.exponential(1 / 0.7, (m, 2)), accept, n)


TILT = np.array([[-8.0, 6.0], [6.0, -4.0]])


def _tilted(n: int, draw: np.random.Generator) -> np.ndarray:
    """`prod x_j^beta_j exp(y . A y + b . y)` from Dirichlet proposals; on the simplex the exponent is at most 2.375."""

    def accept(x: np.ndarray) -> np.ndarray:
        y = x[:, :2]
        return draw.random(len(x)) < np.exp(np.einsum("ni,ij,nj->n", y, TILT, y) + y @ [1.0, 3.0] - 2.375)

    return _rejected(lambda m: draw.dirichlet([1.5, 2.0, 0.7], m), accept, n)


A = np.diag([1.0, -0.5, 0.0]) + 0.3 * (np.eye(3, k=1) + np.eye(3, k=-1))
B = np.array([0.6, 0.0, -0.8])
CASES: dict[str, Case] = {
    "normal": Case(families.normal(), lambda n, g: g.normal(2.0, 0.5, (n, 1)), (2.0, 0.25)),
    "normal, 2": Case(
        families.normal(2),
        lambda n, g: g.multivariate_normal([1.0, -1.0], np.linalg.inv([[1.5, -0.5], [-0.5, 1.0]]), n),
        (1.0, -1.0, 1.5, -0.5, 1.0),
    ),
    "truncated normal": Case(
        families.truncated_normal(),
        lambda n, g: stats.truncnorm.rvs(-0.5, np.inf, loc=0.5, scale=1.0, size=(n, 1), random_state=g),
        (0.5, 1.0),
    ),
    "truncated normal, both edges": Case(
        families.truncated_normal(0.0, 2.0),
        lambda n, g: stats.truncnorm.rvs(-0.6, 1.4, loc=0.6, scale=1.0, size=(n, 1), random_state=g),
        (0.6, 1.0),
    ),
    "truncated normal, 2": Case(families.truncated_normal(d=2), _truncated, (0.5, -0.2, 1.5, -0.5, 1.0)),
    "gamma": Case(families.gamma(), lambda n, g: g.gamma(2.5, 1 / 1.5, (n, 1)), (2.5, 1.5)),
    "gamma, infinite at 0": Case(families.gamma(), lambda n, g: g.gamma(0.6, 2.0, (n, 1)), (0.6, 0.5)),
    "beta": Case(families.beta(), lambda n, g: g.beta(2.0, 0.7, (n, 1)), (2.0, 0.7)),
    "Dirichlet": Case(families.dirichlet(3), lambda n, g: g.dirichlet([0.8, 2.0, 1.5], n), (0.8, 2.0, 1.5)),
    "polynomially tilted": Case(families.polynomially_tilted(3), _tilted, (0.5, 1.0, -0.3, 1.0, 3.0, -8.0, 6.0, -4.0)),
    "von Mises": Case(families.von_mises(), lambda n, g: g.vonmises(0.7, 2.0, (n, 1)), (0.7, 2.0)),
    "von Mises-Fisher": Case(families.von_mises_fisher(3), _on_sphere(lambda x: 3 * x @ B, 3.0), (0.6, 0.0, -0.8, 3.0)),
    "Bingham": Case(
        families.bingham(3), _on_sphere(lambda x: np.einsum("ni,ij,nj->n", x, A, x), 1.1), (1.0, 0.3, 0.0, -0.5, 0.3)
    ),
    "Fisher-Bingham": Case(
        families.fisher_bingham(3),
        _on_sphere(lambda x: 2 * x @ B + np.einsum("ni,ij,nj->n", x, A, x), 2.6),
        (1.2, 0.0, -1.6, 1.0, 0.3, 0.0, -0.5, 0.3),
    ),
    "polynomial": Case(families.polynomial(4), _quartic, (0.5, 1.0, 0.0, -0.5)),
    "exponential square root": Case(families.exponential_square_root(2), _square_root, (0.2, -0.3, 1.0, 0.3, 1.2)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_usual_parameters_are_recovered(name: str) -> None:
    case = CASES[name]
    found = fit(case.draw(20_000, np.random.default_rng(0)), case.family)
    z = (found.parameters - torch.tensor(case.truth).double()) / found.standard_error
    assert len(case.truth) == len(case.family.names) == len(z)
    assert float(z.abs().max()) < 4 and float(found.standard_error.max()) < 0.5 * max(1.0, *map(abs, case.truth))
    assert found.wald(case.truth) > 1e-4


@pytest.mark.parametrize(
    "name",
    [
        "normal", "truncated normal", "truncated normal, both edges", "gamma", "beta", "Dirichlet",
        "polynomially tilted", "polynomial", "von Mises", "Bingham",
    ],
)  # fmt: skip
def test_intervals_cover(name: str) -> None:
    case, draw, trials = CASES[name], np.random.default_rng(1), 200
    truth = torch.tensor(case.truth).double()
    held = torch.zeros(len(truth))
    for _ in range(trials):
        low, high = fit(case.draw(600, draw), case.family).interval().T
        held += (low < truth) & (truth < high)
    # 95 % but for the binomial error of so many trials (at 1 in 1,000), and one in 100 for what 600 samples leave of it
    low, high = stats.binom.ppf(0.0005, trials, 0.94), stats.binom.ppf(0.9995, trials, 0.96)
    assert low <= float(held.min()) and float(held.max()) <= high


def test_wald_rejects_what_is_false_as_often_as_it_says() -> None:
    draw = np.random.default_rng(2)
    p = [fit(draw.gamma(2.5, 1 / 1.5, 800), families.gamma()).wald([2.5, 1.5]) for _ in range(300)]
    assert stats.binomtest(int(np.sum(np.array(p) < 0.05)), 300, 0.05).pvalue > 1e-3
    assert fit(draw.gamma(2.5, 1 / 1.5, 800), families.gamma()).wald([1.0, 1.5]) < 1e-6


def test_a_cap_at_the_mean_makes_gamma_laws_more_precise() -> None:
    """Asymptotic variances by quadrature, over maximum likelihood's: 1.26 and 1.36, without a cap 1.58 and 1.47."""
    u = (torch.arange(40_000, dtype=torch.float64) + 0.5) / 40_000
    x, w = torch.from_numpy(stats.gamma.ppf(u, 2.5) / 1.5)[:, None], torch.full((40_000,), 1 / 40_000).double()
    theta, found = torch.tensor([1.5, 1.5]).double(), []
    best = efficiency.maximum_likelihood(families.gamma().statistics(x), w).diagonal()
    for cap in (2.5 / 1.5, math.inf):
        family = families.gamma(cap)
        found.append(efficiency.score_matching(family.statistics, theta, x, w, family.support).diagonal() / best)
    assert found[0].tolist() == pytest.approx([1.26, 1.36], abs=0.01)
    assert found[1].tolist() == pytest.approx([1.58, 1.47], abs=0.02)
    mean = float(fit(x, families.gamma()).natural.statistics(x).mean(0)[1])
    assert fit(x, families.gamma()).family.support.cap == pytest.approx(-mean)


class Weighted(NamedTuple):
    """The positive line with a weight of its own."""

    h: Callable[[Tensor], Tensor]

    def check(self, x: Tensor) -> None:
        """Not asked."""

    def nearest(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def field(self, x: Tensor, s: Tensor) -> Tensor:
        """`h s`."""
        return self.h(x) * s


def test_variances_of_a_truncated_normal_are_those_that_genscore_publishes() -> None:
    """N(0, 1) on x > 0 with h = min(log(1 + x), 2), one parameter known: n times the variance of the other is 2.795459
    (mean) and 2.379507 (variance), Cramer and Rao's bounds are 2.751938 and 2 (vignette of the R package genscore,
    after Yu, Drton and Shojaie 2019)."""
    x = ((torch.arange(200_000, dtype=torch.float64) + 0.5) * 12 / 200_000)[:, None]
    w = (-x[:, 0].square() / 2).softmax(0)
    statistics = lambda x: torch.cat([x, -x.square() / 2], 1)  # noqa: E731
    gradients, fields, divergences = closed_form.derivatives(statistics, Weighted(lambda x: x.log1p().clamp(max=2)), x)
    G = torch.einsum("n,nid,njd->ij", w, gradients, fields)
    each = fields[..., 0] * -x + divergences  # the loss's slope at mean 0, precision 1
    variances = (w @ each.square()) / G.diagonal().square()
    assert variances.tolist() == pytest.approx([2.795459, 2.379507], abs=2e-5)
    bounds = 1 / (w @ (statistics(x) - w @ statistics(x)).square())
    assert bounds.tolist() == pytest.approx([2.751938, 2.0], abs=1e-5)


def test_wald_takes_some_parameters_by_name_and_directions_by_their_length() -> None:
    draw, case = np.random.default_rng(7), CASES["von Mises-Fisher"]
    found = fit(case.draw(500, draw), case.family)
    z = float((found.parameters[3] - 3.0) / found.standard_error[3])
    assert found.wald({"concentration": 3.0}) == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)
    # of the four usual parameters three are free: chi-squared of theta itself, which is 3 times the direction
    theta, apart = found.natural, found.natural.theta - torch.tensor([1.8, 0.0, -2.4]).double()
    square = float(apart @ torch.linalg.inv(theta.covariance) @ apart)
    assert found.wald(case.truth) == pytest.approx(stats.chi2.sf(square, 3), abs=0.05)


@pytest.mark.parametrize("centre", [0.0, 2000.0, 1e9])
def test_data_far_from_zero_lose_no_digits(centre: float) -> None:
    """The answers by hand: for a normal law score matching is maximum likelihood, with sandwich errors."""
    x = np.random.default_rng(8).integers(-40, 40, 60).astype(float) / 8  # which is exact at any of these centres
    mean, deviations = x.mean(), x - x.mean()
    variance = np.mean(deviations**2)
    errors = (np.sqrt(variance / 60), np.sqrt((np.mean(deviations**4) - variance**2) / 60))
    found = fit(x + centre, families.normal())
    assert float(found.parameters[0] - centre) == pytest.approx(mean, abs=3e-16 * centre + 1e-12)
    assert float(found.parameters[1]) == pytest.approx(variance, rel=1e-7 if centre == 1e9 else 1e-11)
    assert found.standard_error.tolist() == pytest.approx(errors, rel=1e-7)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_of_the_data_are_those_of_the_answer(unit: float) -> None:
    x, y = np.random.default_rng(9).gamma(2.5, 1.0, (2, 300))
    one, two = fit(x, families.gamma()), fit(x * unit, families.gamma())
    assert torch.allclose(
        two.parameters, one.parameters / torch.tensor([1.0, unit], dtype=torch.float64), rtol=1e-9, atol=0
    )
    both = np.stack([x * unit, y / unit], 1)
    scale = torch.tensor([unit, 1 / unit, unit**-2, 1.0, unit**2], dtype=torch.float64)
    one, two = (fit(z, families.normal(2)) for z in (np.stack([x, y], 1), both))
    assert torch.allclose(two.parameters, one.parameters * scale, rtol=1e-8, atol=0)


def test_frames_with_odd_names_and_nullable_columns() -> None:
    x = np.random.default_rng(10).normal(size=(40, 2))
    frame = pd.DataFrame(x, columns=["a b", 3], index=[f"r{k}" for k in range(40)][::-1])
    wanted = fit(x, families.normal(2)).parameters
    for given in (frame, frame.astype("Float64"), frame.sample(frac=1.0, random_state=0)):
        assert torch.allclose(fit(given, families.normal(2)).parameters, wanted, rtol=1e-12)
    assert torch.equal(fit(frame["a b"], families.normal()).parameters, fit(x[:, 0], families.normal()).parameters)


def test_the_score_test_of_a_normal_mean_is_the_one_by_hand() -> None:
    x = torch.from_numpy(np.random.default_rng(5).normal(0.2, 1.5, 50))
    m, square = x.mean(), x.square().mean()
    each = -x / square + m / square * (x.square() / square - 1)  # the slope of mean / variance, cleared of the other's
    statistic = float(each.mean() ** 2 / (each.square().mean() / 50))
    p = closed_form.score_test(x[:, None], lambda x: torch.cat([x, -(x**2) / 2], 1), {0: 0.0})
    assert p == pytest.approx(stats.chi2.sf(statistic, 1), rel=1e-9)


@pytest.mark.parametrize("values", [{0: 1.5}, {0: 1.5, 1: 1.5}])  # shape - 1, and the rate
def test_the_score_test_rejects_what_is_true_as_often_as_it_says(values: dict[int, float]) -> None:
    draw, p = np.random.default_rng(6), []
    for _ in range(150):
        x = torch.from_numpy(draw.gamma(2.5, 1 / 1.5, (150, 1)))
        family = families.gamma(float(x.mean()))  # the weight that `fit` takes: few rows are enough
        p.append(closed_form.score_test(x, family.statistics, values, support=family.support))
    assert stats.binomtest(int(np.sum(np.array(p) < 0.05)), 150, 0.05).pvalue > 1e-3
    assert closed_form.score_test(x, family.statistics, {0: 6.0}, support=family.support) < 1e-4


def test_the_manner_of_statsmodels_is_the_same_fit() -> None:
    x = pd.DataFrame({"wait": np.random.default_rng(0).gamma(2.5, 1 / 1.5, 500)})
    assert families.ScoreExpFamily(x, families.gamma()).fit().summary() == fit(x, families.gamma()).summary()


def test_intervals_of_a_variance_are_those_of_its_logarithm() -> None:
    found = fit(np.random.default_rng(2).normal(1.0, 3.0, 50), families.normal())
    value, error, interval = found.parameters, found.standard_error, found.interval()
    assert interval[0].mean() == pytest.approx(float(value[0]))
    assert interval[1].log().mean() == pytest.approx(float(value[1].log()))
    assert (interval[1, 1] / value[1]).log() == pytest.approx(1.959964 * float(error[1] / value[1]), rel=1e-6)


def test_a_polynomials_weight_follows_the_datas_place_and_unit() -> None:
    x = _quartic(500, np.random.default_rng(5))
    one, other = fit(x, families.polynomial(4)), fit(3 * x, families.polynomial(4))
    unit = 3.0 ** -torch.arange(1, 5).double()
    torch.testing.assert_close(other.parameters, one.parameters * unit, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(other.standard_error, one.standard_error * unit, rtol=1e-9, atol=1e-12)
    plain = fit(x, families.polynomial(4, math.inf)).parameters
    torch.testing.assert_close(fit(x, families.polynomial(4, 1e6)).parameters, plain, rtol=1e-8, atol=1e-10)


def test_the_criterion_chooses_the_family_that_holds_the_truth() -> None:
    draw = np.random.default_rng(3)
    wins = 0
    for _ in range(20):
        x = _quartic(1500, draw)
        wins += fit(x, families.polynomial(4)).criterion < fit(x, families.polynomial(2)).criterion
    assert wins == 20  # two modes are no Gaussian


def test_the_optimism_is_what_the_loss_is_too_low_by() -> None:
    draw, n = np.random.default_rng(4), 200
    family, gaps, said = families.normal(), [], []
    fresh = torch.from_numpy(draw.normal(2.0, 0.5, (100_000, 1)))
    for _ in range(300):
        found = fit(draw.normal(2.0, 0.5, (n, 1)), family)
        mean, variance = found.parameters
        loss = float((-1 / variance + ((fresh - mean) / variance).square() / 2).mean())
        gaps.append(loss - found.natural.loss)
        said.append(found.natural.optimism)
    error = np.std(gaps) / math.sqrt(len(gaps))
    # in expectation the fitted loss is too low by half of it, and the loss of new data too high by the other half
    assert abs(np.mean(gaps) - np.mean(said)) < 4 * error + 0.1 * np.mean(said)


def test_the_table_says_what_was_estimated() -> None:
    x = pd.DataFrame({"wait": np.random.default_rng(0).gamma(2.5, 1 / 1.5, 500)})
    found = fit(x, families.gamma())
    lines = found.summary().splitlines()
    assert lines[0].startswith("gamma, 500 samples, score matching") and "2.5 %" in lines[1] and len(lines) == 4
    name, estimate, error = lines[2].split()[:3]
    assert name == "shape" and float(estimate) == pytest.approx(float(found.parameters[0]), rel=1e-3)
    assert float(error) == pytest.approx(float(found.standard_error[0]), rel=1e-3)
    assert repr(found).startswith("FamilyFit(gamma: shape = ")


def _frame(value: Any) -> pd.DataFrame:
    b = pd.array([1.5, 0.3, value, 2.0, 0.4, 1.0], dtype="Float64")
    return pd.DataFrame({"a": [0.2, 1.0, 3.0, 0.1, 0.7, 0.9], "b": b}, index=[9, 7, 5, 3, 1, 0])


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a digit beyond the edge": (
        lambda: fit(np.array([1e9 + 4, 1e9 + 1]), families.truncated_normal(1e9 + 2)),
        "row 1, column 0: 1000000001 is not between 1000000002 and inf",
    ),
    "cap": (lambda: families.gamma(0.0), "cap > 0"),
    "a zero": (lambda: fit(torch.tensor([1.0, 0.0, 2.0]), families.gamma()), "row 1, column 0: 0 is not between"),
    "NaN": (lambda: fit(np.array([1.0, np.nan]), families.gamma()), "row 1, column 0 is nan"),
    "equal": (lambda: fit(torch.ones(5), families.normal()), "singular"),
    "a hole": (lambda: fit(_frame(pd.NA), families.normal(2)), r"row 2, column 1 \('b'\) is nan"),
    "on the edge": (lambda: fit(_frame(0.0), families.truncated_normal(d=2)), r"row 2, column 1 \('b'\): 0 is not"),
    "words": (lambda: fit(pd.DataFrame({"a": ["u", "v"]}), families.normal()), "column 'a' holds no numbers"),
    "too many columns": (lambda: fit(torch.rand(9, 2), families.gamma()), "one of 1 column.s., and the data have 2"),
    "too few parts": (lambda: fit(torch.rand(9, 2), families.dirichlet(3)), "one of 3 column.s., and the data have 2"),
    "nothing": (lambda: fit(torch.rand(0), families.gamma()), "n and d at least 1"),
    "one row": (lambda: fit(torch.rand(1), families.gamma()), r"gamma: .*singular.*\(shape, rate\).*There is one row"),
    "a constant": (lambda: fit(_frame(1.0) * [1, 0], families.normal(2)), r"singular.*Column 1 \('b'\) is constant, 0"),
    "a copy": (
        lambda: fit(_frame(1.0)[["a", "b", "a"]], families.normal(3)),
        r"singular.*follow from each other: column 0 \('a'\), column 2 \('a'\)",
    ),
    "more columns than rows": (lambda: fit(torch.rand(3, 5), families.normal(5)), "Of 3 rows, these columns follow"),
    "weights": (
        lambda: fit(torch.rand(3), families.beta(), weights=torch.tensor([1.0, math.nan, 1.0])),
        "nan in row 1",
    ),
    "of no name": (lambda: fit(torch.rand(9), families.beta()).wald({"c": 1.0}), "values of a, b, got 'c'"),
    "no dimensions": (lambda: families.normal(0), "d must be a whole number from 1"),
    "no sphere": (lambda: families.bingham(1), "from 2"),
    "shape": (lambda: fit(torch.ones(2, 2, 2), families.normal()), r"\(n,\) or \(n, d\)"),
    "level": (lambda: fit(torch.rand(9), families.beta()).interval(1.5), "level"),
    "wald": (lambda: fit(torch.rand(9), families.beta()).wald([1.0]), "wald takes 2 values, a, b"),
    "no such place": (lambda: closed_form.score_test(torch.rand(9, 1), torch.log, {1: 0.0}), "from 0 to 0"),
    "parts": (lambda: families.polynomially_tilted(1), "parts"),
    "degree": (lambda: families.polynomial(0), "degree"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_errors_name_what_is_wrong(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make()


def test_fits_do_not_depend_on_the_dtype() -> None:
    x = torch.from_numpy(np.random.default_rng(0).gamma(2.5, 1.0, 300)).float()
    one, two = (fit(v, families.gamma()).parameters for v in (x, x.double()))
    assert isinstance(one, Tensor) and torch.equal(one, two)
