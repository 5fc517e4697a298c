"""What a run of a table answers."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from scorefield.progress import Report
from scorefield.serving import options as o
from scorefield.serving.asks import Answer, Ask, Endpoint
from scorefield.serving.rows import Row, check_cells, frame_of, rows_of
from scorefield.tables.answers import beside_actual, density_frame, predicted
from scorefield.tables.conform import conform, free_name
from scorefield.tables.given import parse
from scorefield.tables.outliers import outliers as least_likely
from scorefield.tables.trained import TrainedTable

if TYPE_CHECKING:
    import pandas as pd


def sample(model: TrainedTable, asks: Sequence[Ask], report: Report) -> list[Answer]:
    """New rows."""
    if len(asks) == 1:
        one: o.SampleRows = asks[0].options
        given = parse(one.given, model.codec.schema)
        drawn = model.sample(
            one.n, steps=one.steps, seed=one.seed, first=one.first, given=given, repeats=one.repeats, report=report
        )
    else:
        each, how = [ask.options for ask in asks], asks[0].options
        seeds = torch.tensor([one.seed for one in each for _ in range(one.n)])
        first = torch.cat([torch.arange(one.first, one.first + one.n) for one in each])
        drawn = model.sample(len(seeds), steps=how.steps, seed=seeds, first=first, repeats=how.repeats, report=report)
    rows, steps = iter(rows_of(drawn)), asks[0].options.steps
    return [Answer(_next(rows, ask.options.n), evaluations=steps * ask.options.n) for ask in asks]


def density(model: TrainedTable, asks: Sequence[Ask], report: Report) -> list[Answer]:
    """Log-densities of rows."""
    how: o.RowDensity = asks[0].options
    frame = conform(model.codec, _joined(model, asks), how.unseen)
    found = model.log_density(frame, tolerance=how.tolerance, seed=how.seed, report=report)
    rows, counts = iter(rows_of(density_frame(model, found, frame.index))), iter(found.evaluations.tolist())
    return [
        Answer(_next(rows, len(ask.data)), warnings=told, evaluations=sum(_next(counts, len(ask.data))))
        for ask, told in zip(asks, _warnings(model, frame, asks), strict=True)
    ]


def predict(model: TrainedTable, asks: Sequence[Ask], report: Report) -> list[Answer]:
    """A column predicted from the others."""
    how: o.Predict = asks[0].options
    read = _joined(model, asks)
    frame = conform(model.codec, model.without(read, how.target), how.unseen)
    found = predicted(model, frame, how.target, how.interval, steps=how.steps, seed=how.seed, report=report)
    answers, start = [], 0
    for ask in asks:
        piece = slice(start, start + len(ask.data))
        known = any(how.target in row for row in ask.data)
        actual = read[how.target].iloc[piece] if known else None
        table = beside_actual(found.iloc[piece], actual, model.codec.schema[how.target])
        answers.append(Answer(rows_of(table), evaluations=how.steps * len(table)))
        start = piece.stop
    return answers


def impute(model: TrainedTable, asks: Sequence[Ask], report: Report) -> list[Answer]:
    """Rows with their holes filled."""
    (ask,) = asks
    how: o.Impute = ask.options
    frame = conform(model.codec, _joined(model, asks), how.unseen)
    found = model.impute(frame, draws=how.draws, steps=how.steps, seed=how.seed, report=report)
    name = free_name("draw", list(frame.columns))
    tables = [rows_of(part) for part in found]
    rows = tables[0] if how.draws == 1 else [{name: k} | row for k, part in enumerate(tables, 1) for row in part]
    return [Answer(rows, warnings=model.codec.warnings(frame), evaluations=how.steps * len(rows))]


def outliers(model: TrainedTable, asks: Sequence[Ask], report: Report) -> list[Answer]:
    """The least likely rows, with what is the most surprising in them."""
    (ask,) = asks
    how: o.Outliers = ask.options
    frame = conform(model.codec, _joined(model, asks), how.unseen)
    found = least_likely(model, frame, how.share, tolerance=how.tolerance, seed=how.seed, report=report)
    return [Answer(rows_of(found), warnings=model.codec.warnings(frame))]


def _joined(model: TrainedTable, asks: Sequence[Ask]) -> pd.DataFrame:
    return frame_of(model.codec.schema, [row for ask in asks for row in ask.data])


def _next(values: Iterator[Any], count: int) -> list[Any]:
    return [next(values) for _ in range(count)]


def _warnings(model: TrainedTable, frame: pd.DataFrame, asks: Sequence[Ask]) -> list[list[str]]:
    """Of each request's rows; looked for one by one only where all together have some."""
    together = model.codec.warnings(frame) if len(asks) == 1 else _any(model, frame)
    if len(asks) == 1 or not together:
        return [list(together) for _ in asks]
    bounds = [0]
    for ask in asks:
        bounds.append(bounds[-1] + len(ask.data))
    return [model.codec.warnings(frame.iloc[a:b]) for a, b in pairwise(bounds)]


def _any(model: TrainedTable, frame: pd.DataFrame) -> list[str]:
    """What is worth knowing of some row; a column without values in one request may have them in another."""
    names = [column.name for column in model.codec.schema if column.kind not in ("constant", "copy")]
    holes = bool(frame[names].isna().any(axis=None))
    return model.codec.warnings(frame) or (["holes"] if holes else [])


def _alike(model: TrainedTable, how: o.SampleRows) -> Hashable | None:
    """Draws go together whatever their number and seeds, but for conditions."""
    return None if how.given else (how.steps, how.repeats)


def _of_one_target(model: TrainedTable, how: o.Predict) -> Hashable | None:
    """Predictions of one column with the same options; times are predicted by draws, which rows number."""
    names = {str(column.name): column for column in model.codec.schema}
    column = names.get(how.target)
    drawn = column is None or column.holds == "times" or column.kind == "copy"
    return None if drawn else replace(how, seed=0)


def _asked(how: Any, given: int) -> int:
    return int(how.steps * given)


ENDPOINTS = (
    Endpoint(
        "sample", "new rows", o.SampleRows, "nothing", "rows", sample, _alike,
        wanted=lambda how, given: how.n, evaluations=lambda how, given: how.n * how.steps,
    ),
    Endpoint(
        "density", "log-density of each row in nats, its standard error, and its percentile among the training rows",
        o.RowDensity, "rows", "rows", density, lambda model, how: how,
    ),
    Endpoint(
        "outliers", "the least likely rows, the least likely first, each with its most surprising column",
        o.Outliers, "rows", "rows", outliers,
    ),
    Endpoint(
        "impute", "the rows with their holes filled by draws given what is there", o.Impute, "rows", "rows", impute,
        wanted=lambda how, given: how.draws * given, evaluations=lambda how, given: how.draws * given * how.steps,
    ),
    Endpoint(
        "predict", "a column predicted from the others: mean, median and interval, or probabilities",
        o.Predict, "rows", "rows", predict, _of_one_target, evaluations=_asked,
    ),
)  # fmt: skip
"""Of `runs.TABLES`."""


def check(model: TrainedTable, endpoint: Endpoint, rows: list[Row], how: Any) -> None:
    """Raise a DataError for rows that are not the model's."""
    check_cells(model.codec.schema, rows, getattr(how, "target", None))
