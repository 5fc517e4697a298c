"""Layers of several networks side by side, which see the same rows and share nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu


class Members(nn.Module):
    """M linear layers: `(n, inputs)` or `(M, n, inputs)` to `(M, n, outputs)`; uninitialised, see `initialise`."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class MembersBlock(nn.Module):
    """`h + gate * down(silu(scale * up(h) + shift))` in each member; gate, scale and shift come from the embedding."""

    def __init__(self, members: int, width: int, embedding: int) -> None:
        super().__init__()
        self.modulation = Members(members, embedding, 3 * width)
        self.up = Members(members, width, width)
        self.down = Members(members, width, width)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        gate, scale, shift = self.modulation(e).chunk(3, dim=-1)
        return h + (1 + gate) * self.down(silu((1 + scale) * self.up(h) + shift))
