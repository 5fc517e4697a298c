"""A transformer over patches of series, images and volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from scorefield.nets._embedding import Embedding, check_sizes
from scorefield.nets._init import initialise, linear
from scorefield.nets._patches import check_grid, check_records, patches, points

_HEAD = 32  # channels of a head
_FARTHEST = 1000.0  # places that the slowest sine of a position tells apart
_WIDENING = 4  # inside a block, over its width
_LEAST = 1e-5  # added to the variance of a token


class Block(nn.Module):
    """Self-attention and a perceptron, each modulated and gated by the embedding (Peebles and Xie 2023)."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.heads = width // math.gcd(width, _HEAD)
        self.modulation = linear(embedding, 6 * width)
        self.qkv = linear(width, 3 * width)
        self.mixed = linear(width, width)
        self.widen = linear(width, _WIDENING * width)
        self.narrow = linear(_WIDENING * width, width)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        shift, scale, gate, shift_in, scale_in, gate_in = self.modulation(e)[:, None].chunk(6, dim=2)
        h = h + gate * self._attention(standardised(h) * (1 + scale) + shift)
        inner = gelu(self.widen(standardised(h) * (1 + scale_in) + shift_in), approximate="tanh")
        return h + gate_in * self.narrow(inner)

    def _attention(self, h: Tensor) -> Tensor:
        """In plain products (Vaswani and others 2017): it has all derivatives."""
        n, places, c = h.shape
        q, k, v = self.qkv(h).reshape(n, places, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) * (c // self.heads) ** -0.5, dim=-1)
        answer: Tensor = self.mixed((weights @ v).transpose(1, 2).reshape(n, places, c))
        return answer


def standardised(h: Tensor) -> Tensor:
    """Layer normalisation (Ba and others 2016) in plain operations: torch's own lacks a derivative of derivatives."""
    centred = h - h.mean(dim=-1, keepdim=True)
    return centred * (centred.square().mean(dim=-1, keepdim=True) + _LEAST).rsqrt()


class PatchTransformer(nn.Module):
    """A transformer `(n, channels, *sizes) -> same` whose tokens are patches; 0 before training.

    As DiT (Peebles and Xie 2023), for series, images and volumes: a patch of `patch` points along each axis is a token,
    and its place enters as sines and cosines along each axis. Its time goes to products of large matrices, which
    processors with matrix units and GPUs do at their peak. Any sizes: records are padded to whole patches.

    Args:
        sizes: of a record: `(length,)`, `(height, width)` or `(depth, height, width)`.
        channels: of a record.
        width: of a token.
        depth: blocks.
        patch: points along each axis of a patch.
        classes: K for int64 conditions `(n,)`, 0..K - 1 and K for none; 0 for a network without.
        condition_dim: m for float conditions `(n, m)`, a row with NaN for none; 0 for a network without.
        seed: of the initialisation; torch's global generator is not touched.

    Example:
        >>> net = PatchTransformer((8, 8), width=32, depth=1)
        >>> net(torch.ones(3, 1, 8, 8), torch.tensor(0.0)).shape
        torch.Size([3, 1, 8, 8])
    """

    places: Tensor

    def __init__(
        self,
        sizes: Sequence[int],
        channels: int = 1,
        width: int = 256,
        depth: int = 6,
        patch: int = 4,
        classes: int = 0,
        condition_dim: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_grid(sizes)
        check_sizes(channels=channels, width=width, depth=depth, patch=patch)
        self.config: dict[str, object] = {
            "sizes": list(sizes),
            "channels": channels,
            "width": width,
            "depth": depth,
            "patch": patch,
            "classes": classes,
            "condition_dim": condition_dim,
            "seed": seed,
        }
        self.shape, self.patch = (channels, *sizes), patch
        inside, e = channels * patch ** len(sizes), min(256, width)
        self.embedding = Embedding(e, classes, condition_dim)
        self.inputs = linear(inside, width)
        self.blocks = nn.ModuleList(Block(width, e) for _ in range(depth))
        self.modulation = linear(e, 2 * width)
        self.outputs = linear(width, inside)
        counts = [-(-size // patch) for size in sizes]
        self.register_buffer("places", places_of(counts, width).to(torch.get_default_dtype()), persistent=False)
        gates = [block.modulation for block in self.blocks if isinstance(block, Block)]
        initialise(self, seed, zero=[self.outputs, self.modulation, *gates])

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        """The raw answer at x, both `(n, channels, *sizes)`, for a level feature 0-d or `(n,)`."""
        check_records(x, self.shape)
        e = self.embedding(x, level_feature, condition)
        cut = patches(x, self.patch)
        with torch.autocast(x.device.type, enabled=False):  # bf16 would round away the noise of low levels
            h = self.inputs(cut.flatten(2).transpose(1, 2)) + self.places
        for block in self.blocks:
            h = block(h, e)
        shift, scale = self.modulation(e)[:, None].chunk(2, dim=2)
        answer = self.outputs(standardised(h) * (1 + scale) + shift)
        return points(answer.transpose(1, 2).reshape(cut.shape), self.patch, self.shape)


def places_of(counts: Sequence[int], width: int) -> Tensor:
    """Where each token lies, `(tokens, width)`: sines and cosines of its place along each axis, of equal share."""
    pairs = max(1, width // (2 * len(counts)))
    rate = _FARTHEST ** (-torch.arange(pairs, dtype=torch.float64, device="cpu") / pairs)
    along = [torch.arange(n, dtype=torch.float64, device="cpu")[:, None] * rate for n in counts]
    grids = torch.meshgrid(*[torch.arange(n, device="cpu") for n in counts], indexing="ij")
    angles = torch.cat([axis[grid.flatten()] for axis, grid in zip(along, grids, strict=True)], dim=1)
    found = torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]
    return torch.cat([found, found.new_zeros(len(found), width - found.shape[1])], dim=1)
