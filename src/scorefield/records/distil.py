"""Few-step models: a network that takes long steps of the flow of a trained model in one evaluation each."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scorefield import _ranges
from scorefield.denoiser import Denoiser, Energy
from scorefield.plans import Plan, default
from scorefield.plans.distilled import FewSteps, few_steps
from scorefield.progress import Report, silent
from scorefield.records.draws import encoded_draws
from scorefield.records.stored import Distilled
from scorefield.records.trained import TrainedModel
from scorefield.training.checkpoint import Settings
from scorefield.training.run import Preparation

_AT_ONCE = 512
POOL, HELD = 4096, 256
"""Records that the teacher draws: to train on, with fresh noise at each step, and to hold out."""
DEFAULT = Settings(seconds=180.0, learning_rate=1e-3, warmup=50)
"""How the training goes where nothing else is said."""


def prepare(model: TrainedModel, steps: int, *, seed: int = 0, report: Report = silent) -> Preparation:
    """What trains a network that draws with few evaluations, from a model alone; no data are needed.

    The levels are every so many of the teacher's `plans.default`. Between neighbours the new network, which begins as
    a copy of the teacher's, learns to go where the teacher goes in several steps (`objectives.distillation`). It
    answers at these levels alone: it draws; all other questions go to the teacher.

    Args:
        model: of records; its network is a `Denoiser`'s.
        steps: evaluations for a sample, 1 to 12.
        seed: of the teacher's draws.
        report: hears how far these are.

    Returns:
        Ready for `train(settings)`; `finish(info)` is the model with the new network in `distilled[steps]`.

    Raises:
        ValueError: for a number of steps out of range, an energy.
    """
    _ranges.DISTILLED("distil(steps=...)", steps)
    teacher = model.model
    if not isinstance(teacher, Denoiser):
        raise ValueError("an energy cannot take long steps; distil a model that was fitted without --energy.")
    plan, objective, fine = _few_steps(teacher, steps)
    condition = model.conditions(POOL + HELD, seed=seed)
    x = _drawn(teacher, fine, model.codec.shape, POOL + HELD, seed, condition, report)
    student = copy.deepcopy(teacher)

    def finish(info: dict[str, Any]) -> TrainedModel:
        few = Distilled(student.eval(), plan, {"teacher": fine.evaluations, **info})
        return replace(model, distilled={**model.distilled, steps: few})

    known, held = (None, None) if condition is None else (condition[:POOL], condition[POOL:])
    return Preparation(student, x[:POOL], x[POOL:], finish, known, held, objective)


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
        return _drawn(by, plan, model.codec.shape, n, seed, condition).double()

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
    report: Report = silent,
) -> Tensor:
    """Draws `(n, *shape)`, encoded, of classes `(n,)`."""
    like = next(model.parameters())
    parts = encoded_draws(
        model, plan, shape, n, std=model.sigma_data, like=like, seed=seed, condition=condition, batch=_AT_ONCE,
        report=report,
    )  # fmt: skip
    return torch.cat(list(parts))
