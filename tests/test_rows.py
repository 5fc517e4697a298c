"""Laws of models of rows: exact conditionals for any pattern, and the draws, densities and losses built on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield import plans
from scorefield.analytic import GaussianMixture, PartialMixture
from scorefield.analytic.at_level import MixtureAtLevel
from scorefield.analytic.conditional import DecompositionCache
from scorefield.analytic.partial import ConditionedRows, Pattern, combine_components
from scorefield.core import Level
from scorefield.levels import LogUniform
from scorefield.likelihood.level_density import USUAL, LevelDensity
from scorefield.objectives.batch import Draws
from scorefield.tables import density
from scorefield.tables.denoiser import SHRINKAGE_KNOTS, MaskedDenoiser
from scorefield.tables.density import fit_level_density, row_log_density
from scorefield.tables.impute import complete
from scorefield.tables.mixture import choose_mixture, defended, fit_mixture, log_densities
from scorefield.tables.network import MaskedMLP
from scorefield.tables.objective import MaskedObjective, Shares, gated
from scorefield.tables.row_model import Layout
from scorefield.tables.shrinkage import fit_shrinkage
from scorefield.tables.tangents import Entrance, LevelNetwork

NAN, HIDDEN = math.nan, math.inf
LEVELS = LogUniform(0.01, 50.0)


def mixture(d: int, components: int, seed: int = 0, spread: float = 1.0) -> GaussianMixture:
    """A mixture with random weights, means and full covariances."""
    draw = torch.Generator().manual_seed(seed)
    a = torch.randn(components, d, d, generator=draw, dtype=torch.float64) / math.sqrt(d)
    covariances = 0.3 * a @ a.mT + 0.05 * torch.eye(d)
    weights = 0.2 + torch.rand(components, generator=draw, dtype=torch.float64)
    return GaussianMixture(
        weights, spread * torch.randn(components, d, generator=draw, dtype=torch.float64), covariances
    )


LAWS = [mixture(1, 1), mixture(2, 3, 1), mixture(4, 2, 2), mixture(6, 5, 3)]
PATTERNS = ["all queried", "one given", "one hidden", "given and hidden", "one queried"]


def pattern(kind: str, x: Tensor) -> Tensor:
    """`given` for rows x, of a kind."""
    given = torch.full_like(x, NAN)
    if kind in ("one given", "given and hidden") and x.shape[1] > 1:
        given[:, 0] = x[:, 0]
    if kind in ("one hidden", "given and hidden") and x.shape[1] > 2:
        given[:, -1] = HIDDEN
    if kind == "one queried":
        given[:, 1:] = x[:, 1:]
    return given


def conditional(law: GaussianMixture, given: Tensor) -> tuple[GaussianMixture, Tensor]:
    """The law of what one row queries given the rest, and the indices of what it queries."""
    queried, known = torch.isnan(given).nonzero()[:, 0], torch.isfinite(given).nonzero()[:, 0]
    if len(known):
        picks = torch.eye(len(given), dtype=torch.float64)[known]
        law = law.posterior(given[known], picks, 1e-12 * torch.eye(len(known), dtype=torch.float64))
    return GaussianMixture(law.weights, law.means[:, queried], law.covariances[:, queried][:, :, queried]), queried


def layout(law: GaussianMixture) -> Layout:
    d = law.means.shape[1]
    return Layout(d, 0, (-1,) * d)


def untrained(law: GaussianMixture, sizes: tuple[int, ...] = (), low: float = 1e-3) -> MaskedDenoiser:
    network = MaskedMLP(law.means.shape[1], sizes, width=8, depth=1)
    return MaskedDenoiser(network, law, sigma_min=low, sigma_max=200.0).eval()


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize("sigma", [0.01, 0.5, 20.0])
def test_partial_mixture_is_the_exact_conditional(law: GaussianMixture, kind: str, sigma: float) -> None:
    x0 = law.sample(7, seed=1).double()
    level = Level(0.8, sigma)
    x = 0.8 * x0 + sigma * torch.randn(x0.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    given = pattern(kind, x0)
    found = PartialMixture(law)(x, level, given)
    for i in range(len(x)):
        exact, queried = conditional(law, given[i])
        true = exact(x[i, queried][None], level)
        torch.testing.assert_close(found.x0[i, queried][None], true.x0, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.eps[i, queried][None], true.eps, rtol=1e-5, atol=1e-6)
        rest = ~torch.isnan(given[i])
        torch.testing.assert_close(found.eps[i, rest], sigma * x[i, rest] / (0.64 + sigma**2))
    torch.testing.assert_close(0.8 * found.x0 + sigma * found.eps, x)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_an_untrained_model_is_its_reference_and_rows_do_not_see_each_other(law: GaussianMixture) -> None:
    x0 = law.sample(len(PATTERNS), seed=1).double()
    given = torch.stack([pattern(kind, x0)[i] for i, kind in enumerate(PATTERNS)])
    model, level = untrained(law), Level(1.0, 0.7)
    torch.testing.assert_close(model(x0, level, given).x0, PartialMixture(law)(x0, level, given).x0)
    with torch.no_grad():  # a network that is not 0
        model.network.outputs.bias.copy_(torch.linspace(-0.5, 0.5, law.means.shape[1]))
    together = model(x0, level, given)
    alone = torch.cat([model(x0[i : i + 1], level, given[i : i + 1]).x0 for i in range(len(x0))])
    torch.testing.assert_close(together.x0, alone, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize("kind", PATTERNS)
def test_log_densities_of_parts_are_exact(law: GaussianMixture, kind: str) -> None:
    rows = law.sample(4, seed=3).double()
    given = pattern(kind, rows)
    queried, held = torch.isnan(given), torch.isinf(given)
    shown = rows.masked_fill(held, NAN)
    found = row_log_density(untrained(law), layout(law), shown, queried, tolerance=1e-5)
    for i in range(len(rows)):
        exact, index = conditional(law, given[i])
        # starting from N(centre, 1 + 200^2) leaves (variance - 1) / 200^2 at most; the noise at sigma_min less
        assert float(found.value[i]) == pytest.approx(float(exact.log_density(rows[i, index][None])), abs=5e-4)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_a_bound_model_answers_as_the_model_does(law: GaussianMixture) -> None:
    x = law.sample(12, seed=1).double()
    given = torch.stack([pattern(PATTERNS[i % len(PATTERNS)], x)[i] for i in range(len(x))])
    model, index = untrained(law), torch.tensor([3, 1, 7, 7])
    with torch.no_grad():
        model.network.outputs.bias.copy_(torch.linspace(-0.5, 0.5, law.means.shape[1]))
    bound = model.bound(given)
    for sigma in (0.01, 0.7, 30.0):
        level = Level(1.0, sigma)
        for found, true in ((bound(x, level), model(x, level, given)), (bound(x[index], level, index), None)):
            true = model(x[index], level, given[index]) if true is None else true
            torch.testing.assert_close(found.x0, true.x0, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(found.eps, true.eps, rtol=1e-5, atol=1e-5)


def test_codes_and_numbers_add_up() -> None:
    law = LAWS[1]
    rows = torch.cat([law.sample(5, seed=1).double(), torch.tensor([[0.0], [1.0], [2.0], [NAN], [1.0]])], 1)
    found = row_log_density(untrained(law, (3,)), Layout(2, 1, (-1, -1)), rows, tolerance=1e-5).value
    expected = law.log_density(rows[:, :2]) - torch.where(torch.isnan(rows[:, 2]), 0.0, math.log(3))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("law", LAWS[1:], ids=repr)
def test_completions_have_the_exact_conditional_law(law: GaussianMixture) -> None:
    n, d = 4000, law.means.shape[1]
    row = pattern("given and hidden" if d > 2 else "one given", law.sample(1, seed=5).double())[0]
    exact, queried = conditional(law, row)
    model = untrained(law)
    plan = plans.default(40, 1.0, model.sigma_min, model.sigma_max)
    out = complete(model, layout(law), row.expand(n, d), plan, seed=1)[:, queried]
    spread = exact.covariance.diagonal().sqrt()
    assert ((out.mean(0) - exact.mean).abs() < 4.5 * spread / math.sqrt(n) + 2e-3 * spread).all()
    scale = spread[:, None] * spread
    kurtosis = ((out - out.mean(0)) / spread).pow(4).mean(0).max()
    assert (
        (torch.cov(out.T).reshape(scale.shape) - exact.covariance).abs() < 5 * kurtosis.sqrt() / math.sqrt(n) * scale
    ).all()
    truth = exact.sample(n, seed=9).double()
    for share in (0.5, 0.9):  # intervals of the draws cover that share of exact draws
        low, high = (out.quantile(q, 0) for q in (0.5 - share / 2, 0.5 + share / 2))
        covered = ((truth >= low) & (truth <= high)).double().mean(0)
        assert ((covered - share).abs() < 5 * math.sqrt(2 * share * (1 - share) / n)).all()


def test_completions_keep_what_is_given_and_depend_on_their_own_index_alone() -> None:
    law = LAWS[2]
    x = law.sample(6, seed=1).double()
    rows = torch.cat([x, torch.tensor([[0.0], [1.0], [NAN], [NAN], [HIDDEN], [1.0]])], 1)
    rows[[0, 2, 5], [1, 2, 0]] = NAN
    model, form = untrained(law, (2,)), Layout(4, 1, (-1, 0, -1, -1))
    plan = plans.default(12, 1.0, model.sigma_min, model.sigma_max)
    out = complete(model, form, rows, plan, seed=4)
    given = torch.isfinite(rows)
    given[:, 1] &= out[:, 4] == 0  # the gated number is there only where its code is 0
    assert torch.equal(out[given], rows[given])
    assert torch.equal(torch.isnan(out[:, 1]), out[:, 4] != 0)
    part = complete(model, form, rows[3:], plan, seed=4, first=3)
    torch.testing.assert_close(part, out[3:], equal_nan=True, rtol=1e-6, atol=1e-6)


def test_codes_are_drawn_as_often_as_they_are_likely() -> None:
    model = MaskedDenoiser(MaskedMLP(0, (4,), width=8, depth=1), None, torch.tensor([0.1, 0.2, 0.3, 0.4]).log()).eval()
    rows = torch.full((20_000, 1), NAN, dtype=torch.float64)
    out = complete(model, Layout(0, 1, ()), rows, plans.default(5), seed=0)
    share = torch.bincount(out[:, 0].long(), minlength=4) / len(out)
    assert ((share - torch.tensor([0.1, 0.2, 0.3, 0.4])).abs() < 5 * 0.5 / math.sqrt(20_000)).all()


def test_stochastic_plans_are_refused() -> None:
    from scorefield import levels

    with pytest.raises(ValueError, match="deterministic plan"):
        complete(untrained(LAWS[0]), layout(LAWS[0]), torch.zeros(1, 1), plans.ancestral(levels.karras(5)))


# ------------------------------------------------------------------------------------------------------- training


def rows_with_holes() -> Tensor:
    """Rows of three numbers and two codes; the last number exists where the first code is 0."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 5, generator=draw, dtype=torch.float64)
    x[:, 3:] = torch.randint(0, 3, (4000, 2), generator=draw).double()
    x[torch.rand(x.shape, generator=draw) < 0.1] = NAN
    x[:, 2] = torch.where(x[:, 3] == 0, x[:, 2], NAN)
    return x


@pytest.mark.parametrize("shares", [Shares(1.0, 0.0, 0.0), Shares(0.0, 1.0, 0.0), Shares(0.0, 0.0, 1.0), Shares()])
def test_questions_ask_for_what_is_there(shares: Shares) -> None:
    x, gates = rows_with_holes(), (-1, -1, 0)
    ask = MaskedObjective(3, 2, gates, LEVELS, seed=1, shares=shares)
    number = torch.arange(len(x))
    given, codes = ask.masks(x, number)
    there, numbers = torch.isfinite(x), given[:, :3]
    assert not (torch.isnan(numbers) & ~there[:, :3]).any()  # no hole is queried
    shown = torch.isfinite(given)
    assert torch.equal(given[shown], x[shown])
    assert not (codes & ~there[:, 3:]).any() and not (codes & shown[:, 3:]).any()
    assert not (torch.isnan(numbers[:, 2]) & (given[:, 3] != 0)).any()  # a gated number needs its code
    if shares.whole == 1:
        assert torch.equal(torch.isnan(numbers[:, :2]), there[:, :2]) and not codes.any()
    if shares.codes == 1:
        assert not torch.isnan(numbers).any() and codes.any()
    again = ask.masks(x[100:200], number[100:200])[0]
    assert torch.equal(again.nan_to_num(nan=7e9), given[100:200].nan_to_num(nan=7e9))


def test_the_loss_is_least_at_the_exact_conditional() -> None:
    """The network's target has mean 0 given what the network sees, where the reference is the law itself."""
    law = LAWS[2]
    x = law.sample(20_000, seed=1).double()
    model = untrained(law)
    objective = MaskedObjective(4, 0, (-1,) * 4, LEVELS, shares=Shares(0.5, 0.5, 0.0))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u = (torch.arange(len(x), dtype=torch.float64) + 0.5) / len(x)
    number = torch.arange(len(x))

    def loss(shift: float) -> Tensor:
        with torch.no_grad():
            model.network.outputs.bias.fill_(shift)
            return objective(model, x, Draws(noise, u, number))

    base = loss(0.0)
    for shift in (0.1, -0.1):
        gain = loss(shift) - base  # = shift^2 / 2 per queried coordinate, and noise of mean 0
        assert float(gain.mean()) > 4 * float(gain.std()) / math.sqrt(len(gain))


def test_gates_hide_numbers_whose_code_is_not_known_to_be_0() -> None:
    given = torch.tensor([[NAN, 0.0], [NAN, 2.0], [1.5, NAN], [1.5, 0.0]])
    assert gated(given, 1, (0,))[:, 0].isinf().tolist() == [False, True, True, False]


# ------------------------------------------------------------------------------------------------------- mixtures


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_mixtures_are_recovered_from_rows_with_holes(holes: float) -> None:
    law = mixture(3, 2, seed=4, spread=3.0)
    x, fresh = law.sample(1500, seed=1).double(), law.sample(2000, seed=2).double()
    x[torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < holes] = NAN
    found = fit_mixture(x, 2)
    gap = law.log_density(fresh) - log_densities(found, fresh)
    # Wilks: the mean gap is about parameters / (2 n), 19 / 3000, more where a share of the numbers is missing
    assert -0.003 < float(gap.mean()) < 0.03


def test_the_chosen_mixture_is_no_worse_than_one_gaussian() -> None:
    law = mixture(2, 3, seed=1, spread=3.0)
    x, held, fresh = (law.sample(n, seed=s).double() for n, s in ((400, 1), (200, 2), (2000, 3)))
    chosen, single = choose_mixture(x, held), fit_mixture(x, 1)
    assert float(log_densities(chosen, fresh).mean()) > float(log_densities(single, fresh).mean())


def test_a_light_broad_component_bounds_what_one_row_can_cost() -> None:
    law = GaussianMixture(torch.ones(1).double(), torch.zeros(1, 2).double(), 1e-4 * torch.eye(2).double()[None])
    wide = defended(GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], 1e-4 * torch.eye(2).expand(2, 2, 2)), 1000)
    usual, far = torch.tensor([[1.0, 0.01]]).double(), torch.tensor([[0.0, 0.0]]).double()
    assert torch.allclose(wide.weights.sum(), torch.ones(()).to(wide.weights)) and len(wide.weights) == 3
    plain = 0.5 * law.log_density(usual - torch.tensor([[1.0, 0.0]])).exp()
    assert abs(float(log_densities(wide, usual).exp() / plain) - 1) < 2e-4
    broad = -0.5 * float(torch.logdet(2 * torch.pi * 4 * wide.covariance))
    assert float(log_densities(wide, far)) > broad + math.log(1e-4) - 0.1


def test_log_densities_of_what_is_there() -> None:
    law = LAWS[3]
    x = law.sample(5, seed=1).double()
    torch.testing.assert_close(log_densities(law, x), law.log_density(x), rtol=1e-6, atol=1e-6)
    part = x.clone()
    part[:, 2:] = NAN
    sub = GaussianMixture(law.weights, law.means[:, :2], law.covariances[:, :2, :2])
    torch.testing.assert_close(log_densities(law, part), sub.log_density(x[:, :2]), rtol=1e-5, atol=1e-5)


def perturbed(law: GaussianMixture, members: int = 2) -> MaskedDenoiser:
    """A model whose network has weights at random, and says something."""
    network = MaskedMLP(law.means.shape[1], width=16, depth=1, members=members, seed=1)
    draw = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    shrinkage = 0.3 + torch.rand(*SHRINKAGE_KNOTS, law.means.shape[1], generator=draw, dtype=torch.float64)
    return MaskedDenoiser(network.double(), law, shrinkage=shrinkage, sigma_min=0.02, sigma_max=40.0).eval()


@pytest.mark.parametrize("kind", PATTERNS)
def test_densities_beside_the_reference_are_those_of_the_whole_ode(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    law, layout = LAWS[2], Layout(4, 0, (-1,) * 4)
    model, x = perturbed(law), law.sample(3, seed=3).double()
    given = pattern(kind, x)
    rows, queried = torch.where(torch.isinf(given), NAN, x), torch.isnan(given)
    found = row_log_density(model, layout, rows, queried, tolerance=1e-5)
    monkeypatch.setattr(density, "BoundDenoiser", type(None))  # as a model of which no reference is known
    whole = row_log_density(model, layout, rows, queried, tolerance=1e-7)
    bare = row_log_density(MaskedDenoiser(MaskedMLP(4, width=8, depth=1), law, sigma_min=0.02, sigma_max=40.0).eval(),
                           layout, rows, queried)  # fmt: skip
    torch.testing.assert_close(found.value, whole.value, rtol=0, atol=1e-4)
    assert float((found.value - bare.value).abs().max()) > 0.05  # the network does say something


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize("law", LAWS, ids=str)
def test_rows_that_share_a_pattern_are_answered_as_by_themselves(law: GaussianMixture, kind: str) -> None:
    x = law.sample(12, seed=1).double()
    rows = Pattern.of(pattern(kind, x))
    sigma = torch.logspace(-2, 1.5, 12, dtype=torch.float64)[:, None]
    alpha = torch.linspace(0.3, 1.0, 12, dtype=torch.float64)[:, None]
    grouped, alone = DecompositionCache(law).grouped(rows), ConditionedRows.of(law, rows)
    partial = PartialMixture(law)
    seen = combine_components(partial.component_estimates(x, alpha, sigma, rows), x, alpha, sigma)
    for found, one, exact in zip(grouped.estimate(x, alpha, sigma), alone.estimate(x, alpha, sigma), seen, strict=True):
        torch.testing.assert_close(found[rows.queried], exact[rows.queried], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found[rows.queried], one[rows.queried], rtol=1e-9, atol=1e-9)
    both = (one.log_density(x, alpha, sigma) for one in (grouped, alone))
    torch.testing.assert_close(*both, rtol=1e-9, atol=1e-9)
    again = grouped.rows(torch.tensor([7, 2, 2]))
    torch.testing.assert_close(again.estimate(x[[7, 2, 2]], alpha[[7, 2, 2]], sigma[[7, 2, 2]]).x0,
                               grouped.estimate(x, alpha, sigma).x0[[7, 2, 2]])  # fmt: skip


def test_members_answer_with_their_mean() -> None:
    model = perturbed(LAWS[1], members=3)
    x, given = LAWS[1].sample(5, seed=1).double(), torch.full((5, 2), NAN).double()
    raw, _ = model.network.each(x, torch.tensor(0.3).double(), given)
    assert raw.shape == (3, 5, 2) and float(raw.detach().std(0).min()) > 0
    torch.testing.assert_close(model.network(x, torch.tensor(0.3).double(), given)[0], raw.mean(0))


def test_a_network_counts_as_far_as_held_out_rows_allow() -> None:
    """The law's own samples: a network that is right by a factor of 2 is halved, one of noise is not fit_shrinkage."""
    law = mixture(2, 3, seed=1, spread=2.0)
    total = GaussianMixture(torch.ones(1), law.mean[None], law.covariance[None])
    held, objective = law.sample(500, seed=2).float(), MaskedObjective(2, 0, (-1, -1), LEVELS)

    class Right(MaskedMLP):
        factor = 2.0

        def each(self, x: torch.Tensor, level_feature: torch.Tensor, given: torch.Tensor) -> tuple[torch.Tensor, ...]:
            sigma = level_feature.double().exp()
            z = x.double() * (1 + sigma**2).sqrt().reshape(-1, 1)
            level = Level(torch.ones_like(sigma), sigma)
            mine, plain = (PartialMixture(one)(z, level, given.double()).x0 for one in (law, total))
            residual = model.residual(z, torch.ones_like(z[:, :1]), sigma.reshape(-1, 1), Pattern.of(given.double()))
            return (self.factor * residual.unscaled(mine - plain))[None].to(x), x.new_zeros(1, len(x), 0)

    model = MaskedDenoiser(Right(2, width=8, depth=1), total, sigma_min=0.01, sigma_max=20.0).eval()
    plain = model.residual
    model.residual = lambda x, a, s, p: plain(x, a, s, p)._replace(basis=None) if p.whole else plain(x, a, s, p)  # type: ignore[method-assign]
    shrinkage = fit_shrinkage(model, objective, held)
    assert float((shrinkage[:2, 3:7].mean(2) - 0.5).abs().max()) < 0.1
    assert float((shrinkage[:2, 3:7] - 0.5).abs().mean()) < 0.1  # of each number: half the evidence
    noise = perturbed(law)
    assert float(fit_shrinkage(noise, objective, held)[:2, 2:8].mean()) < 0.3


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize("s", [0.002, 0.3, 2.0, 80.0])
def test_a_mixture_at_one_level_answers_as_the_mixture(law: GaussianMixture, s: float) -> None:
    x = torch.cat([law.sample(50, seed=1).double(), 50 * torch.randn(5, law.means.shape[1]).double()])
    found = MixtureAtLevel(law.weights, law.means, law.covariances, s).noise(x)
    torch.testing.assert_close(found, law(x, Level(1.0, s)).eps, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", ["one hidden", "one given", "given and hidden"])
@pytest.mark.parametrize(("count", "s"), [(300, 0.5), (6, 0.02), (6, 3.0)])
def test_many_and_few_rows_of_a_pattern_answer_as_the_mixture_does(kind: str, count: int, s: float) -> None:
    law = LAWS[3]
    x = law.sample(count, seed=2).double()
    rows = Pattern.of(pattern(kind, x))
    one = torch.ones((), dtype=torch.float64)
    grouped = DecompositionCache(law).grouped(rows)
    want = grouped.estimate(x, one, s * one).eps
    torch.testing.assert_close(grouped.noise_at(s, law)(x), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", PATTERNS)
def test_derivatives_along_directions_are_those_of_the_network(kind: str) -> None:
    network = MaskedMLP(4, (3,), width=16, depth=2, members=2, seed=1).double()
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)).double()
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(4)).double()
    given = torch.cat([pattern(kind, x), torch.tensor([[0.0], [1.0], [2.0], [NAN], [HIDDEN]])], 1)
    level = torch.tensor(-0.7).double()
    one, entrance = LevelNetwork(network, level), Entrance(network, given)
    raw, moved = one.answer_and_derivatives(x, entrance, torch.eye(4).double()[:, None])
    torch.testing.assert_close(raw, network(x, level, given)[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(one.answer(x, entrance), raw, rtol=1e-12, atol=1e-12)
    for row in range(5):
        whole = torch.func.jacrev(lambda z, row=row: network(z[None], level, given[row : row + 1])[0][0])(x[row])
        torch.testing.assert_close(moved[:, row], whole.T, rtol=1e-10, atol=1e-12)


def test_questions_that_are_the_same_are_asked_once() -> None:
    questions = torch.tensor([[1.0, NAN], [HIDDEN, 2.0], [1.0, NAN], [1.0, 2.0]])
    found, place = density._distinct(questions)
    assert len(found) == 3
    assert torch.equal(found[place].nan_to_num(nan=7.0), questions.nan_to_num(nan=7.0))


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3])
def test_log_densities_are_as_near_as_the_tolerance_says(tolerance: float) -> None:
    law = LAWS[3]
    model, form, x = perturbed(law), Layout(6, 0, (-1,) * 6), law.sample(40, seed=5).double()
    want = row_log_density(model, form, x, tolerance=1e-6).value
    away = (row_log_density(model, form, x, tolerance=tolerance).value - want).abs()
    assert float(away.median()) < tolerance
    assert float(away.max()) < 10 * tolerance


def test_levels_chosen_from_rows_give_the_same_log_densities() -> None:
    law = LAWS[3]
    model, form, x = perturbed(law), Layout(6, 0, (-1,) * 6), law.sample(80, seed=5).double()
    want = row_log_density(model, form, x, tolerance=1e-6)
    model.level_density = fit_level_density(model, form, x)
    assert model.level_density != USUAL
    found = row_log_density(model, form, x, tolerance=1e-6)
    torch.testing.assert_close(found.value, want.value, rtol=0, atol=3e-5)


DENSITIES = {
    "usual": USUAL,
    "one peak": LevelDensity((2.0,), 0.5, (9.0,)),
    "of sizes": LevelDensity.of_sizes(np.linspace(-6, 4, 30).tolist(), torch.linspace(-6, 4, 30).neg().exp()),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_weights_of_levels_are_the_derivative_of_their_times(name: str) -> None:
    low, high, steps = 0.002, 80.0, 400
    times, weights = DENSITIES[name].levels(low, high, steps)
    assert times[0] == pytest.approx(math.log(low)) and times[-1] == pytest.approx(math.log(high))
    assert sorted(times) == times
    t = torch.tensor(times, dtype=torch.float64)
    torch.testing.assert_close((t[2:] - t[:-2]) / 2, weights[1:-1], rtol=2e-2, atol=0)
    bump = torch.exp(-((t + 1) ** 2))  # the trapezoidal rule of a smooth function that fades
    assert float(weights @ bump) == pytest.approx(math.sqrt(math.pi), abs=1e-9)


def test_levels_are_densest_where_the_integrand_is_great() -> None:
    times = np.linspace(-6, 4, 60)
    sizes = torch.from_numpy(np.exp(-((times - 1) ** 2)))
    found = torch.tensor(LevelDensity.of_sizes(times.tolist(), sizes).levels(0.002, 50.0, 40)[0])
    assert abs(float(found[1:][found.diff().argmin()]) - 1) < 0.5


@pytest.mark.parametrize("size", [0.0, math.nan, math.inf])
def test_an_integrand_that_says_nothing_leaves_the_usual_levels(size: float) -> None:
    assert LevelDensity.of_sizes([-1.0, 0.0, 1.0], torch.full((3,), size)) == USUAL
