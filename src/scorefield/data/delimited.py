"""Text of separated cells: what separates them, the rows, and the same text with some cells filled."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import IO, NamedTuple

from scorefield._files import shown
from scorefield.data.dataset import DataError, check_names
from scorefield.data.dialect import SEPARATORS, Dialect, Quoting
from scorefield.data.numbers import is_number

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_HINT = re.compile(r"sep=(.)(?:\r\n|\r|\n)")
_SAMPLE = 1 << 16  # characters, and
_ROWS = 100  # rows, that tell the separator
_WORDS = frozenset({"", "na", "n/a", "null", "none", "missing", "?", "-"})  # are no names of columns above numbers


class Record(NamedTuple):
    """One row of the text.

    Args:
        raw: as it stands there, with what ends its line.
        cells: what it holds; empty for a blank line.
        line: the number of its first line, from 1.
        last: of its last line: a cell in quotes may hold line ends.
    """

    raw: str
    cells: list[str]
    line: int
    last: int


@dataclass(frozen=True)
class Delimited:
    """A text of separated cells, taken apart.

    Args:
        names: of the columns.
        rows: a cell for each column, without spaces around.
        lines: of each row, the first one.
        header: whether the names stand in the text.
        text: the whole, without the head.
        dialect: its separator, quotes and line ends.
        head: a first line such as `sep=;`, by which Excel knows the separator; "" for none.
        tail: whether every row ends with a separator, after which nothing stands.
    """

    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    header: bool
    text: str
    dialect: Dialect
    head: str = ""
    tail: bool = False

    def where(self, row: int) -> str:
        """The place of a row, for messages."""
        return f"data row {row + 1} (line {self.lines[row]} of the file; data rows count from 1)"


def parse(text: str, path: Path, told: Dialect, suffix: str, like: str | None = None) -> Delimited:
    """Take a text apart: separators as told, or found; a header if there is one.

    The first row is a header when none of its cells is a number, or when one of them is text above a number.

    Raises:
        DataError: for a text without rows, rows of unequal length, unnamed or doubled columns.
    """
    hint = _HINT.match(text)
    head, text = ("", text) if hint is None else (hint[0], text[hint.end() :])
    separator = told.separator or (hint[1] if hint else separator_of(text, suffix, like))
    if told.separator and separator not in text:
        raise DataError(f"{path}: the separator {shown(separator)} stands nowhere in it; leave --separator out.")
    reader = csv.reader(lines_of(text), delimiter=separator, skipinitialspace=separator != " ")
    rows, lines, before = [], [], 0
    for row in reader:
        if row and (len(row) > 1 or row[0].strip()):
            rows.append(list(map(str.strip, row)))
            lines.append(before + 1 + bool(head))
        before = reader.line_num
    tail = all(len(row) > 1 and not row[-1] for row in rows)
    rows = [row[:-1] for row in rows] if tail else rows
    if not rows:
        raise DataError(f"{path} is empty; a table needs a header and rows of numbers.")
    header = is_header(rows[0], rows[1] if len(rows) > 1 else [])
    names = tuple(rows[0]) if header else tuple(f"x{j}" for j in range(len(rows[0])))
    if header:
        check_names(_named(names), str(path))
        del rows[0], lines[0]
    if not rows:
        raise DataError(f"{path} has no data rows, only the header {shown(','.join(names))}.")
    dialect = Dialect(separator, newline=_newline(text), quoting=_quoting(text, separator))
    found = Delimited(names, rows, lines, header, text, dialect, head, tail)
    _check_lengths(found, path)
    if '"' in text:
        _check_quotes(found, path)
    return found


def lines_of(text: str) -> Iterator[str]:
    """The lines of a text with their ends, without a copy of the whole (`io.StringIO` takes four bytes a character).

    Example:
        >>> list(lines_of("a\\r\\n\\nb"))
        ['a\\r\\n', '\\n', 'b']
    """
    return map(itemgetter(0), _LINE.finditer(text))


def _named(names: Sequence[str]) -> list[str]:
    """The names, of which the first may be empty: such a column holds the names of the rows."""
    return ["index" if j == 0 and not name and len(names) > 1 else name for j, name in enumerate(names)]


def _check_quotes(found: Delimited, path: Path) -> None:
    """Raise where the last row ends within quotes."""
    last = found.lines[-1]
    raw = [line for number, line in enumerate(lines_of(found.text), 1 + bool(found.head)) if number >= last]
    cells = raw_cells("".join(raw), found.dialect.separator or ",")
    if any(cell.lstrip().startswith('"') and not re.match(r'\s*"(?:[^"]|"")*"(?!")', cell) for cell in cells):
        raise DataError(f"{path}: a quote that begins in line {last} is never closed; close it, or remove it.")


def _check_lengths(found: Delimited, path: Path) -> None:
    wanted = len(found.names)
    for i, row in enumerate(found.rows):
        if len(row) != wanted:
            than = "the header" if found.header else "the first row"
            inside = any("\n" in cell for cell in row)
            quoted = "; a cell of it in quotes holds line ends, is a quote left open" if inside else ""
            raise DataError(
                f"{path}: {found.where(i)} has {len(row)} cells and {than} has {wanted}; every row needs one cell per "
                f"column{quoted}."
            )


def separator_of(text: str, suffix: str = ".csv", like: str | None = None) -> str:
    """The separator by which the first rows have equally many cells, two or more.

    Among several: that of another file of the same table, then a semicolon, tab or bar before the comma, which stands
    in decimals and in lists as well.

    Example:
        >>> separator_of("a;b\\n1,5;2,5\\n"), separator_of("a,b\\n1;2,3\\n")
        (';', ',')
    """
    sample = text[:_SAMPLE]
    whole = len(sample) == len(text)
    tried = (like or "", "\t" if suffix == ".tsv" else "", *SEPARATORS)
    for separator in filter(None, tried):
        counts = _counts(sample, separator)
        counts = counts if whole or len(counts) > _ROWS else counts[:-1]
        if counts and min(counts) == max(counts) > 1:
            return separator
    lines = [re.sub(r'"[^"]*"', "", line) for line in sample.splitlines() if line.strip()][:2]
    return next((c for c in ";\t|" if lines and all(c in line for line in lines)), ",")


def _counts(sample: str, separator: str) -> list[int]:
    """How many cells each of the first rows has; none where they cannot be read so."""
    counts = []
    try:
        for row in csv.reader(lines_of(sample), delimiter=separator, skipinitialspace=True):
            if row and (len(row) > 1 or row[0].strip()):
                counts.append(len(row))
            if len(counts) > _ROWS:
                break
    except csv.Error:
        return []
    return counts


def is_header(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether a first row holds names: none of its cells is a number, or one of them is text above a number."""
    named = [not is_number(cell) and not is_float(cell) and cell.lower() not in _WORDS for cell in first]
    if any(is_number(cell) or is_float(cell) for cell in first):
        return any(name and is_number(below) for name, below in zip(named, second, strict=False))
    return any(named)


def is_float(cell: str) -> bool:
    """Whether a cell is a number as Python writes it."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _newline(text: str) -> str:
    found = re.search(r"\r\n|\n|\r", text)
    return found[0] if found else "\n"


def _quoting(text: str, separator: str) -> Quoting:
    """Which cells of the first rows stand in quotes."""
    in_quotes: list[str] = []
    bare: list[str] = []
    for k, record in enumerate(records(text[:_SAMPLE], separator)):
        for raw in raw_cells(record.raw, separator):
            cell = raw.strip()
            (in_quotes if cell.startswith('"') else bare).append(cell.strip('"'))
        if k > _ROWS:
            break
    if not in_quotes or all(separator in cell or "\n" in cell or '"' in cell for cell in in_quotes):
        return "minimal"
    if not any(bare):
        return "all"
    return "minimal" if any(cell and not is_number(cell) for cell in bare) else "text"


# -------------------------------------------------------------------------------------------------------------- filling


def records(text: str, separator: str) -> Iterator[Record]:
    """The rows of a text, blank lines among them, each as it stands there."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in lines_of(text):
            taken.append(line)
            yield line

    reader = csv.reader(lines(), delimiter=separator, skipinitialspace=separator != " ")
    before = 0
    for row in reader:
        cells = row if row and (len(row) > 1 or row[0].strip()) else []
        yield Record("".join(taken), cells, before + 1, reader.line_num)
        taken.clear()
        before = reader.line_num


def raw_cells(raw: str, separator: str) -> list[str]:
    """The cells of a record as they stand in it, quotes and spaces included; without its line end.

    Example:
        >>> raw_cells('1,"a, b", 3', ",")
        ['1', '"a, b"', ' 3']
    """
    sign = re.escape(separator)
    pattern = (
        rf' *"(?:[^"]|"")*"?[^{sign}\r\n]*|[^{sign}\r\n]*'
        if separator != " "
        else r'"(?:[^"]|"")*"?[^ \r\n]*|[^ \r\n]*'
    )
    found, place = [], 0
    cell = re.compile(pattern)
    while True:
        match = cell.match(raw, place)
        end = place if match is None else match.end()
        found.append(raw[place:end])
        if not raw.startswith(separator, end):
            return found
        place = end + 1


def write_filled(
    to: IO[str],
    source: Delimited,
    fills: Sequence[Mapping[int, Mapping[int, str]]],
    draw: str = "",
    separator: str | None = None,
) -> None:
    """Write the text again, some cells filled, no other character changed.

    Args:
        to: where.
        source: the text.
        fills: by row, from 0, and column, the text of a cell; several one under the other.
        draw: name of a first column with the number of the filling, from 1; "" for none.
        separator: another one; default: that of the text.
    """
    own = source.dialect.separator or ","
    other = separator or own
    to.write(source.head.replace(own, other))
    for number, fill in enumerate(fills, 1):
        row = -1 - source.header
        for record in records(source.text, own):
            row += bool(record.cells)
            if number > 1 and (row < 0 or not record.cells):
                continue
            raw = _refilled(record, fill.get(row, {}), own, other, source.dialect.quoting)
            if draw and record.cells:
                raw = f"{quoted(draw, other, source.dialect.quoting) if row < 0 else number}{other}{raw}"
            to.write(raw)
            if number < len(fills) and not raw.endswith(("\n", "\r")):
                to.write(source.dialect.newline)


def _refilled(record: Record, fill: Mapping[int, str], own: str, other: str, quoting: Quoting) -> str:
    if not record.cells or (not fill and own == other):
        return record.raw
    body = record.raw.rstrip("\r\n")
    end = record.raw[len(body) :]
    cells = raw_cells(body, own)
    if own != other:
        cells = [quoted(value, other, quoting) for value in record.cells]
    for j, text in fill.items():
        before, after = _around(cells, j) if own == other else ("", "")
        cells[j] = before + quoted(text, other, quoting) + after
    return other.join(cells) + end


def _around(cells: Sequence[str], j: int) -> tuple[str, str]:
    """The spaces before and after what a cell holds; of a blank one on the side where the others have them."""
    cell = cells[j]
    if cell.strip():
        return cell[: len(cell) - len(cell.lstrip())], cell[len(cell.rstrip()) :]
    return (cell, "") if any(other.startswith(" ") for other in cells if other.strip()) else ("", cell)


def quoted(cell: str, separator: str, quoting: Quoting) -> str:
    """A cell as it stands in a text: in quotes where it needs them, or where cells of its kind have them."""
    needed = any(sign in cell for sign in (separator, '"', "\n", "\r")) or cell != cell.strip()
    wanted = quoting == "all" or (quoting == "text" and not is_number(cell))
    return '"' + cell.replace('"', '""') + '"' if needed or wanted else cell
