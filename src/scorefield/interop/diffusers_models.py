"""Networks of diffusers with their scheduler's convention, as models: from a folder, a pipeline, or both in hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from scorefield import _files, _optional
from scorefield._files import FileError, shown
from scorefield.interop.adapters import Adapted
from scorefield.interop.schedulers import READ, convention_of, notes_of
from scorefield.records.diffusers_unet import contiguous_norms
from scorefield.times import Between

Call: TypeAlias = Callable[[Any, Tensor, Tensor, Tensor | None], Tensor]


def _unet(module: Any, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
    if (condition is None) == _has_classes(module):
        has = "is conditional on a class, and none was given" if condition is None else "takes no condition"
        raise ValueError(f"this UNet2DModel {has}.")
    return module(x, t, class_labels=condition, return_dict=False)[0]


def _unet_condition(module: Any, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
    if condition is None or condition.ndim != 3:
        raise ValueError(
            "a UNet2DConditionModel needs the condition (n, tokens, width), its encoder_hidden_states, got "
            f"{None if condition is None else tuple(condition.shape)}."
        )
    return module(x, t, encoder_hidden_states=condition.to(x.dtype), return_dict=False)[0]


def _dit(module: Any, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
    none = torch.full((len(x),), _classes(module), device=x.device)
    return module(x, timestep=t, class_labels=none if condition is None else condition, return_dict=False)[0]


def _sd3(module: Any, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
    width, pooled = module.config.joint_attention_dim, module.config.pooled_projection_dim
    if (
        condition is None
        or condition.ndim != 2
        or (condition.shape[1] - pooled) % width
        or condition.shape[1] <= pooled
    ):
        raise ValueError(
            f"an SD3Transformer2DModel needs the condition (n, tokens * {width} + {pooled}) of interop.joined(hidden, "
            f"pooled), got {None if condition is None else tuple(condition.shape)}."
        )
    hidden = condition[:, :-pooled].unflatten(1, (-1, width)).to(x.dtype)
    given = {"encoder_hidden_states": hidden, "pooled_projections": condition[:, -pooled:].to(x.dtype)}
    return module(x, timestep=t, **given, return_dict=False)[0]


NETWORKS: dict[str, Call] = {
    "UNet2DModel": _unet,
    "UNet2DConditionModel": _unet_condition,
    "DiTTransformer2DModel": _dit,
    "SD3Transformer2DModel": _sd3,
}
"""What is read of diffusers, by the name of its class."""
_UNREAD = ("addition_embed_type", "encoder_hid_dim_type", "class_embed_type", "time_cond_proj_dim")
"""Further inputs of a UNet2DConditionModel, which one condition cannot say."""


class DiffusersNetwork(nn.Module):
    """A network of diffusers as `(x, t, condition) -> raw`; channels of a learned variance are left out.

    Args:
        module: of diffusers, of a class in `NETWORKS`.

    Raises:
        ValueError: for another class, or inputs and outputs that are not read.
    """

    def __init__(self, module: Any) -> None:
        super().__init__()
        name = type(module).__name__
        if name not in NETWORKS:
            raise ValueError(f"no network {shown(name)} of diffusers is known; there are {', '.join(NETWORKS)}.")
        config = module.config
        inputs, outputs = config.in_channels, config.out_channels or config.in_channels
        if outputs not in (inputs, 2 * inputs):
            raise ValueError(
                f"this {name} takes {inputs} channels and answers {outputs}; only a network that answers as many, or "
                "twice as many (with a learned variance), is a model of its input."
            )
        further = [key for key in _UNREAD if config.get(key) is not None] if name == "UNet2DConditionModel" else []
        if further:
            raise ValueError(f"this {name} needs more than one condition ({', '.join(further)}): wrap it in a function "
                             "(x, t, condition), and use interop.from_eps.")  # fmt: skip
        self.module = contiguous_norms(module)
        self.channels = int(inputs)
        self.training = module.training

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        raw = NETWORKS[type(self.module).__name__](self.module, x, t, condition)
        return raw[:, : self.channels]


def from_diffusers(source: Any, *, between: Between | None = None, sigma_data: float | None = None) -> Adapted:
    """A network of diffusers as a model, by the convention of its scheduler.

    Read are UNet2DModel, UNet2DConditionModel, DiTTransformer2DModel and SD3Transformer2DModel, with the schedulers of
    `interop.schedulers.READ`. x is what the network sees: pixels on [-1, 1], or latents on the scale of diffusers. The
    condition is a class `(n,)` (UNet2DModel, DiT, whose None is 'no class'), the `encoder_hidden_states`
    `(n, tokens, width)` (UNet2DConditionModel), or both embeddings as one tensor by `joined` (SD3). Nothing is clipped.
    The network is taken as it is, in its dtype and mode; only its group norms are given contiguous tensors from now on,
    the same numbers, without which torch has no batched derivatives of them.

    Args:
        source: the folder of a pipeline (JSON and safetensors; no code is read, nothing fetched), a pipeline, or a pair
            (network, scheduler).
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
    module, scheduler = parts_of(source)
    network = DiffusersNetwork(module)
    looked_up = module.config.get("time_embedding_type") == "learned"
    convention = convention_of(scheduler, between or ("refuse" if looked_up else "interpolate"))
    return Adapted(network, convention, sigma_data=sigma_data, classes=_classes(module), notes=notes_of(scheduler))


def joined(hidden: Tensor, pooled: Tensor) -> Tensor:
    """The two conditions of an SD3Transformer2DModel as one.

    Args:
        hidden: `(n, tokens, width)`.
        pooled: `(n, p)`.

    Returns:
        `(n, tokens * width + p)`.

    Example:
        >>> joined(torch.ones(2, 3, 4), torch.ones(2, 5)).shape
        torch.Size([2, 17])
    """
    if hidden.ndim != 3 or pooled.ndim != 2 or len(hidden) != len(pooled):
        raise ValueError(
            f"joined takes hidden (n, tokens, width) and pooled (n, p), got {tuple(hidden.shape)} and "
            f"{tuple(pooled.shape)}."
        )
    return torch.cat([hidden.flatten(1), pooled.to(hidden.dtype)], dim=1)


def parts_of(source: Any) -> tuple[Any, Any]:
    """The network and the scheduler of a source."""
    if isinstance(source, (str, Path)):
        return _read(Path(source))
    if isinstance(source, tuple) and len(source) == 2:
        return source[0], source[1]
    network = next(
        (part for name in ("unet", "transformer") if (part := getattr(source, name, None)) is not None), None
    )
    scheduler = getattr(source, "scheduler", None)
    if network is None or scheduler is None:
        raise ValueError(
            "from_diffusers takes a folder, a pipeline with a unet or transformer and a scheduler, or a pair (network, "
            f"scheduler), got {type(source).__name__}."
        )
    return network, scheduler


def _read(folder: Path) -> tuple[Any, Any]:
    """The network and the scheduler of a pipeline's folder."""
    if not folder.is_dir():
        raise FileError(f"{folder}: no such folder; give one that holds a pipeline of diffusers, already downloaded.")
    if not (folder / "model_index.json").is_file():
        raise FileError(
            f"{folder} has no model_index.json; give a pipeline's folder, or the pair (network, scheduler) in Python."
        )
    index = _files.read_json(folder / "model_index.json")
    part = next((name for name in ("unet", "transformer") if name in index), None)
    if part is None or "scheduler" not in index:
        raise FileError(f"{folder}/model_index.json names no unet or transformer with a scheduler.")
    kind = _json(folder / part / "config.json").get("_class_name")
    config = _json(folder / "scheduler" / "scheduler_config.json")
    steps = config.get("_class_name")
    for given, known, what in ((kind, tuple(NETWORKS), "network"), (steps, READ, "scheduler")):
        if given not in known:
            raise FileError(f"{folder} holds the {what} {shown(given)}; there are {', '.join(known)}.")
    package = _optional.diffusers(f"a {kind}")
    with _files.reading(folder, "a pipeline of diffusers", fix="; download it again"):
        module = getattr(package, str(kind)).from_pretrained(
            folder / part, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False
        )
        return module.eval(), getattr(package, str(steps)).from_config(config)


def _json(path: Path) -> dict[str, Any]:
    """A file of a pipeline's folder."""
    if not path.is_file():
        raise FileError(f"{path}: no such file; the pipeline's folder is not whole: download it again.")
    return _files.read_json(path)


def _has_classes(module: Any) -> bool:
    return module.config.get("class_embed_type") is not None or module.config.get("num_class_embeds") is not None


def _classes(module: Any) -> int:
    name = "num_embeds_ada_norm" if type(module).__name__ == "DiTTransformer2DModel" else "num_class_embeds"
    return int(module.config.get(name) or 0)
