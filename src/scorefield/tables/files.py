"""Files read as the table that a model was fitted to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield import _files
from scorefield.data import Dialect, TableFile
from scorefield.data.sources import table
from scorefield.tables.schema import Schema
from scorefield.training.run import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    return table(source, dialect, like=remembered(model.info.get("data", {})), known=held(model.codec.schema))


def remembered(stored: Mapping[str, Any]) -> Dialect:
    """The dialect of the file that a model was fitted to; an empty one of older runs, and of data frames."""
    return Dialect.from_json(stored["dialect"]) if stored.get("dialect") else Dialect()


def held(schema: Schema) -> dict[str, str]:
    """By column, what it holds."""
    return {str(column.name): column.holds for column in schema}


def read_to_fit(source: str | Path, dialect: Dialect | None = None, folder: Path | None = None) -> TableFile:
    """A file to fit a model to; one whose training is resumed is read as it was when that began.

    Args:
        source: a file, or a built-in table.
        dialect: what is known of the file.
        folder: of the training that is resumed.

    Raises:
        DataError: for what is no table, or cannot be read.
    """
    path = None if folder is None else folder / OPTIONS
    if path is None or not path.exists():
        return table(source, dialect)
    stored = _files.read_json(path)
    schema = stored.get("schema")
    with _files.reading(path, "the options of a training"):
        known = {} if schema is None else held(Schema.from_json(schema))
        like = remembered(stored)
    return table(source, dialect, like=like, known=known)
