"""How a column of a file writes its times: the order of day, month and year, the signs between, the time of day."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import pandas as pd

Order: TypeAlias = Literal["day-first", "month-first"]
_TIME = (
    r"(?P<join>[T ]|, )(?P<clock>\d{1,2}:\d{2}(?P<second>:\d{2}(?:\.(?P<fraction>\d{1,9}))?)?)(?P<half> ?[AaPp][Mm])?"
)
_YEAR_LAST = re.compile(rf"(?P<a>\d{{1,2}})(?P<sign>[./-])(?P<b>\d{{1,2}})(?P=sign)(?P<year>\d{{4}})(?:{_TIME})?")
_YEAR_FIRST = re.compile(rf"(?P<year>\d{{4}})(?P<sign>[./-])(?P<a>\d{{1,2}})(?P=sign)(?P<b>\d{{1,2}})(?:{_TIME})?")
_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:(?P<join>[T ])\d{2}:\d{2}(?P<second>:\d{2}(?:\.(?P<fraction>\d{1,9}))?)?"
    r"(?P<zone>Z|[+-]\d{2}:?\d{2})?)?"
)
_TWO_DIGITS = re.compile(r"\d{1,2}([./-])\d{1,2}\1\d{2}")
_NAMED = re.compile(r"(?:\d{1,2}[ -][A-Za-z]{3,9}[ -]|[A-Za-z]{3,9} \d{1,2}, )\d{4}")
_NAMED_FORMATS = ("%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%d-%B-%Y", "%b %d, %Y", "%B %d, %Y")
_ORDERS: dict[Order, tuple[str, str]] = {"day-first": ("%d", "%m"), "month-first": ("%m", "%d")}


@dataclass(frozen=True)
class Times:
    """The notation of a column of times.

    Args:
        format: of `strftime`, without the zone.
        padded: whether days, months and hours have two digits.
        fraction: how many digits `%f` has.
        zone: "", "Z", or an offset such as "+02:00".
        order: of day and month where the year is last.

    Example:
        >>> import pandas as pd
        >>> Times("%d.%m.%Y", order="day-first").texts(pd.Series([pd.Timestamp("2024-05-01"), pd.NaT]))
        ['01.05.2024', '']
    """

    format: str = "%Y-%m-%d"
    padded: bool = True
    fraction: int = 0
    zone: str = ""
    order: Order | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.format, str) and isinstance(self.zone, str) and isinstance(self.fraction, int)):
            raise ValueError(f"times have a format, a number of decimals and a zone, got {self}.")
        if self.order not in (None, *_ORDERS) or not re.fullmatch(r"Z?|[+-]\d{2}:?\d{2}", self.zone):
            raise ValueError(f"times have the day or the month first, and a zone such as +02:00, got {self}.")

    def texts(self, series: pd.Series) -> list[str]:
        """Times as cells; "" where nothing is."""
        return ["" if missing else self._text(value) for value, missing in zip(series, series.isna(), strict=True)]

    def _text(self, time: Any) -> str:
        if self.zone and time.tzinfo is not None:
            time = time.tz_convert("UTC" if self.zone == "Z" else f"UTC{_colon(self.zone)}")
        # not strftime: it pads years below 1000 by the system's taste
        parts = {"%Y": f"{time.year:04d}", "%b": time.strftime("%b"), "%B": time.strftime("%B"), "%p": f"{time:%p}"}
        width = 2 if self.padded else 1
        parts |= {"%d": f"{time.day:0{width}d}", "%m": f"{time.month:0{width}d}", "%H": f"{time.hour:0{width}d}"}
        parts |= {
            "%I": f"{(time.hour + 11) % 12 + 1:0{width}d}",
            "%M": f"{time.minute:02d}",
            "%S": f"{time.second:02d}",
        }
        parts["%f"] = f"{time.microsecond:06d}{time.nanosecond:03d}"[: self.fraction]
        text = re.sub(r"%[A-Za-z]", lambda match: parts.get(match[0], match[0]), self.format)
        return text + self.zone


def iso_notation(cells: Sequence[str]) -> Times | None:
    """The notation of ISO 8601 cells, the most precise among them; None where one is none, or only some have a zone."""
    found: list[re.Match[str]] = []
    for cell in dict.fromkeys(cells):
        match = _ISO.fullmatch(cell)
        if match is None or bool(match["zone"]) != bool((found or [match])[0]["zone"]):
            return None
        found.append(match)
    if not found:
        return Times()
    finest = max(found, key=lambda m: (bool(m["join"]), bool(m["second"]), len(m["fraction"] or "")))
    seconds = "" if finest["second"] is None else ":%S.%f" if finest["fraction"] else ":%S"
    clock = f"{finest['join']}%H:%M{seconds}" if finest["join"] else ""
    return Times(f"%Y-%m-%d{clock}", True, len(finest["fraction"] or ""), finest["zone"] or "")


@dataclass(frozen=True)
class TimeCells:
    """What the cells of a column can be as times.

    Args:
        times: by the order of day and month, the times `(n,)`; None as the order where the year is first or months are
            named.
        notations: likewise.
        clash: places of two cells of which one must have the day first and the other the month; None.
        dotted: whether points stand between, as where the day is first.
    """

    times: dict[Order | None, pd.Series]
    notations: dict[Order | None, Times]
    clash: tuple[int, int] | None = None
    dotted: bool = False


def time_cells(cells: Sequence[str]) -> TimeCells | None:
    """Cells as dates and times that are not ISO 8601, None where they are none."""
    if not cells:
        return None
    if all(map(_NAMED.fullmatch, cells)):
        return _named(cells)
    for pattern in (_YEAR_LAST, _YEAR_FIRST):
        matches = [match for match in map(pattern.fullmatch, cells) if match]
        if len(matches) == len(cells):
            return _numeric(cells, matches, pattern is _YEAR_LAST)
    return None


def has_short_years(cells: Sequence[str]) -> bool:
    """Whether all cells look like dates with years of two digits."""
    return bool(cells) and all(map(_TWO_DIGITS.fullmatch, cells))


def _numeric(cells: Sequence[str], matches: list[re.Match[str]], year_last: bool) -> TimeCells | None:
    first, second = ([i for i, m in enumerate(matches) if int(m[part]) > 12] for part in "ab")
    if year_last and first and second:
        return TimeCells({}, {}, (first[0], second[0]))
    if not year_last:
        orders: tuple[Order | None, ...] = (None,)
    else:
        orders = ("day-first",) if first else ("month-first",) if second else ("day-first", "month-first")
    found = {order: _parsed(cells, matches, order) for order in orders}
    kept = {order: made for order, made in found.items() if made is not None}
    if not kept:
        return None
    times, notations = ({order: made[k] for order, made in kept.items()} for k in (0, 1))
    return TimeCells(times, notations, dotted=all(m["sign"] == "." for m in matches))


def _parsed(cells: Sequence[str], matches: list[re.Match[str]], order: Order | None) -> tuple[Any, Any] | None:
    import pandas as pd

    formats = [_format(match, order) for match in matches]
    series = pd.Series(list(cells), dtype=object)
    made = pd.Series(pd.NaT, index=series.index, dtype="datetime64[us]")
    for form in set(formats):
        chosen = pd.Series([one == form for one in formats])
        try:
            made[chosen] = pd.to_datetime(series[chosen].str.upper(), format=form).astype("datetime64[us]")
        except (ValueError, OverflowError):
            return None
    finest, _ = max(Counter(formats).items(), key=lambda item: (len(item[0]), item[1]))
    padded = not any(len(m[part]) == 1 for m in matches for part in "ab")
    digits = max(len(m["fraction"] or "") for m in matches)
    return made, Times(finest, padded, digits, "", order)


def _format(match: re.Match[str], order: Order | None) -> str:
    sign = match["sign"]
    if order is None:
        date = sign.join(("%Y", "%m", "%d"))
    else:
        date = sign.join((*_ORDERS[order], "%Y"))
    if match["clock"] is None:
        return date
    hour = "%I" if match["half"] else "%H"
    seconds = "" if match["second"] is None else ":%S.%f" if match["fraction"] else ":%S"
    half = "" if not match["half"] else " %p" if match["half"].startswith(" ") else "%p"
    return f"{date}{match['join']}{hour}:%M{seconds}{half}"


def _named(cells: Sequence[str]) -> TimeCells | None:
    import pandas as pd

    for form in _NAMED_FORMATS:
        try:
            times = pd.Series(pd.to_datetime(pd.Series(list(cells), dtype=object), format=form)).astype(
                "datetime64[us]"
            )
        except (ValueError, OverflowError):
            continue
        padded = not any(len(number) == 1 for cell in cells for number in re.findall(r"\d+", cell))
        return TimeCells({None: times}, {None: Times(form, padded)})
    return None


def _colon(offset: str) -> str:
    return offset if ":" in offset else f"{offset[:3]}:{offset[3:]}"
