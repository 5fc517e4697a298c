"""A network of diffusers as a run: in the user's units, with all that is asked of one."""

from __future__ import annotations

import math
from typing import Any

from scorefield import _ranges
from scorefield._files import shown
from scorefield.denoiser import EDM_F, Denoiser
from scorefield.pretrained.convention import NEGATIVE_F
from scorefield.pretrained.networks import DiffusersNetwork
from scorefield.pretrained.pipelines import parts_of
from scorefield.pretrained.schedulers import convention_of, notes_of
from scorefield.records.diffusers_unet import DiffusersUNet, plain_config
from scorefield.records.ends import Ends
from scorefield.records.image_codec import ImageCodec
from scorefield.records.stored import Parts
from scorefield.times import BetaTimes, FlowTimes, LogSigmaTimes, Times

_LAST = 0.999
"""Of a flow's time u: greatest that a run asks for, sigma / alpha = 999; its own levels end below alpha = 0."""


def adopted_parts(source: Any, sigma_data: float) -> Parts:
    """The parts of the `TrainedModel` that `TrainedModel.from_diffusers` gives for a network of diffusers.

    Raises:
        ValueError: for another network than a UNet2DModel; where diffusers is missing.
        FileError: for a folder that cannot be read.
    """
    _ranges.SHARE("from_diffusers(sigma_data=...)", sigma_data)
    module, scheduler = parts_of(source)
    if type(module).__name__ != "UNet2DModel":
        raise ValueError(
            f"a run is made of a UNet2DModel of diffusers, got {shown(type(module).__name__)}, whose condition or "
            "latents no run holds; interop.from_diffusers makes a model of it."
        )
    model = denoiser(module, scheduler, sigma_data)
    size: Any = model.network.config
    (height, width), channels, classes = size["sizes"], size["channels"], size["classes"]
    if height % 2 or width % 2:
        raise ValueError(f"a run of images has networks of even height and width, got {height} x {width}.")
    pixels = ImageCodec(height, width, channels, 127.5, 127.5, levels=256, dtype="uint8", channel_axis=channels > 1)
    known = {
        "network": "UNet2DModel",
        "scheduler": type(scheduler).__name__,
        "prediction": model.target.name,
        "size": list(pixels.record_shape),
        "notes": list(notes_of(scheduler)),
    }
    if not isinstance(model.network.times, LogSigmaTimes):
        known["plan"] = "UniPC, evenly in the network's own times,"
    often = (1 / classes,) * classes if classes else None
    return Parts(model, pixels, {}, often, {"adopted": known}, None, None, {}, Ends())


def denoiser(module: Any, scheduler: Any, sigma_data: float, classes: int | None = None) -> Denoiser:
    """A UNet2DModel as the model of a run, as far as its scheduler's noise goes.

    Args:
        module: of diffusers.
        scheduler: whose convention it has, kept with it.
        sigma_data: of images on [-1, 1]; EDM's networks have their own.
        classes: that it knows, see `DiffusersUNet`.
    """
    DiffusersNetwork(module)  # its checks
    convention = convention_of(scheduler)
    times = convention.times
    if isinstance(times, LogSigmaTimes):
        sigma_data = times.sigma_data
    sign, target = (-1.0, EDM_F) if convention.target is NEGATIVE_F else (1.0, convention.target)
    kept = {"_class_name": type(scheduler).__name__, **plain_config(scheduler)}
    network = DiffusersUNet(module, times, sigma_data, sign, kept, classes)
    ends = {"sigma_min": max(times.sigma_min, 1e-4), "sigma_max": _last(times)}
    return Denoiser(network, target, sigma_data=sigma_data, **ends).eval()


def _last(times: Times) -> float:
    """The greatest finite sigma / alpha to ask for."""
    if times.sigma_max < math.inf:
        return times.sigma_max
    if isinstance(times, BetaTimes):
        before = float(times.alphas_cumprod[-2])
        return math.sqrt((1 - before) / before)
    if isinstance(times, FlowTimes):
        return _LAST / (1 - _LAST)
    raise ValueError(f"{times!r} has no end of noise that a run can be asked up to.")
