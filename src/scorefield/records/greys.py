"""How often each grey level occurs in integer images: what moments of many images follow from, quickly and exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scorefield.data.dataset import Array

_CHUNK = 1 << 22  # pixels at a time
Counts = npt.NDArray[np.int64]


def grey_counts(images: Array, rows: Array) -> Counts:
    """How many pixels of some images have the grey level 0, 1, ...: `(256,)` for uint8, `(65536,)` for uint16.

    Args:
        images: `(m, ...)`, uint8 or uint16.
        rows: `(n,)` indices of images.

    Example:
        >>> grey_counts(np.array([[[3, 1, 1]], [[7, 7, 7]]], np.uint8), np.array([0]))[:4]
        array([0, 2, 0, 1])
    """
    counts = np.zeros(int(np.iinfo(images.dtype).max) + 1, np.int64)
    step = max(1, _CHUNK // max(1, images[0].size))
    for start in range(0, len(rows), step):
        part = np.ascontiguousarray(images[rows[start : start + step]]).reshape(-1)
        counts += np.bincount(part, minlength=65536) if images.dtype == np.uint16 else _of_bytes(part)
    return counts


def _of_bytes(pixels: Array) -> Counts:
    """By pairs, which halves the work."""
    pairs = np.bincount(pixels[: len(pixels) // 2 * 2].view(np.uint16), minlength=65536).reshape(256, 256)
    return pairs.sum(0) + pairs.sum(1) + np.bincount(pixels[len(pixels) // 2 * 2 :], minlength=256)


def moments(counts: Counts, values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The mean and the variance of values that occur so many times."""
    total = counts.sum()
    mean = float(counts @ values) / total
    return float(mean), float(counts @ np.square(values - mean)) / float(total)
