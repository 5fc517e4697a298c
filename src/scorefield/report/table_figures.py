"""The drawings of a table's columns, real and generated, each as the bytes of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scorefield.report.columns import Shown, edges, limit, scale
from scorefield.report.figures import DOTS, NEW, REAL, panels, plain, short_number, svg
from scorefield.tables.measures import is_number
from scorefield.tables.schema import text_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MARGINALS, MOST_PAIRED, MOST_BARS = 40, 5, 10
_POINTS = 800  # of a scatter plot


def marginal_svg(shown: Shown) -> bytes:
    """One column: histograms of numbers and times, bars of codes; real filled, new outlined."""
    figure, (axis,) = panels(1, (2.9, 2.15))
    axis.set_title(f"{plain(shown.column.name)}{_atom_shares(shown)}", fontsize=9.5)
    (_bars if shown.column.coded else _histogram)(axis, shown)
    return svg(figure)


def pairs_svg(shown: Sequence[Shown]) -> bytes:
    """Up to five columns against each other: real rows below the diagonal, new rows above it."""
    chosen = _most_related(shown)
    k = len(chosen)
    figure, axes = panels(k * k, (1.95 * k + 0.5, 1.95 * k), k)
    for i, row in enumerate(chosen):
        for j, column in enumerate(chosen):
            axis = axes[i * k + j]
            if i == j:
                (_bars_up if row.column.coded else _histogram)(axis, row)
            else:
                _scatter(axis, column, row, new=j > i)
                axis.tick_params(labelleft=j == 0)
            axis.tick_params(labelbottom=i == k - 1, labelsize=7)
            if i == k - 1:
                axis.set_xlabel(plain(column.column.name), fontsize=9)
            if j == 0:
                axis.set_ylabel(plain(row.column.name), fontsize=9)
    return svg(figure)


def _histogram(axis: Axes, shown: Shown) -> None:
    real, new = shown.ordinary()
    if len(real) and len(new):
        bins = list(edges(shown))
        axis.hist(real, bins, density=True, color=REAL, alpha=0.35, histtype="stepfilled")
        axis.hist(new, bins, density=True, histtype="step", color=NEW, lw=1.5)
        axis.set_xlim(bins[0], bins[-1])
    scale(axis, shown, "x")
    axis.set_yticks([])


def _atom_shares(shown: Shown) -> str:
    atoms = shown.atoms
    if not len(atoms):
        return ""
    shares = [float(np.isin(v[np.isfinite(v)], atoms).mean()) for v in (shown.real, shown.new)]
    more = " and others" if len(atoms) > 1 else ""
    return f"\n{short_number(atoms[0])}{more}: {shares[0]:.0%} real, {shares[1]:.0%} generated"


def _bars_up(axis: Axes, shown: Shown) -> None:
    """The shares of codes at their places on the axis."""
    values = np.unique(shown.real[np.isfinite(shown.real)])
    width = 0.8 * (np.diff(values).min() if len(values) > 1 else 1.0)
    real, new = _shares(shown, values)
    axis.bar(values, real, width, color=REAL, alpha=0.35)
    axis.bar(values, new, width, fill=False, edgecolor=NEW, lw=1.5)
    scale(axis, shown, "x")
    axis.set_yticks([])


def _bars(axis: Axes, shown: Shown) -> None:
    """The shares of codes, the most frequent ones of many; long names stand beside bars that lie."""
    from matplotlib.ticker import MaxNLocator

    values = np.unique(np.concatenate([v[np.isfinite(v)] for v in (shown.real, shown.new)]))
    shares = _shares(shown, values)
    order = np.sort(np.argsort(-shares[0], kind="stable")[:MOST_BARS])
    names = [plain(_name(shown, values[k]), 14) for k in order]
    place = np.arange(len(order))
    lying = len(order) * max(map(len, names), default=0) > 22
    if lying:
        place = place[::-1]
    draw, along = (axis.barh, axis.xaxis) if lying else (axis.bar, axis.yaxis)
    draw(place, shares[0][order], 0.8, color=REAL, alpha=0.35)
    draw(place, shares[1][order], 0.8, fill=False, edgecolor=NEW, lw=1.5)
    (axis.set_yticks if lying else axis.set_xticks)(place, names, fontsize=8)
    along.set_major_locator(MaxNLocator(3))
    along.set_major_formatter(lambda value, _: f"{value:.0%}" if value >= 0.01 or value == 0 else f"{value:.1%}")
    if len(order) < len(values):
        axis.set_title(f"{axis.get_title()} ({len(order)} of {len(values)})", fontsize=9.5)


def _shares(shown: Shown, values: np.ndarray) -> list[np.ndarray]:
    sides = (shown.real, shown.new)
    return [np.array([(v == value).sum() for value in values]) / max(1, np.isfinite(v).sum()) for v in sides]


def _name(shown: Shown, value: float) -> str:
    column = shown.column
    if column.holds == "times":
        return str(np.datetime64(int(value), "D"))
    return short_number(value) if is_number(column) else text_of(column, column.values[int(value)])


def _scatter(axis: Axes, across: Shown, up: Shown, new: bool) -> None:
    x, y = (across.new, up.new) if new else (across.real, up.real)
    x, y = (_spread(column, v[:_POINTS], k) for k, (column, v) in enumerate(((across, x), (up, y))))
    kept = np.ones(len(x), dtype=bool)
    for shown, values in ((across, x), (up, y)):
        kept &= np.isfinite(values) & (values > 0 if shown.logarithmic else True)
    colour = DOTS[NEW if new else REAL]
    axis.plot(x[kept], y[kept], ".", ms=3.5, alpha=0.55, color=colour, mew=0, rasterized=True)
    for name, shown in (("x", across), ("y", up)):
        scale(axis, shown, name)
        limit(axis, shown, name)


def _spread(shown: Shown, values: np.ndarray, row: int) -> np.ndarray:
    """Codes jittered around their places, so that points do not hide each other."""
    places = np.unique(shown.real[np.isfinite(shown.real)])
    if not shown.column.coded or len(places) < 2:
        return values
    return values + np.diff(places).min() * 0.5 * (np.random.default_rng(row).random(len(values)) - 0.5)


def _most_related(shown: Sequence[Shown]) -> list[Shown]:
    """The columns with the greatest rank correlations among the real rows, in the table's order."""
    import pandas as pd

    numbers = [each for each in shown if is_number(each.column)]
    chosen = numbers if len(numbers) > 1 else list(shown)
    if len(chosen) <= MOST_PAIRED:
        return chosen
    table = pd.DataFrame({k: each.real for k, each in enumerate(chosen)})
    strength = np.nan_to_num(np.abs(table.rank().corr().to_numpy()))
    np.fill_diagonal(strength, 0.0)
    kept = {int(k) for k in np.unravel_index(int(strength.argmax()), strength.shape)}
    while len(kept) < MOST_PAIRED:
        rest = [k for k in range(len(chosen)) if k not in kept]
        kept.add(max(rest, key=lambda k: float(strength[k, list(kept)].max())))
    return [each for k, each in enumerate(chosen) if k in kept]
