"""The drawings of how good a table's model is, each as the bytes of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scorefield.report.figures import GREY, INK, NEW, REAL, panels, plain, svg
from scorefield.tables.associations import Associations
from scorefield.tables.evaluate import Coverage, Densities
from scorefield.tables.privacy import Privacy


def associations_svg(found: Associations) -> bytes:
    """A heat map of the absolute differences of the associations, those beyond chance framed."""
    from matplotlib.patches import Rectangle

    d = len(found.names)
    side = max(3.2, 0.36 * d + 1.6)
    figure, (axis,) = panels(1, (side + 0.9, side))
    gaps = np.nan_to_num(found.gaps)
    top = max(0.1, float(gaps.max()))
    for i in range(d):
        for j in range(i):
            axis.add_patch(Rectangle((j, i), 1, 1, color=NEW, alpha=0.03 + 0.5 * gaps[i, j] / top, lw=0))
            if d <= 12:
                text = f"{gaps[i, j]:.2f}".removeprefix("0")
                axis.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=8)
    place = {name: k for k, name in enumerate(found.names)}
    for pair in found.pairs:
        if pair.off:
            j, i = sorted((place[pair.first], place[pair.second]))
            axis.add_patch(Rectangle((j + 0.05, i + 0.05), 0.9, 0.9, fill=False, edgecolor=INK, lw=1.5))
    names = [plain(name, 18) for name in found.names]
    axis.set_xticks(np.arange(d - 1) + 0.5, names[:-1], rotation=60, ha="right", fontsize=8)
    axis.set_yticks(np.arange(1, d) + 0.5, names[1:], fontsize=8)
    axis.set(xlim=(0, d - 1), ylim=(d, 1))
    axis.set_aspect("equal")
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return svg(figure)


def privacy_svg(found: Privacy) -> bytes:
    """Histograms of the distance to the closest training row: held-out rows filled, generated ones outlined."""
    figure, (axis,) = panels(1, (7.2, 2.6))
    most = float(np.quantile(np.concatenate(found), 0.99)) or 1.0
    bins = list(np.linspace(0, most * 1.05, 41))
    axis.hist(found.held, bins, density=True, color=REAL, alpha=0.35, histtype="stepfilled", label="rows held out")
    axis.hist(found.new, bins, density=True, color=NEW, lw=1.6, histtype="step", label="generated rows")
    axis.set(xlabel="distance to the closest training row (standard deviations)", yticks=[], xlim=(0, bins[-1]))
    axis.legend(frameon=False, fontsize=8)
    return svg(figure)


def coverage_svg(found: Sequence[Coverage]) -> bytes:
    """How many values lie within intervals of each probability, and for each column within 50 % and 90 %."""
    tall = max(3.4, 0.24 * len(found) + 1.2)
    figure, (left, right) = panels(2, (9.6, tall))
    grid = np.linspace(0, 1, 51)
    pooled = np.concatenate([c.ranks for c in found])
    for c in found:
        left.plot(grid, [(np.abs(c.ranks - 0.5) <= q / 2).mean() for q in grid], color=REAL, alpha=0.25, lw=1)
    left.plot(grid, [(np.abs(pooled - 0.5) <= q / 2).mean() for q in grid], color=REAL, lw=2.2, label="all columns")
    left.plot([0, 1], [0, 1], color=INK, ls="--", lw=1, label="right")
    left.set(xlabel="probability of the interval", ylabel="share of values within", xlim=(0, 1), ylim=(0, 1))
    left.set_box_aspect(1)
    left.legend(frameon=False, fontsize=8)
    place = np.arange(len(found))[::-1]
    for share, nominal, colour in (([c.half for c in found], 0.5, NEW), ([c.most for c in found], 0.9, REAL)):
        error = [1.96 * (nominal * (1 - nominal) / len(c.ranks)) ** 0.5 for c in found]
        right.errorbar(share, place, xerr=error, fmt="o", ms=4, lw=1, color=colour, label=f"{nominal:.0%} interval")
        right.axvline(nominal, color=colour, ls="--", lw=1)
    right.set_yticks(place, [plain(c.column, 22) for c in found], fontsize=8)
    right.set(xlim=(0, 1.02), ylim=(-0.7, len(found) - 0.3), xlabel="share of values within")
    right.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return svg(figure)


def density_svg(found: Densities) -> bytes:
    """Histograms of log-densities: training rows, real rows, new rows."""
    figure, (axis,) = panels(1, (7.2, 3.2))
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
        found.reference.mean(), color=INK, ls=":", lw=1, label=f"real, no network {found.reference.mean():.2f}"
    )
    axis.set_yticks([])
    axis.set_xlabel("log-density of a row, nats")
    axis.legend(frameon=False, fontsize=8)
    return svg(figure)
