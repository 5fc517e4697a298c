"""Numbers out of range are refused by the library too, in a sentence with the argument, the value and the range."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scorefield import Denoiser, TrainedModel, nets, plans
from scorefield._ranges import Range, real, whole
from scorefield.records.array_codec import ArrayCodec
from scorefield.training.checkpoint import _RANGES, Settings

CODEC = ArrayCodec(("a", "b"), (0.0, 0.0), (1.0, 1.0), (0.0, 0.0))
MODEL = TrainedModel(Denoiser(nets.ResidualMLP(2, width=16, depth=1)).eval(), CODEC)
ROWS = np.zeros((3, 2))


@pytest.fixture(scope="module")
def table():
    """A model of a table, trained for two steps."""
    from scorefield import ScoreDensity

    return ScoreDensity(steps=2, random_state=0).fit(np.random.default_rng(0).normal(size=(40, 2))).table_


RECORDS: dict[str, Callable[[], object]] = {
    "sample n": lambda: MODEL.sample(-1),
    "sample n 1e12": lambda: MODEL.sample(10**13),
    "sample steps": lambda: MODEL.sample(1, steps=0),
    "sample many steps": lambda: MODEL.sample(1, steps=10**9),
    "sample batch": lambda: MODEL.sample(1, batch=0),
    "sample guidance": lambda: MODEL.sample(1, guidance=math.nan),
    "density tolerance": lambda: MODEL.log_density(ROWS, tolerance=-1.0),
    "density evaluations": lambda: MODEL.log_density(ROWS, evaluations=0),
    "plan": lambda: plans.default(10**9),
}
TABLE: dict[str, Callable[[Any], object]] = {
    "sample n": lambda m: m.sample(-1),
    "sample steps": lambda m: m.sample(1, steps=-1),
    "impute draws": lambda m: m.impute(ROWS, draws=0),
    "impute steps": lambda m: m.impute(ROWS * np.nan, steps=0),
    "density tolerance": lambda m: m.log_density(ROWS, tolerance=math.nan),
    "density draws": lambda m: m.log_density(ROWS, draws=0),
    "column draws": lambda m: m.sample_column(ROWS[:, 1:], "x0", draws=-2),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_model_of_records_refuses(name: str) -> None:
    with pytest.raises(ValueError, match=r"must be a (whole )?number .*got .*\."):
        RECORDS[name]()


@pytest.mark.parametrize("name", TABLE)
def test_a_model_of_a_table_refuses(table, name: str) -> None:
    with pytest.raises(ValueError, match=r"must be a (whole )?number .*got .*\."):
        TABLE[name](table)


def test_what_does_not_fit_into_memory_is_refused_with_its_size(table) -> None:
    for model in (MODEL, table):
        with pytest.raises(ValueError, match=r"needs .* GB of memory, and .* are free; .*first="):
            model.sample(10**12)
    with pytest.raises(ValueError, match=r"needs .* GB of memory"):
        table.impute(np.full((10**6, 2), np.nan), draws=10**6)


@pytest.mark.parametrize("name", _RANGES)
def test_settings_have_ranges(name: str) -> None:
    limits = _RANGES[name]
    for value in (limits.low - 1, limits.high * 2 + 1, math.nan, "1", True):
        with pytest.raises(ValueError, match=f"Settings\\({name}=.*must be"):
            Settings(**{"steps": 1, name: value})


@pytest.mark.parametrize("limits", [whole(1, 5), real(0, 1), real(0, 1, open_low=True), real(0, 1, open_high=True)])
def test_a_range_holds_what_its_words_say(limits: Range) -> None:
    inside = [limits.low] * (not limits.open_low) + [limits.high] * (not limits.open_high)
    assert all(value in limits for value in inside) and (0.5 in limits) == (not limits.whole)
    outside = [limits.low - 1, limits.high + 1, math.nan, math.inf, "1", None, True, 10**400]
    outside += [limits.low] * limits.open_low + [limits.high] * limits.open_high
    assert not any(value in limits for value in outside)
    with pytest.raises(ValueError, match="it must be"):
        limits("it", None)
