"""How often codes occur, and the numbers that some of them stand for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scorefield.tables.codec import RowCodec


def counts_of(codec: RowCodec, rows: Tensor) -> list[Tensor]:
    """How often each code occurs in encoded rows `(n, entries)`, for every column of codes `(K,)` int64."""
    found = []
    for j, size in enumerate(codec.sizes):
        codes = rows[:, codec.continuous + j]
        found.append(torch.bincount(codes[codes.isfinite()].long(), minlength=size))
    return found


def log_frequencies(counts: Sequence[Tensor]) -> Tensor:
    """Logarithms of each code's frequencies, one row's worth of the uniform law added, side by side."""
    parts = [torch.zeros(0)]
    for count in counts:
        smoothed = count.double() + 1 / len(count)
        parts.append((smoothed / smoothed.sum()).log().float())
    return torch.cat(parts)


def numbers_of_codes(codec: RowCodec) -> list[list[float]]:
    """Of each code of numbers or times these numbers, with mean 0 and deviation 1; empty for other codes.

    The code 0 of a column with atoms, an ordinary value, has the number 0.
    """
    found: list[list[float]] = []
    for place in codec.schema.places():
        if place.code is None:
            continue
        column = place.column
        ordered = column.kind == "ordinal" and column.holds in ("numbers", "times")
        numbers = column.values if ordered else column.atoms if column.floating else ()
        values = torch.tensor([float(v) for v in numbers], dtype=torch.float64)
        if len(values) < 3:
            found.append([])
            continue
        values = (values - values.mean()) / values.std(correction=0)
        found.append(([] if ordered else [0.0]) + values.tolist())
    return found if any(found) else []
