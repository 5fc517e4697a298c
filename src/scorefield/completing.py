"""Questions to a model of rows: draws of what is missing given the rest, and the log-density of what is there."""

from __future__ import annotations

from dataclasses import fields
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from scorefield._tensor import expand, normal, uniform
from scorefield.analytic.partial import log_standard
from scorefield.core import Estimate, Level, Model
from scorefield.likelihood import LogDensity, log_density
from scorefield.likelihood.traces import Divergence
from scorefield.objectives.masked import gated
from scorefield.plans import Plan, run


class RowModel(Protocol):
    """A model of rows of numbers and codes, any of which may be given: a `MaskedDenoiser`, or an exact one."""

    sigma_min: float
    sigma_max: float

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """`E[x0 | x, given]` of the numbers, as `PartialMixture`."""
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
    """

    numbers: int
    codes: int
    gates: tuple[int, ...]


@torch.no_grad()
def complete(
    model: RowModel,
    layout: Layout,
    rows: Tensor,
    plan: Plan,
    *,
    seed: int = 0,
    first: int | Tensor = 0,
    batch: int = 1024,
) -> Tensor:
    """Draw what a row asks for from its law given the rest of it.

    Codes are drawn one after the other, in their order, each given those before it; then the numbers by the plan, given
    the codes. Exact where the model and the plan are.

    Args:
        model: of rows.
        layout: of the rows.
        rows: `(n, numbers + codes)`: a number or code is given, NaN is asked for, infinity stays unknown.
        plan: deterministic or not, for the numbers.
        seed: the draw for row i is a pure function of (seed, first + i), up to the rounding of matrix kernels.
        first: index of the first row, or `(n,)` indices.
        batch: rows at a time.

    Returns:
        The rows completed, NaN where unknown was left or a number does not exist.
    """
    if plan.stochastic:
        raise ValueError(f"complete takes a deterministic plan, got {plan!r}; the noise of a row's start is its draw.")
    index = first if isinstance(first, Tensor) else torch.arange(first, first + len(rows))
    parts = [
        _completed(model, layout, rows[part], plan, seed, index[part]) for part in torch.arange(len(rows)).split(batch)
    ]
    return torch.cat(parts) if parts else rows.clone()


def _completed(model: RowModel, layout: Layout, rows: Tensor, plan: Plan, seed: int, index: Tensor) -> Tensor:
    numbers = layout.numbers
    out = rows.double().clone()
    wanted = torch.isnan(out)
    for j in range(layout.codes):
        ask = wanted[:, numbers + j]
        if bool(ask.any()):
            probability = model.log_codes(_clean(out[ask], numbers))[j].exp()
            u = uniform(int(ask.sum()), (), seed, f"code {j}", first=index[ask], dtype=torch.float64)
            edges = probability.cumsum(1)
            code = torch.searchsorted(edges, u[:, None] * edges[:, -1:])[:, 0].clamp(max=edges.shape[1] - 1)
            out[ask, numbers + j] = code.double()
    given = gated(out, numbers, layout.gates)
    ask = torch.isnan(given[:, :numbers])
    some = ask.any(1)
    if bool(some.any()):
        drawn = _numbers(model, given[some], plan, seed, index[some], numbers)
        out[:, :numbers][some] = torch.where(ask[some], drawn, given[some, :numbers])
    out[:, :numbers] = torch.where(torch.isinf(given[:, :numbers]), torch.nan, out[:, :numbers])
    out[:, numbers:] = torch.where(torch.isinf(out[:, numbers:]), torch.nan, out[:, numbers:])
    return out


def _numbers(model: RowModel, given: Tensor, plan: Plan, seed: int, index: Tensor, numbers: int) -> Tensor:
    """Numbers drawn by the plan; what is not asked for is a standard normal that nobody looks at."""
    alpha, sigma = (float(v) for v in plan.levels[0])
    noise = normal(len(given), (numbers,), seed, "start", first=index, dtype=torch.float64)
    start = alpha * centre(model, given, numbers) + (alpha**2 + sigma**2) ** 0.5 * noise
    return run(plan, model, start, condition=given)


def centre(model: RowModel, given: Tensor, numbers: int) -> Tensor:
    """`E[x0 | given]` of the numbers, `(n, numbers)`: what the model answers where noise has drowned them."""
    nothing = given.new_zeros(len(given), numbers)
    return model(nothing, Level(1.0, model.sigma_max), given).x0


class _Centred:
    """A model whose numbers are counted from each row's own `centre`, which stands in the condition's last columns."""

    def __init__(self, model: RowModel, numbers: int) -> None:
        self.model, self.numbers = model, numbers
        self.sigma_min, self.sigma_max = model.sigma_min, model.sigma_max

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        assert condition is not None
        given, mean = condition[:, : -self.numbers], condition[:, -self.numbers :]
        estimate = self.model(x + expand(level.alpha, x) * mean, level, given)
        return Estimate(estimate.x0 - mean, estimate.eps)


def _clean(given: Tensor, numbers: int) -> Tensor:
    """A question about codes alone: numbers that are asked for are hidden while codes are drawn."""
    number = torch.arange(given.shape[1], device=given.device) < numbers
    return torch.where(number & torch.isnan(given), torch.inf, given)


@torch.no_grad()
def row_log_density(
    model: RowModel,
    layout: Layout,
    rows: Tensor,
    asked: Tensor | None = None,
    *,
    divergence: Divergence = "exact",
    probes: int = 16,
    tolerance: float = 1e-3,
    evaluations: int | None = None,
    seed: int = 0,
    first: int = 0,
    batch: int | None = None,
) -> LogDensity:
    """`log p(asked | given)` of rows: of the whole row, of what is there of it, or of some entries given the others.

    The sum of `log P(code | given, codes before it)` over the codes that are asked for and of the log-density of the
    numbers given all codes, by the probability-flow ODE: the law that `complete` draws from.

    Args:
        model: of rows.
        layout: of the rows.
        rows: `(n, numbers + codes)`, NaN where nothing is there: integrated out.
        asked: `(n, numbers + codes)` bool; default: all that is there. The rest of what is there is given.
        divergence: as `log_density`, like all that follows.
        probes: random directions per row.
        tolerance: in nats.
        evaluations: instead of a tolerance.
        seed: of the probes.
        first: index of the first row.
        batch: rows at a time.
    """
    values, numbers = rows.double(), layout.numbers
    there = torch.isfinite(values)
    wanted = there if asked is None else asked & there
    codes = code_log_probability(model, layout, values, wanted)
    question = torch.where(wanted, torch.nan, torch.where(there, values, torch.inf))
    question[:, numbers:] = torch.where(there[:, numbers:], values[:, numbers:], torch.nan)
    given = gated(question, numbers, layout.gates)
    ask = torch.isnan(given[:, :numbers])
    zero = values.new_zeros(len(rows))
    parts = [LogDensity(codes, zero, codes[:, None].expand(-1, 2).clone(), zero, zero.long())]
    whole = ask.all(1) if numbers else ask.new_zeros(len(rows))
    for mine, exact in ((whole, True), (ask.any(1) & ~whole if numbers else whole, False)):
        index = mine.nonzero()[:, 0]
        if not len(index):
            continue
        x, rows_given = torch.where(ask, values[:, :numbers], 0.0)[index], given[index]
        asking: Model = model
        if not exact:  # what the ODE starts from is then each row's own centre
            mean = centre(model, rows_given, numbers)
            x, rows_given = torch.where(ask[index], x - mean, 0.0), torch.cat([rows_given, mean], 1)
            asking = _Centred(model, numbers)
        found = log_density(
            asking, x, divergence=divergence, probes=probes, tolerance=tolerance, evaluations=evaluations, seed=seed,
            first=first, condition=rows_given, mean=None if exact else 0.0,
            covariance=None if exact else torch.ones(numbers, dtype=torch.float64), batch=batch,
        )  # fmt: skip
        extra = log_standard((~ask[index]).sum(1), model.sigma_min)
        parts.append(_placed(found, codes.new_zeros(len(rows)), index, -extra))
    return _summed(parts)


def code_log_probability(model: RowModel, layout: Layout, rows: Tensor, wanted: Tensor) -> Tensor:
    """`sum_j log P(code_j | given, codes before j)` over the codes that are wanted, `(n,)`."""
    numbers = layout.numbers
    total = rows.new_zeros(len(rows))
    known = torch.where(wanted, torch.nan, rows)
    number = torch.arange(rows.shape[1]) < numbers
    known = torch.where(number & ~torch.isfinite(known), torch.inf, known)
    for j in range(layout.codes):
        mine = wanted[:, numbers + j].nonzero()[:, 0]
        if len(mine):
            code = rows[mine, numbers + j]
            table = model.log_codes(known[mine])[j]
            total[mine] += table.gather(1, code.long()[:, None])[:, 0].to(total)
            known[mine, numbers + j] = code
    return total


def _placed(found: LogDensity, zero: Tensor, index: Tensor, shift: Tensor) -> LogDensity:
    """Results of some rows among all, 0 elsewhere."""
    bounds = torch.stack([zero, zero], 1).index_add(0, index, found.interval + shift[:, None])
    return LogDensity(
        zero.index_add(0, index, found.value + shift),
        zero.index_add(0, index, found.standard_error),
        bounds,
        zero.index_add(0, index, found.solver_error),
        zero.long().index_add(0, index, found.evaluations),
    )


def _summed(parts: list[LogDensity]) -> LogDensity:
    """The sum of independent results, of which at most one is random in each row."""
    return LogDensity(*(torch.stack([getattr(p, f.name) for p in parts]).sum(0) for f in fields(LogDensity)))
