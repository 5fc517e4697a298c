"""The preparation of a training on records that are read as they are needed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from scorefield.data.dataset import Array, Dataset, grid_of
from scorefield.data.streams import Stream
from scorefield.data.streams.order import HELD_ROWS, Order, buffer_rows, drawn_rows, held_rows, held_share
from scorefield.data.streams.reader import Reader, gathered
from scorefield.records.beginnings import drawn, ends_of, untrained
from scorefield.records.encoded import Encoded
from scorefield.records.foreign import Foreign, on_their_scale
from scorefield.records.image_codec import ImageCodec
from scorefield.records.measured import SAMPLE_BYTES, THREADS, Measured, kept_or_measured, looked_at, sampled_rows
from scorefield.records.streamed import Later, Streamed
from scorefield.records.trained import FORM, TrainedModel
from scorefield.training.heldout import BINS, POINTS
from scorefield.training.run import Preparation

_HELD_POINTS = POINTS // BINS
"""Different held-out rows that held-out losses are taken at."""


def streamed_options(
    stream: Stream,
    *,
    size: str,
    network: str | dict[str, Any],
    energy: bool,
    labels: bool | None,
    dequantise: bool | None,
    share: float | None,
    latents: bool,
    stored: Mapping[str, Any],
) -> dict[str, Any]:
    """What a resumed training must share with the one that began, as `records.fit.fit` stores it.

    Of the arguments of `records.fit.fit`, `stored` are the options of the training that is resumed: those which began
    before some image files were enough to begin with looked at all.

    Raises:
        ValueError: for options that such records have not.
    """
    if latents:
        raise ValueError(
            f"{stream.source} is read as it is needed, and latents are made of pictures in memory; leave out stream or "
            "autoencoder."
        )
    if labels and stream.labels is None:
        raise ValueError(f"{stream.source} has no class labels to condition on; leave labels out.")
    if network != "auto" and not stream.gridded:
        raise ValueError(f"network={network!r} is for series, images and volumes; leave it out.")
    looked = stored["stream"].get("looked") if stored.get("stream") else looked_at(stream)
    options = {
        "source": stream.source,
        "format": FORM,
        "records": stream.fingerprint(),
        "size": size,
        "energy": energy,
        "labels": stream.labels is not None and stream.kind == "image" if labels is None else labels,
        "dequantise": dequantise if dequantise is not None else not stream.gridded,
        "held_share": held_share(len(stream)) if share is None else share,
        "stream": {"buffer": buffer_rows(stream), **({} if looked is None else {"looked": looked})},
    }
    if network != "auto":
        options["network"] = network
    if grid_of(stream.kind):
        options["grid"] = stream.kind
    if stream.kind == "table":
        options["columns"] = list(stream.columns or ())
    if stream.told is not None:
        options["images"] = dict(stream.told)
    return options


def held_at_hand(stream: Stream, held: Array) -> Array:
    """Those of the held-out rows that an evaluation takes: the first of their random order."""
    return held[: min(HELD_ROWS, max(2048, SAMPLE_BYTES // max(1, stream.nbytes)))]


def prepare_streamed(
    stream: Stream,
    options: Mapping[str, Any],
    seed: int,
    readers: int,
    begun: float,
    folder: Path | None = None,
    given: Foreign | None = None,
) -> Preparation:
    """Hold rows out, look at the others for the codec, build the network.

    Args:
        stream: of the records.
        options: of `streamed_options`.
        seed: of the training.
        readers: threads that read ahead.
        begun: when the work began, as `time.perf_counter` says it.
        folder: of the run, which keeps what was found for the next time; None: nothing is kept.
        given: the network to train, of diffusers; default: one of this library.
    """
    held = held_rows(len(stream), options["held_share"], seed)
    order = Order(stream, np.sort(held), seed, options["stream"]["buffer"])
    noise = seed if options["dequantise"] else None
    found = kept_or_measured(folder, options, order, options["stream"].get("looked"), noise)
    found = found if given is None else _on_their_scale(found)
    codec = found.codec
    x, kept = Streamed(codec, Reader(order, readers), noise), held[:_HELD_POINTS]
    test = Encoded(codec, cast(Any, Later(stream, kept)), None, noise)
    condition, held_condition = (
        torch.from_numpy(stream.labels[rows]) if options["labels"] and stream.labels is not None else None
        for rows in (order.row(np.arange(len(order))) if options["labels"] else kept, kept)
    )
    model, frequencies = untrained(codec.shape, found.scales, condition, options, len(x), given)
    data = {
        "source": options["source"],
        "kind": stream.kind,
        "records": options["records"],
        "rows": len(x),
        "held": len(held),
        "held_share": options["held_share"],
        "dequantised": options["dequantise"],
        "columns": stream.columns,
        "classes": stream.classes,
        "stream": {**options["stream"], "sample": found.rows},
    }
    if "images" in options:
        data["images"] = options["images"]

    def finish(info: dict[str, Any]) -> TrainedModel:
        about = {"data": data, **info}
        made = TrainedModel(model, codec, {}, frequencies, about, found.mean, found.covariance)
        return replace(made, ends=ends_of(made, None if noise is not None else found.counts))

    def look(copy: nn.Module) -> TrainedModel:
        return TrainedModel(cast(Any, copy), codec, {}, frequencies, {"data": data})

    seconds, shown = time.perf_counter() - begun, drawn if stream.kind == "image" else None
    return Preparation(
        model,
        x,
        test,
        finish,
        condition,
        held_condition,
        seconds=seconds,
        look=look,
        pictures=shown,
        close=x.reader.close,
    )


@dataclass(frozen=True, eq=False)
class Extract:
    """Some records of a stream, in memory, in place of all of them.

    Args:
        real: records that the model has not seen, as far as that is known; else drawn from all.
        training: some that it was trained on, where the stream is what it was fitted to; else None.
        note: what part of the stream they are.
    """

    real: Dataset
    training: Array | None
    note: str


def extract(stream: Stream, info: Mapping[str, Any]) -> Extract:
    """What an evaluation takes of a stream: held-out rows, and a seeded sample of those that were trained on.

    Args:
        stream: of records.
        info: of a run.
    """
    n, data = len(stream), info.get("data", {})
    if data.get("stream") and data.get("records") == stream.fingerprint():
        seed = int(info["training"]["settings"]["seed"])
        held = held_rows(n, data["held_share"], seed)
        order = Order(stream, np.sort(held), seed, data["stream"]["buffer"])
        kept, sample = held_at_hand(stream, held), sampled_rows(order)
        records = _read(stream, np.concatenate([kept, sample]))
        training: Array | None = records[len(kept) :]
        note = f"Training records are {len(sample):,} of the {len(order):,}, drawn by the seed."
        note = note if len(sample) < len(order) else ""
    else:
        kept = drawn_rows(n, min(n, HELD_ROWS), 0, "stream/evaluate")
        records, training = _read(stream, kept), None
        note = f"Real records are {len(kept):,} of the {n:,}, drawn by a fixed seed." if len(kept) < n else ""
    labels = None if stream.labels is None else stream.labels[kept]
    real = Dataset(records[: len(kept)], stream.kind, stream.columns, labels, stream.source)
    return Extract(real, training, note)


def _on_their_scale(found: Measured) -> Measured:
    """What is known of the training rows, of these as diffusers has them."""
    own, codec = cast(ImageCodec, found.codec), on_their_scale(found.codec, None)
    scale, shift = own.std / codec.std, (own.mean - codec.mean) / codec.std
    scales = found.scales._replace(sigma_data=scale * found.scales.sigma_data)
    mean, covariance = scale * found.mean + shift, scale**2 * found.covariance
    return replace(found, codec=codec, scales=scales, mean=mean, covariance=covariance)


def _read(stream: Stream, rows: Array) -> Array:
    """Records of a stream, image files decoded by several threads."""
    return gathered(stream, rows, THREADS) if stream.decoded else stream.rows(rows)
