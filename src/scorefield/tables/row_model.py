"""What a model of rows is: numbers and codes, any of which may be given; the layout of their entries."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from scorefield.core import Estimate, Level


class BoundRows(Protocol):
    """A model of rows whose condition is known: `bound(x, level, index of the rows or None)`."""

    given: Tensor
    sigma_min: float
    sigma_max: float

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """`E[x0 | x, given]` of the numbers."""
        ...


class RowModel(Protocol):
    """A model of rows of numbers and codes, any of which may be given: a `MaskedDenoiser`, or an exact one."""

    sigma_min: float
    sigma_max: float

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """`E[x0 | x, given]` of the numbers, as `PartialMixture`."""
        ...

    @property
    def rows_at_once(self) -> int:
        """How many rows are best evaluated at once."""
        ...

    def bound(self, given: Tensor, derivatives: bool = True) -> BoundRows:
        """The model of rows with this condition, `(n, numbers + codes)`; if it is not differentiated, a quicker one."""
        ...

    def log_codes(self, given: Tensor) -> tuple[Tensor, ...]:
        """`log P(code = k | given)` of every code, `(n, K)` each."""
        ...


class Layout(NamedTuple):
    """What the entries of a row are.

    Args:
        numbers: how many come first.
        codes: how many follow.
        gates: for each number the index of the code that must be 0 for it to exist, or -1.
        walls: of each number, between which its draws lie; infinite, or none at all, for no walls.
    """

    numbers: int
    codes: int
    gates: tuple[int, ...]
    walls: tuple[tuple[float, float], ...] = ()


def centre(bound: BoundRows, numbers: int) -> Tensor:
    """`E[x0 | given]` of the numbers, `(n, numbers)`: what the model answers where noise has drowned them."""
    nothing = bound.given.new_zeros(len(bound.given), numbers)
    return bound(nothing, Level(1.0, bound.sigma_max)).x0


def by_pattern(rows: Tensor) -> Tensor:
    """An order of rows in which those that have and query the same entries stand together, `(n,)`."""
    bits = torch.cat([torch.isnan(rows), torch.isfinite(rows)], 1)
    return torch.unique(bits, dim=0, return_inverse=True)[1].argsort(stable=True)
