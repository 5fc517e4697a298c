"""What a run of arrays or images answers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield.data.dataset import Array
from scorefield.progress import Report, counted
from scorefield.records.trained import TrainedModel
from scorefield.serving import options as o
from scorefield.serving.asks import Answer, Ask, Endpoint

_AT_ONCE = 64  # records whose density is found between two looks at the time


def sample(model: TrainedModel, asks: Sequence[Ask], report: Report) -> list[Answer]:
    """New records, with their classes where the model has some."""
    each: list[o.SampleRecords] = [ask.options for ask in asks]
    how, counts = each[0], [one.n for one in each]
    seed: int | Tensor = how.seed
    first: int | Tensor = how.first
    if len(asks) > 1:
        seed = torch.tensor([one.seed for one in each for _ in range(one.n)])
        first = torch.cat([torch.arange(one.first, one.first + one.n) for one in each])
    total = sum(counts)
    labels = model.conditions(total, seed=seed, first=first) if how.condition is None else None
    wanted = how.condition if labels is None else labels
    drawn = model.sample(
        total, steps=how.steps, seed=seed, first=first, condition=wanted, guidance=how.guidance, report=report
    )
    ends = np.cumsum(counts)[:-1]
    classes = [None] * len(asks) if labels is None else np.split(labels.numpy(), ends)
    return [
        Answer(records=part, labels=own, evaluations=how.steps * len(part))
        for part, own in zip(np.split(drawn, ends), classes, strict=True)
    ]


def density(model: TrainedModel, asks: Sequence[Ask], report: Report) -> list[Answer]:
    """Log-densities of records, a few at a time: what one gets does not depend on the others."""
    how: o.RecordDensity = asks[0].options
    records = _joined(asks)
    starts = range(0, len(records), _AT_ONCE)
    parts = [
        model.log_density(records[start : start + _AT_ONCE], condition=how.condition, tolerance=how.tolerance)
        for start in counted(starts, len(starts), report, "log-densities")
    ]
    names = ("log_density", "standard_error", "solver_error")
    values = [(part.value, part.standard_error, part.solver_error) for part in parts]
    rows = [dict(zip(names, map(_number, row), strict=True)) for part in values for row in zip(*part, strict=True)]
    evaluations, answers, start = torch.cat([part.evaluations for part in parts]), [], 0
    for ask in asks:
        piece = slice(start, start + len(ask.data))
        answers.append(Answer(rows[piece], evaluations=int(evaluations[piece].sum())))
        start = piece.stop
    return answers


def _view(name: str) -> Callable[[TrainedModel, Sequence[Ask], Report], list[Answer]]:
    """An answer to noised records by a method of the model that is called so."""

    def answer(model: TrainedModel, asks: Sequence[Ask], report: Report) -> list[Answer]:
        how: o.Noised = asks[0].options
        found = getattr(model, name)(_joined(asks), how.sigma, how.condition)
        ends = np.cumsum([len(ask.data) for ask in asks])[:-1]
        return [Answer(records=part, evaluations=len(part)) for part in np.split(found, ends)]

    return answer


def _joined(asks: Sequence[Ask]) -> Array:
    return np.concatenate([ask.data for ask in asks])


def _number(value: Tensor) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None


def _alike(model: TrainedModel, how: o.SampleRecords) -> Hashable | None:
    """Draws go together whatever their number and seeds, unless the plan adds noise."""
    stochastic = model.plan(how.steps).stochastic
    return None if stochastic else (how.steps, how.condition, how.guidance)


def _same(model: TrainedModel, how: Any) -> Hashable:
    return how


ENDPOINTS = (
    Endpoint(
        "sample", "new records, with their classes where the model has some", o.SampleRecords, "nothing", "records",
        sample, _alike, wanted=lambda how, given: how.n,
        evaluations=lambda how, given: how.n * how.steps * (1 if how.guidance == 1 else 2),
    ),
    Endpoint(
        "density", "log-density of each record in nats, with its standard error and that of the solver",
        o.RecordDensity, "records", "rows", density, _same,
    ),
    Endpoint(
        "denoise", "E[record | noised record], of records with noise of sigma standard deviations on them",
        o.Noised, "records", "records", _view("denoise"), _same, evaluations=lambda how, given: given,
    ),
    Endpoint(
        "score", "grad log p of the noised data at noised records, per unit of the record",
        o.Noised, "records", "records", _view("score"), _same, evaluations=lambda how, given: given,
    ),
)  # fmt: skip
"""Of `runs.RECORDS`."""
