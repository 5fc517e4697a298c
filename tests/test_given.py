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

from scorefield.analytic import GaussianMixture
from scorefield.tables.codec import fit_row_codec
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.given import Among, Between, Except, parse
from scorefield.tables.network import MaskedMLP
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
