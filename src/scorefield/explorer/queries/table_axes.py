"""The columns of a table as axes from 0 to 1: where values lie on them, what stands beside them, values as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scorefield.report.columns import category_in_words, value_in_words
from scorefield.report.figures import short_number
from scorefield.tables.measures import is_number
from scorefield.tables.schema import Column, Value
from scorefield.tables.transforms import Log

if TYPE_CHECKING:
    import pandas as pd

_PAD = 0.04  # of the range, on each side
_BINS, _MOST_BINS = 30, 70


class Axis(NamedTuple):
    """A column's values, as `measures.values_of` gives them, on an axis from 0 to 1.

    Args:
        column: what it is.
        low: where the axis begins: a value, of a logarithmic axis its logarithm; categories stand at 1/2, 3/2, ...
        high: where it ends.
        log: whether it is logarithmic.
        bins: of a histogram along it: one for each category or whole number, where they are few.
    """

    column: Column
    low: float
    high: float
    log: bool = False
    bins: int = _BINS

    @staticmethod
    def of(column: Column, values: np.ndarray) -> Axis:
        """The axis on which these values lie."""
        if names(column):
            return Axis(column, 0.0, float(column.size), bins=column.size)
        t, here = (
            column.transform,
            values[np.isfinite(values) & ~np.isin(values, np.array(column.atoms) + column.origin)],
        )
        log = isinstance(t, Log) and t.bound == 0 and t.above and bool(len(here)) and bool((here > 0).all())
        kept = np.log(here) if log else values[np.isfinite(values)]
        low, high = (float(kept.min()), float(kept.max())) if len(kept) else (0.0, 1.0)
        step = 0.0 if log else _step(column, kept)
        count = round((high - low) / step) + 1 if step else 0
        if 1 < count <= _MOST_BINS:
            return Axis(column, low - step / 2, high + step / 2, log, count)
        pad = _PAD * (high - low) or 0.5
        return Axis(column, low - pad, high + pad, log)

    def places(self, values: np.ndarray) -> np.ndarray:
        """Where values lie, NaN for none; beyond 0 and 1 those beyond the axis."""
        if names(self.column):
            return (values + 0.5 - self.low) / (self.high - self.low)
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.log(values) if self.log else values
        return np.where(np.isfinite(x), (x - self.low) / (self.high - self.low), np.nan)

    def values(self, places: np.ndarray) -> np.ndarray:
        """The values of a column of numbers or times at places."""
        x = self.low + places * (self.high - self.low)
        return np.exp(x) if self.log else x

    def series(self, places: np.ndarray) -> pd.Series:
        """The same as the table has them."""
        import pandas as pd

        values, column = self.values(places), self.column
        if column.holds == "times":
            return pd.Series(pd.to_datetime(values, unit="s", utc="," in column.dtype)).astype(column.dtype)
        if column.kind == "integer" and column.lattice is not None:
            values = column.lattice.inside(values - column.origin, *column.transform.bounds) + column.origin
        return pd.Series(values)

    def ticks(self) -> list[dict[str, Any]]:
        """Some places with what stands beside them."""
        if names(self.column):
            every = -(-self.column.size // 10)
            chosen = range(0, self.column.size, every)
            return [{"at": float(self.places(np.array([k]))[0]), "text": self.text(k)} for k in chosen]
        values, texts = self._marks()
        at = self.places(np.asarray(values, dtype=np.float64))
        return [
            {"at": float(u), "text": text} for u, text in zip(at, texts, strict=True) if np.isfinite(u) and 0 <= u <= 1
        ]

    def _marks(self) -> tuple[np.ndarray, list[str]]:
        from matplotlib.ticker import LogLocator, MaxNLocator

        low, high = (float(v) for v in self.values(np.array([0.0, 1.0])))
        if self.column.holds == "times":
            return _dates(low, high)
        wide = self.log and high / low > 30
        locator = LogLocator(subs=(1.0,), numticks=6) if wide else MaxNLocator(5)
        marks = np.asarray(locator.tick_values(low, high))
        return marks, [short_number(float(value)) for value in marks]

    def text(self, value: float) -> str:
        """A value in words."""
        return value_in_words(self.column, value)


def _step(column: Column, values: np.ndarray) -> float:
    """The distance of neighbours among whole numbers and ordinals; 0 for other columns."""
    if column.kind == "integer" and column.lattice is not None:
        return column.lattice.width
    apart = np.diff(np.unique(values)) if column.kind == "ordinal" else np.array([])
    return float(apart.min()) if len(apart) else 0.0


def _dates(low: float, high: float) -> tuple[np.ndarray, list[str]]:
    import pandas as pd
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, num2date

    ends = [pd.Timestamp(value, unit="s").to_pydatetime() for value in (low, high)]
    locator = AutoDateLocator(minticks=3, maxticks=6)
    days = np.asarray(locator.tick_values(*ends))
    texts = ConciseDateFormatter(locator).format_ticks(days)
    return np.array([num2date(day).timestamp() for day in days]), [str(text) for text in texts]


def names(column: Column) -> bool:
    """Whether a column's values are categories, at places 0, 1, ..."""
    return column.coded and (not is_number(column) or column.holds == "times")


def choices(column: Column) -> list[str]:
    """The texts of the categories of a column."""
    return [category_in_words(column, value) for value in column.values]


def cell(column: Column, text: str) -> Any:
    """A text as a cell of a column; a ValueError that names the column for one that is none."""
    import pandas as pd

    if names(column):
        found = [value for value in column.values if category_in_words(column, value) == text]
        if not found:
            raise ValueError(f"column {str(column.name)!r} has no value {text[:40]!r}; choose one of its values.")
        return _native(column, found[0])
    if column.holds == "times":
        time = pd.to_datetime(pd.Series([text]), errors="coerce", utc="," in column.dtype)
        if bool(time.isna().any()):
            raise ValueError(f"column {str(column.name)!r} holds times such as 2024-01-31, got {text[:40]!r}.")
        return time.astype(column.dtype)[0]
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        raise ValueError(f"column {str(column.name)!r} holds numbers, got {text[:40]!r}.") from None
    if not np.isfinite(value):
        raise ValueError(f"column {str(column.name)!r} holds finite numbers, got {text[:40]!r}.")
    return value


def _native(column: Column, value: Value) -> Any:
    """A category as the data frame has it: a time of its ticks."""
    import pandas as pd

    if column.holds != "times":
        return value
    return pd.Series(np.array([value], dtype=np.int64)).astype(column.dtype)[0]
