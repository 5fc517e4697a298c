"""A right posterior passes its proof at the rate that it states, a wrong one is caught and told what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binom, chi2, multivariate_normal, norm

from posteriors import ROOT, SD, LinearGaussian, log_density, middle, simulations, simulator
from scorefield.analytic import GaussianMixture
from scorefield.posterior.proof.coverage import references
from scorefield.posterior.proof.local import local_c2st
from scorefield.posterior.proof.observation import place
from scorefield.posterior.proof.predictive import DISTANCE, nearest_simulations, predictive
from scorefield.posterior.proof.proof import Proof, prove
from scorefield.posterior.proof.ranks import Ranks, ranks_among
from scorefield.posterior.proof.uniformity import bands, uniformity
from scorefield.posterior.proof.verdict import faults


def most(trials: int, rate: float) -> int:
    """So many of the trials go beyond a rate by chance, but for one case in a million."""
    return int(binom.isf(1e-6, trials, rate))


# --------------------------------------------------------------------------------------------------------- uniformity


@pytest.mark.parametrize(("m", "draws"), [(50, 19), (200, 99)])
def test_uniform_ranks_leave_the_bands_at_the_stated_rate(m: int, draws: int) -> None:
    trials, level = 400, 0.1
    found, rng = bands(m, draws, level), np.random.default_rng(0)
    p, out = [], 0
    for _ in range(trials):
        one = Ranks("u", rng.integers(0, draws + 1, m), draws)
        curve = one.curve(found.z)
        out += bool(((curve < found.low) | (curve > found.high)).any())
        p.append(one.test)
    assert trials - most(trials, 1 - 0.5 * level) <= out <= most(trials, level)
    assert all((np.array(p) <= level).sum(0) <= most(trials, level) + np.array([0, 0, 8]))  # chi2 holds in the limit
    assert out == sum(one.p <= level for one in p)  # the band and the test are one


def test_bands_are_those_of_one_binomial_where_there_is_one_place() -> None:
    found = bands(100, 1, 0.05)
    low, high = 100 * found.low[0], 100 * found.high[0]
    assert found.z == [0.5] and binom.cdf(low - 1, 100, 0.5) + binom.sf(high, 100, 0.5) <= 0.05
    assert binom.cdf(low, 100, 0.5) + binom.sf(high - 1, 100, 0.5) > 0.05


def test_p_values_of_two_places_are_enumerated() -> None:
    """Two ranks among two draws: 9 equal cases, counted by hand."""
    cases = [np.array([a, b]) for a in range(3) for b in range(3)]
    for ranks in cases:
        p = uniformity(ranks, 2).p
        as_odd = sum(uniformity(other, 2).p <= p + 1e-12 for other in cases) / 9
        assert p == pytest.approx(as_odd, abs=1e-12)


# -------------------------------------------------------------------------------------------------------------- ranks


def test_ranks_among_equals_are_uniform() -> None:
    truth, draws = np.zeros(2000), np.zeros((2000, 4))
    counts = np.bincount(ranks_among("a", truth, draws, 0).ranks, minlength=5)
    assert ((counts - 400) ** 2 / 400).sum() < chi2.isf(1e-6, 4)


@pytest.mark.parametrize(("ratio", "shift"), [(1.0, 0.0), (1.4, 0.0), (0.7, 0.5), (1.0, -0.6)])
def test_ranks_know_the_truths_place_and_width(ratio: float, shift: float) -> None:
    """Ranks of N(shift, ratio) among draws of N(0, 1), without the draws' chance."""
    scores = shift + ratio * norm.ppf((np.arange(1000) + 0.5) / 1000)
    found = Ranks("a", np.minimum((norm.cdf(scores) * 1000).astype(int), 999), 999)
    seen = np.clip(scores, *norm.ppf([0.0005, 0.9995]))  # beyond all draws there is no more to see
    assert found.shift[0] == pytest.approx(seen.mean(), abs=0.01)
    assert found.ratio[0] == pytest.approx(seen.std(), abs=0.01)
    half = norm.cdf((norm.ppf(0.95) - shift) / ratio) - norm.cdf((norm.ppf(0.05) - shift) / ratio)
    assert found.within(0.9).share == pytest.approx(half, abs=0.002)
    assert found.below(0.5).probability == 0.5


# -------------------------------------------------------------------------------------------------------------- proof


@pytest.fixture(scope="module")
def sims() -> tuple[np.ndarray, np.ndarray]:
    return simulations(400, 1)


def proof_of(posterior: LinearGaussian, sims: tuple[np.ndarray, np.ndarray], **options: object) -> Proof:
    return prove(posterior, *sims, names=("a", "b"), n=99, seed=3, **options)  # type: ignore[arg-type]


def test_an_exact_posterior_is_found_at_fault_at_the_stated_rate() -> None:
    trials, level = 100, 0.1
    bad = sum(
        not prove(LinearGaussian(), *simulations(100, 50 + s), n=19, seed=s, level=level).passed for s in range(trials)
    )
    assert bad <= most(trials, level)


SPOILT = {
    "0.7 of the covariance": (LinearGaussian(scale=0.7**0.5), "over-confident"),
    "0.7 of the width": (LinearGaussian(scale=0.7), "over-confident"),
    "too wide": (LinearGaussian(scale=1.4), "too wide"),
    "biased": (LinearGaussian(shift=(0.5, 0.0)), "biased"),
    "independent": (LinearGaussian(root=np.diag(SD)), "of a wrong dependence"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_wrong_posterior_is_caught_and_named(sims: tuple[np.ndarray, np.ndarray], name: str) -> None:
    posterior, fault = SPOILT[name]
    if fault == "of a wrong dependence":
        sims = simulations(2000, 2)
    found = proof_of(posterior, sims)
    assert not found.passed and list(faults(found)) == [fault]
    assert fault in found.verdict and "hold the truth in" in found.verdict
    assert any(f.good is False for f in found.findings)


def test_the_verdict_says_how_many(sims: tuple[np.ndarray, np.ndarray]) -> None:
    """Widths of 0.7: a 90 % region of the draws has the chi-square probability of a smaller one."""
    found = proof_of(LinearGaussian(scale=0.7), sims).regions[0].below(0.9)
    right = chi2.cdf(0.7**2 * chi2.isf(0.1, 2), 2)
    assert abs(found.share - right) < 4 * found.error + 0.02
    assert f"{found}: over-confident; widen it" in proof_of(LinearGaussian(scale=0.7), sims).verdict
    one = proof_of(LinearGaussian(shift=(0.5, 0.0)), sims)
    assert "biased in a" in one.verdict and "0.5" in one.findings[0].text and "below the draws" in one.findings[0].text


def test_a_right_posterior_is_told_to_be(sims: tuple[np.ndarray, np.ndarray]) -> None:
    found = proof_of(LinearGaussian(), sims, log_density=log_density, quantities={"sum": lambda t, x: t.sum(-1)})
    assert found.passed and found.verdict.startswith("No fault found: 90 % regions hold the truth in")
    assert [one.name for one in found.all] == ["a", "b", "regions", "distances", "density", "a x b", "sum"]
    assert found.own_level == pytest.approx(0.01 / 7) and "p below 0.0014" in str(found)
    assert found.to_json()["tests"][4]["name"] == "density"


def test_a_posterior_that_ignores_the_observation_is_caught(sims: tuple[np.ndarray, np.ndarray]) -> None:
    """Its ranks are uniform; reference points that follow the observation tell."""
    found = prove(lambda x, n, seed: np.random.default_rng([seed, 2]).normal(size=(len(x), n, 2)), *sims, n=99)
    assert [one.name for one in found.off] == ["distances"] and "dependence on the observation" in found.verdict
    assert any("next to nothing of theta0 and theta1" in f.text for f in found.findings)


def test_a_share_that_chance_hardly_explains_is_no_praise() -> None:
    """60 truths, of which 48 lie within the 90 % regions: two and a half standard errors too few, no certain fault."""
    levels = np.concatenate([np.linspace(0, 89, 48), np.linspace(90, 99, 12)]).astype(int)
    right = Ranks("a", np.arange(0, 300, 5) % 100, 99)
    one = Proof((right,), (Ranks("regions", levels, 99),), (), (), (), 0.01)
    assert one.passed and one.verdict.startswith("No fault is certain, yet 90 % regions hold the truth in 80 of 100")


def test_contraction_is_the_exact_one(sims: tuple[np.ndarray, np.ndarray]) -> None:
    found = proof_of(LinearGaussian(), sims, prior_sd=[1.0, 1.0]).contraction
    for one, sd in zip(found, SD, strict=True):
        assert one.mean == pytest.approx(1 - sd**2, abs=4 * sd**2 * (2 / 98 / 400) ** 0.5)
        assert one.error == pytest.approx(1, abs=4 * (1 / 800) ** 0.5 + 0.02)


def test_reference_points_do_not_depend_on_the_own_truth(sims: tuple[np.ndarray, np.ndarray]) -> None:
    theta, x = sims
    other = theta.copy()
    other[::2] += 100.0
    assert (references(theta, x, 0)[::2] == references(other, x, 0)[::2]).all()


def bimodal(wrong: bool) -> Proof:
    """theta of two modes, x that does not tell them apart; wrong: one of the modes is forgotten."""
    law = GaussianMixture(torch.ones(2), torch.tensor([[-2.0], [2.0]]).double(), 0.1 * torch.ones(2, 1, 1).double())
    theta = law.sample(300, seed=1)
    noise = torch.full((1, 1), 9.0, dtype=torch.float64)
    x = (
        theta
        + 3 * law.sample(300, seed=2).sign() * 0
        + 3 * torch.randn(300, 1, generator=torch.Generator().manual_seed(1))
    )

    def draws(x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
        posteriors = [law.posterior(one, torch.eye(1, dtype=torch.float64), noise) for one in x]
        found = torch.stack([p.sample(n, seed=seed + k) for k, p in enumerate(posteriors)])
        return found.abs() if wrong else found

    return prove(draws, theta, x, n=99, seed=5)


def test_two_modes_are_no_fault_and_a_lost_one_is() -> None:
    assert bimodal(wrong=False).passed
    found = bimodal(wrong=True)
    assert not found.passed and "hold the truth in" in found.verdict


BAD = {
    "few": (lambda t, x: prove(LinearGaussian(), t[:5], x[:5]), "at least 20 simulations, got 5"),
    "nan": (
        lambda t, x: prove(LinearGaussian(), np.where(t > 1, np.nan, t), x),
        "theta has values that are not finite",
    ),
    "rows": (lambda t, x: prove(LinearGaussian(), t, x[1:]), "an observation for each row of theta"),
    "draws": (
        lambda t, x: prove(lambda x, n, s: np.zeros((len(x), 2)), t, x),
        r"must be \(50, 199, 2\), got \(50, 2\)",
    ),
    "broken": (lambda t, x: prove(lambda x, n, s: np.full((len(x), n, 2), np.nan), t, x), "not finite, first in row 0"),
    "names": (lambda t, x: prove(LinearGaussian(), t, x, names=["a", "a"]), "2 different names of parameters"),
    "level": (lambda t, x: prove(LinearGaussian(), t, x, level=0.0), "level must be"),
    "words": (lambda t, x: prove(LinearGaussian(), [["a", "b"]] * 50, x), "theta must hold numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_one_sentence(sims: tuple[np.ndarray, np.ndarray], name: str) -> None:
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call(*sims)


def test_holes_in_observations_are_no_fault() -> None:
    theta, x = simulations(200, 5)
    x[::3, 1] = np.nan
    keep = np.isfinite(x).all(1)

    def draws(x: np.ndarray, n: int, seed: int) -> np.ndarray:  # without entry 1 it knows less
        A = np.array([[1.0, 0.5], [0.0, 1.0], [0.3, -0.4]])
        found = []
        for k, one in enumerate(x):
            there = np.isfinite(one)
            cov = np.linalg.inv(np.eye(2) + A[there].T @ A[there] / 0.25)
            mean = cov @ A[there].T @ one[there] / 0.25
            found.append(multivariate_normal(mean, cov).rvs(n, random_state=seed * 1000 + k))
        return np.stack(found)

    assert 0 < keep.sum() < 200 and prove(draws, theta, x, n=19, seed=1).passed


# -------------------------------------------------------------------------------------------------------------- local


@pytest.fixture(scope="module")
def local_sims() -> tuple[np.ndarray, np.ndarray]:
    return simulations(300, 7)


def local_p(posterior: LinearGaussian, sims: tuple[np.ndarray, np.ndarray], x_obs: np.ndarray, **options: int):
    theta, x = sims
    return local_c2st(theta, x, posterior(x, 29, 1), x_obs, posterior(x_obs[None], 200, 2)[0], **options)


def test_a_right_posterior_is_right_at_one_observation(local_sims: tuple[np.ndarray, np.ndarray]) -> None:
    p = [local_p(LinearGaussian(), local_sims, x, permutations=19, seed=2).p for x in local_sims[1][:2]]
    assert min(p) > 0.05


def test_a_narrow_posterior_is_caught_where_it_is(local_sims: tuple[np.ndarray, np.ndarray]) -> None:
    found = local_p(LinearGaussian(scale=0.6), local_sims, np.array([1.0, 0.5, 0.0]), permutations=39)
    assert found.p == 1 / 40 and (found.ratio > 1.1).all() and found.shift.shape == (2,)


def test_local_input_is_checked(local_sims: tuple[np.ndarray, np.ndarray]) -> None:
    theta, x = local_sims
    with pytest.raises(ValueError, match="at least 100 simulations, got 50"):
        local_c2st(theta[:50], x[:50], np.zeros((50, 20, 2)), x[0], np.zeros((20, 2)))
    with pytest.raises(ValueError, match="k >= 10"):
        local_c2st(theta, x, np.zeros((300, 20, 2)), x[0], np.zeros((5, 2)))


# -------------------------------------------------------------------------------------------------- one observation


def test_what_the_posterior_explains_is_not_off() -> None:
    trials = 40
    bad = 0
    for s in range(trials):
        _, x = simulations(1, 100 + s)
        made = simulator(LinearGaussian()(x, 500, s)[0], s)
        bad += bool(predictive(x[0], made).off)
    assert bad <= most(trials, 0.01)


def test_what_it_does_not_explain_is_named() -> None:
    x = np.array([0.5, 8.0, 0.1])
    draws = LinearGaussian()(x[None], 500, 1)[0]
    found = predictive(x, simulator(draws, 1), names=["r", "s", "t"])
    assert {"s", DISTANCE} <= set(found.off) and found.tails.min() == 1 / 501
    series = np.random.default_rng(1).normal(size=(1000, 40))
    assert predictive(3 * series[0], series[1:]).off[0] in ("standard deviation", DISTANCE)
    assert predictive(x, simulator(draws, 1), discrepancies={"first": lambda x: x[:, 0]}).names == ("first",)
    assert predictive([0.5, np.nan, 0.1], simulator(draws, 1)).names == ("x0", "x2", DISTANCE)
    with pytest.raises(ValueError, match="each as the observation"):
        predictive(x, series)


def test_recorded_simulations_stand_for_predictions() -> None:
    theta, x = simulations(5000, 1)
    x_obs = simulations(1, 9)[1]
    draws = LinearGaussian()(x_obs, 300, 1)[0]
    near = nearest_simulations(draws, theta, x)
    assert near.x.shape == (300, 3) and not near.coarse and not predictive(x_obs[0], near.x, note=near.note).off
    far = nearest_simulations(draws, theta[:8], x[:8])
    assert far.coarse and "coarse" in far.note and near.away < far.away


def test_where_an_observation_lies() -> None:
    _, x = simulations(1000, 1)
    inside = place(x[0], x[1:])
    assert inside.warnings == () and 0 <= inside.percentiles.min() and inside.percentiles.max() <= 100
    alone = sum(bool(place(one, x[200:]).warnings) for one in x[:200])
    assert alone <= most(200, 0.01 + 6 / 800)
    out = place([9.0, 0.0, 0.0], x, ["r", "s", "t"])
    assert out.percentiles[0] == 100 and "r = 9 lies above all 1,000 simulations" in out.warnings[0]
    assert "99.9 %" in out.warnings[-1] or "100.0 %" in out.warnings[-1]
    against = x.mean(0) + 2.5 * x.std(0) * [1, -1, -1]  # each entry is usual, all of them together are not
    assert len(place(against, x).warnings) == 1
    assert "is missing in the observation, and in no simulation" in place([np.nan, 0.0, 0.0], x).warnings[0]
    with pytest.raises(ValueError, match=r"shape of one simulation, \(3,\), got \(2,\)"):
        place([1.0, 2.0], x)
    with pytest.raises(ValueError, match="infinite"):
        place([np.inf, 0.0, 0.0], x)


def test_the_exact_mean_is_used() -> None:
    """The helpers of this file: the posterior's moments by conditioning the joint law."""
    theta, x = simulations(200_000, 3)
    residual = theta - middle(x)
    assert np.allclose(residual.T @ residual / len(theta), ROOT @ ROOT.T, atol=5 * SD.max() ** 2 * (2 / 2e5) ** 0.5)
