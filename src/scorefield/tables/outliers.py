"""The least likely rows of a table, and what is surprising in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from scorefield.progress import Report, part, silent
from scorefield.tables.answers import densities
from scorefield.tables.conform import free_name
from scorefield.tables.measures import modelled
from scorefield.tables.schema import Name
from scorefield.tables.trained import TrainedTable

if TYPE_CHECKING:
    import pandas as pd

_EXPECTED = 64  # rows of the model's own, over which a column's expected surprise is the mean
_TOLERANCE = 1e-2  # nats, of a column's surprise


def outliers(
    model: TrainedTable,
    rows: pd.DataFrame,
    share: float = 0.05,
    *,
    tolerance: float = 1e-2,
    seed: int = 0,
    report: Report = silent,
) -> pd.DataFrame:
    """The least likely share of the rows, the least likely first, each with its most surprising column.

    A row with holes has the density of fewer columns; it is ranked as if what is missing were as likely as usual.

    Args:
        model: of the table.
        rows: its columns in any order.
        share: of the rows, in (0, 1]; at least one row.
        tolerance: of the ODE, in nats.
        seed: of all noise.
        report: hears how far the work is.

    Returns:
        `row` (its place, from 1), `log_density`, `standard_error`, `percentile`, `column`, `surprise`, and the row. A
        name that the table has itself gets an underscore.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of rows to list lies in (0, 1], got {share}.")
    found = densities(model, rows, tolerance=tolerance, seed=seed, report=part(report, 0.0, 0.6))
    usual = expected(model, seed, part(report, 0.6, 0.8))
    whole = usual_log_density(found, rows, usual)
    order = np.argsort(whole, kind="stable")[: max(1, math.ceil(share * len(rows)))]
    report = part(report, 0.8, 1.0)
    return listed(model, rows.iloc[order], found.iloc[order], order + 1, usual, seed=seed, report=report)


def usual_log_density(found: pd.DataFrame, rows: pd.DataFrame, usual: Mapping[Name, float]) -> np.ndarray:
    """The log-density of each row, `(n,)`, as if what is missing were as likely as usual.

    Args:
        found: the rows' `densities`.
        rows: the rows.
        usual: what is `expected` of each column.
    """
    holes = rows[list(usual)].isna().to_numpy()
    return np.asarray(found["log_density"].to_numpy() + holes @ np.array(list(usual.values())))


def listed(
    model: TrainedTable,
    rows: pd.DataFrame,
    found: pd.DataFrame,
    number: np.ndarray,
    usual: Mapping[Name, float],
    *,
    seed: int = 0,
    report: Report = silent,
) -> pd.DataFrame:
    """Some rows as `outliers` lists them, in the order in which they come.

    Args:
        model: of the table.
        rows: those rows.
        found: their `densities`.
        number: their places, from 1, `(n,)`.
        usual: what is `expected` of each column.
        seed: of all noise.
        report: hears how far the work is.
    """
    names = list(model.codec.schema.names)
    table = surprises(model, rows, usual, seed=seed, report=report).fillna(-math.inf)
    out = found.copy()
    out.insert(0, "row", number)
    out["column"] = [str(name) for name in table.idxmax(axis=1)]
    out["surprise"] = table.max(axis=1).to_numpy()
    out = out.rename(columns={name: free_name(name, names) for name in out.columns})
    return out.join(rows[names]).reset_index(drop=True)


def expected(model: TrainedTable, seed: int = 0, report: Report = silent) -> dict[Name, float]:
    """`E[log p(value | rest of the row)]` of each column in the model, over rows of the model's own, in nats."""
    own = model.sample(_EXPECTED, seed=seed, repeats=False)
    names = [column.name for column in modelled(model.codec)]
    found = model.log_density_of_each(own, names, tolerance=_TOLERANCE, seed=seed, report=report)
    return dict(zip(names, found.mean(0).tolist(), strict=True))


def surprises(
    model: TrainedTable,
    rows: pd.DataFrame,
    usual: Mapping[Name, float] | None = None,
    *,
    seed: int = 0,
    report: Report = silent,
) -> pd.DataFrame:
    """How surprising each value is given the rest of its row, in nats, NaN for holes.

    `E[log p(value | rest)] - log p(value | rest)`: 0 on average where the model is right, whatever the column's unit.

    Args:
        model: of the table.
        rows: its columns in any order.
        usual: the expectations; default: `expected`.
        seed: of the model's own rows.
        report: hears how far the work is.
    """
    import pandas as pd

    usual = expected(model, seed) if usual is None else usual
    names = list(usual)
    found = model.log_density_of_each(rows, names, tolerance=_TOLERANCE, seed=seed, report=report).numpy()
    away = np.array(list(usual.values())) - found
    return pd.DataFrame(np.where(rows[names].isna(), np.nan, away), index=rows.index, columns=names)
