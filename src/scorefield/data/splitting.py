"""Which records to train on and which to hold out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from scorefield.data.dataset import Array
from scorefield.numerics.random import uniform

Index = npt.NDArray[np.int64]


def split(n: int, fraction: float = 0.1, seed: int = 0, labels: Array | None = None) -> tuple[Index, Index]:
    """Indices to train on and indices to hold out, both rising; a pure function of the arguments.

    `round(n * fraction)` records are held out, at least one and at most n - 1. With labels every class gives its share:
    record j in the random order of its m fellows stands at `(j + 1/2) / m`, and the lowest are held out.

    Args:
        n: number of records, >= 2.
        fraction: to hold out, in (0, 1).
        seed: of the random order.
        labels: `(n,)` class labels, to hold out the same fraction of each class.

    Raises:
        ValueError: for n < 2, a fraction outside (0, 1), labels of another length.

    Example:
        >>> train, held = split(10, fraction=0.2)
        >>> len(train), len(held)
        (8, 2)
    """
    if n < 2:
        raise ValueError(f"split needs n >= 2 records, one to train on and one to hold out, got {n}.")
    if not 0 < fraction < 1:
        raise ValueError(f"split(fraction=...) is the part to hold out, in (0, 1), got {fraction}.")
    key = uniform(n, (), seed, "data/split", dtype=torch.float64).numpy()
    place = key
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (n,):
            raise ValueError(f"split needs labels of shape ({n},), one per record, got {labels.shape}.")
        place = np.empty(n)
        for value in np.unique(labels):
            members = np.flatnonzero(labels == value)
            place[members[np.argsort(key[members])]] = (np.arange(len(members)) + 0.5) / len(members)
    count = min(max(round(n * fraction), 1), n - 1)
    order = np.lexsort((key, place)).astype(np.int64)
    return np.sort(order[count:]), np.sort(order[:count])
