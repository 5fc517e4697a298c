"""Images as standardised tensors, channels first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from scorefield._files import shown
from scorefield.data.dataset import Array
from scorefield.numerics.random import uniform

DType: TypeAlias = Literal["uint8", "uint16", "float32", "float64"]


@dataclass(frozen=True)
class ImageCodec:
    """All pixels on one scale: `encoded = (record - mean) / std`, with the layout `(n, c, h, w)`.

    An odd height or width is made even by repeating the last row or column, which decoding cuts off again; the log-det
    is that of the user's pixels alone. Decoded integers are rounded and clipped to 0 .. levels - 1; floats are neither.

    Args:
        height: of the user's images.
        width: likewise.
        channels: 1 for grey.
        mean: of all pixels.
        std: of all pixels, > 0.
        levels: number of grey levels of integer images; None for floats.
        dtype: of the user's pixels.
        channel_axis: False when records are `(n, h, w)`, then channels is 1; True for `(n, h, w, c)`.

    Raises:
        ValueError: for sizes < 1, std <= 0, levels that do not fit the dtype, several channels without an axis.

    Example:
        >>> codec = ImageCodec(1, 2, 1, mean=8.0, std=4.0, levels=17, dtype="uint8", channel_axis=False)
        >>> codec.shape, codec.encode(np.array([[[0, 16]]], np.uint8))[0, 0, 0]
        ((1, 2, 2), tensor([-2.,  2.]))
    """

    height: int
    width: int
    channels: int
    mean: float
    std: float
    levels: int | None = None
    dtype: DType = "float32"
    channel_axis: bool = True

    def __post_init__(self) -> None:
        sizes = (self.height, self.width, self.channels)
        if not all(isinstance(v, Integral) and not isinstance(v, bool) and v >= 1 for v in sizes):
            raise ValueError(f"ImageCodec needs whole numbers >= 1 as height, width and channels, got {shown(sizes)}.")
        moments = (self.mean, self.std)
        if not all(isinstance(v, Real) and abs(v) < math.inf for v in moments) or not self.std > 0:
            raise ValueError(f"ImageCodec needs a finite mean and std > 0, got {shown(moments)}.")
        if not isinstance(self.channel_axis, bool) or not (self.levels is None or isinstance(self.levels, Integral)):
            raise ValueError(
                f"ImageCodec needs channel_axis true or false and levels a whole number or none, got "
                f"{shown(self.channel_axis)} and {shown(self.levels)}."
            )
        most = {"uint8": 256, "uint16": 65536, "float32": None, "float64": None}
        if not isinstance(self.dtype, str) or self.dtype not in most:
            raise ValueError(f"ImageCodec(dtype=...) is one of {', '.join(most)}, got {shown(self.dtype)}.")
        limit = most[self.dtype]
        if (limit is None) != (self.levels is None) or (limit and self.levels and not 2 <= self.levels <= limit):
            raise ValueError(f"ImageCodec: {self.dtype} images have {limit or 'no'} levels at most, got {self.levels}.")
        if not self.channel_axis and self.channels != 1:
            raise ValueError(f"ImageCodec: {self.channels} channels need channel_axis=True.")

    @property
    def shape(self) -> tuple[int, ...]:
        """`(c, h, w)` with h and w made even."""
        return (self.channels, self.height + self.height % 2, self.width + self.width % 2)

    @property
    def record_shape(self) -> tuple[int, ...]:
        """`(h, w)` or `(h, w, c)`, as the user has it."""
        return (self.height, self.width, self.channels) if self.channel_axis else (self.height, self.width)

    def encode(self, records: Array, seed: int | None = None, *, first: int | Tensor = 0, row: int = 0) -> Tensor:
        """Records `(n, h, w)` or `(n, h, w, c)` as float32 `(n, c, h, w)`, standardised and of even size.

        Args:
            records: in the user's units.
            seed: given: integers get uniform noise in [-1/2, 1/2) first, so that they have a density; None: none.
            first: index of the first record, or `(n,)` indices: the noise of record i depends on (seed, i, row) only.
            row: which draw, for example the training step.
        """
        pixels = self._checked(records)
        # levels are exact in float32; floats may lie close together far from 0
        x = torch.from_numpy(pixels.astype(np.float32 if self.levels else np.float64))
        if seed is not None and self.levels:
            x = x + (uniform(len(x), self.record_shape, seed, "data/dequantise", first=first, row=row) - 0.5)
        x = ((x - self.mean) / self.std).float()
        x = x.movedim(3, 1) if self.channel_axis else x[:, None]
        if self.height % 2 or self.width % 2:
            x = pad(x, (0, self.width % 2, 0, self.height % 2), mode="replicate")
        return x.contiguous()

    def decode(self, x: Tensor) -> Array:
        """Tensors `(n, c, h, w)` as images of the user's shape and dtype; integers rounded, clipped to 0..levels-1.

        Raises:
            ValueError: for another shape, and for NaN, which no integer can show.
        """
        pixels = self.decode_floats(x)
        if self.levels:
            if np.isnan(pixels).any():
                raise ValueError("decode got NaN pixels, which integer images cannot hold; the sampling diverged.")
            pixels = np.clip(np.rint(pixels), 0, self.levels - 1)
        return np.ascontiguousarray(pixels, dtype=self.dtype)

    def decode_floats(self, x: Tensor) -> Array:
        """Tensors `(n, c, h, w)` as float64 images, neither rounded nor clipped: for noisy or averaged images."""
        return self.layout(x) * self.std + self.mean

    def layout(self, x: Tensor) -> Array:
        """Tensors `(n, c, h, w)` as float64 arrays shaped as records, on the encoded scale: for scores and noise."""
        if x.ndim != 4 or x.shape[1:] != self.shape:
            raise ValueError(
                f"tensors must have the shape (n, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}."
            )
        y = x.detach().cpu()[:, :, : self.height, : self.width].double()
        values: Array = (y.movedim(1, 3) if self.channel_axis else y[:, 0]).numpy()
        return values

    @property
    def slope(self) -> Array:
        """`d encoded / d record = 1 / std`, float64, 0-d: a score per encoded unit times it is one per grey level."""
        return np.array(1 / self.std)

    def log_det(self, records: Array) -> Tensor:
        """`-h w c log std`, float64 `(n,)`: log p(record) = log p(encoded) + log_det."""
        value = -math.prod(self.record_shape) * math.log(self.std)
        return torch.full((len(self._checked(records)),), value, dtype=torch.float64)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, for `codec_from_json`."""
        return {
            "kind": "image",
            "height": self.height,
            "width": self.width,
            "channels": self.channels,
            "mean": self.mean,
            "std": self.std,
            "levels": self.levels,
            "dtype": self.dtype,
            "channel_axis": self.channel_axis,
        }

    def _checked(self, records: Array) -> Array:
        pixels = np.asarray(records)
        if pixels.shape[1:] != self.record_shape or pixels.dtype.kind not in "uif":
            size = ", ".join(map(str, self.record_shape))
            raise ValueError(f"images must be numbers of shape (n, {size}), got {pixels.shape} of {pixels.dtype}.")
        return pixels
