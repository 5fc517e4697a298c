"""Networks of diffusers with their scheduler's convention, as models: from a folder, a pipeline, or both in hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from scorefield import _optional
from scorefield.interop.adapters import Adapted
from scorefield.pretrained.networks import DiffusersNetwork, classes_of
from scorefield.pretrained.pipelines import located, network_config, parts_of
from scorefield.pretrained.schedulers import convention_of, notes_of
from scorefield.pretrained.weights import read
from scorefield.records.exchanged import own_config
from scorefield.times import Between


def from_diffusers(source: Any, *, between: Between | None = None, sigma_data: float | None = None) -> Adapted:
    """A network of diffusers as a model, by the convention of its scheduler.

    Read are UNet2DModel, UNet2DConditionModel, DiTTransformer2DModel and SD3Transformer2DModel, with the schedulers of
    `pretrained.schedulers.READ`. x is what the network sees: pixels on [-1, 1], or latents on the scale of diffusers.
    The condition is a class `(n,)` (UNet2DModel, DiT, whose None is 'no class'), the `encoder_hidden_states`
    `(n, tokens, width)` (UNet2DConditionModel; where it attends to no text, a class or none), or both embeddings as
    one tensor by `joined` (SD3). Nothing is clipped.
    The network is taken as it is, in its dtype and mode; only its group norms are given contiguous tensors from now on,
    the same numbers, without which torch has no batched derivatives of them.

    Args:
        source: the folder of a pipeline (JSON and safetensors; no code is read), the name USER/NAME of one on the Hub,
            which is fetched where it is not there yet, a pipeline, or a pair (network, scheduler). One that
            `to_diffusers` wrote is a model on diffusers' scale; `TrainedModel.from_diffusers` gives the run itself.
        between: levels between the entries of a table, see `times.BetaTimes`; default: "interpolate", or "refuse"
            where the network looks its times up.
        sigma_data: standard deviation of the data, where known.

    Raises:
        FileError: for a folder that is missing, damaged, holds no safetensors, or another pipeline.
        ValueError: for a network or scheduler that is not known; where diffusers is missing.

    Example:
        >>> from diffusers import DDPMScheduler, UNet2DModel
        >>> sizes = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
        >>> network = UNet2DModel(8, 1, 1, block_out_channels=(32,), **sizes).eval()
        >>> model = from_diffusers((network, DDPMScheduler()))
        >>> f"{model.sigma_min:.3g} {model.sigma_max:.4g}"
        '0.01 157.4'
    """
    source = located(source)
    if own_config(source) is not None:
        return _own(source)
    module, scheduler = parts_of(source)
    network = DiffusersNetwork(module)
    looked_up = module.config.get("time_embedding_type") == "learned"
    convention = convention_of(scheduler, between or ("refuse" if looked_up else "interpolate"))
    return Adapted(network, convention, sigma_data=sigma_data, classes=classes_of(module), notes=notes_of(scheduler))


def _own(source: Any) -> Adapted:
    """The network that this library gave to diffusers, as a model on its scale."""
    if isinstance(source, str | Path):
        _optional.diffusers("a pipeline of diffusers")
        from scorefield.interop.denoiser_unet import DenoiserUNet

        place = network_config(Path(source))[0]
        module = read(DenoiserUNet, place, "a pipeline of this library")
    else:
        module = parts_of(source)[0]

    def network(x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        raw: Tensor = module(x, t, condition).sample
        return raw

    made = Adapted(
        network,
        module.convention,
        sigma_data=module.scale * module.denoiser.sigma_data,
        classes=module.denoiser.classes,
    )
    made.module = module
    return made.eval()
