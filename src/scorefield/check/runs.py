"""All laws together: on the library and, for a trained model, on that model with its held-out records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scorefield import metrics, runs
from scorefield.check.exact import library
from scorefield.check.models import of_model
from scorefield.check.report import CheckReport, Row
from scorefield.check.tables import of_table
from scorefield.data import Dataset
from scorefield.records.held import held_out as held_records
from scorefield.tables.held import held_out as held_rows


def laws(model: Any = None, data: str | Path | Dataset | None = None, *, seed: int = 0) -> CheckReport:
    """The laws on the installed library and, for a trained model, on that model.

    Args:
        model: a trained model; None: the library alone, with exact models.
        data: records to hold against it; if they are what it was fitted to, its held-out rows are taken. Default: what
            it was fitted to, where that can be loaded again.
        seed: of all noise.

    Raises:
        DataError: for data given that cannot be read, or do not fit the model.

    Example:
        >>> laws().passed
        True
    """
    rows = library(seed)
    if model is None:
        return CheckReport(rows)
    own = of_trained(model, data, seed=seed)
    return CheckReport((*rows, *own.rows), own.note)


def of_trained(model: Any, data: Any = None, *, seed: int = 0) -> CheckReport:
    """The laws on a trained model alone; arguments as `laws`."""
    return _LAWS[runs.kind_of_model(model).form](model, data, seed)


def _of_records(model: Any, data: Any, seed: int) -> CheckReport:
    held = held_records(model, data, seed=seed)
    rows = of_model(
        model.model, held.x, condition=held.condition, plan=model.plan(18), shape=model.codec.shape, seed=seed
    )
    if held.x is not None and held.training is not None:
        rows = (*rows, _memorisation(model, held.x, held.training, seed))
    return CheckReport(rows, held.note)


def _of_table(model: Any, data: Any, seed: int) -> CheckReport:
    held = held_rows(model, data)
    return CheckReport(of_table(model, held, seed=seed), held.note)


def _memorisation(model: Any, held: Tensor, training: Tensor, seed: int) -> Row:
    n = min(len(held), 500)
    new = model.codec.encode(model.sample(n, seed=seed))
    ratio = metrics.memorisation(new, training, held[:n].cpu())
    text = "distance of new records to their nearest training record, over that of held-out ones"
    return Row("model: memorisation", ratio, 0.8, text, at_least=True)


_LAWS: Mapping[str, Callable[[Any, Any, int], CheckReport]] = {
    runs.RECORDS.form: _of_records,
    runs.TABLES.form: _of_table,
}
"""For each kind of data the laws of its models."""
