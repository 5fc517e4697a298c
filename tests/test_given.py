"""Rows under conditions: their laws against closed forms, `impute`, frequencies; conditions as text; refusals."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from scorefield import ScoreDensity
from scorefield.analytic import GaussianMixture
from scorefield.tables.codec import fit_row_codec
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.given import Among, Between, Except, parse
from scorefield.tables.network import MaskedMLP
from scorefield.tables.repeats import Repeats
from scorefield.tables.trained import TrainedTable

N = 300
MEANS, WEIGHTS = np.array([[-1.0, -0.5], [1.0, 1.0]]), np.array([0.4, 0.6])
COVARIANCE = np.array([[0.5, 0.3], [0.3, 0.6]])


@cache
def numbers() -> TrainedTable:
    """Two numbers from a mixture of two Gaussians, exactly."""
    x = np.random.default_rng(0).normal(size=(200, 2)) * 3
    codec = replace(fit_row_codec(pd.DataFrame(x, columns=["x", "y"])), mean=(0.0, 0.0), std=(1.0, 1.0))
    law = GaussianMixture(*(torch.from_numpy(v) for v in (WEIGHTS, MEANS, np.stack([COVARIANCE, COVARIANCE]))))
    return TrainedTable(MaskedDenoiser(MaskedMLP(2, width=8, depth=1), law, sigma_min=1e-3, sigma_max=100.0), codec)


def truth(n: int = 400_000) -> np.ndarray:
    """Draws of the mixture itself."""
    rng = np.random.default_rng(1)
    return MEANS[(rng.random(n) > WEIGHTS[0]).astype(int)] + rng.normal(size=(n, 2)) @ np.linalg.cholesky(COVARIANCE).T


@cache
def mixed() -> TrainedTable:
    """City, rooms (few numbers), garden (0 in half of the rows), age (whole numbers), born: independent, exactly."""
    rng = np.random.default_rng(0)
    n = 400
    frame = pd.DataFrame(
        {
            "city": rng.choice(["Bern", "Lyon", "Wien"], n),
            "rooms": rng.integers(1, 5, n),
            "garden": np.where(rng.random(n) < 0.5, 0.0, rng.normal(50, 10, n)),
            "age": rng.integers(0, 90, n),
            "born": pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.permutation(n), unit="D"),
            "planet": "Earth",
        }
    )
    codec = fit_row_codec(frame)
    frequencies = torch.tensor([0.5, 0.3, 0.2, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5]).log()
    law = GaussianMixture(torch.ones(1).double(), torch.zeros(1, 3).double(), torch.eye(3).double()[None])
    network = MaskedMLP(3, codec.sizes, width=8, depth=1)
    return TrainedTable(MaskedDenoiser(network, law, frequencies, sigma_min=1e-3, sigma_max=100.0).eval(), codec)


RANGES = {
    "one range": ({"x": Between(0.5, 2)}, lambda v: (v[:, 0] >= 0.5) & (v[:, 0] <= 2)),
    "far out": ({"y": Between(low=2.5)}, lambda v: v[:, 1] >= 2.5),
    "two ranges": ({"x": Between(high=0), "y": Between(low=0)}, lambda v: (v[:, 0] <= 0) & (v[:, 1] >= 0)),
}


@pytest.mark.parametrize("name", RANGES)
def test_ranges_have_the_exact_conditional_law(name: str) -> None:
    given, holds = RANGES[name]
    found = numbers().sample(N, given=given, seed=1).to_numpy()
    exact = truth()
    exact = exact[holds(exact)]
    assert holds(found).all()
    for j in range(2):
        assert stats.ks_2samp(found[:, j], exact[:, j]).pvalue > 1e-4
    product = (exact[:, 0] - exact[:, 0].mean()) * (exact[:, 1] - exact[:, 1].mean())
    mine = (found[:, 0] - exact[:, 0].mean()) * (found[:, 1] - exact[:, 1].mean())
    assert abs(mine.mean() - product.mean()) < 4 * product.std() / math.sqrt(N)


def test_a_value_gives_the_rows_that_impute_gives() -> None:
    table = numbers()
    rows = pd.DataFrame({"x": np.full(20, 0.7), "y": np.full(20, np.nan)})
    pd.testing.assert_frame_equal(table.sample(20, given={"x": 0.7}, seed=3), table.impute(rows, seed=3)[0])
    table = mixed()
    whole = table.sample(20, seed=1, steps=4)
    rows = whole.reindex(index=range(100, 120)).assign(city="Lyon", age=30, planet="Earth")
    found = table.sample(20, given={"city": "Lyon", "age": 30, "planet": "Earth"}, seed=3, steps=4)
    filled = table.impute(rows, seed=3, steps=4)[0].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, filled, check_dtype=False)


def test_rows_depend_on_their_own_index_alone() -> None:
    given = {"x": Between(low=0), "y": Between(high=0)}
    whole = numbers().sample(8, given=given, seed=2)
    part = numbers().sample(5, given=given, seed=2, first=3)
    np.testing.assert_allclose(part, whole.iloc[3:].reset_index(drop=True), atol=1e-9)


def test_codes_are_drawn_as_often_as_they_are_likely_among_those_allowed() -> None:
    given = {"city": Among(("Bern", "Wien")), "rooms": Between(low=2), "planet": "Earth"}
    found = mixed().sample(2000, given=given, seed=1, steps=4)
    for name, exact in (("city", {"Bern": 5 / 7, "Wien": 2 / 7}), ("rooms", {2: 2 / 9, 3: 3 / 9, 4: 4 / 9})):
        share = found[name].value_counts(normalize=True)
        assert set(share.index) == set(exact)
        for value, p in exact.items():
            assert abs(share[value] - p) < 4 * math.sqrt(p * (1 - p) / 2000)
    assert set(mixed().sample(50, given={"city": Except(("Bern",))}, steps=4)["city"]) == {"Lyon", "Wien"}


def test_whole_numbers_atoms_and_times() -> None:
    table = mixed()
    found = table.sample(200, given={"age": [Between(10, 20, open_low=True), Except((15,))]}, seed=1, steps=8)
    assert set(found["age"]) <= {11, 12, 13, 14, 16, 17, 18, 19, 20} and found["age"].nunique() > 6
    assert set(table.sample(60, given={"age": Among((3, 50))}, seed=1, steps=8)["age"]) == {3, 50}
    assert (table.sample(20, given={"garden": 0}, steps=4)["garden"] == 0).all()
    assert (table.sample(60, given={"garden": Between(low=0, open_low=True)}, steps=8)["garden"] > 0).all()
    some = table.sample(300, given={"garden": Between(high=50)}, seed=1, steps=8)["garden"]
    exact = 0.5 / (0.5 + 0.5 * stats.norm.cdf((50 - table.codec.mean[0]) / table.codec.std[0]))
    assert (some <= 50).all() and abs((some == 0).mean() - exact) < 4 * math.sqrt(exact * (1 - exact) / 300)
    born = table.sample(40, given={"born": Between("2000-03-01", "2000-04-01")}, steps=8)["born"]
    assert born.between("2000-03-01", "2000-04-01").all()


AGAIN, P = np.array([-1.5, 0.2, 0.9]), 0.6 * np.array([1, 2, 5]) / 8
"""Values of x that recur, with these probabilities; 0.4 of the rows have none of them."""


def repeating() -> TrainedTable:
    rows = torch.from_numpy(AGAIN)[:, None]
    return replace(numbers(), repeats=Repeats(torch.tensor([0]), rows, torch.tensor([1.0, 2.0, 5.0]), 0.4))


def given_x(y: np.ndarray, x: np.ndarray, what: str) -> np.ndarray:
    """The density or the distribution function of y given x, by hand."""
    slope, scale = COVARIANCE[0, 1] / COVARIANCE[0, 0], math.sqrt(COVARIANCE[1, 1] - 0.3**2 / 0.5)
    share = np.array([w * stats.norm.pdf(x, m[0], math.sqrt(0.5)) for w, m in zip(WEIGHTS, MEANS, strict=True)])
    each = [getattr(stats.norm, what)(y, m[1] + slope * (x - m[0]), scale) for m in MEANS]
    return (share * each).sum(0) / share.sum(0)


def of_y(y: float, what: str) -> float:
    return float(
        sum(w * getattr(stats.norm, what)(y, m[1], math.sqrt(0.6)) for w, m in zip(WEIGHTS, MEANS, strict=True))
    )


def of_x(x: float) -> float:
    return float(sum(w * stats.norm.cdf(x, m[0], math.sqrt(0.5)) for w, m in zip(WEIGHTS, MEANS, strict=True)))


BAYES = {  # what is given, and the weights of the three values and of a new one
    "a range of theirs": ({"x": Between(0, 2)}, [*(P * (AGAIN > 0)), 0.4 * (of_x(2) - of_x(0))]),
    "a range of the other": (
        {"y": Between(low=1.2)},
        [*(P * (1 - given_x(1.2, AGAIN, "cdf"))), 0.4 * (1 - of_y(1.2, "cdf"))],
    ),
    "a value of the other": ({"y": -0.8}, [*(P * given_x(-0.8, AGAIN, "pdf")), 0.4 * of_y(-0.8, "pdf")]),
    "a value of theirs": ({"x": 0.2}, [0, 1, 0, 0]),
    "one that is not theirs": ({"x": 0.3}, [0, 0, 0, 1]),
}


@pytest.mark.parametrize("name", BAYES)
def test_values_that_recur_do_so_as_often_as_bayes_rule_says(name: str) -> None:
    given, weights = BAYES[name]
    n = 800
    found = repeating().sample(n, given=given, seed=4)["x"].to_numpy()
    near = np.abs(found[:, None] - AGAIN) < 1e-9
    shares = np.append(near.mean(0), (~near.any(1)).mean())
    exact = np.array(weights) / np.sum(weights)
    if name == "a value of theirs":
        exact = np.array([0, 1, 0, 0])
    assert (np.abs(shares - exact) <= 4 * np.sqrt(exact * (1 - exact) / n) + 1e-9).all(), (shares, exact)


def test_both_ranges_and_the_rest_of_a_row_follow_what_recurs() -> None:
    given = {"x": Between(high=0.5), "y": Between(low=0)}
    found = repeating().sample(800, given=given, seed=5)
    assert (found["x"] <= 0.5).all() and (found["y"] >= 0).all()
    exact = truth()
    both = ((exact[:, 0] <= 0.5) & (exact[:, 1] >= 0)).mean()
    weights = np.append(P * (1 - given_x(0.0, AGAIN, "cdf")) * (AGAIN <= 0.5), 0.4 * both)
    share, p = (found["x"] == 0.2).mean(), weights[1] / weights.sum()
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / 800)
    y = found["y"][found["x"] == 0.2]
    below = given_x(0.0, np.array(0.2), "cdf")
    assert stats.kstest(y, lambda v: (given_x(v, np.array([0.2]), "cdf") - below) / (1 - below)).pvalue > 1e-4
    without = repeating().sample(40, given=given, seed=5, repeats=False)
    pd.testing.assert_frame_equal(without, numbers().sample(40, given=given, seed=5))
    part = repeating().sample(10, given=given, seed=5, first=30)
    np.testing.assert_allclose(part, found.iloc[30:40], atol=1e-9)


def test_whole_numbers_that_recur_have_their_cell_s_probability_beside() -> None:
    table = mixed()
    number = table.codec.entries_of("age")[0]
    at = table.codec.encode(table.sample(2, steps=4).assign(age=[20, 60]))[:, [number]]
    own = replace(table, repeats=Repeats(torch.tensor([number]), at, torch.tensor([1.0, 3.0]), 0.8))
    given = {"age": Among((20, 21))}
    found = own.sample(600, given=given, steps=8, seed=2)["age"]
    mean, std = table.codec.mean[number], table.codec.std[number]
    low, middle, high = stats.norm.cdf(
        (table.codec.schema["age"].transform.forward(np.array([19.5, 20.5, 21.5])) - mean) / std
    )
    weights = 0.05 + 0.8 * (middle - low), 0.8 * (high - middle)
    p = weights[0] / sum(weights)
    assert abs((found == 20).mean() - p) < 4 * math.sqrt(p * (1 - p) / 600)
    assert (own.sample(30, given={"age": 20, "city": "Lyon"}, steps=4)[["age", "city"]] == [20, "Lyon"]).all(axis=None)


PARSED = {
    "city=Bern,age=30": {"city": (Among(("Bern",)),), "age": (Among(("30",)),)},
    "age>10": {"age": (Between("10", None, True, False),)},
    "10<=age<20": {"age": (Between("10", "20", False, True),)},
    "20 >= age > 10": {"age": (Between("10", "20", True, False),)},
    "age != 3, age<=9": {"age": (Except(("3",)), Between(None, "9"))},
    "city in Bern|Wien": {"city": (Among(("Bern", "Wien")),)},
    '"city"="Bern, old < new"': {"city": (Among(("Bern, old < new",)),)},
}


@pytest.mark.parametrize("text", PARSED)
def test_conditions_are_read(text: str) -> None:
    assert parse([text], mixed().codec.schema) == PARSED[text]


FAULTS = {
    "city": "takes conditions such as",
    "=3": "takes conditions such as",
    "10<age>20": "takes conditions such as",
    "town=Bern": "there is no column 'town'",
    "city=Paris": "never 'Paris' at training; it had Bern, Lyon, Wien",
    "city>Bern": "no order",
    "age=old": "has numbers, and 'old' is not a number",
    "age=30.5": "never '30.5'",
    "age=100000": "went from 0 to 89",
    "born>spring": "has times, and 'spring' is not a time",
    "garden in 40|50": "one value of it or a range",
    "age>10,age<5": "no value of column 'age' is > 10 and < 5",
    "rooms>4": "no value of column 'rooms' is > 4",
    "planet=Mars": "never 'Mars' at training; it had Earth",
    "age>2000": "too rare",
}


@pytest.mark.parametrize("text", FAULTS)
def test_faults_are_told_in_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=FAULTS[text].replace("(", r"\(")) as told:
        table = mixed()
        table.sample(3, given=parse([text], table.codec.schema), steps=4)
    assert "\n" not in str(told.value)


def test_what_is_too_rare_is_told_with_its_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scorefield.tables.restricted._TRIALS", 500)
    monkeypatch.setattr("scorefield.tables.restricted._RAREST", 0.05)
    given = {"x": Between(low=1), "y": Between(high=-1)}
    exact = truth()
    p = np.mean((exact[:, 0] >= 1) & (exact[:, 1] <= -1))
    with pytest.raises(ValueError, match="x >= 1, y <= -1 are too rare") as told:
        numbers().sample(200, given=given)
    said = float(str(told.value).split(" of about ")[1].split()[0]) if " of about " in str(told.value) else None
    assert p < 0.01 and (said is None or said < 10 * p)


def test_estimators_take_conditions_too() -> None:
    model = ScoreDensity.from_table(numbers(), random_state=1, sampling_steps=6)
    found = pd.DataFrame(model.sample(20, given={"x": Between(low=1), "y": 0.5}))
    assert (found["x"] >= 1).all() and (found["y"] == 0.5).all()
    X = np.random.default_rng(0).normal(size=(30, 2))
    rows = ScoreDensity(steps=1, seconds=None, random_state=0).fit(X).sample(5, given={1: Between(high=0)})
    assert rows.shape == (5, 2) and (rows[:, 1] <= 0).all()
    with pytest.raises(ValueError, match="no column 'town' to give; the columns are 'x', 'y'"):
        numbers().sample(1, given={"town": 3})
