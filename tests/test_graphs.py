"""Sparse graphs: the minimum's conditions, exact answers without a penalty and of other solvers, tests of edges."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, stats
from torch import Tensor

from scorefield import closed_form, graphs
from scorefield.graphs import moments, slopes, solver
from scorefield.graphs.edges import EdgeTests, near_inverse
from scorefield.graphs.fit import GraphFit
from scorefield.graphs.models import Interactions
from scorefield.graphs.moments import quadratic, sample_of
from scorefield.objectives.supports import Box, Simplex, ball

D = 4


def chain(d: int, value: float = 0.35) -> np.ndarray:
    """A precision matrix of d columns in a row."""
    return np.eye(d) + value * (np.eye(d, k=1) + np.eye(d, k=-1))


def _normal(n: int, d: int, seed: int = 0) -> Tensor:
    draw = np.random.default_rng(seed)
    return torch.from_numpy(draw.multivariate_normal(np.arange(d), np.linalg.inv(chain(d)), n))


def _positive(n: int, d: int, seed: int = 0) -> Tensor:
    draw = np.random.default_rng(seed)
    x = draw.gamma(2.0, 0.5, (n, d))
    x[:, 1] += 0.5 * x[:, 0]
    return torch.from_numpy(x)


MODELS: dict[str, tuple[Interactions, Callable[[int, int], Tensor]]] = {
    "Gaussian": (graphs.gaussian(), _normal),
    "Gaussian, mean 0": (graphs.gaussian(location=False), _normal),
    "truncated": (graphs.truncated_gaussian(), _positive),
    "truncated, mean 0": (graphs.truncated_gaussian(location=False), _positive),
    "truncated, both edges": (graphs.truncated_gaussian(-0.1, 30.0, cap=1.0), _positive),
    "within a ball": (Interactions("ball", support=ball(torch.zeros(D), 40.0)), _positive),
    "exponential square root": (graphs.exponential_square_root(), _positive),
    "gamma": (graphs.gamma(), _positive),
    "a = 3/2, b = 1/2": (graphs.interactions(1.5, 0.5), _positive),
    "logarithms": (graphs.interactions(0, 0, location=False), _positive),
}


@pytest.mark.parametrize("name", MODELS)
def test_without_a_penalty_it_is_the_closed_form(name: str) -> None:
    model, draw = MODELS[name]
    sample = sample_of(draw(300, D), model)
    K = solver.minimum_on(solver.problem(quadratic(sample)), torch.ones(D, D, dtype=torch.bool))
    i, j = torch.triu_indices(D, D)
    factor = torch.where(i == j, 0.5, 1.0).double() / (model.a or 1)

    def statistics(x: Tensor) -> Tensor:
        t, u = model.t(x), x.log() if model.b == 0 else x**model.b / model.b
        return torch.cat([-t[:, i] * t[:, j] * factor, u], 1) if model.location else -t[:, i] * t[:, j] * factor

    z = draw(300, D) / sample.scale
    exact = closed_form.exponential_family(z, statistics, support=model.scaled_support(sample.scale))
    eta = moments.location(sample, K) + K @ sample.shift
    mine = torch.cat([K[i, j], eta]) if model.location else K[i, j]
    torch.testing.assert_close(mine, exact.theta, rtol=1e-8, atol=1e-8)
    if name == "Gaussian":
        fitted = GraphFit(sample, K != 0, K, "")
        gaussian = closed_form.gaussian(draw(300, D))
        torch.testing.assert_close(fitted.interaction, gaussian.precision, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(torch.linalg.solve(fitted.interaction, fitted.location), gaussian.mean)


@pytest.mark.parametrize("n", [12, 200])
@pytest.mark.parametrize("name", MODELS)
def test_the_conditions_of_the_minimum_hold_along_the_path(name: str, n: int) -> None:
    model, draw = MODELS[name]
    d = D if name == "within a ball" else 15
    found = graphs.path(draw(n, d), model, count=5, smallest=0.1)
    assert float(found.violation.max()) <= 2e-7
    assert int(found.edges[0]) == 0 < int(found.edges[-1])
    assert all(torch.equal(K, K.T) for K in found.matrices)


@pytest.mark.parametrize("name", MODELS)
def test_the_largest_penalty_is_where_the_first_edge_comes(name: str) -> None:
    model, draw = MODELS[name]
    x = draw(100, D)
    largest = float(graphs.path(x, model, count=2).penalties[0])
    at = graphs.path(x, model, penalties=[1.001 * largest, largest, 0.999 * largest])
    assert at.edges.tolist() == [0, 0, 1] and float(at.violation.max()) < 2e-7


@pytest.mark.parametrize("name", ["Gaussian", "truncated", "gamma"])
def test_another_solver_finds_the_same_minimum(name: str) -> None:
    """L-BFGS-B on the positive and negative parts of K, from the loss row by row of the data."""
    model, draw = MODELS[name]
    sample = sample_of(draw(9, D), model)
    loss = quadratic(sample)
    G = torch.stack([_block(sample, j) for j in range(D)])
    i, j = (k.numpy() for k in torch.triu_indices(D, D))
    penalty, multiplier = 0.05, 1.5

    def value(parts: np.ndarray) -> float:
        K = np.zeros((D, D))
        K[i, j] = K[j, i] = parts[: len(i)] - parts[len(i) :]
        quad = sum(K[k] @ G[k].numpy() @ K[k] / 2 - loss.linear[k].numpy() @ K[k] for k in range(D))
        quad += (multiplier - 1) / 2 * sum(G[k].diagonal().numpy() @ K[k] ** 2 for k in range(D))
        return quad + penalty * 2 * float((parts[: len(i)] + parts[len(i) :])[i != j].sum())

    options = {"maxiter": 10_000, "maxfun": 10**6, "ftol": 1e-15, "gtol": 1e-9}
    start = np.full(2 * len(i), 0.1)
    other = optimize.minimize(value, start, method="L-BFGS-B", bounds=[(0, None)] * len(start), options=options)
    K = graphs.path(draw(9, D), model, penalties=[penalty], multiplier=multiplier).matrices[0].numpy()
    parts = np.concatenate([K[i, j].clip(min=0), (-K[i, j]).clip(min=0)])
    assert value(parts) <= other.fun + 1e-9 * abs(other.fun)
    np.testing.assert_allclose(K[i, j], other.x[: len(i)] - other.x[len(i) :], atol=2e-3)


def _block(sample: moments.Sample, j: int) -> Tensor:
    """G of column j as an average over rows of the outer product of derivatives of the score."""
    features = sample.r[j] * sample.t
    weighted = sample.field_r[j] * sample.t
    G = features @ weighted.T / sample.n
    if sample.model.location:
        c = weighted @ sample.q[j] / sample.n
        G = G - torch.outer(c, c) / (sample.field_q[j] * sample.q[j]).mean()
    return G


@pytest.mark.parametrize("name", ["Gaussian", "truncated", "exponential square root"])
def test_order_and_units_of_the_columns_do_not_matter(name: str) -> None:
    model, draw = MODELS[name]
    x, order, unit = (
        draw(40, 6),
        torch.tensor([3, 1, 5, 0, 2, 4]),
        torch.tensor([2.0, 0.1, 5.0, 1.0, 30.0, 0.7]).double(),
    )
    one = graphs.path(x, model, count=6)
    two = graphs.path(x[:, order] * unit[order], model, count=6)
    torch.testing.assert_close(two.matrices, one.matrices[:, order][:, :, order], rtol=1e-5, atol=1e-5)
    a, b = (graphs.ScoreGraph(v, model).fit(penalty=float(one.penalties[2])) for v in (x, x * unit))
    scaled = a.interaction / unit**model.a / unit[:, None] ** model.a
    torch.testing.assert_close(b.interaction, scaled, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(b.location, a.location / unit**model.b, rtol=1e-5, atol=1e-6)


def test_a_gaussian_of_which_the_moments_are_exact_gives_its_precision() -> None:
    S = torch.linalg.inv(torch.from_numpy(chain(5)))
    root = torch.linalg.cholesky(S) * math.sqrt(5)
    x = torch.cat([root.T, -root.T]) + torch.arange(5)  # rows whose mean is 0, 1, ... and whose covariance is S
    fitted = graphs.ScoreGraph(x).fit(penalty=1e-9, multiplier=1.0).refit()
    torch.testing.assert_close(fitted.interaction, torch.from_numpy(chain(5)), rtol=1e-6, atol=1e-6)
    K = fitted.interaction
    torch.testing.assert_close(fitted.partial.diagonal(), torch.ones(5).double())
    assert float(fitted.partial[0, 1]) == pytest.approx(float(-K[0, 1] / (K[0, 0] * K[1, 1]).sqrt()))


@pytest.mark.parametrize("name", MODELS)
def test_variances_of_slopes_are_those_of_automatic_derivatives(name: str) -> None:
    model, draw = MODELS[name]
    sample = sample_of(draw(30, D), model)
    K = solver.minimum_on(solver.problem(quadratic(sample), 1.5), torch.ones(D, D, dtype=torch.bool))
    eta = moments.location(sample, K)
    cross = torch.stack([_cross(sample, j) for j in range(D)])

    def loss(K: Tensor) -> Tensor:  # per row, eta moving with K as it does on average
        moved = eta + ((K - K.detach()) * cross).sum(1)
        score = sample.q * moved[:, None] - sample.r * (K @ sample.t)
        slope = sample.slope_q * moved[:, None] - sample.slope_r * (K @ sample.t) - sample.own * K.diagonal()[:, None]
        field = sample.field_q * moved[:, None] - sample.field_r * (K @ sample.t)
        return (score * field / 2 + slope).sum(0)

    each = torch.func.jacrev(loss)(K)
    pairs = (each + each.mT).square().mean(0).fill_diagonal_(0)
    torch.testing.assert_close(slopes.pair_variance(sample, K), pairs, rtol=1e-9, atol=1e-9)


def _cross(sample: moments.Sample, j: int) -> Tensor:
    if not sample.model.location:
        return torch.zeros(D).double()
    return sample.t @ (sample.field_r[j] * sample.q[j]) / sample.n / (sample.field_q[j] * sample.q[j]).mean()


def test_the_nearly_inverse_matrix_is_near_the_inverse() -> None:
    x = _normal(60, 80)
    centred = (x - x.mean(0)) * torch.linspace(0.1, 10, 80)
    G, penalty = centred.T @ centred / 60, 0.25
    M, root = near_inverse(G, penalty), G.diagonal().sqrt()
    off = (M @ G * root[:, None] / root).fill_diagonal_(0)  # in units of the columns
    bound = 1.01 * penalty * (M.diagonal() * root.square())
    assert bool((off.abs().amax(1) <= bound).all())
    torch.testing.assert_close((M @ G).diagonal(), torch.ones(80).double())


@pytest.mark.parametrize(("kind", "n", "d", "trials"), [("few", 60, 30, 3), ("Gaussian", 300, 10, 6)])
def test_edge_tests_reject_absent_edges_as_often_as_they_say(kind: str, n: int, d: int, trials: int) -> None:
    i, j = np.triu_indices(d, 1)
    there = chain(d)[i, j] != 0
    false, true, held = [], [], []
    for seed in range(trials):
        found = graphs.ScoreGraph(_normal(n, d, seed)).fit().tests()
        p = found.p.numpy()[i, j]
        false.append(np.mean(p[~there] < 0.05))
        true.append(np.mean(p[there] < 0.05))
        off = (found.estimate.numpy() - chain(d)) / found.error.numpy()
        held.append(np.mean(np.abs(off[i, j][there]) < 1.96))
    error = np.std(false, ddof=1) / math.sqrt(trials)
    assert abs(np.mean(false) - 0.05) < 4 * error + 0.01  # and what so few rows leave of a normal law
    assert np.mean(true) > 0.6 and (kind == "few" or np.mean(held) > 0.88)


def test_p_values_of_few_rows_hold_far_in_their_tails() -> None:
    """Means of products of two normal numbers, over 20 rows: those of z are too small, the tests' are not."""
    draw = torch.Generator().manual_seed(0)
    parts = torch.randn(2, 200_000, 20, dtype=torch.float64, generator=draw).prod(0)
    found = EdgeTests(("a", "b"), parts.mean(1), parts.std(1, correction=0) / math.sqrt(20), 20)
    for level in (0.05, 1e-3, 1e-4):
        expected = level * len(parts)
        assert float((found.p_of(found.z) < level).sum()) < expected + 4 * math.sqrt(expected)
        normal = torch.erfc(found.z.abs() / math.sqrt(2))
        assert float((normal < level).sum()) > expected + 4 * math.sqrt(expected)


def test_edge_tests_hold_for_truncated_data() -> None:
    """Two columns that interact and one that does not, all of them normal and kept where they are positive."""
    K = chain(3, 0.5)
    K[1, 2] = K[2, 1] = 0
    z = []
    for seed in range(10):
        draw = np.random.default_rng(seed)
        x = draw.multivariate_normal([0.7, 0.7, 0.7], np.linalg.inv(K), 3000)
        x = x[(x > 0).all(1)][:600]
        found = graphs.ScoreGraph(x, graphs.truncated_gaussian()).fit(penalty=0.02).tests()
        z.append(((found.estimate.numpy() - K) / found.error.numpy())[np.triu_indices(3, 1)])
    assert stats.binomtest(int((np.abs(z) < 1.96).sum()), np.size(z), 0.95).pvalue > 1e-3
    assert abs(float(np.mean(z))) < 4 / math.sqrt(np.size(z))


def test_each_choice_finds_the_graph_of_many_rows() -> None:
    truth = torch.from_numpy(chain(8) != 0).fill_diagonal_(False)
    frame = pd.DataFrame(_normal(1500, 8).numpy(), columns=list("abcdefgh"))
    for choose in ("ebic", "tests"):
        found = graphs.ScoreGraph(frame).fit(choose)
        wrong = int((found.graph != truth).sum()) // 2
        assert wrong == 0 or (choose == "tests" and wrong <= 1), choose
    frequent = graphs.stability(frame, edges=8, pairs=4).graph()
    assert torch.equal(frequent, truth)
    refitted = found.refit()
    assert float((refitted.interaction - torch.from_numpy(chain(8))).abs().max()) < 0.2
    assert float(refitted.interaction[~found.graph].count_nonzero()) == 8  # the diagonal


def test_stability_keeps_false_edges_below_its_bound() -> None:
    counts = []
    for seed in range(3):
        x = torch.from_numpy(np.random.default_rng(seed).normal(size=(60, 8)))
        found = graphs.stability(x, edges=4, pairs=3, seed=seed)
        counts.append(int(found.graph(0.8).sum()) // 2)
    assert np.mean(counts) <= found.false_edges(0.8)
    assert found.frequency.max() <= 1 and torch.equal(found.frequency, found.frequency.T)
    again = graphs.stability(x, edges=4, pairs=3, seed=seed)
    assert torch.equal(again.frequency, found.frequency)


def test_the_table_names_columns_and_edges() -> None:
    frame = pd.DataFrame(_normal(400, 5).numpy(), columns=["age", "bmi", "pressure", "s1", "s2"])
    found = graphs.ScoreGraph(frame).fit()
    lines = found.summary().splitlines()
    assert lines[0] == "Gaussian, 400 rows, 5 columns, score matching" and lines[1].startswith("4 edges of 10, by eBIC")
    assert {"from", "to", "interaction", "err", "z", "p", "adjusted"} <= set(lines[2].split())
    assert {tuple(sorted(line.split()[:2])) for line in lines[3:]} == {
        ("age", "bmi"), ("bmi", "pressure"), ("pressure", "s1"), ("s1", "s2")
    }  # fmt: skip
    assert len(found.summary(tests=False, most=2).splitlines()) == 6
    assert list(found.edges().columns) == ["from", "to", "interaction", "partial"]
    assert graphs.ScoreGraph(frame).fit(penalty=10.0).summary().splitlines()[1].startswith("0 edges")


def _with(value: float, row: int = 3, column: int = 1) -> Tensor:
    x = _positive(20, 3)
    x[row, column] = value
    return x


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "NaN": (lambda: graphs.path(_with(math.nan)), r"row 3, column 1 \('x1'\) is nan"),
    "infinite": (lambda: graphs.path(pd.DataFrame(_with(math.inf), columns=list("abc"))), r"row 3, column 1 \('b'\)"),
    "outside": (lambda: graphs.path(_with(-1.0), graphs.gamma()), r"row 3, column 1 \('x1'\): -1 is not between"),
    "on the edge": (lambda: graphs.path(_with(0.0), graphs.truncated_gaussian()), r"row 3, column 1 .* 0 is not"),
    "constant": (lambda: graphs.path(torch.ones(9, 3)), r"column 0 \('x0'\) is constant"),
    "words": (lambda: graphs.path(pd.DataFrame({"a": ["u", "v", "w"], "b": [1, 2, 3]})), "column 'a' holds no numbers"),
    "a hole": (
        lambda: graphs.path(pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64"), "b": [1.0, 2.0, 4.0]})),
        r"row 1, column 0 \('a'\) is nan",
    ),
    "a copy": (
        lambda: graphs.path(pd.DataFrame(torch.rand(30, 3)[:, [0, 1, 0]].numpy(), columns=["u", "v", "w"])),
        r"follow from each other: column 0 \('u'\), column 2 \('w'\)",
    ),
    "edges of other columns": (
        lambda: graphs.path(_positive(9, 3), graphs.truncated_gaussian(torch.zeros(2))),
        "low has the shape .2,., and the data 3 columns",
    ),
    "one column": (lambda: graphs.path(torch.rand(9, 1)), r"d >= 2, got the shape \(9, 1\)"),
    "two rows": (lambda: graphs.path(torch.rand(2, 4)), "n >= 3"),
    "twice the same": (lambda: _refit(torch.rand(30, 2)[:, [0, 0, 1]]), "no unique answer"),
    "more edges than rows": (lambda: _refit(torch.rand(5, 8)), "no unique answer"),
    "penalties": (lambda: graphs.path(_positive(9, 3), penalties=[0.1, 0.2]), "must fall"),
    "multiplier": (lambda: graphs.path(_positive(9, 3), multiplier=0.5), "multiplier"),
    "choice": (lambda: graphs.ScoreGraph(_positive(9, 3)).fit("aic"), "'ebic', 'tests' or 'stability'"),
    "gamma": (lambda: graphs.ScoreGraph(_positive(9, 3)).fit(gamma=2.0), "gamma"),
    "share": (lambda: graphs.stability(_positive(20, 3), pairs=1).graph(0.4), "share"),
    "support": (lambda: Interactions("", support=Simplex()), "Everywhere, a Box or a Domain"),
    "powers": (lambda: Interactions("", 0.5, 0.5, Box(-1.0, 1.0)), "need x > 0"),
    "exponent": (lambda: graphs.interactions(-1, 1), "a=..."),
}


def _refit(x: Tensor) -> GraphFit:
    sample = sample_of(x, graphs.gaussian())
    return GraphFit(sample, torch.ones(sample.d, sample.d, dtype=torch.bool), torch.eye(sample.d).double(), "").refit()


@pytest.mark.parametrize("name", REFUSED)
def test_errors_name_what_is_wrong(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make()


def test_single_precision_and_three_rows_are_enough() -> None:
    x = _positive(200, 5)
    one, two = (graphs.path(v, graphs.gamma(), count=3).matrices for v in (x.float(), x.float().double()))
    assert torch.equal(one, two)
    assert graphs.path(_normal(3, 30), count=4).edges.tolist()[0] == 0
