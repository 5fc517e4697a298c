"""Draws of what a row lacks, given the rest of it."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.numerics.random import normal, uniform
from scorefield.plans import Plan, run
from scorefield.progress import Report, counted, silent
from scorefield.tables.objective import gated
from scorefield.tables.recalibration import Recalibration
from scorefield.tables.row_model import Layout, RowModel, by_pattern, centre
from scorefield.tables.wall import folded


@torch.no_grad()
def complete(
    model: RowModel,
    layout: Layout,
    rows: Tensor,
    plan: Plan,
    *,
    seed: int | Tensor = 0,
    first: int | Tensor = 0,
    batch: int | None = None,
    recalibration: Recalibration | None = None,
    report: Report = silent,
) -> Tensor:
    """Draw what a row queries from its law given the rest of it.

    Codes are drawn one after the other, in their order, each given those before it; then the numbers by the plan, given
    the codes. Exact where the model and the plan are.

    Args:
        model: of rows.
        layout: of the rows.
        rows: `(n, numbers + codes)`: a number or code is given, NaN is queried, infinity stays unknown.
        plan: deterministic or not, for the numbers.
        seed: the draw for row i is a pure function of (seed, first + i), up to the rounding of matrix kernels; or
            `(n,)` int64 seeds, one for each.
        first: index of the first row, or `(n,)` indices.
        batch: rows at a time; default: the model's `rows_at_once`.
        recalibration: of a number that a row queries alone; default: none, the model's own law.
        report: hears how far the work is.

    Returns:
        The rows completed, NaN where unknown was left or a number does not exist.
    """
    if plan.stochastic:
        raise ValueError(f"complete takes a deterministic plan, got {plan!r}; the noise of a row's start is its draw.")
    index = first if isinstance(first, Tensor) else torch.arange(first, first + len(rows))
    out = rows.double().clone()
    asked = torch.isnan(rows).any(1).nonzero()[:, 0]
    pieces = asked[by_pattern(rows[asked])].split(batch or model.rows_at_once)
    for part in counted(pieces, len(pieces), report, "draws"):
        own = seed[part] if isinstance(seed, Tensor) else seed
        out[part] = _completed(model, layout, rows[part], plan, own, index[part], recalibration)
    out[:, : layout.numbers] = gated(out, layout.numbers, layout.gates)[:, : layout.numbers]
    return torch.where(torch.isinf(out), torch.nan, out)


def _completed(
    model: RowModel,
    layout: Layout,
    rows: Tensor,
    plan: Plan,
    seed: int | Tensor,
    index: Tensor,
    recalibration: Recalibration | None,
) -> Tensor:
    numbers = layout.numbers
    out = rows.double().clone()
    wanted = torch.isnan(out)
    for j in range(layout.codes):
        ask = wanted[:, numbers + j]
        if bool(ask.any()):
            probability = model.log_codes(_clean(out[ask], numbers))[j].exp()
            own = seed[ask] if isinstance(seed, Tensor) else seed
            u = uniform(int(ask.sum()), (), own, f"code {j}", first=index[ask], dtype=torch.float64)
            edges = probability.cumsum(1)
            code = torch.searchsorted(edges, u[:, None] * edges[:, -1:])[:, 0].clamp(max=edges.shape[1] - 1)
            out[ask, numbers + j] = code.double()
    given = gated(out, numbers, layout.gates)
    ask = torch.isnan(given[:, :numbers])
    some = ask.any(1)
    if bool(some.any()):
        own = seed[some] if isinstance(seed, Tensor) else seed
        drawn = _numbers(model, given[some], plan, own, index[some], numbers, recalibration)
        drawn = folded(drawn, layout.walls)
        out[:, :numbers][some] = torch.where(ask[some], drawn, given[some, :numbers])
    return out


def _numbers(
    model: RowModel,
    given: Tensor,
    plan: Plan,
    seed: int | Tensor,
    index: Tensor,
    numbers: int,
    recalibration: Recalibration | None,
) -> Tensor:
    """Numbers drawn by the plan; what is not queried is a standard normal that has no effect."""
    alpha, sigma = (float(v) for v in plan.levels[0])
    noise = normal(len(given), (numbers,), seed, "start", first=index, dtype=torch.float64)
    if recalibration is not None:
        noise = recalibration.spread(given, noise)
    bound = model.bound(given, derivatives=False)
    start = alpha * centre(bound, numbers) + (alpha**2 + sigma**2) ** 0.5 * noise
    return run(plan, bound, start)


def _clean(given: Tensor, numbers: int) -> Tensor:
    """The pattern that queries codes alone: numbers that are queried too are hidden while codes are drawn."""
    number = torch.arange(given.shape[1], device=given.device) < numbers
    return torch.where(number & torch.isnan(given), torch.inf, given)
