"""A run of images as a pipeline of diffusers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from scorefield import _optional
from scorefield.core import Levels
from scorefield.denoiser import Denoiser
from scorefield.interop.diffusers_plain import plain_pipeline
from scorefield.plans import Plan
from scorefield.records.diffusers_unet import DiffusersUNet
from scorefield.records.exchanged import described
from scorefield.records.image_codec import ImageCodec
from scorefield.records.stored import Parts
from scorefield.records.trained import TrainedModel


def pipeline_of(model: TrainedModel, steps: int | None = None, plan: Plan | None = None) -> Any:
    """A pipeline of diffusers that draws from a run of images: `pipeline(n, num_inference_steps=steps)`.

    A run of a UNet2DModel (`TrainedModel.from_diffusers`, or `fit(..., network=(UNet2DModel(...), scheduler))`) is that
    network with the weights it has now and the scheduler that it came with: all of it diffusers' own, which steps as
    the user of the pipeline says. It is a DDPMPipeline; where that does not do what the scheduler needs (to scale what
    the network sees), or the network needs classes, a ConsistencyModelPipeline, which does both with any scheduler.
    With `steps` or `plan` the scheduler is a `PlanScheduler`.

    Of this library's networks none is a UNet2DModel: they add skips where that one stacks them, their norms see other
    channels, and they embed log(sigma / alpha) by other frequencies, so that weights of one say nothing to the other.
    The `unet` of their DDPMPipeline is a `DenoiserUNet`, which is called as a UNet2DModel is, and its scheduler a
    `PlanScheduler` with the run's own plan for so many steps.

    Whole numbers are on [-1, 1] there, from 0 to the greatest level. What `TrainedModel.sample` does to drawn images
    (black and white as frequent as in training) is not done.

    Args:
        model: a run of images, of even height and width.
        steps: evaluations per image; default: 18, or for a UNet2DModel as its scheduler is asked.
        plan: in the place of the run's own for so many steps, in units of encoded records.

    Raises:
        ValueError: for a run of something else; where diffusers is missing, or has no pipeline for it.
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
    if isinstance(own.network, DiffusersUNet):
        return plain_pipeline(model, plan if steps is None or plan is not None else model.plan(steps))
    from scorefield.interop.denoiser_unet import DenoiserUNet
    from scorefield.interop.plan_scheduler import PlanScheduler

    steps = (18 if steps is None else steps) if plan is None else plan.evaluations
    parts = Parts.of(model if plan is None else replace(model, plans={**model.plans, steps: plan}))
    arguments = described(parts)  # by name: diffusers takes arguments by place for defaults, and forgets them
    module = DenoiserUNet(**arguments)
    module.denoiser.network.load_state_dict(own.network.state_dict())
    for name in arguments["run"]["moments"]:
        getattr(module, name).copy_(getattr(parts, name))
    table = _scaled(parts.plans.get(steps) or model.plan(steps), arguments["scale"])
    return package.DDPMPipeline(module.eval(), PlanScheduler.from_plan(table, module.convention))


def to_diffusers(model: TrainedModel, folder: str | Path, steps: int | None = None, plan: Plan | None = None) -> None:
    """Write `pipeline_of(model)` to a folder that `from_pretrained` of diffusers reads.

    JSON and safetensors. What a run of a UNet2DModel becomes without steps and plan is read where diffusers is, all
    other where scorefield is installed too: a network or a scheduler is then of this library.

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
