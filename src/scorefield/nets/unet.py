"""A compact UNet for images of any size and channel count, made to train on a CPU too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, pixel_shuffle, pixel_unshuffle, silu

from scorefield.nets._embedding import Embedding, check_sizes
from scorefield.nets._init import conv, initialise, linear


def _norm(channels: int) -> nn.GroupNorm:
    """GroupNorm (Wu and He 2018), about 8 groups of 8 channels or more; its jvp needs a contiguous input."""
    return nn.GroupNorm(math.gcd(channels, max(1, min(8, channels // 8))), channels)


class _Block(nn.Module):
    """`h + conv(silu(modulate(norm(conv(silu(norm(h)))))))`: a residual block modulated by the embedding."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.norm_in = _norm(channels)
        self.conv_in = conv(channels, channels)
        self.norm_out = _norm(channels)
        self.modulation = linear(embedding, 2 * channels)
        self.conv_out = conv(channels, channels)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        inner = self.norm_out(self.conv_in(silu(self.norm_in(h.contiguous()))).contiguous())
        scale, shift = self.modulation(e)[:, :, None, None].chunk(2, dim=1)
        return h + self.conv_out(silu(inner * (1 + scale) + shift))


class _Stage(nn.Module):
    """The residual blocks of one resolution."""

    def __init__(self, blocks: int, channels: int, embedding: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(channels, embedding) for _ in range(blocks))

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        for block in self.blocks:
            h = block(h, e)
        return h


class _Attention(nn.Module):
    """Residual self-attention over the pixels (Vaswani and others 2017), in plain products: it has all derivatives."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = math.gcd(channels, max(1, channels // 32))
        self.norm = _norm(channels)
        self.qkv = linear(channels, 3 * channels)
        self.out = linear(channels, channels)

    def forward(self, h: Tensor) -> Tensor:
        n, c, height, width = h.shape
        tokens = self.norm(h.contiguous()).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).reshape(n, height * width, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) * (c // self.heads) ** -0.5, dim=-1)
        mixed = (weights @ v).transpose(1, 2).reshape(n, height * width, c)
        return h + self.out(mixed).transpose(1, 2).reshape(h.shape)


class UNet(nn.Module):
    """A UNet `(n, channels, height, width) -> same` over patches; 0 before training.

    Residual blocks at falling resolution and back (Ronneberger and others 2015; Ho and others 2020). It works on
    patches of `patch x patch` pixels taken as channels, which saves a factor of `patch**2` in time, and adds skips
    instead of stacking them. Any height and width: images are padded to whole patches, odd resolutions are met by
    interpolating to the size of the skip.

    Args:
        height: of an image, in pixels.
        width: of an image.
        channels: of an image.
        base: channels inside, at the finest resolution.
        multipliers: channels at each resolution, in units of base; each entry halves the resolution of the one before.
        blocks: residual blocks per resolution on the way down, and as many on the way up.
        patch: pixels per side of a patch; 1 works on single pixels.
        classes: K for int64 conditions `(n,)`, 0..K - 1 and K for none; 0 for a network without.
        condition_dim: m for float conditions `(n, m)`, a row with NaN for none; 0 for a network without.
        attention: self-attention at the lowest resolution.
        seed: of the initialisation; torch's global generator is not touched.

    Example:
        >>> net = UNet(8, 8, base=16, blocks=1)
        >>> net(torch.ones(3, 1, 8, 8), torch.tensor(0.0)).shape
        torch.Size([3, 1, 8, 8])
    """

    def __init__(
        self,
        height: int,
        width: int,
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
        check_sizes(height=height, width=width, channels=channels, base=base, blocks=blocks, patch=patch)
        check_sizes(**{f"multipliers[{i}]": m for i, m in enumerate(multipliers)}, resolutions=len(multipliers))
        self.config: dict[str, object] = {
            "height": height,
            "width": width,
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
        self.shape = (channels, height, width)
        self.patch = patch
        inside = [base * m for m in multipliers]
        e = 2 * base
        self.embedding = Embedding(e, classes, condition_dim)
        self.inputs = conv(channels * patch**2, base)
        self.down = nn.ModuleList(_Stage(blocks, c, e) for c in inside)
        self.lower = nn.ModuleList(conv(a, b, stride=2) for a, b in pairwise(inside))
        self.attention = _Attention(inside[-1]) if attention else nn.Identity()
        self.rise = nn.ModuleList(conv(b, a, kernel=1) for a, b in pairwise(inside))
        self.up = nn.ModuleList(_Stage(blocks, c, e) for c in inside)
        self.norm = _norm(base)
        self.outputs = conv(base, channels * patch**2)
        ends = [layer for m in self.modules() if isinstance(m, _Block) for layer in (m.modulation, m.conv_out)]
        ends += [m.out for m in self.modules() if isinstance(m, _Attention)]
        initialise(self, seed, zero=[self.outputs, *ends])

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        """The raw answer at x, both `(n, channels, height, width)`, for a level feature 0-d or `(n,)`."""
        if tuple(x.shape[1:]) != self.shape or x.ndim != 4:
            wanted = ", ".join(map(str, self.shape))
            raise ValueError(f"this network takes x of shape (n, {wanted}), got {tuple(x.shape)}.")
        e = self.embedding(x, level_feature, condition)
        with torch.autocast(x.device.type, enabled=False):  # bf16 would round away the noise of low levels
            h = self.inputs(self._patches(x))
        skips = []
        for k, stage in enumerate(self.down):
            h = stage(h if k == 0 else self.lower[k - 1](h), e)
            skips.append(h)
        h = self.attention(h)
        for k in reversed(range(len(self.up))):
            if k < len(self.rise):
                h = skips[k] + interpolate(self.rise[k](h), size=skips[k].shape[-2:])
            h = self.up[k](h, e)
        return self._pixels(self.outputs(silu(self.norm(h.contiguous()))))

    def _patches(self, x: Tensor) -> Tensor:
        """Patches as channels; the last row and column of patches are filled up with 0."""
        _, height, width = self.shape
        right, below = -width % self.patch, -height % self.patch
        x = pad(x, (0, right, 0, below)) if right or below else x
        return pixel_unshuffle(x, self.patch) if self.patch > 1 else x

    def _pixels(self, h: Tensor) -> Tensor:
        _, height, width = self.shape
        return (pixel_shuffle(h, self.patch) if self.patch > 1 else h)[..., :height, :width]
