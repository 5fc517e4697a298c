"""What is demanded of rows to draw: values, sets of values and ranges of columns; and how they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from scorefield._files import shown
from scorefield.tables.schema import Name, Schema, list_names


@dataclass(frozen=True)
class Among:
    """One of some values; a single one is given as `impute` takes it."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return f"= {self.values[0]}" if len(self.values) == 1 else f"in {'|'.join(map(str, self.values))}"


@dataclass(frozen=True)
class Except:
    """None of some values."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return " and ".join(f"!= {value}" for value in self.values)


@dataclass(frozen=True)
class Between:
    """From low to high, both included unless open; None: without that end.

    Example:
        >>> str(Between(10, 20, open_high=True))
        '>= 10 and < 20'
    """

    low: Any = None
    high: Any = None
    open_low: bool = False
    open_high: bool = False

    def __str__(self) -> str:
        low = "" if self.low is None else f"{'>' if self.open_low else '>='} {self.low}"
        high = "" if self.high is None else f"{'<' if self.open_high else '<='} {self.high}"
        return " and ".join(part for part in (low, high) if part)


Condition: TypeAlias = Among | Except | Between
Given: TypeAlias = Mapping[Name, Any]
"""By column: a value, a `Condition`, or a list of conditions that hold together."""

_SIGNS = re.compile(r"(<=|>=|!=|==|=|<|>)")
_QUOTED = re.compile(r'"[^"]*"')
_OPPOSITE = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def conditions(given: Given) -> dict[Name, tuple[Condition, ...]]:
    """Every column's conditions.

    Example:
        >>> conditions({"region": "North", "age": Between(10, 20)})["region"]
        (Among(values=('North',)),)
    """
    found = {}
    for name, wanted in given.items():
        several = wanted if isinstance(wanted, list | tuple) else [wanted]
        found[name] = tuple(w if isinstance(w, Among | Except | Between) else Among((w,)) for w in several)
    return found


def parse(texts: Sequence[str], schema: Schema) -> dict[Name, tuple[Condition, ...]]:
    """Conditions as the command line has them: `region=North,age=30`, `price>100`, `10<=age<=20`, `city in Bern|Wien`.

    Commas stand between conditions; a name or value with a comma, a sign or a bar is put in double quotes.

    Args:
        texts: each with one or more conditions.
        schema: whose columns are meant.

    Raises:
        ValueError: for a text that is no condition, or an unknown column.
    """
    found: dict[Name, list[Condition]] = {}
    for text in texts:
        for piece in _split(text, ","):
            name, condition = _parsed(piece, schema)
            found.setdefault(name, []).append(condition)
    return {name: tuple(several) for name, several in found.items()}


def written(given: Mapping[Name, Sequence[Condition]]) -> str:
    """The conditions in words.

    Example:
        >>> written({"age": [Between(10, 20)], "city": [Among(("Bern",))]})
        'age >= 10 and <= 20, city = Bern'
    """
    return ", ".join(f"{name} {condition}" for name, several in given.items() for condition in several)


def _parsed(text: str, schema: Schema) -> tuple[Name, Condition]:
    parts = [part.strip() for part in _split(text, _SIGNS)]
    if len(parts) == 1:
        words = re.fullmatch(r'("[^"]*"|.+?)\s+in\s+(.+)', text.strip())
        if words is None:
            raise _unclear(text)
        return _column(words[1], schema), Among(tuple(_plain(value) for value in _split(words[2], "|")))
    if not all(parts) or len(parts) not in (3, 5):
        raise _unclear(text)
    if len(parts) == 5:
        low, first, name, second, high = parts
        if first in (">", ">=") and second in (">", ">="):
            low, first, second, high = high, _OPPOSITE[second], _OPPOSITE[first], low
        if first not in ("<", "<=") or second not in ("<", "<="):
            raise _unclear(text)
        return _column(name, schema), Between(_plain(low), _plain(high), first == "<", second == "<")
    name, sign, value = parts
    return _column(name, schema), _compared(sign, _plain(value))


def _compared(sign: str, value: str) -> Condition:
    if sign in ("=", "=="):
        return Among((value,))
    if sign == "!=":
        return Except((value,))
    return Between(low=value, open_low=sign == ">") if sign[0] == ">" else Between(high=value, open_high=sign == "<")


def _split(text: str, at: str | re.Pattern[str]) -> list[str]:
    """The text cut at a sign outside of double quotes; signs of a pattern are kept among the parts."""
    hidden = _QUOTED.sub(lambda m: "\0" * len(m[0]), text)
    pattern = at if isinstance(at, re.Pattern) else re.compile(re.escape(at))
    parts, end = [], 0
    for found in pattern.finditer(hidden):
        parts.append(text[end : found.start()])
        if isinstance(at, re.Pattern):
            parts.append(found[0])
        end = found.end()
    return [*parts, text[end:]]


def _plain(text: str) -> str:
    """Without the double quotes around it."""
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _column(text: str, schema: Schema) -> Name:
    wanted = _plain(text)
    found = next((name for name in schema.names if str(name) == wanted), None)
    if found is None:
        raise ValueError(f"there is no column {shown(wanted)} to give; the columns are {list_names(schema.names)}.")
    return found


def _unclear(text: str) -> ValueError:
    return ValueError(
        f"--given takes conditions such as region=North, age!=30, price>100, 10<=age<=20 or city in Bern|Wien, got "
        f"{shown(text.strip())}; names and values with signs or commas go in double quotes."
    )
