"""Patches of a grid of points taken as channels, and back: along one to three axes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import pad


def patches(x: Tensor, patch: int) -> Tensor:
    """`(n, channels, *sizes)` as `(n, channels * patch**axes, *counts)`; the last patches of each axis end in 0."""
    sizes, p = x.shape[2:], patch
    filled = [-size % p for size in sizes]
    x = pad(x, [side for fill in reversed(filled) for side in (0, fill)]) if any(filled) else x
    if p == 1:
        return x
    apart = [part for size, fill in zip(sizes, filled, strict=True) for part in ((size + fill) // p, p)]
    axes = range(len(sizes))
    whole = x.reshape(*x.shape[:2], *apart)
    return whole.permute(0, 1, *(3 + 2 * i for i in axes), *(2 + 2 * i for i in axes)).flatten(1, 1 + len(sizes))


def points(h: Tensor, patch: int, shape: Sequence[int]) -> Tensor:
    """The inverse of `patches`, for records of `shape` (channels, *sizes)."""
    (channels, *sizes), p = shape, patch
    if p > 1:
        k, count = len(sizes), h.shape[2:]
        whole = h.reshape(len(h), channels, *[p] * k, *count)
        mixed = whole.permute(0, 1, *(axis for i in range(k) for axis in (2 + k + i, 2 + i)))
        h = mixed.reshape(len(h), channels, *(p * c for c in count))
    for axis, size in enumerate(sizes, 2):
        h = h.narrow(axis, 0, size)
    return h
