"""How near to training rows new rows fall, compared with rows held out."""

from __future__ import annotations

import math

from torch import Tensor

from scorefield import metrics
from scorefield.metrics.comparison import MOST, Figure
from scorefield.tables.codec import RowCodec
from scorefield.tables.measures import features, holes
from scorefield.tables.trained import TrainedTable


def memorisation(model: TrainedTable, held: Tensor, training: Tensor, seed: int = 0) -> Figure | None:
    """The memorisation ratio of rows that the model draws; None where it cannot be told.

    Args:
        model: of a table.
        held: encoded rows that the model has not seen; the first 2,000 are compared.
        training: encoded rows that it was trained on.
        seed: of the new rows.
    """
    real = held[:MOST]
    if len(real) < 4:
        return None
    new = model.codec.encode(model.sample(len(real), seed=seed))
    return memorisation_ratio(model.codec, real, with_holes(model.codec, new, real), training)


def memorisation_ratio(codec: RowCodec, real: Tensor, new: Tensor, training: Tensor, seed: int = 0) -> Figure | None:
    """Distance of new rows to their nearest training row, over that of real rows; None where these all equal one.

    Args:
        codec: of the rows.
        real: encoded rows that are not among those of training.
        new: encoded rows.
        training: encoded rows of training.
        seed: of the halves that the floor is taken from.
    """
    a, b, trained = (features(codec, rows) for rows in (real, new, training))
    try:
        value = metrics.memorisation(b, trained, a)
        floor = metrics.floor(lambda x, y: metrics.memorisation(x, trained, y), a, seed=seed)
    except ValueError:  # no reference
        return None
    meaning = "distance to the nearest training row, new over held-out: 1 is fresh, well below 1 is copied"
    return Figure("memorisation ratio", value, floor, meaning)


def with_holes(codec: RowCodec, new: Tensor, real: Tensor) -> Tensor:
    """New rows with the holes of the real ones, so that nothing but values can tell them apart."""
    return new.masked_fill(holes(codec, real), math.nan)
