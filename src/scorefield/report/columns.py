"""A column of a table as an axis shows it, and its values in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scorefield.report.figures import plain, short_number
from scorefield.tables.measures import is_number
from scorefield.tables.schema import Column, Value, text_of
from scorefield.tables.transforms import Log

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_MOST_NAMES = 8  # of categories beside an axis


class Shown(NamedTuple):
    """A column to draw.

    Args:
        column: what it is.
        real: its real values as floats, NaN where missing; categories as places on the axis.
        new: likewise of generated rows.
    """

    column: Column
    real: np.ndarray
    new: np.ndarray

    @staticmethod
    def of(column: Column, real: pd.Series, new: pd.Series) -> Shown:
        """Values as floats: times in days since 1970, categories as their places."""
        return Shown(column, *(_floats(column, series) for series in (real, new)))

    @property
    def logarithmic(self) -> bool:
        """Whether the axis is."""
        t = self.column.transform
        return isinstance(t, Log) and t.bound == 0 and t.above and bool((self.ordinary()[0] > 0).all())

    @property
    def named(self) -> bool:
        """Whether the axis has names of categories."""
        return self.column.coded and not is_number(self.column)

    @property
    def atoms(self) -> np.ndarray:
        """The values with a point mass, as numbers of the table."""
        return np.array(self.column.atoms, dtype=np.float64) + self.column.origin

    def ordinary(self) -> tuple[np.ndarray, np.ndarray]:
        """The values without holes and atoms, real and new."""
        real, new = (v[np.isfinite(v) & ~np.isin(v, self.atoms)] for v in (self.real, self.new))
        return real, new


def _floats(column: Column, series: pd.Series) -> np.ndarray:
    import pandas as pd

    if column.holds == "times":
        days = (pd.to_datetime(series, utc=True) - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
        return days.to_numpy(dtype=np.float64)
    if is_number(column):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    place = {value: k for k, value in enumerate(column.values)}
    return np.array([place.get(value, np.nan) for value in series.astype(object)], dtype=np.float64)


def category_in_words(column: Column, value: Value) -> str:
    """A value behind a code; a time at midnight as its date."""
    text = text_of(column, value)
    return re.sub(r"T00:00:00(\.0+)?$", "", text) if column.holds == "times" else text


def value_in_words(column: Column, value: float) -> str:
    """A value as `measures.values_of` gives it: a number, seconds since 1970, the place of a category."""
    import pandas as pd

    if column.coded and (column.holds != "numbers" or column.kind == "categorical"):
        return category_in_words(column, column.values[int(value)])
    if column.holds == "times":
        time = pd.Timestamp(value, unit="s").round("s")
        return str(time.date()) if time == time.normalize() else str(time)
    return f"{value:,.6g}" if 1e-4 <= abs(value) < 1e15 else f"{value:.4g}"


def edges(shown: Shown) -> np.ndarray:
    """Of the bins of a histogram of the real values: whole numbers have bins of as many values each."""
    real = shown.ordinary()[0]
    low, high = np.quantile(real, [0.002, 0.998])
    count = int(min(40, max(12, 2 * len(real) ** 0.4)))
    if shown.logarithmic:
        return np.geomspace(low / 1.1, high * 1.1, count + 1)
    step = shown.column.resolution
    if step and shown.column.holds == "numbers" and high - low < 1e6 * step:
        width = step * max(1, np.ceil((high - low) / (count * step)))
        return np.asarray(np.arange(real.min() - step / 2, high + 1.5 * width, width))
    pad = 0.06 * (high - low) or 1.0
    return np.linspace(low - pad, high + pad, count + 1)


def limit(axis: Axes, shown: Shown, name: str) -> None:
    """Set an axis ("x" or "y") to where the real values are."""
    real = shown.ordinary()[0]
    if not len(real):
        return
    low, high = np.quantile(real, [0.002, 0.998])
    pad = 0.08 * (high - low) or 1.0
    limits = (low / 1.25, high * 1.25) if shown.logarithmic else (low - pad, high + pad)
    (axis.set_xlim if name == "x" else axis.set_ylim)(*limits)


def scale(axis: Axes, shown: Shown, name: str) -> None:
    """Give an axis ("x" or "y") ticks that can be read: dates, names of categories, short numbers."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    side = axis.xaxis if name == "x" else axis.yaxis
    numbers = FuncFormatter(lambda value, _: short_number(value))
    if shown.named:
        names = [plain(category_in_words(shown.column, value), 9) for value in shown.column.values]
        few = range(0, len(names), -(-len(names) // _MOST_NAMES))
        side.set_ticks(list(few), [names[k] for k in few])
    elif shown.column.holds == "times":
        locator = AutoDateLocator(minticks=2, maxticks=4)
        side.set_major_locator(locator)
        side.set_major_formatter(ConciseDateFormatter(locator))
    elif shown.logarithmic and len(shown.ordinary()[0]):
        (axis.set_xscale if name == "x" else axis.set_yscale)("log")
        low, high = np.quantile(shown.ordinary()[0], [0.002, 0.998])
        decades = float(np.log10(high / low))
        side.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.5 else (1.0,), numticks=5))
        side.set_major_formatter(numbers)
        side.set_minor_locator(NullLocator())
    else:
        side.set_major_locator(MaxNLocator(4, integer=shown.column.kind in ("integer", "ordinal")))
        side.set_major_formatter(numbers)
