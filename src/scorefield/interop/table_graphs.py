"""What is exported of a table's model: the law of whole rows, codes one after another and numbers given them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from scorefield.analytic.partial import Pattern, standard_normal_elsewhere
from scorefield.core import Estimate, Level
from scorefield.interop.eliminated import part_deviation, part_estimate
from scorefield.interop.graphs import BATCH, Graph, PlanRows, frozen, or_nan, within
from scorefield.plans import Plan
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.objective import gated
from scorefield.tables.residual import Residual
from scorefield.tables.row_model import Layout
from scorefield.tables.trained import TrainedTable
from scorefield.tables.wall import folded


class _Rows(nn.Module):
    """A `MaskedDenoiser` of rows of which every number that is there is queried, without what depends on values.

    Args:
        model: of rows.
        gates: of each number the code that is 0 where it is there, -1 for none.
    """

    def __init__(self, model: MaskedDenoiser, gates: tuple[int, ...]) -> None:
        super().__init__()
        self.model = frozen(model)
        table = model.code_table
        self.rates = [math.inf] * len(model.network.sizes) if table is None else table.rates.tolist()
        self.numbers = model.network.dim
        self.gates = gates

    def given(self, x: Tensor, codes: Tensor | None) -> Tensor:
        """The condition in which all numbers that are there are queried, `(n, numbers + codes)`."""
        queried = torch.full_like(x, torch.nan)
        return queried if codes is None else gated(torch.cat([queried, codes], 1), self.numbers, self.gates)

    def forward(self, x: Tensor, level: Level, given: Tensor) -> Estimate:
        """The estimate at x `(n, numbers)`, float64; the level is `(n, 1)` or of numbers."""
        alpha, sigma = (torch.as_tensor(v, dtype=x.dtype) for v in level)
        model: Any = self.model
        raw = model.raw(x, _flat(alpha, sigma), given)
        whole = self._whole(x, alpha, sigma, raw)
        if all(gate < 0 for gate in self.gates):
            return whole
        queried = torch.isnan(given[:, : self.numbers])
        part, all_there = self._part(x, alpha, sigma, raw, queried), queried.all(1, keepdim=True)
        return Estimate(*(torch.where(all_there, a, b) for a, b in zip(whole, part, strict=True)))

    def _whole(self, x: Tensor, alpha: Tensor, sigma: Tensor, raw: Tensor) -> Estimate:
        model: Any = self.model
        residual = Residual(model.law(x, _flat(alpha, sigma)), model.basis, model.scale_of_all(alpha, sigma))
        return self._corrected(alpha, sigma, raw, residual, torch.ones_like(x, dtype=torch.bool))

    def _part(self, x: Tensor, alpha: Tensor, sigma: Tensor, raw: Tensor, queried: Tensor) -> Estimate:
        model: Any = self.model
        scale = part_deviation(model.covariance, alpha, sigma, queried)
        residual = Residual(part_estimate(model.law, x, alpha, sigma, queried), None, scale)
        found = self._corrected(alpha, sigma, raw, residual, queried)
        return standard_normal_elsewhere(found, x, alpha, sigma, queried)

    def _corrected(self, alpha: Tensor, sigma: Tensor, raw: Tensor, residual: Residual, queried: Tensor) -> Estimate:
        pattern = Pattern(queried, torch.zeros_like(queried), torch.zeros_like(raw))
        model: Any = self.model
        change = model.change(_flat(alpha, sigma), raw, residual, pattern)
        return Estimate(residual.estimate.x0 + change, residual.estimate.eps - alpha / sigma * change)

    def log_codes(self, given: Tensor, only: int | None = None) -> list[Tensor]:
        """As `MaskedDenoiser.log_codes`, where no number is given; of one code alone if asked."""
        model: Any = self.model
        asked = range(len(self.rates)) if only is None else [only]
        found = model.network_log_codes(given, only)
        if all(math.isinf(self.rates[j]) for j in asked):
            return list(found)
        counts = model.code_table.counts(given[:, self.numbers :]).split(model.network.sizes, 1)
        return [
            part if math.isinf(self.rates[j]) else model.code_table.mixed(part, counts[j], self.rates[j])
            for j, part in zip(asked, found, strict=True)
        ]


def _flat(alpha: Tensor, sigma: Tensor) -> Level:
    """A level of columns `(n, 1)` as one of rows; one of numbers stays."""
    return Level(*(v.reshape(-1) if v.ndim else v for v in (alpha, sigma)))


class TableDenoiserGraph(nn.Module):
    """`(x, sigma[, codes]) -> (x0, eps[, log_codes])` of whole rows; NaN beyond the model's range."""

    def __init__(self, model: MaskedDenoiser, gates: tuple[int, ...]) -> None:
        super().__init__()
        self.rows = _Rows(model, gates)
        self.range = model.sigma_min, model.sigma_max

    def forward(self, x: Tensor, sigma: Tensor, codes: Tensor | None = None) -> tuple[Tensor, ...]:
        given = self.rows.given(x, codes)
        found = self.rows(x, Level(torch.ones_like(sigma)[:, None], sigma[:, None]), given)
        inside = within(sigma, *self.range)
        pair = or_nan(found.x0, inside), or_nan(found.eps, inside)
        return pair if codes is None else (*pair, torch.cat(self.rows.log_codes(given), 1))


class TableSamplerGraph(nn.Module):
    """`(noise[, u]) -> rows`: codes by uniform numbers u, then numbers by a plan; encoded."""

    def __init__(self, model: MaskedDenoiser, layout: Layout, plan: Plan) -> None:
        super().__init__()
        self.rows, self.layout, self.plan = _Rows(model, layout.gates), layout, PlanRows.of(plan)
        self.answer: nn.Module = self.rows
        self.most = model.sigma_max

    def forward(self, noise: Tensor, u: Tensor | None = None) -> tuple[Tensor]:
        codes = None if u is None else self._codes(noise, u)
        given = self.rows.given(noise, codes)
        centre = self.answer(torch.zeros_like(noise), Level(1.0, self.most), given).x0
        alpha, sigma = self.plan.levels[0]
        start = alpha * centre + math.hypot(alpha, sigma) * noise
        numbers = folded(self.plan.steps(start, lambda y, level: self.answer(y, level, given)), self.layout.walls)
        if codes is None:
            return (numbers,)
        return (torch.cat([torch.where(torch.isinf(given[:, : self.layout.numbers]), torch.nan, numbers), codes], 1),)

    def _codes(self, noise: Tensor, u: Tensor) -> Tensor:
        drawn: list[Tensor] = []
        for j in range(self.layout.codes):
            known = torch.stack([*drawn, *[torch.full_like(u[:, 0], torch.nan)] * (self.layout.codes - j)], 1)
            edges = self.rows.log_codes(self.rows.given(noise, known), j)[0].exp().cumsum(1)
            below = edges < u[:, j, None] * edges[:, -1:]
            drawn.append(below.to(u.dtype).sum(1).clamp(max=edges.shape[1] - 1.0))
        return torch.stack(drawn, 1)


def table_denoiser_graph(model: TrainedTable) -> Graph:
    """The numbers' pair given the codes, and the codes' probabilities given some of them."""
    _check(model)
    own, codes = model.model, model.layout.codes
    x = torch.zeros(BATCH, model.layout.numbers, dtype=torch.float64)
    sigma = torch.full((BATCH,), math.sqrt(own.sigma_min * own.sigma_max), dtype=torch.float64)
    inputs = {"x": x, "sigma": sigma, **({"codes": x.new_zeros(BATCH, codes)} if codes else {})}
    outputs = ("x0", "eps", *(["log_codes"] if codes else []))
    about = {
        "what": "denoiser",
        "formula": "x = x0 + sigma * eps, eps standard normal",
        "units": "standardised numbers, (transformed value - mean) / std of the codec; codes are whole numbers from 0",
        "range": "sigma from sigma_min to sigma_max; x0 and eps are NaN elsewhere",
        "inputs": {
            "x": "all numbers of a row with noise",
            "sigma": "(n,)",
            **({"codes": "of a row, NaN where unknown"} if codes else {}),
        },
        "outputs": {
            "x0": "E[x0 | x, codes]",
            "eps": "E[eps | x, codes]",
            **({"log_codes": "log P(code = k | the known codes), the K of each code side by side"} if codes else {}),
        },
        **_about(model),
    }
    return Graph(TableDenoiserGraph(own, model.layout.gates), inputs, outputs, about)


def table_sampler_graph(model: TrainedTable, steps: int) -> Graph:
    """New encoded rows from noise, as `model.sample(steps=steps)` makes them before it decodes."""
    _check(model)
    plan, codes = model.plan(steps), model.layout.codes
    if plan.stochastic:
        raise ValueError(f"a table is sampled by a deterministic plan, got {plan!r}.")
    noise = torch.zeros(BATCH, model.layout.numbers, dtype=torch.float64)
    inputs = {"noise": noise, **({"u": noise.new_full((BATCH, codes), 0.5)} if codes else {})}
    about = {
        "what": "sampler",
        "plan": plan.name,
        "evaluations": plan.evaluations,
        "inputs": {"noise": "standard normal", **({"u": "uniform from 0 to 1, one for each code"} if codes else {})},
        "outputs": {"rows": "the entries, encoded: standardised numbers, then codes"},
        "units": "encoded; the codec says how numbers are standardised and transformed, and what codes stand for",
        **_about(model),
    }
    evaluated = noise, torch.zeros(BATCH, model.layout.numbers + codes, dtype=torch.float64)
    return Graph(TableSamplerGraph(model.model, model.layout, plan), inputs, ("rows",), about, evaluated)


def _about(model: TrainedTable) -> dict[str, Any]:
    return {
        "sigma_min": model.model.sigma_min,
        "sigma_max": model.model.sigma_max,
        "entries": list(model.codec.names_of_coordinates),
        "sizes": list(model.codec.sizes),
        "codec": model.codec.to_json(),
    }


def _check(model: TrainedTable) -> None:
    if not model.layout.numbers:
        raise ValueError(
            "this table has no numbers, and so no denoiser to export; `scorefield sample` draws its codes."
        )
