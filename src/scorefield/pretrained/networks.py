"""Networks of diffusers, called as `(x, t, condition) -> raw`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from scorefield._files import shown

Call: TypeAlias = Callable[[Any, Tensor, Tensor, Tensor | None], Tensor]


def _unet(module: Any, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
    _check_class(module, condition)
    return module(x, t, class_labels=condition, return_dict=False)[0]


def _unet_condition(module: Any, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
    if not _attends(module):  # no text, perhaps a class
        _check_class(module, condition)
        return module(x, t, encoder_hidden_states=None, class_labels=condition, return_dict=False)[0]
    if condition is None or condition.ndim != 3:
        raise ValueError(
            "a UNet2DConditionModel needs the condition (n, tokens, width), its encoder_hidden_states, got "
            f"{None if condition is None else tuple(condition.shape)}."
        )
    return module(x, t, encoder_hidden_states=condition.to(x.dtype), return_dict=False)[0]


def _dit(module: Any, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
    none = torch.full((len(x),), classes_of(module), device=x.device)
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
        module: of diffusers, of a class in `NETWORKS`; what torch.compile made of one is taken as it was before.

    Raises:
        ValueError: for another class, or inputs and outputs that are not read.
    """

    def __init__(self, module: Any) -> None:
        super().__init__()
        module = getattr(module, "_orig_mod", module)
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
        further = _further(module) if name == "UNet2DConditionModel" else []
        if further:
            raise ValueError(f"this {name} needs more than one condition ({', '.join(further)}): wrap it in a function "
                             "(x, t, condition), and use interop.from_eps.")  # fmt: skip
        self.module = contiguous_norms(module)
        self.channels = int(inputs)
        self.training = module.training

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        raw = NETWORKS[type(self.module).__name__](self.module, x, t, condition)
        return raw[:, : self.channels]


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


def classes_of(module: Any) -> int:
    """How many classes a network is conditional on, 0: on none."""
    name = "num_embeds_ada_norm" if type(module).__name__ == "DiTTransformer2DModel" else "num_class_embeds"
    return int(module.config.get(name) or 0)


def contiguous_norms(module: Any) -> Any:
    """The module, whose group norms get contiguous inputs: those of others have no batched derivatives in torch."""
    for part in module.modules():
        if isinstance(part, nn.GroupNorm) and _contiguous not in part._forward_pre_hooks.values():
            part.register_forward_pre_hook(_contiguous)
    return module


def _contiguous(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return given[0].contiguous(), *given[1:]


def _further(module: Any) -> list[str]:
    """Inputs of a UNet2DConditionModel besides one condition: a text's embedding, or where there is none a class."""
    found = [key for key in _UNREAD if module.config.get(key) is not None]
    both = _attends(module) and module.config.get("num_class_embeds") is not None
    return [*found, "num_class_embeds"] if both else found


def _attends(module: Any) -> bool:
    """Whether a UNet2DConditionModel looks at a text's embedding: one of blocks without cross-attention does not."""
    blocks = (*module.down_blocks, module.mid_block, *module.up_blocks)
    return any(getattr(block, "has_cross_attention", False) for block in blocks)


def _check_class(module: Any, condition: Tensor | None) -> None:
    if (condition is None) == _has_classes(module):
        has = "is conditional on a class, and none was given" if condition is None else "takes no condition"
        raise ValueError(f"this {type(module).__name__} {has}.")


def _has_classes(module: Any) -> bool:
    return module.config.get("class_embed_type") is not None or module.config.get("num_class_embeds") is not None
