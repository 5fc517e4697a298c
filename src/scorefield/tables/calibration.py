"""The recalibration of a model's intervals, from rows that it was not trained on."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorefield.numerics.random import uniform
from scorefield.tables.objective import gated
from scorefield.tables.recalibration import KNOTS, Recalibration, share_given
from scorefield.tables.row_model import Layout, RowModel
from scorefield.tables.transport import backward, deviates_of

_MOST = 3072  # deviates of each kind of question, of all numbers together
_TOGETHER = 16  # rows that hide the same of what they have
_COMMON, _EACH = (0.15, 0.1), (0.1, 0.05)  # standard deviations of the prior of a and b: of all numbers, of each
_FARTHEST = 8.0  # deviates beyond this count as this


class Deviates(NamedTuple):
    """What held-out values are as deviates of the model's law of them given the rest of their row.

    Args:
        z: `(m,)`; standard normal where the model is right.
        share: of the rest of the row that was given, `(m,)`.
        number: which number, `(m,)`.
    """

    z: Tensor
    share: Tensor
    number: Tensor


def fit_recalibration(
    model: RowModel, layout: Layout, held: Tensor, *, scale: float = 1.0, seed: int = 0
) -> Recalibration | None:
    """The recalibration by held-out rows; None where there are no numbers or no such rows.

    A parametric kin of split conformal prediction: its maps are those of greatest likelihood on the deviates of
    held-out values, each number predicted from all that its row has, and from a part of it. A Gaussian prior holds each
    number's maps towards those of all numbers, and these towards the identity, so that few rows change little: the
    coverage that 50 rows tell has a standard error of 4 %, the map fitted to them about half of it.

    Args:
        model: of rows.
        layout: of the rows.
        held: `(n, entries)`, rows held out, values spread within their cells.
        scale: the standard deviation of encoded numbers.
        seed: of what is hidden.
    """
    if not layout.numbers or not len(held):
        return None
    found = held_deviates(model, layout, held, scale, seed)
    return fit_maps(found, layout.numbers) if len(found.z) else None


def held_deviates(model: RowModel, layout: Layout, held: Tensor, scale: float, seed: int) -> Deviates:
    """Deviates of each number, given all that its rows have besides, and given a part of it."""
    count = max(_TOGETHER, _MOST // layout.numbers)
    givens, values, numbers = [held.new_zeros(0, held.shape[1])], [held.new_zeros(0)], []
    for j in range(layout.numbers):
        rows = held[held[:, j].isfinite()]
        for most, hidden in ((count, None), (count // 2, seed)):
            some = rows[:most].double()
            givens.append(_question(layout, some, j, hidden))
            values.append(some[:, j])
            numbers.append(torch.full((len(some),), j))
    given, number = torch.cat(givens), torch.cat(numbers)
    z = deviates_of(model, backward(model, scale), given, layout.numbers, number, torch.cat(values))
    return Deviates(z, share_given(given), number)


def _question(layout: Layout, rows: Tensor, number: int, seed: int | None) -> Tensor:
    """Rows of which a number is queried; with a seed a part of the rest is hidden, the same for some rows together."""
    given = torch.where(rows.isfinite(), rows, torch.inf)
    if seed is not None:
        width = rows.shape[1]
        group = torch.arange(len(rows)) // _TOGETHER
        u = uniform(len(rows), (width + 1,), seed, f"recalibration {number}", first=group, dtype=torch.float64)
        given[u[:, :width] < u[:, width:]] = torch.inf
    given[:, number] = torch.nan
    if layout.gates[number] >= 0:  # the number exists, whatever else is hidden
        given[:, layout.numbers + layout.gates[number]] = 0.0
    return gated(given, layout.numbers, layout.gates)


def fit_maps(found: Deviates, numbers: int) -> Recalibration:
    """The maps of greatest likelihood with their prior, by L-BFGS."""
    from scipy.optimize import minimize

    z = found.z.clamp(-_FARTHEST, _FARTHEST)
    common, each = (torch.tensor(v, dtype=torch.float64) for v in (_COMMON, _EACH))

    @torch.enable_grad()
    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = torch.tensor(flat, requires_grad=True)
        shared, own = _unpacked(x, numbers)
        gain = Recalibration.log_gain(z, Recalibration(shared + own).at(found.share, found.number)).sum()
        value = ((shared / common).square().sum() + (own / each).square().sum()) / 2 - gain
        return value.item(), torch.autograd.grad(value, x)[0].numpy()

    start = np.zeros(2 * KNOTS * (1 + numbers))
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    shared, own = _unpacked(torch.from_numpy(best), numbers)
    return Recalibration(shared + own)


def _unpacked(flat: Tensor, numbers: int) -> tuple[Tensor, Tensor]:
    """The maps of all numbers `(KNOTS, 1, 2)`, and by how much each number's differ `(KNOTS, numbers, 2)`."""
    split = 2 * KNOTS
    return flat[:split].reshape(KNOTS, 1, 2), flat[split:].reshape(KNOTS, numbers, 2)


def coverage_error(rows: int, coverage: float = 0.9) -> float:
    """The standard error of a coverage that is counted on so many rows.

    Example:
        >>> round(coverage_error(100), 3)
        0.03
    """
    return math.sqrt(coverage * (1 - coverage) / max(1, rows))
