"""All laws together: on the library and, for a trained model, on that model with its held-out records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from scorefield import metrics, runs
from scorefield.check.exact import library
from scorefield.check.models import of_model
from scorefield.check.report import CheckReport, Row
from scorefield.data import Dataset


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


def of_trained(model: Any, data: str | Path | Dataset | None = None, *, seed: int = 0) -> CheckReport:
    """The laws on a trained model alone; arguments as `laws`."""
    held_out = runs.kind_of_model(model).held_out
    if held_out is None:
        raise ValueError(f"{type(model).__name__} has no laws of its own yet; they are for arrays and images.")
    held = held_out(model, data, seed=seed)
    rows = of_model(
        model.model, held.x, condition=held.condition, plan=model.plan(18), shape=model.codec.shape, seed=seed
    )
    if held.x is not None and held.training is not None:
        rows = (*rows, _memorisation(model, held.x, held.training, seed))
    return CheckReport(rows, held.note)


def _memorisation(model: Any, held: Tensor, training: Tensor, seed: int) -> Row:
    n = min(len(held), 500)
    new = model.codec.encode(model.sample(n, seed=seed))
    ratio = metrics.memorisation(new, training, held[:n].cpu())
    text = "distance of new records to their nearest training record, over that of held-out ones"
    return Row("model: memorisation", ratio, 0.8, text, at_least=True)
