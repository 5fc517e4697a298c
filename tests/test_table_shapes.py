"""Tables of unusual shapes: right, or refused in one clear sentence."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from scorefield.data import DataError
from scorefield.tables.fit import fit_frame, settings_for

N = 120
RNG = np.random.default_rng(0)
Z = RNG.standard_normal(N)

REFUSED: list[tuple[str, Callable[[], pd.DataFrame], str]] = [
    (
        "ids",
        lambda: pd.DataFrame({"id": [f"r{i}" for i in range(N)], "a": Z}),
        "'id' holds 120 different texts.*leave it",
    ),
    ("all holes", lambda: pd.DataFrame({"a": Z, "b": np.nan}), "'b' has no value in any of the 120 rows; leave it out"),
    ("two rows", lambda: pd.DataFrame({"a": [1.0, 2.0]}), "needs at least 20 rows, got 2"),
    ("nothing varies", lambda: pd.DataFrame({"a": [1] * N, "b": "x"}), "every column is a constant"),
    ("no rows", lambda: pd.DataFrame({"a": []}), "0 rows"),
]


@pytest.mark.parametrize(("make", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_refused(make: Callable[[], pd.DataFrame], message: str) -> None:
    frame = make()
    with pytest.raises(DataError, match=message):
        fit_frame(frame, settings=settings_for(max(len(frame), 1), steps=1))


def test_columns_that_say_little_together() -> None:
    """A constant, a copy, one value for 99 %, row numbers, and rows that are empty."""
    frame = pd.DataFrame({"a": Z, "again": Z, "one": 4, "word": "x", "number": np.arange(N)})
    frame["rare"] = np.where(np.arange(N) == 7, "y", "x")
    frame["mostly"] = np.where(np.arange(N) < 2, 3.5, 0.0)
    frame.loc[5:8, ["a", "again"]] = np.nan
    new = fit_frame(frame, settings=settings_for(N, steps=3), size="small").sample(200, seed=1)
    assert new.columns.tolist() == frame.columns.tolist() and not new.isna().any().any()
    assert (new["a"] == new["again"]).all() and (new["one"] == 4).all() and (new["word"] == "x").all()
    assert set(new["rare"]) <= {"x", "y"} and (new["rare"] == "x").mean() > 0.9
    assert set(new["mostly"]) <= {0.0, 3.5} and (new["mostly"] == 0).mean() > 0.9
    assert new["number"].dtype == frame["number"].dtype and new["number"].nunique() > 80


def test_more_columns_than_rows() -> None:
    frame = pd.DataFrame(RNG.standard_normal((24, 40)), columns=[f"c{j}" for j in range(40)])
    new = fit_frame(frame, settings=settings_for(24, steps=2), size="small").sample(60, seed=1)
    assert new.shape == (60, 40) and bool(np.isfinite(new.to_numpy()).all())
    assert 0.5 < float(new.to_numpy().std()) < 2


def test_a_thousand_categories() -> None:
    code = np.repeat(np.arange(1000), 2)
    frame = pd.DataFrame({"code": [f"c{k:03}" for k in code], "pair": [f"p{k % 2}" for k in code]})
    new = fit_frame(frame, settings=settings_for(2000, steps=1), size="small").sample(300, seed=1)
    assert set(new["code"]) <= set(frame["code"]) and new["code"].nunique() > 150
