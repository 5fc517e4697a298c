"""A run of images as a pipeline of diffusers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from scorefield import _optional
from scorefield.core import Levels
from scorefield.denoiser import Denoiser
from scorefield.plans import Plan
from scorefield.records.exchanged import described
from scorefield.records.image_codec import ImageCodec
from scorefield.records.stored import Parts
from scorefield.records.trained import TrainedModel


def pipeline_of(model: TrainedModel, steps: int = 18, plan: Plan | None = None) -> Any:
    """A DDPMPipeline of diffusers that draws from a run of images, by a plan: `pipeline(n, num_inference_steps=steps)`.

    No network of this library is a UNet2DModel: their blocks differ, and weights of one say nothing to the other. So
    the pipeline's `unet` is a `DenoiserUNet`, which is called as a UNet2DModel is, and its scheduler a `PlanScheduler`
    with the run's own plan for so many steps. Whole numbers are on [-1, 1] there, from 0 to the greatest level. What
    `TrainedModel.sample` does to drawn images (black and white as frequent as in training) is not done.

    Args:
        model: a run of images, of even height and width.
        steps: evaluations per image.
        plan: in the place of the run's own for so many steps, in units of encoded records.

    Raises:
        ValueError: for a run of something else; where diffusers is missing.
    """
    codec, own = model.codec, model.model
    if not isinstance(codec, ImageCodec) or not isinstance(own, Denoiser):
        kind = type(own).__name__ if isinstance(codec, ImageCodec) else type(codec).__name__
        raise ValueError(f"a pipeline of diffusers is made of a run of images with a Denoiser, got one with {kind}.")
    if codec.shape[1:] != (codec.height, codec.width):
        raise ValueError(
            f"a pipeline of diffusers draws images of even height and width, got {codec.height} x {codec.width}; fit "
            "the run to cropped or resized images."
        )
    package = _optional.diffusers("a pipeline")
    from scorefield.interop.denoiser_unet import DenoiserUNet
    from scorefield.interop.plan_scheduler import PlanScheduler

    steps = steps if plan is None else plan.evaluations
    parts = Parts.of(model if plan is None else replace(model, plans={**model.plans, steps: plan}))
    arguments = described(parts)  # by name: diffusers takes arguments by place for defaults, and forgets them
    module = DenoiserUNet(**arguments)
    module.denoiser.network.load_state_dict(own.network.state_dict())
    for name in arguments["run"]["moments"]:
        getattr(module, name).copy_(getattr(parts, name))
    table = _scaled(parts.plans.get(steps) or model.plan(steps), arguments["scale"])
    return package.DDPMPipeline(module.eval(), PlanScheduler.from_plan(table, module.convention))


def to_diffusers(model: TrainedModel, folder: str | Path, steps: int = 18, plan: Plan | None = None) -> None:
    """Write `pipeline_of(model)` to a folder that `DDPMPipeline.from_pretrained` of diffusers reads.

    JSON and safetensors; it is read where scorefield is installed, as its network and scheduler are of this library.

    Args:
        model: as `pipeline_of`.
        folder: to write to.
        steps: as `pipeline_of`.
        plan: as `pipeline_of`.
    """
    pipeline_of(model, steps, plan).save_pretrained(folder, safe_serialization=True)


def _scaled(plan: Plan, scale: float) -> Plan:
    """A plan for data that are `scale` times as large, wherever their zero is: rows of P sum to alpha."""
    levels = Levels(plan.levels.alpha, scale * plan.levels.sigma)
    return replace(plan, levels=levels, E=scale * plan.E, c=scale * plan.c)
