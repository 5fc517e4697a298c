"""Lesson 5: the reverse SDE, the probability-flow ODE, and DDIM as a step of the ODE."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from parts import COLOURS, F64, Check, Table, axes, doubles, field, gaussian, modes
from torch import Tensor

from scorefield import levels, plans
from scorefield.core import Level
from scorefield.explorer.queries.laws import PRESETS
from scorefield.numerics.random import normal
from scorefield.plans import Plan, run
from scorefield.plans.laws import gaussian_moments
from scorefield.schedules import VE, VP, Cosine, RectifiedFlow, Schedule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOISE = VE(sigma_min=0.01, sigma_max=10.0)
LAW = modes(0.4, 2.0, 0.09)
SCHEDULES: dict[str, Schedule] = {"VE": VE(), "VP": VP(), "cosine": Cosine(), "straight lines": RectifiedFlow()}
ENDS = 20.0, 0.01


def sde(steps: int, noise: Schedule = NOISE) -> Plan:
    return plans.euler_maruyama(noise, steps, t_min=noise.t_min)


def ode(steps: int, noise: Schedule = NOISE) -> Plan:
    return plans.euler(noise, steps, t_min=noise.t_min)


def dropped(steps: int, noise: Schedule = NOISE) -> Plan:
    """The reverse SDE with its noise left out and nothing else changed: wrong."""
    plan = sde(steps, noise)
    return replace(plan, c=torch.zeros_like(plan.c), name="dropped")


def variance(plan: Plan, of_data: float = 1.0) -> float:
    """Of what the plan gives for data N(0, of_data) and the exact model: exact, carried through the table."""
    return float(gaussian_moments(plan, 0.0, of_data).variance[-1])


def end_point(schedule: Schedule, steps: int, z: Tensor) -> Tensor:
    """DDIM over evenly spaced times of a schedule, from the same noise at the same sigma / alpha."""
    high, low = (schedule.t_at(ratio) for ratio in ENDS)
    plan = plans.ddim(levels.uniform_time(steps, schedule, t_max=high, t_min=low))
    return run(plan, LAW, float(plan.levels.alpha[0]) * ENDS[0] * z)


def reference(z: Tensor) -> Tensor:
    plan = plans.heun(levels.log_uniform(1000, *ENDS))
    return run(plan, LAW, ENDS[0] * z)


def values() -> dict[str, float]:
    lv = levels.log_uniform(200, 10.0, 0.01)
    found = {f"eta_{name}": variance(plans.ddim(lv, eta=eta)) for name, eta in (("0", 0.0), ("half", 0.5), ("1", 1.0))}
    return found | {"limit": 1 / 101, "dropped": variance(dropped(400))}


def tables() -> dict[str, Table]:
    three = [[f"{n}", *(f"{variance(make(n)):.4f}" for make in (sde, ode, dropped))] for n in (25, 100, 400)]
    orders = []
    for n in (10, 20, 40, 80):
        lv = levels.log_uniform(n, 10.0, 0.01)
        made = plans.ddim(lv), plans.adams(lv, order=2), plans.heun(levels.log_uniform(n // 2, 10.0, 0.01))
        orders.append([f"{n}", *(f"{abs(variance(plan) ** 0.5 - 1):.1e}" for plan in made)])
    z = normal(500, (1,), 0, "lesson", dtype=F64)
    exact = reference(z)
    ends = [
        [name, *(f"{float((end_point(schedule, n, z) - exact).abs().median()):.4f}" for n in (20, 80, 320))]
        for name, schedule in SCHEDULES.items()
    ]
    return {
        "three": (["steps", "reverse SDE", "ODE", "SDE without its noise"], three),
        "orders": (["evaluations", "DDIM", "Adams, order 2", "Heun"], orders),
        "schedules": (["schedule", "20 steps", "80", "320"], ends),
    }


def figures() -> dict[str, Figure]:
    figure, panels = axes(3, width=3.4)
    start = 10 * normal(40, (1,), 0, "lesson", dtype=F64)
    for ax, make, colour, title in zip(
        panels, (sde, ode, dropped), COLOURS, ("reverse SDE", "ODE", "SDE without its noise"), strict=False
    ):
        plan = make(200)
        path = run(plan, LAW, start, seed=1, trajectory=True)[:-1, :, 0]
        ax.plot(plan.levels.sigma[:-1], path, color=colour, linewidth=0.6)
        ax.set(xscale="log", xlabel="σ", title=title, ylim=(-12, 12))
        ax.invert_xaxis()
    live, panels = axes(2, width=3.6, height=3.8)
    law, lv = PRESETS["moons"], levels.karras(8, sigma_max=20.0, sigma_min=0.02)
    for ax, plan, title in zip(
        panels, (plans.ddim(lv), plans.dpmpp(lv)), ("DDIM, 8", "DPM++ of order 2, 8"), strict=True
    ):
        field(ax, law, Level(1.0, 0.05), reach=4.0)
        ax.plot(*run(plan, law, plan.start(300, (2,), seed=0).double()).T, ".", color=COLOURS[1], markersize=3)
        ax.set(title=title)
    return {"paths": figure, "ends": live}


def identities() -> list[Check]:
    """Fokker-Planck on a mixture, the velocity of every schedule, and a score from a straight-line velocity."""
    at, t, h = doubles(0.7)[:, None], 0.4, 1e-4
    found = []
    for name, schedule in SCHEDULES.items():
        level = schedule(t)

        def density(x: Tensor, time: float = t, schedule: Schedule = schedule) -> Tensor:
            return LAW.log_density(x, schedule(time)).exp()

        f, half = float(schedule.drift(t)), float(schedule.diffusion_squared(t)) / 2
        rate = (density(at, t + h) - density(at, t - h)) / (2 * h)
        flux = [(x * density(x)[:, None])[:, 0] for x in (at + h, at - h)]
        spread = (density(at + h) - 2 * density(at) + density(at - h)) / h**2
        moved = -f * (flux[0] - flux[1]) / (2 * h) + half * spread
        found.append(Check(f"Fokker-Planck, {name}", float(moved), float(rate), 1e-5 * abs(float(rate))))
        velocity = LAW(at, level).velocity(schedule.rates(t))
        found.append(Check(f"velocity, {name}", float(f * at - half * LAW.score(at, level)), float(velocity)))
    straight = SCHEDULES["straight lines"]
    v = LAW(at, straight(t)).velocity(straight.rates(t))
    score = -(at + (1 - t) * v) / t
    return [*found, Check("straight lines", float(LAW.score(at, straight(t))), float(score))]


def exercise_1() -> list[Check]:
    """What the noiseless SDE leaves of data N(0, 4), from sigma = 5: the ODE's change of scale, twice."""
    noise = VE(sigma_min=0.001, sigma_max=5.0)
    few, many = (variance(dropped(steps, noise), 4.0) for steps in (300, 600))
    extrapolated = 2 * many - few  # Euler's error is of first order: what is left is of second
    return [Check("ex1_variance", 16 / 29, extrapolated, 1e-2)]


def exercise_2() -> list[Check]:
    """Where the ODE takes x = 10 at sigma = 10, data N(0, 1)."""
    plan = plans.heun(levels.log_uniform(400, 10.0, 1e-3))
    end = run(plan, gaussian([0.0], [1.0]), doubles(10.0)[:, None])
    return [Check("ex2_end", 10 / 101**0.5, float(end), 1e-4)]


def exercise_3() -> list[Check]:
    """The variance of one DDIM step from sigma = 3 to 0, data N(0, 1)."""
    return [Check("ex3_variance", 0.1, variance(plans.ddim(levels.given([3.0]))))]


def exercises() -> dict[str, list[Check]]:
    return {"1": exercise_1(), "2": exercise_2(), "3": exercise_3()}
