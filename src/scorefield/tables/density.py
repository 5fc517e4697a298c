"""The log-density of encoded rows, of parts of them, and of parts given the residual."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import torch
from torch import Tensor

from scorefield._tensor import expand
from scorefield.analytic.partial import log_standard_normal
from scorefield.core import Estimate, Level, Model
from scorefield.likelihood import LogDensity, log_density
from scorefield.likelihood.level_density import LevelDensity
from scorefield.likelihood.student import student_quantile
from scorefield.likelihood.traces import Divergence
from scorefield.progress import Report, part, silent
from scorefield.tables.corrected_rows import level_density_of, numbers_log_density
from scorefield.tables.denoiser import BoundDenoiser, MaskedDenoiser
from scorefield.tables.objective import gated
from scorefield.tables.row_model import BoundRows, Layout, RowModel, centre

_ROWS = 4096  # of all draws together


class _CentredColumns:
    """A bound model of some of its numbers alone, counted from each row's own `centre`; the condition is the row."""

    def __init__(self, bound: BoundRows, mean: Tensor, columns: Tensor) -> None:
        self.bound, self.mean, self.columns = bound, mean, columns
        self.sigma_min, self.sigma_max = bound.sigma_min, bound.sigma_max

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        mean = self.mean if condition is None else self.mean[condition]
        moved = (expand(level.alpha, x) * mean).index_add(1, self.columns, x)
        estimate = self.bound(moved, level, condition)
        return Estimate((estimate.x0 - mean)[:, self.columns], estimate.eps[:, self.columns])


@torch.no_grad()
def row_log_density(
    model: RowModel,
    layout: Layout,
    rows: Tensor,
    queried: Tensor | None = None,
    *,
    divergence: Divergence = "exact",
    probes: int = 16,
    tolerance: float = 1e-3,
    evaluations: int | None = None,
    seed: int = 0,
    first: int = 0,
    batch: int | None = None,
    report: Report = silent,
) -> LogDensity:
    """`log p(queried | given)` of rows: of the whole row, of what is there of it, or of some entries given the others.

    The sum of `log P(code | given, codes before it)` over the codes that are queried and of the log-density of the
    numbers given all codes, by the probability-flow ODE: the law that `complete` draws from.

    Args:
        model: of rows.
        layout: of the rows.
        rows: `(n, numbers + codes)`, NaN where nothing is there: integrated out.
        queried: `(n, numbers + codes)` bool; default: all that is there. The rest of what is there is given.
        divergence: as `log_density`, like all that follows.
        probes: random directions per row.
        tolerance: in nats.
        evaluations: instead of a tolerance.
        seed: of the probes.
        first: index of the first row.
        batch: rows at a time.
        report: hears how far the work is.
    """
    values, numbers = rows.double(), layout.numbers
    there = torch.isfinite(values)
    wanted = there if queried is None else queried & there
    codes = code_log_probability(model, layout, values, wanted)
    given = _condition(layout, values, wanted)
    ask = torch.isnan(given[:, :numbers])
    zero = values.new_zeros(len(rows))
    parts = [LogDensity(codes, zero, codes[:, None].expand(-1, 2).clone(), zero, zero.long())]
    whole = ask.all(1) if numbers else ask.new_zeros(len(rows))
    share = float(whole.double().mean()) if len(rows) else 1.0  # of the work
    heard = part(report, 0.0, share), part(report, share, 1.0)
    for mine, exact, hear in ((whole, True, heard[0]), (ask.any(1) & ~whole if numbers else whole, False, heard[1])):
        index = mine.nonzero()[:, 0]
        if not len(index):
            continue
        condition = given[index]
        x = torch.where(ask, values[:, :numbers], 0.0)[index]
        one = model.bound(condition[:1])
        if isinstance(one, BoundDenoiser) and divergence == "exact":
            found, _ = numbers_log_density(one.model, condition, x, tolerance, evaluations, batch, hear)
            parts.append(_placed(found, codes.new_zeros(len(rows)), index))
            continue
        asking: Model = model
        columns = ask[index].any(0).nonzero()[:, 0]
        if not exact:  # the ODE of what is queried alone, which starts from each row's own centre
            bound = model.bound(condition)
            mean = centre(bound, numbers)
            x = torch.where(ask[index], x - mean, 0.0)[:, columns]
            asking, condition = _CentredColumns(bound, mean, columns), torch.arange(len(index))
        found = log_density(
            asking, x, divergence=divergence, probes=probes, tolerance=tolerance, evaluations=evaluations, seed=seed,
            first=first, condition=condition, mean=None if exact else 0.0,
            covariance=None if exact else torch.ones(len(columns), dtype=torch.float64),
            batch=batch or model.rows_at_once,
        )  # fmt: skip
        extra = log_standard_normal((~ask[index][:, columns]).sum(1), model.sigma_min)
        found = replace(found, value=found.value - extra, interval=found.interval - extra[:, None])
        parts.append(_placed(found, codes.new_zeros(len(rows)), index))
    return _summed(parts)


@torch.no_grad()
def joint_numbers(
    model: MaskedDenoiser, layout: Layout, draws: Tensor, tolerance: float, evaluations: int | None, report: Report
) -> tuple[LogDensity, Tensor]:
    """`log p(numbers | codes)` of all numbers there are in rows, and by how much it differs at other draws.

    Args:
        model: of rows.
        layout: of the rows.
        draws: `(k + 1, n, numbers + codes)`, of the noise in their cells: the same entries are there, and near.
        tolerance: in nats.
        evaluations: instead of a tolerance.
        report: hears how far the work is.

    Returns:
        Of the first draw, and the differences of the others, `(k, n)`.
    """
    values, numbers = draws[0].double(), layout.numbers
    given = _condition(layout, values, torch.isfinite(values))
    ask = torch.isnan(given[:, :numbers])
    x = torch.where(ask, draws[..., :numbers].double(), 0.0)
    zero = values.new_zeros(len(values))
    total = LogDensity(zero, zero, torch.stack([zero, zero], 1), zero, zero.long())
    beside, whole = values.new_zeros(len(draws) - 1, len(values)), ask.all(1)
    share = float(whole.double().mean()) if len(values) else 1.0  # of the work
    for mine, hear in ((whole, part(report, 0.0, share)), (ask.any(1) & ~whole, part(report, share, 1.0))):
        index = mine.nonzero()[:, 0]
        if len(index):
            own, far = x[0, index], (x[1:] - x[0])[:, index]
            found, differ = numbers_log_density(model, given[index], own, tolerance, evaluations, None, hear, far)
            total, beside = _summed([total, _placed(found, zero, index)]), beside.index_copy(1, index, differ)
    return total, beside


def _condition(layout: Layout, values: Tensor, wanted: Tensor) -> Tensor:
    """What the model is told of rows of which these entries `(n, entries)` are queried."""
    numbers, there = layout.numbers, torch.isfinite(values)
    question = torch.where(wanted, torch.nan, torch.where(there, values, torch.inf))
    question[:, numbers:] = torch.where(there[:, numbers:], values[:, numbers:], torch.nan)
    return gated(question, numbers, layout.gates)


def fit_level_density(model: MaskedDenoiser, layout: Layout, rows: Tensor) -> LevelDensity:
    """Where the levels of log-densities of rows `(n, entries)` like these should lie."""
    values, numbers = rows.double(), layout.numbers
    given = _condition(layout, values, torch.isfinite(values))
    asked = torch.isnan(given[:, :numbers])
    some = asked.any(1).nonzero()[:, 0]
    return level_density_of(model, given[some], torch.where(asked, values[:, :numbers], 0.0)[some])


def code_log_probability(model: RowModel, layout: Layout, rows: Tensor, wanted: Tensor) -> Tensor:
    """`sum_j log P(code_j | given, codes before j)` over the codes that are wanted, `(n,)`."""
    numbers = layout.numbers
    total = rows.new_zeros(len(rows))
    given = torch.where(wanted, torch.nan, rows)
    number = torch.arange(rows.shape[1]) < numbers
    given = torch.where(number & ~torch.isfinite(given), torch.inf, given)
    for j in range(layout.codes):
        mine = wanted[:, numbers + j].nonzero()[:, 0]
        if len(mine):
            code = rows[mine, numbers + j]
            asked, place = _distinct(given[mine])
            table = model.log_codes(asked)[j][place]
            total[mine] += table.gather(1, code.long()[:, None])[:, 0].to(total)
            given[mine, numbers + j] = code
    return total


def _distinct(questions: Tensor) -> tuple[Tensor, Tensor]:
    """The different ones among questions `(n, entries)`, and which of them each is."""
    bits, place = questions.contiguous().view(torch.int64).unique(dim=0, return_inverse=True)
    return bits.view(questions.dtype), place


def _placed(found: LogDensity, zero: Tensor, index: Tensor) -> LogDensity:
    """Results of some rows among all, 0 elsewhere."""
    return LogDensity(
        zero.index_add(0, index, found.value),
        zero.index_add(0, index, found.standard_error),
        torch.stack([zero, zero], 1).index_add(0, index, found.interval),
        zero.index_add(0, index, found.solver_error),
        zero.long().index_add(0, index, found.evaluations),
    )


def _summed(parts: list[LogDensity]) -> LogDensity:
    """The sum of independent results, of which at most one is random in each row."""
    return LogDensity(*(torch.stack([getattr(p, f.name) for p in parts]).sum(0) for f in fields(LogDensity)))


def log_density_of_draws(
    model: RowModel,
    layout: Layout,
    draws: list[Tensor],
    queried: Tensor | None,
    tolerance: float,
    evaluations: int | None,
    seed: int,
    report: Report,
) -> list[LogDensity]:
    """The log-densities of each draw of the rows; those of few rows are found for several draws at once."""
    found: list[LogDensity] = []
    count = max(1, _ROWS // max(1, len(draws[0])))
    for k in range(0, len(draws), count):
        some = draws[k : k + count]
        of_all = row_log_density(
            model,
            layout,
            torch.cat(some),
            None if queried is None else queried.repeat(len(some), 1),
            tolerance=tolerance,
            evaluations=evaluations,
            seed=seed,
            report=part(report, k / len(draws), min(1.0, (k + count) / len(draws))),
        )
        parts = (getattr(of_all, f.name).tensor_split(len(some)) for f in fields(of_all))
        found += [LogDensity(*part) for part in zip(*parts, strict=True)]
    return found


def average_over_draws(found: list[LogDensity], shift: Tensor) -> LogDensity:
    """The logarithm of the mean density over draws of the noise in cells, with its standard error."""
    if len(found) == 1:
        r = found[0]
        return replace(r, value=r.value + shift, interval=r.interval + shift[:, None])
    values = torch.stack([r.value for r in found])
    count = len(values)
    value = torch.logsumexp(values, 0) - math.log(count)
    ratio = (values - value).exp()
    error = ratio.std(0) / math.sqrt(count)
    width = student_quantile(0.975, count - 1) * error
    value = value + shift
    solver = torch.stack([r.solver_error for r in found]).mean(0)
    evaluations = torch.stack([r.evaluations for r in found]).sum(0)
    return LogDensity(value, error, torch.stack([value - width, value + width], 1), solver, evaluations)
