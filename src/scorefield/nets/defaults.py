"""The default network for a kind of record."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from scorefield.nets._embedding import check_sizes
from scorefield.nets.mlp import ResidualMLP
from scorefield.nets.transformer import PatchTransformer
from scorefield.nets.unet import UNet

KINDS = ("auto", "unet", "transformer")
"""Of networks for series, images and volumes."""
_SIZES = ("small", "medium", "large")
_MLP = {"small": (128, 3), "medium": (256, 4), "large": (512, 6)}  # width, depth
# base channels, multipliers, blocks per resolution: for images of up to _TINY pixels a side, and for greater ones
_TINY_UNET = {"small": (48, (1, 1), 1), "medium": (64, (1, 1), 1), "large": (64, (1, 2), 1)}
_UNET = {"small": (32, (1, 2, 2), 1), "medium": (64, (1, 2), 1), "large": (64, (1, 2), 2)}
_TRANSFORMER = {"small": (128, 4), "medium": (192, 6), "large": (384, 8)}  # width, depth
_TINY = 12
_INSIDE = {1: 256, 2: 16, 3: 8}  # patches per side at most, by axes: a UNet's time goes with their number
_TOKENS = {1: 64, 2: 8, 3: 4}  # the same of a transformer, whose attention's time goes with their square


def network_for(
    shape: Sequence[int],
    classes: int = 0,
    condition_dim: int = 0,
    size: str = "auto",
    seed: int = 0,
    rows: int | None = None,
    kind: str = "auto",
) -> nn.Module:
    """The default network for records of a shape: a `ResidualMLP` for `(d,)`, else a `UNet`.

    Args:
        shape: of one record: `(d,)`, or channels and one to three sizes.
        classes: as `ResidualMLP`.
        condition_dim: as `ResidualMLP`.
        size: "small", "medium" or "large"; "auto" is what minutes on a CPU can train: medium, but for a vector by its
            length and rows.
        seed: of the initialisation.
        rows: number of training rows, where known: "auto" gives small data a smaller MLP.
        kind: "auto"; for series, images and volumes also "unet", which is that, or "transformer", over patches.

    Raises:
        ValueError: for another shape, an unknown size, or a kind that the shape has not.

    Example:
        >>> network_for((2,)).config["width"], network_for((1, 28, 28)).config["patch"]
        (256, 2)
    """
    shape = tuple(int(s) for s in shape)
    if size not in ("auto", *_SIZES):
        raise ValueError(f"size must be 'auto', {', '.join(map(repr, _SIZES))}, got {size!r}.")
    if kind not in KINDS:
        raise ValueError(f"kind must be {', '.join(map(repr, KINDS))}, got {kind!r}.")
    if len(shape) == 1:
        if kind != "auto":
            raise ValueError(f"a network of kind {kind!r} is for series, images and volumes, not for rows of numbers.")
        return _mlp(shape[0], classes, condition_dim, size, seed, rows)
    if 2 <= len(shape) <= 4:
        make = _transformer if kind == "transformer" else _unet
        return make(shape, classes, condition_dim, "medium" if size == "auto" else size, seed)
    raise ValueError(
        f"there is a default network for records of shape (d,), (channels, length), (channels, height, width) and "
        f"(channels, depth, height, width), got {shape}; "
        f"reshape the records or build a network."
    )


def _mlp(dim: int, classes: int, condition_dim: int, size: str, seed: int, rows: int | None) -> ResidualMLP:
    check_sizes(dim=dim)
    if size == "auto":
        size = "small" if rows is not None and rows < 20_000 else "medium"
        size = "large" if dim > 256 and size == "medium" else size
    width, depth = _MLP[size]
    return ResidualMLP(dim, width, depth, classes, condition_dim, seed)


def _unet(shape: tuple[int, ...], classes: int, condition_dim: int, size: str, seed: int) -> UNet:
    channels, sizes, patch = _grid(shape, _INSIDE)
    base, multipliers, blocks = (_TINY_UNET if max(sizes) <= _TINY else _UNET)[size]
    return UNet(sizes, channels, base, multipliers, blocks, patch, classes, condition_dim, seed=seed)


def _transformer(shape: tuple[int, ...], classes: int, condition_dim: int, size: str, seed: int) -> PatchTransformer:
    channels, sizes, patch = _grid(shape, _TOKENS)
    return PatchTransformer(sizes, channels, *_TRANSFORMER[size], patch, classes, condition_dim, seed)


def _grid(shape: tuple[int, ...], inside: dict[int, int]) -> tuple[int, list[int], int]:
    """Channels, sizes, and the least patch, a power of two, of which no more lie along any axis than there may."""
    channels, *sizes = shape
    check_sizes(channels=channels, **{f"sizes[{i}]": n for i, n in enumerate(sizes)})
    patch = 1
    while max(sizes) > patch * inside[len(sizes)]:
        patch *= 2
    return channels, sizes, patch
