"""How a column of a file writes its numbers: decimal sign, thousands, percent and currency signs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Decimal: TypeAlias = Literal["point", "comma"]
DECIMALS: dict[Decimal, str] = {"point": ".", "comma": ","}
_SPACES = " \u00a0\u202f"
_SIGNS = (
    r"[%‰$€£¥₹₽₩₺₪฿₫₴₦]|US\$|R\$|kr|zł|Kč|Ft|"
    "EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|AUD|CAD|NZD|BRL|MXN|ZAR"
)
_CELL = re.compile(
    rf"(?P<open>\()?(?P<sign>[-+−])?(?P<prefix>(?:{_SIGNS})[{_SPACES}]?)?(?P<minus>[-−])?"
    rf"(?P<body>[0-9.,](?:[0-9.,'’{_SPACES}]*[0-9.])?(?:[eE][-+]?[0-9]+)?)(?P<suffix>[{_SPACES}]?(?:{_SIGNS}))?(?P<close>\))?"
)
_END = r"(?:[eE][-+]?[0-9]+)?"
_BODY = {
    "point": re.compile(rf"(?:[1-9][0-9]{{0,2}}(?:(?P<t>[,'’{_SPACES}])[0-9]{{3}})(?:(?P=t)[0-9]{{3}})*|[0-9]+)"
                        rf"(?:\.[0-9]*)?{_END}|\.[0-9]+{_END}"),
    "comma": re.compile(rf"(?:[1-9][0-9]{{0,2}}(?:(?P<t>[.'’{_SPACES}])[0-9]{{3}})(?:(?P=t)[0-9]{{3}})*|[0-9]+)"
                        rf"(?:,[0-9]+)?{_END}|,[0-9]+{_END}"),
}  # fmt: skip
_PHONE_LIKE = re.compile(rf"[0-9]{{3}}(?:[{_SPACES}][0-9]{{3}}){{2,}}")


@dataclass(frozen=True)
class Numbers:
    """The notation of a column of numbers.

    Args:
        decimal: the decimal sign: "point" or "comma".
        thousands: what separates groups of three digits: one character, or "" for nothing.
        prefix: a sign before each number, such as "$", with the space after it.
        suffix: a sign after it, such as " %". The number is what is written: 12 % is 12.
        places: how many decimals every cell has; None: as many as it needs.
        telling: whether some cell has a decimal sign, or one of thousands that could be one.

    Example:
        >>> import pandas as pd
        >>> price = Numbers("comma", ".", suffix=" €", places=2)
        >>> price.values(["1.234,50 €", "-2,00 €"])
        [1234.5, -2.0]
        >>> price.texts(pd.Series([1234.5, None]))
        ['1.234,50 €', '']
    """

    decimal: Decimal = "point"
    thousands: str = ""
    prefix: str = ""
    suffix: str = ""
    places: int | None = None
    telling: bool = False

    def __post_init__(self) -> None:
        texts = (self.thousands, self.prefix, self.suffix)
        if self.decimal not in DECIMALS or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"numbers have a decimal point or comma, and signs that are text, got {self}.")
        if self.places is not None and not (isinstance(self.places, int) and 0 <= self.places < 400):
            raise ValueError(f"numbers have from 0 to 399 decimals, got {self.places!r}.")

    @property
    def plain(self) -> bool:
        """Whether it is what Python, and every program, reads."""
        return self.decimal == "point" and not (self.thousands or self.prefix or self.suffix)

    def values(self, cells: Sequence[str]) -> list[float]:
        """The numbers of cells that are written so."""
        return [float(self.bare(cell)) for cell in cells]

    def bare(self, cell: str) -> str:
        """A cell that is written so, as Python reads it."""
        if self.plain:
            return cell
        text = cell.removeprefix(self.prefix).removesuffix(self.suffix)
        if not (text[:1].isdigit() and text[-1:].isdigit()):
            match = _CELL.fullmatch(cell)
            if match is None:
                raise ValueError(f"no number: {cell!r}")
            negative = match["open"] or match["minus"] or match["sign"] in ("-", "−")
            text = ("-" if negative else "") + match["body"]
        text = text.replace(self.thousands, "") if self.thousands else text
        return text.replace(DECIMALS[self.decimal], ".")

    def texts(self, series: pd.Series) -> list[str]:
        """Numbers as cells; "" where nothing is."""
        return ["" if missing else self._text(value) for value, missing in zip(series, series.isna(), strict=True)]

    def _text(self, value: Any) -> str:
        negative, size = value < 0, abs(value)
        if isinstance(value, (int, np.integer)):
            text = f"{int(size):,}"
        elif self.places is not None and float(f"{size:.{self.places}f}") == size:
            text = f"{size:,.{self.places}f}"
        else:
            text = repr(float(size)).removesuffix(".0")
            whole, point, rest = text.partition(".")
            text = f"{int(whole):,}{point}{rest}" if whole.isdigit() else text
        digits = text.translate({ord(","): self.thousands, ord("."): DECIMALS[self.decimal]})
        return f"{'-' if negative else ''}{self.prefix}{digits}{self.suffix}"


@dataclass(frozen=True)
class NumberCells:
    """What the cells of a column can be as numbers.

    Args:
        notations: by decimal sign those that read every cell; empty: they are no numbers of one notation.
        fault: the place of the first cell that no notation reads, or of one that does not go with the first; None.
        undecided: whether the cells tell nothing of the decimal sign: there is none in any of them.
    """

    notations: dict[Decimal, Numbers]
    fault: int | None = None
    undecided: bool = False


def is_number(cell: str) -> bool:
    """Whether a cell is a number in some notation: 1.5, 1,5, 1.234,50, 12 %, $3, (4.00).

    Example:
        >>> [is_number(cell) for cell in ("1.5", "1,5", "$1,234.50", "1.2.3", "12 kg")]
        [True, True, True, False, False]
    """
    match = _CELL.fullmatch(cell)
    if match is None or bool(match["open"]) != bool(match["close"]):
        return False
    return any(pattern.fullmatch(match["body"]) for pattern in _BODY.values())


def number_cells(cells: Sequence[str]) -> NumberCells:
    """In which notations all cells of a column are numbers; of one sign ($, %), with one separator of thousands."""
    left: dict[Decimal, str] = dict.fromkeys(DECIMALS, "")  # decimal signs with their separators of thousands, so far
    signs: Counter[tuple[str, str]] = Counter()
    bodies: list[str] = []
    for i, cell in enumerate(cells):
        match = _CELL.fullmatch(cell)
        if match is None or bool(match["open"]) != bool(match["close"]):
            return NumberCells({}, i)
        sign = match["prefix"] or "", match["suffix"] or ""
        body = match["body"]
        signs[sign] += 1
        bodies.append(body)
        left = {d: mark for d, seen in left.items() if (mark := _thousands(_BODY[d], body, seen)) is not None}
        if not left or (len(signs) > 1 and len({(a.strip(_SPACES), b.strip(_SPACES)) for a, b in signs}) > 1):
            return NumberCells({}, i)
    telling = any(sign in body for body in bodies for sign in ".,")
    if not bodies or all(next(iter(signs))) or (not telling and all(map(_PHONE_LIKE.fullmatch, bodies))):
        return NumberCells({})
    prefix, suffix = max(sorted(signs), key=signs.__getitem__)
    found = {d: Numbers(d, mark, prefix, suffix, places(bodies, DECIMALS[d]), telling) for d, mark in left.items()}
    return NumberCells(found, None, not telling)


def _thousands(pattern: re.Pattern[str], body: str, seen: str) -> str | None:
    """The separator of thousands, seen so far or now; None where a number is not written so."""
    match = pattern.fullmatch(body)
    mark = None if match is None else match["t"] or seen
    return None if mark is None or (seen and mark != seen) else mark


def places(cells: Sequence[str], point: str = ".") -> int | None:
    """How many decimals all numbers have; None where they differ, or some is written with an exponent.

    Example:
        >>> places(["1.50", "22.25"]), places(["1.5", "2"])
        (2, None)
    """
    found: int | None = None
    for cell in cells:
        count = len(cell) - cell.find(point) - 1 if point in cell else 0
        if (found is not None and count != found) or "e" in cell or "E" in cell:
            return None
        found = count
    return found
