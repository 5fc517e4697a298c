"""The laws that a trained model of a table can be held to: its codec, its answers, its sampler and its density."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorefield.analytic import GaussianMixture
from scorefield.check.models import Scales, identity, step_error
from scorefield.check.report import Row
from scorefield.core import Level
from scorefield.numerics.random import normal, uniform
from scorefield.tables.density import row_log_density
from scorefield.tables.held import HeldOut
from scorefield.tables.measures import CellDraws, is_number, modelled, values_of
from scorefield.tables.memorisation import memorisation_ratio, with_holes
from scorefield.tables.mixture import log_densities
from scorefield.tables.objective import gated
from scorefield.tables.trained import TrainedTable

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 256  # held out, at most, that the laws look at
_PAIRED = 128  # rows of the model and of the mixture, whose densities are compared
_BARS = 16  # rows whose error bars are checked
_DRAWS, _PREDICTED, _COLUMNS = 19, 40, 5  # draws of a cell, cells of a column, columns: for intervals
_LEAST = 20  # rows without which nothing is said about intervals
_TOLERANCE = 1e-2  # of log-densities, in nats


@torch.no_grad()
def of_table(model: TrainedTable, held: HeldOut, *, seed: int = 0) -> tuple[Row, ...]:
    """The laws that a model of a table can be held to.

    Args:
        model: of a table.
        held: rows that it has not seen; where there are none, the laws that need none, on rows of its own.
        seed: of all draws.
    """
    own = model.draws(torch.full((_PAIRED, *model.codec.shape), math.nan, dtype=torch.float64), 1, seed=seed)[0]
    rows = own if held.rows is None else model.codec.encode(held.rows.iloc[:_ROWS], seed=seed)
    found = [] if held.rows is None else [_round_trip(model, held)]
    if model.layout.numbers:
        found += _of_numbers(model, rows, held.rows is not None, seed)
    found.append(agreement(model, own, seed))
    if held.rows is not None:
        found += _of_codes(model, rows)
        found += _intervals(model, model.codec.encode(held.rows.iloc[:_ROWS]), seed)
        found += _memorisation(model, held, model.codec.encode(model.sample(_PAIRED, seed=seed)))
    return tuple(found)


def _of_numbers(model: TrainedTable, rows: Tensor, unseen: bool, seed: int) -> list[Row]:
    """The laws of a model's numbers."""
    from scorefield.check.columns import column_laws

    m, numbers = model.model, model.layout.numbers
    scales = Scales(m.sigma_min, m.sigma_max, m.sigma_data)
    x = rows[:, :numbers].nan_to_num()
    found = [_named(identity(m, x, _some_given(model, rows, seed), scales, seed))]
    if unseen:
        found += calibration(model, rows, seed)
    found += [*column_laws(model, rows, seed), *_error_bars(model, rows, seed)]
    if found[0].passed:  # the one loop refuses a model that contradicts itself
        found.append(_named(step_error(m, x, whole(model, rows), model.plan(18), scales, seed)))
    return found


def _named(row: Row) -> Row:
    return Row(row.name.replace("model:", "table:"), row.measured, row.bound, row.meaning, row.at_least)


# ------------------------------------------------------------------------------------------------------ conditions


def whole(model: TrainedTable, rows: Tensor) -> Tensor:
    """The question about all numbers that a row has, its codes given."""
    numbers = model.layout.numbers
    given = rows.clone()
    given[:, :numbers] = torch.where(rows[:, :numbers].isfinite(), math.nan, math.inf)
    return gated(given, numbers, model.layout.gates)


def _some_given(model: TrainedTable, rows: Tensor, seed: int) -> Tensor:
    """In every other row about half of the numbers are given, in the others none."""
    numbers = model.layout.numbers
    chosen = uniform(len(rows), (numbers,), seed, "check given", dtype=torch.float64) < 0.5
    chosen[::2] = False
    given = whole(model, rows)
    given[:, :numbers] = torch.where(chosen & given[:, :numbers].isnan(), rows[:, :numbers], given[:, :numbers])
    return given


# ------------------------------------------------------------------------------------------------------------ laws


def _round_trip(model: TrainedTable, held: HeldOut) -> Row:
    """`decode(encode(table))` is the table: the share of cells that change."""
    parts = [part.iloc[:2000] for part in (held.rows, held.training) if part is not None]
    changed = cells = 0
    for part in parts:
        names = list(model.codec.schema.names)
        back = model.codec.decode(model.codec.encode(part), index=list(part.index))
        changed += sum(int(_differ(part[name], back[name]).sum()) for name in names)
        cells += len(part) * len(names)
    text = f"decode(encode(rows)) = rows: {changed:,} of {cells:,} cells change"
    return Row("table: codec round trip", changed / cells, 0.0, text)


def _differ(cells: pd.Series, back: pd.Series) -> np.ndarray:
    """Which cells changed: a value that came or went, or another one."""
    here, there = cells.notna().to_numpy(), back.notna().to_numpy()
    changed = np.asarray(here != there)
    both = here & there
    a, b = (series[both].tolist() for series in (cells, back))
    if back.dtype.kind == "f":
        changed[both] = ~np.isclose(np.array(a, dtype=np.float64), b, rtol=1e-9, atol=1e-12)
    else:
        changed[both] = [bool(one != other) for one, other in zip(a, b, strict=True)]
    return changed


class _Sums(NamedTuple):
    """Of each row: target times prediction, prediction squared; squared errors of the model and of its mixture."""

    cross: Tensor
    square: Tensor
    mine: Tensor
    mixture: Tensor


@torch.no_grad()
def calibration(model: TrainedTable, rows: Tensor, seed: int) -> list[Row]:
    """The regression of held-out numbers, or their noise, on what is predicted has the slope 1; and the mixture alone
    predicts no better.

    Below half a standard deviation of noise x0 is nearly x itself, so that eps is what can be wrong.
    """
    found, ratios = [], []
    for share in (0.05, 0.2, 0.5, 1.0, 3.0):
        sigma = share * model.model.sigma_data
        if not model.model.sigma_min <= sigma <= model.model.sigma_max:
            continue
        s = _regression(model, rows, sigma, seed)
        if not bool((s.square > 0).any()):
            continue
        slope = float(s.cross.sum() / s.square.sum())
        error = float(((s.cross - slope * s.square) ** 2).sum().sqrt() / s.square.sum())
        what = "eps" if share < 0.5 else "x0"
        text = f"slope of true {what} on the predicted one is 1: off by {slope - 1:+.3f} +- {error:.3f}"
        found.append(Row(f"table: calibration at {share:g} std", abs(slope - 1), 0.1 + 4 * error, text))
        each = (s.mine - s.mixture) / s.mixture.mean()
        ratios.append((1 + float(each.mean()), float(each.std()) / math.sqrt(len(each))))
    if ratios:
        mean, error = max(ratios)
        text = "squared error over that of the mixture alone, without the network; worst level"
        found.append(Row("table: residual", mean, 1.01 + 4 * error, text))
    return found


def _regression(model: TrainedTable, rows: Tensor, sigma: float, seed: int) -> _Sums:
    """Over the numbers that are queried, the errors of one row's noisings taken together."""
    numbers, n, rounds = model.layout.numbers, len(rows), max(1, 512 // len(rows))
    given = _some_given(model, rows, seed)
    asked = given[:, :numbers].isnan()
    x0, level = rows[:, :numbers].nan_to_num(), Level(1.0, sigma)
    alphas = torch.ones(n, 1, dtype=torch.float64)
    sums = [torch.zeros(n, dtype=torch.float64) for _ in range(4)]
    bound, pattern = model.model.bound(given), model.model.pattern(given)
    for row in range(rounds):
        noise = normal(n, (numbers,), seed, "check table", row=row, dtype=torch.float64)
        x = level.noised(x0, noise)
        estimate = bound(x, level)
        alone = model.model.residual(x, alphas, sigma * alphas, pattern).estimate
        target, predicted = (noise, estimate.eps) if sigma < 0.5 * model.model.sigma_data else (x0, estimate.x0)
        parts = (target * predicted, predicted**2, (x0 - estimate.x0) ** 2, (x0 - alone.x0) ** 2)
        for total, part in zip(sums, parts, strict=True):
            total += torch.where(asked, part, 0.0).sum(1)
    return _Sums(*sums)


@torch.no_grad()
def _of_codes(model: TrainedTable, rows: Tensor) -> list[Row]:
    """The surprise of held-out codes given the rest of their rows is what the model expects of it: its entropy."""
    numbers, layout = model.layout.numbers, model.layout
    found = []
    for j in range(layout.codes):
        here = rows[:, numbers + j].isfinite()
        given = torch.where(rows.isfinite(), rows, torch.inf)[here]
        given[:, numbers:] = torch.where(rows[here, numbers:].isfinite(), rows[here, numbers:], torch.nan)
        given[:, numbers + j] = torch.nan
        for k, gate in enumerate(layout.gates):
            if gate == j:
                given[:, k] = torch.inf
        if len(given) < _LEAST:
            continue
        log = model.model.log_codes(given)[j]
        surprise = -log.gather(1, rows[here, numbers + j].long()[:, None])[:, 0]
        excess = surprise + (log.exp() * log).sum(1)
        found.append((float(excess.mean()), float(excess.std()) / math.sqrt(len(excess)), j))
    if not found:
        return []
    mean, error, j = max(found, key=lambda one: abs(one[0]) - 4 * one[1])
    name = model.codec.names_of_coordinates[numbers + j]
    text = f"-log p(code | rest) is its expectation, in nats; worst of {len(found)}: {name}, {mean:+.3f} +- {error:.3f}"
    return [Row("table: codes", abs(mean), 0.1 + 4 * error, text)]


def agreement(model: TrainedTable, own: Tensor, seed: int) -> Row:
    """The sampler draws from the density: `E_p[q / (p + q)] = E_q[p / (p + q)]`, both the integral of p q / (p + q).

    p is the model; q, whose density and draws are exact, its mixture somewhat widened and the codes' frequencies. What
    is averaged lies between 0 and 1, so that no tail can spoil it.
    """
    other = _of_wider(model, len(own), seed)
    means, errors = [], []
    for rows, sign in ((own, 1.0), (other, -1.0)):
        p = row_log_density(model.model, model.layout, rows, tolerance=_TOLERANCE, seed=seed).value
        share = torch.sigmoid(sign * (_log_wider(model, rows) - p))
        means.append(float(share.mean()))
        errors.append(float(share.std()) / math.sqrt(len(share)))
    text = f"E_p[q / (p + q)] = E_q[p / (p + q)], q a wider mixture: {means[0]:.3f} and {means[1]:.3f}"
    return Row("table: sampler and density", abs(means[0] - means[1]), 0.02 + 4 * math.hypot(*errors), text)


def _wider(model: TrainedTable) -> GaussianMixture:
    """The mixture with covariances that are as much greater as leaves an overlap in any dimension."""
    law = model.model.law
    return GaussianMixture(law.weights, law.means, (1 + law.means.shape[1] ** -0.5) * law.covariances)


def _of_wider(model: TrainedTable, n: int, seed: int) -> Tensor:
    """Rows of the wider mixture and of the codes' frequencies."""
    numbers, layout = model.layout.numbers, model.layout
    rows = torch.full((n, *model.codec.shape), math.nan, dtype=torch.float64)
    if numbers:
        rows[:, :numbers] = _wider(model).sample(n, seed)
    u = uniform(n, (max(1, layout.codes),), seed, "check codes", dtype=torch.float64)
    for j, table in enumerate(model.model.log_frequencies.double().split(model.codec.sizes)):
        edges = torch.softmax(table, 0).cumsum(0)
        rows[:, numbers + j] = torch.searchsorted(edges, u[:, j] * edges[-1]).clamp(max=len(edges) - 1).double()
    for k, gate in enumerate(layout.gates):
        if gate >= 0:
            rows[:, k] = torch.where(rows[:, numbers + gate] == 0, rows[:, k], math.nan)
    return rows


def _log_wider(model: TrainedTable, rows: Tensor) -> Tensor:
    numbers = model.layout.numbers
    total = log_densities(_wider(model), rows[:, :numbers]) if numbers else rows.new_zeros(len(rows))
    for j, table in enumerate(model.model.log_frequencies.double().split(model.codec.sizes)):
        total = total + torch.log_softmax(table, 0)[rows[:, numbers + j].long()]
    return total


def _error_bars(model: TrainedTable, rows: Tensor, seed: int) -> list[Row]:
    """The solver's errors are small; and draws within cells differ as their standard error says."""
    some = rows[:_BARS]
    fine, coarse = (
        row_log_density(model.model, model.layout, some, tolerance=t, seed=seed).value for t in (1e-4, _TOLERANCE)
    )
    text = f"log-densities to {_TOLERANCE:g} and to 1e-4 nats, median difference of {len(some)} rows"
    found = [Row("table: error of the solver", float((fine - coarse).abs().median()), _TOLERANCE, text)]
    if model.codec.counting:
        frame = model.codec.decode(some)
        a, b = (model.log_density(frame, tolerance=_TOLERANCE, seed=seed + k, draws=8) for k in (0, 1))
        error = (a.standard_error**2 + b.standard_error**2).sqrt().clamp(min=_TOLERANCE)
        measured = float(((a.value - b.value).abs() / error).median())
        found.append(Row("table: error bars", measured, 2.0, "two sets of draws differ by about one standard error"))
    return found


def _intervals(model: TrainedTable, rows: Tensor, seed: int) -> list[Row]:
    """The places of held-out values among draws given the rest of their rows are uniform."""
    columns = [column for column in modelled(model.codec) if is_number(column)][:_COLUMNS]
    ranks, worst = [], (0.0, 0.0, "")
    for k, column in enumerate(columns):
        actual = values_of(model.codec, column, rows)
        some = np.flatnonzero(np.isfinite(actual))[:_PREDICTED]
        if len(some) < _LEAST or len(model.codec.entries_of(column.name)) == rows.shape[1]:
            continue
        queried = rows[some].clone()
        queried[:, list(model.codec.entries_of(column.name))] = math.nan
        drawn = [values_of(model.codec, column, part) for part in model.draws(queried, _DRAWS, seed=seed)]
        found = np.sort(CellDraws(actual[some], np.stack(drawn)).ranks(seed, f"check {k}"))
        grid = np.arange(1, len(found) + 1) / len(found)
        distance = float(np.maximum(grid - found, found - grid + 1 / len(found)).max())
        ranks.append(found)
        worst = max(worst, (distance, 0.1 + 1.95 / math.sqrt(len(found)), str(column.name)))
    if not ranks:
        return []
    inside = np.concatenate([np.abs(one - 0.5) <= 0.45 for one in ranks])
    share, least = float(inside.mean()), min(len(one) for one in ranks)
    text = f"90 % intervals of {len(ranks)} column(s) hold {share:.1%} of {len(inside)} held-out values"
    uniform_text = f"ranks of held-out values among draws are uniform (Kolmogorov-Smirnov); worst column: {worst[2]}"
    return [
        Row("table: intervals", abs(share - 0.9), 0.05 + 4 * math.sqrt(0.09 / least), text),
        Row("table: ranks", worst[0], worst[1], uniform_text),
    ]


def _memorisation(model: TrainedTable, held: HeldOut, own: Tensor) -> list[Row]:
    if held.rows is None or held.training is None:
        return []
    rows = model.codec.encode(held.rows.iloc[: len(own)])
    new = with_holes(model.codec, model.codec.encode(model.codec.decode(own[: len(rows)])), rows)
    ratio = memorisation_ratio(model.codec, rows, new, model.codec.encode(held.training)) if len(rows) >= 4 else None
    if ratio is None:
        return []
    text = "distance of new rows to their nearest training row, over that of held-out ones"
    return [Row("table: memorisation", ratio.value, 0.8, text, at_least=True)]
