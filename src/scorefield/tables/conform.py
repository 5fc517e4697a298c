"""Rows of a file as a model's columns have them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scorefield.data import DataError
from scorefield.data.columns import MISSING_NUMBERS
from scorefield.tables.codec import RowCodec
from scorefield.tables.schema import Name, Schema

if TYPE_CHECKING:
    import pandas as pd


def conform(codec: RowCodec, rows: pd.DataFrame, unseen: Literal["error", "missing"] = "error") -> pd.DataFrame:
    """The rows, checked, with holes in place of categories that training did not have, where these are allowed.

    Args:
        codec: of the model.
        rows: its columns in any order.
        unseen: what is done with categories that training did not have.

    Raises:
        DataError: for other columns, wrong types, unseen categories, values outside of a column's bounds.
    """
    rows = typed(codec.schema, rows)
    encoded = codec.encode(rows, unseen=unseen)
    if unseen == "error":
        return rows
    blank = codec.decode(encoded, index=list(rows.index))
    changed = {c.name: rows[c.name].where(blank[c.name].notna()) for c in codec.schema if c.coded}
    return rows.assign(**changed)


def typed(schema: Schema, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a file, columns of text and of numbers read as the model has them.

    A file of few rows may look like another type than the table of training did: codes such as 12 and 7 like numbers,
    numbers with a word among them like text.

    Raises:
        DataError: for a word where the model has numbers; says which and where.
    """
    import pandas as pd

    changed: dict[Name, Any] = {}
    for column in schema:
        if column.name not in rows.columns:
            continue
        series = rows[column.name]
        text = pd.api.types.is_object_dtype(series) or pd.api.types.is_string_dtype(series)
        if column.holds == "numbers" and text:
            cells = series.where(~series.astype(str).str.lower().isin(MISSING_NUMBERS))
            numbers = pd.to_numeric(cells, errors="coerce")
            bad = np.flatnonzero(cells.notna() & numbers.isna())
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
    """A name for a column of results next to a table's own: with underscores where the table has it.

    Example:
        >>> free_name("row", ["row", "size"])
        'row_'
    """
    while name in taken:
        name += "_"
    return name
