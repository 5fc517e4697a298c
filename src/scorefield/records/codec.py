"""Between the user's records and the tensors that networks see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from torch import Tensor

from scorefield._files import reason, shown
from scorefield.data.dataset import Array, DataError, Dataset, check_varies, grid_of
from scorefield.data.pictures import levels_up_to
from scorefield.records.array_codec import ArrayCodec
from scorefield.records.greys import grey_counts, moments
from scorefield.records.grid_codec import Float, GridCodec
from scorefield.records.image_codec import DType, ImageCodec

_CHUNK = 1 << 22  # pixels in float64 at once


@runtime_checkable
class Codec(Protocol):
    """A map from records in the user's units to standardised float32 tensors, and back."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one encoded record."""
        ...

    def encode(self, records: Array, seed: int | None = None, *, first: int | Tensor = 0, row: int = 0) -> Tensor:
        """Records as float32 `(n, *shape)`; a seed adds the noise that gives integers a density."""
        ...

    def decode(self, x: Tensor) -> Array:
        """Tensors `(n, *shape)` as records in the user's units and dtype."""
        ...

    def decode_floats(self, x: Tensor) -> Array:
        """As decode, but float64 and neither rounded nor clipped: for noisy or averaged records."""
        ...

    def layout(self, x: Tensor) -> Array:
        """Tensors `(n, *shape)` as float64 arrays shaped as records, on the encoded scale: for scores and noise."""
        ...

    @property
    def slope(self) -> Array:
        """`d encoded / d record`, float64, broadcasting against records."""
        ...

    def log_det(self, records: Array) -> Tensor:
        """`log |d encoded / d record|`, float64 `(n,)`: log p(record) = log p(encoded) + log_det."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What `codec_from_json` takes."""
        ...


_KINDS: dict[str, Callable[..., Codec]] = {"table": ArrayCodec, "image": ImageCodec, "grid": GridCodec}


def fit_codec(dataset: Dataset, rows: Array | None = None) -> Codec:
    """The codec that gives these records mean 0 and standard deviation 1, per column, channel or over all pixels.

    Args:
        dataset: of the records.
        rows: which of them, `(n,)` indices; default: all.

    Raises:
        DataError: when a column, or every pixel, is constant.

    Example:
        >>> codec = fit_codec(Dataset(np.array([[0.0, 1.0], [2.0, 5.0]]), "table", ("a", "b")))
        >>> codec.mean, codec.std, codec.resolution
        ((1.0, 3.0), (1.0, 2.0), (1.0, 1.0))
    """
    if grid_of(dataset.kind):
        return _fit_grid(dataset, np.arange(len(dataset)) if rows is None else rows)
    if dataset.kind != "image":
        return _fit_table(dataset if rows is None else dataset.take(rows))
    return _fit_image(dataset, np.arange(len(dataset)) if rows is None else rows)


def _fit_table(dataset: Dataset) -> ArrayCodec:
    check_varies(dataset)
    x = dataset.records
    scale = np.abs(x).max(0)  # not 0 in a column that varies; keeps squares from overflowing
    mean = (x / scale).mean(0) * scale
    mean = mean + (x - mean).mean(0)  # the second pass removes the rounding of the first
    spread = np.abs(x - mean).max(0)
    std = ((x - mean) / spread).std(0) * spread
    whole = ((x == np.rint(x)) & (np.abs(x) < 2.0**53)).all(0).astype(np.float64)  # float64 beyond is always whole
    columns = dataset.columns or tuple(f"x{j}" for j in range(x.shape[1]))
    return ArrayCodec(columns, tuple(mean.tolist()), tuple(std.tolist()), tuple(whole.tolist()))


def _fit_image(dataset: Dataset, rows: Array) -> ImageCodec:
    x = dataset.records
    mean, variance, levels = _moments(x, rows) if x.dtype.kind == "f" else _whole_moments(x, rows)
    if not variance > 0:
        raise DataError(f"{dataset.source}: every pixel of every image is {x[rows[0]].flat[0]}.")
    return image_codec(dataset.shape, x.dtype, mean, variance, levels)


def image_codec(
    shape: tuple[int, ...], dtype: np.dtype[Any], mean: float, variance: float, levels: int | None
) -> ImageCodec:
    """The codec of images `(h, w)` or `(h, w, c)` whose pixels have this mean and variance."""
    axis = len(shape) == 3
    return ImageCodec(
        height=shape[0],
        width=shape[1],
        channels=shape[2] if axis else 1,
        mean=mean,
        std=variance**0.5,
        levels=levels,
        dtype=cast(DType, dtype.name),
        channel_axis=axis,
    )


def _fit_grid(dataset: Dataset, rows: Array) -> GridCodec:
    x, axes = dataset.records, 1 if dataset.kind == "series" else 3
    axis = x.ndim == 2 + axes
    channels = [_moments(x[..., c] if axis else x, rows) for c in range(x.shape[-1] if axis else 1)]
    for c, (mean, variance, _) in enumerate(channels, 1):
        if not variance > 0:
            of = f" of channel {c}" if axis else ""
            raise DataError(f"{dataset.source}: every value{of} is {mean:g}; there is nothing to learn.")
    return GridCodec(
        tuple(x.shape[1 : 1 + axes]),
        tuple(mean for mean, _, _ in channels),
        tuple(variance**0.5 for _, variance, _ in channels),
        cast(Float, x.dtype.name),
        axis,
    )


def _moments(x: Array, rows: Array) -> tuple[float, float, None]:
    """The mean and variance of all values of floats, which have no grey levels."""
    size = len(rows) * x[0].size
    mean = sum(float(part.sum(dtype=np.float64)) for part in _parts(x, rows)) / size
    mean += sum(float((part.astype(np.float64) - mean).sum()) for part in _parts(x, rows)) / size
    return mean, sum(float(np.square(part.astype(np.float64) - mean).sum()) for part in _parts(x, rows)) / size, None


def _whole_moments(x: Array, rows: Array) -> tuple[float, float, int]:
    """The mean and variance of all pixels of integer images, to rounding, and the number of grey levels."""
    counts = grey_counts(x, rows)
    mean, variance = moments(counts, np.arange(len(counts), dtype=np.float64))
    return mean, variance, levels_up_to(int(np.flatnonzero(counts)[-1]), x.dtype)


def codec_from_json(fields: Mapping[str, Any]) -> Codec:
    """The codec that `to_json` described.

    Raises:
        ValueError: for an unknown kind, for missing or unknown fields, for values that make no codec.
    """
    if not isinstance(fields, Mapping):
        raise ValueError(f"a codec is described by a JSON object, got {type(fields).__name__}.")
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(
            f"a codec's kind is one of {', '.join(_KINDS)}, got {shown(kind)}; was it saved by a newer version?"
        )
    made = _KINDS[kind]
    wanted = set(signature(made).parameters)
    given = {name: value for name, value in fields.items() if name != "kind"}
    if set(given) != wanted:
        missing, foreign = sorted(wanted - set(given)), sorted(set(given) - wanted)
        raise ValueError(
            f"the {kind} codec lacks the fields {missing or 'none'} and has the unknown {shown(foreign or 'none')}."
        )
    try:
        return made(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
    except (TypeError, OverflowError) as error:
        raise ValueError(f"the {kind} codec cannot be read: {reason(error)}.") from None


def _parts(x: Array, rows: Array) -> Iterator[Array]:
    """Some of the records, as many at a time as fit into memory as float64."""
    step = max(1, _CHUNK // max(1, x[0].size))
    return (x[rows[i : i + step]] for i in range(0, len(rows), step))
