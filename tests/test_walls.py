"""Columns whose density ends in a wall: found, kept by draws without a heap, with a density that integrates to one."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from scorefield.data import DataError
from scorefield.tables.codec import fit_row_codec
from scorefield.tables.detection import detect
from scorefield.tables.edge import Edge, Edges
from scorefield.tables.fit import fit_frame, settings_for
from scorefield.tables.measures import boosted
from scorefield.tables.schema_toml import overridden, to_toml
from scorefield.tables.trained import TrainedTable
from scorefield.tables.transforms import all_walls, fitting
from scorefield.tables.wall import OUTSIDE, Wall, Walls, folded
from scorefield.tables.wall_test import find_walls, has_wall

N = 1000
Draw = Callable[[np.random.Generator, int], np.ndarray]

HARD: dict[str, Draw] = {  # the lower end
    "uniform": lambda r, n: r.random(n),
    "exponential": lambda r, n: r.exponential(size=n),
    "half-normal": lambda r, n: np.abs(r.standard_normal(n)),
    "normal cut at -1": lambda r, n: stats.truncnorm.rvs(-1, 9, size=n, random_state=r),
    "Beta(1, 3)": lambda r, n: r.beta(1, 3, n),
    "arcsine": lambda r, n: r.beta(0.5, 0.5, n),
    "Pareto": lambda r, n: r.pareto(2, n),
    "chi-squared": lambda r, n: r.chisquare(1, n),
}
SOFT: dict[str, Draw] = {
    "normal": lambda r, n: r.standard_normal(n),
    "exponential above": lambda r, n: -r.exponential(size=n),
    "Student": lambda r, n: r.standard_t(3, n),
    "Cauchy": lambda r, n: r.standard_cauchy(n),
    "log-normal above": lambda r, n: -r.lognormal(size=n),
    "Beta(2, 2)": lambda r, n: r.beta(2, 2, n),
    "Beta(3, 3)": lambda r, n: r.beta(3, 3, n),
    "Beta(1, 3) above": lambda r, n: -r.beta(1, 3, n),
    "half-normal above": lambda r, n: -np.abs(r.standard_normal(n)),
    "two clusters": lambda r, n: np.where(r.random(n) < 0.3, r.normal(0, 1, n), r.normal(20, 1, n)),
    "Gumbel": lambda r, n: r.gumbel(size=n),
}


def share_found(draw: Draw, n: int, times: int = 200) -> float:
    rng = np.random.default_rng(7)
    return float(np.mean([has_wall(np.sort(draw(rng, n))) for _ in range(times)]))


@pytest.mark.parametrize("draw", HARD.values(), ids=HARD)
def test_walls_are_found(draw: Draw) -> None:
    """In 6 tests of a wall of which each errs in 0.6 %, at least 93 of 100 are left; slopes at the wall cost a few."""
    assert share_found(draw, N) > 0.85


@pytest.mark.parametrize("draw", SOFT.values(), ids=SOFT)
def test_soft_ends_are_none(draw: Draw) -> None:
    """A linear end is taken for a wall in 0.2 % of each of 6 tests; of 200 samples 7 is 3 errors above 1.2 %."""
    for n in (60, 200, N, 5000):
        assert share_found(draw, n) <= 0.035, n


def after(values: np.ndarray, unit: str) -> pd.DatetimeIndex:
    return pd.Timestamp("2024-01-01") + pd.to_timedelta(values, unit=unit)


ENDS = [
    ("days of a month", lambda r: r.integers(1, 32, N), (1.0, 31.0)),
    ("ages", lambda r: r.integers(18, 91, N), (18.0, 90.0)),
    ("numbers up to a million", lambda r: r.integers(0, 1_000_000, N), (0.0, 1e6)),
    ("an odd interval", lambda r: 1.2345 + 0.7 * r.random(N), (1.2345, 1.9345)),
    ("two decimals", lambda r: np.round(3 * r.random(N), 2), (0.0, 3.0)),
    ("below a wall", lambda r: -5 - r.exponential(size=N), (None, -5.0)),
    ("nothing", lambda r: r.standard_normal(N), (None, None)),
    (
        "days",
        lambda r: pd.Timestamp("2024-01-01") + pd.to_timedelta(r.integers(0, 366, N), unit="D"),
        (0.0, 365 * 864e2),
    ),
    ("seconds", lambda r: pd.Timestamp("2024-01-01") + pd.to_timedelta(r.integers(0, 31622400, N), unit="s"), None),
]


@pytest.mark.parametrize(("draw", "ends"), [case[1:] for case in ENDS], ids=[case[0] for case in ENDS])
def test_where_walls_are(
    draw: Callable[[np.random.Generator], object], ends: tuple[float | None, float | None]
) -> None:
    """Within a few spacings of the true ones, on or beyond the last values; at round numbers where there are any."""
    values = draw(np.random.default_rng(3))
    column = detect(pd.DataFrame({"a": values}))["a"]
    if ends is None:
        start = (pd.Timestamp("2024-01-01") - values.min()) / pd.Timedelta(seconds=1)
        assert abs(column.low - start) < 1e-6 and abs(column.high - start - 31622399) < 1e-6
        return
    for found, wanted in zip((column.low, column.high), ends, strict=True):
        assert (found is None) == (wanted is None)
        if wanted is not None:
            assert abs(found - wanted) <= (0.0 if float(wanted).is_integer() else 5 * 0.7 / N)


def test_a_thin_shelf_at_the_end_of_a_tail_is_no_wall() -> None:
    """One row in a hundred lies evenly up to the end, behind it the density rises steeply: as air pressure has it."""
    steps = ((100, 1.0), (140, 0.5), (240, 0.4), (480, 0.5), (960, 0.6), (8080, 5.0))
    gaps = np.concatenate([np.full(count, width / count) for count, width in steps])
    assert not has_wall(gaps.cumsum())
    assert has_wall(np.linspace(0, 13, 10_000))


def test_no_wall_moves_with_units() -> None:
    x = np.random.default_rng(0).random(N)
    assert find_walls(x) == (0.0, 1.0)
    assert find_walls(1e6 * x) == (0.0, 1e6)
    assert find_walls(-x) == (-1.0, 0.0)


EDGES = (Edge(2.0, True, 0.5), Edge(2.0, False, 1e-3), Edges(-1.0, 3.0, 0.1), Edges(-1.0, 3.0, 50.0), Edges(0, 1, 1e-8))


@pytest.mark.parametrize("edge", EDGES, ids=repr)
def test_edges_go_forth_and_back_with_their_slope(edge: Edge | Edges) -> None:
    x = np.linspace(-1.53, 3.97, 111)
    y = edge.forward(x)
    np.testing.assert_allclose(edge.inverse(y), x, atol=1e-13, rtol=1e-13)
    h = 1e-7 * edge.scale + 1e-9
    rise = edge.forward(x + h) - edge.forward(x - h)
    np.testing.assert_allclose(np.log(rise / (2 * h)), edge.log_slope(y), atol=1e-4 + 1e-13 / h)
    assert np.isfinite(edge.inverse(np.array([-1e300, 1e300]))).all()


def test_an_edge_is_straight_away_from_its_wall() -> None:
    """From twenty scales on its slope is 1 to e^-20; at a tenth of a scale y is only log 0.1 scales off."""
    edge = Edge(0.0, True, 0.1)
    assert np.abs(edge.log_slope(edge.forward(np.array([2.0, 9.0]))) - np.log(10)).max() < 1e-8
    assert abs(float(edge.forward(np.array([0.01]))[0]) - np.log(0.1)) < 0.1
    ends = Edges(-1.0, 1.0, 0.01)
    assert np.abs(ends.forward(np.array([-0.7, 0.0, 0.7])) - np.array([-70.0, 0.0, 70.0])).max() < 1e-9


def test_clusters_next_to_a_wall_stay_straight() -> None:
    """Normal scores of one falling law would stretch the upper cluster; the straight part of an edge does not."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(10, 1, 400), 40 - 8 * rng.random(400)])
    assert isinstance(fitting(all_walls(x, None, 40.0), x), Edge)
    assert isinstance(fitting(all_walls(x[:400] - 9, None, 5.0), x[:400] - 9), Edge)
    assert isinstance(fitting(all_walls(rng.random(400), 0.0, 1.0), rng.random(400)), Walls)
    assert isinstance(fitting(all_walls(rng.exponential(size=400), 0.0, None), rng.exponential(size=400)), Wall)


def test_an_edge_is_written_to_toml_and_read_again() -> None:
    frame = pd.DataFrame({"a": np.abs(np.random.default_rng(0).normal(1, 1, N))})
    schema = detect(frame)
    assert isinstance(schema["a"].transform, Edge) and schema["a"].low == 0.0
    assert overridden(schema, to_toml(schema), frame) == schema


def test_reflected_draws_make_no_heap() -> None:
    y = torch.linspace(-9, 9, 1001, dtype=torch.float64)[:, None].repeat(1, 3)
    walls = ((-4.0, 4.0), (-4.0, np.inf), (-np.inf, np.inf))
    back = folded(y, walls)
    for j, (low, high) in enumerate(walls):
        assert bool(((back[:, j] > low) & (back[:, j] < high)).all())
        within = (y[:, j] > low) & (y[:, j] < high)
        assert torch.equal(back[within, j], y[within, j])
    assert folded(torch.tensor([[-4.25], [torch.nan]]), ((-4.0, 4.0),))[0] == -3.75


WALLED = pd.DataFrame(
    {
        "day": np.random.default_rng(1).integers(1, 32, N),
        "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.random.default_rng(2).integers(0, 366, N), unit="D"),
        "share": np.random.default_rng(3).random(N),
        "wait": np.random.default_rng(4).exponential(size=N),
        "error": np.random.default_rng(5).standard_normal(N),
        "length": pd.to_timedelta(np.random.default_rng(6).integers(0, 3600, N), unit="s").total_seconds(),
    }
)


@pytest.fixture(scope="module")
def walled() -> TrainedTable:
    return fit_frame(WALLED.iloc[:600], settings=settings_for(600, steps=30), size="small")


def test_no_draw_beyond_a_wall_and_no_heap_at_it(walled: TrainedTable) -> None:
    new = walled.sample(4000, seed=1)
    for name in ("day", "date", "share", "wait", "length"):
        column = walled.codec.schema[name]
        assert isinstance(column.transform, Wall | Walls), name
    assert new["day"].between(1, 31).all() and new["date"].between(WALLED.date.min(), WALLED.date.max()).all()
    assert new["share"].between(0, 1, inclusive="neither").all() and (new["wait"] > 0).all()
    assert new["length"].between(0, 3600).all()
    counts = new["day"].value_counts()
    expected = 4000 / 31
    assert max(counts[1], counts[31]) < expected + 4 * expected**0.5  # no heap at the walls, and no dip
    assert min(counts[1], counts[31]) > expected - 4 * expected**0.5
    assert len(set(new["share"])) == 4000
    assert isinstance(walled.codec.schema["error"].transform.inverse(np.zeros(1)), np.ndarray)
    assert walled.codec.schema["error"].low is None and new["error"].abs().max() > 3  # soft ends are as they were


def test_the_columns_alone_cannot_be_told(walled: TrainedTable) -> None:
    rng = np.random.default_rng(11)
    fresh = WALLED.assign(day=rng.integers(1, 32, N), share=rng.random(N), wait=rng.exponential(size=N))
    real, new = walled.codec.encode(fresh), walled.codec.encode(walled.sample(N, seed=2))
    for name in ("day", "share", "wait"):
        entries = list(walled.codec.entries_of(name))
        found = boosted(new[:, entries], real[:, entries], walled.codec, 0)
        assert found.value < 0.53, name


@pytest.fixture(scope="module")
def one_share() -> TrainedTable:
    return fit_frame(WALLED[["share", "day"]], settings=settings_for(N, steps=30), size="small")


def test_the_density_integrates_to_one_between_the_walls(one_share: TrainedTable) -> None:
    """By the midpoint rule, its step 1/400; the part beyond the walls is about 1e-6."""
    grid = (np.arange(400) + 0.5) / 400
    found = one_share.log_density(pd.DataFrame({"share": grid, "day": np.nan}), draws=1).value.exp().numpy()
    assert abs(found.mean() - 1) < 1 / 400
    ends = np.array([found[:8].mean(), found[-8:].mean()])  # 2 % at each end, where 20 rows lie: +- 22 %
    assert np.abs(np.log(ends)).max() < 2 * 0.22


def test_cells_of_days_sum_to_one(one_share: TrainedTable) -> None:
    days = pd.DataFrame({"share": np.nan, "day": np.arange(1, 32)})
    found = one_share.log_density(days, draws=8).value.exp().numpy()
    assert abs(found.sum() - 1) < 0.02
    assert np.abs(found * 31 - 1).max() < 0.5
    outside = one_share.log_density(pd.DataFrame({"share": np.nan, "day": [-3, 0, 32, 60]})).value.exp().sum()
    assert float(outside) < 1e-4


def test_values_beyond_an_estimated_wall_are_unlikely_and_no_error(one_share: TrainedTable) -> None:
    rows = pd.DataFrame({"share": [0.5, 1.001, 1.5, -0.2, 3.0], "day": 3})
    assert not one_share.codec.misfits(rows).any()
    pd.testing.assert_frame_equal(one_share.codec.decode(one_share.codec.encode(rows)), rows)
    found = one_share.log_density(rows).value
    assert abs(float(found[0]) + np.log(31)) < 1 and bool((found[1:] < found[0] + np.log(OUTSIDE) + 3).all())
    assert bool(torch.isfinite(found).all())


def test_walls_are_set_and_turned_off_in_toml() -> None:
    schema = detect(WALLED)
    assert overridden(schema, to_toml(schema), WALLED) == schema
    assert "low = 2024-01-01T00:00:00" in to_toml(schema)
    assert "within 2024-01-01" in str(schema)
    off = overridden(schema, '[column.day]\ntransform = "identity"', WALLED)["day"]
    assert (off.low, off.high) == (None, None)
    wall = '[column.error]\ntransform = "wall"\nlow = -9.0\n'
    walls = '[column.date]\ntransform = "walls"\nlow = 2023-01-01\nhigh = 2026-01-01'
    new = overridden(schema, wall + walls, WALLED)
    assert isinstance(new["error"].transform, Wall) and new["error"].transform.bound == -9.0
    edge = overridden(schema, '[column.error]\ntransform = "edge"\nlow = -9.0\nscale = 0.5', WALLED)["error"]
    assert edge.transform == Edge(-9.0, True, 0.5)
    assert new["date"].transform.high - new["date"].transform.low == 86400 * (365 + 366 + 365 + 1)
    for bad, message in (
        ('[column.day]\ntransform = "wall"', "wall needs one of low and high"),
        ('[column.day]\ntransform = "walls"\nlow = 5\nhigh = 31', "is to be bounded by 5 and holds 1"),
        ('[column.day]\ntransform = "edges"\nlow = 0', "edges needs both low and high"),
        ("[column.day]\nlow = 2024-01-01", "its bounds are numbers"),
        ("[column.day]\nshape = -1.0", "the shape is a number >= 0"),
    ):
        with pytest.raises(DataError, match=message):
            overridden(schema, bad, WALLED)


def test_few_and_constant_values_have_no_walls() -> None:
    for values in ([1.5, 2.5], [0.0, 1.0, 2.0, 5.0], np.arange(14.0)):
        column = detect(pd.DataFrame({"a": np.array(values)}))["a"]
        assert not isinstance(column.transform, Wall | Walls)
    codec = fit_row_codec(WALLED)
    assert codec.decode(codec.encode(WALLED)).equals(WALLED) or np.allclose(
        codec.decode(codec.encode(WALLED))["share"], WALLED["share"], rtol=1e-12
    )
