"""What a training on a stream knows of its records before it begins; kept in the run's folder, for resuming."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield import _files
from scorefield.data.dataset import Array
from scorefield.data.streams.order import Order, drawn_rows
from scorefield.data.streams.reader import gathered
from scorefield.data.streams.stream import Stream
from scorefield.records.beginnings import Scales, moments, scales_of
from scorefield.records.codec import Codec, codec_from_json
from scorefield.records.encoded import Encoded
from scorefield.records.greys import Counts, grey_counts
from scorefield.records.statistics import Statistics, codec_of, survey
from scorefield.training import parallel

FILE = "statistics.safetensors"
"""Of a run's folder."""
SAMPLE_ROWS, SAMPLE_BYTES = 1 << 16, 256 << 20
"""Of the training rows that stand for all of them where all would have to be in memory, at most."""
LOOKED_ROWS, LOOKED_LEAST, LOOKED_BYTES = 2048, 64, 64 << 20
"""Of the image files whose pixels stand for those of all, where there are more than twice as many, at most."""
_ABOUT = ("records", "held_share", "dequantise", "stream", "columns", "images", "grid")
THREADS = min(8, (os.cpu_count() or 1) + 2)
"""That decode image files at once; PIL does so without Python's lock."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What one look at the training rows of a stream says.

    Args:
        codec: of the records.
        scales: of the encoded rows.
        mean: of the encoded rows, see `beginnings.moments`.
        covariance: likewise.
        counts: how often each grey level occurs; None where there are none.
        rows: that mean, covariance and scales were taken of.
    """

    codec: Codec
    scales: Scales
    mean: Tensor
    covariance: Tensor
    counts: Counts | None
    rows: int


def sampled_rows(order: Order) -> Array:
    """Rows, rising, that stand for all that are trained on where those would have to be in memory: all of few rows."""
    count = min(len(order), SAMPLE_ROWS, max(2048, SAMPLE_BYTES // max(1, order.stream.nbytes)))
    return some_rows(order, count)


def some_rows(order: Order, count: int) -> Array:
    """So many rows that are trained on, rising, drawn by the order's seed."""
    return order.row(np.sort(drawn_rows(len(order), count, order.seed, "stream/sample")))


def looked_at(stream: Stream) -> int | None:
    """How many image files are decoded before a training on a stream begins; None: all records are read.

    2,048, 64 MB of pixels at most (64 of larger ones), of more than twice as many images of whole numbers.
    """
    count = min(LOOKED_ROWS, max(LOOKED_LEAST, LOOKED_BYTES // max(1, stream.nbytes)))
    return count if stream.decoded and stream.dtype.kind == "u" and len(stream) > 2 * count else None


def measure(order: Order, look: int | None, noise: int | None) -> Measured:
    """Look at all training rows of a stream, or at some image files.

    Some are enough where they differ and one of their pixels is brighter than half of what the type holds: then the
    grey levels are all of the type's, whatever the others have. Else all are read.

    Args:
        order: of the rows.
        look: `looked_at` of the stream.
        noise: seed of the noise that spreads whole numbers; None: none.

    Raises:
        DataError: for what cannot be read; when a column, or every pixel, is constant.
    """
    if look is not None:
        rows = some_rows(order, look)
        records = gathered(order.stream, rows, THREADS)
        counts = grey_counts(records, np.arange(len(records)))
        if np.count_nonzero(counts) > 1 and counts[len(counts) // 2 :].any():
            return _made(order.stream, Statistics(None, counts), records, noise)
    found, records = survey(order, sampled_rows(order))
    return _made(order.stream, found, records, noise)


def _made(stream: Stream, found: Statistics, records: Array, noise: int | None) -> Measured:
    codec = codec_of(stream, found)
    some = Encoded(codec, records, None, noise)
    return Measured(codec, scales_of(some), *moments(some), found.counts, len(some))


def kept_or_measured(
    folder: Path | None, options: Mapping[str, Any], order: Order, look: int | None, noise: int | None
) -> Measured:
    """What the folder of a run that is resumed says, where it is of the same records and seed; else `measure`, kept.

    Args:
        folder: of the run; None: nothing is kept.
        options: of the run, whose "records" are the fingerprint of the stream.
        order: as `measure`.
        look: as `measure`.
        noise: as `measure`.
    """
    about = json.loads(json.dumps({"seed": order.seed, **{name: options.get(name) for name in _ABOUT}}))
    known = None if folder is None else _read(folder / FILE, about)
    if known is not None:
        return known
    found = measure(order, look, noise)
    if folder is not None and parallel.rank() == 0:
        _write(folder / FILE, found, about)
    return found


def _write(path: Path, found: Measured, about: object) -> None:
    tensors = {"mean": found.mean, "covariance": found.covariance}
    if found.counts is not None:
        tensors["counts"] = torch.from_numpy(found.counts)
    state = {"about": about, "codec": found.codec.to_json(), "scales": found.scales._asdict(), "rows": found.rows}
    _files.write_tensors(path, tensors, state)


def _read(path: Path, about: object) -> Measured | None:
    """What was kept of the same data; None where nothing was, or of others, or it is damaged: it can be measured."""
    try:
        tensors, state = _files.read_tensors(path)
        if state["about"] != about:
            return None
        counts = tensors["counts"].numpy() if "counts" in tensors else None
        scales, codec = Scales(**state["scales"]), codec_from_json(state["codec"])
        return Measured(codec, scales, tensors["mean"], tensors["covariance"], counts, state["rows"])
    except (_files.FileError, KeyError, TypeError, ValueError):
        return None
