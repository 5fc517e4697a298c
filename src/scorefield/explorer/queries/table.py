"""A run of a table: its rows and the model's, what goes with given cells, a row's surprises, the density of a pair."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import torch

from scorefield.explorer.queries.params import Checked, Seed, Within
from scorefield.explorer.queries.pauses import pause
from scorefield.explorer.queries.table_axes import Axis, cell, choices, names
from scorefield.tables.conform import conform
from scorefield.tables.density import row_log_density
from scorefield.tables.held import held_out
from scorefield.tables.measures import modelled, values_of
from scorefield.tables.outliers import expected, surprises
from scorefield.tables.schema import Column
from scorefield.tables.trained import TrainedTable

if TYPE_CHECKING:
    import pandas as pd

    from scorefield.explorer.session import Session

MOST_COLUMNS, MOST_ROWS, MOST_TEXT = 60, 2000, 200
_EVALUATIONS = 32  # of the ODE, for a picture


@dataclass(frozen=True, eq=False)
class _This:
    """A run as a key: equal only to itself."""

    run: TrainedTable

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _This) and other.run is self.run

    def __hash__(self) -> int:
        return id(self.run)


class Table(NamedTuple):
    """What the page shows of a run.

    Args:
        columns: in the model, the first 60.
        axes: of them.
        rows: real ones, held out first; None where they are not at hand.
        places: of these on the axes `(n, columns)`.
        held: how many of them were held out.
    """

    columns: list[Column]
    axes: list[Axis]
    rows: pd.DataFrame | None
    places: np.ndarray
    held: int


def _hear(share: float, what: str) -> None:
    pause()


def _open(session: Session) -> TrainedTable:
    if not isinstance(session.run, TrainedTable):
        raise ValueError("the open run is not one of a table; open one that was fitted to a .csv or .parquet file.")
    return session.run


@lru_cache(maxsize=1)
def _table(this: _This) -> Table:
    import pandas as pd

    run = this.run
    columns = modelled(run.codec)[:MOST_COLUMNS]
    found = held_out(run)
    parts = [part for part in (found.rows, found.training) if part is not None]
    rows = pd.concat(parts, ignore_index=True).iloc[:MOST_ROWS] if parts else None
    encoded = run.codec.encode(run.sample(500, report=_hear) if rows is None else rows)
    values = [values_of(run.codec, column, encoded) for column in columns]
    axes = [Axis.of(column, v) for column, v in zip(columns, values, strict=True)]
    places = np.stack([axis.places(v) for axis, v in zip(axes, values, strict=True)], 1)
    held = 0 if found.rows is None else min(len(found.rows), MOST_ROWS)
    return Table(columns, axes, rows, places if rows is not None else places[:0], held)


@lru_cache(maxsize=1)
def _usual(this: _This) -> dict[Any, float]:
    """What the model expects of each column's log-density."""
    return expected(this.run, report=_hear)


@dataclass(frozen=True)
class About(Checked):
    """Nothing is to be chosen."""


def about(p: About, session: Session) -> dict[str, Any]:
    """`columns`, each with `name`, `kind`, `choices` (of categories, else None), `ticks` [{at, text}], the `ends` of
    its axis, whether that is of `log` values or of `time` in seconds, `bins` of a histogram, and whether a `density`
    can be drawn over it; `rows` `(n, columns)`, real ones on axes from 0 to 1, NaN for holes; `held`, how many of
    these, the first ones, were held out; `more`, columns that are not shown.
    """
    run = _open(session)
    table = _table(_This(run))
    return {
        "columns": [
            {
                "name": str(axis.column.name)[:MOST_TEXT],
                "kind": axis.column.kind,
                "choices": choices(axis.column) if names(axis.column) else None,
                "ticks": axis.ticks(),
                "ends": [axis.low, axis.high],
                "log": axis.log,
                "time": axis.column.holds == "times",
                "bins": axis.bins,
                "density": axis.column.floating,
            }
            for axis in table.axes
        ],
        "rows": table.places,
        "held": table.held,
        "more": len(modelled(run.codec)) - len(table.columns),
    }


@dataclass(frozen=True)
class Cells(Checked):
    """Cells of one row.

    Args:
        given: their texts, by the number of the column from 0.
    """

    given: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, text in self.given.items():
            if not key.isdecimal() or len(key) > 3:
                raise ValueError(f"given has a column's number as key, got {key[:20]!r}.")
            if len(text) > MOST_TEXT:
                raise ValueError(f"given[{key}] has at most {MOST_TEXT} characters, got {len(text):,}.")


def _frame(run: TrainedTable, table: Table, given: dict[str, str], n: int = 1) -> pd.DataFrame:
    """n equal rows with the given cells, and holes."""
    import pandas as pd

    empty = run.codec.decode(torch.full((n, *run.codec.shape), math.nan, dtype=torch.float64))
    for key, text in given.items():
        if int(key) >= len(table.columns):
            raise ValueError(f"given has columns 0 to {len(table.columns) - 1}, got {key}.")
        column = table.columns[int(key)]
        empty[column.name] = pd.Series([cell(column, text)] * n, dtype=None if column.holds == "times" else object)
    return conform(run.codec, empty)


@dataclass(frozen=True)
class WhatIf(Cells):
    """What goes with given cells.

    Args:
        n: draws.
        steps: evaluations for each.
        seed: of the draws.
    """

    n: Annotated[int, Within(1, 1000)] = 300
    steps: Annotated[int, Within(2, 60)] = 12
    seed: Seed = 0


def what_if(p: WhatIf, session: Session) -> dict[str, Any]:
    """`draws` `(n, columns)` of whole rows with the given cells, on axes from 0 to 1, NaN where a column has an atom
    that its axis does not show; `laws` of each column: of numbers and times `low`, `median` and `high` (5, 50 and 95 %)
    as text; of categories `shares`.
    """
    run = _open(session)
    table = _table(_This(run))
    row = run.codec.encode(_frame(run, table, p.given))
    drawn = run.draws(row, p.n, steps=p.steps, seed=p.seed, report=_hear)[:, 0]
    drawn = run.codec.encode(run.codec.decode(drawn))
    values = [values_of(run.codec, column, drawn) for column in table.columns]
    return {
        "draws": np.stack([axis.places(v) for axis, v in zip(table.axes, values, strict=True)], 1),
        "laws": [_law(axis, v) for axis, v in zip(table.axes, values, strict=True)],
    }


def _law(axis: Axis, values: np.ndarray) -> dict[str, Any]:
    if names(axis.column):
        counts = np.bincount(values.astype(int), minlength=axis.column.size)
        return {"shares": counts / counts.sum()}
    ends = np.quantile(values, [0.05, 0.5, 0.95], method="inverted_cdf")
    return dict(zip(("low", "median", "high"), map(axis.text, ends.tolist()), strict=True))


@dataclass(frozen=True)
class Row(Checked):
    """A real row.

    Args:
        index: of it; those held out come first.
    """

    index: Annotated[int, Within(0, MOST_ROWS)] = 0


def row(p: Row, session: Session) -> dict[str, Any]:
    """`given`, its cells as text by column number, without holes; `held`, whether it was held out."""
    run = _open(session)
    table = _table(_This(run))
    if table.rows is None:
        raise ValueError("the table that the run was fitted to is not at hand; put its file back where it was.")
    if p.index >= len(table.rows):
        raise ValueError(f"index must be from 0 to {len(table.rows) - 1}, got {p.index}.")
    one = run.codec.encode(table.rows.iloc[[p.index]])
    values = [float(values_of(run.codec, column, one)[0]) for column in table.columns]
    given = {
        str(k): _exact(axis, v) for k, (axis, v) in enumerate(zip(table.axes, values, strict=True)) if math.isfinite(v)
    }
    return {"given": given, "held": p.index < table.held}


def _exact(axis: Axis, value: float) -> str:
    """A value as text that is read back as it is."""
    return axis.text(value) if names(axis.column) or axis.column.holds == "times" else f"{value:.12g}"


@dataclass(frozen=True)
class Surprises(Cells):
    """A row whose cells are judged, each by the others.

    Args:
        seed: of the noise within cells.
    """

    seed: Seed = 0


def surprising(p: Surprises, session: Session) -> dict[str, Any]:
    """`log_density` of what is given, in nats; its `percentile` among training rows, None for a part of a row;
    `surprise` of each column in nats: by how much the log-density of its cell given the others falls below what the
    model expects of the column; None for holes.
    """
    run = _open(session)
    this = _This(run)
    table = _table(this)
    frame = _frame(run, table, p.given)
    found = run.log_density(frame, tolerance=1e-2, seed=p.seed, report=_hear).value
    stored = run.training_log_densities
    whole = len(p.given) == len(modelled(run.codec))  # a part has the density of fewer columns
    percentile = float(run.percentile(found)[0]) if whole and stored is not None and len(stored) else None
    given = {table.columns[int(key)].name for key in p.given}
    usual = {name: value for name, value in _usual(this).items() if name in given}
    told = surprises(run, frame, usual, seed=p.seed, report=_hear)
    return {
        "log_density": float(found[0]),
        "percentile": percentile,
        "surprise": [float(told[c.name].iloc[0]) if c.name in told else None for c in table.columns],
    }


@dataclass(frozen=True)
class Density(Cells):
    """The density of two columns of numbers or times, given cells of others.

    Args:
        x: number of the column across.
        y: of the column up.
        n: points each way.
        network: the model itself; else its mixture alone, at once.
    """

    x: Annotated[int, Within(0, MOST_COLUMNS - 1)] = 0
    y: Annotated[int, Within(0, MOST_COLUMNS - 1)] = 1
    n: Annotated[int, Within(4, 40)] = 20
    network: bool = True


def density(p: Density, session: Session) -> dict[str, Any]:
    """`log_density` `(n, n)` over the cells of a grid of the axes, row by row upwards, up to a constant; its `max`."""
    run = _open(session)
    table = _table(_This(run))
    if max(p.x, p.y) >= len(table.axes) or p.x == p.y:
        raise ValueError(f"x and y must be two of the columns 0 to {len(table.axes) - 1}, got {p.x} and {p.y}.")
    axes = [table.axes[k] for k in (p.x, p.y)]
    for axis in axes:
        if not axis.column.floating:
            raise ValueError(f"column {str(axis.column.name)!r} has codes, and no density over an axis.")
    at = (np.arange(p.n) + 0.5) / p.n
    places = np.tile(at, p.n), np.repeat(at, p.n)
    given = {key: text for key, text in p.given.items() if int(key) not in (p.x, p.y)}
    frame = _frame(run, table, given, p.n**2)
    for axis, place in zip(axes, places, strict=True):
        frame[axis.column.name] = axis.series(place)
    found = _log_density(run, frame, [axis.column for axis in axes], p.network)
    for axis, place in zip(axes, places, strict=True):
        found = found + (np.log(axis.values(place)) if axis.log else 0.0)  # per unit of the axis
    return {"log_density": found.reshape(p.n, p.n), "max": float(found.max())}


def _log_density(run: TrainedTable, frame: pd.DataFrame, columns: list[Column], network: bool) -> np.ndarray:
    """The log-density of some columns given the others, by the model or, up to a constant, by its mixture alone."""
    rows = run.codec.encode(frame, unseen="missing")
    if not network:
        return np.asarray(run.reference_log_density(rows).numpy())
    asked = torch.zeros_like(rows, dtype=torch.bool)
    for column in columns:
        asked[:, list(run.codec.entries_of(column.name))] = True
    found = row_log_density(run.model, run.layout, rows, asked, evaluations=_EVALUATIONS, report=_hear).value
    return np.asarray((found + run.codec.log_det_encoded(rows.masked_fill(~asked, math.nan))).numpy())
