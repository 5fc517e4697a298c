"""Simulators: the same numbers whatever the processes and stops, rounds, likelihoods, files."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield import posterior
from scorefield._files import FileError
from scorefield.mcmc.tempered import tempered
from scorefield.numerics.random import normal
from scorefield.posterior import PosteriorEstimator, TrainedPosterior, simulate
from scorefield.posterior.networks import SeriesReader
from scorefield.posterior.sequential import Region
from scorefield.posterior.training import Recipe

NOISE = 0.2
SMALL = Recipe(width=32, depth=2)
PRIOR = posterior.box([-1.0, -1.0], 1.0)


def simulator(theta: np.ndarray, seed: int) -> np.ndarray:
    return theta + NOISE * np.random.default_rng(seed).standard_normal(2)


class Counted:
    """A simulator that counts, and fails at one call."""

    def __init__(self, fails: int = -1) -> None:
        self.calls, self.fails = 0, fails

    def __call__(self, theta: np.ndarray, seed: int) -> np.ndarray:
        self.calls += 1
        if self.calls == self.fails:
            raise ArithmeticError("overflow")
        return simulator(theta, seed)


# ------------------------------------------------------------------------------------------------- simulations


def test_simulations_do_not_depend_on_the_processes_nor_on_how_many_there_are() -> None:
    theta, x = simulate(simulator, PRIOR, 100, seed=3)
    again, same = simulate(simulator, PRIOR, 130, processes=2, seed=3)
    assert theta.shape == (100, 2) and x.shape == (100, 2)
    assert torch.equal(again[:100], theta) and torch.equal(same[:100], x)
    assert not torch.equal(simulate(simulator, PRIOR, 100, seed=4)[0], theta)


def test_what_was_simulated_before_a_failure_is_kept_and_gone_on_with(tmp_path: Path) -> None:
    broken = Counted(fails=150)
    with pytest.raises(posterior.SimulatorError, match=r"ArithmeticError \(overflow\) for the parameters \[.*kept"):
        simulate(broken, PRIOR, 200, folder=tmp_path)
    whole = Counted()
    theta, x = simulate(whole, PRIOR, 200, folder=tmp_path)
    assert whole.calls == 200 - 128
    direct = simulate(simulator, PRIOR, 200)
    assert torch.equal(theta, direct[0]) and torch.equal(x, direct[1])
    with pytest.raises(ValueError, match="simulations of other parameters"):
        simulate(simulator, PRIOR, 200, folder=tmp_path, seed=1)
    (tmp_path / "000000.npz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="holds no simulations"):
        simulate(simulator, PRIOR, 200, folder=tmp_path)


def test_observations_of_several_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="several shapes"):
        simulate(lambda theta: np.ones(1 + int(theta[0] > 0)), PRIOR, 20)


# ------------------------------------------------------------------------------------------------- particles


def test_particles_of_a_law_with_two_modes_find_both_and_the_evidence() -> None:
    """Prior N(0, 9), target 0.75 N(-4, 0.01) + 0.25 N(4, 0.01): the evidence of a likelihood that is target / prior."""
    start = 3 * normal(4000, (1,), 0, "start", dtype=torch.float64)
    weights = torch.tensor([0.75, 0.25], dtype=torch.float64)
    target = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(weights),
        torch.distributions.Normal(torch.tensor([-4.0, 4.0], dtype=torch.float64), 0.1),
    )
    prior = torch.distributions.Normal(torch.zeros(1, dtype=torch.float64), 3.0)

    def log_prior(x: Tensor) -> Tensor:
        return prior.log_prob(x[:, 0])

    found = tempered(start, lambda x: target.log_prob(x[:, 0]) - log_prior(x) + 5.0, log_prior)
    left = float((found.samples < 0).double().mean())
    assert left == pytest.approx(0.75, abs=0.08)
    assert float(found.samples[found.samples < 0].std()) == pytest.approx(0.1, rel=0.1)
    assert found.log_evidence == pytest.approx(5.0, abs=5 * found.standard_error)
    again = tempered(start, lambda x: target.log_prob(x[:, 0]) - log_prior(x) + 5.0, log_prior)
    assert torch.equal(again.samples, found.samples)


def test_particles_need_a_target_that_they_meet() -> None:
    start = normal(20, (1,), 0, "start", dtype=torch.float64)
    with pytest.raises(ValueError, match="no mass"):
        tempered(start, lambda x: torch.full((len(x),), -math.inf), lambda x: -(x[:, 0] ** 2))
    with pytest.raises(ValueError, match="at least 8"):
        tempered(start[:3], lambda x: x[:, 0], lambda x: x[:, 0])


# ------------------------------------------------------------------------------------------------- the two ways


@pytest.fixture(scope="module")
def trained() -> TrainedPosterior:
    """A uniform prior and normal noise: the posterior is a normal law cut off at the edges of the prior."""
    theta, x = simulate(simulator, PRIOR, 1500)
    return PosteriorEstimator(PRIOR, steps=250, recipe=SMALL, by="likelihood").fit(theta, x).fitted


@pytest.mark.parametrize("by", ["score", "likelihood"])
def test_the_posterior_under_a_uniform_prior_is_cut_off_at_its_edges(trained: TrainedPosterior, by: str) -> None:
    law = TrainedPosterior(**{**vars(trained), "by": by})
    x = torch.tensor([0.95, 0.0], dtype=torch.float64)
    noise = torch.distributions.Normal(x, NOISE)
    mass = noise.cdf(torch.ones(2)) - noise.cdf(-torch.ones(2))
    found = law.sample(x, 2000)
    for i in range(2):
        places = (noise.cdf(found)[:, i] - noise.cdf(-torch.ones(2))[i]) / mass[i]
        away = (places.sort().values - torch.linspace(0, 1, 2000)).abs().max()
        assert float(away) < 0.12  # uniform but for what 1,500 simulations leave open
    inside = found[:50]
    exact = (noise.log_prob(inside) - mass.log()).sum(1)
    assert float((law.log_prob(inside, x).value - exact).abs().median()) < (0.2 if by == "likelihood" else 0.6)
    error = law.log_prob(inside, x).standard_error
    assert bool((error > 0).all()) == (by == "likelihood")


def test_several_observations_by_their_likelihoods(trained: TrainedPosterior) -> None:
    x = torch.tensor([0.3, -0.2]) + NOISE * normal(25, (2,), 9, "several")
    found = trained.sample_together(x, 1000)
    deviation = NOISE / 5
    assert float(((found.mean(0) - x.mean(0)) / deviation).abs().max()) < 1.0
    assert float((found.std(0) / deviation - 1).abs().max()) < 0.3


def test_several_observations_by_their_scores(trained: TrainedPosterior) -> None:
    law = TrainedPosterior(**{**vars(trained), "by": "score"})
    x = torch.tensor([0.3, -0.2]) + NOISE * normal(9, (2,), 9, "several")
    found = law.sample_together(x, 500)
    deviation = NOISE / 3
    assert float(((found.mean(0) - x.mean(0)) / deviation).abs().max()) < 1.0
    assert float((found.std(0) / deviation - 1).abs().max()) < 0.4


def test_a_posterior_is_kept_in_a_folder(trained: TrainedPosterior, tmp_path: Path) -> None:
    trained.save(tmp_path)
    loaded = TrainedPosterior.load(tmp_path)
    x = [0.1, 0.2]
    assert torch.equal(loaded.sample(x, 5), trained.sample(x, 5)) and loaded.names == trained.names
    for law in (loaded, trained):
        assert law.by == "likelihood" and law.prior is not None and law.prior.made == PRIOR.made
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"by": "likelihood"', '"by": "magic"'))
    with pytest.raises(FileError, match="by is 'score' or 'likelihood'"):
        TrainedPosterior.load(tmp_path)


def test_an_embedding_of_ones_own_is_given_again_when_a_folder_is_read(tmp_path: Path) -> None:
    theta, x = simulate(simulator, PRIOR, 60)
    reader = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.SiLU())
    reader.width = 8  # type: ignore[assignment]
    fitted = PosteriorEstimator(PRIOR, steps=2, recipe=SMALL, embedding=reader, by="score").fit(theta, x).fitted
    fitted.save(tmp_path)
    with pytest.raises(FileError, match="an embedding of one's own"):
        TrainedPosterior.load(tmp_path)
    again = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.SiLU())
    again.width = 8  # type: ignore[assignment]
    loaded = TrainedPosterior.load(tmp_path, embedding=again)
    assert torch.equal(loaded.sample([0.1, 0.2], 5), fitted.sample([0.1, 0.2], 5))


def test_series_of_any_length_are_read() -> None:
    theta, x = simulate(simulator, PRIOR, 60)
    series = [x[i].repeat(2 + i % 4, 1).numpy() for i in range(60)]
    fitted = PosteriorEstimator(PRIOR, steps=2, recipe=SMALL, embedding=SeriesReader(2, 16)).fit(theta, series)
    assert fitted.sample(np.ones((7, 2)) * 0.1, 3).shape == (3, 2)
    assert "sets or series" in fitted.fitted.info["likelihood"]


# ------------------------------------------------------------------------------------------------- rounds


def test_rounds_simulate_where_the_posterior_is(tmp_path: Path) -> None:
    prior = posterior.box([-4.0, -4.0], 4.0)
    x = np.array([1.0, -1.5])
    estimator = PosteriorEstimator(prior, steps=100, recipe=SMALL, by="likelihood")
    estimator.fit_rounds(simulator, x, rounds=2, simulations=300, folder=tmp_path)
    first, second = estimator.rounds_
    assert (first.kept, first.total, second.total) == (1.0, 300, 600) and second.kept < 0.5
    late = torch.from_numpy(np.load(tmp_path / "round-1" / "000000.npz")["theta"])
    assert float((late - torch.from_numpy(x)).abs().max()) < 3
    found = estimator.sample(x, 1000)
    assert float((found.mean(0) - torch.from_numpy(x)).abs().max()) < 0.15


def test_a_region_is_the_prior_cut_off(trained: TrainedPosterior) -> None:
    """Inside the region the draws keep the prior's shape: uniform here, so that distances fill a disk evenly."""
    x = torch.zeros(1, 2, dtype=torch.float64)
    region = Region.of(PRIOR, trained, x, 0)
    found = region.sample(800, 1)
    assert bool(region.contains(found).all()) and len(found) == 800
    radius = found.norm(dim=1)
    edge = float(radius.max())
    inner = float((radius < edge / 2).double().mean())
    assert inner == pytest.approx(0.25, abs=0.08)


def test_rounds_need_a_prior_that_can_be_drawn_from() -> None:
    theta, _ = simulate(simulator, PRIOR, 60)
    with pytest.raises(ValueError, match="rounds draw from the prior anew"):
        PosteriorEstimator(posterior.from_samples(theta)).fit_rounds(simulator, [0.0, 0.0])
    with pytest.raises(ValueError, match="the likelihood cannot be learned here: only draws of the prior"):
        PosteriorEstimator(by="likelihood", steps=2, recipe=SMALL).fit(*simulate(simulator, PRIOR, 60))


# ------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("by", ["score", "likelihood"])
def test_parts_of_a_posterior_have_their_closed_forms(trained: TrainedPosterior, by: str) -> None:
    """Independent parameters: given one, the other keeps its law, a normal one where the edges are far."""
    law = TrainedPosterior(**{**vars(trained), "by": by})
    x = torch.tensor([0.1, -0.2], dtype=torch.float64)
    top = law.map(x, draws=300)
    assert float((top - x).abs().max()) < 0.6 * NOISE
    found = law.sample_given(x, {"theta0": 0.3}, 400)
    assert torch.equal(found[:, 0], torch.full((400,), 0.3, dtype=torch.float64))
    assert float(found[:, 1].mean()) == pytest.approx(-0.2, abs=0.5 * NOISE)
    assert float(found[:, 1].std()) == pytest.approx(NOISE, rel=0.35)
    grid = torch.linspace(-1, 1, 201, dtype=torch.float64)
    density = law.marginal(x, {"theta1": grid}, draws=1000).exp()
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1.0, abs=0.02)
    assert float(grid[density.argmax()]) == pytest.approx(-0.2, abs=0.7 * NOISE)
    with pytest.raises(ValueError, match="no parameter is called 'c'"):
        law.sample_given(x, {"c": 0.3}, 4)
    with pytest.raises(ValueError, match="not of none or all"):
        law.sample_given(x, {"theta0": 0.3, "theta1": 0.0}, 4)
    with pytest.raises(ValueError, match="one or two parameters"):
        law.marginal(x, {})


def test_holes_are_answered_where_values_were_hidden() -> None:
    theta, x = simulate(simulator, PRIOR, 1000)
    fitted = PosteriorEstimator(PRIOR, steps=300, recipe=SMALL, missing=0.5).fit(theta, x)
    found = fitted.sample([0.3, math.nan], 1000)
    assert float(found[:, 0].mean()) == pytest.approx(0.3, abs=0.6 * NOISE)
    assert float(found[:, 1].std()) == pytest.approx(math.sqrt(1 / 3), rel=0.2)  # the prior's: nothing is known of it
    several = torch.tensor([[0.3, math.nan], [0.3, -0.4], [0.3, math.nan], [0.3, -0.4]])
    found = fitted.fitted.sample_together(several, 1000)
    assert float(found[:, 0].mean()) == pytest.approx(0.3, abs=0.6 * NOISE)
    assert float(found[:, 0].std()) == pytest.approx(NOISE / 2, rel=0.5)  # four have said something of it
    assert float(found[:, 1].mean()) == pytest.approx(-0.4, abs=0.6 * NOISE)
    assert float(found[:, 1].std()) == pytest.approx(NOISE / math.sqrt(2), rel=0.5)  # two
