"""Which sources are tables of columns of every kind, and those as data frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scorefield.data.frames import builtin_frame, read_frame

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("breast_cancer", "diabetes", "iris", "wine")
"""Built-in tables."""


def is_table(source: str | Path) -> bool:
    """Whether a source is a table of columns of every kind: a .csv or .parquet file, or a built-in table.

    Example:
        >>> is_table("people.csv"), is_table("wine"), is_table("digits")
        (True, True, False)
    """
    return str(source) in TABLES or Path(source).suffix.lower() in (".csv", ".parquet")


def frame(source: str | Path) -> pd.DataFrame:
    """A table as a data frame: a .csv or .parquet file, or a built-in table with its classes in a column `target`.

    Raises:
        DataError: for what is no table, or cannot be read.
    """
    return builtin_frame(str(source)) if str(source) in TABLES else read_frame(source)
