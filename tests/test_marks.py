"""Columns that were converted from another unit: the values that they can have are found, drawn, and asked for."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.tables.codec import RowCodec, fit_row_codec
from scorefield.tables.detection import detect
from scorefield.tables.events import event
from scorefield.tables.given import Between
from scorefield.tables.lattice import find_lattice
from scorefield.tables.marks import Marks, find_marks
from scorefield.tables.schema_toml import overridden, to_toml

RNG = np.random.default_rng(0)
N = 600


def celsius(f: np.ndarray) -> np.ndarray:
    return np.round((f - 32) * 5 / 9, 1)


F, SECONDS, AGE = np.rint(RNG.normal(60, 15, N)), np.rint(RNG.normal(200, 40, N)), RNG.integers(19, 80, N)
CONVERTED = {  # the values, and all that there can be between the least and the greatest
    "Fahrenheit": (celsius(F), celsius(np.arange(F.min(), F.max() + 1))),
    "minutes": (np.round(SECONDS / 60, 3), np.round(np.arange(SECONDS.min(), SECONDS.max() + 1) / 60, 3)),
    "inches": (
        np.round(0.254 * RNG.geometric(0.03, N), 1),
        None,
    ),
    "standardised": ((AGE - AGE.mean()) / AGE.std(), (np.arange(19, 80) - AGE.mean()) / AGE.std()),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_marks_are_found(name: str) -> None:
    x, all_values = CONVERTED[name]
    marks = find_marks(x, find_lattice(x))
    assert marks is not None
    assert np.array_equal(marks.nearest(x), x)
    if all_values is not None:
        between = [v for v in marks.values if x.min() - 1e-9 <= v <= x.max() + 1e-9]
        np.testing.assert_allclose(between, all_values, atol=1e-9)


def test_a_few_values_that_were_rounded_twice_are_marks_of_their_own() -> None:
    x = celsius(F)
    x[:5] = np.round(x[:5] + 0.1, 1)
    marks = find_marks(x, find_lattice(x))
    assert marks is not None
    assert np.array_equal(marks.nearest(x), x)
    assert marks.width == pytest.approx(5 / 9, abs=0.01)


NOTHING = {
    "decimals": lambda r: np.round(r.normal(0, 3, N), 1),
    "two decimals": lambda r: np.round(r.normal(0, 1, N), 2),
    "skewed decimals": lambda r: np.round(r.lognormal(1, 0.8, N), 1),
    "heaps": lambda r: np.round(np.where(r.random(N) < 0.7, 2.5 * r.integers(0, 40, N), 100 * r.random(N)), 1),
    "few of many": lambda r: np.round(r.random(80), 3)[r.integers(0, 80, N)],
    "floats": lambda r: r.normal(size=80)[r.integers(0, 80, N)],
    "steps of two decimals": lambda r: np.round(0.2 * r.integers(0, 100, N), 1)[: N // 2].repeat(2),
    "logarithms": lambda r: np.log(r.integers(1, 90, N)),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NOTHING)
def test_other_values_have_none(name: str, seed: int) -> None:
    x = NOTHING[name](np.random.default_rng(seed))
    lattice = find_lattice(x)
    if name == "steps of two decimals":  # its lattice says so already
        assert lattice is not None and lattice.width == pytest.approx(0.2)
    assert find_marks(x, lattice) is None


MARKS = Marks((-0.4, 0.0, 0.6, 1.1, 1.7), 0.55)


def test_cells_tile_the_line_and_hold_their_values() -> None:
    at = np.array(MARKS.values)
    low, high = MARKS.ends(at, MARKS.width)
    assert np.array_equal(low[1:], high[:-1])
    assert ((low < at) & (at < high)).all()
    inner = low + (high - low) * np.array([[0.001], [0.5], [0.999]])
    assert np.array_equal(MARKS.nearest(inner), np.tile(at, (3, 1)))
    assert np.array_equal(MARKS.inside(np.array([-9.0, 0.7, 9.0]), 0.0, 1.7), [0.6, 0.6, 1.1])
    with pytest.raises(ValueError, match="ascending"):
        Marks((1.0, 1.0), 0.5)


def frame() -> pd.DataFrame:
    return pd.DataFrame({"t": celsius(F), "age": (AGE - AGE.mean()) / AGE.std(), "x": RNG.normal(size=N)})


def test_rows_come_back_through_the_noise_in_their_cells() -> None:
    table = frame()
    codec = fit_row_codec(table)
    rows = codec.encode(table)
    pd.testing.assert_frame_equal(codec.decode(codec.dequantise(rows, 1))[["t", "age"]], table[["t", "age"]])
    again = RowCodec.from_json(codec.to_json())
    assert again == codec
    text = to_toml(codec.schema)
    assert overridden(detect(table), text, table) == codec.schema


def test_a_smooth_law_gives_each_value_the_probability_of_its_cell() -> None:
    """Fahrenheit of a normal law, rounded, and that law in Celsius on marks: the same shares, by Pearson's test."""
    n = 20_000
    codec = fit_row_codec(frame())
    z = torch.full((n, 3), 0.0, dtype=torch.float64)
    fahrenheit = np.random.default_rng(3).normal(60, 15, n)
    z[:, 0] = torch.from_numpy(((fahrenheit - 32) * 5 / 9 - codec.mean[0]) / codec.std[0])
    made = codec.decode(z)["t"].to_numpy()
    marks = codec.schema["t"].lattice
    assert isinstance(marks, Marks) and set(made) <= set(marks.values)
    near = np.abs(fahrenheit - 60) < 40
    # a border between marks is off the middle of a degree by half a decimal's rounding, 0.05 of 5/9, at most
    assert (made != celsius(np.rint(fahrenheit)))[near].mean() < 2 * 0.05 / (5 / 9) / 2 + 4 * 0.3 / math.sqrt(n)


def test_ranges_hold_for_the_values_that_are_drawn() -> None:
    codec = fit_row_codec(frame())
    z = torch.linspace(-3, 3, 4001, dtype=torch.float64)
    rows = torch.zeros(len(z), 3, dtype=torch.float64)
    rows[:, 0] = z
    drawn = codec.decode(rows)["t"].to_numpy()
    for wanted in (Between(10.0), Between(10.0, open_low=True), Between(high=12.3), Between(9.9, 12.2, open_high=True)):
        found = event(codec, "t", [wanted])
        assert found is not None and found.intervals is not None
        ((low, high),) = found.intervals
        holds = np.ones(len(drawn), dtype=bool)
        if wanted.low is not None:
            holds &= drawn > wanted.low if wanted.open_low else drawn >= wanted.low
        if wanted.high is not None:
            holds &= drawn < wanted.high if wanted.open_high else drawn <= wanted.high
        assert np.array_equal((z.numpy() >= low) & (z.numpy() <= high), holds)


def test_holes_are_no_marks() -> None:
    marks, x = Marks((9.4, 10.0, 10.6, 11.1), 0.556), np.array([np.nan, 10.1])
    for found in (marks.nearest(x), marks.inside(x, 9.0, 12.0), *marks.ends(x, 0.556)):
        assert np.isnan(found[0]) and not np.isnan(found[1])


def test_holes_of_a_column_with_marks_stay_holes_when_encoded() -> None:
    draw = np.random.default_rng(0)
    degrees = np.round((np.round(60 + 12 * draw.normal(size=400)) - 32) / 1.8, 1)
    frame = pd.DataFrame({"celsius": np.where(draw.random(400) < 0.3, np.nan, degrees), "other": draw.normal(size=400)})
    codec = fit_row_codec(frame)
    assert isinstance(codec.schema["celsius"].lattice, Marks)
    rows = codec.encode(frame, 0)[:, codec.schema.names.index("celsius")].numpy()
    assert np.array_equal(np.isnan(rows), frame["celsius"].isna().to_numpy())
