"""What a model of a table answers of given rows, as data frames: densities, filled holes, predictions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from scorefield.likelihood import LogDensity
from scorefield.progress import Report, silent
from scorefield.tables.predict import Prediction
from scorefield.tables.schema import Column, Name
from scorefield.tables.trained import TrainedTable

if TYPE_CHECKING:
    import pandas as pd


def densities(
    model: TrainedTable, rows: pd.DataFrame, *, tolerance: float = 1e-2, seed: int = 0, report: Report = silent
) -> pd.DataFrame:
    """`log_density` of each row in nats, its `standard_error`, and its `percentile` among the training rows.

    Args:
        model: of the table.
        rows: its columns in any order; a hole is integrated out.
        tolerance: of the ODE, in nats.
        seed: of the noise within cells.
        report: hears how far the work is.
    """
    found = model.log_density(rows, tolerance=tolerance, seed=seed, report=report)
    return density_frame(model, found, rows.index)


def density_frame(model: TrainedTable, found: LogDensity, index: pd.Index) -> pd.DataFrame:
    """Log-densities of rows as `densities` gives them.

    Args:
        model: of the table.
        found: what it answered.
        index: of the rows.
    """
    import pandas as pd

    value, error = found.value.numpy(), found.standard_error.numpy()
    percentile = model.percentile(torch.from_numpy(value)).numpy()
    columns = {"log_density": value, "standard_error": error, "percentile": percentile}
    return pd.DataFrame(columns, index=index)


def predicted(
    model: TrainedTable,
    rows: pd.DataFrame,
    target: Name,
    interval: float = 0.9,
    *,
    draws: int = 199,
    steps: int = 18,
    seed: int = 0,
    first: int = 0,
    report: Report = silent,
) -> pd.DataFrame:
    """A column predicted from the others.

    Numbers and times: `mean`, `median` and the ends `low` and `high` of the central interval, of numbers by
    `Prediction`, of times (and copies) by draws. Categories and booleans: `prediction`, the most probable
    value, and `p_...` for each. What a row lacks besides is integrated out.

    Args:
        model: of the table.
        rows: the other columns in any order; a target column is not looked at.
        target: name of a column.
        interval: probability of the interval, in (0, 1).
        draws: for each row, of times.
        steps: evaluations of the network per quantile or draw.
        seed: of the draws.
        first: number of the first row, which its draws follow from.
        report: hears how far the work is.
    """
    import pandas as pd

    if not 0 < interval < 1:
        raise ValueError(f"the interval's probability lies in (0, 1), got {interval}.")
    rows = model.without(rows, target)
    column = model.codec.schema[target]
    if column.holds == "numbers" and column.kind not in ("categorical", "copy"):
        return _quantiles(model, rows, target, interval, steps, report)
    column = model.codec.schema[column.of] if column.kind == "copy" else column
    if column.holds in ("text", "booleans") or column.kind == "categorical":
        return _probabilities(model, rows, target, column)
    values = model.sample_column(rows, target, draws=draws, steps=steps, seed=seed, first=first)
    drawn = pd.DataFrame(values, index=rows.index)
    return _summary(drawn, column, interval)


def beside_actual(found: pd.DataFrame, actual: pd.Series | None, column: Column) -> pd.DataFrame:
    """Predictions with the row's number, from 1, and where the target was in the table its actual value, first.

    Args:
        found: as `predicted` gives it.
        actual: the target as it was read, `(n,)`; None where it was not there. What is no value of the column's type
            is taken as missing.
        column: the target.
    """
    import pandas as pd

    out = found.copy()
    if actual is not None:
        own = actual.set_axis(found.index)
        if column.holds == "numbers":
            own = pd.to_numeric(own, errors="coerce")
        elif column.holds == "times":
            own = pd.to_datetime(own, errors="coerce", utc="," in column.dtype or None)
        out.insert(0, "actual", own)
    out.insert(0, "row", np.arange(1, len(out) + 1))
    return out


def coverage_text(found: pd.DataFrame, interval: float) -> str:
    """How many of the actual values lie within their intervals, or equal the prediction; "" where none are known.

    Args:
        found: as `beside_actual` gives it.
        interval: probability of the intervals.
    """
    if "actual" not in found:
        return ""
    known = found[found["actual"].notna()]
    if not len(known):
        return ""
    if "prediction" in found:
        right = int((known["prediction"].astype(str) == known["actual"].astype(str)).sum())
        return f"{right:,} of {len(known):,} known values are the most probable one ({right / len(known):.0%})."
    held = int(((known["low"] <= known["actual"]) & (known["actual"] <= known["high"])).sum())
    spread = 1.96 * math.sqrt(interval * (1 - interval) / len(known))
    chance = f"{max(0.0, interval - spread):.0%} to {min(1.0, interval + spread):.0%} by chance"
    share = f"{held / len(known):.0%}; {chance}"
    return f"{100 * interval:g}% intervals hold {held:,} of {len(known):,} known values ({share})."


def _quantiles(
    model: TrainedTable, rows: pd.DataFrame, target: Name, interval: float, steps: int, report: Report
) -> pd.DataFrame:
    import pandas as pd

    law, encoded = Prediction(model, target, steps, report), model.codec.encode(rows)
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
