"""The law of one number given the rest of its row: its density integrates to one, and to what the sampler draws."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.check.report import Row
from scorefield.numerics.random import uniform
from scorefield.plans import run
from scorefield.tables.density import row_log_density
from scorefield.tables.row_model import centre
from scorefield.tables.trained import TrainedTable

_ROWS, _COLUMNS, _STEPS = 2, 3, 32
_NODES = torch.linspace(-4.5, 4.5, 37, dtype=torch.float64)
"""Standard normal deviates, which the flow carries to quantiles of the number's law."""
_COARSE = 0.04  # probability of an interval between nodes beyond which it is divided
_PARTS = 4


class _Law(NamedTuple):
    """What the density of one number says, for each of some rows: of shape `(rows,)`.

    Args:
        mass: its integral.
        away: the greatest difference of its distribution function from the sampler's.
        error: of the quadrature, estimated.
    """

    mass: Tensor
    away: Tensor
    error: Tensor


def column_laws(model: TrainedTable, rows: Tensor, seed: int) -> list[Row]:
    """For some columns and rows: the density given the rest integrates to one, and its quantiles are the sampler's."""
    names = model.codec.names_of_coordinates
    order = uniform(1, (model.layout.numbers,), seed, "check columns", dtype=torch.float64)[0].argsort()
    mass, away = (0.0, 0.0, ""), (0.0, 0.0, "")
    for j in order[:_COLUMNS].tolist():
        there = rows[rows[:, j].isfinite()][:_ROWS]
        if not len(there):
            continue
        law = _law_of(model, there, j)
        error = float(law.error.max())
        mass = max(mass, (float((law.mass - 1).abs().max()), error, names[j]))
        away = max(away, (float(law.away.max()), error, names[j]))
    texts = "a number's density given the rest of its row integrates to 1", "its quantiles are those that are drawn"
    return [
        Row(f"table: {name}", value, 0.02 + error, f"{text}; worst column: {column}")
        for name, (value, error, column), text in zip(("density", "quantiles"), (mass, away), texts, strict=True)
        if column
    ]


def _law_of(model: TrainedTable, rows: Tensor, j: int) -> _Law:
    given = _question(model, rows, j)
    x = _quantiles(model, given, j)
    log_p = _log_density(model, given, j, x)
    found = [_integrated(model, given[i : i + 1], j, x[i], log_p[i].exp()) for i in range(len(x))]
    return _Law(*(torch.stack(part) for part in zip(*found, strict=True)))


def _question(model: TrainedTable, rows: Tensor, j: int) -> Tensor:
    """The question about number j, which is there, given the rest."""
    numbers, gate = model.layout.numbers, model.layout.gates[j]
    given = torch.where(rows.isfinite(), rows, torch.inf)
    given[:, numbers:] = torch.where(rows[:, numbers:].isfinite(), rows[:, numbers:], torch.nan)
    given[:, j] = torch.nan
    if gate >= 0:
        given[:, numbers + gate] = 0.0
    return given


def _quantiles(model: TrainedTable, given: Tensor, j: int) -> Tensor:
    """Where the sampler's flow takes the nodes, ascending `(rows, nodes)`."""
    plan, m = model.plan(_STEPS), len(_NODES)
    alpha, sigma = (float(v) for v in plan.levels[0])
    many = given.repeat_interleave(m, 0)
    bound = model.model.bound(many)
    start = alpha * centre(bound, model.layout.numbers)
    start[:, j] += (alpha**2 + sigma**2) ** 0.5 * _NODES.repeat(len(given))
    return run(plan, bound, start)[:, j].reshape(len(given), m).sort(1).values


def _log_density(model: TrainedTable, given: Tensor, j: int, x: Tensor) -> Tensor:
    """`log p(x | given)` of number j at x `(rows, m)`."""
    many = given.repeat_interleave(x.shape[1], 0)
    rows = torch.where(many.isfinite(), many, math.nan)
    rows[:, j] = x.flatten()
    asked = torch.zeros_like(rows, dtype=torch.bool)
    asked[:, j] = True
    return row_log_density(model.model, model.layout, rows, asked, tolerance=1e-3).value.reshape(x.shape)


def _integrated(model: TrainedTable, given: Tensor, j: int, x: Tensor, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mass between the nodes, the greatest difference of distribution functions at them, the error of the rule."""
    width = x.diff()
    coarse = (width * torch.maximum(p[1:], p[:-1]) > _COARSE).nonzero()[:, 0]
    inner = torch.arange(1, _PARTS) / _PARTS
    extra = (x[coarse][:, None] + width[coarse][:, None] * inner).flatten()
    if len(extra):
        more = _log_density(model, given, j, extra[None])[0].exp()
        place = torch.cat([x, extra]).argsort(stable=True)
        x_all, p_all = torch.cat([x, extra])[place], torch.cat([p, more])[place]
        at = torch.searchsorted(x_all, x)
    else:
        x_all, p_all, at = x, p, torch.arange(len(x))
    pieces = x_all.diff() * (p_all[1:] + p_all[:-1]) / 2
    below = torch.cat([torch.zeros(1, dtype=x.dtype), pieces.cumsum(0)])
    start = torch.special.ndtr(_NODES[:1])
    away = (below[at] + start - torch.special.ndtr(_NODES)).abs().max()
    halved = torch.trapezoid(p_all[::2], x_all[::2]) if len(x_all) % 2 else below[-1]
    return below[-1] + 2 * start[0], away, (halved - below[-1]).abs() / 3
