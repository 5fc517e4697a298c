"""azula's samplers: every one it has, over all of its schedules, with their ends where the benchmark's are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

from azula import noise, sample
from azula.denoise import Denoiser, DiracPosterior
from torch import Tensor

from peers.problems import F64, Counted, Sampler
from scorefield import Level

Schedule = Callable[[float], noise.Schedule]
"""From the greatest ratio sigma / alpha to a schedule that starts there."""


class Exact(Denoiser):
    """A model as azula's denoiser."""

    def __init__(self, model: Counted, schedule: noise.Schedule) -> None:
        super().__init__()
        self.model, self.schedule = model, schedule

    def forward(self, x_t: Tensor, t: Tensor, **kwargs: object) -> DiracPosterior:
        return DiracPosterior(mean=self.model(x_t, Level(*self.schedule(t))).x0)


def schedules(least: float, gammas: tuple[float, ...] = (0.1,)) -> dict[str, Schedule]:
    """Each schedule from ratio `high` down to `least`."""

    def alpha(high: float) -> float:  # of the variance-preserving ones, sigma^2 = 1 - alpha^2 + least^2
        return math.sqrt((1 + least**2) / (1 + high**2))

    made: dict[str, Schedule] = {
        "VE": lambda high: noise.VESchedule(least, high),
        "VP": lambda high: noise.VPSchedule(alpha(high), least),
        "cosine": lambda high: noise.CosineSchedule(alpha(high), least),
        "rectified": lambda high: noise.RectifiedSchedule(1 / high, least),
    }
    for gamma in gammas:
        made[f"decay({gamma:g})"] = lambda high, gamma=gamma: noise.DecaySchedule(1 / high, least, gamma)
    return made


def _run(
    make: Callable[..., sample.Sampler], schedule: Schedule, each: int, model: Counted, x: Tensor, n: int, high: float
) -> Tensor:
    exact = Exact(model, schedule(high))
    sampler = make(exact, steps=n // each, silent=True, dtype=F64)
    alpha, _ = exact.schedule(sampler.timesteps[0])
    return sampler(alpha * x)


def deterministic(wide: bool = False) -> Iterator[Sampler]:
    makers: dict[str, tuple[Callable[..., sample.Sampler], int]] = {
        "DDIM": (sample.DDIMSampler, 1),
        "Heun": (sample.HeunSampler, 2),
    }
    for kind in ("zAB", "vAB", "zEAB", "xEAB", "REAB"):
        for order in (2, 3, 4, 5) if wide else (2, 3, 4):
            makers[f"{kind}{order}"] = (partial(getattr(sample, f"{kind}Sampler"), order=order), 1)
    for least in (1e-4, 1e-3, 1e-2, 3e-2) if wide else (1e-4, 1e-3, 1e-2):
        for grid, schedule in schedules(least, (0.3, 0.1, 0.03, 0.01) if wide else (0.1,)).items():
            for name, (make, each) in makers.items():
                yield Sampler(f"{name}, {grid} to {least:g}", partial(_run, make, schedule, each))


def stochastic() -> Iterator[Sampler]:
    makers: dict[str, tuple[Callable[..., sample.Sampler], int]] = {
        "DDPM": (sample.DDPMSampler, 1),
        "Ito": (sample.ItoSampler, 1),
        "PC": (sample.PCSampler, 2),
        "PC(delta=0.1)": (partial(sample.PCSampler, delta=0.1), 2),
    }
    for least in (1e-2,):
        chosen = {
            grid: schedule for grid, schedule in schedules(least).items() if grid in ("VE", "cosine", "rectified")
        }
        for grid, schedule in chosen.items():
            for name, (make, each) in makers.items():
                yield Sampler(f"{name}, {grid} to {least:g}", partial(_run, make, schedule, each))


def loop(net: Callable[[Tensor, Tensor], Tensor], kind: str) -> Callable[[Tensor, int], Tensor]:
    """A sampler round a bare network of (x, log ratio), by the cheapest denoiser: `(x, evaluations) -> samples`."""

    class Bare(Denoiser):
        def __init__(self) -> None:
            super().__init__()
            self.schedule = noise.VESchedule(2e-3, 80.0)

        def forward(self, x_t: Tensor, t: Tensor, **kwargs: object) -> DiracPosterior:
            _, sigma = self.schedule(t)
            return DiracPosterior(mean=x_t - sigma * net(x_t, sigma.log()))

    make = {"DDIM": sample.DDIMSampler, "DDPM": sample.DDPMSampler, "vAB3": partial(sample.vABSampler, order=3)}[kind]
    return lambda x, n: make(Bare(), steps=n, silent=True)(x)
