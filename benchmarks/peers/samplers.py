"""Measures samplers: error of end points against evaluations, and distance of stochastic samples from the law."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from peers import azula, diffusers, kdiffusion, ours
from peers.problems import BUDGETS, F64, Counted, Problem, Sampler, TooManyError
from scorefield.metrics import sliced_wasserstein
from scorefield.numerics.random import normal

PACKAGES: dict[str, ModuleType] = {"azula": azula, "k-diffusion": kdiffusion, "diffusers": diffusers}
SHORTLIST = Path(__file__).with_name("shortlist.json")
"""Settings within `NEAR` of their package's best somewhere in a measurement of all of them (`run.py --wide`)."""
NEAR = 1.15
CONVERGED = 200
CONVERGING = {
    "azula": ("rectified to 0.0001", "VE to 0.001"),
    "k-diffusion": ("exponential to 0.002", "fast to 0.002"),
    "diffusers": ("exponential to 0.002", "flow(0.5)", "evenly to 0.002 and there an end"),
}
"""Grids on which the adapters are checked."""


class Score(NamedTuple):
    """RMS and median error, and the evaluations that were used."""

    rms: float
    median: float
    used: int


class Best(NamedTuple):
    value: float
    name: str


@dataclass
class Errors:
    """Scores of all settings of a package on a problem, by name and budget; what failed, by message."""

    scores: dict[str, dict[int, Score]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def best(self, budget: int, of: str) -> Best:
        return min(Best(getattr(s[budget], of), name) for name, s in self.scores.items() if budget in s)

    def near(self) -> set[str]:
        """Names within NEAR of the best in RMS or median at some budget."""
        return {
            name
            for name, s in self.scores.items()
            for n in s
            for of in ("rms", "median")
            if getattr(s[n], of) <= NEAR * self.best(n, of).value
        }


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of the peers' own dependencies (quadrature in LMS)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def measure(problem: Problem, samplers: Iterable[Sampler], budgets: Iterable[int] = BUDGETS) -> Errors:
    """Every setting at every budget; one that cannot do with a budget, or fails, has no score there."""
    errors = Errors()
    with quiet():
        for sampler in samplers:
            for n in budgets:
                model = Counted(problem.model, n)
                try:
                    found = sampler.run(model, problem.starts, n, problem.high)
                except TooManyError:
                    continue
                except (ValueError, RuntimeError, IndexError) as error:  # torch's LinAlgError is a RuntimeError
                    errors.failed[f"{sampler.name} at {n}"] = str(error)
                    continue
                errors.scores.setdefault(sampler.name, {})[n] = Score(*problem.error(found), model.count)
    return errors


def shortlisted(package: str, wide: bool) -> list[Sampler]:
    """All settings of a package, or those of the shortlist."""
    samplers = list(PACKAGES[package].deterministic(wide=True))
    if wide:
        return samplers
    names = set(json.loads(SHORTLIST.read_text())[package])
    return [s for s in samplers if s.name in names]


def shortlisted_ours(wide: bool) -> list[Sampler]:
    """The same for this library's untuned builders."""
    every = list(ours.deterministic(wide))
    if wide:
        return every
    names = set(json.loads(SHORTLIST.read_text()).get("scorefield", []))
    return [s for s in ours.deterministic(wide=True) if s.name in names] if names else every


def write_shortlist(tables: Iterable[Mapping[str, Errors]]) -> None:
    """From a measurement of all settings: those that come near the best of their package on any problem."""
    names: dict[str, set[str]] = {}
    for table in tables:
        for package in (*PACKAGES, "best untuned"):
            names.setdefault({"best untuned": "scorefield"}.get(package, package), set()).update(table[package].near())
    SHORTLIST.write_text(json.dumps({k: sorted(v) for k, v in names.items()}, indent=1) + "\n", encoding="utf-8")


def check_adapters(problem: Problem) -> dict[str, tuple[int, Best]]:
    """By package how many kinds of samplers it has, and which is furthest from the exact end at CONVERGED evaluations.

    Each kind on the grid that suits it best: all must come near, or the way in which they are called is wrong.
    """
    few = Problem(problem.name, problem.model, problem.high, problem.starts[:32], problem.ends[:32])
    result = {}
    for name, package in PACKAGES.items():
        suited = [s for s in package.deterministic() if s.name.endswith(CONVERGING[name])]
        errors = measure(few, suited, [CONVERGED])
        kinds: dict[str, float] = {}
        for setting, scores in errors.scores.items():
            kind = setting.split(", ")[0]
            kinds[kind] = min(kinds.get(kind, float("inf")), scores[CONVERGED].rms)
        result[name] = (len(kinds), Best(*max((error, kind) for kind, error in kinds.items())))
    return result


# ------------------------------------------------------------------------------------------------------- stochastic


class Law(NamedTuple):
    """How far samples are from the law: sliced Wasserstein-1, and E log p(samples) - E log p(law), in nats."""

    distance: float
    gap: float


def law(problem: Problem, samples: Tensor, exact: Tensor) -> Law:
    if not bool(torch.isfinite(samples).all()):
        return Law(float("inf"), float("inf"))
    density = problem.model.log_density
    return Law(
        sliced_wasserstein(samples, exact, projections=32), float(density(samples).mean() - density(exact).mean())
    )


def stochastic(
    problem: Problem, n: int = 20_000, budgets: tuple[int, ...] = (10, 20, 50)
) -> dict[str, dict[str, dict[int, Law]]]:
    """By package, by setting, by budget; 'two exact sets' beside them."""
    exact = problem.model.sample(n, 101)
    start = problem.high * normal(n, problem.model.mean.shape, 5, "benchmark starts", dtype=F64)
    floor = [law(problem, problem.model.sample(n, 102 + k), exact) for k in range(4)]
    mean = Law(sum(f.distance for f in floor) / 4, max(abs(f.gap) for f in floor))
    table = {"exact": {"two exact sets": dict.fromkeys(budgets, mean)}}
    lists = {"scorefield": [*ours.stochastic(), ours.default()], **{k: p.stochastic() for k, p in PACKAGES.items()}}
    with quiet():
        for package, samplers in lists.items():
            rows = table.setdefault(package, {})
            for sampler in samplers:
                for budget in budgets:
                    with torch.random.fork_rng():
                        torch.random.default_generator.manual_seed(0)  # the peers draw from torch's own
                        try:
                            found = sampler.run(Counted(problem.model, budget), start, budget, problem.high)
                        except TooManyError:
                            continue
                    rows.setdefault(sampler.name, {})[budget] = law(problem, found, exact)
    return table
