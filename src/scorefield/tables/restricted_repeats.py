"""Under conditions, how often a new row has each combination of values that recur together, or a new one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from scorefield.tables.cells import cell_ends
from scorefield.tables.codec import RowCodec
from scorefield.tables.density import row_log_density
from scorefield.tables.repeats import Repeats
from scorefield.tables.restricted import CodeStep, Restriction, Start, Step

_SAME = 1e-9  # standard deviations within which a combination has a value that is given
_TOLERANCE = 1e-2  # nats, of the density of values that are given


@dataclass(frozen=True)
class _Points:
    """What is given as values: of the combinations' columns, and of others; bool `(entries,)` each."""

    own: Tensor
    others: Tensor


def with_repeats(asked: Restriction, repeats: Repeats, codec: RowCodec) -> Restriction:
    """The conditions, on rows of which some repeat a combination, by Bayes' rule.

    The law of rows is a sum over the combinations and a new one. Given values and conditions A, each has the weight of
    its own probability times that of A given it, 0 for a combination that A excludes: the density of the values here,
    the probability of the conditions in `Restriction`, which keeps so many trials. Where a value is given for one of
    the columns themselves, a new combination has it with the probability of its cell, without a lattice with none.
    """
    rows = asked.start.rows[:1].repeat(len(repeats.weights), 1)
    at, values = repeats.entries, repeats.rows.to(rows)
    points = _points(asked, at)
    kept = _allowed(asked, at, values, points)
    if not bool(kept.any()):
        return asked
    rows, values, weights = rows[kept], values[kept], repeats.probabilities[kept].log()
    rows[:, at] = torch.where(values.isnan(), torch.inf, values)
    new = math.log(repeats.new) if repeats.new else -math.inf
    if bool(points.others.any()):
        weights = weights + _log_density(asked, rows, points.others)
    if new > -math.inf and bool((points.own | points.others).any()):
        new += float(_log_density(asked, asked.start.rows[:1], points.own | points.others)) + _log_cells(
            asked, codec, at
        )
    both = torch.cat([asked.start.rows[:1], rows])
    weights = torch.cat([weights.new_tensor([new]), weights])
    start = Start(both, (weights - weights.max()).exp(), tuple(at.tolist()))
    return replace(asked, start=start).weighed()


def _points(asked: Restriction, at: Tensor) -> _Points:
    given = asked.start.rows[0].isfinite()
    own = torch.zeros_like(given)
    own[at] = given[at]
    return _Points(own, given & ~own)


def _allowed(asked: Restriction, at: Tensor, values: Tensor, points: _Points) -> Tensor:
    """Which combinations have the values that are given, and fulfil the conditions on their own columns, `(m,)`."""
    place = {entry: k for k, entry in enumerate(at.tolist())}
    good = torch.ones(len(values), dtype=torch.bool)
    for entry in points.own.nonzero()[:, 0].tolist():
        good &= (values[:, place[entry]] - asked.start.rows[0, entry]).abs() <= _SAME
    for step in asked.steps:
        if step.entry in place:
            good &= _fulfils(step, values[:, place[step.entry]])
    return good


def _fulfils(step: Step, values: Tensor) -> Tensor:
    """Whether codes or numbers are allowed; a number that is none, because of its code, is."""
    if isinstance(step, CodeStep):
        return values.isfinite() & step.allowed[values.nan_to_num().long()]
    within = (values[:, None] >= step.ends[:, 0]) & (values[:, None] <= step.ends[:, 1])
    return within.any(1) | values.isnan()


def _log_density(asked: Restriction, rows: Tensor, queried: Tensor) -> Tensor:
    """`log p(queried | the rest)` of rows with infinity where nothing is known, `(n,)`."""
    rows = torch.where(rows.isinf(), torch.nan, rows)
    found = row_log_density(asked.model, asked.layout, rows, queried.expand(len(rows), -1), tolerance=_TOLERANCE)
    return found.value


def _log_cells(asked: Restriction, codec: RowCodec, at: Tensor) -> float:
    """The logarithm of the sizes of the cells of the combinations' numbers that are given; minus infinity without."""
    total, own = 0.0, set(at.tolist())
    for place in codec.schema.places():
        j = place.coordinate
        if j is None or j not in own or not bool(asked.start.rows[0, j].isfinite()):
            continue
        column = place.column
        if column.lattice is None or not column.resolution:
            return -math.inf
        z = float(asked.start.rows[0, j])
        x = column.transform.inverse(np.array([z * codec.std[j] + codec.mean[j]]))
        low, high = (column.transform.forward(end)[0] for end in cell_ends(column, x))
        total += math.log((high - low) / codec.std[j])
    return total
