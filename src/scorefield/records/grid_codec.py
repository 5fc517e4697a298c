"""Series and volumes as standardised tensors, channels first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from scorefield._files import shown
from scorefield.data.dataset import Array

Float: TypeAlias = Literal["float32", "float64"]


@dataclass(frozen=True)
class GridCodec:
    """Each channel on its own scale: `encoded = (record - mean) / std`, with the layout `(n, c, *sizes)`.

    Args:
        sizes: of the user's records: `(length,)` or `(depth, height, width)`.
        mean: of each channel.
        std: of each channel, > 0.
        dtype: of the user's values.
        channel_axis: False when records are `(n, *sizes)`, of one channel; True for `(n, *sizes, c)`.

    Raises:
        ValueError: for no sizes or some < 1, std <= 0, several channels without an axis.

    Example:
        >>> codec = GridCodec((3,), mean=(1.0,), std=(2.0,), channel_axis=False)
        >>> codec.encode(np.array([[1.0, 3.0, 5.0]]))
        tensor([[[0., 1., 2.]]])
    """

    sizes: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: Float = "float64"
    channel_axis: bool = True

    def __post_init__(self) -> None:
        for name in ("sizes", "mean", "std"):
            value = getattr(self, name)
            if not isinstance(value, tuple | list):
                raise ValueError(f"GridCodec({name}=...) is a list of numbers, got {shown(value)}.")
            object.__setattr__(self, name, tuple(value))
        whole = all(isinstance(v, Integral) and not isinstance(v, bool) and v >= 1 for v in self.sizes)
        if not whole or len(self.sizes) not in (1, 3):
            raise ValueError(f"GridCodec needs one size or three, whole numbers >= 1, got {shown(self.sizes)}.")
        if not all(isinstance(v, Real) and not isinstance(v, bool) and abs(v) < math.inf for v in self.mean + self.std):
            raise ValueError(f"GridCodec needs finite means and stds, got {shown((self.mean, self.std))}.")
        if not self.mean or len(self.mean) != len(self.std) or not min(self.std) > 0:
            raise ValueError(f"GridCodec needs a mean and a std > 0 a channel, got {shown((self.mean, self.std))}.")
        if self.dtype not in ("float32", "float64") or not isinstance(self.channel_axis, bool):
            raise ValueError(
                f"GridCodec needs the dtype float32 or float64 and channel_axis true or false, got "
                f"{shown(self.dtype)} and {shown(self.channel_axis)}."
            )
        if not self.channel_axis and len(self.mean) != 1:
            raise ValueError(f"GridCodec: {len(self.mean)} channels need channel_axis=True.")

    @property
    def shape(self) -> tuple[int, ...]:
        """`(c, *sizes)`."""
        return (len(self.mean), *self.sizes)

    @property
    def record_shape(self) -> tuple[int, ...]:
        """`sizes` or `(*sizes, c)`, as the user has it."""
        return (*self.sizes, len(self.mean)) if self.channel_axis else self.sizes

    def encode(self, records: Array, seed: int | None = None, *, first: int | Tensor = 0, row: int = 0) -> Tensor:
        """Records `(n, *record_shape)` as float32 `(n, c, *sizes)`; continuous values need none of the others.

        NaN stays NaN: a value that is not known.
        """
        values = self._checked(records).astype(np.float64)
        return self._first(torch.from_numpy((values - self._along(self.mean)) / self._along(self.std))).float()

    def decode(self, x: Tensor) -> Array:
        """Tensors `(n, c, *sizes)` as records of the user's shape and dtype."""
        return np.ascontiguousarray(self.decode_floats(x), dtype=self.dtype)

    def decode_floats(self, x: Tensor) -> Array:
        """As decode, in float64."""
        values: Array = self.layout(x) * self._along(self.std) + self._along(self.mean)
        return values

    def layout(self, x: Tensor) -> Array:
        """Tensors `(n, c, *sizes)` as float64 arrays shaped as records, on the encoded scale: for scores and noise."""
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"tensors must have the shape (n, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}."
            )
        y = x.detach().cpu().double()
        values: Array = (y.movedim(1, -1) if self.channel_axis else y[:, 0]).numpy()
        return values

    @property
    def slope(self) -> Array:
        """`d encoded / d record = 1 / std`, float64, broadcasting against records."""
        return 1 / self._along(self.std)

    def log_det(self, records: Array) -> Tensor:
        """`log |d encoded / d record|`, float64 `(n,)`: log p(record) = log p(encoded) + log_det."""
        value = -math.prod(self.sizes) * math.fsum(math.log(s) for s in self.std)
        return torch.full((len(self._checked(records)),), value, dtype=torch.float64)

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for `codec_from_json`."""
        return {
            "kind": "grid",
            "sizes": list(self.sizes),
            "mean": list(self.mean),
            "std": list(self.std),
            "dtype": self.dtype,
            "channel_axis": self.channel_axis,
        }

    def _along(self, values: tuple[float, ...]) -> Array:
        """One value a channel, broadcasting against records."""
        return np.array(values) if self.channel_axis else np.array(values[0])

    def _first(self, x: Tensor) -> Tensor:
        return x.movedim(-1, 1).contiguous() if self.channel_axis else x[:, None]

    def _checked(self, records: Array) -> Array:
        values = np.asarray(records)
        if values.shape[1:] != self.record_shape or values.dtype.kind not in "uif":
            size = ", ".join(map(str, self.record_shape))
            raise ValueError(f"records must be numbers of shape (n, {size}), got {values.shape} of {values.dtype}.")
        return values
