"""Which sources are tables of columns of every kind, and those as data frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scorefield.data.dialect import Dialect
from scorefield.data.formats import format_of
from scorefield.data.frames import builtin_frame
from scorefield.data.tablefile import TableFile, read_table

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("breast_cancer", "diabetes", "iris", "wine")
"""Built-in tables."""


def is_table(source: str | Path | TableFile) -> bool:
    """Whether a source is a table of columns of every kind: a file that `read_table` reads, or a built-in table.

    Example:
        >>> is_table("people.csv"), is_table("wine"), is_table("digits")
        (True, True, False)
    """
    if isinstance(source, TableFile):
        return True
    return str(source) in TABLES or format_of(source) is not None


def table(
    source: str | Path,
    dialect: Dialect | None = None,
    *,
    like: Dialect | None = None,
    known: Mapping[str, str] | None = None,
) -> TableFile:
    """A table from a file, or a built-in one with its classes in a column `target`; arguments as `read_table`.

    Raises:
        DataError: for what is no table, or cannot be read.
    """
    if str(source) in TABLES:
        return TableFile(Path(source), builtin_frame(str(source)))
    return read_table(source, dialect, like=like, known=known)


def frame(source: str | Path) -> pd.DataFrame:
    """The rows of a table, see `table`."""
    return table(source).frame
