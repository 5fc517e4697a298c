"""Lines of JSON objects: a table whose rows name their columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from json.decoder import WHITESPACE, scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import IO, Any

from scorefield._files import reason, shown
from scorefield.data.dataset import DataError, check_names

_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class JsonLines:
    """Lines of objects, taken apart.

    Args:
        names: of the columns, in the order in which they first occur.
        rows: the objects.
        lines: the number of each row's line, from 1.
        text: the whole.
    """

    names: tuple[str, ...]
    rows: list[dict[str, Any]]
    lines: list[int]
    text: str

    def where(self, row: int) -> str:
        """The place of a row, for messages."""
        return f"line {self.lines[row]} of the file"

    def column(self, name: str) -> list[Any]:
        """The values of a column, None where a row has none."""
        return [row.get(name) for row in self.rows]


def parse(text: str, path: Path) -> JsonLines:
    """Take lines of objects apart: numbers, texts, true, false and null by name.

    Raises:
        DataError: for a line that is no such object, with its number; for no rows.
    """
    names: dict[str, None] = {}
    rows, lines = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row = _object(line, f"{path}: line {number}")
        names |= dict.fromkeys(row)
        rows.append(row)
        lines.append(number)
    if not rows:
        raise DataError(f"{path} has no rows; a table needs one object in each line.")
    check_names(list(names), str(path))
    return JsonLines(tuple(names), rows, lines, text)


def _object(line: str, where: str) -> dict[str, Any]:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(found)
        if len(made) < len(found):
            raise ValueError("a name stands in it twice")
        return made

    try:
        row = json.loads(line, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is no JSON object ({reason(error)}); every line is one.") from None
    if not isinstance(row, dict):
        raise DataError(f"{where} holds {shown(row)}; every line is an object, by the names of the columns.")
    for name, value in row.items():
        if isinstance(value, (dict, list)):
            raise DataError(
                f"{where}: {shown(name)} holds {shown(value)}; cells are numbers, texts, true, false, null."
            )
    return row


def write_filled(
    to: IO[str], source: JsonLines, fills: Sequence[Mapping[int, Mapping[int, Any]]], draw: str = ""
) -> None:
    """Write the lines again, nulls and lacking names filled, no other character changed; arguments as for csv."""
    row = {number: i for i, number in enumerate(source.lines)}
    lines = source.text.split("\n")
    for k, fill in enumerate(fills, 1):
        last = len(lines) if k == len(fills) else len(lines) - (not lines[-1])
        for number, line in enumerate(lines[:last], 1):
            i = row.get(number)
            if i is None and k > 1:
                continue
            new = {} if i is None else {source.names[j]: value for j, value in fill.get(i, {}).items()}
            made = _refilled(line, new) if new else line
            if draw and i is not None:
                place = made.index("{") + 1
                made = f"{made[:place]}{json.dumps(draw)}: {k}, {made[place:]}"
            to.write(made + ("\n" if number < last or k < len(fills) else ""))


def _refilled(line: str, new: Mapping[str, Any]) -> str:
    """A line with other values for some names; names that it lacks come last."""
    parts, done, place = [], 0, _space(line, line.index("{") + 1)
    left, empty = dict(new), True
    while line[place] != "}":
        empty = False
        name, place = scanstring(line, _space(line, place + (line[place] == ",")) + 1)
        begin = _space(line, _space(line, place) + 1)
        _, place = _DECODER.raw_decode(line, begin)
        if name in left:
            parts += [line[done:begin], to_json(left.pop(name))]
            done = place
        place = _space(line, place)
    added = ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {to_json(value)}" for name, value in left.items())
    head = line[done:place].rstrip() if added else line[done:place]
    return "".join([*parts, head, "" if empty or not added else ", ", added, line[place:]])


def _space(line: str, place: int) -> int:
    return WHITESPACE.match(line, place).end()


def to_json(value: Any) -> str:
    """A value of a cell in JSON; times as text."""
    if value is None or value != value:
        return "null"
    plain = value.item() if hasattr(value, "item") else value
    if hasattr(plain, "isoformat"):
        plain = plain.isoformat()
    return json.dumps(plain, ensure_ascii=False)


def write_rows(to: IO[str], names: Sequence[str], columns: Iterable[Sequence[Any]]) -> None:
    """Rows as lines of objects."""
    keys = [json.dumps(name, ensure_ascii=False) for name in names]
    for row in zip(*columns, strict=True):
        to.write("{" + ", ".join(f"{key}: {to_json(value)}" for key, value in zip(keys, row, strict=True)) + "}\n")
