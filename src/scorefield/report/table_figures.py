"""The drawings of a table's report, each as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scorefield.report.figures import GREY, NEW, REAL, _panels, _png
from scorefield.tables.evaluate import Coverage, Densities
from scorefield.tables.measures import is_number
from scorefield.tables.schema import Column
from scorefield.tables.transforms import Log

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_MARGINALS, MOST_PAIRED, MOST_BARS = 20, 5, 12
_POINTS = 800  # of a scatter plot


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
        return isinstance(t, Log) and t.bound == 0 and t.above

    def ordinary(self) -> tuple[np.ndarray, np.ndarray]:
        """The values without holes and atoms, real and new."""
        real, new = (v[np.isfinite(v) & ~np.isin(v, self.column.atoms)] for v in (self.real, self.new))
        return real, new


def marginals_png(shown: Sequence[Shown]) -> bytes:
    """Each column: histograms of numbers and times, bars of codes; real filled, new outlined."""
    shown = shown[:MOST_MARGINALS]
    across = min(4, len(shown))
    figure, axes = _panels(len(shown), (2.6 * across, 2.0 * -(-len(shown) // across)), across)
    for axis, each in zip(axes, shown, strict=False):
        (_bars if each.column.coded else _histogram)(axis, each)
        axis.set_yticks([])
    axes[0].legend(frameon=False, fontsize=8)
    return _png(figure)


def pairs_png(shown: Sequence[Shown]) -> bytes:
    """Up to five columns against each other: real rows below the diagonal, new rows above it."""
    chosen = _most_related(shown)
    k = len(chosen)
    figure, axes = _panels(k * k, (1.95 * k + 0.5, 1.95 * k), k)
    for i, row in enumerate(chosen):
        for j, column in enumerate(chosen):
            axis = axes[i * k + j]
            if i == j:
                _histogram(axis, row, title=False)
                axis.set_yticks([])
            else:
                _scatter(axis, column, row, new=j > i)
                axis.tick_params(labelleft=j == 0)
            axis.tick_params(labelbottom=i == k - 1, labelsize=7)
            if i == k - 1:
                axis.set_xlabel(_short(column.column), fontsize=9)
            if j == 0:
                axis.set_ylabel(_short(row.column), fontsize=9)
    return _png(figure)


def coverage_png(found: Sequence[Coverage]) -> bytes:
    """How many values lie within intervals of each probability, and for each column within 50 % and 90 %."""
    tall = max(3.4, 0.24 * len(found) + 1.2)
    figure, (left, right) = _panels(2, (9.6, tall))
    grid = np.linspace(0, 1, 51)
    pooled = np.concatenate([c.ranks for c in found])
    for c in found:
        left.plot(grid, [(np.abs(c.ranks - 0.5) <= q / 2).mean() for q in grid], color=REAL, alpha=0.25, lw=1)
    left.plot(grid, [(np.abs(pooled - 0.5) <= q / 2).mean() for q in grid], color=REAL, lw=2.2, label="all columns")
    left.plot([0, 1], [0, 1], "k--", lw=1, label="right")
    left.set(xlabel="probability of the interval", ylabel="share of values within", xlim=(0, 1), ylim=(0, 1))
    left.set_box_aspect(1)
    left.legend(frameon=False, fontsize=8)
    place = np.arange(len(found))[::-1]
    for share, nominal, colour in (([c.half for c in found], 0.5, NEW), ([c.most for c in found], 0.9, REAL)):
        error = [1.96 * (nominal * (1 - nominal) / len(c.ranks)) ** 0.5 for c in found]
        right.errorbar(share, place, xerr=error, fmt="o", ms=4, lw=1, color=colour, label=f"{nominal:.0%} interval")
        right.axvline(nominal, color=colour, ls="--", lw=1)
    right.set_yticks(place, [c.column[:22] for c in found], fontsize=8)
    right.set(xlim=(0, 1.02), ylim=(-0.7, len(found) - 0.3), xlabel="share of values within")
    right.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return _png(figure)


def density_png(found: Densities) -> bytes:
    """Histograms of log-densities: training rows, real rows, new rows."""
    figure, (axis,) = _panels(1, (7.2, 3.2))
    parts = [("real rows", found.real, REAL), ("new rows", found.new, NEW)]
    if found.training is not None and len(found.training):
        parts.insert(0, ("training rows", found.training, GREY))
    everything = np.concatenate([values for _, values, _ in parts])
    low, high = np.quantile(everything, [0.005, 1.0])
    pad = 0.03 * (high - low) or 1.0
    bins = np.linspace(low - pad, high + pad, 36)
    for name, values, colour in parts:
        filled: dict[str, Any] = {"alpha": 0.3} if colour == GREY else {"histtype": "step", "lw": 1.8}
        label = f"{name}, mean {values.mean():.2f}"
        axis.hist(np.clip(values, bins[0], None), list(bins), density=True, color=colour, label=label, **filled)
    axis.axvline(
        found.reference.mean(), color="k", ls=":", lw=1, label=f"real, no network {found.reference.mean():.2f}"
    )
    axis.set_yticks([])
    axis.set_xlabel("log-density of a row, nats")
    axis.legend(frameon=False, fontsize=8)
    return _png(figure)


def _floats(column: Column, series: pd.Series) -> np.ndarray:
    import pandas as pd

    if column.holds == "times":
        days = (pd.to_datetime(series, utc=True) - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
        return days.to_numpy(dtype=np.float64)
    if is_number(column):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    place = {value: k for k, value in enumerate(column.values)}
    return np.array([place.get(value, np.nan) for value in series.astype(object)], dtype=np.float64)


def _short(column: Column) -> str:
    name = str(column.name)
    return name if len(name) <= 24 else name[:22] + "..."


def _histogram(axis: Axes, shown: Shown, title: bool = True) -> None:
    real, new = shown.ordinary()
    if len(real) and len(new):
        if shown.column.coded:
            edges = np.unique(real)
            bins = np.append(edges - 0.5 * np.diff(edges, prepend=edges[0] - 1), edges[-1] + 0.5)
        else:
            bins = _bins(shown, real)
        axis.hist(real, list(bins), density=True, color=REAL, alpha=0.35, label="real")
        axis.hist(new, list(bins), density=True, histtype="step", color=NEW, lw=1.5, label="new")
    _scale(axis, shown, "x")
    if title:
        axis.set_title(f"{_short(shown.column)}{_atom_shares(shown)}", fontsize=9)


def _bins(shown: Shown, real: np.ndarray) -> np.ndarray:
    low, high = np.quantile(real, [0.002, 0.998])
    count = int(min(40, max(12, 2 * len(real) ** 0.4)))
    if shown.logarithmic and low > 0:
        return np.geomspace(low / 1.1, high * 1.1, count + 1)
    pad = 0.06 * (high - low) or 1.0
    return np.linspace(low - pad, high + pad, count + 1)


def _atom_shares(shown: Shown) -> str:
    atoms = shown.column.atoms
    if not atoms:
        return ""
    shares = [float(np.isin(v[np.isfinite(v)], atoms).mean()) for v in (shown.real, shown.new)]
    return f"\n{atoms[0]:g}{' and others' if len(atoms) > 1 else ''}: {shares[0]:.0%} real, {shares[1]:.0%} new"


def _bars(axis: Axes, shown: Shown) -> None:
    """The frequencies of codes, the most frequent ones of many."""
    column = shown.column
    values = np.unique(shown.real[np.isfinite(shown.real)])
    shares = [
        np.array([(v == value).sum() / max(1, np.isfinite(v).sum()) for value in values])
        for v in (shown.real, shown.new)
    ]
    order = np.sort(np.argsort(-shares[0], kind="stable")[:MOST_BARS])
    axis.bar(np.arange(len(order)), shares[0][order], 0.85, color=REAL, alpha=0.35, label="real")
    axis.bar(np.arange(len(order)), shares[1][order], 0.85, fill=False, edgecolor=NEW, lw=1.5, label="new")
    texts = [
        f"{v:g}" if column.holds == "numbers" and is_number(column) else str(column.values[int(v)]) for v in values
    ]
    if column.holds == "times":
        texts = [str(np.datetime64(int(v), "D")) for v in values]
    labels = [texts[k][:10] for k in order]
    wide = sum(map(len, labels)) > 24
    axis.set_xticks(
        np.arange(len(order)), labels, rotation=60 if wide else 0, fontsize=7, ha="right" if wide else "center"
    )
    more = f" ({len(order)} of {len(values)})" if len(order) < len(values) else ""
    axis.set_title(f"{_short(column)}{more}", fontsize=9)


def _scatter(axis: Axes, across: Shown, up: Shown, new: bool) -> None:
    x, y = (across.new, up.new) if new else (across.real, up.real)
    x, y = (_spread(column, v[:_POINTS], k) for k, (column, v) in enumerate(((across, x), (up, y))))
    axis.plot(x, y, ".", ms=3.5, alpha=0.45, color=NEW if new else REAL, mew=0)
    for name, shown in (("x", across), ("y", up)):
        _scale(axis, shown, name)
        real = shown.real[np.isfinite(shown.real)]
        if len(real):
            _limits(axis, shown, name, real)


def _limits(axis: Axes, shown: Shown, name: str, real: np.ndarray) -> None:
    low, high = np.quantile(real, [0.002, 0.998])
    if shown.logarithmic and low > 0:
        limits = (low / 1.25, high * 1.25)
    else:
        pad = 0.08 * (high - low) or 1.0
        limits = (low - pad, high + pad)
    (axis.set_xlim if name == "x" else axis.set_ylim)(*limits)


def _spread(shown: Shown, values: np.ndarray, row: int) -> np.ndarray:
    """Codes jittered around their places, so that points do not hide each other."""
    if not shown.column.coded or len(np.unique(shown.real[np.isfinite(shown.real)])) < 2:
        return values
    gap = np.diff(np.unique(shown.real[np.isfinite(shown.real)])).min()
    return values + gap * 0.5 * (np.random.default_rng(row).random(len(values)) - 0.5)


def _scale(axis: Axes, shown: Shown, name: str) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    side = axis.xaxis if name == "x" else axis.yaxis
    if shown.column.holds == "times":
        locator = AutoDateLocator(minticks=2, maxticks=5)
        side.set_major_locator(locator)
        side.set_major_formatter(ConciseDateFormatter(locator))
    elif shown.logarithmic and (shown.ordinary()[0] > 0).all():
        (axis.set_xscale if name == "x" else axis.set_yscale)("log")
        decades = float(np.log10(np.ptp(shown.ordinary()[0]) / shown.ordinary()[0].min() + 1))
        side.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.5 else (1.0,), numticks=5))
        side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        side.set_minor_locator(NullLocator())
    elif not shown.column.coded:
        side.set_major_locator(MaxNLocator(4))


def _most_related(shown: Sequence[Shown]) -> list[Shown]:
    """The columns with the greatest rank correlations among the real rows, in the table's order."""
    numbers = [each for each in shown if is_number(each.column)]
    chosen = numbers if len(numbers) > 1 else list(shown)
    if len(chosen) <= MOST_PAIRED:
        return chosen
    import pandas as pd

    table = pd.DataFrame({k: each.real for k, each in enumerate(chosen)})
    strength = np.nan_to_num(np.abs(table.rank().corr().to_numpy()))
    np.fill_diagonal(strength, 0.0)
    kept = {int(k) for k in np.unravel_index(int(strength.argmax()), strength.shape)}
    while len(kept) < MOST_PAIRED:
        rest = [k for k in range(len(chosen)) if k not in kept]
        kept.add(max(rest, key=lambda k: float(strength[k, list(kept)].max())))
    return [each for k, each in enumerate(chosen) if k in kept]
