"""Layers of several networks side by side, which see the same rows and share nothing."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu


class Layer(NamedTuple):
    """`x @ weight + bias` in each of M members, weight `(M, inputs, outputs)` and bias `(M, 1, outputs)`."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Of `(n, inputs)` or `(M, n, inputs)`: `(M, n, outputs)`."""
        return torch.baddbmm(self.bias, x.expand(len(self.weight), -1, -1), self.weight)


class Members(nn.Module):
    """M linear layers: `(n, inputs)` or `(M, n, inputs)` to `(M, n, outputs)`; uninitialised, see `initialise`."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return Layer(self.weight, self.bias)(x)


class MembersBlock(nn.Module):
    """`h + gate * down(silu(scale * up(h) + shift))` in each member; gate, scale and shift come from the embedding."""

    def __init__(self, members: int, width: int, embedding: int) -> None:
        super().__init__()
        self.modulation = Members(members, embedding, 3 * width)
        self.up = Members(members, width, width)
        self.down = Members(members, width, width)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        if isinstance(e.shape[0], int) and e.shape[0] == 1:  # a free size of what is exported is no int
            up, down = self.at_level(e)
            return torch.baddbmm(h, silu(up(h)), down.weight).add_(down.bias)
        gate, scale, shift = self.modulation(e).chunk(3, dim=-1)
        return h + (1 + gate) * self.down(silu((1 + scale) * self.up(h) + shift))

    def at_level(self, e: Tensor) -> tuple[Layer, Layer]:
        """`up` and `down` at the level of an embedding `(1, embedding)`, whose scales are multiplied into the weights.

        The block is `h + down(silu(up(h)))` with these.
        """
        gate, scale, shift = self.modulation(e).chunk(3, dim=-1)
        up = Layer(self.up.weight * (1 + scale), self.up.bias * (1 + scale) + shift)
        return up, Layer(self.down.weight * (1 + gate), self.down.bias * (1 + gate))
