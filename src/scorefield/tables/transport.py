"""One number of a row given the rest: the increasing map from standard normal deviates to its values, both ways."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.conditioning.editing import Route
from scorefield.core import Level
from scorefield.plans import Plan, run
from scorefield.progress import Report, counted, silent
from scorefield.tables.row_model import RowModel, by_pattern, centre

_ROWS = 1024  # rows that the network sees at a time
_BACK = 24  # evaluations from a value to its deviate: errors of a hundredth of a deviate, as those of 18 forth


def conditional_mean(model: RowModel, given: Tensor, numbers: int, coordinate: int | Tensor) -> Tensor:
    """`E[x0 | given]` of one number of each row, `(n,)`: evaluated twice, the second time at the first answer's x."""
    parts = []
    for part in given.split(_ROWS):
        bound = model.bound(part, derivatives=False)
        first = centre(bound, numbers)
        parts.append(bound(first, Level(1.0, bound.sigma_max)).x0)
    whole = torch.cat(parts) if parts else given.new_zeros(0, numbers)
    return whole[torch.arange(len(whole)), coordinate]


@torch.no_grad()
def values_at(
    model: RowModel, plan: Plan, given: Tensor, numbers: int, coordinate: int, z: Tensor, report: Report = silent
) -> Tensor:
    """Where the probability flow takes standard normal deviates of one number, encoded `(n, m)`.

    In one dimension the flow is monotone: the q-quantile of the start goes to the q-quantile of the law.

    Args:
        model: of rows.
        plan: deterministic, for the steps.
        given: `(n, entries)`: NaN at the coordinate alone.
        numbers: how many entries are numbers.
        coordinate: the number.
        z: deviates, `(n, m)`.
        report: hears how far the work is.
    """
    alpha, sigma = (float(v) for v in plan.levels[0])
    m = z.shape[1]
    mean = conditional_mean(model, given, numbers, coordinate)
    pairs = (by_pattern(given)[:, None] * m + torch.arange(m)).flatten()
    pieces, out = pairs.split(_ROWS), given.new_zeros(len(pairs))
    for part in counted(pieces, len(pieces), report, "quantiles"):
        start, rows = given.new_zeros(len(part), numbers), part // m
        deviate = (alpha**2 + sigma**2) ** 0.5 * z.reshape(-1)[part]
        start[:, coordinate] = alpha * mean[rows] + deviate
        out[part] = run(plan, model.bound(given[rows], derivatives=False), start)[:, coordinate]
    return out.reshape(len(given), m)


def backward(model: RowModel, scale: float = 1.0, steps: int = _BACK) -> Plan:
    """The plan from values to deviates, for numbers of a standard deviation."""
    return Route(steps, model.sigma_min, model.sigma_max, scale).up(model)


@torch.no_grad()
def deviates_of(
    model: RowModel, plan: Plan, given: Tensor, numbers: int, coordinate: int | Tensor, x: Tensor
) -> Tensor:
    """The standard normal deviates that `values_at` takes to encoded values x `(n,)`: the flow gone back, `(n,)`.

    Args:
        model: of rows.
        plan: `backward`.
        given: `(n, entries)`: NaN at the coordinate alone.
        numbers: how many entries are numbers.
        coordinate: the number, or one for each row `(n,)`.
        x: its values.
    """
    column = coordinate if isinstance(coordinate, Tensor) else torch.full((len(given),), coordinate)
    mean = conditional_mean(model, given, numbers, column)
    out = given.new_zeros(len(given))
    for index in by_pattern(given).split(_ROWS):
        row, own = torch.arange(len(index)), column[index]
        start = given.new_zeros(len(index), numbers)
        start[row, own] = x[index]
        out[index] = run(plan, model.bound(given[index], derivatives=False), start)[row, own] - mean[index]
    return out / (1.0 + model.sigma_max**2) ** 0.5
