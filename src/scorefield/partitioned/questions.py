"""Questions, and the answer to one of one file: what a worker does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch

from scorefield import runs
from scorefield.data import DataError, TableFile, write_filled
from scorefield.data.writing import _atomically
from scorefield.partitioned.files import arrow_of, index_of, table_of
from scorefield.partitioned.parts import Part
from scorefield.tables.answers import beside_actual, densities, predicted
from scorefield.tables.conform import conform, free_name
from scorefield.tables.outliers import expected, listed, usual_log_density
from scorefield.tables.trained import TrainedTable

if TYPE_CHECKING:
    import pandas as pd

Unseen = Literal["error", "missing"]


@dataclass(frozen=True)
class Density:
    """Log-densities of rows; options as of `scorefield density`."""

    tolerance: float = 0.01
    seed: int = 0
    unseen: Unseen = "error"


@dataclass(frozen=True)
class Outliers:
    """The least likely rows of all; options as of `scorefield outliers`."""

    share: float = 0.05
    tolerance: float = 0.01
    seed: int = 0
    unseen: Unseen = "error"


@dataclass(frozen=True)
class Impute:
    """Filled holes; options as of `scorefield impute`."""

    draws: int = 1
    steps: int = 18
    seed: int = 0
    unseen: Unseen = "error"


@dataclass(frozen=True)
class Predict:
    """A column predicted from the others; options as of `scorefield predict`."""

    target: str
    interval: float = 0.9
    steps: int = 18
    seed: int = 0
    unseen: Unseen = "error"


@dataclass(frozen=True)
class Sample:
    """New records; options as of `scorefield sample`."""

    steps: int = 18
    seed: int = 0
    condition: int | None = None
    guidance: float = 1.0
    given: tuple[str, ...] = ()
    repeats: bool = True


Question = Density | Outliers | Impute | Predict
COMMANDS: dict[type, str] = {Density: "density", Outliers: "outliers", Impute: "impute", Predict: "predict"}
"""The command whose runs answer a question."""


class Task(NamedTuple):
    """One file to write.

    Args:
        run: folder of the model.
        question: to it.
        source: folder of the rows; the output's own for new records.
        output: folder of the answers.
        part: of the source.
        chosen: of outliers, which rows of the part they are, `(k,)`, and their ranks among all, from 1.
    """

    run: str
    question: Question | Sample
    source: str
    output: str
    part: Part
    chosen: tuple[np.ndarray, np.ndarray] | None = None


def answered(task: Task) -> str:
    """Write the answer of one file, whole or not at all; returns the file's name.

    One thread computes: results of matrix kernels may depend on the number of threads, and these must not.
    """
    model = _loaded(task.run)
    with _one_thread():
        if isinstance(task.question, Sample):
            _sample(model, task, task.question)
        else:
            _ANSWERS[type(task.question)](model, task, task.question)
    return task.part.name


def values_of(path: Path) -> np.ndarray:
    """The rank's log-density of each row, from the file of a part's densities."""
    return np.asarray(arrow_of(path, [_RANKED])[_RANKED].to_numpy())


_RANKED = "ranked"  # the log-density by which a row is ranked, as if its holes were as likely as usual


@lru_cache(maxsize=2)
def _loaded(run: str) -> Any:
    return runs.load(run)


@lru_cache(maxsize=2)
def _usual(run: str, seed: int) -> dict[Any, float]:
    return expected(_loaded(run), seed)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _read(model: TrainedTable, task: Task, unseen: Unseen, target: str | None = None) -> tuple[TableFile, pd.DataFrame]:
    """The file, and its rows as the model has them; a fault of the rows names the file."""
    path = Path(task.source) / task.part.name
    table = table_of(path)
    table = table.without([n for n in model.info.get("data", {}).get("left_out", ()) if n in table.frame.columns])
    frame = table.frame if target is None else model.without(table.frame, target)
    try:
        return table, conform(model.codec, frame, unseen)
    except DataError as fault:
        raise DataError(f"{path}: {fault}") from None


def _density(model: TrainedTable, task: Task, how: Density) -> None:
    _, rows = _read(model, task, how.unseen)
    _write(densities(model, rows, tolerance=how.tolerance, seed=how.seed), task)


def _predict(model: TrainedTable, task: Task, how: Predict) -> None:
    table, rows = _read(model, task, how.unseen, how.target)
    first = task.part.first
    found = predicted(model, rows, how.target, how.interval, steps=how.steps, seed=how.seed, first=first)
    found = beside_actual(found, table.frame.get(how.target), model.codec.schema[how.target])
    _write(found.assign(row=found["row"] + first), task)


def _impute(model: TrainedTable, task: Task, how: Impute) -> None:
    table, rows = _read(model, task, how.unseen)
    found = model.impute(rows, draws=how.draws, steps=how.steps, seed=how.seed, first=task.part.first)
    write_filled(table, rows, found, Path(task.output) / task.part.name, free_name("draw", list(rows.columns)))


def _outliers(model: TrainedTable, task: Task, how: Outliers) -> None:
    """First the densities of all rows; when they are ranked, the rows that were chosen."""
    _, rows = _read(model, task, how.unseen)
    usual = _usual(task.run, how.seed)
    if task.chosen is None:
        found = densities(model, rows, tolerance=how.tolerance, seed=how.seed)
        return _write(found.assign(**{_RANKED: usual_log_density(found, rows, usual)}), task)
    place, rank = task.chosen
    ranked = Path(task.output) / DENSITIES / task.part.name
    found = arrow_of(ranked).to_pandas().reset_index(drop=True).drop(columns=_RANKED).iloc[place]
    rows = rows.reset_index(drop=True).iloc[place]
    made = listed(model, rows, found, task.part.first + place + 1, usual, seed=how.seed)
    made.insert(0, free_name("rank", list(made.columns)), rank)
    _write(made, task, index=False)


DENSITIES = "densities"
"""The folder, in that of outliers, of the densities of all rows."""


def _sample(model: Any, task: Task, how: Sample) -> None:
    path = Path(task.output) / task.part.name
    runs.kind_of_model(model).write_samples(
        model,
        path,
        task.part.rows,
        steps=how.steps,
        seed=how.seed,
        condition=how.condition,
        guidance=how.guidance,
        given=how.given,
        repeats=how.repeats,
        first=task.part.first,
    )


def _write(found: pd.DataFrame, task: Task, index: bool = True) -> None:
    """A part's results, a row for each of its rows, with the index of these where the file has one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = found.set_axis([str(name) for name in found.columns], axis=1).reset_index(drop=True)
    if index:
        made.index = index_of(Path(task.source) / task.part.name)
    folder = DENSITIES if isinstance(task.question, Outliers) and task.chosen is None else ""
    _atomically(Path(task.output) / folder / task.part.name, lambda to: pq.write_table(pa.Table.from_pandas(made), to))


_ANSWERS: dict[type, Any] = {Density: _density, Outliers: _outliers, Impute: _impute, Predict: _predict}
