"""The `UNet2DModel` of the package diffusers as the network of a `Denoiser`, and of a run's folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scorefield import _optional
from scorefield._files import reason, shown
from scorefield._tensor import expand
from scorefield.core import Level
from scorefield.denoiser import Denoiser, Energy
from scorefield.plans import Plan, unipc
from scorefield.pretrained.networks import contiguous_norms
from scorefield.times import BetaTimes, FlowTimes, Times, evenly, times_from_json, times_to_json

NAME = "diffusers UNet2DModel"
"""What model.json calls such a network."""
_CLASS = "UNet2DModel"
_NEAR = 2e-3
"""How far from a whole index of a table float32's log(sigma / alpha) leaves an entry of it, and more."""


class DiffusersUNet(nn.Module):
    """A UNet2DModel that is asked as the networks of a `Denoiser` are: x of unit variance, and log(sigma / alpha).

    Args:
        unet: of diffusers.
        times: what it is told of the noise.
        sigma_data: of the `Denoiser`, whose x is divided by `sqrt(alpha^2 sigma_data^2 + sigma^2)`.
        sign: 1, or -1 for an answer that is minus the target.
        scheduler: configuration of the scheduler of diffusers that it came with, kept for the way back.
        classes: that it is conditional on; default: all that it embeds. Where it embeds one more, that is 'no class'.
    """

    def __init__(
        self,
        unet: Any,
        times: Times,
        sigma_data: float,
        sign: float = 1.0,
        scheduler: Mapping[str, Any] | None = None,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        config = plain_config(unet)
        size = config["sample_size"]
        if isinstance(size, int):
            size = [size, size]
        if not isinstance(size, (list, tuple)) or len(size) != 2:
            raise ValueError(
                f"a {_CLASS} of a run has a sample_size, its height and width, got {shown(size)}; "
                "say it: network.register_to_config(sample_size=32)."
            )
        if config.get("time_embedding_type") == "learned" or config.get("class_embed_type") is not None:
            raise ValueError(
                f"a {_CLASS} of a run embeds its times as numbers and its classes by num_class_embeds, got "
                f"time_embedding_type={shown(config.get('time_embedding_type'))} and class_embed_type="
                f"{shown(config.get('class_embed_type'))}; interop.from_diffusers makes a model of it."
            )
        embedded = int(config.get("num_class_embeds") or 0)
        if classes is not None and not embedded - 1 <= classes <= embedded:
            raise ValueError(
                f"a {_CLASS} that learns {classes} classes has num_class_embeds = {classes}, or {classes + 1} with one "
                f"for 'no class', got {embedded}."
            )
        self.none = embedded - 1 if classes is not None and classes < embedded else None
        self.unet, self.times = contiguous_norms(unet), times
        self.sigma_data, self.sign = float(sigma_data), float(sign)
        self.channels = int(config["in_channels"])
        self.config: dict[str, object] = {
            "unet": config,
            "times": times_to_json(times),
            "sigma_data": self.sigma_data,
            "sign": self.sign,
            "channels": self.channels,
            "sizes": list(size),
            "classes": embedded if classes is None else classes,
        }
        if scheduler is not None:
            self.config["scheduler"] = dict(scheduler)
        self.training = unet.training

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        condition = self._condition(x, condition)
        ratio = level_feature.double().exp()
        level = Level(torch.ones_like(ratio), ratio)
        scale = (self.sigma_data**2 + ratio * ratio).sqrt() / self.times.size(level)
        time = self.times.time(level)
        if isinstance(self.times, BetaTimes) and time.is_floating_point():
            time = torch.where((time - time.round()).abs() < _NEAR, time.round(), time)
        time = time.float() if time.is_floating_point() else time
        raw: Tensor = self.unet(
            x * expand(scale, x), time.to(x.device).expand(len(x)), class_labels=condition, return_dict=False
        )[0]
        return self.sign * raw[:, : self.channels]

    def _condition(self, x: Tensor, condition: Tensor | None) -> Tensor | None:
        """What the network is given for a condition."""
        if condition is None and self.none is not None:
            return torch.full((len(x),), self.none, device=x.device)
        classes = int(self.config["classes"])  # type: ignore[call-overload]
        if classes and self.none is None and (condition is None or bool((condition >= classes).any())):
            raise ValueError(
                f"this {_CLASS} always needs a class from 0 to {classes - 1}; it knows no 'no class', which guidance, "
                "unconditional answers and condition_dropout in a training take."
            )
        return condition

    @staticmethod
    def rebuilt(config: object, weights: Mapping[str, Tensor]) -> DiffusersUNet:
        """The one of a stored configuration with its stored weights; a ValueError where they do not fit."""
        if not isinstance(config, dict) or not isinstance(config.get("unet"), dict):
            raise ValueError(f"a network's configuration is a JSON object, got {shown(config)}")
        sigma_data, sign = (config.get(name) for name in ("sigma_data", "sign"))
        scheduler, classes = config.get("scheduler"), config.get("classes")
        if not isinstance(scheduler, Mapping | None) or not isinstance(classes, int | None):
            raise ValueError(f"scheduler and classes are an object and a number, got {shown((scheduler, classes))}")
        if not all(isinstance(v, float) and math.isfinite(v) for v in (sigma_data, sign)):
            raise ValueError(f"sigma_data and sign are numbers, got {shown((sigma_data, sign))}")
        layers = config["unet"].get("layers_per_block", 2)
        if not isinstance(layers, int) or not 0 < layers <= len(weights):
            raise ValueError(f"a network of {len(weights)} tensors does not have layers_per_block = {shown(layers)}")
        kind = getattr(_optional.diffusers(f"a run of a {_CLASS}"), _CLASS)
        with torch.device("meta"):  # no memory until the weights are known to fit
            unet = kind.from_config(config["unet"])
        times = times_from_json(config["times"])
        network = DiffusersUNet(unet, times, sigma_data, sign, scheduler, classes)  # type: ignore[arg-type]
        try:
            network.load_state_dict(dict(weights), assign=True)
        except RuntimeError as fault:
            raise ValueError(f"the network's weights do not fit its configuration: {reason(fault)}") from None
        return network


def plain_config(part: Any) -> dict[str, Any]:
    """The configuration of a part of diffusers as a file has it, without the version that wrote it.

    Example:
        >>> from diffusers import DDIMScheduler
        >>> plain_config(DDIMScheduler())["beta_schedule"]
        'linear'
    """
    config = json.loads(part.to_json_string())
    return {name: value for name, value in config.items() if not name.startswith("_")}


def own_plan(model: Denoiser | Energy, steps: int) -> Plan | None:
    """Where a network of diffusers on a table of betas or a flow steps unless told: UniPC, evenly in its own times.

    None for other networks, whose plan is `plans.default`.
    """
    network = model.network if isinstance(model, Denoiser) else None
    if not isinstance(network, DiffusersUNet) or not isinstance(network.times, BetaTimes | FlowTimes):
        return None
    return unipc(evenly(network.times, steps, model.sigma_min, model.sigma_max))
