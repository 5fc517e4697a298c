"""A plan of few long steps, and the objective by which a network learns to take them as a model's flow does."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from scorefield._ranges import DISTILLED
from scorefield.core import Levels, Model
from scorefield.objectives.distillation import Distillation, FlowStep
from scorefield.plans.default import default
from scorefield.plans.multistep import unipc
from scorefield.plans.onestep import ddim
from scorefield.plans.plan import Plan
from scorefield.plans.run import run
from scorefield.plans.variables import FLOW

TEACHER = 24
"""Evaluations of the model for a whole sample, unless told otherwise."""


class FewSteps(NamedTuple):
    """What a network needs to draw with few evaluations.

    Args:
        plan: its own, a deterministic step between each two levels.
        objective: by which it is trained; least, 0, where its steps are those of the flow.
        fine: the model's plan whose every so manieth level those are.
    """

    plan: Plan
    objective: Distillation
    fine: Plan


def few_steps(
    model: Model,
    steps: int,
    scale: float = 1.0,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    evaluations: int = TEACHER,
) -> FewSteps:
    """Few steps along the flow of a model, exact or trained.

    Args:
        model: whose flow is to be followed.
        steps: of the plan, 1 to 12.
        scale: the data's standard deviation.
        sigma_min: as `plans.default`.
        sigma_max: likewise.
        evaluations: of the model for a whole sample, rounded up to a multiple of steps.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> import torch
        >>> few_steps(Gaussian(torch.zeros(2), torch.eye(2)), 2).plan
        Plan(distilled(2): 2 evaluations, order 1, sigma/alpha from 80 to 0, deterministic)
    """
    DISTILLED("few_steps(steps=...)", steps)
    stride = -(-evaluations // steps)
    fine = default(stride * steps, scale, sigma_min, sigma_max)
    levels = fine.levels
    coarse = Levels(levels.alpha[::stride], levels.sigma[::stride])
    plan = replace(ddim(coarse), name=f"distilled({steps})")
    return FewSteps(plan, Distillation(coarse, _flow(model, levels, stride, scale), scale), fine)


def _flow(model: Model, levels: Levels, stride: int, scale: float) -> FlowStep:
    """The model's flow between two of the coarse levels, over the fine ones in between."""
    parts = [slice(k, k + stride + 1) for k in range(0, len(levels) - 1, stride)]
    plans = [unipc(Levels(levels.alpha[part], levels.sigma[part]), 3, FLOW, scale) for part in parts]

    def flow(x: Tensor, k: int, condition: Tensor | None) -> Tensor:
        return run(plans[k], model, x, condition=condition)

    return flow
