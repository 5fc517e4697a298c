"""Shrinkage of the network of a model of rows towards its mixture, estimated on rows that it was not trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.levels import LogUniform
from scorefield.numerics.random import normal, uniform
from scorefield.tables.denoiser import SHRINKAGE_KNOTS, MaskedDenoiser
from scorefield.tables.objective import MaskedObjective, Shares

_POINTS = (512, 6144)  # masked rows of each kind, least and most
_EACH = 32  # of a held-out row, in between
_MOST_ROWS = 1024
_PRIOR = (0.02, 0.1)  # of the mean evidence of a knot: for 1 in the factors of all numbers, for these in those of each
_LEAST, _MOST = 0.0, 1.2


@torch.no_grad()
def fit_shrinkage(model: MaskedDenoiser, objective: MaskedObjective, held: Tensor) -> Tensor:
    """The factors with which the network's answers lose least on held-out rows, `(*SHRINKAGE_KNOTS, d)`.

    A network that has learned its rows by heart is sure of what it cannot know, above all when most of a row is given
    and little noise is left. Multiplied by `E[answer * left] / E[answer^2]`, its answer is the best that its direction
    allows, and 0 where it is no better than the mixture: the density of new rows then is no worse either, as that is
    an integral of these losses over the levels (Song and others 2021). Linear between knots in the level and in the
    share of the row that is given; those of one number are held towards those of all, and these towards 1, where
    held-out rows say little.

    Args:
        model: trained.
        objective: that it was trained with; its masks are drawn again.
        held: `(m, entries)`, rows held out.
    """
    knots, d = math.prod(SHRINKAGE_KNOTS), model.network.dim
    if not d or not len(held):
        return torch.ones_like(model.shrinkage)
    square, product = torch.zeros(d, knots, knots, dtype=torch.float64), torch.zeros(d, knots, dtype=torch.float64)
    index, rows = to_mask(held, _MOST_ROWS)
    for k, kind in enumerate((Shares(1.0, 0.0, 0.0), Shares(0.0, 1.0, 0.0), None)):
        given = (
            _one_number_queried(objective, rows, index)
            if kind is None
            else objective.with_shares(kind).masks(rows, index)[0]
        )
        for part in index.split(512):
            a, b = _normal_equations(model, rows[part], given[part], part, objective.seed + k)
            square, product = square + a, product + b
    if not float(square.sum()):  # the network says nothing
        return torch.ones_like(model.shrinkage)
    common = _ridge(square.sum(0), product.sum(0), torch.ones(knots, dtype=torch.float64), _PRIOR[0])
    each = [_ridge(a, b, common, _PRIOR[1]) for a, b in zip(square, product, strict=True)]
    return torch.stack(each, 1).clamp(_LEAST, _MOST).reshape(model.shrinkage.shape).to(model.shrinkage)


def to_mask(held: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
    """Numbers `(n,)` of draws of masks, and the held-out row `(n, entries)` of each, of the first `most` or of all."""
    index = torch.arange(min(max(_EACH * len(held), _POINTS[0]), _POINTS[1]))
    return index, held[index % min(len(held), most or len(held))]


def _ridge(square: Tensor, product: Tensor, prior: Tensor, share: float) -> Tensor:
    """The factors of least squares, held towards a prior (ridge regression)."""
    weight = share * square.diagonal().mean().clamp(min=1e-12) * torch.eye(len(square), dtype=square.dtype)
    return torch.linalg.solve(square + weight, product + weight @ prior)


def _normal_equations(
    model: MaskedDenoiser, rows: Tensor, given: Tensor, number: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """The normal equations of each number's factors for some masked rows: `(d, knots, knots)`, `(d, knots)`."""
    place = uniform(len(rows), (), seed, "gains levels", first=number, dtype=torch.float64)
    level = LogUniform(model.sigma_min, model.sigma_max)(place)
    noise = normal(len(rows), rows.shape[1:], seed, "gains noise", first=number, dtype=torch.float64)
    x = model.noised(rows, level, given, noise)
    raw = model.raw(x.to(rows.dtype), level, given)[None]
    weights = model.knot_weights(level, model.pattern(given))
    answers, rest = (weights.new_zeros(len(rows), model.network.dim) for _ in range(2))
    for index, answer, left in model.compared(rows, level, given, noise, raw):
        answers[index], rest[index] = answer[0], left
    square = torch.stack([(weights * column[:, None]).T @ weights for column in answers.square().T])
    return square, (answers * rest).T @ weights


def _one_number_queried(objective: MaskedObjective, rows: Tensor, number: Tensor) -> Tensor:
    """One number of each row is queried, the rest given."""
    numbers = objective.numbers
    there = torch.isfinite(rows[:, :numbers])
    draw = uniform(len(rows), (numbers,), objective.seed, "gains asked", first=number, dtype=torch.float64)
    chosen = torch.where(there, draw, -1.0).argmax(1)
    given = torch.where(torch.isfinite(rows), rows, torch.inf)
    given[:, numbers:] = torch.where(torch.isfinite(rows[:, numbers:]), rows[:, numbers:], torch.nan)
    some = there.any(1).nonzero()[:, 0]
    given[some, chosen[some]] = torch.nan
    return given
