"""Few-step models: a network that takes long steps of the flow of a trained model in one evaluation each."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scorefield import _ranges
from scorefield.denoiser import Denoiser, Energy
from scorefield.objectives.distillation import PathDistillation
from scorefield.plans import Plan, default
from scorefield.plans.distilled import FewSteps, few_steps
from scorefield.progress import Report, silent
from scorefield.records.draws import encoded_draws
from scorefield.records.stored import Distilled
from scorefield.records.trained import TrainedModel
from scorefield.training.checkpoint import Settings
from scorefield.training.run import Preparation

_AT_ONCE = 512
HELD = 256
"""Paths that are held out."""
LEAST, MOST = 512, 1 << 16
"""Paths to learn from."""
AGAIN = 10
"""How often a training of so many steps comes back to each step of a path."""
SHARE = 1 / 3
"""Of the time of a training, what drawing the paths takes at most (but for the least of them)."""
_BYTES = 1 << 30  # of all paths
DEFAULT = Settings(seconds=180.0, learning_rate=1e-3, warmup=50, condition_dropout=0.0)
"""How the training goes where nothing else is said."""


def prepare(
    model: TrainedModel, steps: int, *, settings: Settings = DEFAULT, seed: int = 0, report: Report = silent
) -> Preparation:
    """What trains a network that draws with few evaluations, from a model alone; no data are needed.

    The levels are every so many of the teacher's `plans.default`. The teacher draws paths, from noise to records, and
    between neighbouring levels the new network, which begins as a copy of the teacher's, learns to go where they go
    (`objectives.distillation`). It answers at these levels alone: it draws; all other questions go to the teacher.

    Args:
        model: of records; its network is a `Denoiser`'s.
        steps: evaluations for a sample, 1 to 12.
        settings: of the training to come. Its budget says how many paths are drawn: those of a third of its seconds,
            or so many that its steps come back to each of them `AGAIN` times; at most `MOST`, and 1 GiB. Paths are of
            their classes, so that `condition_dropout` is 0 here.
        seed: of the teacher's draws.
        report: hears how far these are.

    Returns:
        Ready for `train(settings)`; `finish(info)` is the model with the new network in `distilled[steps]`.

    Raises:
        ValueError: for a number of steps out of range, an energy, a condition dropout.
    """
    _ranges.DISTILLED("distil(steps=...)", steps)
    teacher, begun = model.model, time.perf_counter()
    if not isinstance(teacher, Denoiser):
        raise ValueError("an energy cannot take long steps; distil a model that was fitted without --energy.")
    if settings.condition_dropout and model.frequencies is not None:
        raise ValueError(
            f"paths are of their classes, got condition_dropout={settings.condition_dropout}; distil with 0."
        )
    plan, objective, fine = _few_steps(teacher, steps)
    size = 4 * (steps + 1) * math.prod(model.codec.shape)
    most = HELD + max(LEAST, min(MOST, _BYTES // size, paths_for(settings, steps)))
    x = _paths(model, fine, steps, most, seed, settings.seconds, report)
    condition = model.conditions(len(x), seed=seed)
    student = copy.deepcopy(teacher)

    def finish(info: dict[str, Any]) -> TrainedModel:
        few = Distilled(student.eval(), plan, {"teacher": fine.evaluations, "paths": len(x) - HELD, **info})
        return replace(model, distilled={**model.distilled, steps: few})

    return Preparation(
        student,
        x[HELD:],
        x[:HELD],
        finish,
        None if condition is None else condition[HELD:],
        None if condition is None else condition[:HELD],
        PathDistillation(objective.grid, objective.sigma_data),
        seconds=time.perf_counter() - begun,
    )


def paths_for(settings: Settings, steps: int) -> int:
    """How many paths a training would learn from; without a number of steps as many as there can be.

    Example:
        >>> paths_for(Settings(steps=300, batch=128), 2), paths_for(DEFAULT, 2)
        (1920, 65536)
    """
    return MOST if settings.steps is None else math.ceil(settings.steps * settings.batch / (AGAIN * steps))


def _paths(
    model: TrainedModel, fine: Plan, steps: int, most: int, seed: int, seconds: float | None, report: Report
) -> Tensor:
    """The teacher's paths `(n, steps + 1, *shape)`, n at most so many, fewer where the time is up."""
    begun, time_for = time.perf_counter(), math.inf if seconds is None else SHARE * seconds
    classes, parts, n = model.conditions(most, seed=seed), list[Tensor](), 0
    drawn = _drawn(model.model, fine, model.codec.shape, most, seed, classes, every=fine.evaluations // steps)
    report(0.0, "paths")
    for part in drawn:
        parts.append(part)
        n, spent = n + len(part), time.perf_counter() - begun
        report(max(n / most, min(1.0, spent / time_for)), "paths")
        if spent > time_for and n >= HELD + LEAST:
            break
    return torch.cat(parts)


class Closeness(NamedTuple):
    """How far draws end from where the model's flow leads from the same noise, over the standard deviation of these.

    Args:
        steps: evaluations of the distilled network.
        distilled: root mean square of the distances of its draws.
        plan: likewise, of `plans.default` with as many evaluations of the model itself.
    """

    steps: int
    distilled: float
    plan: float

    def __str__(self) -> str:
        return (
            f"{self.steps} evaluation(s) end {self.distilled:.3f} standard deviations from the model's flow (root mean "
            f"square); the model itself, with as many, {self.plan:.3f}."
        )


def compared(model: TrainedModel, steps: int, n: int = 256, seed: int = 1) -> Closeness:
    """How close a distilled network's draws are to the model's flow.

    Args:
        model: with a network of so many evaluations.
        steps: evaluations.
        n: draws.
        seed: of their noise; that of the training is another one.
    """
    few, teacher = model.distilled[steps], model.model
    plain = default(steps, teacher.sigma_data, teacher.sigma_min, teacher.sigma_max)
    condition = model.conditions(n, seed=seed)

    def ends(by: Denoiser | Energy, plan: Plan) -> Tensor:
        return torch.cat(list(_drawn(by, plan, model.codec.shape, n, seed, condition))).double()

    wanted = ends(teacher, _few_steps(teacher, steps).fine)
    scale = float((wanted - wanted.mean(0)).square().mean().sqrt())
    drawn = ends(few.model, few.plan), ends(teacher, plain)
    return Closeness(steps, *(float((x - wanted).square().mean().sqrt()) / scale for x in drawn))


def _few_steps(teacher: Denoiser | Energy, steps: int) -> FewSteps:
    return few_steps(teacher, steps, teacher.sigma_data, teacher.sigma_min, teacher.sigma_max)


def _drawn(
    model: Denoiser | Energy,
    plan: Plan,
    shape: tuple[int, ...],
    n: int,
    seed: int,
    condition: Tensor | None,
    every: int | None = None,
) -> Iterator[Tensor]:
    """Draws `(at most _AT_ONCE, *shape)`, encoded, of classes `(n,)`, or their paths."""
    like = next(model.parameters())
    return encoded_draws(
        model, plan, shape, n, std=model.sigma_data, like=like, seed=seed, condition=condition, batch=_AT_ONCE,
        every=every,
    )  # fmt: skip
