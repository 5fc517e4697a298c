"""Residual MLPs for vectors: a field, and a scalar whose gradient is a field."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from scorefield.nets._embedding import Embedding, check_sizes
from scorefield.nets._init import initialise, linear

_WAVE = 2.0  # radians per unit of x: half a wave over a standard deviation and a half
_WAVE_DIMS = 16  # up to here: low dimensions have sharp densities, high ones too many inputs already


class Block(nn.Module):
    """`h + gate * down(silu(scale * up(h) + shift))`; gate, scale and shift come from the embedding.

    No norm: the answer may grow linearly far out, as the score of correlated or heavy-tailed data does. (And the
    forward derivative of torch's layer_norm has wrong derivatives of its own, which implicit matching would train on.)
    """

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.modulation = linear(embedding, 3 * width)
        self.up = linear(width, width)
        self.down = linear(width, width)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        gate, scale, shift = self.modulation(e).chunk(3, dim=-1)
        return h + (1 + gate) * self.down(silu((1 + scale) * self.up(h) + shift))


class _Trunk(nn.Module):
    """`(x, level_feature, condition) -> features (n, width)`: what the two networks share."""

    def __init__(self, dim: int, width: int, depth: int, classes: int, condition_dim: int) -> None:
        super().__init__()
        check_sizes(dim=dim, width=width, depth=depth)
        self.dim = dim
        self.embedding = Embedding(min(width, 128), classes, condition_dim)
        self.waves = dim <= _WAVE_DIMS
        self.inputs = linear(3 * dim if self.waves else dim, width)
        self.blocks = nn.ModuleList(Block(width, min(width, 128)) for _ in range(depth))
        self.last = linear(min(width, 128), 2 * width)

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None) -> Tensor:
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"this network takes x of shape (n, {self.dim}), got {tuple(x.shape)}.")
        e = self.embedding(x, level_feature, condition)
        h = self.inputs(torch.cat([x, (_WAVE * x).sin(), (_WAVE * x).cos()], dim=1) if self.waves else x)
        for block in self.blocks:
            h = block(h, e)
        scale, shift = self.last(e).chunk(2, dim=-1)
        return silu((1 + scale) * h + shift)

    def modulations(self) -> list[nn.Module]:
        """The layers that start at 0: before training, no feature depends on the level or the condition."""
        return [self.last, *(block.modulation for block in self.blocks if isinstance(block, Block))]


class ResidualMLP(nn.Module):
    """A residual MLP `(n, dim) -> (n, dim)`, modulated by the noise level and the condition; 0 before training.

    Residual blocks (He and others 2016) whose scale, shift (Perez and others 2018) and gate (Peebles and Xie 2023)
    come from the level and the condition. Short records also enter as one sine and cosine per coordinate, which lets
    it learn sharp densities sooner (Tancik and others 2020).

    Args:
        dim: length of a record.
        width: of the hidden layers.
        depth: number of residual blocks, each of two linear layers.
        classes: K for int64 conditions `(n,)`, 0..K - 1 and K for none; 0 for a network without.
        condition_dim: m for float conditions `(n, m)`, a row with NaN for none; 0 for a network without.
        seed: of the initialisation; torch's global generator is not touched.

    Example:
        >>> import torch
        >>> net = ResidualMLP(2, width=32, depth=2)
        >>> net(torch.ones(5, 2), torch.tensor(0.0)).abs().sum().item()
        0.0
    """

    def __init__(
        self, dim: int, width: int = 256, depth: int = 4, classes: int = 0, condition_dim: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        sizes = {"dim": dim, "width": width, "depth": depth, "classes": classes, "condition_dim": condition_dim}
        self.config: dict[str, object] = {**sizes, "seed": seed}
        self.trunk, self.outputs = _Trunk(**sizes), linear(width, dim)
        initialise(self, seed, zero=[self.outputs, *self.trunk.modulations()])

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        """The raw answer `(n, dim)` at x `(n, dim)` for a level feature 0-d or `(n,)`."""
        return self.outputs(self.trunk(x, level_feature, condition))


class ScalarMLP(nn.Module):
    """A scalar network `(n, dim) -> (n,)`, smooth in x, for `Energy`: `psi(x) = x . v(h(x)) + w . h(x)`.

    h are the features of a `ResidualMLP`, v and w are linear: the gradient holds the field v itself, and so starts
    training as a `ResidualMLP` does. 0 before training.

    Args:
        dim: length of a record.
        width: of the hidden layers.
        depth: number of residual blocks.
        classes: as `ResidualMLP`.
        condition_dim: as `ResidualMLP`.
        seed: of the initialisation; torch's global generator is not touched.

    Example:
        >>> import torch
        >>> psi = ScalarMLP(2, width=32, depth=2)
        >>> psi(torch.ones(5, 2), torch.tensor(0.0)).tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0]
    """

    def __init__(
        self, dim: int, width: int = 256, depth: int = 4, classes: int = 0, condition_dim: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        sizes = {"dim": dim, "width": width, "depth": depth, "classes": classes, "condition_dim": condition_dim}
        self.config: dict[str, object] = {**sizes, "seed": seed}
        self.trunk, self.outputs = _Trunk(**sizes), linear(width, dim + 1)
        initialise(self, seed, zero=[self.outputs, *self.trunk.modulations()])

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        """The potential `(n,)` at x `(n, dim)` for a level feature 0-d or `(n,)`."""
        v = self.outputs(self.trunk(x, level_feature, condition))
        return (x * v[:, :-1]).sum(1) + v[:, -1]
