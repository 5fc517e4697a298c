"""What a model of a table says of given rows, as data frames: densities, outliers, filled holes, predictions."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from scorefield.data import DataError
from scorefield.data.frames import _MISSING_NUMBERS
from scorefield.tables.predict import Prediction
from scorefield.tables.schema import Column, Name
from scorefield.tables.trained import TrainedTable

if TYPE_CHECKING:
    import pandas as pd

_EXPECTED = 64  # rows of the model's own, over which a column's expected surprise is the mean
_EVALUATIONS = 32  # of the ODE for a column's surprise


def densities(model: TrainedTable, rows: pd.DataFrame, *, tolerance: float = 1e-2, seed: int = 0) -> pd.DataFrame:
    """`log_density` of each row in nats, its `standard_error`, and its `percentile` among the training rows.

    Args:
        model: of the table.
        rows: its columns in any order; a hole is integrated out.
        tolerance: of the ODE, in nats.
        seed: of the noise within cells.
    """
    import pandas as pd

    found = model.log_density(rows, tolerance=tolerance, seed=seed)
    value, error = found.value.numpy(), found.standard_error.numpy()
    percentile = model.percentile(torch.from_numpy(value)).numpy()
    columns = {"log_density": value, "standard_error": error, "percentile": percentile}
    return pd.DataFrame(columns, index=rows.index)


def outliers(
    model: TrainedTable, rows: pd.DataFrame, share: float = 0.05, *, tolerance: float = 1e-2, seed: int = 0
) -> pd.DataFrame:
    """The least likely share of the rows, the least likely first, each with its most surprising column.

    A row with holes has the density of fewer columns; it is ranked as if what is missing were as likely as usual.

    Args:
        model: of the table.
        rows: its columns in any order.
        share: of the rows, in (0, 1]; at least one row.
        tolerance: of the ODE, in nats.
        seed: of all noise.

    Returns:
        `row` (its place, from 1), `log_density`, `standard_error`, `percentile`, `column`, `surprise`, and the row. A
        name that the table has itself gets an underscore.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of rows to list lies in (0, 1], got {share}.")
    names = list(model.codec.schema.names)
    found, usual = densities(model, rows, tolerance=tolerance, seed=seed), expected(model, seed)
    holes = rows[list(usual)].isna().to_numpy()
    whole = found["log_density"].to_numpy() + holes @ np.array(list(usual.values()))
    order = np.argsort(whole, kind="stable")[: max(1, math.ceil(share * len(rows)))]
    worst = rows.iloc[order]
    table = surprises(model, worst, usual, seed=seed).fillna(-math.inf)
    out = found.iloc[order].copy()
    out.insert(0, "row", order + 1)
    out["column"] = [str(name) for name in table.idxmax(axis=1)]
    out["surprise"] = table.max(axis=1).to_numpy()
    out = out.rename(columns={name: free_name(name, names) for name in out.columns})
    return out.join(worst[names]).reset_index(drop=True)


def expected(model: TrainedTable, seed: int = 0) -> dict[Name, float]:
    """`E[log p(value | rest of the row)]` of each column in the model, over rows of the model's own, in nats."""
    own = model.sample(_EXPECTED, seed=seed)
    return {name: float(_given_rest(model, own, name, seed).mean()) for name in _modelled(model)}


def surprises(
    model: TrainedTable, rows: pd.DataFrame, usual: Mapping[Name, float] | None = None, *, seed: int = 0
) -> pd.DataFrame:
    """How surprising each value is given the rest of its row, in nats, NaN for holes.

    `E[log p(value | rest)] - log p(value | rest)`: 0 on average where the model is right, whatever the column's unit.

    Args:
        model: of the table.
        rows: its columns in any order.
        usual: the expectations; default: `expected`.
        seed: of the model's own rows.
    """
    import pandas as pd

    usual = expected(model, seed) if usual is None else usual
    out: dict[Name, Any] = {}
    for name, mean in usual.items():
        out[name] = np.where(rows[name].isna(), np.nan, mean - _given_rest(model, rows, name, seed))
    return pd.DataFrame(out, index=rows.index)


def _modelled(model: TrainedTable) -> list[Name]:
    return [column.name for column in model.codec.schema if column.kind not in ("constant", "copy")]


def _given_rest(model: TrainedTable, rows: pd.DataFrame, name: Name, seed: int) -> np.ndarray:
    return model.log_density(rows, name, draws=1, evaluations=_EVALUATIONS, seed=seed).value.numpy()


def imputed(model: TrainedTable, rows: pd.DataFrame, draws: int = 1, *, steps: int = 18, seed: int = 0) -> pd.DataFrame:
    """The rows with their holes filled; several draws one under the other, numbered from 1 in a first column `draw`.

    Args:
        model: of the table.
        rows: its columns in any order.
        draws: completed tables.
        steps: evaluations of the network per row and draw.
        seed: of the draws.
    """
    import pandas as pd

    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}.")
    found = model.impute(rows, draws=draws, steps=steps, seed=seed)
    if draws == 1:
        return found[0]
    whole = pd.concat(found, ignore_index=True)
    whole.insert(0, free_name("draw", list(rows.columns)), np.repeat(np.arange(1, draws + 1), len(rows)))
    return whole


def predicted(
    model: TrainedTable,
    rows: pd.DataFrame,
    target: Name,
    interval: float = 0.9,
    *,
    draws: int = 199,
    steps: int = 18,
    seed: int = 0,
) -> pd.DataFrame:
    """A column predicted from the others.

    Numbers and times: `mean`, `median` and the ends `low` and `high` of the central interval, of numbers by
    `predicting.Prediction`, of times (and copies) by draws. Categories and booleans: `prediction`, the most probable
    value, and `p_...` for each. What a row lacks besides is integrated out.

    Args:
        model: of the table.
        rows: the other columns in any order; a target column is not looked at.
        target: name of a column.
        interval: probability of the interval, in (0, 1).
        draws: for each row, of times.
        steps: evaluations of the network per quantile or draw.
        seed: of the draws.
    """
    import pandas as pd

    if not 0 < interval < 1:
        raise ValueError(f"the interval's probability lies in (0, 1), got {interval}.")
    rows = without(model, rows, target)
    column = model.codec.schema[target]
    if column.holds == "numbers" and column.kind not in ("categorical", "copy"):
        return _quantiles(model, rows, target, interval, steps)
    column = model.codec.schema[column.of] if column.kind == "copy" else column
    if column.holds in ("text", "booleans") or column.kind == "categorical":
        return _probabilities(model, rows, target, column)
    drawn = pd.DataFrame(model.sample_column(rows, target, draws=draws, steps=steps, seed=seed), index=rows.index)
    return _summary(drawn, column, interval)


def without(model: TrainedTable, rows: pd.DataFrame, target: Name) -> pd.DataFrame:
    """The rows with holes in place of the target, which need not be there.

    Raises:
        ValueError: for an unknown target.
    """
    return model._without(rows, target)


def known(model: TrainedTable, rows: pd.DataFrame, unseen: Literal["error", "missing"]) -> pd.DataFrame:
    """The rows, checked, with holes in place of categories that training did not have, where these are allowed.

    Raises:
        DataError: for other columns, wrong types, unseen categories, values outside of a column's bounds.
    """
    rows = typed(model, rows)
    encoded = model.codec.encode(rows, unseen=unseen)
    if unseen == "error":
        return rows
    blank = model.codec.decode(encoded, index=list(rows.index))
    changed = {c.name: rows[c.name].where(blank[c.name].notna()) for c in model.codec.schema if c.coded}
    return rows.assign(**changed)


def typed(model: TrainedTable, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a file, columns of text and of numbers read as the model has them.

    A file of few rows may look like another type than the table of training did: codes such as 12 and 7 like numbers,
    numbers with a word among them like text.

    Raises:
        DataError: for a word where the model has numbers; says which and where.
    """
    import pandas as pd

    changed: dict[Name, Any] = {}
    for column in model.codec.schema:
        if column.name not in rows.columns:
            continue
        series = rows[column.name]
        text = pd.api.types.is_object_dtype(series) or pd.api.types.is_string_dtype(series)
        if column.holds == "numbers" and text:
            words = series.where(~series.astype(str).str.lower().isin(_MISSING_NUMBERS))
            numbers = pd.to_numeric(words, errors="coerce")
            bad = np.flatnonzero(words.notna() & numbers.isna())
            if len(bad):
                raise DataError(
                    f"column {column.name!r} holds {series.iloc[bad[0]]!r} in row {bad[0] + 1} (from 1), and the model "
                    "has numbers there; correct the cell or leave it empty."
                )
            changed[column.name] = numbers
        elif column.holds == "text" and pd.api.types.is_numeric_dtype(series) and series.notna().any():
            changed[column.name] = series.map(
                lambda v: f"{v:g}" if isinstance(v, float) else str(v), na_action="ignore"
            )
    return rows.assign(**changed) if changed else rows


def free_name(name: str, taken: Collection[Name]) -> str:
    """A name for a column of results beside a table's own: with underscores where the table has it.

    Example:
        >>> free_name("row", ["row", "size"])
        'row_'
    """
    while name in taken:
        name += "_"
    return name


def _quantiles(model: TrainedTable, rows: pd.DataFrame, target: Name, interval: float, steps: int) -> pd.DataFrame:
    import pandas as pd

    law, encoded = Prediction(model, target, steps), model.codec.encode(rows)
    with np.errstate(over="ignore"):  # where the rest of a row is far from all that was learned
        ends = law.quantiles(encoded, np.array([0.5, (1 - interval) / 2, (1 + interval) / 2]))
        mean = law.mean(encoded)
    out = {"mean": mean, "median": ends[:, 0], "low": ends[:, 1], "high": ends[:, 2]}
    return pd.DataFrame(out, index=rows.index)


def _probabilities(model: TrainedTable, rows: pd.DataFrame, target: Name, column: Column) -> pd.DataFrame:
    """The network's answer with the rest of the row given; holes in it are hidden."""
    import pandas as pd

    entries = model.codec.entries_of(target)
    if not entries:
        table = np.ones((len(rows), 1))  # a constant
    else:
        encoded, numbers, j = model.codec.encode(rows), model.codec.continuous, entries[0]
        encoded[:, :numbers] = encoded[:, :numbers].nan_to_num(nan=math.inf)
        with torch.no_grad():
            parts = [model.model.log_codes(part)[j - numbers].exp() for part in encoded.split(4096)]
        answer = torch.cat(parts)
        there = encoded[:, j].isfinite()  # a copy of what is predicted gives it away
        sure = torch.nn.functional.one_hot(encoded[:, j].nan_to_num().long(), answer.shape[1])
        table = torch.where(there[:, None], sure.to(answer), answer).numpy()
    values = np.array(column.values, dtype=object)
    found = pd.DataFrame(table, index=rows.index, columns=[f"p_{value}" for value in values])
    found.insert(0, "prediction", values[table.argmax(1)])
    return found


def _summary(drawn: pd.DataFrame, column: Column, interval: float) -> pd.DataFrame:
    """Mean, median and interval of draws `(n, draws)`."""
    import pandas as pd

    if column.holds == "times":
        flat = pd.to_datetime(pd.Series(drawn.to_numpy().ravel()), utc=True)
        values = flat.astype("int64").to_numpy().reshape(drawn.shape).astype(np.float64)
        unit, zone = getattr(flat.dtype, "unit", "ns"), "," in column.dtype
    else:
        values, unit, zone = drawn.to_numpy(dtype=np.float64), "", False
    whole = column.coded or column.kind == "integer"  # the ends are values that occur
    out = {"mean": values.mean(1), "median": np.median(values, 1)}
    for name, share, side in (("low", (1 - interval) / 2, "floor"), ("high", (1 + interval) / 2, "ceil")):
        place = share * (values.shape[1] + 1) - 1  # so that a new draw falls below with just this probability
        out[name] = _order_statistic(np.sort(values, 1), place, side if whole else "")
    if unit:
        made = {name: pd.to_datetime(v.astype("int64"), unit=unit, utc=True) for name, v in out.items()}
        return pd.DataFrame({k: v if zone else v.tz_localize(None) for k, v in made.items()}, index=drawn.index)
    return pd.DataFrame(out, index=drawn.index)


def _order_statistic(ordered: np.ndarray, place: float, side: str) -> np.ndarray:
    """The value at a place between 0 and the last, between two of them linearly or to one side."""
    place = min(max(place, 0.0), ordered.shape[1] - 1.0)
    place = round(place, 9)
    below, above = math.floor(place), math.ceil(place)
    if side:
        chosen: np.ndarray = ordered[:, below if side == "floor" else above]
        return chosen
    return ordered[:, below] + (place - below) * (ordered[:, above] - ordered[:, below])
