"""Rows as a law that corrects the reference: what their log-densities are integrated from."""

from __future__ import annotations

import copy
import math
from dataclasses import fields
from functools import lru_cache

import torch
from torch import Tensor

from scorefield.analytic.at_level import MixtureAtLevel
from scorefield.likelihood import LogDensity
from scorefield.likelihood.corrected import Points, Slopes, corrected_log_densities, over_levels
from scorefield.likelihood.level_density import USUAL, LevelDensity
from scorefield.likelihood.reference import Reference
from scorefield.progress import Report
from scorefield.tables.denoiser import BoundDenoiser, MaskedDenoiser
from scorefield.tables.network import MaskedMLP
from scorefield.tables.row_model import by_pattern, centre
from scorefield.tables.tangents import Entrance, LevelNetwork

_SINGLE = 1e-4  # nats: from this tolerance on single precision is enough for the network
_HALF = 5e-3  # nats: from here on bfloat16 is enough for the derivatives, which it changes by less than 1e-3 nats
_TANGENTS = 5 << 18  # numbers at a time: 5 MB in single precision
_PILOTS, _PILOT_STEPS = 64, 48  # rows that say where levels should lie
_FIRST = (8, 12, 16, 24)  # steps that may be made first
_TOLERANCE, _MOST_ROWS = 1e-2, 0.95  # nats; of so many rows the error should not be greater
_LEVELS = 64  # at which weights are kept


class Levels:
    """A model at the noise levels that were asked last, its network in the precision that a tolerance asks for.

    Args:
        model: of rows.
        tolerance: in nats.
    """

    def __init__(self, model: MaskedDenoiser, tolerance: float) -> None:
        self.law, network = model.law, model.network
        self.network = copy.deepcopy(network).float() if tolerance >= _SINGLE else network
        self.dtype = self.network.inputs.weight.dtype
        self._tangents = torch.bfloat16 if tolerance >= _HALF and _multiplies_bfloat16() else self.dtype
        self.network_at = lru_cache(maxsize=_LEVELS)(self._network_at)
        self.law_at = lru_cache(maxsize=4 * _LEVELS)(self._law_at)

    def _law_at(self, s: float) -> MixtureAtLevel:
        return MixtureAtLevel(self.law.weights, self.law.means, self.law.covariances, s)

    def _network_at(self, s: float) -> LevelNetwork:
        return LevelNetwork(self.network, torch.tensor(math.log(s), dtype=self.dtype), self._tangents)


class CorrectedRows:
    """Some numbers of rows, all of which are queried as a whole, or none, counted from each row's `mean`.

    Args:
        bound: the model of the rows.
        levels: of the model.
        mean: `(n, numbers)`.
        columns: `(d,)`, those that are queried in some row.
        counted: `(n, d)`, whether they are in this one.
    """

    def __init__(self, bound: BoundDenoiser, levels: Levels, mean: Tensor, columns: Tensor, counted: Tensor) -> None:
        self.bound, self.levels, self.mean, self.columns, self.counted = bound, levels, mean, columns, counted
        self._own = _own_columns(counted)
        self._directions = _directions(mean, columns, None if bound.whole else self._own)
        self._entrance = Entrance(levels.network, bound.given.to(levels.dtype))
        once = lru_cache(maxsize=1)  # all are asked twice at each level
        self._noise_at = once(bound.reference_noise_at)
        self._matrix_at, self._scale_at = once(self._matrix), once(self._scale)

    def base(self, z: Tensor, s: float) -> Tensor:
        """`E[eps | z]` of the reference at (1, s)."""
        if self.bound.whole:
            return self.levels.law_at(s).noise(self._moved(z))
        return torch.where(self.counted, self._noise_at(s)(self._moved(z))[:, self.columns], 0.0)

    def change(self, z: Tensor, s: float) -> Tensor:
        """What the network adds to `E[x0]`."""
        size = 1 / math.sqrt(1 + s**2)
        raw = self.levels.network_at(s).answer((self._moved(z) * size).to(self.levels.dtype), self._entrance)
        return self._scaled(raw.double(), s)

    def change_and_divergence(self, z: Tensor, s: float) -> tuple[Tensor, Tensor]:
        """The same, and its divergence."""
        size, dtype = 1 / math.sqrt(1 + s**2), self.levels.dtype
        raw, moved = self.levels.network_at(s).answer_and_derivatives(
            (self._moved(z) * size).to(dtype), self._entrance, (self._directions * size).to(dtype)
        )
        change = self._scaled(raw.double(), s)
        if self.bound.whole:
            return change, (moved.double() * self._matrix_at(s)[:, None]).sum((0, 2))
        own = moved.double().gather(2, self.columns[self._own].T[..., None])[..., 0].T
        return change, (own * self._scale_at(s).gather(1, self._own)).sum(1)

    def _scaled(self, raw: Tensor, s: float) -> Tensor:
        return raw @ self._matrix_at(s) if self.bound.whole else raw[:, self.columns] * self._scale_at(s)

    def _matrix(self, s: float) -> Tensor:
        """What the answers for whole rows are multiplied by: one scale of each direction of the basis."""
        basis = self.bound.model.basis
        return (basis * self.bound.scale(s)) @ basis.T

    def _scale(self, s: float) -> Tensor:
        return torch.where(self.counted, self.bound.scale(s)[:, self.columns], 0.0)

    def log_density(self, z: Tensor, s: float) -> Tensor:
        """Of the reference."""
        return self.bound.reference_log_density(self._moved(z), s)

    def _moved(self, z: Tensor) -> Tensor:
        return self.mean.index_add(1, self.columns, z)


def _own_columns(counted: Tensor) -> Tensor:
    """The places `(n, q)` of the columns that count in a row, then of others; q: the most that count in a row."""
    most = int(counted.sum(1).max()) if counted.numel() else 0
    return (~counted).byte().argsort(dim=1, stable=True)[:, :most]


def _directions(mean: Tensor, columns: Tensor, own: Tensor | None) -> Tensor:
    """Along which answers are differentiated: all columns, `(d, 1, numbers)`, or each row's own, `(q, n, numbers)`."""
    each = torch.eye(mean.shape[1], dtype=torch.float64)[columns]
    return each[:, None] if own is None else each[own.T]


def corrected_rows(
    model: MaskedDenoiser, levels: Levels, given: Tensor, x: Tensor, beside: Tensor | None = None
) -> tuple[CorrectedRows, Points]:
    """The law of rows all of which are queried as a whole, or none, and the points at which it is asked.

    Args:
        model: of rows.
        levels: of the model.
        given: `(n, numbers + codes)`, the condition.
        x: `(n, numbers)`, the numbers that are queried.
        beside: how far others are from these, `(k, n, numbers)`.
    """
    bound, numbers = model.bound(given), x.shape[1]
    ask = torch.isnan(given[:, :numbers])
    columns = ask.any(0).nonzero()[:, 0]
    if bound.whole:
        mean, reference = model.mean.expand(len(x), -1), Reference.of(model, x, 0.0, model.covariance)
    else:
        mean = centre(bound, numbers)
        reference = Reference(torch.zeros(len(columns)).double(), torch.ones(len(columns)).double())
    z, counted = torch.where(ask, x - mean, 0.0)[:, columns], ask[:, columns]
    others = None if beside is None else torch.where(ask, beside, 0.0)[:, :, columns]
    return CorrectedRows(bound, levels, mean, columns, counted), Points(z, counted, reference, others)


def numbers_log_density(
    model: MaskedDenoiser,
    given: Tensor,
    x: Tensor,
    tolerance: float,
    evaluations: int | None,
    batch: int | None,
    report: Report,
    beside: Tensor | None = None,
) -> tuple[LogDensity, Tensor]:
    """`log p` of the numbers that are queried, of rows all of which are queried as a whole, or none.

    Args:
        model: of rows.
        given: `(n, numbers + codes)`, the condition.
        x: `(n, numbers)` float64.
        tolerance: in nats.
        evaluations: instead of a tolerance.
        batch: rows at a time; default: as many as keep their tangents in a processor's cache.
        report: hears how far the work is.
        beside: how far other numbers are from these, `(k, n, numbers)`.

    Returns:
        The log-densities, and by how much those of the numbers beside differ, `(k, n)`.
    """
    levels = Levels(model, tolerance)
    order = by_pattern(given[:, : x.shape[1]])
    at_once = batch or _rows_at_once(model.network, x.shape[1])

    def law_of(rows: Tensor) -> tuple[CorrectedRows, Points]:
        mine = order[rows]
        return corrected_rows(model, levels, given[mine], x[mine], None if beside is None else beside[:, mine])

    joint = not bool(torch.isfinite(given[:, : x.shape[1]]).any())
    found, differences = corrected_log_densities(
        law_of, len(x), at_once, model.sigma_min, model.sigma_max, tolerance, evaluations, report,
        model.level_density if joint else USUAL, 0 if beside is None else len(beside),
    )  # fmt: skip
    back = order.argsort()
    return LogDensity(*(getattr(found, f.name)[back] for f in fields(LogDensity))), differences[:, back]


@torch.no_grad()
def level_density_of(model: MaskedDenoiser, given: Tensor, x: Tensor) -> LevelDensity:
    """Where the levels of log-densities of whole rows should lie, and how many come first, from the first of some rows.

    Args:
        model: of rows.
        given: `(n, numbers + codes)`, the condition, in which no number is given.
        x: `(n, numbers)`, the numbers that are queried.
    """
    whole = torch.isnan(given[:, : x.shape[1]]).all(1)
    mine = (whole if 2 * int(whole.sum()) >= len(x) else ~whole).nonzero()[:_PILOTS, 0]
    if not len(mine) or not x.shape[1]:
        return USUAL
    law, points = corrected_rows(model, Levels(model, _HALF), given[mine], x[mine])

    def slopes(density: LevelDensity) -> tuple[list[float], Slopes]:
        times, weights = density.levels(model.sigma_min, model.sigma_max, _PILOT_STEPS)
        return times, over_levels(law, points, times, weights)

    times, found = slopes(USUAL)
    density = LevelDensity.of_sizes(times, found.whole.abs().mean(1))
    found = slopes(density)[1]

    true = found.summed()[0]

    def evaluations(steps: int) -> float:
        """Of a row, in the mean; more than any number of steps costs, where too many rows would be wrong."""
        value, error = found.summed(_PILOT_STEPS // steps)
        away, again = (value - true).abs(), (error > _TOLERANCE).double().mean()
        right = bool((away < _TOLERANCE).double().mean() >= _MOST_ROWS)
        return (1 + steps + (1 + 2 * steps) * float(again)) * (1 if right else _PILOT_STEPS)

    return density._replace(steps=min(_FIRST, key=evaluations))


def _rows_at_once(network: MaskedMLP, directions: int) -> int:
    members, _, width = network.inputs.weight.shape
    return max(16, _TANGENTS // (members * directions * width))


def _multiplies_bfloat16() -> bool:
    """Whether the processor has tiles for products in bfloat16: without them they are slower than in float32."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
