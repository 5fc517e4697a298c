"""A run of a UNet2DModel of diffusers as that network again, with a scheduler: nothing of this library in it."""

from __future__ import annotations

import copy
from inspect import signature
from typing import Any, cast

import torch
from torch import nn

from scorefield import _optional
from scorefield._files import shown
from scorefield.denoiser import Denoiser, Target
from scorefield.plans import Plan
from scorefield.pretrained.convention import NEGATIVE_F, Convention
from scorefield.pretrained.schedulers import OF_FLOWS, PREDICTIONS, READ
from scorefield.records.diffusers_unet import DiffusersUNet
from scorefield.records.exchanged import on_their_scale
from scorefield.records.trained import TrainedModel
from scorefield.times import BetaTimes, FlowTimes, LogSigmaTimes, Times

_NEAR = 0.01
"""How far from 1 the size of the first noise may be where a pipeline does not scale it."""


def plain_pipeline(model: TrainedModel, plan: Plan | None = None) -> Any:
    """A pipeline of a copy of the network and the scheduler that it came with, or a `PlanScheduler` of a plan.

    Args:
        model: a run of a `DiffusersUNet`.
        plan: in units of encoded records; None: the scheduler is diffusers' own.

    Raises:
        ValueError: for a run that was not trained on diffusers' scale, or that diffusers has no pipeline for.
    """
    package = _optional.diffusers("a pipeline")
    own: Any = model.model
    network: DiffusersUNet = own.network
    scale, shift = on_their_scale(model.codec)  # type: ignore[arg-type]  # a codec of images
    if abs(scale - 1) > 1e-9 or abs(shift) > 1e-9:
        raise ValueError(
            f"this UNet2DModel was not trained on images on [-1, 1], which pipelines of diffusers draw, but on these "
            f"times {1 / scale:g}, less {shift / scale:g}."
        )
    if plan is None:
        scheduler = scheduler_of(own)
    else:
        from scorefield.interop.plan_scheduler import PlanScheduler

        scheduler = PlanScheduler.from_plan(plan, Convention(network.times, _target(own)))
    unet: Any = _bare(copy.deepcopy(network.unet)).eval()
    height, width = cast("tuple[int, int]", network.config["sizes"])
    classes = unet.config.get("num_class_embeds") is not None
    scaled = _scales(scheduler)
    able = "generator" in signature(scheduler.step).parameters  # which pipelines give to every step
    if able and not classes and not scaled:
        return package.DDPMPipeline(unet, scheduler)
    if able and height == width and hasattr(scheduler, "scale_model_input"):
        unet.register_to_config(sample_size=height)
        return package.ConsistencyModelPipeline(unet, scheduler)
    raise ValueError(
        f"diffusers has no pipeline for a UNet2DModel of {height} x {width}{' with classes' if classes else ''} and a "
        f"{type(scheduler).__name__}; give a plan, whose PlanScheduler fits any, or adopt the network with another "
        "scheduler of the same convention, such as DDIMScheduler.from_config(scheduler.config)."
    )


def scheduler_of(model: Denoiser) -> Any:
    """The scheduler that a run's UNet2DModel came with; of runs that did not keep it, one of the same convention."""
    package = _optional.diffusers("a scheduler")
    network: Any = model.network
    stored = network.config.get("scheduler")
    if stored is None:
        return _made(package, network.times, _target(model))
    kind = stored.get("_class_name")
    if kind not in READ:
        raise ValueError(f"the run's network came with the scheduler {shown(kind)}; there are {', '.join(READ)}.")
    return getattr(package, kind).from_config(dict(stored))


def _target(model: Denoiser) -> Target:
    """What the network itself answers."""
    return NEGATIVE_F if model.network.sign == -1 else model.target


def _made(package: Any, times: Times, target: Target) -> Any:
    if isinstance(times, BetaTimes):
        powers = times.alphas_cumprod
        betas = (1 - powers / torch.cat([powers.new_ones(1), powers[:-1]])).tolist()
        said = next(name for name, known in PREDICTIONS.items() if known is target)
        return package.DDPMScheduler(len(betas), trained_betas=betas, prediction_type=said, clip_sample=False)
    if isinstance(times, FlowTimes):
        return package.FlowMatchEulerDiscreteScheduler(round(times.factor))
    if isinstance(times, LogSigmaTimes):
        said = "v_prediction" if target is NEGATIVE_F else "epsilon"
        return package.EDMEulerScheduler(times.sigma_min, times.sigma_max, times.sigma_data, prediction_type=said)
    raise ValueError(f"no scheduler of diffusers has {times!r}.")


def _scales(scheduler: Any) -> bool:
    """Whether a scheduler needs its pipeline to scale what the network sees, or the noise that it begins with."""
    name = type(scheduler).__name__
    if name in OF_FLOWS:
        return False
    of_sigmas = any(part in name for part in ("Euler", "Heun", "LMS", "KDPM2", "SDE"))
    return of_sigmas or abs(float(getattr(scheduler, "init_noise_sigma", 1.0)) - 1) > _NEAR


def _bare(module: nn.Module) -> nn.Module:
    """A network without the hooks that this library put on its norms."""
    for part in module.modules():
        part._forward_pre_hooks.clear()
    return module
