"""Rows of numbers as standardised vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield._files import shown
from scorefield.data.dataset import Array
from scorefield.numerics.random import uniform


@dataclass(frozen=True)
class ArrayCodec:
    """Each column on its own scale: `encoded = (record - mean) / std`.

    The arithmetic is in float64, so that a small spread around a large value survives the step to float32. A column of
    whole numbers has a resolution (1): decoding rounds to its multiples, which brings integers back exactly while they
    lie within 4e6 resolutions of the mean (float32 has 24 bits).

    Args:
        columns: d names.
        mean: per column.
        std: per column, > 0.
        resolution: per column the distance between neighbouring values, 0 where the column is continuous.

    Raises:
        ValueError: for lengths that differ, means that are not finite, std <= 0, resolution < 0.

    Example:
        >>> codec = ArrayCodec(("a", "b"), mean=(1.0, 10.0), std=(2.0, 5.0), resolution=(0.0, 1.0))
        >>> codec.encode(np.array([[3.0, 20.0]]))
        tensor([[1., 2.]])
        >>> codec.decode(torch.tensor([[1.0, 2.1]]))
        array([[ 3., 20.]])
    """

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resolution: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(str(name) for name in self.columns))
        for name in ("mean", "std", "resolution"):
            given = getattr(self, name)
            if not all(isinstance(v, Real) and not isinstance(v, bool) for v in given):
                raise ValueError(f"ArrayCodec({name}=...) must be numbers, got {shown(given)}.")
            values = tuple(float(v) for v in given)
            object.__setattr__(self, name, values)
            if len(values) != len(self.columns):
                raise ValueError(f"ArrayCodec needs one {name} per column, got {len(values)} for {len(self.columns)}.")
            if not all(math.isfinite(v) for v in values):
                raise ValueError(f"ArrayCodec({name}=...) must be finite, got {shown(values)}.")
        if not self.columns or min(self.std) <= 0 or min(self.resolution) < 0:
            raise ValueError(f"ArrayCodec needs columns, each with std > 0 and resolution >= 0, got {shown(self)}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """`(d,)`."""
        return (len(self.columns),)

    def encode(self, records: Array, seed: int | None = None, *, first: int | Tensor = 0, row: int = 0) -> Tensor:
        """Records `(n, d)` as float32 `(n, d)`, standardised.

        Args:
            records: in the user's units.
            seed: given: uniform noise in [-resolution/2, resolution/2) is added first, so that integers have a density
                (Uria, Murray, Larochelle 2013); None: none.
            first: index of the first record, or `(n,)` indices: the noise of record i depends on (seed, i, row) only.
            row: which draw, for example the training step.
        """
        values = self._checked(records)
        if seed is not None and any(self.resolution):
            u = uniform(len(values), self.shape, seed, "data/dequantise", first=first, row=row, dtype=torch.float64)
            values = values + (u.numpy() - 0.5) * np.array(self.resolution)
        return torch.from_numpy(((values - np.array(self.mean)) / np.array(self.std)).astype(np.float32))

    def decode(self, x: Tensor) -> Array:
        """Tensors `(n, d)` as float64 records `(n, d)`; columns with a resolution are rounded to its multiples."""
        values = self.decode_floats(x)
        for j, resolution in enumerate(self.resolution):
            if resolution:
                values[:, j] = np.rint(values[:, j] / resolution) * resolution + 0.0  # no minus zero
        return values

    def decode_floats(self, x: Tensor) -> Array:
        """Tensors `(n, d)` as float64 records `(n, d)`, none of them rounded: for noisy or averaged records."""
        return self.layout(x) * np.array(self.std) + np.array(self.mean)

    def layout(self, x: Tensor) -> Array:
        """Tensors `(n, d)` as float64 arrays, on the codec's own scale: for scores and noise."""
        if x.shape[1:] != self.shape or x.ndim != 2:
            raise ValueError(f"tensors must have the shape (n, {self.shape[0]}), got {tuple(x.shape)}.")
        values: Array = x.detach().cpu().double().numpy()
        return values

    @property
    def slope(self) -> Array:
        """`d encoded / d record = 1 / std`, float64 `(d,)`: what turns a score per encoded unit into one per user's."""
        return 1 / np.array(self.std)

    def log_det(self, records: Array) -> Tensor:
        """`log |d encoded / d record| = -sum(log std)`, float64 `(n,)`: log p(record) = log p(encoded) + log_det."""
        value = -math.fsum(math.log(s) for s in self.std)
        return torch.full((len(self._checked(records)),), value, dtype=torch.float64)

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for `codec_from_json`."""
        return {
            "kind": "table",
            "columns": list(self.columns),
            "mean": list(self.mean),
            "std": list(self.std),
            "resolution": list(self.resolution),
        }

    def _checked(self, records: Array) -> Array:
        values = np.asarray(records, dtype=np.float64)
        if values.ndim != 2 or values.shape[1:] != self.shape:
            raise ValueError(
                f"records must have the shape (n, {self.shape[0]}), the columns {_names(self.columns)}; "
                f"got {values.shape}."
            )
        return values


def _names(columns: Sequence[str]) -> str:
    return ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "")
