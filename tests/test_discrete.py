"""Tokens: every corruption, loss, sampler and bound against laws of few states, by enumeration."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from scorefield import discrete
from scorefield.discrete import (
    Absorbing,
    Exact,
    Geometric,
    Joint,
    LogLinear,
    MarkovChain,
    Substitutions,
    TokenDenoiser,
    TokenTransformer,
    Uniform,
    all_sequences,
    analytic,
    euler,
)
from scorefield.discrete.corruptions import Corruption, likelihood
from scorefield.numerics.random import normal, uniform

K, L = 3, 2
CHAIN = ((-1.0, 0.7, 0.3), (0.2, -0.6, 0.4), (0.5, 0.9, -1.4))  # not reversible
CORRUPTIONS: dict[str, Corruption] = {
    "uniform": Uniform(K),
    "absorbing": Absorbing(K),
    "substitutions": Substitutions(CHAIN),
}
each_corruption = pytest.mark.parametrize("name", CORRUPTIONS)
TOTAL = torch.tensor(0.7, dtype=torch.float64)


def draw(*shape: int, purpose: str = "test") -> Tensor:
    return normal(1, shape, 5, purpose, dtype=torch.float64)[0]


def slope(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient of a sum."""
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(f(x), x)
    return found


def table(length: int = L, size: int = K) -> Joint:
    return Joint(draw(*[size] * length).exp())


def number(x: Tensor, states: int) -> Tensor:
    """Where sequences stand in a table's cells."""
    return (x * states ** torch.arange(x.shape[1] - 1, -1, -1)).sum(1)


def histogram_fits(x: Tensor, law: Tensor) -> bool:
    """Whether counts are within 5 standard errors of a law over all cells, and 0 where it is."""
    states, n = law.shape[0], len(x)
    found = torch.bincount(number(x, states), minlength=law.numel()).double() / n
    p = law.flatten()
    return bool(((found - p).abs() <= 5 * (p * (1 - p) / n).sqrt() + 1 / n * (p > 1e-12)).all())


def gauss(low: float, high: float, points: int = 40) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss-Legendre."""
    import numpy as np

    u, w = (torch.as_tensor(v) for v in np.polynomial.legendre.leggauss(points))
    return low + (high - low) * (u + 1) / 2, w * (high - low) / 2


# ----------------------------------------------------------------------------------------------------- corruptions


@each_corruption
def test_matrices_are_the_semigroup_of_their_rates(name: str) -> None:
    corruption = CORRUPTIONS[name]
    Q, a, b = corruption.rates(), torch.tensor(0.3).double(), torch.tensor(1.9).double()
    A = corruption.matrix(a)
    assert torch.allclose(A, torch.linalg.matrix_exp(a * Q), atol=1e-14)
    assert torch.allclose(A @ corruption.matrix(b), corruption.matrix(a + b), atol=1e-14)
    assert torch.allclose(Q.sum(1), torch.zeros(corruption.states).double(), atol=1e-14)
    assert torch.equal(corruption.matrix(0 * a), torch.eye(corruption.states).double())
    limit = corruption.limit()
    assert torch.allclose(limit @ Q, 0 * limit, atol=1e-14) and abs(float(limit.sum()) - 1) < 1e-14
    assert torch.allclose(corruption.matrix(torch.tensor(80.0).double()), limit.expand_as(A), atol=1e-12)


@each_corruption
def test_the_evidence_is_the_likelihood_but_for_a_constant(name: str) -> None:
    corruption = CORRUPTIONS[name]
    x, total = torch.arange(corruption.states)[:, None], torch.rand(corruption.states).double() + 0.1
    gap = corruption.evidence(x, total).exp() / likelihood(corruption, x, total)
    seen = gap[gap.isfinite()]  # 0 / 0 where a token cannot have been
    assert torch.equal(corruption.evidence(x, total) == -torch.inf, likelihood(corruption, x, total) == 0)
    assert all(float(row[row.isfinite()].std(correction=0)) < 1e-14 for row in gap[:, 0]) and len(seen) >= K


@each_corruption
def test_corrupted_tokens_follow_the_matrix_and_not_their_batch(name: str) -> None:
    corruption, n = CORRUPTIONS[name], 5000
    x0 = torch.arange(K).repeat(n, 1)
    u = uniform(n, (K,), 0, "u", dtype=torch.float64)
    x = discrete.corrupt(corruption, x0, TOTAL, u)
    for k in range(K):
        assert histogram_fits(x[:, k : k + 1], corruption.matrix(TOTAL)[k])
    assert torch.equal(discrete.corrupt(corruption, x0[7:9], TOTAL, u[7:9]), x[7:9])


@pytest.mark.parametrize("noise", [LogLinear(), LogLinear(left=0.2), Geometric(), Geometric(0.1, 3.0)], ids=repr)
def test_rates_are_the_slope_of_totals_and_grids_fall_to_zero(noise: discrete.Noise) -> None:
    t = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
    assert torch.allclose(noise.rate(t), slope(lambda t: noise.total(t).sum(), t), rtol=1e-12)
    for steps in (1, 2, 9):
        grid = noise.grid(steps)
        assert len(grid) == steps + 1 and float(grid[-1]) == 0 and bool((grid[:-1] > grid[1:]).all())
        assert float(grid[0]) == pytest.approx(float(noise.total(torch.tensor(1.0).double())))


def test_kimuras_chain_is_the_published_one() -> None:
    """Probabilities of a transition and of a transversion, from Kimura (1980)."""
    M = Substitutions.kimura(4.0).matrix(TOTAL)
    b, a = 1 / 6, 4 / 6
    transition = 0.25 + 0.25 * math.exp(-4 * b * 0.7) - 0.5 * math.exp(-2 * (a + b) * 0.7)
    assert M[0, 2] == pytest.approx(transition) and M[0, 1] == pytest.approx(0.25 - 0.25 * math.exp(-4 * b * 0.7))


# ----------------------------------------------------------------------------------------------------- exact models


@each_corruption
@pytest.mark.parametrize("kind", ["joint", "chain"])
def test_exact_models_are_what_enumeration_says(name: str, kind: str) -> None:
    corruption = CORRUPTIONS[name]
    chain = MarkovChain.of([0.5, 0.2, 0.3], [[0.8, 0.1, 0.1], [0.0, 0.5, 0.5], [0.3, 0.3, 0.4]], length=3)
    clean = all_sequences(3, K)
    p = chain.log_prob(clean).exp().reshape(K, K, K)
    law = Joint(p) if kind == "joint" else chain
    x = all_sequences(3, corruption.states)
    weights = likelihood(corruption, x, TOTAL).gather(-1, clean.T[None].expand(len(x), -1, -1)).prod(1) * p.flatten()
    model = Exact(law, corruption)
    assert torch.allclose(model.log_prob(x, TOTAL), weights.sum(1).log(), atol=1e-12)
    assert torch.allclose(Joint(p).noised(corruption, TOTAL).flatten(), weights.sum(1), atol=1e-15)
    possible = weights.sum(1) > 0  # masks beside tokens that never follow each other
    marginals = torch.stack([weights @ (clean == k).double() for k in range(K)], -1)
    wanted = (marginals / weights.sum(1)[:, None, None])[possible]
    assert torch.allclose(model(x[possible], TOTAL).exp(), wanted, atol=1e-13)
    if name == "absorbing":
        with pytest.raises(ValueError, match=f"the sequence in row {int((~possible).nonzero()[0])} has probability 0"):
            model(x, TOTAL)
    assert law.entropy == pytest.approx(float(-torch.xlogy(p, p).sum()))
    assert histogram_fits(law.sample(5000, seed=0), p)
    assert torch.equal(law.sample(3, seed=0, first=5), law.sample(8, seed=0)[5:])


@each_corruption
def test_ratios_are_those_of_the_noised_law(name: str) -> None:
    corruption, law = CORRUPTIONS[name], table()
    x, p = all_sequences(L, corruption.states), law.noised(corruption, TOTAL)
    found = discrete.ratios(corruption, Exact(law, corruption)(x, TOTAL), x, TOTAL)
    known = discrete.rates_into(corruption, x, found) > 0
    known.scatter_(-1, x[..., None], True)
    for i, l, y in known.nonzero().tolist():
        z = x[i].clone()
        z[l] = y
        assert float(found[i, l, y]) == pytest.approx(float(p[tuple(z)] / p[tuple(x[i])]), abs=1e-12)


@each_corruption
def test_a_network_is_right_at_both_ends_before_training(name: str) -> None:
    corruption = CORRUPTIONS[name]
    model = TokenDenoiser(TokenTransformer(L, corruption.states, K, width=16, depth=1), corruption)
    x = all_sequences(L, K)
    assert torch.equal(model(x, torch.tensor(0.0)).argmax(-1), x)
    assert torch.allclose(model(x, torch.tensor(1e-6)).exp().gather(-1, x[..., None]), torch.ones(1), atol=1e-5)
    far = model(torch.full((1, L), corruption.states - 1), torch.tensor(60.0))
    assert torch.allclose(far, torch.full_like(far, -math.log(K)), atol=1e-5)


# ----------------------------------------------------------------------------------------------------------- losses

Loss = Callable[[Corruption, Tensor, Tensor, Tensor], Tensor]  # of log-posteriors or log-ratios at x, given x0
OF_RATIOS: dict[str, Loss] = {
    "denoising_score_entropy": lambda c, s, x, x0: discrete.denoising_score_entropy(c, s.exp(), x, x0, TOTAL),
    "denoising_concrete": lambda c, s, x, x0: discrete.denoising_concrete(c, s.exp(), x, x0, TOTAL),
}
OF_POSTERIORS: dict[str, Loss] = {
    "cross_entropy": lambda c, p, x, x0: discrete.cross_entropy(p, x0),
    "denoising_score_entropy of a posterior": lambda c, p, x, x0: discrete.denoising_score_entropy(
        c, discrete.ratios(c, p, x, TOTAL), x, x0, TOTAL
    ),
    "masked_cross_entropy": lambda c, p, x, x0: discrete.masked_cross_entropy(c, p, x, x0, TOTAL),
    "order_cross_entropy": lambda c, p, x, x0: torch.where(
        (x == K).any(1), discrete.order_cross_entropy(p, x0, (x == K) | ~(x == K).any(1)[:, None], L), 0.0
    ),
}
CASES = [
    (loss, name)
    for loss, name in product([*OF_RATIOS, *OF_POSTERIORS], CORRUPTIONS)
    if loss not in ("masked_cross_entropy", "order_cross_entropy") or name == "absorbing"
]


@pytest.mark.parametrize(("loss", "name"), CASES)
def test_losses_are_least_at_the_exact_answers(loss: str, name: str) -> None:
    """By enumeration of clean and corrupted sequences, in every direction of a table of all answers."""
    corruption, law = CORRUPTIONS[name], table()
    pairs = [(x, x0) for x in all_sequences(L, corruption.states) for x0 in all_sequences(L, K)]
    x, x0 = (torch.stack(part) for part in zip(*pairs, strict=True))
    weight = law.log_prob(x0).exp() * likelihood(corruption, x, TOTAL).gather(-1, x0[..., None])[..., 0].prod(1)
    x, x0, weight = x[weight > 0], x0[weight > 0], weight[weight > 0]
    states = all_sequences(L, corruption.states)
    answer = Exact(law, corruption)(states, TOTAL)
    if loss in OF_RATIOS:
        answer = discrete.ratios(corruption, answer, states, TOTAL).log()

    def expected(change: Tensor) -> Tensor:
        moved = (answer + change)[number(x, corruption.states)]
        if loss in OF_POSTERIORS:
            return (weight * OF_POSTERIORS[loss](corruption, torch.log_softmax(moved, -1), x, x0)).sum()
        own = torch.nn.functional.one_hot(x, corruption.states).bool()
        moved = torch.where(own | ~moved.isfinite(), torch.zeros_like(moved), moved)
        return (weight * OF_RATIOS[loss](corruption, moved, x, x0)).sum()

    here = torch.zeros_like(answer)
    assert float(slope(expected, here).abs().max()) < 1e-12
    away = 0.2 * draw(*answer.shape, purpose="direction")
    assert float(expected(away) - expected(here)) > 1e-3


def test_masked_cross_entropy_is_score_entropy_sequence_by_sequence() -> None:
    corruption = Absorbing(K)
    x, x0 = torch.tensor([[3, 1], [3, 3], [0, 1]]), torch.tensor([[2, 1], [0, 0], [0, 1]])
    p = discrete.posterior(corruption, draw(3, L, K), x, TOTAL)
    by_ratios = discrete.denoising_score_entropy(corruption, discrete.ratios(corruption, p, x, TOTAL), x, x0, TOTAL)
    assert torch.allclose(discrete.masked_cross_entropy(corruption, p, x, x0, TOTAL), by_ratios, atol=1e-13)
    assert float(by_ratios[2]) == 0


def test_the_order_form_is_the_integral_over_the_noise() -> None:
    """Of any model: the number of masks is integrated out, by a rational integrand that quadrature gets exactly."""
    corruption, length = Absorbing(K), 3
    x0, masked = torch.tensor([[2, 0, 1]]).expand(8, -1), all_sequences(3, 2).bool()
    x = torch.where(masked, K, x0)
    p = discrete.posterior(corruption, draw(8, length, K), x, TOTAL)
    m = masked.sum(1)
    share, w = gauss(0, 1)
    integral = torch.zeros(8).double()
    for u, weight in zip(share, w, strict=True):  # ds = du / (1 - u)
        chance = u**m * (1 - u) ** (length - m)
        integral += weight / (1 - u) * chance * discrete.masked_cross_entropy(corruption, p, x, x0, -torch.log1p(-u))
    some = m > 0
    order = discrete.order_cross_entropy(p[some], x0[some], masked[some], length)
    sets = torch.tensor([math.comb(length, int(k)) for k in m[some]])
    assert float((order / sets / length).sum()) == pytest.approx(float(integral.sum()), rel=1e-10)


@each_corruption
def test_score_entropy_of_the_exact_ratios_is_what_noise_takes_from_a_sequence(name: str) -> None:
    """Between two levels its integral is `KL(q(x | x0) | p(x))` at the low one minus that at the high one."""
    corruption, law = CORRUPTIONS[name], table()
    model, x, low, high = Exact(law, corruption), all_sequences(L, corruption.states), 0.2, 2.0
    nodes, weights = gauss(low, high)
    for x0 in all_sequences(L, K)[[0, 5]]:
        clean = x0.expand(len(x), -1)

        def chances(total: Tensor, clean: Tensor = clean) -> Tensor:
            return likelihood(corruption, x, total).gather(-1, clean[..., None])[..., 0].prod(1)

        def divergence(total: Tensor) -> float:
            q = chances(total)
            return float((torch.xlogy(q, q) - torch.xlogy(q, law.noised(corruption, total).flatten())).sum())

        total = 0.0
        for s, w in zip(nodes, weights, strict=True):
            q = chances(s)
            seen = q > 0
            ratios = discrete.ratios(corruption, model(x[seen], s), x[seen], s)
            each = discrete.denoising_score_entropy(corruption, ratios, x[seen], clean[seen], s)
            total += float(w * (q[seen] * each).sum())
        ends = [divergence(torch.tensor(s, dtype=torch.float64)) for s in (low, high)]
        assert total == pytest.approx(ends[0] - ends[1], rel=1e-8)


# ---------------------------------------------------------------------------------------------------------- energies

STATIC: dict[str, Callable[[discrete.TokenEnergy, Tensor, int], Tensor]] = {
    "pseudo_likelihood": discrete.pseudo_likelihood,
    "ratio_matching": discrete.ratio_matching,
    "concrete": discrete.concrete,
    "implicit_score_entropy": discrete.implicit_score_entropy,
}


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("loss", STATIC)
def test_losses_of_energies_are_least_at_the_law(loss: str, size: int) -> None:
    law = table(3, size)
    x, p = all_sequences(3, size), law.probabilities.flatten()

    def expected(change: Tensor) -> Tensor:
        return (p * STATIC[loss](lambda z: (change - p.log())[number(z, size)], x, size)).sum()

    here = torch.zeros_like(p)
    assert float(slope(expected, here).abs().max()) < 1e-12
    away = 0.2 * draw(len(p), purpose="direction")
    assert float(expected(away) - expected(here)) > 1e-4


def ising(theta: Tensor, x: Tensor) -> Tensor:
    """The energy of four spins: fields, and couplings of all pairs."""
    s = 2.0 * x.to(theta) - 1
    pairs = torch.stack([s[:, i] * s[:, j] for i in range(4) for j in range(i)], 1)
    return -(torch.cat([s, pairs], 1) @ theta)


def test_ratio_matching_is_hyvarinens_and_finds_an_ising_law() -> None:
    theta = 0.4 * draw(10)
    x = all_sequences(4, 2)

    def energy(z: Tensor) -> Tensor:
        return ising(theta, z)

    flipped = torch.stack([torch.where(torch.arange(4) == l, 1 - x, x) for l in range(4)], 1)
    u = (energy(flipped.reshape(-1, 4)).reshape(16, 4) - energy(x)[:, None]).exp()  # p(x) / p(x with l flipped)
    assert torch.allclose(discrete.ratio_matching(energy, x, 2), (1 / (1 + u)).square().sum(1))
    p = Joint.of_energy(energy, 4, 2).probabilities.flatten()
    found = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    step = torch.optim.LBFGS(
        [found], max_iter=200, tolerance_grad=1e-13, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        step.zero_grad()
        loss = (p * discrete.ratio_matching(lambda z: ising(found, z), x, 2)).sum()
        loss.backward()
        return loss

    step.step(closure)
    assert torch.allclose(found.detach(), theta, atol=1e-5)


# ---------------------------------------------------------------------------------------------------------- samplers


def steps_of(name: str, steps: int, step: discrete.Step) -> Tensor:
    if name == "absorbing":
        return LogLinear(left=0.0 if step is analytic else 1e-12).grid(steps)
    return Geometric(1e-3, 30.0).grid(steps)


@pytest.mark.parametrize("step", [analytic, euler], ids=["analytic", "euler"])
@each_corruption
def test_samplers_reach_the_law_at_first_order(name: str, step: discrete.Step) -> None:
    corruption, law = CORRUPTIONS[name], table()
    errors = []
    for steps in (24, 48, 96):
        found = discrete.law_of_steps(Exact(law, corruption), L, steps_of(name, steps, step), step)
        assert abs(float(found.sum()) - 1) < 1e-12
        errors.append(float((found[:K, :K] - law.probabilities).abs().sum()))
    assert errors[-1] < 0.1
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(0.8 < order < 1.25 for order in orders), (errors, orders)


@each_corruption
def test_analytic_steps_of_one_token_are_exact(name: str) -> None:
    """With one token nothing else moves at the same time."""
    corruption, law = CORRUPTIONS[name], table(1)
    grid = LogLinear(left=0.0).grid(3) if name == "absorbing" else Geometric(0.1, 60.0).grid(3)
    found = discrete.law_of_steps(Exact(law, corruption), 1, grid, analytic)
    assert torch.allclose(found[:K], law.probabilities, atol=1e-10)


@pytest.mark.parametrize("step", [analytic, euler], ids=["analytic", "euler"])
@each_corruption
def test_what_is_drawn_has_the_law_of_the_steps(name: str, step: discrete.Step) -> None:
    corruption = CORRUPTIONS[name]
    model, grid = Exact(table(), corruption), steps_of(name, 6, step)
    x = discrete.sample(model, 5000, L, grid, seed=0, step=step)
    assert histogram_fits(x, discrete.law_of_steps(model, L, grid, step))
    assert torch.equal(discrete.sample(model, 5, L, grid, seed=0, step=step, first=100), x[100:105])


def test_one_token_at_a_time_is_exact_and_so_is_filling_in() -> None:
    corruption, law = Absorbing(K), table(3)
    model = Exact(law, corruption)
    masks = torch.full((8000, 3), K)
    x = discrete.unmask(model, masks, seed=0)
    assert histogram_fits(x, law.probabilities)
    assert torch.equal(discrete.unmask(model, masks[:4], seed=0, first=9), x[9:13])
    masks[:, 1] = 2
    filled = discrete.unmask(model, masks, seed=1)
    given = law.probabilities[:, 2]
    assert bool((filled[:, 1] == 2).all()) and histogram_fits(filled[:, [0, 2]], given / given.sum())
    together = discrete.unmask(model, masks, seed=1, at_once=2)
    assert histogram_fits(together[:, [0, 2]], torch.outer(given.sum(1), given.sum(0)) / given.sum() ** 2)


# ------------------------------------------------------------------------------------------------------------- bounds


def untrained(length: int, corruption: Corruption) -> TokenDenoiser:
    """A network that is consistent with no law, in float64."""
    network = TokenTransformer(length, corruption.states, K, width=16, depth=1, seed=3).double()
    with torch.no_grad():
        for k, p in enumerate(network.parameters()):
            p += 0.3 * draw(*p.shape, purpose=f"weights {k}")
    return TokenDenoiser(network, corruption).eval()


def test_the_exact_likelihood_of_any_network_is_the_law_that_it_draws_and_above_its_bound() -> None:
    model, x = untrained(3, Absorbing(K)), all_sequences(3, K)
    exact = discrete.exact_log_prob(model, x)
    assert float(exact.exp().sum()) == pytest.approx(1, abs=1e-12)
    assert histogram_fits(discrete.unmask(model, torch.full((5000, 3), K), seed=0), exact.exp().reshape(K, K, K))
    bounds = torch.stack([expected_bound(model, x0) for x0 in x])
    assert bool((bounds <= exact + 1e-12).all()) and float((exact - bounds).mean()) > 0.02
    bound = discrete.log_prob_bound(model, x, seed=0, draws=2, levels=3)
    elsewhere = discrete.log_prob_bound(model, x[4:6], seed=0, draws=2, levels=3, first=4)
    assert torch.allclose(elsewhere.value, bound.value[4:6], atol=1e-12)


@torch.no_grad()
def expected_bound(model: TokenDenoiser, x0: Tensor) -> Tensor:
    """Of a sequence of three: over all sets of masks, by enumeration."""
    masked = all_sequences(3, 2).bool()[1:]
    each = discrete.order_cross_entropy(model(torch.where(masked, K, x0), TOTAL), x0.expand(7, -1), masked, 3)
    return -(each / torch.tensor([3 * math.comb(3, int(m)) for m in masked.sum(1)])).sum()


def test_the_bound_is_unbiased() -> None:
    model, x0 = untrained(3, Absorbing(K)), torch.tensor([2, 0, 1])
    bound = discrete.log_prob_bound(model, x0.expand(2000, -1), seed=0, draws=4, levels=2)
    mean, error = float(bound.value.mean()), float(bound.value.std()) / math.sqrt(2000)
    assert abs(mean - float(expected_bound(model, x0))) < 4 * error
    # and the standard error that each gives is that of its value
    assert float(bound.standard_error.square().mean().sqrt()) == pytest.approx(float(bound.value.std()), rel=0.1)


@each_corruption
def test_the_bound_of_the_exact_model_is_the_likelihood(name: str) -> None:
    corruption, law = CORRUPTIONS[name], table()
    x = all_sequences(L, K)
    noise = None if name == "absorbing" else Geometric(1e-3, 30.0)
    bound = discrete.log_prob_bound(Exact(law, corruption), x.repeat(30, 1), seed=0, draws=4, levels=8, noise=noise)
    value = bound.value.reshape(30, -1).mean(0)
    error = bound.value.reshape(30, -1).std(0) / math.sqrt(30)
    assert bool(((value - law.log_prob(x)).abs() < 4 * error + 1e-5).all())


def test_parts_of_a_sequence_have_their_conditional_likelihood() -> None:
    law, given = table(3), torch.tensor([False, True, False])
    x, model = all_sequences(3, K), Exact(law, Absorbing(K))
    p = law.probabilities
    wanted = (p / p.sum((0, 2), keepdim=True)).flatten().log()
    assert torch.allclose(discrete.exact_log_prob(model, x, given=given), wanted, atol=1e-12)
    bound = discrete.log_prob_bound(model, x, seed=0, draws=40, levels=4, given=given)
    assert bool(((bound.value - wanted).abs() < 5 * bound.standard_error).all()) and bound.tokens.unique().item() == 2


# --------------------------------------------------------------------------------------------------------------- faults

X = torch.zeros(2, 3, dtype=torch.int64)
MODEL = Exact(table(3), Absorbing(K))
FAULTS: dict[str, tuple[Callable[[], object], str]] = {
    "one token": (lambda: Uniform(1), r"Uniform\(size=...\) must be a whole number from 2"),
    "negative rates": (
        lambda: Substitutions(((1.0, -1.0), (1.0, -1.0))),
        "the rate from 0 to 1 must be finite and >= 0",
    ),
    "rows": (lambda: Substitutions(((-1.0, 2.0), (1.0, -1.0))), "row 0 of Substitutions must sum to 0, got 1"),
    "apart": (lambda: Substitutions(((0.0, 0.0), (0.0, 0.0))), "one stationary law, got several"),
    "floats": (lambda: MODEL.log_prob(X.float()), "must be an int64 tensor of tokens, got torch.float32"),
    "a token too many": (lambda: MODEL.log_prob(X + 4), "has the token 4 in row 0, place 0; tokens are 0 to 3"),
    "a mask in data": (lambda: discrete.log_prob_bound(MODEL, X + 3, seed=0), "tokens are 0 to 2"),
    "length": (lambda: MODEL.log_prob(X[:, :2]), r"sequences of 3 tokens, got \(2, 2\)"),
    "rising totals": (lambda: discrete.sample(MODEL, 1, 3, torch.tensor([1.0, 2.0, 0.0]), seed=0), "totals must fall"),
    "no masks": (lambda: discrete.unmask(Exact(table(3), Uniform(K)), X, seed=0), "got one of Uniform; take Absorbing"),
    "sizes": (lambda: Exact(table(3), Uniform(4)), "the law has 3 tokens and the corruption 4"),
    "long": (lambda: discrete.exact_log_prob(MODEL, torch.zeros(1, 20, dtype=torch.int64)), "for L <= 16; got L = 20"),
    "all given": (
        lambda: discrete.log_prob_bound(MODEL, X, seed=0, given=torch.ones(3, dtype=torch.bool)),
        "all tokens of row 0 are given",
    ),
    "negative probabilities": (lambda: Joint(-torch.ones(2, 2)), "must be finite and >= 0"),
    "ragged": (lambda: Joint(torch.ones(2, 3)), r"a Joint is a table \(K, ..., K\)"),
    "transitions": (lambda: MarkovChain.of([0.5, 0.5], [[0.9, 0.2], [0.1, 0.9]], 3), "transition must have rows"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_sentence(fault: str) -> None:
    call, words = FAULTS[fault]
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
