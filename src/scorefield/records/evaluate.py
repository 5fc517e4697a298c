"""Samples of a trained model compared with real records: each figure next to that of two halves of the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorefield import _ranges, metrics
from scorefield.data import DataError, Dataset
from scorefield.data.overlap import among
from scorefield.metrics.comparison import C2ST_LEAST, LEAST, MOST, Figure, distances
from scorefield.numerics.random import uniform
from scorefield.progress import Report, silent
from scorefield.records.codec import Codec
from scorefield.records.encoded import Encoded
from scorefield.records.files import read_like, streamed_like
from scorefield.records.fit_streamed import extract
from scorefield.records.held import fitted_to, parts_of, unseen
from scorefield.records.latent_codec import LatentCodec, records_codec
from scorefield.records.reconstruction import reconstructed
from scorefield.records.trained import TrainedModel

MOST_SEEN = 0.4
"""Share of training records among the real ones above which the distance between them means little: below, each half
of the real records holds others."""


@dataclass(frozen=True)
class Comparison:
    """Samples compared with real records.

    Args:
        source: of the real records.
        figures: the metrics.
        real: real records, in the user's units.
        new: samples, in the user's units.
        training: what the model was trained on, where it is at hand.
        unseen: whether it is known that the model was trained on none of the real records.
        real_labels: classes of the real records, where known.
        steps: network evaluations per sample.
        plan: name of the sampler.
        seed: of samples and metrics.
        note: what the reader should know.
        in_training: how many of the real records equal a training record; None where those are not at hand.
        left_out: how many of the records given were left out of the real ones because they equal a training record.
        decoded: of a run of latents the same metrics of training pictures that were encoded and decoded: what the
            autoencoder costs.
    """

    source: str
    figures: tuple[Figure, ...]
    real: np.ndarray = field(repr=False)
    new: np.ndarray = field(repr=False)
    training: np.ndarray | None = field(repr=False)
    unseen: bool
    real_labels: np.ndarray | None = field(repr=False)
    steps: int
    plan: str
    seed: int
    note: str = ""
    in_training: int | None = None
    left_out: int = 0
    decoded: tuple[Figure, ...] = ()

    def table(self) -> str:
        """The figures as text."""
        head = f"{len(self.new):,} samples ({self.steps} evaluations each) against {len(self.real):,} real records"
        head += " that the model has not seen" if self.unseen else ""
        through = {f.name: f.text() for f in self.decoded}
        rows = [("", "new : real", "decoded : real", "real : real")]
        rows += [(f.name, f.text(), through.get(f.name, ""), f.floor_text()) for f in self.figures]
        lines = [head]
        for name, new, decoded, real in rows:
            lines.append(f"{name:28} {new:>18} {f'{decoded:>18} ' if through else ''}{real:>18}")
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def to_json(self) -> dict[str, Any]:
        """The figures as a JSON-able dict."""
        figures = [figure.to_json() for figure in self.figures]
        counts: dict[str, Any] = {"samples": len(self.new), "real": len(self.real), "unseen": self.unseen}
        counts |= {"in_training": self.in_training, "left_out": self.left_out}
        run = {"steps": self.steps, "plan": self.plan, "seed": self.seed, "note": self.note}
        through = {"decoded": [figure.to_json() for figure in self.decoded]} if self.decoded else {}
        return {"source": self.source, **counts, **run, "figures": figures, **through}


def evaluate(
    model: TrainedModel,
    source: str | Path | Dataset,
    *,
    n: int | None = None,
    steps: int = 18,
    seed: int = 0,
    report: Report = silent,
) -> Comparison:
    """Draw samples and compare them with real records.

    If the source is what the model was fitted to, its held-out rows are taken (or the source's own test records, if it
    has some). Otherwise every record is compared with the training records, where these are at hand: those that the
    model was trained on are left out as long as enough remain, and counted where they do not. Records that take few
    values coincide by chance; those that do so no oftener than held-out rows are kept, and counted.

    Args:
        model: a trained model.
        source: a file, a folder of images, a built-in name or a `Dataset`, of the kind the model was fitted to; image
            files are read as those that the model was fitted to.
        n: how many records of each to compare; default: all real ones, at most 2,000.
        steps: network evaluations per sample.
        seed: of samples and metrics.
        report: hears how far the work is.

    Raises:
        DataError: for records of another kind or other columns than the model's.
    """
    if n is not None:
        _ranges.COUNT("evaluate(n=...)", n)
    dataset, found = _found(model, source)
    count = min(len(found.real), MOST if n is None else n)
    if count < LEAST:
        raise DataError(
            f"{dataset.source}: a comparison needs at least {LEAST} real records, got {count}; "
            "give more, or hold more out when fitting."
        )
    real, labels = found.real[:count], None if found.labels is None else found.labels[:count]
    report(0.0, "samples")
    new = model.sample(count, steps=steps, seed=seed)
    report(0.5, "distances")
    codec = records_codec(model.codec)
    a, b = (_flat(codec, records) for records in (real, new))
    figures, notes = _compared(a, b, seed, report), [*found.notes(count)]
    if count < C2ST_LEAST:
        notes.append(f"No C2ST: it needs {C2ST_LEAST} real records, there are {count}.")
    decoded: tuple[Figure, ...] = ()
    if isinstance(model.codec, LatentCodec):
        report(0.8, "the autoencoder")
        decoded, said = _through(model.codec, real, a, found.training, seed)
        notes += said
    if found.training is None:
        notes.append("No memorisation ratio: give the data the model was fitted to.")
    elif not found.fair or found.seen[:count].mean() > MOST_SEEN:
        notes.append("No memorisation ratio: it needs records that are not among the training records.")
    else:
        figures = (*figures, _memorisation(a, b, Encoded(codec, found.training), seed))
    return Comparison(
        dataset.source,
        figures,
        real,
        new,
        found.training,
        found.unseen(count),
        labels,
        steps,
        model.plan(steps).name,
        seed,
        " ".join(notes),
        None if found.training is None else int(found.seen[:count].sum()),
        found.left_out,
        decoded,
    )


class _Real(NamedTuple):
    """Real records to compare with, and what is known of them.

    Args:
        real: the records.
        labels: their classes, where known.
        training: the training records, where they are at hand.
        seen: which of the real records equal a training record.
        fair: no more of them do than held-out rows do by chance.
        held: whether they are the run's own held-out rows, or its source's test records.
        left_out: how many were left out because they equal a training record.
        said: what part of a source they are that is too large to take all of it.
    """

    real: np.ndarray
    labels: np.ndarray | None
    training: np.ndarray | None
    seen: np.ndarray
    fair: bool = True
    held: bool = False
    left_out: int = 0
    said: str = ""

    def unseen(self, count: int) -> bool:
        """Whether the model was surely trained on none of the first records."""
        return self.training is not None and ((self.held and self.fair) or not self.seen[:count].any())

    def notes(self, count: int) -> Iterator[str]:
        """What the reader must know of the first records."""
        if self.said:
            yield self.said
        if self.training is None:
            yield "Whether the model was trained on these records is not known: its training records are not at hand."
            return
        if self.left_out:
            given = self.left_out + len(self.real)
            yield f"{self.left_out:,} of the {given:,} records given are in the training data and were left out."
        seen = int(self.seen[:count].sum())
        if seen:
            why = ", about as many as chance gives" if self.fair else ""
            yield f"{seen:,} of the {count:,} real records are in the training data{why}."


def _found(model: TrainedModel, source: str | Path | Dataset) -> tuple[Dataset, _Real]:
    """A source, or what stands for one that is read as it is needed, and what to compare with."""
    stream = streamed_like(model, source)
    if stream is None:
        dataset = read_like(model, source)
        _check_kind(model, dataset)
        return dataset, _records(model, dataset)
    part = extract(stream, model.info)
    _check_kind(model, part.real)
    unknown = np.zeros(len(part.real), bool)
    held = part.training is not None
    return part.real, _Real(part.real.records, part.real.labels, part.training, unknown, held=held, said=part.note)


def _records(model: TrainedModel, dataset: Dataset) -> _Real:
    """What to compare with: held-out rows of the model's own data; of other data, the rows it was not trained on."""
    own = parts_of(model, dataset)
    again = dataset if own is not None else fitted_to(model)
    parts = own if own is not None or again is None else parts_of(model, again)
    if parts is None:
        return _Real(dataset.records, dataset.labels, None, np.zeros(len(dataset), bool))
    training = parts.training.records
    real, labels = (dataset.records, dataset.labels) if own is None else unseen(parts, dataset)
    seen, by_chance = among(real, training), among(parts.held.records, training)
    fair = bool(seen.mean() <= _at_most(by_chance, len(real)))
    if fair or (~seen).sum() < LEAST:
        return _Real(real, labels, training, seen, fair, own is not None)
    kept = np.flatnonzero(~seen)
    labels = None if labels is None else labels[kept]
    return _Real(real[kept], labels, training, seen[kept], True, own is not None, int(seen.sum()))


def _at_most(seen: np.ndarray, n: int) -> float:
    """The greatest share among n other rows that goes with the share among these: three standard errors more."""
    share = float(seen.mean()) if len(seen) else 0.0
    return share + 3 * (share * (1 - share) * (1 / max(len(seen), 1) + 1 / n)) ** 0.5


def _check_kind(model: TrainedModel, dataset: Dataset) -> None:
    data = model.info.get("data", {})
    mine, theirs = data.get("columns"), dataset.columns
    if data.get("kind", dataset.kind) == "table" and mine and theirs and list(mine) != list(theirs):
        raise DataError(
            f"{dataset.source}: the model knows the columns {', '.join(mine)}; got {', '.join(theirs)}; "
            "give the same, in order."
        )
    try:
        model.codec.encode(dataset.records[:1])
    except ValueError as error:
        raise DataError(
            f"{dataset.source}: these are not records of the kind the model was fitted to: {error}"
        ) from None


def _flat(codec: Codec, records: np.ndarray) -> Tensor:
    encoded = codec.encode(records)
    return encoded.reshape(len(encoded), -1)


def _compared(real: Tensor, new: Tensor, seed: int, report: Report = silent) -> tuple[Figure, ...]:
    """Distances, and the classifier test where there are enough records."""
    figures = distances(real, new, seed)
    if len(real) < C2ST_LEAST:
        return figures
    report(0.6, "C2ST")
    return (*figures, _c2st(real, new, seed))


def _through(
    codec: LatentCodec, real: np.ndarray, flat: Tensor, training: np.ndarray | None, seed: int
) -> tuple[tuple[Figure, ...], list[str]]:
    """The figures of training pictures that were encoded and decoded, against the real ones, and what to say of them.

    They are other pictures than the real ones, as samples are: what the figures say is comparable.
    """
    _, error = reconstructed(codec, real)
    said = [f"The autoencoder: {error}."]
    if training is None or len(training) < len(real):
        return (), [*said, "No figures of decoded pictures: they need as many training records at hand."]
    order = uniform(len(training), (), seed, "evaluate/decoded", dtype=torch.float64).argsort()[: len(real)]
    back, _ = reconstructed(codec, training[order.numpy()])
    said.append("Decoded: training pictures, encoded and decoded; no samples of this run can be expected to be nearer.")
    return _compared(flat, _flat(codec.images, back), seed), said


def _c2st(real: Tensor, new: Tensor, seed: int) -> Figure:
    value = metrics.c2st(new, real, seed=seed)
    floor = metrics.floor(lambda x, y: metrics.c2st(x, y, seed=seed), real, seed=seed)
    meaning = "held-out accuracy of a neural network that tells new from real: 0.5 means it cannot"
    return Figure("C2ST accuracy", value.value, floor.value, meaning, value.standard_error, floor.standard_error)


def _memorisation(real: Tensor, new: Tensor, training: Encoded, seed: int) -> Figure:
    real, new = (x.reshape(-1, *training.shape[1:]) for x in (real, new))
    value = metrics.memorisation(new, training, real)
    floor = metrics.floor(lambda x, y: metrics.memorisation(x, training, y), real, seed=seed)
    meaning = "distance to the nearest training record, new over held-out: 1 is fresh, well below 1 is copied"
    return Figure("memorisation ratio", value, floor, meaning)
