"""Writes what was measured: `results.md` and `results.png`."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from overhead import Cost  # benchmarks/overhead.py

from peers.density import Row
from peers.problems import BUDGETS, Problem
from peers.samplers import Best, Errors, Law
from scorefield.plans.calibrate import Calibration

PEERS = ("azula", "k-diffusion", "diffusers")
OURS = ("plans.default", "best untuned", "calibrate")
LIBRARIES = ("scorefield", "torch", "azula", "k-diffusion", "diffusers", "torchdiffeq", "numpy")
Table = Mapping[str, Errors]
"""By package (and by `OURS`) the errors on one problem."""


def machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {platform.machine()} CPU with {cores} cores, one thread used, "
        f"{platform.system()}, Python {platform.python_version()}; {libraries}."
    )


def lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    made = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return [*made, *("| " + " | ".join(row) + " |" for row in rows), ""]


def peer(table: Table, n: int, of: str) -> Best:
    """The best of all peers."""
    found = [(table[p].best(n, of), p) for p in PEERS]
    (value, name), package = min(found)
    return Best(value, f"{package}: {name}")


def error_rows(table: Table, of: str) -> list[list[str]]:
    rows = [[p, *(f"{table[p].best(n, of).value:.1e}" for n in BUDGETS)] for p in (*PEERS, *OURS) if p in table]
    for name in OURS:
        if name in table:
            ratios = [table[name].best(n, of).value / peer(table, n, of).value for n in BUDGETS]
            rows.append([f"{name} / best peer", *(f"**{r:.2f}**" for r in ratios)])
    return rows


def samplers(tables: Mapping[str, Table], problems: Sequence[Problem]) -> list[str]:
    text = ["## Deterministic samplers", ""]
    text += [
        "The exact model in place of a network; data of standard deviation 0.5, noise from 80 to 0. Error: distance of",
        "the end point from the converged probability flow over the data's RMS, as RMS and median over fresh",
        f"trajectories ({len(problems[0].starts)} for each problem), at the same number of evaluations of the model.",
        "Every package is measured on standardised data, and its row holds, at every budget, the least error of any of",
        "its settings, chosen by this very error; so does 'best untuned' of this library. 'plans.default' and",
        "'calibrate' are what a user gets who does not know the answer: no choice is made. The settings are those of",
        "`peers/shortlist.json`: all within 15 % of their package's best at any budget when all were",
        "measured: 1,301 settings of the peers on ring and blend, 685 of this library on ring, blend and circle.",
        "No peer's setting was sought on the last two problems: there a peer may do a little better than is shown.",
        "",
        "![error against evaluations](results.png)",
        "",
    ]
    for name, table in tables.items():
        for of, title in (("rms", "RMS error"), ("median", "median error")):
            text += [f"### {name}: {title}", ""]
            text += lines(["", *map(str, BUDGETS)], error_rows(table, of))
    return text


def settings(tables: Mapping[str, Table]) -> list[str]:
    """Which setting was the best where."""
    text = ["## The settings that were best", ""]
    for name, table in tables.items():
        rows = []
        for package in (*PEERS, "best untuned"):
            for of in ("rms", "median"):
                rows.append([package, of, *(table[package].best(n, of).name for n in BUDGETS)])
        text += [f"### {name}", "", *lines(["", "of", *map(str, BUDGETS)], rows)]
    return text


def calibrations(fits: Mapping[str, Mapping[int, Calibration]]) -> list[str]:
    rows = [[name, *(f"{fit.cost:,}" for fit in by_budget.values())] for name, by_budget in fits.items()]
    return ["Cost of each `calibrate`, in single-sample evaluations:", "", *lines(["", *map(str, BUDGETS)], rows)]


def adapters(found: Mapping[str, tuple[int, Best]], evaluations: int) -> list[str]:
    text = [
        f"Each peer is called through a small adapter. With {evaluations} evaluations every kind of sampler, on the",
        "grid that suits it best, must come near the exact end point:",
        "",
    ]
    rows = [[name, str(kinds), f"{worst.value:.1e}", worst.name] for name, (kinds, worst) in found.items()]
    text += lines(["package", "kinds", "RMS error of the worst", "which"], rows)
    return [
        *text,
        "Known limits of the peers, left as they are: azula's REAB scales its increment with the noise level that the",
        "step leaves in place of the one it reaches (order 3 on the VE grid is measured as order 1); diffusers' UniPC",
        "with `bh1` or of eps gives NaN with the sigma grids (the step to 0, or one of length 0), and runs here on a",
        "table whose even steps are the exponential grid.",
        "",
    ]


def stochastic(tables: Mapping[str, Mapping[str, Mapping[int, Law]]], problem: str, n: int) -> list[str]:
    budgets = (10, 20, 50)
    text = ["## Stochastic samplers", ""]
    text += [
        f"{n:,} samples of the {problem}: sliced Wasserstein-1 distance from exact samples in units of the data's",
        "standard deviation, and in brackets the mean log-density of the samples less that of exact ones, in nats.",
        "The best setting of each package at each budget by distance. The deterministic default is beside them.",
        "",
    ]
    rows, names = [], []
    for package, settings_ in tables.items():
        groups = {package: [k for k in settings_ if k != "plans.default"]}
        if "plans.default" in settings_:
            groups["plans.default (deterministic)"] = ["plans.default"]
        for title, keys in groups.items():
            best = [min((settings_[k][b], k) for k in keys if b in settings_[k]) for b in budgets]
            title = "two exact sets" if package == "exact" else title
            rows.append([title, *(f"{law.distance:.4f} ({law.gap:+.3f})" for law, _ in best)])
            names += [[title, *(k for _, k in best)]] if package != "exact" else []
    return [*text, *lines(["", *map(str, budgets)], rows), *lines(["", *map(str, budgets)], names)]


def densities(tables: Mapping[str, list[Row]]) -> list[str]:
    text = ["## Log-density", "", "RMS error in nats, the model's evaluations (states at which it is asked), seconds."]
    text += ["azula and diffusers have no log-density. k-diffusion's has one Hutchinson probe.", ""]
    names = [row.name for row in next(iter(tables.values()))]
    by = {problem: {row.name: row for row in rows} for problem, rows in tables.items()}
    cells = [
        [name, *(f"{r[name].error:.1e}, {r[name].evaluations:.0f}, {r[name].seconds:.1f} s" for r in by.values())]
        for name in names
    ]
    return text + lines(["", *tables], cells)


def costs(tables: Mapping[str, Mapping[str, Cost]]) -> list[str]:
    text = ["## Overhead", ""]
    text += [
        "Processor time on one thread beside that of the bare network, called as often, and interleaved with it.",
        "'outside': seconds that a sampler spends outside the network over those inside, both read within its runs.",
        "'whole': its seconds over the bare network's, the median of paired differences, with the 95 % bootstrap",
        "interval. 'made': memory that it allocates outside the network for each evaluation, in units of x. Page",
        "faults are kept out (glibc is told to keep freed memory). The peers' loops have the cheapest denoiser round",
        "the network; ours have the library's own.",
        "",
    ]
    for case, table in tables.items():
        rows = [
            [name, f"{c.outside:.4f}", f"{c.whole:.3f}", f"{c.low:.3f} to {c.high:.3f}", f"{c.made:.1f}"]
            for name, c in table.items()
        ]
        text += [f"### {case}", "", *lines(["", "outside", "whole", "95 %", "made"], rows)]
    return text


COLOURS = {
    "azula": "#8c8c8c", "k-diffusion": "#b09a6e", "diffusers": "#7c93ad",
    "plans.default": "#d1495b", "calibrate": "#00798c",
}  # fmt: skip


def picture(tables: Mapping[str, Table], path: Path) -> None:
    """Error against evaluations: RMS as lines, medians dashed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(tables), 6.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(tables), sharex=True, sharey="row", squeeze=False)
    for column, (name, table) in enumerate(tables.items()):
        for row, (of, title) in enumerate((("rms", "RMS error"), ("median", "median error"))):
            ax = axes[row][column]
            for key, colour in COLOURS.items():
                if key in table:
                    values = [table[key].best(n, of).value for n in BUDGETS]
                    ours = key in OURS
                    ax.loglog(
                        BUDGETS, values, "o-" if ours else "s--", color=colour, label=key, lw=2.2 if ours else 1.3, ms=4
                    )
            ax.set_title(name if row == 0 else "", fontsize=11)
            ax.set_ylabel(title if column == 0 else "")
            ax.set_xlabel("evaluations" if row == 1 else "")
            ax.set_xticks(BUDGETS, [str(n) for n in BUDGETS], minor=False)
            ax.minorticks_off()
            ax.grid(alpha=0.25)
    handles, labels = axes[0][0].get_legend_handles_labels()
    labels = [label if label in OURS else f"{label}: best of all settings" for label in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=9, frameon=False)
    figure.savefig(path, dpi=110)
