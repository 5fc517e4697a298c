"""The drawings of a posterior and of its proof, each as the bytes of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield.posterior.proof.contraction import Contraction
from scorefield.posterior.proof.local import Local
from scorefield.posterior.proof.predictive import Predictive
from scorefield.posterior.proof.proof import Proof
from scorefield.posterior.proof.ranks import Ranks
from scorefield.posterior.proof.uniformity import bins, p_text
from scorefield.report.figures import GREY, INK, NEW, REAL, panels, plain, short_number, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 8
"""Parameters in a corner plot, and panels of other kinds in two rows of four."""
_GRID = 48
_SHARES = (0.5, 0.9)


def corner_svg(
    draws: np.ndarray, names: Sequence[str], prior: np.ndarray | None = None, truth: np.ndarray | None = None
) -> bytes:
    """Each parameter's density on the diagonal, regions of 50 and 90 % of each two below; the prior dashed.

    Args:
        draws: `(n, d)`, d at most `MOST`.
        names: of the parameters.
        prior: draws of the prior, `(m, d)`.
        truth: `(d,)`, marked.
    """
    d = draws.shape[1]
    cell = 1.75 if d > 3 else 2.4
    figure, axes = panels(d * d, (cell * d + 0.9, cell * d + 0.5), d)
    grid = axes.reshape(d, d)
    spans = [_span(draws[:, j], None if truth is None else truth[j]) for j in range(d)]
    for i in range(d):
        for j in range(d):
            axis = grid[i, j]
            axis.set_visible(j <= i)
            if j < i:
                _pair(axis, draws[:, [j, i]], spans[j], spans[i], None if prior is None else prior[:, [j, i]])
                axis.set_ylim(*spans[i])
            elif j == i:
                _single(axis, draws[:, i], spans[i], None if prior is None else prior[:, i])
            if j <= i:
                axis.set_xlim(*spans[j])
                _mark(axis, truth, j, None if j == i else i)
                _label(axis, names, i, j, d)
    figure.align_labels()
    return svg(figure)


def ranks_svg(all_ranks: Sequence[Ranks], level: float) -> bytes:
    """For each parameter a histogram of the truth's ranks, and how far their curve is from that of uniform ranks.

    Args:
        all_ranks: of at most `MOST` parameters.
        level: of the bands of each curve.
    """
    across = len(all_ranks)
    figure, axes = panels(2 * across, (max(2.3 * across, 4.6), 4.1), across)
    for j, one in enumerate(all_ranks):
        off = one.test.p < level
        _histogram(axes[j], one, NEW if off else REAL)
        axes[j].set_title(plain(one.name, 18), fontsize=9, color=NEW if off else INK)
        _difference(axes[across + j], one, level, NEW if off else REAL)
        axes[j].set_xlabel("share of draws below the truth", fontsize=8)
        axes[across + j].set_xlabel(f"share of draws, p {_p(one.test.p)}", fontsize=8)
    axes[0].set_ylabel("simulations", fontsize=8)
    axes[across].set_ylabel("truths below, minus that", fontsize=8)
    return svg(figure)


def coverage_svg(proof: Proof) -> bytes:
    """How many truths lie within regions of each probability, with bands; and within intervals of each parameter."""
    names = proof.parameters
    figure, (left, right) = panels(2, (9.8, max(3.9, 0.27 * len(names) + 1.4)))
    found = proof.regions[0].bands(proof.own_level)
    z = np.concatenate([[0.0], found.z, [1.0]])
    low, high = (np.concatenate([[0.0], edge, [1.0]]) for edge in (found.low, found.high))
    left.fill_between(z, low, high, color=GREY, alpha=0.22, lw=0, label="where a right posterior's curve lies")
    left.plot([0, 1], [0, 1], color=INK, ls="--", lw=1)
    styles = zip(proof.regions, (REAL, NEW, GREY), ("-", "-.", ":"), strict=False)
    words = {"regions": "highest density", "distances": "TARP", "density": "own log-density"}
    for one, colour, style in styles:
        left.plot(
            z, np.concatenate([[0.0], one.curve(found.z), [1.0]]), style, color=colour, lw=2, label=words[one.name]
        )
    left.set(xlabel="probability of the region", ylabel="share of truths within", xlim=(0, 1), ylim=(0, 1))
    left.set_box_aspect(1)
    left.legend(frameon=False, fontsize=8, loc="upper left")
    _intervals(right, names)
    return svg(figure)


def contraction_svg(found: Sequence[Contraction]) -> bytes:
    """For each parameter, how much narrower than the prior each posterior is, and how far from the truth."""
    across = min(4, len(found))
    figure, axes = panels(len(found), (2.4 * across + 0.4, 2.2 * -(-len(found) // across)), across)
    for axis, one in zip(axes, found, strict=False):
        axis.axhspan(-2, 2, color=GREY, alpha=0.15, lw=0)
        axis.plot(one.shrinkage, one.z, ".", ms=4, alpha=0.5, mew=0, color=REAL, rasterized=True)
        low = min(-0.05, float(np.quantile(one.shrinkage, 0.02)) - 0.05)
        axis.set(xlim=(max(low, -1.05), 1.05), ylim=(-5, 5))
        axis.set_title(f"{plain(one.name, 14)}: {one.mean:.2f}", fontsize=9)
        axis.set_xlabel("contraction", fontsize=8)
    axes[0].set_ylabel("posterior z-score", fontsize=8)
    return svg(figure)


def predictive_svg(found: Predictive) -> bytes:
    """What the posterior predicts of each discrepancy, and what was observed."""
    shown = min(len(found.names), 12)
    across = min(4, shown)
    figure, axes = panels(shown, (2.4 * across + 0.2, 1.95 * -(-shown // across)), across)
    order = np.sort(np.argsort(found.tails, kind="stable")[:shown])
    for axis, k in zip(axes, order, strict=False):
        off, name = found.names[k] in found.off, found.names[k]
        values = found.predicted[:, k]
        low, high = np.quantile(values, [0.002, 0.998])
        low, high = min(low, found.observed[k]), max(high, found.observed[k])
        pad = 0.06 * (high - low) or 1.0
        axis.hist(values, list(np.linspace(low - pad, high + pad, 36)), color=REAL, alpha=0.4, histtype="stepfilled")
        axis.axvline(found.observed[k], color=NEW if off else INK, lw=2)
        axis.set_title(f"{plain(name, 28)}, p = {found.tails[k]:.2g}", fontsize=8.5, color=NEW if off else INK)
        axis.set_yticks([])
        _few_ticks(axis, "x")
    return svg(figure)


def local_svg(found: Local) -> bytes:
    """The classifier's statistic at the observation beside those of exchanged labels."""
    figure, (axis,) = panels(1, (6.4, 2.2))
    most = 1.08 * max(float(found.null.max()), found.statistic)
    axis.hist(found.null, list(np.linspace(0, most, 40)), color=REAL, alpha=0.4, histtype="stepfilled")
    axis.axvline(found.statistic, color=NEW if found.p <= 0.01 else INK, lw=2)
    axis.set(xlabel="how well truth and draws are told apart at the observation", yticks=[], xlim=(0, most))
    _few_ticks(axis, "x")
    return svg(figure)


# ------------------------------------------------------------------------------------------------------------ corner


def _span(values: np.ndarray, truth: float | None) -> tuple[float, float]:
    low, high = np.quantile(values, [0.001, 0.999])
    if truth is not None and np.isfinite(truth):
        low, high = min(low, truth), max(high, truth)
    pad = 0.06 * (high - low) or max(1e-3 * abs(high), 1e-9)
    return float(low - pad), float(high + pad)


def _single(axis: Axes, values: np.ndarray, span: tuple[float, float], prior: np.ndarray | None) -> None:
    edges = np.linspace(*span, 33)
    height = np.histogram(values, edges)[0] / (len(values) * np.diff(edges))
    axis.stairs(height, edges, color=REAL, lw=1.3)
    for share, strength in zip(reversed(_SHARES), (0.22, 0.3), strict=True):
        low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
        inside = (edges[1:] > low) & (edges[:-1] < high)
        axis.stairs(np.where(inside, height, 0), edges, fill=True, color=REAL, alpha=strength)
    if prior is not None:
        coarse = np.linspace(*span, 16)
        count = np.histogram(prior, coarse)[0] / (len(prior) * np.diff(coarse))
        axis.stairs(count, coarse, color=GREY, lw=1.2, ls="--")
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)


def _pair(
    axis: Axes, points: np.ndarray, across: tuple[float, float], up: tuple[float, float], prior: np.ndarray | None
) -> None:
    if prior is not None:
        _contours(axis, prior, across, up, {"colors": [GREY], "linestyles": "--", "linewidths": 1.1}, (0.9,), 3.0)
    _contours(axis, points, across, up, {"colors": [REAL], "linewidths": (1.0, 1.6)}, _SHARES, 1.4, fill=True)


def _contours(
    axis: Axes,
    points: np.ndarray,
    across: tuple[float, float],
    up: tuple[float, float],
    style: dict[str, Any],
    shares: Sequence[float],
    smooth: float,
    fill: bool = False,
) -> None:
    """Contours of the regions of highest density that hold these shares of the points."""
    from scipy.ndimage import gaussian_filter

    ends = np.linspace(*across, _GRID + 1), np.linspace(*up, _GRID + 1)
    count = np.histogram2d(points[:, 0], points[:, 1], ends)[0].T
    density = gaussian_filter(count, smooth, mode="nearest")
    if not count.any():
        return
    levels = _levels(density, len(points) * density.sum() / count.sum(), shares)
    if levels is None:
        return
    x, y = ((e[1:] + e[:-1]) / 2 for e in ends)
    if fill:
        axis.contourf(x, y, density, [*levels, np.inf], colors=[REAL, REAL], alpha=0.25)
    axis.contour(x, y, density, levels, **style)


def _levels(density: np.ndarray, total: float, shares: Sequence[float]) -> list[float] | None:
    """The densities whose upper regions hold these shares of all points, ascending; None where the view is within."""
    ordered = np.sort(density.ravel())[::-1]
    held = np.cumsum(ordered) / total
    place = [np.searchsorted(held, share) for share in sorted(shares, reverse=True)]
    if max(place) >= len(ordered):
        return None
    levels = [float(ordered[k]) for k in place]
    return levels if all(a < b for a, b in zip([0.0, *levels], [*levels, np.inf], strict=True)) else None


def _mark(axis: Axes, truth: np.ndarray | None, j: int, i: int | None) -> None:
    if truth is None:
        return
    axis.axvline(truth[j], color=NEW, lw=1.2)
    if i is not None:
        axis.axhline(truth[i], color=NEW, lw=1.2)
        axis.plot(truth[j], truth[i], "s", ms=4.5, color=NEW)


def _label(axis: Axes, names: Sequence[str], i: int, j: int, d: int) -> None:
    _few_ticks(axis, "x")
    if i < d - 1:
        axis.set_xticklabels([])
    else:
        axis.set_xlabel(plain(names[j], 16), fontsize=9)
        axis.tick_params(axis="x", rotation=30)
    if j < i:
        _few_ticks(axis, "y")
        if j:
            axis.set_yticklabels([])
        else:
            axis.set_ylabel(plain(names[i], 16), fontsize=9)


def _few_ticks(axis: Axes, name: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    side = axis.xaxis if name == "x" else axis.yaxis
    side.set_major_locator(MaxNLocator(3))
    side.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))


# ------------------------------------------------------------------------------------------------------------- proof


def _histogram(axis: Axes, one: Ranks, colour: str) -> None:
    from scipy.stats import binom

    count = bins(len(one), one.draws)
    edges = np.unique(np.round(np.linspace(0, one.draws + 1, count + 1)))
    share = np.diff(edges) / (one.draws + 1)
    height = np.histogram(one.ranks, edges)[0]
    low, high = (binom.ppf(q, len(one), share) for q in (0.005, 0.995))
    axis.stairs(high, edges / edges[-1], baseline=low, fill=True, color=GREY, alpha=0.22)
    axis.stairs(height, edges / edges[-1], fill=True, color=colour, alpha=0.45)
    axis.stairs(len(one) * share, edges / edges[-1], color=INK, lw=1, ls="--", baseline=None)
    axis.set(xlim=(0, 1), ylim=(0, 1.15 * max(height.max(), high.max())))


def _difference(axis: Axes, one: Ranks, level: float, colour: str) -> None:
    found = one.bands(level)
    axis.fill_between(found.z, found.low - found.z, found.high - found.z, color=GREY, alpha=0.22, lw=0, step=None)
    axis.axhline(0, color=INK, lw=1, ls="--")
    axis.plot(found.z, one.curve(found.z) - found.z, color=colour, lw=1.8)
    axis.set_xlim(0, 1)


def _intervals(axis: Axes, found: Sequence[Ranks]) -> None:
    place = np.arange(len(found))[::-1]
    for probability, colour in zip(_SHARES, (NEW, REAL), strict=True):
        within = [one.within(probability) for one in found]
        share, error = [w.share for w in within], [2 * w.error for w in within]
        axis.errorbar(share, place, xerr=error, fmt="o", ms=4, lw=1, color=colour, label=f"{probability:.0%} interval")
        axis.axvline(within[0].probability, color=colour, ls="--", lw=1)
    axis.set_yticks(place, [plain(one.name, 22) for one in found], fontsize=8)
    axis.set(xlim=(0, 1.02), ylim=(-0.7, len(found) - 0.3), xlabel="share of truths within")
    axis.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)


def _p(p: float) -> str:
    text = p_text(p)
    return text if text.startswith("<") else f"= {text}"
