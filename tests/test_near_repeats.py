"""Things that a table has several rows of, nearly alike."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from scorefield.analytic.mixture import GaussianMixture
from scorefield.report.tables import facts
from scorefield.tables.fit import Encoded, TableFit
from scorefield.tables.mixture import fit_mixture, log_densities
from scorefield.tables.near_repeats import things_of, turing_weights, with_things
from scorefield.tables.trained import TrainedTable

NOISE = torch.tensor([[0.02, 0.0, 0.0], [0.01, 0.03, 0.0], [0.0, 0.0, 0.01]], dtype=torch.float64)
"""A root of the covariance of a thing's rows."""


def measured(things: int, times: int, seed: int = 0) -> Tensor:
    """So many things of a standard normal law, each so many times, in random order."""
    random = torch.Generator().manual_seed(seed)
    base = torch.randn(things, 3, generator=random, dtype=torch.float64).repeat_interleave(times, 0)
    rows = base + torch.randn(base.shape, generator=random, dtype=torch.float64) @ NOISE.T
    return rows[torch.randperm(len(rows), generator=random)]


def plain(rows: Tensor) -> GaussianMixture:
    return fit_mixture(rows, 1)


@pytest.mark.parametrize(
    ("counts", "new", "each"),
    [
        # 20 things of one row, 15 of two, 12 of three, none of four
        ([1] * 20 + [2] * 15 + [3] * 12, 20, {1: (30 + 2) / 22, 2: (36 + 4) / 17, 3: (0 + 6) / 14}),
        # a design that is complete but for 300 things: those have nearly all the weight
        ([3] * 300 + [4] * 600, 1, {3: (2400 + 6) / 302, 4: (0 + 8) / 602}),
        # one thing of each number of rows: by its rows, nearly
        ([2, 5, 9], 1, {2: 4 / 3, 5: 10 / 3, 9: 18 / 3}),
    ],
)
def test_weights_are_turings(counts: list[int], new: float, each: dict[int, float]) -> None:
    found, known = turing_weights(torch.tensor(counts))
    total = new + sum(each[c] for c in counts)
    assert found == pytest.approx(new / total)
    assert known.tolist() == pytest.approx([each[c] / total for c in counts])


def test_the_covariance_of_a_thing_is_found_and_its_rows_are_linked() -> None:
    rows = measured(200, 4)
    wanted = NOISE @ NOISE.T
    things = things_of(rows, log_densities(plain(rows), rows), most=400)
    assert things is not None
    assert abs(len(things.counts) - 200) <= 4 and int(things.counts.sum()) == 800
    found = things.covariance
    for i in range(3):  # 600 degrees of freedom
        assert float(found[i, i]) == pytest.approx(float(wanted[i, i]), rel=5 * math.sqrt(2 / 600))


def test_rows_held_out_have_nearly_the_density_of_the_truth() -> None:
    random = torch.Generator().manual_seed(1)
    base = torch.randn(150, 3, dtype=torch.float64, generator=random)
    thing = torch.arange(150).repeat_interleave(4)[torch.randperm(600, generator=random)]
    rows = base[thing] + torch.randn(600, 3, dtype=torch.float64, generator=random) @ NOISE.T
    x, held = rows[:500], rows[500:]
    own = with_things(plain(x), x, held)
    left = 4 - torch.bincount(thing[:500], minlength=150)
    more = left > 0
    truth = GaussianMixture(
        (left / left.sum())[more].double(), base[more], (NOISE @ NOISE.T).expand(int(more.sum()), 3, 3)
    )
    lost = log_densities(truth, held) - log_densities(own, held)
    # a mean known from c rows costs (3 / 2) log(1 + 1 / c) nats: 1.04 for one row, 0.43 for three; of 100 rows one may
    # lie 4 standard deviations from its thing (8 nats)
    assert 0.0 < float(lost.mean()) < 1.1
    holes = held.clone()
    holes[:, 2] = math.nan
    assert bool(torch.isfinite(log_densities(own, holes)).all())


@pytest.mark.parametrize("kind", ["normal", "uniform", "modes", "few", "holes", "one column"])
def test_rows_of_a_density_are_left_as_they_came(kind: str) -> None:
    random = torch.Generator().manual_seed(3)
    x = torch.randn(600, 3, generator=random, dtype=torch.float64)
    if kind == "uniform":
        x = torch.rand(600, 3, generator=random, dtype=torch.float64)
    if kind == "modes":
        x = 0.05 * x + torch.randint(0, 5, (600, 1), generator=random)
    if kind == "few":
        x = x[:30]
    if kind == "holes":
        x[:, 1] = math.nan
    if kind == "one column":
        x = x[:, :1]
    law = fit_mixture(x[: len(x) * 5 // 6], 5 if kind == "modes" else 1)
    assert with_things(law, x[: len(x) * 5 // 6], x[len(x) * 5 // 6 :]) is law


def test_a_table_is_fitted_with_its_things_and_one_with_rows_there_twice_is_not() -> None:
    rows = measured(120, 4, seed=5)
    frame = pd.DataFrame(rows.numpy(), columns=["a", "b", "c"])
    made = TableFit.of(Encoded.of(frame, seed=0), seed=0, size="small")
    assert made.model.law is not None and 80 < made.things < len(made.model.law.weights)
    table = made.table()
    assert table.info["things"] == made.things
    assert dict(facts(table))["near repeats"].startswith("rows are measurements of things")
    once = pd.DataFrame(measured(120, 1).numpy(), columns=["a", "b", "c"])
    twice = pd.concat([once] * 2, ignore_index=True)  # a row recorded again is no other measurement
    made = TableFit.of(Encoded.of(twice, seed=0), seed=0, size="small")
    assert made.things == 0 and "things" not in made.table().info


@pytest.fixture(scope="module")
def kinds() -> pd.DataFrame:
    """Things with a kind each, that their numbers say nothing of."""
    random = torch.Generator().manual_seed(2)
    base, kind = torch.randn(150, 3, generator=random), torch.randint(0, 3, (150,), generator=random)
    thing = torch.arange(150).repeat_interleave(4)[torch.randperm(600, generator=random)]
    rows = base[thing].double() + torch.randn(600, 3, dtype=torch.float64, generator=random) @ NOISE.T
    frame = pd.DataFrame(rows.numpy(), columns=["a", "b", "c"])
    return frame.assign(kind=np.array(["x", "y", "z"])[kind[thing].numpy()])


def test_rows_with_codes_keep_the_codes_of_their_thing(kinds: pd.DataFrame, tmp_path: Path) -> None:
    made = TableFit.of(Encoded.of(kinds.iloc[:500], seed=0), seed=0, size="small")
    assert made.things == 0
    table = made.table()
    assert table.repeats is not None and not table.repeats.exact and table.repeats.new < 0.1
    assert "near to a row" in dict(facts(table))["repeats"]
    new = table.sample(400, seed=1)
    at = kinds.iloc[:500]
    distance, nearest = cKDTree(at[["a", "b", "c"]]).query(new[["a", "b", "c"]])
    close = distance < 0.2  # six standard deviations of two rows' difference
    assert close.mean() > 0.9
    same = at["kind"].to_numpy()[nearest] == new["kind"].to_numpy()
    assert same[close].mean() > 0.98  # by chance a third
    assert not table.sample(50, seed=1, repeats=False).equals(new[:50])
    table.save(tmp_path / "run")
    pd.testing.assert_frame_equal(TrainedTable.load(tmp_path / "run").sample(400, seed=1), new)
    pd.testing.assert_frame_equal(
        table.sample(30, seed=1, first=70).reset_index(drop=True), new[70:100].reset_index(drop=True)
    )
    assert set(table.sample(20, given={"kind": "x"})["kind"]) == {"x"}


def test_codes_that_follow_from_numbers_are_no_things(kinds: pd.DataFrame) -> None:
    once = kinds.drop_duplicates("a").sample(frac=1, random_state=0)
    once = once.assign(a=np.random.default_rng(0).normal(size=600), b=np.random.default_rng(1).normal(size=600))
    once["c"] = once["kind"].map({"x": -1.0, "y": 0.0, "z": 1.0}) + 0.1 * np.random.default_rng(2).normal(size=600)
    table = TableFit.of(Encoded.of(once, seed=0), seed=0, size="small").table()
    assert table.repeats is None
