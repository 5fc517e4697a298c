"""The probability of rows whose values stand for cells: the density averaged over noise in them.

The mean of a density p over a cell is that of the reference f times the mean of p / f over draws by f's weight. The
former is cheap, and p / f is nearly constant over a cell: a few of its values are enough, and of these the first is
integrated over all levels of noise, by how much the others differ from it over half of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.likelihood import LogDensity
from scorefield.likelihood.student import student_quantile
from scorefield.numerics.random import uniform
from scorefield.progress import Report
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.density import code_log_probability, joint_numbers
from scorefield.tables.mixture import log_densities
from scorefield.tables.row_model import Layout

_STARTS, _POINTS = 3, 5  # of even sequences in each cell, and how many points of each
_ROWS = 1024  # at a time


class Chosen(NamedTuple):
    """Draws of the noise in the cells of rows, by the reference's weight.

    Args:
        rows: `(draws, n, entries)`.
        log_reference: of each, `(draws, n)`.
        log_mean: of the reference's mean over the cells, `(n,)`.
        variance: of that mean, relative to its square, `(n,)`.
    """

    rows: Tensor
    log_reference: Tensor
    log_mean: Tensor
    variance: Tensor


@torch.no_grad()
def chosen(
    model: MaskedDenoiser, spread: Callable[[slice, int, int], Tensor], number: Tensor, draws: int, seed: int
) -> Chosen:
    """Draws of rows.

    Args:
        model: of rows.
        spread: `(rows, start, point) -> (m, entries)`: rows with noise in their cells.
        number: of each row, which its draws follow from, `(n,)`.
        draws: how many.
        seed: of the draws.
    """
    parts = [_chosen(model, spread, number, draws, seed, part) for part in _slices(len(number))]
    return Chosen(*(torch.cat(each, int(each[0].ndim > 1)) for each in zip(*parts, strict=True)))


def _slices(n: int) -> list[slice]:
    return [slice(k, min(n, k + _ROWS)) for k in range(0, max(1, n), _ROWS)]


def _chosen(
    model: MaskedDenoiser,
    spread: Callable[[slice, int, int], Tensor],
    number: Tensor,
    draws: int,
    seed: int,
    part: slice,
) -> Chosen:
    own, numbers = number[part], model.network.dim
    rows = torch.stack([spread(part, k, m) for k in range(_STARTS) for m in range(_POINTS)])
    log_reference = log_densities(model.law, rows[..., :numbers].flatten(0, 1)).unflatten(0, rows.shape[:2])
    log_mean = torch.logsumexp(log_reference, 0) - math.log(len(rows))
    each = (log_reference - log_mean).exp()
    starts = each.unflatten(0, (_STARTS, _POINTS)).mean(1)
    passed = each.cumsum(0) / each.sum(0)
    u = uniform(len(own), (), seed, "rows/cells", first=own, dtype=torch.float64)
    wanted = (torch.arange(draws)[:, None] + u) / draws  # systematic: evenly spread over the reference's weight
    place = (passed[None] < wanted[:, None]).sum(1).clamp(max=len(rows) - 1)
    picked = rows.gather(0, place[..., None].expand(-1, -1, rows.shape[2]))
    return Chosen(picked, log_reference.gather(0, place), log_mean, starts.var(0) / _STARTS)


@torch.no_grad()
def cell_log_density(
    model: MaskedDenoiser,
    layout: Layout,
    draws: Chosen,
    tolerance: float,
    evaluations: int | None,
    report: Report,
) -> LogDensity:
    """`log P` of all that is there of rows, with the standard error of the noise in their cells.

    Args:
        model: of rows.
        layout: of the rows.
        draws: of the rows, two or more.
        tolerance: in nats, of the first draw and of what the others differ from it.
        evaluations: instead of a tolerance.
        report: hears how far the work is.
    """
    rows, count = draws.rows, len(draws.rows)
    found, beside = joint_numbers(model, layout, rows, tolerance, evaluations, report)
    values = torch.cat([torch.zeros_like(beside[:1]), beside]) - draws.log_reference
    mean = torch.logsumexp(values, 0) - math.log(count)
    codes = code_log_probability(model, layout, rows[0], torch.isfinite(rows[0]))
    value = found.value + codes + mean + draws.log_mean
    error = ((values - mean).exp().var(0) / count + draws.variance).sqrt()
    width = student_quantile(0.975, count - 1) * error
    return replace(found, value=value, standard_error=error, interval=torch.stack([value - width, value + width], 1))
