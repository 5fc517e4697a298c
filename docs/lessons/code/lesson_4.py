"""Lesson 4: one noise level cannot cross between modes; many levels can; annealed Langevin is diffusion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from parts import COLOURS, F64, Check, Table, axes, doubles, field, gaussian, least, line, modes

from scorefield import langevin, levels, metrics, plans
from scorefield.core import Level
from scorefield.denoiser import DATA, EDM_F, FLOW, NOISE, Target
from scorefield.explorer.queries.laws import PRESETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAW = modes(0.2, 4.0, 0.25)  # a fifth of the mass at -4, the rest at +4
COUNT = 4000
SIGMA_MAX, SIGMA_MIN = 20.0, 0.05


def one_level(sigma: float, steps: int) -> torch.Tensor:
    """Chains at one noise level, begun with one half of them in each mode; a step is a tenth of a mode's variance."""
    half = torch.ones(COUNT // 2, 1, dtype=F64)
    x = torch.cat([-4 * half, 4 * half])
    step = 0.1 * (0.25 + sigma**2)
    level = Level(1.0, sigma)
    return langevin.unadjusted(lambda y: LAW.score(y, level), x, step, steps, seed=0, burn_in=steps - 1).pooled


def annealed(count: int, steps_per_level: int, consistent: bool = False) -> torch.Tensor:
    """Annealed Langevin from noise: levels falling geometrically, a few steps at each."""
    lv = levels.log_uniform(count, SIGMA_MAX, SIGMA_MIN)
    plan = plans.annealed_langevin(lv, steps_per_level, step=0.2, consistent=consistent)
    return plans.run(plan, LAW, plan.start(COUNT, (1,), seed=0).double(), seed=1)


def diffusion(count: int) -> torch.Tensor:
    """The ancestral sampler over the same range of levels, one evaluation at each."""
    plan = plans.ancestral(levels.log_uniform(count, SIGMA_MAX, SIGMA_MIN))
    return plans.run(plan, LAW, plan.start(COUNT, (1,), seed=0).double(), seed=1)


def judged(x: torch.Tensor) -> tuple[float, float]:
    """The share of samples in the left mode, and the Wasserstein distance to exact samples."""
    return float((x < 0).double().mean()), metrics.sliced_wasserstein(x, LAW.sample(COUNT, seed=5))


def row_difference(count: int = 12) -> float:
    """The largest difference between an ancestral step and a DDIM step with a Langevin step, in their tables."""
    lv = levels.log_uniform(count, SIGMA_MAX, SIGMA_MIN, end=False)
    ancestral, ddim = plans.ancestral(lv), plans.ddim(lv)
    worst = 0.0
    for k in range(count - 1):
        q = float(lv.ratio[k + 1] / lv.ratio[k])
        step = 2 * (1 - q)  # of a Langevin step at the lower level, in units of its sigma^2
        low = float(lv.sigma[k + 1])
        corrector = plans.annealed_langevin(levels.given([low, low / 2], end=False), 1, step, consistent=True)
        mixed_eps = float(ddim.E[k, k]) * float(corrector.E[0, 0]) / low
        worst = max(worst, abs(mixed_eps - float(ancestral.E[k, k])), abs(float(corrector.c[0] - ancestral.c[k])))
    return worst


def gains(target: Target, sigma: float) -> tuple[float, float]:
    """By how much an error of the network's answer is multiplied in x0 and in eps, data of variance 1."""
    x, level = torch.zeros(1, 1, dtype=F64), Level(1.0, sigma)
    estimate = target.solve(x, torch.ones_like(x), level)
    return abs(float(estimate.x0)), abs(float(estimate.eps))


def values() -> dict[str, float]:
    found = {"difference": row_difference(), "w_floor": judged(LAW.sample(COUNT, seed=6))[1]}
    found["share_cold"], found["w_cold"] = judged(one_level(0.0, 300))
    found["share_hot"], found["w_hot"] = judged(one_level(3.0, 300))
    valley = LAW.log_density(torch.linspace(-4, 4, 801, dtype=F64)[:, None]).min()
    found["barrier"] = float(LAW.log_density(doubles(-4.0)[:, None]) - valley)
    x, mass = line(LAW, Level(1.0, 3.0))
    return found | {"share_noised": float(mass[x[:, 0] < 0].sum())}


def tables() -> dict[str, Table]:
    rows = []
    for count, steps in ((5, 60), (10, 30), (30, 10), (100, 3)):
        share, distance = judged(annealed(count, steps))
        rows.append([f"annealed, {count} levels of {steps} steps", f"{share:.3f}", f"{distance:.3f}"])
    for count in (30, 100, 300):
        share, distance = judged(diffusion(count))
        rows.append([f"ancestral, {count} levels", f"{share:.3f}", f"{distance:.3f}"])
    each = [
        [target.name, *(f"{gain:.2f}" for sigma in (0.01, 100.0) for gain in gains(target, sigma))]
        for target in (DATA, NOISE, FLOW, EDM_F)
    ]
    head = ["what it answers", *(f"{name}, σ = {sigma:g}" for sigma in (0.01, 100.0) for name in ("x₀", "ε"))]
    return {"annealed": (["sampler", "left mode", "Wasserstein"], rows), "targets": (head, each)}


def figures() -> dict[str, Figure]:
    figure, (left, right) = axes(2)
    grid = torch.linspace(-7, 7, 400, dtype=F64)[:, None]
    for sigma, colour in zip((0.0, 1.0, 2.0, 4.0, 8.0), COLOURS, strict=False):
        left.plot(grid[:, 0], LAW.log_density(grid, Level(1.0, sigma)), color=colour, label=f"σ = {sigma:g}")
    left.set(xlabel="x", title="log-density", ylim=(-20, 0.5))
    left.legend(frameon=False, fontsize=8, loc="lower center")
    bins = torch.linspace(-7, 7, 71).tolist()
    for x, label, colour in (
        (one_level(0.0, 300), "one level", COLOURS[1]),
        (annealed(30, 10), "annealed", COLOURS[0]),
    ):
        right.hist(x[:, 0].numpy(), bins=bins, density=True, histtype="step", color=colour, label=label)
    right.plot(grid[:, 0], LAW.log_density(grid).exp(), color="#555", linewidth=0.9, label="exact")
    right.set(xlabel="x", title="300 evaluations")
    right.legend(frameon=False, fontsize=8)
    live, panels = axes(2, width=3.6, height=3.8)
    plane = PRESETS["unequal weights"]
    cold = langevin.unadjusted(plane.score, plane.means[:1].repeat(500, 1), 0.05, 200, seed=0, burn_in=199).pooled
    plan = plans.annealed_langevin(levels.log_uniform(20, SIGMA_MAX, SIGMA_MIN), 10, step=0.6)
    cooled = plans.run(plan, plane, plan.start(500, (2,), seed=0).double(), seed=1)
    for ax, x, title in zip(panels, (cold, cooled), ("one level, from one mode", "annealed"), strict=True):
        field(ax, plane, Level(1.0, 0.1))
        ax.plot(*x.T, ".", color=COLOURS[1], markersize=2)
        ax.set(title=title)
    return {"levels": figure, "walk": live}


def identities() -> list[Check]:
    """Langevin keeps its law; the part of x that leaves least; the ancestral step is Bayes' rule."""
    law = modes(0.3, 1.5)
    x, mass = line(law)
    change = law.score(x) * torch.cos(x) - torch.sin(x)  # of the mean of sin
    noise, sd = 0.7, 1.3
    zero = torch.zeros(1, 1, dtype=F64)
    kept = EDM_F.solve(zero + 1, zero, Level(1.0, noise), sd).x0

    def left(c: float) -> float:
        return (1 - c) ** 2 * sd**2 + c**2 * noise**2

    added = EDM_F.solve(zero, zero + 1, Level(1.0, noise), sd).x0
    plan = plans.ancestral(levels.given([1.0, 0.6], end=False))
    precision = 1 / 0.6**2 + 1 / (1 - 0.6**2)  # of x at 0.6: from x0, and from x at 1
    return [
        Check("at rest", 0.0, float(mass @ change[:, 0])),
        Check("part of x", least(left), float(kept)),
        Check("what is left", left(float(kept)) ** 0.5, abs(float(added))),
        Check("ancestral mean", 1 / (1 - 0.6**2) / precision, float(plan.E[0, 0])),
        Check("ancestral noise", precision**-0.5, float(plan.c[0])),
    ]


def exercise_1() -> list[Check]:
    """The variance at rest of unadjusted Langevin on N(0, 1) with step 0.5."""
    x = torch.zeros(20000, 1, dtype=F64)
    rest = langevin.unadjusted(gaussian([0.0], [1.0]).score, x, 0.5, 30, seed=0, burn_in=29).pooled
    exact = 1 / (1 - 0.5 / 2)
    return [Check("ex1_variance", exact, float(rest.var()), 4 * exact * math.sqrt(2 / 20000))]


def exercise_2() -> list[Check]:
    """The number of levels from 20 to 0.05 whose neighbours are in the ratio 0.8."""
    count = math.ceil(math.log(SIGMA_MAX / SIGMA_MIN) / -math.log(0.8)) + 1
    ratio = levels.log_uniform(count, SIGMA_MAX, SIGMA_MIN, end=False).ratio
    fewer = levels.log_uniform(count - 1, SIGMA_MAX, SIGMA_MIN, end=False).ratio
    return [
        Check("ex2_count", 28, count if float(ratio[1] / ratio[0]) >= 0.8 > float(fewer[1] / fewer[0]) else math.nan)
    ]


def exercise_3() -> list[Check]:
    """The Langevin step inside an ancestral step from sigma 1 to 0.9."""
    plan = plans.ancestral(levels.given([1.0, 0.9], end=False))
    return [Check("ex3_step", 0.2, 2 * (1 - float(plan.E[0, 0]) / 0.9))]


def exercises() -> dict[str, list[Check]]:
    return {"1": exercise_1(), "2": exercise_2(), "3": exercise_3()}
