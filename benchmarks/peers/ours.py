"""scorefield's own samplers: the default, every untuned builder over every grid, and the plan fitted to the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial

import torch
from torch import Tensor

from peers.problems import Counted, Problem, Sampler
from scorefield import Levels, levels, plans
from scorefield.plans import FLOW, VARIABLES, Plan, run
from scorefield.plans.calibrate import Calibration

Build = Callable[[int, float], Plan]
"""From the number of evaluations and the greatest sigma / alpha to a plan."""
Grid = Callable[[int, float], Levels]


def _run(build: Build, model: Counted, x: Tensor, n: int, high: float) -> Tensor:
    plan = build(n, high)
    start = float(plan.levels[0].ratio)
    return run(plan, model, x * (start / high), seed=1)


def default() -> Sampler:
    """With the number of dimensions of the problem, which a user knows."""

    def by_dimensions(model: Counted, x: Tensor, n: int, high: float) -> Tensor:
        return _run(lambda n, high: plans.default(n, sigma_max=high, dimensions=x.shape[1]), model, x, n, high)

    return Sampler("plans.default", by_dimensions)


def calibrated(problem: Problem, budgets: Iterable[int]) -> tuple[Sampler, dict[int, Calibration]]:
    """Plans fitted to the problem's model, on trajectories of its own, and what each fit says of itself."""
    fits = {n: plans.calibration(problem.model, n, sigma_max=problem.high, seed=7) for n in budgets}
    return Sampler("calibrate", partial(_run, lambda n, high: fits[n].plan)), fits


@cache
def grids(wide: bool = False) -> dict[str, Grid]:
    """n levels from the greatest, then 0."""
    made: dict[str, Grid] = {}
    for least in (0.002, 0.01, 0.03, 0.06) if wide else (0.002, 0.01, 0.03):
        for rho in (3.0, 5.0, 7.0) if wide else (7.0,):
            made[f"karras({rho:g}) to {least:g}"] = partial(_karras, least, rho)
        made[f"log-uniform to {least:g}"] = partial(_log_uniform, least)
    for scale in (0.5, 0.7, 1.0) if wide else (0.7, 1.0):
        made[f"flow({scale:g})"] = partial(_even, 1.0, scale)
        made[f"angle({scale:g})"] = partial(_angle, scale)
    for power in (0.5, 0.7, 0.85) if wide else (0.7,):
        for centre in (0.3, 0.4, 0.6, 0.8, 1.0) if wide else (0.4, 0.6):
            made[f"power({power:g}, {centre:g})"] = partial(_even, power, centre)
    return made


def _karras(least: float, rho: float, n: int, high: float) -> Levels:
    return levels.karras(n, high, least, rho)


def _log_uniform(least: float, n: int, high: float) -> Levels:
    return levels.log_uniform(n, high, least)


def _even(power: float, centre: float, n: int, high: float) -> Levels:
    """Evenly in `1 / (1 + (centre / sigma)**power)` from high to 0; with power 1 rectified flow's time."""
    top = 1 / (1 + (centre / high) ** power)
    place = torch.linspace(top, 0, n + 1, dtype=torch.float64)[:-1]
    return levels.given(_from(centre * (place / (1 - place)) ** (1 / power), high))


def _angle(scale: float, n: int, high: float) -> Levels:
    phi = torch.linspace(float(torch.tensor(high / scale).double().atan()), 0, n + 1, dtype=torch.float64)[:-1]
    return levels.given(_from(scale * phi.tan(), high))


def _from(sigma: Tensor, high: float) -> Tensor:
    sigma = sigma.clone()
    sigma[0] = high
    return sigma


def _builders(wide: bool) -> dict[str, tuple[Callable[[Levels], Plan], int]]:
    """Builders over a grid, with the evaluations that a level takes."""
    made: dict[str, tuple[Callable[[Levels], Plan], int]] = {"ddim": (plans.ddim, 1)}
    for variable in VARIABLES:
        for order in (2, 3, 4, 5):
            made[f"adams{order} {variable.name}"] = (partial(plans.adams, order=order, variable=variable), 1)
        for order in (1, 2, 3, 4):
            made[f"unipc{order} {variable.name}"] = (partial(plans.unipc, order=order, variable=variable), 1)
    for order in (2, 3):
        made[f"dpmpp{order}"] = (partial(plans.dpmpp, order=order), 1)
        made[f"deis{order}"] = (partial(plans.deis, order=order), 1)
    made["heun"] = (plans.heun, 2)
    made["heun flow"] = (partial(plans.heun, variable=FLOW), 2)
    for variable in VARIABLES if wide else (FLOW,):
        made[f"midpoint {variable.name}"] = (partial(plans.midpoint, variable=variable), 2)
    made["rk4"] = (plans.rk4, 4)
    return made


@cache
def _over(build: Callable[[Levels], Plan], grid: Grid, each: int, n: int, high: float) -> Plan:
    return build(grid((n + each - 1) // each, high))


def deterministic(wide: bool = False) -> Iterator[Sampler]:
    for grid_name, grid in grids(wide).items():
        for name, (build, each) in _builders(wide).items():
            yield Sampler(f"{name}, {grid_name}", partial(_run, partial(_over, build, grid, each)))


def stochastic() -> Iterator[Sampler]:
    builders: dict[str, Callable[[Levels], Plan]] = {
        "ancestral": plans.ancestral,
        "dpmpp2(eta=0.3)": partial(plans.dpmpp, order=2, eta=0.3),
        "dpmpp2(eta=1)": partial(plans.dpmpp, order=2, eta=1.0),
        "dpmpp3(eta=1)": partial(plans.dpmpp, order=3, eta=1.0),
    }
    for grid_name in ("log-uniform to 0.01", "log-uniform to 0.03", "karras(7) to 0.01", "power(0.7, 0.6)"):
        for name, build in builders.items():
            yield Sampler(f"{name}, {grid_name}", partial(_run, partial(_over, build, grids()[grid_name], 1)))
    for above in (0.3, 1.0):  # noise at high levels alone, where it costs least
        noisy = partial(plans.unipc, order=3, variable=FLOW, eta=0.5, noise_above=above)
        made = partial(_over, noisy, partial(_even, 1.2, 0.4), 1)
        yield Sampler(f"unipc3 flow(eta=0.5, noise_above={above:g}), power(1.2, 0.4)", partial(_run, made))
    for least in (0.01, 0.03):
        langevin = partial(plans.predictor_corrector, consistent=True)
        made = partial(_over, langevin, partial(_log_uniform, least), 2)
        yield Sampler(f"predictor_corrector, log-uniform to {least:g}", partial(_run, made))
