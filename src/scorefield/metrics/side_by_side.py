"""Small networks that are trained side by side, all of one shape, each with weights of its own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from scorefield.numerics.random import normal


def weights_of(members: int, sizes: Sequence[int], seed: int, purpose: str, device: torch.device) -> list[Tensor]:
    """Weights `(members, in, out)` and biases `(members, 1, out)` of networks with layers of these sizes."""
    found: list[Tensor] = []
    for i, (a, b) in enumerate(pairwise(sizes)):
        draw = normal(members, (a, b), seed, f"{purpose}-layer-{i}", device=device)
        found += [draw * (2 / a) ** 0.5, torch.zeros(members, 1, b, device=device)]
    return found


def logits(weights: Sequence[Tensor], x: Tensor) -> Tensor:
    """What each network says: `(members, k, d)`, or `(k, d)` for all the same, to `(members, k)`."""
    x = x.expand(len(weights[0]), *x.shape[-2:])
    for i in range(0, len(weights), 2):
        x = torch.baddbmm(weights[i + 1], x, weights[i])
        x = F.silu(x) if i + 2 < len(weights) else x
    return x[..., 0]
