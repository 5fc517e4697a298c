"""Samples of a trained model beside real records: each figure with the value that two halves of the real ones give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from scorefield import metrics
from scorefield.data import DataError, Dataset, load
from scorefield.fitting import fitted_to, parts_of, unseen
from scorefield.trained import TrainedModel

MOST = 2000
"""At most this many real records and samples are compared unless told otherwise."""
LEAST, C2ST_LEAST = 10, 40
"""Real records without which there is no comparison, and no classifier test (of halves, in five folds)."""


@dataclass(frozen=True)
class Figure:
    """One metric.

    Args:
        name: of the metric.
        value: new records against real ones.
        floor: real records against real ones, in the same way.
        meaning: one sentence.
        error: standard error of the value, where it has one.
        floor_error: standard error of the floor.
    """

    name: str
    value: float
    floor: float
    meaning: str
    error: float | None = None
    floor_error: float | None = None

    def text(self) -> str:
        """The value, with its error."""
        return _number(self.value, self.error)

    def floor_text(self) -> str:
        """The floor, with its error."""
        return _number(self.floor, self.floor_error)


@dataclass(frozen=True)
class Comparison:
    """Samples beside real records.

    Args:
        source: of the real records.
        figures: the metrics.
        real: real records, in the user's units.
        new: samples, in the user's units.
        training: what the model was trained on, where it is at hand.
        unseen: whether the model has never seen the real records.
        real_labels: classes of the real records, where known.
        steps: network evaluations per sample.
        plan: name of the sampler.
        seed: of samples and metrics.
        note: what the reader should know.
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

    def table(self) -> str:
        """The figures as text."""
        head = f"{len(self.new):,} samples ({self.steps} evaluations each) against {len(self.real):,} real records"
        head += " that the model has not seen" if self.unseen else ""
        lines = [head, f"{'':28} {'new : real':>18} {'real : real':>18}"]
        lines += [f"{f.name:28} {f.text():>18} {f.floor_text():>18}" for f in self.figures]
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def to_json(self) -> dict[str, Any]:
        """The figures as a JSON-able dict."""
        names = ("name", "value", "error", "floor", "floor_error")
        figures = [{name: getattr(f, name) for name in names} for f in self.figures]
        counts = {"samples": len(self.new), "real": len(self.real), "unseen": self.unseen}
        run = {"steps": self.steps, "plan": self.plan, "seed": self.seed, "note": self.note}
        return {"source": self.source, **counts, **run, "figures": figures}


def evaluate(
    model: TrainedModel, source: str | Path | Dataset, *, n: int | None = None, steps: int = 18, seed: int = 0
) -> Comparison:
    """Draw samples and compare them with real records.

    If the source is what the model was fitted to, its held-out rows are taken (and the source's own test records, if
    it has some, before them); otherwise all rows.

    Args:
        model: a trained model.
        source: a file, a folder of images, a built-in name or a `Dataset`, of the kind the model was fitted to.
        n: how many records of each to compare; default: all real ones, at most 2,000.
        steps: network evaluations per sample.
        seed: of samples and metrics.

    Raises:
        DataError: for records of another kind or other columns than the model's.
    """
    dataset = load(source)
    _check_kind(model, dataset)
    real, labels, training, unseen = _records(model, dataset)
    count = min(len(real), n or MOST)
    if count < LEAST:
        raise DataError(
            f"{dataset.source}: a comparison needs at least {LEAST} real records, got {count}; "
            "give more, or hold more out when fitting."
        )
    real, labels = real[:count], None if labels is None else labels[:count]
    new = model.sample(count, steps=steps, seed=seed)
    a, b = (_flat(model, records) for records in (real, new))
    figures, notes = _distances(a, b, seed), []
    if count >= C2ST_LEAST:
        figures = (*figures, _c2st(a, b, seed))
    else:
        notes.append(f"No C2ST: it needs {C2ST_LEAST} real records, there are {count}.")
    if training is not None and unseen:
        figures = (*figures, _memorisation(a, b, _flat(model, training), seed))
    else:
        notes.append("No memorisation ratio: the training rows are not at hand; give the data the model was fitted to.")
    plan = model.plan(steps).name
    return Comparison(dataset.source, figures, real, new, training, unseen, labels, steps, plan, seed, " ".join(notes))


def _records(model: TrainedModel, dataset: Dataset) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, bool]:
    """Real records to compare with, their labels, the training records, and whether the first are unseen."""
    parts = parts_of(model, dataset)
    if parts is None:
        again = fitted_to(model)
        known = None if again is None else parts_of(model, again)
        return dataset.records, dataset.labels, None if known is None else known.training.records, known is not None
    return *unseen(parts, dataset), parts.training.records, True


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


def _flat(model: TrainedModel, records: np.ndarray) -> Tensor:
    encoded = model.codec.encode(records)
    return encoded.reshape(len(encoded), -1)


def _distances(real: Tensor, new: Tensor, seed: int) -> tuple[Figure, ...]:
    """Distances of halves: new half to real half, as the floor is real half to real half."""

    def both(metric: Callable[[Tensor, Tensor], float]) -> tuple[float, float]:
        def of_halves(first: Tensor, second: Tensor) -> tuple[float, float]:
            half = len(first)
            value = (metric(new[:half], first) + metric(new[half : 2 * half], second)) / 2
            return value, metric(first, second)

        return metrics.floor(of_halves, real, seed=seed)

    energy = both(metrics.energy_distance)
    sliced = both(lambda x, y: metrics.sliced_wasserstein(x, y, seed=seed))
    return (
        Figure("energy distance", *energy, "0 when the laws agree; in standard deviations of the data"),
        Figure("sliced Wasserstein-1", *sliced, "mean distance between one-dimensional projections"),
    )


def _c2st(real: Tensor, new: Tensor, seed: int) -> Figure:
    value = metrics.c2st(new, real, seed=seed)
    floor = metrics.floor(lambda x, y: metrics.c2st(x, y, seed=seed), real, seed=seed)
    meaning = "held-out accuracy of a neural network that tells new from real: 0.5 means it cannot"
    return Figure("C2ST accuracy", value.value, floor.value, meaning, value.standard_error, floor.standard_error)


def _memorisation(real: Tensor, new: Tensor, training: Tensor, seed: int) -> Figure:
    value = metrics.memorisation(new, training, real)
    floor = metrics.floor(lambda x, y: metrics.memorisation(x, training, y), real, seed=seed)
    meaning = "distance to the nearest training record, new over held-out: 1 is fresh, well below 1 is copied"
    return Figure("memorisation ratio", value, floor, meaning)


def _number(value: float, error: float | None) -> str:
    return f"{value:.4g}" if error is None else f"{value:.3f} +- {error:.3f}"
