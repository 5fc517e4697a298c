"""Tables that were read, written again with their holes filled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield.data import arrowfiles, delimited, excel, jsonlines
from scorefield.data.dates import Times
from scorefield.data.delimited import Delimited
from scorefield.data.dialect import Notation
from scorefield.data.excel import Sheet
from scorefield.data.formats import Format, check_frame_suffix
from scorefield.data.frames import fits, fitting, write_frame
from scorefield.data.jsonlines import JsonLines
from scorefield.data.numbers import Numbers
from scorefield.data.tablefile import TableFile
from scorefield.data.textfiles import text_to
from scorefield.data.writing import _atomically

if TYPE_CHECKING:
    import pandas as pd


def write_filled(
    source: TableFile, rows: pd.DataFrame, filled: Sequence[pd.DataFrame], path: str | Path, draw: str = "draw"
) -> None:
    """Write a table that was read with its holes filled, no character of any other cell changed.

    A file of the form that was read is written in its dialect; in another form the values are the same. Several
    fillings are written one under the other, numbered from 1 in a first column.

    Args:
        source: the table as it was read.
        rows: its rows with the holes that were filled.
        filled: the rows without them, once or several times.
        path: where to.
        draw: name of the first column where there are several.

    Raises:
        DataError: for another suffix.
    """
    path, form = Path(path), check_frame_suffix(path)
    parsed = source.parsed
    if source.format is None or source.format.form != form.form or (len(filled) > 1 and not form.is_text):
        return _write_other(source, filled, path, draw)
    name = draw if len(filled) > 1 else ""
    if isinstance(parsed, Delimited):
        fills = [_texts(source, rows, one) for one in filled]
        own, other = parsed.dialect.separator, fitting(parsed.dialect, form).separator
        other = own if form.suffix == source.format.suffix else other
        _atomically(path, lambda to: _write_delimited(to, source, form, fills, name, other if own != other else None))
    elif isinstance(parsed, JsonLines):
        fills = [_values(source, rows, one) for one in filled]
        _atomically(path, lambda to: _write_json_lines(to, source, form, fills, name))
    elif isinstance(parsed, Sheet):
        _atomically(path, lambda to: excel.write_filled(to, parsed, _values(source, rows, filled[0])))
    else:
        made = arrowfiles.with_filled(parsed, _holes(source, rows, filled[0]))
        _atomically(path, lambda to: _write_arrow(to, made, form))


def _write_other(source: TableFile, filled: Sequence[pd.DataFrame], path: Path, draw: str) -> None:
    """The values alone, in another form of file."""
    import pandas as pd

    if len(filled) == 1:
        return write_frame(filled[0], path)
    whole = pd.concat(list(filled), ignore_index=True)
    whole.insert(0, draw, np.repeat(np.arange(1, len(filled) + 1), len(filled[0])))
    write_frame(whole, path)


def _write_delimited(to: Path, source: TableFile, form: Format, fills: Any, draw: str, separator: str | None) -> None:
    with text_to(to, source.dialect, form.compression) as file:
        delimited.write_filled(file, source.parsed, fills, draw, separator)


def _write_json_lines(to: Path, source: TableFile, form: Format, fills: Any, draw: str) -> None:
    with text_to(to, source.dialect, form.compression) as file:
        jsonlines.write_filled(file, source.parsed, fills, draw)


def _write_arrow(to: Path, table: Any, form: Format) -> None:
    with arrowfiles.arrow_writer(to, table.schema, form.form) as add:
        add(table)


def _holes(source: TableFile, rows: pd.DataFrame, filled: pd.DataFrame) -> dict[str, tuple[Any, Any]]:
    """By column, where its holes are, and what is there now."""
    found = {}
    for name in source.names:
        if name not in rows.columns or name not in filled.columns:
            continue
        holes = rows[name].isna().to_numpy() & filled[name].notna().to_numpy()
        if holes.any():
            found[name] = (holes, filled[name][holes])
    return found


def _texts(source: TableFile, rows: pd.DataFrame, filled: pd.DataFrame) -> dict[int, dict[int, str]]:
    """By row and column, the text of what fills its hole."""
    found: dict[int, dict[int, str]] = {}
    for name, (holes, values) in _holes(source, rows, filled).items():
        texts = as_texts(values, source.dialect.columns.get(name))
        for i, text in zip(np.flatnonzero(holes), texts, strict=True):
            found.setdefault(int(i), {})[source.names.index(name)] = text
    return found


def _values(source: TableFile, rows: pd.DataFrame, filled: pd.DataFrame) -> dict[int, dict[int, Any]]:
    """By row and column, the value that fills its hole; text where the file has text for numbers or times."""
    found: dict[int, dict[int, Any]] = {}
    for name, (holes, values) in _holes(source, rows, filled).items():
        notation = source.dialect.columns.get(name)
        is_text = any(isinstance(cell, str) for cell in _present(source.parsed, name, rows[name]))
        plain = as_texts(values, notation) if is_text and notation is not None else list(values)
        for i, value in zip(np.flatnonzero(holes), plain, strict=True):
            found.setdefault(int(i), {})[source.names.index(name)] = value
    return found


def _present(parsed: JsonLines | Sheet, name: str, series: pd.Series) -> Iterator[Any]:
    """The cells of a column that are no holes, as the file has them."""
    column = parsed.column(name) if isinstance(parsed, JsonLines) else parsed.column(parsed.names.index(name))
    return (cell for cell, there in zip(column, series.notna(), strict=True) if there)


def as_texts(series: pd.Series, notation: Notation | None) -> list[str]:
    """Values as cells of a text file, in a notation where it fits."""
    from pandas.api import types

    if notation is not None and fits(notation, series):
        return notation.texts(series)
    if types.is_datetime64_any_dtype(series):
        return Times("%Y-%m-%d %H:%M:%S").texts(series)
    if types.is_numeric_dtype(series) and not types.is_bool_dtype(series):
        return Numbers().texts(series)
    return [str(value) for value in series]
