"""Values that recur together in a table recur in new rows, as often as a row that was left out has them."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.tables.codec import fit_row_codec
from scorefield.tables.fit import Encoded, TableFit
from scorefield.tables.recurring import recurring_columns
from scorefield.tables.repeats import Repeats, fit_repeats, repeats_from
from scorefield.tables.trained import TrainedTable

RNG = np.random.default_rng


def recipes(r: np.random.Generator, rows: int = 600, kinds: int = 80) -> pd.DataFrame:
    """Mixtures of three parts, each tested at several ages; a strength that follows both."""
    parts = np.round(r.lognormal([3, 2, 1], 0.4, (kinds, 3)), 2)
    which, age = r.integers(0, kinds, rows), r.exponential(10, rows)
    strength = parts[which].sum(1) * (1 - np.exp(-age / 10)) + r.standard_normal(rows)
    return pd.DataFrame(parts[which], columns=["a", "b", "c"]).assign(age=age, strength=strength)


def shops(r: np.random.Generator) -> pd.DataFrame:
    """Sales of 150 shops, each with places of many digits, a region, and a size that is 0 for some."""
    place, size = r.standard_normal((150, 2)), np.round(np.where(r.random(150) < 0.4, 0, r.gamma(2, 50, 150)), 1)
    which = r.integers(0, 150, 1000)
    frame = pd.DataFrame(place[which], columns=["x", "y"])
    frame["region"] = pd.Categorical(np.array(list("NSEW"))[r.integers(0, 4, 150)][which])
    return frame.assign(size=size[which], sales=r.gamma(5, 3, 1000))


def prices(r: np.random.Generator) -> pd.DataFrame:
    """Prices that end in .99 beside measurements."""
    return pd.DataFrame(
        {"price": r.integers(1, 400, 800) + 0.99, "weight": r.normal(size=800), "z": r.normal(size=800)}
    )


FOUND = {  # a table, and the columns that recur together
    "recipes": (recipes, ("a", "b", "c")),
    "shops": (shops, ("x", "y", "region", "size")),
    "recipes with holes": (
        lambda r: recipes(r, 900).mask(
            pd.DataFrame(RNG(1).random((900, 5)) < 0.05, columns=[*"abc", "age", "strength"])
        ),
        ("a", "b", "c"),
    ),
}


def rounded(r: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(np.round(r.normal(size=(1500, 4)) @ r.normal(size=(4, 4)), 2), columns=list("abcd"))


def recorded_twice(r: np.random.Generator) -> pd.DataFrame:
    frame = pd.DataFrame(np.round(r.lognormal(size=(500, 4)), 3), columns=list("abcd"))
    return pd.concat([frame, frame.iloc[:200]], ignore_index=True)


NOTHING = {  # tables that a density describes
    "rounded": rounded,
    "recorded twice": recorded_twice,
    "counts": lambda r: pd.DataFrame({"n": r.poisson(9, 900), "m": r.poisson(90, 900), "x": r.normal(size=900)}),
    "categories": lambda r: pd.DataFrame({"c": r.choice(list("abc"), 400), "d": r.choice(list("xy"), 400)}),
    "evenly spread prices": prices,
    "uniform": lambda r: pd.DataFrame(r.random((700, 3)), columns=list("xyz")),
    "factorial": lambda r: pd.DataFrame(
        {"u": np.repeat([0.1, 0.2, 0.4], 200), "v": np.tile([1.0, 5.0], 300), "y": r.normal(size=600)}
    ),
    "one column": lambda r: pd.DataFrame({"x": r.choice(r.normal(size=30), 500)}),
    "few rows": lambda r: pd.DataFrame(r.normal(size=(20, 3)), columns=list("xyz")),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", FOUND)
def test_columns_that_recur_are_found(name: str, seed: int) -> None:
    make, columns = FOUND[name]
    frame = make(RNG(seed))
    codec = fit_row_codec(frame)
    assert recurring_columns(codec, codec.encode(frame), seed) == columns
    fitted = fit_repeats(codec, codec.encode(frame), seed)
    assert fitted is not None
    assert fitted.columns(codec) == columns


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", NOTHING)
def test_tables_with_a_density_have_none(name: str, seed: int) -> None:
    frame = NOTHING[name](RNG(seed))
    codec = fit_row_codec(frame)
    assert fit_repeats(codec, codec.encode(frame), seed) is None


LAW = Repeats(
    torch.tensor([0, 2]), torch.tensor([[1.0, math.nan], [2.0, 5.0], [3.0, 6.0]]), torch.tensor([1.0, 2, 5]), 0.25
)


def test_combinations_are_drawn_as_often_as_the_law_says() -> None:
    n = 40_000
    rows = LAW.begun(torch.full((n, 3), math.nan, dtype=torch.float64), 3, 0)
    shares = [float((rows[:, 0] == value).double().mean()) for value in (1.0, 2.0, 3.0)]
    shares.append(float(rows[:, 0].isnan().double().mean()))
    wanted = [0.75 / 8, 0.75 * 2 / 8, 0.75 * 5 / 8, 0.25]
    for share, p in zip(shares, wanted, strict=True):
        assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n)
    assert bool((rows[rows[:, 0] == 2.0, 2] == 5.0).all())
    assert bool(rows[:, 1].isnan().all())
    assert bool(rows[rows[:, 0] == 1.0, 2].isnan().all())


def test_a_row_depends_on_its_seed_and_number_alone() -> None:
    empty = torch.full((50, 3), math.nan, dtype=torch.float64)
    whole = LAW.begun(empty, 7, 10)
    parts = torch.cat([LAW.begun(empty[:20], 7, 10), LAW.begun(empty[20:], 7, 30)])
    single = LAW.begun(empty[:50], torch.full((50,), 7), torch.arange(10, 60))
    assert torch.equal(whole.nan_to_num(), parts.nan_to_num())
    assert torch.equal(whole.nan_to_num(), single.nan_to_num())
    assert not torch.equal(whole.nan_to_num(), LAW.begun(empty, 8, 10).nan_to_num())


def test_the_share_of_new_combinations_is_that_of_the_next_row() -> None:
    """Good (1953): the share of singletons estimates the probability of what was not seen, with a bias below 1 / n."""
    weights = 1 / np.arange(1, 301)
    weights /= weights.sum()
    errors = []
    for seed in range(16):
        r = RNG(seed)
        values = np.round(np.cumsum(0.37 + r.random(300)), 2)  # far apart
        drawn = r.choice(300, 800, p=weights)
        frame = pd.DataFrame({"v": values[drawn], "x": r.normal(size=800)})
        codec = fit_row_codec(frame)
        fitted = fit_repeats(codec, codec.encode(frame), seed)
        assert fitted is not None
        errors.append(fitted.new - weights[np.setdiff1d(np.arange(300), drawn)].sum())
    assert abs(np.mean(errors)) < 1 / 800 + 4 * np.std(errors, ddof=1) / math.sqrt(16)


@pytest.fixture(scope="module")
def table() -> TrainedTable:
    """Untrained, which is a law as well as another."""
    return TableFit.of(Encoded.of(mixed(), 0), 0, "small").table()


def mixed() -> pd.DataFrame:
    return recipes(RNG(0), 500, 300)


def known(table: TrainedTable, new: pd.DataFrame) -> float:
    whole = mixed()[["a", "b", "c"]]
    return float(pd.MultiIndex.from_frame(new[["a", "b", "c"]]).isin(pd.MultiIndex.from_frame(whole)).mean())


def test_new_rows_repeat_them_as_often(table: TrainedTable) -> None:
    assert table.repeats is not None
    p = 1 - table.repeats.new
    assert 0.5 < p < 0.95
    n = 400
    new = table.sample(n, steps=4)
    assert abs(known(table, new) - p) < 4 * math.sqrt(p * (1 - p) / n) + 1e-9 + 1 / n
    assert known(table, table.sample(n, steps=4, repeats=False)) < 0.05
    assert known(table, replace(table, repeats=None).sample(n, steps=4)) < 0.05
    joint = mixed()
    assert not new["age"].isin(joint["age"]).any()
    assert not new["strength"].isin(joint["strength"]).any()


def test_the_rest_follows_the_model_given_them(table: TrainedTable) -> None:
    """Each column that is drawn is what `impute` makes of the row with the same seed and number."""
    new = table.sample(30, steps=4, seed=5)
    assert table.repeats is not None
    begun = table.repeats.begun(torch.full((30, 5), math.nan, dtype=torch.float64), 5, 0)
    again = begun[:, 0].isfinite().numpy()
    holed = new.copy()
    holed[["age", "strength"]] = np.nan
    filled = replace(table, recalibration=None).impute(holed, steps=4, seed=5)[0]
    assert again.sum() > 10
    pd.testing.assert_frame_equal(filled[again], new[again], rtol=1e-6)


def test_parts_equal_the_whole(table: TrainedTable) -> None:
    whole = table.sample(40, steps=4, seed=2)
    parts = [table.sample(15, steps=4, seed=2), table.sample(25, steps=4, seed=2, first=15)]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole, rtol=1e-6)


def test_a_folder_keeps_them(table: TrainedTable, tmp_path) -> None:
    table.save(tmp_path)
    back = TrainedTable.load(tmp_path)
    assert back.repeats is not None
    pd.testing.assert_frame_equal(back.sample(20, steps=4), table.sample(20, steps=4))
    assert back.repeats.says(back.codec) == table.repeats.says(table.codec)


def test_what_is_no_law_is_refused() -> None:
    for change in ({"new": 1.0}, {"new": -0.1}, {"new": math.nan}, {"weights": torch.tensor([0.0, 1, 2])}):
        with pytest.raises(ValueError, match="repeats need rows"):
            replace(LAW, **change)
    with pytest.raises(ValueError, match="name entries of a row of 2"):
        repeats_from(LAW.tensors(), 2)
    assert repeats_from({}, 2) is None
