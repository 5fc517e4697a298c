"""The drawings of a report, each as PNG bytes. No global plotting state."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield import data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REAL, NEW, GREY = "#2f6db3", "#e07b28", "#6b7280"


def images_png(
    images: np.ndarray, columns: int, scale: int | None = None, span: tuple[float, float] | None = None
) -> bytes:
    """Images in a grid, with a gap between them; span: the values drawn black and white."""
    low, high = span or (None, None)
    out = io.BytesIO()
    data.grid(images, columns=columns, scale=scale, low=low, high=high).save(out, format="PNG", optimize=True)
    return out.getvalue()


def losses_png(evaluations: Sequence[dict[str, Any]]) -> bytes:
    """Held-out loss per noise level, early evaluations pale, the last dark, with floors; and its trend over steps."""
    figure, (left, right) = _panels(2, (9.6, 3.4))
    last = len(evaluations) - 1
    for k, e in enumerate(evaluations):
        share = k / last if last else 1.0
        left.plot(e["sigmas"], e["losses"], color=REAL, alpha=0.12 + 0.88 * share**3, lw=1.0 + share)
    if evaluations[-1]["floors"]:
        left.plot(evaluations[-1]["sigmas"], evaluations[-1]["floors"], "k--", lw=1, label="least possible")
        left.legend(frameon=False)
    left.set(xscale="log", xlabel="noise level sigma (standard deviations of the data)", ylabel="held-out loss")
    left.set_ylim(bottom=0)
    steps, means = [e["step"] for e in evaluations], [e["mean"] for e in evaluations]
    right.plot(steps, means, color=REAL, marker="o", ms=3, lw=1.5)
    if evaluations[-1]["floors"]:
        right.axhline(float(np.mean(evaluations[-1]["floors"])), color="k", ls="--", lw=1)
    right.set(xlabel="optimiser step", ylabel="mean over levels")
    best = int(np.argmin(means))
    right.annotate(
        f"best {means[best]:.4f}",
        (steps[best], means[best]),
        (0, 12),
        textcoords="offset points",
        ha="right",
        color=GREY,
    )
    return _png(figure)


def marginals_png(real: np.ndarray, new: np.ndarray, columns: Sequence[str]) -> bytes:
    """A histogram per column, real and new records over the same bins; at most 12 columns."""
    shown = min(len(columns), 12)
    across = min(4, shown)
    down = -(-shown // across)
    figure, axes = _panels(shown, (2.4 * across, 1.9 * down), across)
    for j, axis in enumerate(np.ravel(axes)[:shown]):
        low, high = np.quantile(real[:, j], [0.001, 0.999])
        pad = 0.08 * (high - low)
        bins = np.linspace(low - pad, high + pad, 41)
        axis.hist(real[:, j], bins, density=True, color=REAL, alpha=0.35, label="real")
        axis.hist(new[:, j], bins, density=True, histtype="step", color=NEW, lw=1.5, label="new")
        axis.set_title(columns[j], fontsize=9)
        axis.set_yticks([])
    np.ravel(axes)[0].legend(frameon=False, fontsize=8)
    return _png(figure)


def scatter_png(real: np.ndarray, new: np.ndarray, columns: Sequence[str]) -> bytes:
    """Pairs of columns, real records on the left, new ones on the right; the most correlated pairs first."""
    pairs = _pairs(real, 3)
    figure, axes = _panels(2 * len(pairs), (5.6, 2.6 * len(pairs)), 2)
    axes = np.reshape(axes, (len(pairs), 2))
    count = min(len(real), len(new), 2000)
    for row, (i, j) in zip(axes, pairs, strict=True):
        spans = [np.quantile(real[:, k], [0.002, 0.998]) for k in (i, j)]
        for axis, points, colour, title in ((row[0], real, REAL, "real"), (row[1], new, NEW, "new")):
            axis.plot(points[:count, i], points[:count, j], ".", ms=4, alpha=0.4, color=colour, mew=0)
            for limits, span in ((axis.set_xlim, spans[0]), (axis.set_ylim, spans[1])):
                pad = 0.1 * (span[1] - span[0]) or 1.0
                limits(span[0] - pad, span[1] + pad)
            axis.set_title(title, fontsize=9, color=colour)
            axis.set_xlabel(columns[i], fontsize=8)
        row[0].set_ylabel(columns[j], fontsize=8)
    return _png(figure)


def _pairs(records: np.ndarray, most: int) -> list[tuple[int, int]]:
    """The pairs of columns with the greatest absolute correlation."""
    strength = np.abs(np.corrcoef(records.T))
    i, j = np.triu_indices(records.shape[1], 1)
    order = np.argsort(-np.nan_to_num(strength[i, j]), kind="stable")[:most]
    return [(int(i[k]), int(j[k])) for k in order]


def _panels(count: int, size: tuple[float, float], across: int | None = None) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    across = across or count
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots(-(-count // across), across, squeeze=False)
    for k, axis in enumerate(np.ravel(axes)):
        axis.set_visible(k < count)
        axis.tick_params(labelsize=8, colors=GREY)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    return figure, np.ravel(axes)


def _png(figure: Figure) -> bytes:
    """The drawing, without matplotlib's warnings (a letter that its font lacks, a crowded axis)."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(out, format="png")
    return out.getvalue()
