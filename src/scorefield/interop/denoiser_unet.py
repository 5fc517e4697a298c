"""A network of this library as a network of diffusers."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import Tensor

from scorefield import nets
from scorefield.core import Level
from scorefield.denoiser import ANGLE, TARGETS, Denoiser
from scorefield.pretrained.convention import Convention
from scorefield.times import BetaTimes

ENTRIES = 1000
"""Of the table of noise levels, evenly spread in log(sigma / alpha)."""


class DenoiserUNet(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers' types are not read
    """A `Denoiser` of images that is called as a UNet2DModel is: `(sample, timestep, class_labels)`; it predicts v.

    Its table of 1,000 levels goes from the least to the greatest noise that the network was trained for, so that
    pipelines and schedulers of diffusers (`prediction_type="v_prediction"`, `trained_betas=module.betas`) take it. A
    class that is not given is 'no class'.

    Args:
        sample_size: height and width.
        in_channels: of an image.
        out_channels: the same.
        network: name and configuration, as in a run's folder.
        target: what it regresses.
        sigma_data: of the denoiser.
        sigma_min: least `sigma / alpha` in units of encoded records.
        sigma_max: greatest.
        scale: an image of diffusers is `scale * encoded + shift`.
        shift: see scale.
        run: what else the run's folder says, see `records.exchanged`; None: nothing.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sample_size: tuple[int, int],
        in_channels: int,
        out_channels: int,
        network: dict[str, Any],
        target: str,
        sigma_data: float,
        sigma_min: float,
        sigma_max: float,
        scale: float,
        shift: float,
        run: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        targets = {known.name: known for known in TARGETS}
        made = nets.build(network["name"], network["config"])
        self.denoiser = Denoiser(made, targets[target], sigma_data=sigma_data, sigma_min=sigma_min, sigma_max=sigma_max)
        self.scale, self.shift = scale, shift
        for name, shape in (run or {}).get("moments", {}).items():  # of the training data, kept for the way back
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))
        ends = torch.tensor([sigma_min, sigma_max], dtype=torch.float64).log()
        ratio = scale * torch.linspace(float(ends[0]), float(ends[1]), ENTRIES, dtype=torch.float64).exp()
        self.convention = Convention(BetaTimes(1 / (1 + ratio**2)), ANGLE)

    @property
    def betas(self) -> list[float]:
        """The table as diffusers takes it, `trained_betas`."""
        powers = self.convention.times.alphas_cumprod  # type: ignore[attr-defined]
        return (1 - powers / torch.cat([powers.new_ones(1), powers[:-1]])).tolist()

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        class_labels: Tensor | None = None,
        return_dict: bool = True,
    ) -> UNet2DOutput | tuple[Tensor]:
        """v for images `(n, c, h, w)` on diffusers' scale, at a timestep from 0 to 999, 0-d or `(n,)`."""
        time = torch.as_tensor(timestep).detach().cpu().double().reshape(-1)
        level = self.convention.times.level(time if len(time) > 1 else time[0])
        alpha, sigma = (torch.as_tensor(v) for v in level)
        own = level.like(sample)
        encoded = (sample - own.alpha * self.shift) / self.scale
        x0, eps = self.denoiser(encoded, Level(alpha, sigma / self.scale), class_labels)
        v = own.alpha * eps - own.sigma * (self.scale * x0 + self.shift)
        return UNet2DOutput(sample=v) if return_dict else (v,)
