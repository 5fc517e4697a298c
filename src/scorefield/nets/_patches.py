"""Patches of a grid of points taken as channels, and back: along one to three axes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import pad

from scorefield.nets._embedding import check_sizes


def check_grid(sizes: object) -> None:
    """Raise unless sizes are one to three whole numbers >= 1."""
    if not isinstance(sizes, Sequence) or not 1 <= len(sizes) <= 3:
        raise ValueError(f"a network's sizes are one to three whole numbers such as (28, 28), got {sizes!r}.")
    check_sizes(**{f"sizes[{i}]": size for i, size in enumerate(sizes)})


def check_records(x: Tensor, shape: Sequence[int]) -> None:
    """Raise unless x is `(n, *shape)`."""
    if tuple(x.shape[1:]) != tuple(shape):
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"this network takes x of shape (n, {wanted}), got {tuple(x.shape)}.")


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
        whole = h.reshape(h.shape[0], channels, *[p] * k, *count)
        mixed = whole.permute(0, 1, *(axis for i in range(k) for axis in (2 + k + i, 2 + i)))
        h = mixed.reshape(h.shape[0], channels, *(p * c for c in count))
    for axis, size in enumerate(sizes, 2):
        h = h.narrow(axis, 0, size)
    return h
