"""Files read as the table that a model was fitted to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield import _files
from scorefield.data import Dialect, TableFile
from scorefield.data.sources import table
from scorefield.data.streams.opening import many_parquet
from scorefield.data.streams.tableparts import TableParts, table_parts
from scorefield.tables.schema import Schema
from scorefield.training.run import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scorefield.tables.trained import TrainedTable


def read_rows(model: TrainedTable, source: str | Path, dialect: Dialect | None = None) -> TableFile:
    """A file read as the model's table: columns hold what they held at training, and what could be read in two ways is
    read as it was there.

    Args:
        model: of a table.
        source: a file, or a built-in table.
        dialect: what is known of the file.

    Raises:
        DataError: for what is no table, or cannot be read.
    """
    data = model.info.get("data", {})
    found = table(source, dialect, like=remembered(data), known=held(model.codec.schema))
    return found.without([name for name in data.get("left_out", ()) if name in found.frame.columns])


def parts_like(model: TrainedTable, source: str | Path) -> TableParts | None:
    """A folder or a pattern of .parquet files as a table of the model's columns; None: it is neither."""
    if not many_parquet(source):
        return None
    return table_parts(source, model.info.get("data", {}).get("left_out", ()), absent=True)


def remembered(stored: Mapping[str, Any]) -> Dialect:
    """The dialect of the file that a model was fitted to; an empty one of older runs, and of data frames."""
    return Dialect.from_json(stored["dialect"]) if stored.get("dialect") else Dialect()


def held(schema: Schema) -> dict[str, str]:
    """By column, what it holds."""
    return {str(column.name): column.holds for column in schema}


def left_out_before(folder: Path | None) -> tuple[str, ...]:
    """The columns that the training in a folder left out; none where there is none."""
    path = None if folder is None else folder / OPTIONS
    return tuple(_files.read_json(path).get("left_out", ())) if path is not None and path.exists() else ()


def read_to_fit(
    source: str | Path, dialect: Dialect | None = None, folder: Path | None = None, leave_out: Sequence[str] = ()
) -> TableFile:
    """A file to fit a model to, its text not kept; one whose training is resumed is read as when that began.

    Args:
        source: a file, or a built-in table.
        dialect: what is known of the file.
        folder: of the training that is resumed.
        leave_out: columns that the model is not to see; when resuming: those that the training began with.

    Raises:
        DataError: for what is no table, or cannot be read.
    """
    path = None if folder is None else folder / OPTIONS
    if path is None or not path.exists():
        return replace(table(source, dialect), parsed=None).without(leave_out)
    stored = _files.read_json(path)
    schema = stored.get("schema")
    with _files.reading(path, "the options of a training"):
        known = {} if schema is None else held(Schema.from_json(schema))
        like = remembered(stored)
    found = replace(table(source, dialect, like=like, known=known), parsed=None)
    return found.without(leave_out or stored.get("left_out", ()))
