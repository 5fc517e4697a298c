"""Which records of one data set stand in another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np


def among(records: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Which records `(n, *shape)` equal a training record `(m, *shape)` in every value; not-a-numbers are equal.

    Where either were stored as float32, they are compared as such.

    Example:
        >>> among(np.array([[1.0, 2.0], [np.nan, 0.0]]), np.array([[np.nan, -0.0], [2.0, 1.0]]))
        array([False,  True])
    """
    short = any(_is_short(a) for a in (records, training))
    seen = set(_fingerprints(training, short))
    return np.fromiter((row in seen for row in _fingerprints(records, short)), bool, len(records))


def _is_short(records: np.ndarray) -> bool:
    """Whether every value is one of float32."""
    if records.dtype.kind != "f":
        return records.dtype.itemsize <= 2 or np.array_equal(records, records.astype(np.float32))
    return records.dtype == np.float32 or np.array_equal(records, records.astype(np.float32), equal_nan=True)


def _fingerprints(records: np.ndarray, short: bool) -> Iterator[bytes]:
    for start in range(0, len(records), 1024):
        part = np.add(records[start : start + 1024], 0.0, dtype=np.float32 if short else np.float64)  # no minus zero
        part[np.isnan(part)] = np.nan  # one of their many bit patterns
        yield from (hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in part)
