"""The drawing of a fitted graph: columns on a circle, edges as thick as they are strong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scorefield.graphs import GraphFit
from scorefield.report.figures import GREY, INK, NEW, REAL, panels, plain, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 150
"""Columns whose names can still be read."""


def graph_figure(found: GraphFit) -> Figure:
    """Edges by `partial`: blue where two columns rise together, orange where one falls as the other rises.

    Args:
        found: at most 150 columns.

    Raises:
        ValueError: for more columns.
    """
    d = len(found.names)
    if d > MOST:
        raise ValueError(f"a drawing shows at most {MOST} columns, got {d}; take the columns with edges alone.")
    size = 3.4 + 0.05 * d
    figure, (axis,) = panels(1, (1.5 * size, size))
    angle = [math.pi / 2 - 2 * math.pi * k / d for k in range(d)]
    strength = found.partial
    pairs = found.graph.triu(1).nonzero().tolist()
    for j, k in sorted(pairs, key=lambda pair: abs(float(strength[pair[0], pair[1]]))):
        value = float(strength[j, k])
        ends = [math.cos(angle[j]), math.cos(angle[k])], [math.sin(angle[j]), math.sin(angle[k])]
        share = min(1.0, abs(value))
        axis.plot(*ends, color=REAL if value > 0 else NEW, lw=0.6 + 5 * share, alpha=0.35 + 0.65 * share, zorder=1)
    degree = found.graph.sum(1)
    for k, name in enumerate(found.names):
        x, y = math.cos(angle[k]), math.sin(angle[k])
        colour = INK if int(degree[k]) else GREY
        axis.plot(x, y, marker="o", ms=6, color=colour, zorder=2)
        side = "center" if abs(x) < 0.2 else "left" if x > 0 else "right"
        height = "center" if abs(y) < 0.8 else "bottom" if y > 0 else "top"
        axis.text(1.09 * x, 1.09 * y, plain(name), ha=side, va=height, fontsize=8, color=colour)
    axis.set(xlim=(-1.95, 1.95), ylim=(-1.3, 1.3), aspect="equal")
    axis.set_axis_off()
    return figure


def graph_svg(found: GraphFit) -> bytes:
    """`graph_figure` as the bytes of a picture."""
    return svg(graph_figure(found))
