"""Records that are encoded as they are needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield.data.dataset import Array
from scorefield.records.codec import Codec
from scorefield.records.greys import Counts, grey_counts, moments
from scorefield.records.image_codec import ImageCodec
from scorefield.training.rows import deviation


@dataclass(frozen=True, eq=False)
class Encoded:
    """Records `(n, *shape)` as a network sees them, made row by row: memory holds the user's own, a byte a grey level.

    `Encoded(codec, records, rows, seed)[index]` equals `codec.encode(records[rows], seed)[index]`, bit for bit.

    Args:
        codec: of the records.
        records: `(m, ...)`, in the user's units.
        rows: `(n,)`, which of them; None: all.
        seed: of the noise that spreads whole numbers; None: none.
    """

    codec: Codec
    records: Array
    rows: Array | None = None
    seed: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """`(n, *shape)` of the encoded records."""
        return (len(self), *self.codec.shape)

    @property
    def dtype(self) -> torch.dtype:
        """float32, as every codec encodes."""
        return torch.float32

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def __len__(self) -> int:
        return len(self.records if self.rows is None else self.rows)

    def __getitem__(self, index: Any) -> Tensor:
        """The encoded rows of an int64 tensor `(m,)` or a slice, `(m, *shape)`."""
        place = torch.arange(len(self))[index]
        rows = place.numpy() if self.rows is None else self.rows[place.numpy()]
        return self.codec.encode(np.asarray(self.records[rows]), seed=self.seed, first=place)

    def counts(self) -> Counts | None:
        """How often each grey level occurs; None where images have none, or noise is added to them."""
        if not isinstance(self.codec, ImageCodec) or self.codec.levels is None or self.seed is not None:
            return None
        return grey_counts(self.records, self._rows())

    def deviation(self) -> float:
        """The standard deviation of all encoded numbers; of grey levels by how often each occurs."""
        counts, rows = self.counts(), self._rows()
        if counts is None or not isinstance(self.codec, ImageCodec):
            return deviation(self)
        bottom, right = self.codec.height % 2, self.codec.width % 2  # which encoding repeats
        counts += sum(
            grey_counts(edge, rows)
            for edge, wanted in (
                (self.records[:, -1:], bottom),
                (self.records[:, :, -1:], right),
                (self.records[:, -1:, -1:], bottom and right),
            )
            if wanted
        )
        levels = (np.arange(len(counts), dtype=np.float32) - np.float32(self.codec.mean)) / np.float32(self.codec.std)
        total = int(counts.sum())
        return math.sqrt(moments(counts, levels.astype(np.float64))[1] * total / (total - 1))

    def _rows(self) -> Array:
        return np.arange(len(self)) if self.rows is None else self.rows
