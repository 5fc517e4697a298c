"""All laws together: on the library and, for a trained model, on that model with its held-out records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorefield import metrics
from scorefield.check.exact import library
from scorefield.check.models import of_model
from scorefield.check.report import CheckReport, Row
from scorefield.data import DataError, Dataset, load
from scorefield.records.held import fitted_to, parts_of, unseen
from scorefield.records.trained import TrainedModel


def laws(model: TrainedModel | None = None, data: str | Path | Dataset | None = None, *, seed: int = 0) -> CheckReport:
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


def of_trained(model: TrainedModel, data: str | Path | Dataset | None = None, *, seed: int = 0) -> CheckReport:
    """The laws on a trained model alone; arguments as `laws`."""
    held, condition, training, note = _held(model, data, seed)
    rows = of_model(model.model, held, condition=condition, plan=model.plan(18), shape=model.codec.shape, seed=seed)
    if training is not None and held is not None:
        rows = (*rows, _memorisation(model, held, training, seed))
    return CheckReport(rows, note)


def _held(
    model: TrainedModel, data: str | Path | Dataset | None, seed: int
) -> tuple[Tensor | None, Tensor | None, np.ndarray | None, str]:
    """Held-out records and their conditions, encoded; the training records where known; what is missing."""
    dataset = fitted_to(model) if data is None else load(data)
    if dataset is None:
        text = "the data that the model was fitted to are not at hand: give them to check its calibration"
        return None, None, None, f"Not checked against data: {text}."
    parts = parts_of(model, dataset)
    records, labels, note = dataset.records, dataset.labels, ""
    if parts is None:
        note = (
            f"{dataset.source} is not what the model was fitted to: all of it was taken, memorisation is not checked."
        )
    else:
        records, labels = unseen(parts, dataset)
    try:
        spread = model.info.get("data", {}).get("dequantised", True)  # as the training rows were
        held = model.codec.encode(records, seed=seed if spread else None)
    except ValueError as error:
        raise DataError(f"{dataset.source}: these are not records of the model's kind: {error}") from None
    first = next(model.model.parameters())
    classes = None
    if model.model.classes and labels is not None:
        classes = torch.as_tensor(labels).to(first.device)
    training = None if parts is None else parts.training.records
    return held.to(first), classes, training, note


def _memorisation(model: TrainedModel, held: Tensor, training: np.ndarray, seed: int) -> Row:
    n = min(len(held), 500)
    new = model.codec.encode(model.sample(n, seed=seed))
    ratio = metrics.memorisation(new, model.codec.encode(training), held[:n].cpu())
    text = "distance of new records to their nearest training record, over that of held-out ones"
    return Row("model: memorisation", ratio, 0.8, text, at_least=True)
