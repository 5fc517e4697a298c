"""Which records a model has not seen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorefield.data import DataError, Dataset, split
from scorefield.records.encoded import Encoded
from scorefield.records.files import read_like, streamed_like
from scorefield.records.fit_streamed import Extract, extract
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
    data = trained.info.get("data", {})
    source = None if "stream" in data else data.get("source")  # not all of it in memory
    try:
        again = read_like(trained, source) if source else None
    except (DataError, OSError):
        return None
    return again if again is not None and parts_of(trained, again) is not None else None


def unseen(parts: Parts, dataset: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
    """Records that the run has not trained on, with their labels: the source's test records, else those held out."""
    if dataset.held is not None:
        return dataset.held, dataset.held_labels
    return parts.held.records, parts.held.labels


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Encoded records that a model has not seen, as far as they are at hand.

    Args:
        x: the records `(n, *shape)`, on the model's device; None: there are none.
        condition: their classes, for a conditional model.
        training: those that it was trained on, encoded when needed; None: not at hand.
        note: what is missing, and why.
    """

    x: Tensor | None
    condition: Tensor | None = None
    training: Encoded | None = None
    note: str = ""


def held_out(model: TrainedModel, data: str | Path | Dataset | None = None, *, seed: int = 0) -> HeldOut:
    """The records that a run held out, or all of other data.

    Args:
        model: a trained model.
        data: a file, a folder of images, a built-in name or a data set; default: what the model was fitted to.
        seed: of the noise that spreads whole numbers, where the training rows had it.

    Raises:
        DataError: for data that cannot be read, or are not of the model's kind.
    """
    part = _extract(model, data)
    if part is not None:
        missing = "" if part.training is not None else f"{part.real.source} is not what the model was fitted to."
        note = " ".join(text for text in (missing, part.note) if text)
        return _encoded(model, part.real, part.training, note, seed)
    dataset = fitted_to(model) if data is None else read_like(model, data)
    if dataset is None:
        text = "the data that the model was fitted to are not at hand: give them to check its calibration"
        return HeldOut(None, note=f"Not checked against data: {text}.")
    parts = parts_of(model, dataset)
    if parts is None:
        note = (
            f"{dataset.source} is not what the model was fitted to: all of it was taken, memorisation is not checked."
        )
        return _encoded(model, dataset, None, note, seed)
    records, labels = unseen(parts, dataset)
    held = Dataset(records, dataset.kind, dataset.columns, labels, dataset.source)
    return _encoded(model, held, parts.training.records, "", seed)


def _extract(model: TrainedModel, data: str | Path | Dataset | None) -> Extract | None:
    """What stands for a source that is read as it is needed; None for other sources, and where it is gone."""
    known = model.info.get("data", {})
    if data is None:
        data = known.get("source") if "stream" in known else None
        if data is None or not Path(data).exists():
            return None
    stream = streamed_like(model, data)
    return None if stream is None else extract(stream, model.info)


def _encoded(model: TrainedModel, dataset: Dataset, training: np.ndarray | None, note: str, seed: int) -> HeldOut:
    try:
        spread = model.info.get("data", {}).get("dequantised", True)  # as the training rows were
        x = model.codec.encode(dataset.records, seed=seed if spread else None)
    except ValueError as error:
        raise DataError(f"{dataset.source}: these are not records of the model's kind: {error}") from None
    first, labels = next(model.model.parameters()), dataset.labels
    classes = torch.as_tensor(labels).to(first.device) if model.model.classes and labels is not None else None
    return HeldOut(x.to(first), classes, None if training is None else Encoded(model.codec, training), note)
