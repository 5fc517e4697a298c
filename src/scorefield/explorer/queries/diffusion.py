"""Diffusion of a mixture: the way up, and every way down from one noise, with the ends of the exact ODE."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from scorefield import levels, metrics, plans
from scorefield._tensor import expand
from scorefield.core import Level, Levels
from scorefield.explorer.queries.params import Checked, Particles, Seed, Within
from scorefield.explorer.queries.subjects import Subject, SubjectParams, subject_of
from scorefield.numerics.random import normal
from scorefield.plans import Plan
from scorefield.plans.default import logistic_levels as fine_levels
from scorefield.plans.trajectories import Errors, Trajectories, solve_flow
from scorefield.schedules import VE, VP, RectifiedFlow, Schedule, SubVP

if TYPE_CHECKING:
    from scorefield.explorer.session import Session

_TOP, _LEAST = 80.0, 0.002  # of the noise, in standard deviations of the data
_FINE = 96  # levels of the exact ODE: errors below 1e-5 of the data's RMS on the presets

ScheduleName: TypeAlias = Literal["ve", "vp", "sub-vp", "rectified flow"]
GridName: TypeAlias = Literal["karras", "log", "angle", "flow", "schedule"]
PlanName: TypeAlias = Literal[
    "ddim", "ancestral", "euler_maruyama", "euler", "heun", "midpoint", "dpmpp2", "dpmpp2 sde", "unipc", "default",
    "calibrated",
]  # fmt: skip

SCHEDULES: Mapping[str, Schedule] = MappingProxyType(
    {"ve": VE(), "vp": VP(), "sub-vp": SubVP(), "rectified flow": RectifiedFlow()}
)


class Choice(NamedTuple):
    """What a plan is made from.

    Args:
        steps: evaluations of the model.
        grid: name of the levels.
        schedule: for the grid "schedule", and for plans that step in its time.
        subject: what is sampled: its spread sets the levels; calibration fits to it.
    """

    steps: int
    grid: str
    schedule: Schedule
    subject: Subject

    def levels(self, n: int) -> Levels:
        """n levels, then clean data."""
        scale, (high, low) = self.subject.scale, self.subject.range(_TOP, _LEAST)
        if self.grid == "schedule":
            return levels.uniform_time(n, self.schedule, t_max=self.t_max, t_min=self.t_min(n))
        if self.grid == "karras":
            return levels.karras(n, high, low)
        if self.grid == "log":
            return levels.log_uniform(n, high, low)
        return (levels.angle if self.grid == "angle" else levels.flow)(n, high, low, scale)

    def default(self) -> Plan:
        """The library's choice for the budget."""
        high, low = self.subject.range(_TOP, _LEAST)
        return plans.default(self.steps, scale=self.subject.scale, sigma_min=low, sigma_max=high, dimensions=2)

    @property
    def t_max(self) -> float:
        """The schedule's time of 80 standard deviations of noise, or its last one."""
        high, last = self.subject.range(_TOP, _LEAST)[0], self.schedule(self.schedule.t_max)
        return self.schedule.t_at(high) if float(last.ratio) > high else self.schedule.t_max

    def t_min(self, n: int) -> float | None:
        """The least of n even times, where the schedule's own lies below the model's range; None: the schedule's."""
        first = self.schedule.t_min + (self.t_max - self.schedule.t_min) / n
        least = self.subject.sigma_min
        return self.schedule.t_at(least) if float(self.schedule(first).ratio) < least else None


class Builder(NamedTuple):
    """A plan that is offered by name.

    Args:
        build: from what was chosen.
        what: a short description for a page.
        grid: whether it takes a grid of levels.
        timed: whether it steps in a schedule's time, on any grid.
    """

    build: Callable[[Choice], Plan]
    what: str
    grid: bool = True
    timed: bool = False


@lru_cache(maxsize=64)
def _calibrated(subject: Subject, steps: int) -> Plan:
    return plans.calibrate(subject.model, steps, shape=(2,), search=False, trajectories=64)


PLANS: Mapping[str, Builder] = MappingProxyType(
    {
        "ddim": Builder(lambda c: plans.ddim(c.levels(c.steps)), "probability-flow ODE, exponential Euler"),
        "ancestral": Builder(lambda c: plans.ancestral(c.levels(c.steps)), "DDPM's reverse chain"),
        "euler_maruyama": Builder(
            lambda c: plans.euler_maruyama(c.schedule, c.steps, c.t_max, c.t_min(c.steps)),
            "reverse SDE, even in the schedule's time",
            grid=False,
            timed=True,
        ),
        "euler": Builder(
            lambda c: plans.euler(c.schedule, c.steps, c.t_max, c.t_min(c.steps)),
            "probability-flow ODE, Euler in the schedule's time",
            grid=False,
            timed=True,
        ),
        "heun": Builder(lambda c: plans.heun(c.levels((c.steps + 1) // 2)), "Heun (Karras and others 2022)"),
        "midpoint": Builder(lambda c: plans.midpoint(c.levels((c.steps + 1) // 2)), "midpoint method"),
        "dpmpp2": Builder(lambda c: plans.dpmpp(c.levels(c.steps), 2), "DPM-Solver++ (2M)"),
        "dpmpp2 sde": Builder(lambda c: plans.dpmpp(c.levels(c.steps), 2, eta=1.0), "DPM-Solver++ (2M), SDE"),
        "unipc": Builder(lambda c: plans.unipc(c.levels(c.steps), 2), "predictor and corrector"),
        "default": Builder(lambda c: c.default(), "the library's default", grid=False),
        "calibrated": Builder(lambda c: _calibrated(c.subject, c.steps), "fitted to this law", grid=False),
    }
)
"""Plans by name, in the order in which a page lists them."""


@dataclass(frozen=True)
class Plans(Checked):
    """Nothing is to be chosen."""


def listed(p: Plans, session: Session) -> dict[str, Any]:
    """`plans`, a list of `{name, what, grid, timed}`; the names of `schedules` and `grids`."""
    return {
        "plans": [{"name": name, "what": b.what, "grid": b.grid, "timed": b.timed} for name, b in PLANS.items()],
        "schedules": list(SCHEDULES),
        "grids": ["karras", "log", "angle", "flow", "schedule"],
    }


# ---------------------------------------------------------------------------------------------------------- the way up


@dataclass(frozen=True)
class Forward(SubjectParams, Checked):
    """The way up.

    Args:
        schedule: `t -> (alpha, sigma)`.
        n: particles.
        times: pictures, evenly spaced in time from clean data.
        seed: of data and noise: one clean point and one noise a particle, so that each path is smooth.
    """

    schedule: ScheduleName = "vp"
    n: Particles = 1000
    times: Annotated[int, Within(2, 200)] = 40
    seed: Seed = 0


@torch.no_grad()
def forward(p: Forward, session: Session) -> dict[str, Any]:
    """`positions` `(times, n, 2)`, `alpha x0 + sigma eps`; `time`, `alpha`, `sigma` `(times,)`."""
    if p.times * p.n > 2_000_000:
        raise ValueError(f"n * times must be at most 2,000,000, got {p.times * p.n:,}.")
    schedule = SCHEDULES[p.schedule]
    t = torch.linspace(schedule.t_min, schedule.t_max, p.times, dtype=torch.float64)
    level = schedule(t)
    x0 = subject_of(p, session).sample(p.n, p.seed).double()
    eps = normal(p.n, (2,), p.seed, "explorer forward", dtype=torch.float64)
    alpha, sigma = (torch.as_tensor(v).expand(p.times) for v in level)
    paths = [Level(a, s).noised(x0, eps) for a, s in zip(alpha, sigma, strict=True)]
    return {
        "positions": torch.stack(paths).float().numpy(),
        "time": t.numpy(),
        "alpha": alpha.numpy(),
        "sigma": sigma.numpy(),
    }


@dataclass(frozen=True)
class Paths(SubjectParams, Checked):
    """The exact ODE in the time of a schedule.

    Args:
        schedule: `t -> (alpha, sigma)`.
        n: points.
        times: evenly spaced, from noise to data.
        seed: of the noise that they start from, one for every schedule.
    """

    schedule: ScheduleName = "vp"
    n: Annotated[int, Within(2, 100)] = 30
    times: Annotated[int, Within(2, 200)] = 80
    seed: Seed = 0


@torch.no_grad()
def paths(p: Paths, session: Session) -> dict[str, Any]:
    """`time`, `alpha`, `sigma` `(times,)`; `x` `(times, n)`, the first coordinates of `alpha(t)` times the one flow at
    `sigma / alpha`; `ends` `(n, 2)`, and `apart`, RMS over that of the data: how far from them 100 second-order steps
    end that are even in this schedule's time.
    """
    subject, schedule = subject_of(p, session), SCHEDULES[p.schedule]
    choice = Choice(100, "schedule", schedule, subject)
    exact = exact_ends(subject, p.n, p.seed, float(schedule(choice.t_max).ratio))
    t = torch.linspace(choice.t_max, schedule.t_min, p.times, dtype=torch.float64)
    alpha, sigma = (torch.as_tensor(v, dtype=torch.float64).expand(p.times) for v in schedule(t))
    x = [exact.at(Level(a, s))[:, 0].double() for a, s in zip(alpha, sigma, strict=True)]
    even = plans.dpmpp(choice.levels(100), 2)
    start = even.start(p.n, (2,), p.seed, subject.mean, subject.scale, dtype=subject.dtype)
    apart = Errors.of(exact.errors(plans.run(even, subject.model, start)))
    return {
        "time": t.numpy(),
        "alpha": alpha.numpy(),
        "sigma": sigma.numpy(),
        "x": torch.stack(x).float().numpy(),
        "ends": exact.end.float().numpy(),
        "apart": apart.rms,
    }


# -------------------------------------------------------------------------------------------------------- the way down


@dataclass(frozen=True)
class Sample(SubjectParams, Checked):
    """The way down.

    Args:
        plan: by name, see `listed`.
        steps: evaluations of the model, of heun and midpoint the odd number below or at it.
        grid: levels, for plans that take them.
        schedule: for the grid "schedule" and plans that step in time.
        n: particles.
        seed: of the start, the same normal numbers for every plan, and of the noise on the way.
    """

    plan: PlanName = "ddim"
    steps: Annotated[int, Within(2, 200)] = 20
    grid: GridName = "karras"
    schedule: ScheduleName = "vp"
    n: Particles = 500
    seed: Seed = 0


@torch.no_grad()
def sample(p: Sample, session: Session) -> dict[str, Any]:
    """`unit` `(k + 1, n, 2)`, the trajectory in units of the noised law's spread; `alpha`, `sigma` `(k + 1,)`; `ends`
    of the exact ODE from the same start, with `error` {rms, median} over the data's RMS (None where noise is added on
    the way); `sliced_wasserstein` to exact samples (of a run: its own) and its `floor`; the table: `name`,
    `evaluations`, `order`, `stochastic`, `P`, `E` `(k, k)`, `c` `(k,)`, `text`; `trajectory` as it is.
    """
    subject = subject_of(p, session)
    plan = PLANS[p.plan].build(Choice(p.steps, p.grid, SCHEDULES[p.schedule], subject))
    if (plan.evaluations + 1) * p.n > 2_000_000:
        raise ValueError(f"n * steps must be at most 2,000,000, got {(plan.evaluations + 1) * p.n:,}.")
    start = plan.start(p.n, (2,), p.seed, subject.mean, subject.scale, dtype=subject.dtype)
    path = plans.run(plan, subject.model, start, seed=p.seed, trajectory=True)
    exact = exact_ends(subject, p.n, p.seed, float(plan.levels[0].ratio))
    error = None if plan.stochastic else Errors.of(exact.errors(path[-1]))
    one, floor = _samples(subject, p.n, p.seed)
    return {
        "trajectory": path.float().numpy(),
        "unit": _in_units(path, subject, plan.levels).float().numpy(),
        "alpha": plan.levels.alpha.numpy(),
        "sigma": plan.levels.sigma.numpy(),
        "ends": exact.end.float().numpy(),
        "error": None if error is None else error._asdict(),
        "sliced_wasserstein": metrics.sliced_wasserstein(path[-1], one, projections=32),
        "floor": floor,
        **_table(plan),
    }


@lru_cache(maxsize=4)  # each holds a hundred levels of all particles: up to 60 MB
@torch.no_grad()
def exact_ends(subject: Subject, n: int, seed: int, ratio: float) -> Trajectories:
    """The probability flow, accurately, from where every plan starts whose first level has this sigma / alpha.

    Kept, for a slider of steps requests the same ones again and again.
    """
    lv = fine_levels(_FINE, ratio, subject.range(_TOP, _LEAST)[1], 0.7, 0.6 * subject.scale)
    start = plans.ddim(lv).start(n, (2,), seed, subject.mean, subject.scale, dtype=subject.dtype)
    return solve_flow(subject.model, start, lv, subject.scale)


@lru_cache(maxsize=8)
def _samples(subject: Subject, n: int, seed: int) -> tuple[Tensor, float]:
    """Samples of the data, and how far others of the same number are from them."""
    one, two = (subject.sample(n, seed + k) for k in (1, 2))
    return one, metrics.sliced_wasserstein(two, one, projections=32)


def _in_units(path: Tensor, subject: Subject, lv: Levels) -> Tensor:
    """`(x - alpha mean) / sqrt(alpha^2 spread^2 + sigma^2) * spread`: a picture that stays in its frame."""
    scale, mean = subject.scale, subject.mean
    radius = (lv.alpha**2 * scale**2 + lv.sigma**2).sqrt()
    return (path - expand(lv.alpha, path) * mean) / expand(radius, path) * scale + mean


def _table(plan: Plan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "evaluations": plan.evaluations,
        "order": float(plan.order) if math.isfinite(plan.order) else None,
        "stochastic": plan.stochastic,
        "P": plan.P.numpy(),
        "E": plan.E.numpy(),
        "c": plan.c.numpy(),
        "text": plan.table(),
    }
