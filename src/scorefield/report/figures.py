"""The drawings that several reports have, each as the bytes of a picture. No global plotting state."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield import data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, GREY, REAL, NEW = "#1f2430", "#5b6472", "#2f6db3", "#c8611a"
DARK = {INK: "#e9eef7", GREY: "#9dabc2", REAL: "#6fb1f0", NEW: "#ffa65c"}
"""What each colour is on a dark page."""
DOTS = {REAL: "#3f8ad8", NEW: "#e0772a"}
"""The colours of points, which are drawn as pixels, on a page of either kind."""


def images_png(
    images: np.ndarray, columns: int, scale: int | None = None, span: tuple[float, float] | None = None
) -> bytes:
    """Images in a grid, with a gap between them; span: the values drawn black and white."""
    low, high = span or (None, None)
    return data.grid_png(images, columns, scale, low=low, high=high, optimize=True)


def losses_svg(evaluations: Sequence[dict[str, Any]]) -> bytes:
    """Held-out loss per noise level, early evaluations pale, the last dark, with floors; and its trend over steps."""
    figure, (left, right) = panels(2, (9.6, 3.4))
    last = len(evaluations) - 1
    for k, e in enumerate(evaluations):
        share = k / last if last else 1.0
        left.plot(e["sigmas"], e["losses"], color=REAL, alpha=0.12 + 0.88 * share**3, lw=1.0 + share)
    if evaluations[-1]["floors"]:
        left.plot(
            evaluations[-1]["sigmas"], evaluations[-1]["floors"], color=INK, ls="--", lw=1, label="least possible"
        )
        left.legend(frameon=False)
    left.set(xscale="log", xlabel="noise level sigma (standard deviations of the data)", ylabel="held-out loss")
    left.xaxis.set_major_formatter(lambda value, _: short_number(value))
    left.set_ylim(bottom=0)
    steps, means = [e["step"] for e in evaluations], [e["mean"] for e in evaluations]
    right.plot(steps, means, color=REAL, marker="o", ms=3, lw=1.5)
    if evaluations[-1]["floors"]:
        right.axhline(float(np.mean(evaluations[-1]["floors"])), color=INK, ls="--", lw=1)
    right.set(xlabel="optimiser step", ylabel="mean over levels")
    best = int(np.argmin(means))
    right.plot(steps[best], means[best], marker="o", ms=7, mfc="none", color=NEW, ls="none", label="best")
    right.set_title(f"best {means[best]:.4f} after {steps[best]:,} steps", fontsize=9)
    return svg(figure)


def marginals_svg(real: np.ndarray, new: np.ndarray, columns: Sequence[str]) -> bytes:
    """A histogram per column, real and new records over the same bins; at most 12 columns."""
    shown = min(len(columns), 12)
    across = min(4, shown)
    down = -(-shown // across)
    figure, axes = panels(shown, (2.4 * across, 1.9 * down), across)
    for j, axis in enumerate(axes[:shown]):
        low, high = np.quantile(real[:, j], [0.001, 0.999])
        pad = 0.08 * (high - low)
        bins = np.linspace(low - pad, high + pad, 41)
        axis.hist(real[:, j], bins, density=True, color=REAL, alpha=0.35, label="real", histtype="stepfilled")
        axis.hist(new[:, j], bins, density=True, histtype="step", color=NEW, lw=1.5, label="new")
        axis.set_title(plain(columns[j]), fontsize=9)
        axis.set_yticks([])
    axes[0].legend(frameon=False, fontsize=8)
    return svg(figure)


def scatter_svg(real: np.ndarray, new: np.ndarray, columns: Sequence[str]) -> bytes:
    """Pairs of columns, real records on the left, new ones on the right; the most correlated pairs first."""
    pairs = _pairs(real, 3)
    figure, axes = panels(2 * len(pairs), (5.6, 2.6 * len(pairs)), 2)
    axes = np.reshape(axes, (len(pairs), 2))
    count = min(len(real), len(new), 2000)
    for row, (i, j) in zip(axes, pairs, strict=True):
        spans = [np.quantile(real[:, k], [0.002, 0.998]) for k in (i, j)]
        for axis, points, colour, title in ((row[0], real, REAL, "real"), (row[1], new, NEW, "new")):
            axis.plot(
                points[:count, i], points[:count, j], ".", ms=4, alpha=0.5, color=DOTS[colour], mew=0, rasterized=True
            )
            for limits, span in ((axis.set_xlim, spans[0]), (axis.set_ylim, spans[1])):
                pad = 0.1 * (span[1] - span[0]) or 1.0
                limits(span[0] - pad, span[1] + pad)
            axis.set_title(title, fontsize=9, color=colour)
            axis.set_xlabel(plain(columns[i]), fontsize=8)
        row[0].set_ylabel(plain(columns[j]), fontsize=8)
    return svg(figure)


def _pairs(records: np.ndarray, most: int) -> list[tuple[int, int]]:
    """The pairs of columns with the greatest absolute correlation."""
    strength = np.abs(np.corrcoef(records.T))
    i, j = np.triu_indices(records.shape[1], 1)
    order = np.argsort(-np.nan_to_num(strength[i, j]), kind="stable")[:most]
    return [(int(i[k]), int(j[k])) for k in order]


def panels(count: int, size: tuple[float, float], across: int | None = None) -> tuple[Figure, Any]:
    """A figure of so many axes, `across` in a row."""
    from matplotlib.figure import Figure

    across = across or count
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots(-(-count // across), across, squeeze=False)
    for k, axis in enumerate(np.ravel(axes)):
        axis.set_visible(k < count)
        axis.tick_params(labelsize=8, colors=GREY)
        for side, spine in axis.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(GREY)
    return figure, np.ravel(axes)


def plain(text: object, most: int = 24) -> str:
    """A text of the user's as matplotlib is to draw it: on one line, short, and without formulas.

    Example:
        >>> plain("price in $ (of $)")
        'price in \\\\$ (of \\\\$)'
    """
    line = " ".join(str(text).split())
    line = line if len(line) <= most else line[: most - 1] + "\u2026"
    return line.replace("$", r"\$")


def short_number(value: float) -> str:
    """A number as an axis shows it.

    Example:
        >>> [short_number(v) for v in (0.001, 1500.0, 25000.0, 3e6, -2e9)]
        ['0.001', '1,500', '25k', '3M', '-2G']
    """
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if unit <= abs(value) < 1e13:
            return f"{value / (1e3 if name == 'k' else unit):.4g}{name}"
    return f"{value:,.10g}" if 1e-4 <= abs(value) < 1e4 or value == 0 else f"{value:.3g}"


def svg(figure: Figure) -> bytes:
    """The drawing, in the colours of a light page and, where the reader's is dark, of a dark one.

    Without matplotlib's warnings (a letter that its font lacks, a crowded axis).
    """
    from matplotlib.colors import to_hex
    from matplotlib.text import Text

    out = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for text in figure.findobj(Text):
            if to_hex(text.get_color()) == "#000000":
                text.set_color(INK)
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = out.getvalue()
    drawing = drawing[drawing.index("<svg ") :]
    for k, name in enumerate(dict.fromkeys(re.findall(r'id="([a-z]+?[0-9a-f]{10})"', drawing))):
        drawing = drawing.replace(name, f"i{k}")  # matplotlib's are random
    for k, colour in enumerate(DARK):
        drawing = drawing.replace(colour, f"var(--c{k})")
    return drawing.replace(">", f"><style>{_COLOURS}</style>", 1).encode()


def _variables(colours: Sequence[str]) -> str:
    return ":root{" + "".join(f"--c{k}:{colour};" for k, colour in enumerate(colours)) + "}"


_COLOURS = f"{_variables(list(DARK))}@media(prefers-color-scheme:dark){{{_variables(list(DARK.values()))}}}"
