"""How often codes occur, and the numbers that some of them stand for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scorefield.tables.codec import RowCodec

_DOUBLINGS = 24  # of one row in all, tried as rows of the uniform law beside the counts


def counts_of(codec: RowCodec, rows: Tensor) -> list[Tensor]:
    """How often each code occurs in encoded rows `(n, entries)`, for every column of codes `(K,)` int64."""
    found = []
    for j, size in enumerate(codec.sizes):
        codes = rows[:, codec.continuous + j]
        found.append(torch.bincount(codes[codes.isfinite()].long(), minlength=size))
    return found


def log_frequencies(counts: Sequence[Tensor]) -> Tensor:
    """Logarithms of each code's frequencies, rows of the uniform law added (`added_rows`), side by side."""
    parts = [torch.zeros(0)]
    for count in counts:
        smoothed = count.double() + added_rows(count)
        parts.append((smoothed / smoothed.sum()).log().float())
    return torch.cat(parts)


def log_probability(log_frequencies: Tensor, codec: RowCodec, rows: Tensor) -> Tensor:
    """Of the codes of encoded rows `(n, entries)` as if each column were by itself, `(n,)`; a hole counts nothing."""
    total = torch.zeros(len(rows), dtype=torch.float64)
    for j, table in enumerate(log_frequencies.double().split(codec.sizes)):
        code = rows[:, codec.continuous + j]
        total += torch.where(code.isfinite(), torch.log_softmax(table, 0)[code.nan_to_num().long()], 0.0)
    return total


def added_rows(count: Tensor) -> float:
    """How many rows of each code to add to counts `(K,)`, at least one in all: the most likely Dirichlet prior.

    `log p(counts | a) = log G(K a) - log G(n + K a) + sum over k of log G(c_k + a) - log G(a)` is greatest there, among
    `a = 2^i / K` (Good 1965; Minka 2000). Counts that are as even as those of equal frequencies, or more so, as in a
    design, are taken as these: what they differ by is chance.

    Example:
        >>> added_rows(torch.tensor([90, 10])), added_rows(torch.tensor([11, 9])) > 1000
        (0.5, True)
    """
    counted, size = count.double(), len(count)
    a = 2.0 ** torch.arange(_DOUBLINGS, dtype=torch.float64) / size
    each = (torch.lgamma(counted + a[:, None]) - torch.lgamma(a[:, None])).sum(1)
    evidence = torch.lgamma(size * a) - torch.lgamma(counted.sum() + size * a) + each
    return float(a[int(evidence.argmax())])


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
