"""Values of some columns that recur together in a table, and how often a new row repeats them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.numerics.random import normal, uniform
from scorefield.tables.codec import RowCodec
from scorefield.tables.recurring import NOTHING, present, recurring_columns

TENSORS = ("repeats/entries", "repeats/rows", "repeats/weights", "repeats/new")
NEAR = ("repeats/scale", "repeats/root")
_MOST = 50_000  # rows that combinations are counted in


@dataclass(frozen=True, eq=False)
class Repeats:
    """Combinations of values that occurred in training, and the law by which a new row has one of them.

    Rows of a table are often no draws from a density in some of their columns: mixtures that are tested at several
    ages, shops that sell every day, products with a price. Of n rows of training, c_k with combination k and s with one
    that no other row has,

        P(a new combination) = s / n,        P(combination k) = (1 - s / n) c_k / n:

    the share that no row had before is that of leaving one out (Good 1953, after Turing). New ones are the model's own;
    the other columns follow the model's law given these. At least one column is always drawn, but where rows are nearly
    alike (`near_rows`): there a combination is a whole row, and its numbers lie around those of a thing.

    Args:
        entries: which entries of an encoded row belong to the columns, `(k,)` int64.
        rows: the combinations `(m, k)` as float64; NaN where a number does not exist.
        weights: how often each occurred, `(m,)`.
        new: the probability that a row has a combination that none had before, from 0 to below 1.
        scale: where rows are nearly alike, of the noise around each, `(m,)`; None: combinations are repeated exactly.
        root: likewise, of the noise's covariance: lower triangular, of the first entries, `(d, d)`.
    """

    entries: Tensor
    rows: Tensor
    weights: Tensor
    new: float
    scale: Tensor | None = None
    root: Tensor | None = None

    def __post_init__(self) -> None:
        m, k = len(self.weights), len(self.entries)
        if self.rows.shape != (m, k) or not m or not bool((self.weights > 0).all()) or not 0.0 <= self.new < 1.0:
            raise ValueError(
                f"repeats need rows (m, k), m weights above 0 and a probability of new ones in [0, 1), got rows "
                f"{tuple(self.rows.shape)}, {m} weights and {self.new:g}."
            )
        if (self.scale is None) != (self.root is None) or (self.scale is not None and self.scale.shape != (m,)):
            raise ValueError(f"near repeats need a scale for each of {m} rows, and a root; got others.")

    @property
    def probabilities(self) -> Tensor:
        """Of the combinations, float64 `(m,)`; what is missing to 1 is `new`."""
        return (1 - self.new) * self.weights.double() / self.weights.double().sum()

    def begun(self, rows: Tensor, seed: int | Tensor, first: int | Tensor) -> Tensor:
        """Rows to draw, those that repeat a combination with its values set; row i by (seed, first + i).

        Args:
            rows: `(n, entries)`, NaN where a value is to be drawn.
            seed: of the draw, or `(n,)` int64.
            first: index of the first row, or `(n,)` int64.
        """
        u = uniform(len(rows), (), seed, "repeats", first=first, dtype=torch.float64)
        which = torch.searchsorted(self.probabilities.cumsum(0), u, right=True)
        again = which < len(self.weights)
        out = rows.clone()
        mine = out[again]
        mine[:, self.entries] = self.rows[which[again]].to(out)
        out[again] = mine
        if self.scale is not None and self.root is not None:
            numbers = len(self.root)
            noise = normal(len(rows), (numbers,), seed, "near repeats", first=first, dtype=torch.float64)[again]
            out[again, :numbers] += (self.scale[which[again], None] * noise @ self.root.T).to(out)
        return out

    @property
    def exact(self) -> bool:
        """Whether combinations are repeated as they were."""
        return self.scale is None

    def columns(self, codec: RowCodec) -> tuple[str, ...]:
        """The names of the columns."""
        own = set(self.entries.tolist())
        modelled = [place.column.name for place in codec.schema.places()]
        return tuple(str(name) for name in modelled if (found := codec.entries_of(name)) and set(found) <= own)

    def says(self, codec: RowCodec) -> str:
        """What is repeated and how often, in words."""
        if not self.exact:
            return f"{100 * (1 - self.new):.0f} % of new rows are near to a row of training, as held-out rows are"
        names = self.columns(codec)
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return f"{100 * (1 - self.new):.0f} % of new rows have {shown} as some row of training has"

    def tensors(self) -> dict[str, Tensor]:
        """For the file of weights; see `repeats_from`."""
        new = torch.tensor(self.new, dtype=torch.float64)
        found = dict(zip(TENSORS, (self.entries, self.rows, self.weights, new), strict=True))
        if self.scale is not None and self.root is not None:
            found |= dict(zip(NEAR, (self.scale, self.root), strict=True))
        return found


def repeats_from(tensors: Mapping[str, Tensor], width: int) -> Repeats | None:
    """The repeats among stored tensors, None where there are none; a ValueError for entries beyond a row's width."""
    if TENSORS[0] not in tensors:
        return None
    entries, rows, weights, new = (tensors[name] for name in TENSORS)
    if entries.ndim != 1 or new.numel() != 1 or not bool(((entries >= 0) & (entries < width)).all()):
        raise ValueError(f"repeats name entries of a row of {width} and one probability, got others.")
    scale, root = (tensors.get(name) for name in NEAR)
    if root is not None and (root.ndim != 2 or root.shape[0] != root.shape[1] or root.shape[0] > len(entries)):
        raise ValueError(f"near repeats need a square root of at most {len(entries)} entries, got {tuple(root.shape)}.")
    return Repeats(entries.long(), rows.double(), weights.double(), float(new), scale, root)


def fit_repeats(codec: RowCodec, rows: Tensor, seed: int = 0) -> Repeats | None:
    """The combinations of the columns that recur together, and their law; None where none do.

    A row that is there twice is taken once: that an observation was recorded again is no reason to give it out.

    Args:
        codec: of the rows.
        rows: of training, encoded, at the centres of their cells.
        seed: of the choice of rows and of the jitter that recurrence is judged by.
    """
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    rows = torch.unique(rows[order[:_MOST]].nan_to_num(nan=NOTHING), dim=0)  # what is there twice is no design
    rows = rows.masked_fill(rows == NOTHING, math.nan)
    names = recurring_columns(codec, rows, seed)
    if not names:
        return None
    entries = torch.tensor(sorted(entry for name in names for entry in codec.entries_of(name)))
    here = torch.stack([present(codec, rows, name) for name in names]).all(0)
    values = rows[here][:, entries].double().nan_to_num(nan=NOTHING)
    combinations, weights = torch.unique(values, dim=0, return_counts=True)
    combinations = combinations.masked_fill(combinations == NOTHING, math.nan)
    new = float((weights == 1).sum()) / len(values)
    return Repeats(entries, combinations, weights.double(), new)
