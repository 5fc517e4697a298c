"""Which records a model has not seen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from scorefield.data import DataError, Dataset, load, split
from scorefield.records.trained import TrainedModel


@dataclass(frozen=True)
class Parts:
    """A data set cut into what is trained on and what is held out, as `fit` cuts it.

    Args:
        training: rows that the model may see.
        held: rows that it never sees: for the held-out loss, early stopping and evaluation.
    """

    training: Dataset
    held: Dataset

    @staticmethod
    def of(dataset: Dataset, share: float, seed: int) -> Parts:
        """Cut, a share of every class held out; rows that the source itself holds out are left alone."""
        rows, held = split(len(dataset), share, seed, dataset.labels)
        return Parts(dataset.take(rows), dataset.take(held))


def digest(records: np.ndarray) -> str:
    """A fingerprint of records, to know a data set again."""
    content = hashlib.blake2b(f"{records.shape} {records.dtype}".encode(), digest_size=16)
    content.update(np.ascontiguousarray(records).data)
    return content.hexdigest()


def parts_of(trained: TrainedModel, dataset: Dataset) -> Parts | None:
    """The rows that a run trained on and held out, if this is the data set it was fitted to; else None."""
    data = trained.info.get("data", {})
    if data.get("records") != digest(dataset.records):
        return None
    return Parts.of(dataset, data["held_share"], trained.info["training"]["settings"]["seed"])


def fitted_to(trained: TrainedModel) -> Dataset | None:
    """The data set that a run was fitted to, if its source is still there and unchanged."""
    source = trained.info.get("data", {}).get("source")
    try:
        again = load(source) if source else None
    except (DataError, OSError):
        return None
    return again if again is not None and parts_of(trained, again) is not None else None


def unseen(parts: Parts, dataset: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
    """Records that the run has not trained on, with their labels: the source's test records, else those held out."""
    if dataset.held is not None:
        return dataset.held, dataset.held_labels
    return parts.held.records, parts.held.labels
