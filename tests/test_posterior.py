"""Posteriors from simulations, against linear Gaussian problems whose answers are exact."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from scorefield import posterior
from scorefield.numerics.random import normal
from scorefield.posterior import PosteriorEstimator, TrainedPosterior, budget, learning, stored, training
from scorefield.posterior.by_likelihood import ByLikelihood
from scorefield.posterior.conditional import ConditionalScore, Whitening
from scorefield.posterior.density import log_density
from scorefield.posterior.drawing import draws
from scorefield.posterior.likelihood import Likelihood
from scorefield.posterior.networks import (
    NormalEnsemble,
    NormalNetwork,
    ScoreNetwork,
    SeriesReader,
    SetReader,
    VectorReader,
)
from scorefield.posterior.training import Recipe
from scorefield.progress import Report, silent
from scorefield.training.checkpoint import Settings

PRIOR_SD, NOISE_SD = 2.0, 0.5
SMALL = Recipe(width=32, depth=2)


def simulations(n: int, d: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    theta = PRIOR_SD * normal(n, (d,), seed, "theta")
    return theta, theta + NOISE_SD * normal(n, (d,), seed, "x")


def exact(x: Tensor) -> tuple[Tensor, float]:
    """Mean and standard deviation of the posterior."""
    precision = PRIOR_SD**-2 + NOISE_SD**-2
    return x / NOISE_SD**2 / precision, precision**-0.5


@pytest.fixture(scope="module")
def fitted() -> PosteriorEstimator:
    prior = posterior.gaussian([0.0, 0.0], PRIOR_SD**2)
    return PosteriorEstimator(prior, steps=200, recipe=SMALL, by="score").fit(*simulations(2000))


def test_the_posterior_of_a_linear_gaussian_problem(fitted: PosteriorEstimator) -> None:
    x = torch.tensor([1.0, -2.0])
    mean, deviation = exact(x)
    found = fitted.sample(x, 4000)
    assert found.shape == (4000, 2) and found.dtype == torch.float64
    assert float((found.mean(0) - mean).abs().max()) < 0.2 * deviation
    assert float((found.std(0) / deviation - 1).abs().max()) < 0.15
    law = torch.distributions.Normal(mean, deviation)
    points = found[:100]
    error = fitted.log_prob(points, x).value - law.log_prob(points).sum(1)
    assert float(error.abs().median()) < 0.2
    assert float((fitted.map(x) - mean).abs().max()) < 0.3 * deviation


def test_draws_are_a_function_of_the_seed_and_their_number_alone(fitted: PosteriorEstimator) -> None:
    x = torch.tensor([[1.0, -2.0], [0.5, 0.0]])
    both = fitted.sample_many(x, 3, seed=4)
    torch.testing.assert_close(both[0], fitted.sample(x[0], 3, seed=4), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fitted.sample(x[0], 2, seed=4), both[0, :2], rtol=1e-4, atol=1e-4)
    assert fitted.sample(x[0], 0).shape == (0, 2)


def test_an_observation_outside_the_simulations_is_warned_of_with_its_percentile(fitted: PosteriorEstimator) -> None:
    with pytest.warns(posterior.OutsideWarning, match=r"x\[1\] = 50 lies at percentile 100 of the simulations"):
        fitted.sample([0.0, 50.0], 2)


# ------------------------------------------------------------------------------------------------- the conditional law


@pytest.fixture(scope="module")
def wild() -> ConditionalScore:
    """Untrained networks with weights of size one half: a law that is far from normal."""
    reader = VectorReader(3, 16, 1)
    law = NormalNetwork(reader, 3, 2)
    network = ScoreNetwork(reader, 2, 32, 2)
    with torch.no_grad():
        law.outputs.weight.copy_(0.2 * normal(len(law.outputs.weight), (16,), 0, "law"))
        network.outputs.weight.copy_(0.1 * normal(2, (32,), 0, "score"))
    root = torch.tensor([[2.0, 0.0], [0.5, 0.3]], dtype=torch.float64)
    return ConditionalScore(law, [network], Whitening(torch.tensor([1.0, 2.0]).double(), root)).eval()


def test_densities_integrate_to_one_and_agree_with_draws(wild: ConditionalScore) -> None:
    bound = wild.bound(normal(1, (3,), 0, "z"))
    found = draws(bound, torch.zeros(4000, dtype=torch.int64), 0)
    mean, root = found.mean(0), torch.linalg.cholesky(torch.cov(found.T))
    grid = torch.linspace(-6, 6, 41, dtype=torch.float64)
    points = mean + torch.cartesian_prod(grid, grid) @ root.T
    density = log_density(bound, points, torch.zeros(len(points), dtype=torch.int64), tolerance=3e-3).value.exp()
    cell = float((grid[1] - grid[0]) ** 2 * root.diagonal().prod())
    assert float(density.sum()) * cell == pytest.approx(1.0, abs=0.01)
    away = torch.linalg.solve_triangular(root, ((density[:, None] * points).sum(0) * cell - mean)[:, None], upper=False)
    assert float(away.abs().max()) < 5 / math.sqrt(4000)


def test_a_normal_law_without_networks_is_exact() -> None:
    law = NormalNetwork(VectorReader(2, 8, 1), 2, 2)
    with torch.no_grad():
        law.outputs.weight.copy_(0.5 * normal(len(law.outputs.weight), (8,), 1, "law"))
    score = ConditionalScore(law, [], Whitening(torch.zeros(2).double(), torch.eye(2).double())).eval()
    z = normal(1, (2,), 3, "z")
    mean, factor = (v[0].double().detach() for v in law(z))
    exact_law = torch.distributions.MultivariateNormal(mean, precision_matrix=factor.T @ factor)
    points = exact_law.mean + normal(50, (2,), 0, "points", dtype=torch.float64)
    found = log_density(score.bound(z), points, torch.zeros(50, dtype=torch.int64), tolerance=1e-4)
    torch.testing.assert_close(found.value, exact_law.log_prob(points), rtol=0, atol=1e-3)


def test_a_normal_law_of_several_networks_is_their_mean_and_is_stored(wild: ConditionalScore, tmp_path: Path) -> None:
    """Means and logarithms of the factor's diagonal are averages; one network three times is that network."""
    z, one = normal(5, (3,), 0, "z"), cast(NormalNetwork, wild.normal)
    other = NormalNetwork(one.reader, 3, 2)
    both = NormalEnsemble([one, other]).eval()
    mean, factor = both(z)
    torch.testing.assert_close(mean, (one(z)[0] + other(z)[0]) / 2)
    logs = [law(z)[1].diagonal(dim1=1, dim2=2).log() for law in (one, other, both)]
    torch.testing.assert_close(logs[2], (logs[0] + logs[1]) / 2)
    assert bool((factor.triu(1) == 0).all())
    torch.testing.assert_close(NormalEnsemble([one] * 3)(z), one(z))
    score = ConditionalScore(both, [], wild.whitening).eval()
    stored.save(tmp_path, score, None, {"info": {}})
    again = stored.load(tmp_path, None, lambda header, score, likelihood: score)
    torch.testing.assert_close(again.normal(z), both(z))


@pytest.mark.parametrize(("each", "count"), [(1.0, 1), (0.6, 1), (0.4, 2), (0.1, 3)])
def test_networks_are_as_many_as_the_time_allows(each: float, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that goes on to become better has all the time; where it stops early, up to three are trained."""
    clock, given = [0.0], list[float | None]()
    monkeypatch.setattr(budget.time, "perf_counter", lambda: clock[0])

    def one(settings: Settings, report: Report) -> nn.Module:
        given.append(settings.seconds)
        clock[0] += each
        return nn.Identity()

    training._several(one, Settings(seconds=1.0), None, silent)
    assert given == pytest.approx([1.0 - each * k for k in range(count)])


@pytest.mark.parametrize(("piece", "compared"), [(1.0, 32), (2.0, 16), (9.0, 8)])
def test_all_parts_of_a_fit_count_to_its_budget(piece: float, compared: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that take a little longer than they were given leave the later ones less; comparing ends with the time."""
    clock, given, rows = [5.0], list[float | None](), [0]
    over = budget.Budget(100.0, lambda: clock[0])

    def taking(seconds: float, found: object) -> Callable[..., object]:
        def part(*arguments: object, **options: object) -> object:
            given.extend(a.settings.seconds for a in arguments if isinstance(a, Recipe))
            clock[0] += seconds
            return found

        return part

    def gains(bound: object, routes: list[ByLikelihood], u: Tensor, x: Tensor) -> Tensor:
        clock[0] += piece
        rows[0] += len(u)
        return torch.tensor([[0.5], [1.0]]).expand(len(routes), len(u))

    theta, x = simulations(400)
    prior = posterior.gaussian([0.0, 0.0], PRIOR_SD**2)
    codec = posterior.observations.ObservationCodec.measured(x)
    law = SimpleNamespace(holds=True, accuracy=0.5)
    monkeypatch.setattr(learning, "fit_natural", taking(26.0, SimpleNamespace(holds=True)))
    monkeypatch.setattr(learning, "fit_likelihood", taking(30.0, law))
    monkeypatch.setattr(learning, "_synthetic", taking(3.0, (theta, codec.encode(x))))
    monkeypatch.setattr(learning, "fit_conditional", taking(37.0, SimpleNamespace(bound=lambda z: None)))
    monkeypatch.setattr(learning, "_gains", gains)
    recipe = Recipe(settings=Settings(seconds=100.0))
    u, reader = prior.coordinates.inward(theta.double()), lambda recipe: VectorReader(2)
    found = learning.learn(u, x.double(), codec, prior, reader, recipe, "auto", silent, None, over)
    assert given == pytest.approx([25.0, 55.0 - 26.0, 95.0 - 59.0])
    assert rows[0] == compared and found.by == "likelihood" and found.likelihood is law
    assert clock[0] - 5.0 <= 110.0


def test_the_evidence_of_a_normal_law_is_exact_from_any_start() -> None:
    """x = u + noise under a standard normal prior: `log p(x)` is that of N(0, 1.25), by particles from wide laws."""
    reader = VectorReader(2, 8, 1)
    law = NormalNetwork(reader, 2, 2)
    with torch.no_grad():
        law.outputs.weight.copy_(0.5 * normal(len(law.outputs.weight), (8,), 1, "law"))
    root = torch.tensor([[0.5, 0.0], [0.2, 0.4]], dtype=torch.float64)
    bound = ConditionalScore(law, [], Whitening(torch.tensor([0.3, 0.2]).double(), root)).bound(normal(3, (2,), 3, "z"))
    noise = torch.distributions.Normal(torch.zeros(2).double(), 0.5)
    simulator = SimpleNamespace(observed=lambda x: x, log_density=lambda u, v: noise.log_prob(v - u).sum(1))
    x = torch.tensor([[0.5, 0.4]], dtype=torch.float64)
    exact_value = float(torch.distributions.Normal(torch.zeros(2).double(), math.sqrt(1.25)).log_prob(x[0]).sum())
    for i in range(3):
        first, log_first = bound.wide(i, 2000, 1.5, 7)
        spread = torch.cov(first.T)
        fitted = torch.distributions.MultivariateNormal(first.mean(0), spread)
        assert (
            float((fitted.log_prob(first) - log_first(first)).mean().abs()) < 0.01
        )  # KL of five numbers in 2,000 draws
        found = ByLikelihood(cast(Likelihood, simulator), posterior.gaussian([0.0, 0.0], 1.0))
        assert found.log_evidence(x, first, log_first, seed=i) == pytest.approx(exact_value, abs=0.1)


def test_a_bend_reaches_the_whole_line() -> None:
    column = torch.cat([torch.zeros(600), 10 ** torch.linspace(0, 4, 400)])[:, None].double()
    codec = posterior.observations.ObservationCodec.measured(column)
    assert float(codec.bend) == 0.0  # by likelihood it is negative: all that is far out would be one place
    high, low = (codec.standardised(torch.tensor([[v]])) for v in (10_000.0, 1_000.0))
    assert float(high - low) == pytest.approx(math.log(10_001 / 1_001) / float(codec.scale))
    assert torch.allclose(codec.original(codec.standardised(column)), column)


def test_networks_are_as_many_as_said() -> None:
    seeds = list[int]()

    def one(settings: Settings, report: Report) -> nn.Module:
        seeds.append(settings.seed)
        return nn.Identity()

    training._several(one, Settings(steps=2, seed=4), 2, silent)
    training._several(one, Settings(steps=2, seed=4), None, silent)
    assert seeds == [4, 5, 4]


# ------------------------------------------------------------------------------------------------- what is read


def test_readers_of_sets_and_series_see_neither_the_filling_nor_the_order_of_a_set() -> None:
    z = normal(4, (5, 3), 0, "z")
    longer = torch.cat([z, torch.full((4, 2, 3), torch.nan)], 1)
    networks: tuple[nn.Module, ...] = (SetReader(3, 16), SeriesReader(3, 16))
    for reader in networks:
        network = ScoreNetwork(reader, 2, 16, 1).eval()
        torch.testing.assert_close(network.reader(longer), network.reader(z), rtol=1e-5, atol=1e-6)
    turned = z[:, torch.tensor([3, 1, 4, 0, 2])]
    sets = ScoreNetwork(SetReader(3, 16), 2, 16, 1).eval().reader
    torch.testing.assert_close(sets(turned), sets(z), rtol=1e-5, atol=1e-6)


def test_an_embedding_of_ones_own_keeps_its_weights() -> None:
    own = nn.Sequential(nn.Linear(2, 7), nn.Tanh())
    own.width = 7  # type: ignore[assignment]
    network = ScoreNetwork(own, 2, 16, 1)
    torch.testing.assert_close(network.reader(torch.ones(1, 2)), own(torch.ones(1, 2)))
    with pytest.raises(ValueError, match="attribute `width`"):
        ScoreNetwork(nn.Linear(2, 7), 2)


@pytest.mark.parametrize("kind", ["frame", "array", "list of sets", "one value"])
def test_simulations_come_in_many_forms(kind: str) -> None:
    theta, x = simulations(60)
    forms: dict[str, tuple[object, object, object]] = {
        "frame": (pd.DataFrame(theta.numpy(), columns=["a", "b"]), pd.DataFrame(x.numpy()), [0.0, 1.0]),
        "array": (theta.numpy(), x.numpy(), np.array([0.0, 1.0])),
        "list of sets": (theta, [x[i, None].repeat(1 + i % 3, 1).numpy() for i in range(60)], np.ones((2, 2))),
        "one value": (theta, x[:, 0], [0.3]),
    }
    parameters, observed, one = forms[kind]
    estimator = PosteriorEstimator(steps=2, recipe=SMALL, by="score").fit(parameters, observed)
    assert estimator.fitted.names == (("a", "b") if kind == "frame" else ("theta0", "theta1"))
    assert estimator.sample(one, 3).shape == (3, 2)


def test_the_support_is_respected_by_construction() -> None:
    theta, x = simulations(200)
    theta = theta.sigmoid()
    estimator = PosteriorEstimator(posterior.box(0.0, 1.0 + 0 * theta[0]), steps=5, recipe=SMALL, by="score").fit(
        theta, x
    )
    found = estimator.sample(torch.tensor([30.0, -30.0]).clamp(-3, 3), 500)
    assert bool(((found >= 0) & (found <= 1)).all())
    outside = estimator.log_prob(torch.tensor([[0.5, 1.5], [0.5, 0.5]]), x[0]).value
    assert outside[0] == -math.inf and math.isfinite(outside[1])


# ------------------------------------------------------------------------------------------------- what is refused


def bad() -> Iterator[tuple[str, object, object, str]]:
    theta, x = simulations(60)
    yield "lengths", theta, x[:50], "60 rows of parameters and 50 observations"
    yield "few", theta[:5], x[:5], "5 simulations are too few"
    hole = theta.clone()
    hole[3, 1] = torch.nan
    yield "parameter", hole, x, "parameter 1 of row 3 is not finite"
    yield "text", theta, [["a"]] * 60, "observations are numbers"
    yield "shape", theta, torch.zeros(60, 2, 2, 2), "have the shape"


@pytest.mark.parametrize(("theta", "x", "message"), [pytest.param(*case[1:], id=case[0]) for case in bad()])
def test_bad_simulations_are_refused(theta: object, x: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PosteriorEstimator(steps=2, recipe=SMALL, by="score").fit(theta, x)


def test_failed_simulations_are_left_out_aloud() -> None:
    theta, x = simulations(60)
    x[7] = torch.nan
    x[9, 0] = torch.inf
    with pytest.warns(UserWarning, match="2 of 60 simulations failed .* the first is row 7"):
        estimator = PosteriorEstimator(steps=2, recipe=SMALL, by="score").fit(theta, x)
    assert estimator.fitted.info["simulations"] == 58


def test_what_does_not_fit_the_simulations_is_refused(fitted: PosteriorEstimator) -> None:
    trained: TrainedPosterior = fitted.fitted
    with pytest.raises(ValueError, match="an observation has 2 values"):
        trained.sample([1.0, 2.0, 3.0], 2)
    with pytest.raises(ValueError, match="sample takes one observation, got 3"):
        trained.sample(torch.zeros(3, 2), 2)
    with pytest.raises(ValueError, match="no simulation has a hole"):
        trained.sample([1.0, math.nan], 2)
    with pytest.raises(ValueError, match="infinite values"):
        trained.sample([1.0, math.inf], 2)
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        trained.log_prob(torch.zeros(3, 3), [0.0, 0.0])
    with pytest.raises(ValueError, match="call fit"):
        PosteriorEstimator().sample([0.0], 1)
    with pytest.raises(ValueError, match="outside the prior's support"):
        PosteriorEstimator(posterior.box([0.0, 0.0], 1.0), steps=2, recipe=SMALL, by="score").fit(*simulations(60))
