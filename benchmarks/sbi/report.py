"""The report: C2ST of each method on each task, with the seconds it took."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import references
from methods import FLOOR, METHODS
from tasks import TASKS, Task

Result = dict[str, Any]
Found = dict[tuple[str, str, int, int], Result]
"""By task, method, simulations and set of observations."""

BARS = {
    "two_moons": 0.56,
    "gaussian_mixture": 0.56,
    "gaussian_linear": 0.53,
    "gaussian_linear_uniform": 0.54,
    "slcp": 0.78,
    "bernoulli_glm": 0.60,
}
"""What 10,000 simulations have to reach."""

TARP = """TARP on 200 fresh simulations: the p-value of the coverage curve. Below 0.05 the curve leaves its 95 % band,
and the posterior is too narrow, too wide or in the wrong place:"""

HEAD = """# Posteriors of eight simulators

`make bench-sbi` writes this page. Each method is fitted once to the same simulations of a task, in one thread and at
most {seconds:.0f} seconds of CPU time, and draws from the posteriors of ten observations. A classifier (two hidden
layers of 10 d units, as in Lueckmann et al. 2021) then tries to tell its draws from as many exact ones: 0.5 is perfect,
1 is hopeless. A figure is the mean over the ten observations; observations are plain draws from prior and simulator,
none is left out, so that SLCP has some with very narrow posteriors, which drop out of the published benchmark.

The references are exact: closed forms, or rejection from proposals that follow the posterior, up to 0.05 % of the mass
(`benchmarks/sbi/references.py`, checked by `benchmarks/sbi/checks.py`). The floor is the figure of a second set of
exact draws in place of a method.
"""


@dataclass(frozen=True)
class Table:
    """Rows of texts under a head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        rule = "|" + "---|" * len(self.head)
        return "\n".join([line(self.head), rule, *map(line, self.rows)])


def line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def brief(result: Result) -> str:
    """A result in a line of the log."""
    times = f"{result['fit_seconds']:.0f} s fitting, {result['sample_seconds']:.1f} s per observation, {result['note']}"
    if "c2st" not in result:
        return times
    return f"C2ST {fmean(result['c2st']):.3f} ({' '.join(f'{v:.2f}' for v in result['c2st'])}), {times}"


def found(cache: Path) -> Found:
    """Everything in the cache."""
    results: Found = {}
    for path in sorted(cache.glob("*.json")):
        task, method, simulations, observations = path.stem.split("-")
        key = (task, method.replace("_", " "), int(simulations), int(observations))
        results[key] = json.loads(path.read_text(encoding="utf-8"))
    return results


def present(results: Found) -> list[str]:
    return [method for method in METHODS if any(key[1] == method for key in results)]


def accuracies(results: Found, simulations: int, observations: int) -> Table:
    """Mean C2ST, the best of a row in bold."""
    methods = present(results)

    def row(task: Task) -> tuple[str, ...]:
        values = {
            method: fmean(result["c2st"])
            for method in methods
            if "c2st" in (result := results.get((task.name, method, size(method, simulations), observations), {}))
        }
        best = min((v for m, v in values.items() if m != FLOOR), default=0.0)
        cells = [f"**{values[m]:.3f}**" if values.get(m) == best else shown(values.get(m)) for m in methods]
        return (task.title, *cells, shown(BARS.get(task.name) if simulations == 10_000 else None, 2))

    return Table(("task", *methods, "bar"), tuple(row(task) for task in TASKS.values()))


def size(method: str, simulations: int) -> int:
    """The floor needs no simulations."""
    return 0 if method == FLOOR else simulations


def shown(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def times(results: Found, simulations: int) -> Table:
    """CPU seconds of fitting and of the draws for one observation."""
    methods = [method for method in present(results) if method != FLOOR]

    def cell(task: str, method: str) -> str:
        result = results.get((task, method, simulations, references.OPEN))
        return f"{result['fit_seconds']:.0f} / {result['sample_seconds']:.1f}" if result else ""

    rows = tuple((task.title, *(cell(task.name, method) for method in methods)) for task in TASKS.values())
    return Table(("task", *methods), rows)


def singles(results: Found, simulations: int, observations: int) -> Table:
    """Every observation's C2ST."""
    rows = tuple(
        (TASKS[task].title, method, *(f"{v:.2f}" for v in result["c2st"]), f"{median(result['c2st']):.3f}")
        for (task, method, count, seed), result in sorted(results.items())
        if "c2st" in result and count == size(method, simulations) and seed == observations
    )
    return Table(("task", "method", *(str(i + 1) for i in range(references.COUNT)), "median"), rows)


def coverages(results: Found, simulations: int) -> Table:
    """The p-values of TARP."""
    methods = [method for method in present(results) if method != FLOOR]

    def cell(task: str, method: str) -> str:
        return shown(results.get((task, method, simulations, references.OPEN), {}).get("tarp"), 2)

    rows = tuple((task.title, *(cell(task.name, method) for method in methods)) for task in TASKS.values())
    return Table(("task", *methods), rows)


def notes(results: Found) -> Table:
    """How each method was set."""
    rows = [
        (method, TASKS[task].title, f"{count:,}", result["note"], f"{result.get('judged', 0):,}")
        for (task, method, count, seed), result in sorted(results.items(), key=lambda one: (one[0][1], one[0]))
        if seed == references.OPEN
    ]
    return Table(("method", "task", "simulations", "settings", "draws judged"), tuple(rows))


SETS = {references.OPEN: "the ten observations", references.HELD_OUT: "ten others, held out"}


def text(cache: Path, seconds: float) -> str:
    """The whole page."""
    results = found(cache)
    parts = [HEAD.format(seconds=seconds)]
    for count in sorted({key[2] for key in results if key[1] != FLOOR}):
        for seed, name in SETS.items():
            if any("c2st" in r and key[2:] == (count, seed) for key, r in results.items()):
                parts += [f"## {count:,} simulations, {name}\n\nC2ST:\n", str(accuracies(results, count, seed)), ""]
        parts += [f"{TARP}\n", str(coverages(results, count)), ""]
        parts += ["CPU seconds of fitting / of the draws for one observation:\n", str(times(results, count)), ""]
        for seed, name in SETS.items():
            if any("c2st" in r and key[2:] == (count, seed) for key, r in results.items()):
                parts += [f"C2ST of each of {name}:\n", str(singles(results, count, seed)), ""]
    return "\n".join([*parts, "## Settings\n", str(notes(results)), ""])
