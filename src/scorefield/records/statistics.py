"""What a codec needs to know of records that do not fit into memory: one pass, in parts whose moments are merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np

from scorefield.data.dataset import Array, DataError, grid_of
from scorefield.data.pictures import levels_up_to
from scorefield.data.streams.order import Order
from scorefield.data.streams.stream import Stream
from scorefield.progress import Report, silent
from scorefield.records.array_codec import ArrayCodec
from scorefield.records.codec import Codec, image_codec
from scorefield.records.greys import Counts, grey_counts, moments
from scorefield.records.grid_codec import Float, GridCodec


@dataclass(frozen=True, eq=False)
class Moments:
    """How many values a column has, their mean and the sum of their squared distances from it, in float64.

    Two of them merge to those of all values together (Chan, Golub and LeVeque 1983): equal to one pass over all of them
    but for rounding, however they are cut.

    Args:
        count: of rows.
        mean: `(d,)`.
        squares: `(d,)`: the sum of the squared distances from the mean, in units of `scale`^2.
        low: `(d,)`: the least value.
        high: `(d,)`: the greatest.
        whole: `(d,)`: whether all values are whole numbers.
        scale: `(d,)`: powers of two, which keep squares from overflowing.

    Example:
        >>> x = np.arange(10.0)[:, None] + 1e9
        >>> both = Moments.of(x[:3]).merged(Moments.of(x[3:]))
        >>> both.mean.tolist(), both.variance.tolist()
        ([1000000004.5], [8.25])
    """

    count: int
    mean: Array
    squares: Array
    low: Array
    high: Array
    whole: Array
    scale: Array

    @staticmethod
    def of(values: Array, scale: Array | None = None, whole: Array | None = None) -> Moments:
        """Of values `(n, d)`, n >= 1; columns that are not `whole` by what is known are not looked at for that."""
        low, high = (end.astype(np.float64) for end in (values.min(0), values.max(0)))
        if scale is None:
            scale = np.exp2(np.frexp(np.maximum(np.abs(low), np.abs(high)))[1].clip(-1000, 1000))
        x = values.astype(np.float64)  # changed in its place: what a block takes is mostly the memory of new arrays
        known = np.ones(x.shape[1], bool) if whole is None else whole.copy()
        if known.any():
            known[known] = [_is_whole(x[:, j]) for j in np.flatnonzero(known)]
        first = x[0].copy()  # about a value of the column: no digits are lost where it is far from 0
        x -= first
        x /= scale
        shift = x.mean(0)
        x -= shift
        return Moments(len(x), first + shift * scale, np.einsum("ij,ij->j", x, x), low, high, known, scale)

    def merged(self, other: Moments) -> Moments:
        """Of the values of both, which have the same scale."""
        count = self.count + other.count
        apart = (other.mean - self.mean) / self.scale
        return Moments(
            count,
            self.mean + apart * self.scale * (other.count / count),
            self.squares + other.squares + apart**2 * (self.count / count * other.count),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.whole & other.whole,
            self.scale,
        )

    @property
    def variance(self) -> Array:
        """`(d,)`, over all rows."""
        found: Array = self.squares / self.count * self.scale**2
        return found

    @property
    def std(self) -> Array:
        """`(d,)`; also where the variance would overflow."""
        found: Array = np.sqrt(self.squares / self.count) * self.scale
        return found


def _is_whole(x: Array) -> bool:
    if not float(x[0]).is_integer() or not bool((x[:64] == np.rint(x[:64])).all()):
        return False
    return bool(((x == np.rint(x)) & (np.abs(x) < 2.0**53)).all())


@dataclass(frozen=True, eq=False)
class Statistics:
    """What one pass over the training rows of a stream says.

    Args:
        moments: per column of rows, per channel of series and volumes, over all pixels of floating-point images.
        counts: how often each grey level occurs in images of whole numbers.
    """

    moments: Moments | None = None
    counts: Counts | None = field(default=None)


def survey(order: Order, wanted: Array, report: Report = silent) -> tuple[Statistics, Array]:
    """One pass over a stream: the statistics of the rows that are trained on, and the records of some rows.

    Args:
        order: of the stream.
        wanted: `(m,)` different row numbers.
        report: hears how far the pass is.

    Returns:
        The statistics, and the records `(m, *shape)` in the order of `wanted`.

    Raises:
        DataError: for what cannot be read, for values that are not finite.
    """
    stream = order.stream
    found: Moments | None = None
    counts: Counts | None = None
    integers = stream.kind == "image" and stream.dtype.kind == "u"
    some, sorting = np.empty((len(wanted), *stream.shape), stream.dtype), np.argsort(wanted)
    rising = wanted[sorting]
    for k, (first, records) in enumerate(stream.blocks()):
        report(k / len(stream.sizes), "reading through the data")
        here = slice(*np.searchsorted(rising, [first, first + len(records)]))
        some[sorting[here]] = records[rising[here] - first]
        kept = order.kept(k)
        if not len(kept):
            continue
        if integers:
            part = grey_counts(records, kept)
            counts = part if counts is None else counts + part
            continue
        values = columns_of(stream, records if len(kept) == len(records) else records[kept])
        if found is None:
            found = Moments.of(values)
        else:
            found = found.merged(Moments.of(values, found.scale, found.whole))
    return Statistics(found, counts), some


def columns_of(stream: Stream, records: Array) -> Array:
    """Records `(n, *shape)` as `(m, d)` values that share a mean and a spread."""
    if stream.kind == "image":
        return records.reshape(-1, 1)
    grid = grid_of(stream.kind)
    if grid is None:
        return records.reshape(len(records), -1)
    channels = len(stream.shape) == (2 if grid == "series" else 4)
    return records.reshape(-1, stream.shape[-1] if channels else 1)


def codec_of(stream: Stream, found: Statistics) -> Codec:
    """The codec of a stream's records, which `fit_codec` makes of records in memory.

    Raises:
        DataError: when a column, or every pixel, is constant.
    """
    if found.counts is not None:
        mean, variance = moments(found.counts, np.arange(len(found.counts), dtype=np.float64))
        levels = levels_up_to(int(np.flatnonzero(found.counts)[-1]), stream.dtype)
        if not variance > 0:
            raise DataError(f"{stream.source}: every pixel of every image is {mean:g}.")
        return image_codec(stream.shape, stream.dtype, mean, variance, levels)
    known = cast(Moments, found.moments)
    if stream.kind == "image":
        if not known.squares[0] > 0:
            raise DataError(f"{stream.source}: every pixel of every image is {known.low[0]:g}.")
        return image_codec(stream.shape, stream.dtype, float(known.mean[0]), float(known.variance[0]), None)
    _check_varies(stream, known)
    means, stds = tuple(known.mean.tolist()), tuple(known.std.tolist())
    grid = grid_of(stream.kind)
    if grid is None:
        columns = stream.columns or tuple(f"x{j}" for j in range(len(means)))
        return ArrayCodec(columns, means, stds, tuple(known.whole.astype(np.float64).tolist()))
    axes = 1 if grid == "series" else 3
    return GridCodec(stream.shape[:axes], means, stds, cast(Float, stream.dtype.name), len(stream.shape) == axes + 1)


def _check_varies(stream: Stream, known: Moments) -> None:
    size = np.maximum(np.abs(known.low), np.abs(known.high))
    constant = np.flatnonzero(known.high / 2 - known.low / 2 <= 2 * np.finfo(np.float64).eps * size)
    if len(constant):
        j = int(constant[0])
        name = repr(stream.columns[j]) if stream.columns else str(j + 1)
        raise DataError(
            f"{stream.source}: column {name} is constant ({known.low[j] + 0.0:g} in all {known.count:,} training "
            "records); remove it, there is nothing to learn."
        )
