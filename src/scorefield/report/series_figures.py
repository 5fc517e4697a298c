"""Drawings of series: what they look like, how they spread, how they remember."""

from __future__ import annotations

import io

import numpy as np

from scorefield.records.forecast import Forecast
from scorefield.report.figures import GREY, INK, NEW, REAL, panels, svg

_LINES, _CHANNELS, _FORECASTS = 5, 4, 6  # drawn


def series_svg(real: np.ndarray, new: np.ndarray) -> bytes:
    """Real series beside new ones, `(n, length, channels)`: the middle 50 and 90 % at each step, and the first few."""
    count = min(real.shape[2], _CHANNELS)
    figure, axes = panels(2 * count, (9.6, 2.4 * count), 2)
    for c in range(count):
        pair = axes[2 * c : 2 * c + 2]
        for axis, records, colour, name in zip(pair, (real, new), (REAL, NEW), ("real", "new"), strict=True):
            _spread(axis, records[:, :, c], colour)
            axis.plot(records[:_LINES, :, c].T, color=colour, lw=0.8, alpha=0.9)
            axis.set_title(name if count == 1 else f"{name}, channel {c + 1}", fontsize=9, color=colour)
        low = min(axis.get_ylim()[0] for axis in pair)
        high = max(axis.get_ylim()[1] for axis in pair)
        for axis in pair:
            axis.set_ylim(low, high)
            axis.set_xlabel("step", fontsize=8)
    return svg(figure)


def memory_svg(real: np.ndarray, new: np.ndarray) -> bytes:
    """The correlation of values some steps apart, and the standard deviation at each step, `(n, length, channels)`."""
    figure, (left, right) = panels(2, (9.6, 2.6))
    for records, colour, name in ((real, REAL, "real"), (new, NEW, "new")):
        left.plot(autocorrelation(records[:, :, 0]), color=colour, lw=1.5, label=name)
        right.plot(records[:, :, 0].std(0), color=colour, lw=1.5)
    left.axhline(0, color=INK, lw=0.6)
    left.set(xlabel="steps apart", ylabel="correlation")
    right.set(xlabel="step", ylabel="standard deviation")
    right.set_ylim(bottom=0)
    left.legend(frameon=False)
    return svg(figure)


def autocorrelation(records: np.ndarray) -> np.ndarray:
    """The correlation of values some steps apart, over all series `(n, length)` and steps: `(length // 2 + 1,)`.

    Example:
        >>> autocorrelation(np.array([[1.0, -1.0, 1.0, -1.0], [-1.0, 1.0, -1.0, 1.0]])).tolist()
        [1.0, -1.0, 1.0]
    """
    apart = records - records.mean()
    length, variance = records.shape[1], float(np.square(apart).mean())
    found = [float((apart[:, : length - k] * apart[:, k:]).mean()) for k in range(length // 2 + 1)]
    return np.array(found) / (variance or 1.0)


def _spread(axis: object, records: np.ndarray, colour: str) -> None:
    steps = np.arange(records.shape[1])
    for low, high, alpha in ((0.05, 0.95, 0.12), (0.25, 0.75, 0.22)):
        ends = np.quantile(records, [low, high], axis=0)
        axis.fill_between(steps, *ends, color=colour, alpha=alpha, lw=0)  # type: ignore[attr-defined]


def forecast_png(found: Forecast, actual: np.ndarray, interval: float = 0.9) -> bytes:
    """The first six forecasts: what is known, the median, the middle 50 % and the interval, and what came.

    Args:
        found: draws of series, of which the first channel is shown.
        actual: as `found.known` is shaped, NaN where nothing is known of it.
        interval: probability of the wide band.
    """
    count = min(len(found.known), _FORECASTS)
    across = min(count, 3)
    figure, axes = panels(count, (3.4 * across, 2.2 * -(-count // across)), across)
    channels = found.known.ndim == 3
    for i, axis in enumerate(axes[:count]):
        known, true, draws = (x[i][..., 0] if channels else x[i] for x in (found.known, actual, found.draws))
        shown = _with_neighbours(np.isnan(known))
        steps = np.arange(1, len(known) + 1)
        for low, alpha in (((1 - interval) / 2, 0.15), (0.25, 0.25)):
            ends = np.where(shown, np.quantile(draws, [low, 1 - low], axis=0), np.nan)
            axis.fill_between(steps, *ends, color=NEW, alpha=alpha, lw=0)
        axis.plot(steps, np.where(shown, np.median(draws, 0), np.nan), color=NEW, lw=1.6, label="median")
        axis.plot(steps, true, color=GREY, lw=0.9, ls="--", label="came")
        axis.plot(steps, known, color=INK, lw=1.4, label="known")
        axis.set_title(f"series {i + 1}", fontsize=8)
    axes[0].legend(frameon=False, fontsize=7)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=150)
    return out.getvalue()


def _with_neighbours(unknown: np.ndarray) -> np.ndarray:
    """The unknown steps and those beside them, where the bands meet what is known."""
    wide = unknown.copy()
    wide[1:] |= unknown[:-1]
    wide[:-1] |= unknown[1:]
    return wide
