"""Latents of a data set to train on, and what a run keeps of their autoencoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scorefield._files import FileError, shown
from scorefield._memory import lacking
from scorefield.data.dataset import Array, DataError, Dataset
from scorefield.numerics.random import normal
from scorefield.records.autoencoder import MODULE, Autoencoder, opened, rebuilt_from
from scorefield.records.codec import codec_from_json, fit_codec
from scorefield.records.encoded import Encoded
from scorefield.records.image_codec import ImageCodec
from scorefield.records.latent_codec import LatentCodec, in_parts, latents_of
from scorefield.training.rows import Rows

KEPT = 1 << 32
"""Bytes of latents that are kept in memory; more of them are encoded again, batch by batch."""
_PROBE = "probe/latent", "probe/picture"  # how a module that is handed over again answered
_SAME = 1e-3  # of the root mean square: how far its answers may be apart on another machine


def latent_rows(dataset: Dataset, cut: tuple[Array, Array], autoencoder: Autoencoder) -> tuple[LatentCodec, Rows, Rows]:
    """The codec of a data set's latents, and its rows to train on and to hold out, encoded.

    Each picture is encoded once where all latents take at most `KEPT` bytes, else once to measure them and again
    whenever it is needed.

    Args:
        dataset: of images.
        cut: indices of the rows to train on, by which the latents are standardised, and of those held out.
        autoencoder: pictures <-> latents.

    Raises:
        DataError: for other data than images, or latents of which a channel does not vary.
        ValueError: for pictures that the autoencoder does not take, or answers of it that are no latents.
    """
    images = picture_codec(dataset, cut[0])
    shape = _shape(autoencoder, images, dataset.records[cut[0][:1]])
    size = 4 * len(dataset) * int(np.prod(shape))
    kept = size <= KEPT
    too_much = lacking(3 * size) if kept else None
    if too_much:
        raise DataError(f"{dataset.source}: its latents {too_much}; give fewer pictures.")
    train, rest = (_latents(autoencoder, images, dataset.records, rows) for rows in cut)
    parts = list(train) if kept else train
    mean, std = _moments(parts)
    if not bool((std > 0).all()):
        channel = int((std <= 0).nonzero()[0])
        raise DataError(
            f"{dataset.source}: channel {channel + 1} of the latents is {mean[channel]:g} in every picture; take an "
            "autoencoder whose latents all vary."
        )
    codec = LatentCodec(images, autoencoder, tuple(mean.tolist()), tuple(std.tolist()), shape[1:])
    if not kept:
        return codec, Encoded(codec, dataset.records, cut[0]), Encoded(codec, dataset.records, cut[1])
    x, held = (torch.cat([codec.standardised(z) for z in part]) for part in (parts, rest))
    return codec, x, held


def check_pictures(dataset: Dataset) -> None:
    """Raise a DataError unless a data set holds images."""
    if dataset.kind != "image":
        raise DataError(f"{dataset.source}: an autoencoder is for pictures, and these are records of another kind.")


def picture_codec(dataset: Dataset, rows: Array) -> ImageCodec:
    """The codec of some images; errors as `check_pictures` and `fit_codec`."""
    check_pictures(dataset)
    images = fit_codec(dataset, rows)
    if not isinstance(images, ImageCodec):
        raise TypeError(f"images have an ImageCodec, got {type(images).__name__}.")
    return images


def stored(codec: LatentCodec) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a run keeps of a codec's autoencoder: its weights, or how it answers where it is handed over again."""
    autoencoder = codec.autoencoder
    if autoencoder.form == MODULE:
        header = {**autoencoder.to_json(), "fingerprint": autoencoder.fingerprint()}
        return header, dict(zip(_PROBE, _answers(codec), strict=True))
    return autoencoder.to_json(), autoencoder.weights()


def restored(
    header: Mapping[str, Any],
    fields: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    device: torch.device | str,
    given: nn.Module | None,
) -> LatentCodec:
    """The codec of a run, with its autoencoder.

    Args:
        header: that `stored` gave.
        fields: of the codec, as its `to_json` gave them.
        tensors: that `stored` gave.
        device: to put the autoencoder on.
        given: the module that the run was fitted with, where the run does not hold it.

    Raises:
        FileError: for a module that is missing, or is another one.
        ValueError: for parts that do not fit together.
    """
    images = codec_from_json(fields["images"])
    if not isinstance(images, ImageCodec):
        raise ValueError(f"latents are of images, got {shown(fields['images'])}")
    if header["form"] != MODULE:
        if given is not None:
            raise FileError("this run holds its autoencoder; load it without one.")
        own = rebuilt_from(header["form"], header["config"], tensors, header["images"]).on(device)
        return LatentCodec.from_json(fields, images, own)
    if given is None:
        raise FileError(
            "this run was fitted with an autoencoder of Python, which it does not hold; hand it over again: "
            "TrainedModel.load(run, autoencoder=module)."
        )
    codec = LatentCodec.from_json(fields, images, opened(given))
    _check_same(codec, header, tensors)
    return codec


def _check_same(codec: LatentCodec, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raise unless a module has the weights, and gives the answers, of the one that the run was fitted with."""
    same = codec.autoencoder.fingerprint() == header["fingerprint"]
    if same:
        same = all(_near(now, tensors[name]) for now, name in zip(_answers(codec), _PROBE, strict=True))
    if not same:
        raise FileError(
            "this is another autoencoder than the run was fitted with: its class, weights or answers differ; hand over "
            "that one."
        )


def _answers(codec: LatentCodec) -> tuple[Tensor, Tensor]:
    """The latent of a picture of noise, and its picture, `(1, ...)` each."""
    autoencoder, images = codec.autoencoder, codec.images
    noise = normal(1, images.record_shape, 0, "autoencoder probe", dtype=torch.float64).numpy()
    picture = noise * images.std + images.mean
    z = latents_of(autoencoder, images, picture)
    return z, autoencoder.decode(z)


def _near(now: Tensor, then: Tensor) -> bool:
    """Whether an answer is the same as another one but for rounding, which differs from machine to machine."""
    if now.shape != then.shape:
        return False
    apart, size = (float(v.double().square().mean().sqrt()) for v in (now - then, then))
    return apart <= _SAME * size


def _shape(autoencoder: Autoencoder, images: ImageCodec, picture: Array) -> tuple[int, ...]:
    """The shape of a latent; a ValueError unless encode gives the same answer twice, of at most three sizes."""
    z, again = (latents_of(autoencoder, images, picture) for _ in range(2))
    if not _near(again, z):
        raise ValueError(
            "encode of the autoencoder gave two answers for one picture, expected the same one each time, such as the "
            "mean of its law; let it draw nothing."
        )
    if z.ndim > 5:
        raise ValueError(
            f"encode of the autoencoder gave the shape {tuple(z.shape)}, expected (n, d) or (n, c, ...) with at most "
            "three sizes."
        )
    return tuple(z.shape[1:])


def _latents(autoencoder: Autoencoder, images: ImageCodec, records: Array, rows: Array) -> Iterator[Tensor]:
    """The latents of some records in order, part by part, as the module gives them."""
    return (latents_of(autoencoder, images, records[rows[part]]) for part in in_parts(len(rows), images.record_shape))


def _moments(parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation of each channel, float64 `(c,)`, in one pass."""
    count, near = 0, torch.empty(0)
    total = squares = torch.zeros(())
    for z in parts:
        values = z.double().movedim(1, 0).flatten(1)
        near = near if count else values.mean(1)  # about which sums lose no digits
        apart = values - near[:, None]
        count += apart.shape[1]
        total = total + apart.sum(1)
        squares = squares + apart.square().sum(1)
    shift = total / count
    return near + shift, (squares / count - shift**2).clamp(min=0).sqrt()
