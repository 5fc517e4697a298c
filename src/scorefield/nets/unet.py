"""A compact UNet for series, images and volumes of any size and channel count, made to train on a CPU too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from scorefield.nets._embedding import Embedding, check_sizes
from scorefield.nets._init import conv, initialise, linear, norm
from scorefield.nets._patches import check_grid, check_records, patches, points


class Block(nn.Module):
    """`h + conv(silu(modulate(norm(conv(silu(norm(h)))))))`: a residual block modulated by the embedding."""

    def __init__(self, channels: int, embedding: int, axes: int) -> None:
        super().__init__()
        self.norm_in = norm(channels)
        self.conv_in = conv(channels, channels, axes=axes)
        self.norm_out = norm(channels)
        self.modulation = linear(embedding, 2 * channels)
        self.conv_out = conv(channels, channels, axes=axes)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        inner = self.norm_out(self.conv_in(silu(self.norm_in(h.contiguous()))).contiguous())
        scale, shift = self.modulation(e).reshape(e.shape[0], -1, *[1] * (h.ndim - 2)).chunk(2, dim=1)
        return h + self.conv_out(silu(inner * (1 + scale) + shift))


class _Stage(nn.Module):
    """The residual blocks of one resolution."""

    def __init__(self, blocks: int, channels: int, embedding: int, axes: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(channels, embedding, axes) for _ in range(blocks))

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        for block in self.blocks:
            h = block(h, e)
        return h


class Attention(nn.Module):
    """Residual self-attention over the places (Vaswani and others 2017), in plain products: it has all derivatives."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = math.gcd(channels, max(1, channels // 32))
        self.norm = norm(channels)
        self.qkv = linear(channels, 3 * channels)
        self.out = linear(channels, channels)

    def forward(self, h: Tensor) -> Tensor:
        n, c = h.shape[:2]
        tokens = self.norm(h.contiguous()).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).reshape(n, -1, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) * (c // self.heads) ** -0.5, dim=-1)
        mixed = (weights @ v).transpose(1, 2).reshape(n, -1, c)
        return h + self.out(mixed).transpose(1, 2).reshape(h.shape)


class UNet(nn.Module):
    """A UNet `(n, channels, *sizes) -> same` over patches; 0 before training.

    Residual blocks at falling resolution and back (Ronneberger and others 2015; Ho and others 2020), along one axis of
    a series, two of an image or three of a volume. It works on patches of `patch` points along each axis taken as
    channels, which saves a factor of `patch**axes` in time, and adds skips instead of stacking them. Any sizes: records
    are padded to whole patches, odd resolutions are met by interpolating to the size of the skip.

    Args:
        sizes: of a record: `(length,)`, `(height, width)` or `(depth, height, width)`.
        channels: of a record.
        base: channels inside, at the finest resolution.
        multipliers: channels at each resolution, in units of base; each entry halves the resolution of the one before.
        blocks: residual blocks per resolution on the way down, and as many on the way up.
        patch: points along each axis of a patch; 1 works on single points.
        classes: K for int64 conditions `(n,)`, 0..K - 1 and K for none; 0 for a network without.
        condition_dim: m for float conditions `(n, m)`, a row with NaN for none; 0 for a network without.
        attention: self-attention at the lowest resolution.
        seed: of the initialisation; torch's global generator is not touched.

    Example:
        >>> net = UNet((8, 8), base=16, blocks=1)
        >>> net(torch.ones(3, 1, 8, 8), torch.tensor(0.0)).shape
        torch.Size([3, 1, 8, 8])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        channels: int = 1,
        base: int = 64,
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 2,
        patch: int = 1,
        classes: int = 0,
        condition_dim: int = 0,
        attention: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_grid(sizes)
        check_sizes(channels=channels, base=base, blocks=blocks, patch=patch)
        check_sizes(**{f"multipliers[{i}]": m for i, m in enumerate(multipliers)}, resolutions=len(multipliers))
        self.config: dict[str, object] = {
            "sizes": list(sizes),
            "channels": channels,
            "base": base,
            "multipliers": list(multipliers),
            "blocks": blocks,
            "patch": patch,
            "classes": classes,
            "condition_dim": condition_dim,
            "attention": attention,
            "seed": seed,
        }
        self.shape = (channels, *sizes)
        self.patch = patch
        axes, inside = len(sizes), [base * m for m in multipliers]
        e = 2 * base
        self.embedding = Embedding(e, classes, condition_dim)
        self.inputs = conv(channels * patch**axes, base, axes=axes)
        self.down = nn.ModuleList(_Stage(blocks, c, e, axes) for c in inside)
        self.lower = nn.ModuleList(conv(a, b, stride=2, axes=axes) for a, b in pairwise(inside))
        self.attention = Attention(inside[-1]) if attention else nn.Identity()
        self.rise = nn.ModuleList(conv(b, a, kernel=1, axes=axes) for a, b in pairwise(inside))
        self.up = nn.ModuleList(_Stage(blocks, c, e, axes) for c in inside)
        self.norm = norm(base)
        self.outputs = conv(base, channels * patch**axes, axes=axes)
        ends = [layer for m in self.modules() if isinstance(m, Block) for layer in (m.modulation, m.conv_out)]
        ends += [m.out for m in self.modules() if isinstance(m, Attention)]
        initialise(self, seed, zero=[self.outputs, *ends])

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        """The raw answer at x, both `(n, channels, *sizes)`, for a level feature 0-d or `(n,)`."""
        check_records(x, self.shape)
        e = self.embedding(x, level_feature, condition)
        with torch.autocast(x.device.type, enabled=False):  # bf16 would round away the noise of low levels
            h = self.inputs(patches(x, self.patch))
        skips = []
        for k, stage in enumerate(self.down):
            h = stage(h if k == 0 else self.lower[k - 1](h), e)
            skips.append(h)
        h = self.attention(h)
        for k in reversed(range(len(self.up))):
            if k < len(self.rise):
                h = skips[k] + interpolate(self.rise[k](h), size=skips[k].shape[2:])
            h = self.up[k](h, e)
        return points(self.outputs(silu(self.norm(h.contiguous()))), self.patch, self.shape)


def unet_config(stored: Mapping[str, object]) -> dict[str, object]:
    """A configuration as runs of earlier versions have it, of images alone, as `UNet` takes it now."""
    known = dict(stored)
    if "sizes" not in known and {"height", "width"} <= set(known):
        known["sizes"] = [known.pop("height"), known.pop("width")]
    return known
