"""The schedulers of diffusers that solve the probability flow or its SDE, over their grids.

A scheduler is asked for its levels, and the exact model answers at just those: no rounding of sigma to whole timesteps.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from peers.problems import Counted, Sampler
from scorefield import Level

logging.getLogger("diffusers").setLevel(logging.ERROR)
from diffusers import schedulers  # noqa: E402

Make = Callable[[float], Any]
"""From the greatest ratio sigma / alpha to a scheduler whose table starts there."""


def table(high: float, least: float, steps: int = 1000) -> np.ndarray:
    """Betas of a variance-preserving chain whose sigma / alpha run evenly in logarithm from least to high."""
    ratio = np.exp(np.linspace(math.log(least), math.log(high), steps))
    return _betas(1 / (1 + ratio**2))


def linear_table(high: float, beta_min: float = 0.1, steps: int = 1000) -> np.ndarray:
    """Betas of the usual linear chain, with the slope that ends at `high`."""
    t = np.arange(1, steps + 1) / steps
    beta_d = 2 * (math.log1p(high**2) - beta_min)
    return _betas(np.exp(-(beta_d * t**2 / 2 + beta_min * t)))


def _betas(alphas_bar: np.ndarray) -> np.ndarray:
    return 1 - alphas_bar / np.concatenate([[1.0], alphas_bar[:-1]])


def _level(scheduler: Any) -> Level:
    """Where the scheduler stands, in its own scale."""
    sigma = scheduler.sigmas[scheduler.step_index or 0].double()
    if getattr(scheduler, "state_in_first_order", True) is False and hasattr(scheduler, "sigmas_interpol"):
        sigma = scheduler.sigmas_interpol[scheduler.step_index].double()
    if isinstance(scheduler, schedulers.FlowMatchEulerDiscreteScheduler | schedulers.FlowMatchHeunDiscreteScheduler):
        return Level(1 - sigma, sigma)
    if not hasattr(scheduler, "_sigma_to_alpha_sigma_t") or isinstance(
        scheduler, schedulers.EDMDPMSolverMultistepScheduler | schedulers.CosineDPMSolverMultistepScheduler
    ):
        return Level(torch.ones_like(sigma), sigma)
    if getattr(scheduler.config, "use_flow_sigmas", False):
        return Level(1 - sigma, sigma)
    alpha = 1 / (1 + sigma**2).sqrt()
    return Level(alpha, alpha * sigma)


def _answer(scheduler: Any, model: Counted, x: Tensor) -> Tensor:
    level = _level(scheduler)
    estimate = model(x, level)
    if "FlowMatch" in type(scheduler).__name__:
        return estimate.eps - estimate.x0
    if type(scheduler).__name__.startswith("EDM"):  # its step takes the network's F, which it turns into x0
        sigma, data = level.sigma, scheduler.config.sigma_data
        skip, out = data**2 / (sigma**2 + data**2), sigma * data / (sigma**2 + data**2).sqrt()
        return (estimate.x0 - skip * x) / out
    return estimate.x0 if scheduler.config.prediction_type == "sample" else estimate.eps


@torch.no_grad()
def _run(
    make: Make,
    each: int,
    model: Counted,
    x: Tensor,
    n: int,
    high: float,
    sigmas: Callable[[int, float], np.ndarray] | None = None,
) -> Tensor:
    scheduler = make(high)
    given = {"sigmas": sigmas(n, high)} if sigmas else {}
    scheduler.set_timesteps((n + each - 1) // each, **given)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    if scheduler.step_index is None and hasattr(scheduler, "_init_step_index"):
        scheduler._init_step_index(scheduler.timesteps[0])
    start = _level(scheduler)
    x = x / high * start.sigma if abs(float(start.ratio) / high - 1) < 1e-2 else _wrong(float(start.ratio), high)
    for t in scheduler.timesteps:
        if hasattr(scheduler, "is_scale_input_called"):
            scheduler.is_scale_input_called = True
        x = scheduler.step(_answer(scheduler, model, x), t, x, return_dict=False)[0].to(x.dtype)
    return x


def _wrong(found: float, high: float) -> Tensor:
    raise ValueError(f"the scheduler starts at {found:g}, not at {high:g}")


GRIDS = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas"}


def _tabled(cls: str, least: float, grid: str, **options: Any) -> Make:
    """Over a table of betas, with one of the grids in sigma, or evenly in time (`linear`)."""
    kind = getattr(schedulers, cls)
    if grid == "linear":
        return lambda high: kind(trained_betas=linear_table(high), **options)
    flag = "use_lu_lambdas" if grid == "lu" else GRIDS[grid]
    return lambda high: kind(trained_betas=table(high, least), **{flag: True}, **options)


def _flow(cls: str, shift: float, **options: Any) -> Make:
    """Evenly in rectified flow's time with a shift: the length of the table decides where it starts."""
    kind = getattr(schedulers, cls)
    return lambda high: kind(
        num_train_timesteps=max(2, round(high / shift + 1)),
        use_flow_sigmas=True,
        flow_shift=_shift(high, shift),
        **options,
    )


def _shift(high: float, shift: float) -> float:
    """The shift near the one asked for at which a whole number of steps starts at `high`."""
    return high / (max(2, round(high / shift + 1)) - 1)


def _flow_levels(shift: float, n: int, high: float) -> np.ndarray:
    """The same for schedulers that take levels: evenly from where the shift leads to `high`, towards 0."""
    u = np.linspace(high / (high + shift), 0, n + 1)[:-1]
    return shift * u / (1 + (shift - 1) * u)


def _edm(cls: str, least: float, grid: str, **options: Any) -> Make:
    kind = getattr(schedulers, cls)
    return lambda high: kind(sigma_min=least, sigma_max=high, sigma_data=1.0, sigma_schedule=grid, **options)


def _solvers() -> dict[str, tuple[str, dict[str, Any]]]:
    """Schedulers with a variance-preserving state, which also know the flow's grid."""
    x0 = {"prediction_type": "sample"}
    made: dict[str, tuple[str, dict[str, Any]]] = {}
    for order in (1, 2, 3):
        for final in (True, False) if order == 3 else (True,):
            made[f"DPM++ {order}M" + ("" if final else ", full order")] = (
                "DPMSolverMultistepScheduler",
                {"solver_order": order, "lower_order_final": final, **x0},
            )
    made["DPM++ 2M, heun"] = ("DPMSolverMultistepScheduler", {"solver_order": 2, "solver_type": "heun", **x0})
    for order in (2, 3):
        made[f"DPM++ {order}S"] = (
            "DPMSolverSinglestepScheduler",
            {"solver_order": order, "lower_order_final": True, **x0},
        )
        made[f"DEIS{order}"] = ("DEISMultistepScheduler", {"solver_order": order, **x0})
    for order in (1, 2, 3, 4):
        made[f"UniPC{order}"] = ("UniPCMultistepScheduler", {"solver_order": order, **x0})
    return made


def _ending() -> dict[str, tuple[str, dict[str, Any]]]:
    """Those that need a last level above 0. The sigma grids then end with a step of length 0, on which they fail."""
    made: dict[str, tuple[str, dict[str, Any]]] = {}
    common = {"prediction_type": "sample", "final_sigmas_type": "sigma_min"}
    for order in (2, 3, 4):
        for full in (False, True):
            end = {"solver_order": order, "lower_order_final": not full, **common}
            name = f"UniPC{order}" + (", full order" if full else "")
            made[name] = ("UniPCMultistepScheduler", end)
            made[f"{name}, bh1"] = ("UniPCMultistepScheduler", {"solver_type": "bh1", **end})
            made[f"{name}, of eps"] = ("UniPCMultistepScheduler", {"predict_x0": False, **end})
            if order < 4:
                made[f"DPM++ {name.removeprefix('UniPC')}"] = ("DPMSolverMultistepScheduler", end)
    return made


def deterministic(wide: bool = False) -> Iterator[Sampler]:
    for name, (cls, options) in _solvers().items():
        lu = ("lu",) if "DPMSolver" in cls and "Multistep" in cls else ()
        for least in (0.002, 0.01, 0.03):
            for grid in ("karras", "exponential", "beta", *lu):
                yield Sampler(f"{name}, {grid} to {least:g}", partial(_run, _tabled(cls, least, grid, **options), 1))
        yield Sampler(f"{name}, linear", partial(_run, _tabled(cls, 0, "linear", **options), 1))
        for shift in (0.5, 1.0, 2.0):
            if cls == "UniPCMultistepScheduler":
                given = partial(_flow_levels, shift)
                kind = partial(getattr(schedulers, cls), use_flow_sigmas=True, **options)
                yield Sampler(f"{name}, flow({shift:g})", partial(_run, lambda high, k=kind: k(), 1, sigmas=given))
            else:
                yield Sampler(f"{name}, flow({shift:g})", partial(_run, _flow(cls, shift, **options), 1))
    for name, (cls, options) in _ending().items():
        for least in (0.002, 0.01, 0.03):
            kind = getattr(schedulers, cls)
            make = partial(lambda high, kind, least, options: kind(trained_betas=table(high, least), **options),
                           kind=kind, least=least, options=options)  # fmt: skip
            yield Sampler(f"{name}, evenly to {least:g} and there an end", partial(_run, make, 1))
    for name, cls, each in (
        ("Euler", "EulerDiscreteScheduler", 1),
        ("Heun", "HeunDiscreteScheduler", 2),
        ("LMS", "LMSDiscreteScheduler", 1),
        ("KDPM2", "KDPM2DiscreteScheduler", 2),
    ):
        for least in (0.002, 0.01, 0.03):
            for grid in GRIDS:
                yield Sampler(f"{name}, {grid} to {least:g}", partial(_run, _tabled(cls, least, grid), each))
    for least in (0.002, 0.01, 0.03):
        for grid in ("karras", "exponential"):
            yield Sampler(f"EDM Euler, {grid} to {least:g}", partial(_run, _edm("EDMEulerScheduler", least, grid), 1))
            for order in (2, 3):
                make = _edm("EDMDPMSolverMultistepScheduler", least, grid, solver_order=order)
                yield Sampler(f"EDM DPM++ {order}M, {grid} to {least:g}", partial(_run, make, 1))


def stochastic() -> Iterator[Sampler]:
    sde = {"algorithm_type": "sde-dpmsolver++", "prediction_type": "sample"}
    for least in (0.01,):
        for order in (2, 3):
            for grid in ("karras", "exponential"):
                make = _tabled("DPMSolverMultistepScheduler", least, grid, solver_order=order, **sde)
                yield Sampler(f"DPM++ {order}M SDE, {grid} to {least:g}", partial(_run, make, 1))
        for grid in ("karras", "exponential"):
            make = _tabled("SASolverScheduler", least, grid, prediction_type="sample")
            yield Sampler(f"SA-Solver, {grid} to {least:g}", partial(_run, make, 1))
            make = _edm("EDMDPMSolverMultistepScheduler", least, grid, algorithm_type="sde-dpmsolver++")
            yield Sampler(f"EDM DPM++ 2M SDE, {grid} to {least:g}", partial(_run, make, 1))


def loop(net: Callable[[Tensor, Tensor], Tensor], kind: str) -> Callable[[Tensor, int], Tensor]:
    """A scheduler round a bare network of (x, log ratio) that answers eps: `(x, evaluations) -> samples`."""
    make = {
        "DPM++ 2M": lambda: schedulers.DPMSolverMultistepScheduler(use_karras_sigmas=True),
        "DPM++ 2M SDE": lambda: schedulers.DPMSolverMultistepScheduler(
            use_karras_sigmas=True, algorithm_type="sde-dpmsolver++"
        ),
        "UniPC2": lambda: schedulers.UniPCMultistepScheduler(use_karras_sigmas=True),
        "Euler": lambda: schedulers.EulerDiscreteScheduler(use_karras_sigmas=True),
    }[kind]

    @torch.no_grad()
    def run(x: Tensor, n: int) -> Tensor:
        scheduler = make()
        scheduler.set_timesteps(n)
        for t in scheduler.timesteps:
            scaled = scheduler.scale_model_input(x, t)
            x = scheduler.step(net(scaled, t.float()), t, x, return_dict=False)[0]
        return x

    return run
