"""Training with less memory: what blocks compute is forgotten and computed again on the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from scorefield.nets import mlp, transformer, unet

BLOCKS: tuple[type[nn.Module], ...] = (mlp.Block, transformer.Block, unet.Block, unet.Attention)
"""What keeps only its inputs for the way back."""


@contextmanager
def recomputed(model: nn.Module) -> Iterator[None]:
    """Inside, blocks of the networks of this library keep their inputs alone (Chen, Xu, Zhang and Guestrin 2016).

    The gradients are the same, bit for bit; a step computes every block twice. Losses that differentiate the network
    itself (`torch.func`, second derivatives) cannot be taken so.

    Args:
        model: that holds a network; several processes may share it.

    Raises:
        ValueError: for a model without such blocks.

    Example:
        >>> net = mlp.ResidualMLP(2, width=16, depth=2)
        >>> with recomputed(net):
        ...     net(torch.ones(3, 2), torch.tensor(0.0)).sum().backward()
        >>> all(p.grad is not None for p in net.parameters())
        True
    """
    blocks = [module for module in model.modules() if isinstance(module, BLOCKS)]
    if not blocks:
        raise ValueError(
            f"{type(model).__name__} has no blocks of a network of this library to compute again; leave "
            "activation_checkpointing out, and use torch.utils.checkpoint in a network of your own."
        )
    for block in blocks:
        block.forward = partial(_again, block.forward)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _again(forward: Callable[..., Tensor], *inputs: Any) -> Tensor:
    if not torch.is_grad_enabled():
        return forward(*inputs)
    from torch.utils.checkpoint import checkpoint

    answer: Tensor = checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False)
    return answer
