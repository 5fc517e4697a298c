"""Codes beside numbers, against a law of two components whose posterior is exact."""

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield import posterior
from scorefield.posterior.mixed import QUICK, MixedPosterior, fit_mixed
from scorefield.posterior.training import Recipe

SPREAD, NOISE, SHARE = 0.5, 0.4, 0.3
SMALL = Recipe(width=32, depth=2, settings=QUICK)


def simulations(n: int) -> tuple[pd.DataFrame, np.ndarray]:
    """kind is "b" with probability 0.3; size is N(-1, 0.25) for "a" and N(1, 0.25) for "b"; x = size + noise."""
    random = np.random.default_rng(0)
    kind = random.random(n) < SHARE
    size = np.where(kind, 1.0, -1.0) + SPREAD * random.standard_normal(n)
    return pd.DataFrame({"kind": np.where(kind, "b", "a"), "size": size}), size + NOISE * random.standard_normal(n)


@pytest.fixture(scope="module")
def fitted() -> MixedPosterior:
    theta, x = simulations(3000)
    recipe = Recipe(width=32, depth=2, settings=Recipe().settings.__class__(**{**vars(QUICK), "steps": 450}))
    return fit_mixed(theta, x, recipe=recipe)


def exact(x: float) -> tuple[float, float, float]:
    """The probability of "b", and the mean of the size given "b", with its standard deviation."""
    total = SPREAD**2 + NOISE**2
    odds = SHARE / (1 - SHARE) * np.exp(((x + 1) ** 2 - (x - 1) ** 2) / 2 / total)
    deviation = (SPREAD**-2 + NOISE**-2) ** -0.5
    return odds / (1 + odds), deviation**2 * (1 / SPREAD**2 + x / NOISE**2), deviation


@pytest.mark.parametrize("x", [-0.2, 0.2, 0.6])
def test_codes_and_numbers_have_their_exact_laws(fitted: MixedPosterior, x: float) -> None:
    share, mean, deviation = exact(x)
    found = fitted.sample([x], 2000)
    table = fitted.probabilities([x]).set_index("kind")["probability"]
    assert float(table["b"]) == pytest.approx(share, abs=0.06)
    assert float((found["kind"] == "b").mean()) == pytest.approx(float(table["b"]), abs=5 * (0.25 / 2000) ** 0.5)
    sizes = found.loc[found["kind"] == "b", "size"]
    assert float(sizes.mean()) == pytest.approx(mean, abs=0.35 * deviation)
    assert float(sizes.std()) == pytest.approx(deviation, rel=0.25)
    law = torch.distributions.Normal(mean, deviation)
    points = pd.DataFrame({"kind": ["b"] * 3, "size": [mean, mean - deviation, mean + deviation]})
    wanted = np.log(share) + law.log_prob(torch.tensor(points["size"].to_numpy()))
    assert float((fitted.log_prob(points, [x]) - wanted).abs().max()) < 0.4


def test_codes_that_never_occurred_are_impossible(fitted: MixedPosterior) -> None:
    assert fitted.log_prob(pd.DataFrame({"kind": ["c"], "size": [0.0]}), [0.0]).tolist() == [-torch.inf]


def test_what_cannot_be_learned_is_refused() -> None:
    theta, x = simulations(60)
    with pytest.raises(ValueError, match="take PosteriorEstimator"):
        fit_mixed(theta[["size"]], x, recipe=SMALL)
    many = theta.assign(kind=[str(i) for i in range(60)], other=[str(i * 7) for i in range(60)])
    with pytest.raises(ValueError, match="more than 256"):
        fit_mixed(pd.concat([many.assign(other=f"{k}") for k in range(6)]), np.tile(x, 6), recipe=SMALL)
    with pytest.raises(ValueError, match="missing in some simulation"):
        fit_mixed(theta.assign(kind=[None, *theta["kind"][1:]]), x, recipe=SMALL)
    with pytest.raises(ValueError, match="one observation of 1 values"):
        fit_mixed(theta, x, posterior.gaussian(0.0, 2.0), recipe=SMALL).sample([[1.0], [2.0]], 3)
