"""Writes what was measured on tables as Markdown, from the results of the jobs alone."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from tables.ours import NAME

Result = Mapping[str, Any]
Part = dict[str, dict[str, list[Result]]]
"""By table and method the result of every split."""

LIBRARIES = ("scorefield", "torch", "zuko", "ForestDiffusion", "xgboost-cpu", "scikit-learn", "numpy")


def machine() -> str:
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} from its sources")
    return (
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {platform.machine()} CPU, "
        f"{os.environ.get('OMP_NUM_THREADS', '1')} thread(s), Python {platform.python_version()}; {', '.join(found)}."
    )


def lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    made = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return [*made, *("| " + " | ".join(row) + " |" for row in rows), ""]


def pooled(results: Sequence[Result], name: str) -> np.ndarray:
    """The values of all splits in one row."""
    return np.concatenate([np.asarray(r[name], dtype=float) for r in results])


def paired(first: Sequence[Result], second: Sequence[Result], name: str) -> tuple[float, float]:
    """Mean of the row by row difference and its standard error."""
    gap = pooled(first, name) - pooled(second, name)
    return float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap)))


def brief(part: str, result: Result) -> str:
    """One result in a line."""
    if "failed" in result:
        return str(result["failed"])
    if part == "generate":
        said = f"C2ST {result['c2st']:.3f} +- {result['c2st_error']:.3f}, energy distance {result['energy']:.4f}"
    else:
        names = {"density": ("log_density",), "impute": ("crps", "covered")}.get(
            part, ("log_density", "crps", "covered")
        )
        said = ", ".join(f"{n} {pooled([result], n).mean():.3f}" for n in names)
    return f"{said} ({result['note']}; {result['seconds']:.0f} s)"


def methods(part: Part) -> list[str]:
    """All methods of a part in the order in which they were run."""
    seen: dict[str, None] = {}
    for table in part.values():
        seen.update(dict.fromkeys(table))
    return list(seen)


def grid(part: Part, cell: Callable[[dict[str, list[Result]], str], str], skip: Sequence[str] = ()) -> list[str]:
    """A row for each table, a column for each method; failed jobs are named."""
    columns = [m for m in methods(part) if m not in skip]
    rows = []
    for name, table in part.items():
        row = [name]
        for m in columns:
            results = table.get(m)
            if results is None:
                row.append("")
            else:
                row.append("failed" if any("failed" in r for r in results) else cell(table, m))
        rows.append(row)
    return lines(["", *columns], rows)


def sound(table: Mapping[str, list[Result]], m: str) -> bool:
    return m in table and not any("failed" in r for r in table[m])


def mean(name: str, digits: int = 3) -> Callable[[dict[str, list[Result]], str], str]:
    return lambda table, m: f"{pooled(table[m], name).mean():.{digits}f}"


def difference(name: str, digits: int = 3) -> Callable[[dict[str, list[Result]], str], str]:
    """Ours less the method's, with its standard error."""

    def cell(table: dict[str, list[Result]], m: str) -> str:
        if not sound(table, NAME) or len(table[NAME]) != len(table[m]):
            return ""
        value, error = paired(table[NAME], table[m], name)
        return f"{value:+.{digits}f} ± {error:.{digits}f}"

    return cell


def percent(table: dict[str, list[Result]], m: str) -> str:
    return f"{100 * pooled(table[m], 'covered').mean():.1f} %"


def densities(part: Part) -> list[str]:
    text = [
        "## Held-out log-density",
        "",
        "Mean over test rows of the noised, standardised columns; higher is better.",
        "",
    ]
    text += grid(part, mean("log_density"))
    if any(NAME in table for table in part.values()):
        text += [f"{NAME} less each peer, mean and standard error over rows:", ""]
        text += grid(part, difference("log_density"), skip=(NAME,))
    return text


def generated(part: Part) -> list[str]:
    def accuracy(table: dict[str, list[Result]], m: str) -> str:
        spread = np.sqrt(np.mean([r["c2st_error"] ** 2 for r in table[m]]) / len(table[m]))
        return f"{np.mean([r['c2st'] for r in table[m]]):.3f} ± {spread:.3f}"

    def ratio(table: dict[str, list[Result]], m: str) -> str:
        pairs = list(zip(table[m], table.get("floor", []), strict=False))
        return f"{sum(r['energy'] for r, _ in pairs) / sum(f['energy'] for _, f in pairs):.2f}" if pairs else ""

    text = ["## Generated rows", "", "Fitted to one half, judged against the other. Accuracy of gradient boosting at"]
    text += ["telling them apart (0.5 is best; `floor`: the half fitted to itself):", "", *grid(part, accuracy)]
    text += ["Energy distance over that of the floor (1 is best):", "", *grid(part, ratio, skip=("floor",))]
    return text


def imputed(part: Part) -> list[str]:
    text = ["## Imputation", "", "A fifth of the cells of the test rows removed. CRPS in standard deviations:", ""]
    text += grid(part, mean("crps", 4))
    if any(NAME in table for table in part.values()):
        text += [f"{NAME} less each peer (lower is better):", "", *grid(part, difference("crps", 4), skip=(NAME,))]
    return [*text, "Truths among the middle 90 % of ranks:", "", *grid(part, percent)]


def predicted(part: Part) -> list[str]:
    text = ["## Prediction of the last column", "", "Held-out log-density of the standardised target:", ""]
    text += grid(part, mean("log_density"))
    text += ["CRPS in standard deviations:", "", *grid(part, mean("crps", 4))]
    if any(NAME in table for table in part.values()):
        text += [f"Log-density of {NAME} less each peer's:", "", *grid(part, difference("log_density"), skip=(NAME,))]
        text += [f"CRPS of {NAME} less each peer's:", "", *grid(part, difference("crps", 4), skip=(NAME,))]
    return [*text, "Truths within 90 % intervals:", "", *grid(part, percent)]


def chosen(part: Part) -> list[str]:
    """What each method chose on its first split, and the seconds it took in the mean."""
    rows = []
    for name, table in part.items():
        for m, results in table.items():
            if sound(table, m):
                rows.append([name, m, str(results[0]["note"]), f"{np.mean([r['seconds'] for r in results]):.0f}"])
    return ["Settings (of the first split):", "", *lines(["table", "method", "setting", "seconds"], rows)]


WRITERS = {"density": densities, "generate": generated, "impute": imputed, "predict": predicted}


def text(results: Mapping[str, Part]) -> str:
    made = ["# Tables, beside other methods", "", f"Written by `make bench-tables`. {machine()}", ""]
    for name, part in results.items():
        if part:
            made += [*WRITERS[name](part), *chosen(part)]
    return "\n".join(made).rstrip() + "\n"
