"""From a data file to a trained model of its records in a folder: what `scorefield fit` does, as a generator."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from scorefield.analytic import GaussianMixture
from scorefield.core import Model
from scorefield.data import TOYS, Dataset, ImageReading, split
from scorefield.data.dataset import Array, Grid, grid_of
from scorefield.data.streams import Stream
from scorefield.data.toys import Dots
from scorefield.records.array_codec import ArrayCodec
from scorefield.records.autoencoder import Autoencoder, opened
from scorefield.records.beginnings import drawn, ends_of, moments, scales_of, untrained
from scorefield.records.codec import Codec, fit_codec
from scorefield.records.encoded import Encoded
from scorefield.records.files import open_to_fit, stored_options
from scorefield.records.fit_streamed import prepare_streamed, streamed_options
from scorefield.records.foreign import Foreign, check_given, foreign, on_their_scale
from scorefield.records.held import digest
from scorefield.records.latents import check_pictures, latent_rows
from scorefield.records.trained import FORM, TrainedModel
from scorefield.training.checkpoint import Settings
from scorefield.training.log import Logger
from scorefield.training.loop import Progress
from scorefield.training.rows import Rows
from scorefield.training.run import DEFAULT_SECONDS, Preparation, train_in_folder

HELD_SHARE = 0.1
"""Of the records, held out unless told otherwise."""
GRID_DEFAULT = Settings(seconds=DEFAULT_SECONDS, batch=32, optimizer="muon", centre=0.0)
"""Of a training on images, series or volumes: many small steps, which benchmarks/images.py chose."""


def fit(
    source: str | Path | Dataset | Stream,
    folder: str | Path,
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    size: str = "auto",
    network: Any = "auto",
    energy: bool = False,
    labels: bool | None = None,
    dequantise: bool | None = None,
    held_share: float | None = None,
    images: ImageReading | None = None,
    grid: Grid | None = None,
    autoencoder: str | Path | nn.Module | None = None,
    stream: bool | None = None,
    readers: int = 1,
    leave_out: Sequence[str] = (),
    resume: bool = False,
    log: Sequence[Logger] = (),
) -> Iterator[Progress]:
    """Fit a score model to a data set and write it to a folder, one training step per turn of the loop.

    Args:
        source: a file, a folder of images, the name of a built-in data set, or a `Dataset`.
        folder: to write the run to; `TrainedModel.load(folder)` reads it.
        settings: of the training, as a whole or some fields; default: three minutes.
        size: of the network: "auto", "small", "medium" or "large".
        network: of series, images and volumes: "auto", "unet" or "transformer"; of images also a UNet2DModel of
            diffusers, new or trained, with the scheduler that says what it is told and predicts: a pair (network,
            scheduler), a pipeline, its folder, or hub:USER/NAME. A copy is trained, on pixels on [-1, 1]; the run is
            one of `TrainedModel.from_diffusers`, and `interop.to_diffusers` writes it as diffusers' own. Resuming needs
            no network.
        energy: learn an energy, whose gradient is the score (tables only).
        labels: condition the model on the source's class labels; default: for images that have them.
        dequantise: spread whole numbers by uniform noise, so that they have a density; default: for tables. Images
            look better without, and their log-density then means little.
        held_share: of the rows, held out; default: a tenth.
        images: how the image files of a folder become pixels; default: as they are, and when resuming as before.
        grid: "series" or "volume": what the records of a file are, as `data.load`; when resuming as before.
        autoencoder: learn the latents of pictures: a folder that `records.autoencode` or diffusers (`AutoencoderKL`)
            wrote, or a module with `encode(x (n, c, h, w)) -> z` and `decode(z) -> x`; see `records.autoencoder`. A run
            holds the weights of the one of a folder; a module is handed over again by `TrainedModel.load`.
        stream: read the records as they are needed, see `data.streams`; default: where they do not fit into memory
            comfortably, of folders of more than 10,000 images, and when resuming as before.
        leave_out: columns that are not read, of tables that are read as they are needed.
        readers: threads that read ahead, of records that are read as they are needed; the answer does not depend on it.
        resume: go on with what the folder holds, bit for bit as if never stopped.
        log: who is told of the training, such as `interop.loggers.TensorBoard(folder)`; see `training.log.Logger`.

    Yields:
        The trainer's `Progress`, step by step, none where the run has ended; the folder is complete after the last.

    Raises:
        DataError: for data that cannot be used.
        ValueError: when the folder holds a training and resume is False, or resume is asked with other data or another
            autoencoder; for pictures or latents that do not fit an autoencoder.
    """
    begun = time.perf_counter()
    by = None if autoencoder is None else opened(autoencoder)
    stored = stored_options(Path(folder)) if resume else {}
    given = foreign(network, stored)
    found = open_to_fit(
        source,
        images,
        Path(folder) if resume else None,
        grid=grid,
        stream=False if stream is None and by is not None else stream,
        leave_out=leave_out,
        labels=labels is not False,
    )
    if given is not None:
        check_given(found.kind, found.source, size, latents=by is not None)
        network = given.described()
    if isinstance(found, Stream):
        chosen = streamed_options(
            found, size=size, network=network, energy=energy, labels=labels, dequantise=dequantise, share=held_share,
            latents=by is not None, stored=stored,
        )  # fmt: skip
        return train_in_folder(
            Path(folder),
            chosen,
            lambda settings: prepare_streamed(found, chosen, settings.seed, readers, begun, Path(folder), given),
            default=GRID_DEFAULT if found.gridded else Settings(seconds=DEFAULT_SECONDS),
            settings=settings,
            resume=resume,
            log=log,
        )
    dataset = found
    options = {
        "source": dataset.source,
        "format": FORM,
        "records": digest(dataset.records),
        "size": size,
        "energy": energy,
        "labels": bool(labels) if labels is not None else dataset.kind == "image" and dataset.labels is not None,
        "dequantise": dequantise if dequantise is not None else not dataset.gridded,
        "held_share": HELD_SHARE if held_share is None else held_share,
        "autoencoder": None if by is None else by.fingerprint(),
    }
    if network != "auto":
        if not dataset.gridded:
            raise ValueError(f"network={network!r} is for series, images and volumes; leave it out.")
        options["network"] = network
    if by is not None:
        check_pictures(dataset)
        if dequantise:
            raise ValueError("latents have no density of pixels, for which whole numbers are spread; leave it out.")
    if grid_of(dataset.kind):
        options["grid"] = dataset.kind
    if dataset.reading is not None:
        options["images"] = dict(dataset.reading)
    if dataset.labels is not None:
        options["class_labels"] = digest(dataset.labels)  # the rows held out are a share of each class
    elif options["labels"]:
        raise ValueError(f"{dataset.source} has no class labels to condition on; leave labels out.")
    reading = time.perf_counter() - begun

    def ready(settings: Settings) -> Preparation:
        begun = time.perf_counter()
        made = prepare(dataset, options, settings.seed, by, given)
        return replace(made, seconds=reading + time.perf_counter() - begun)

    return train_in_folder(
        Path(folder),
        options,
        ready,
        default=GRID_DEFAULT if dataset.gridded else Settings(seconds=DEFAULT_SECONDS),
        settings=settings,
        resume=resume,
        log=log,
    )


def prepare(
    dataset: Dataset,
    options: Mapping[str, Any],
    seed: int,
    autoencoder: Autoencoder | None = None,
    given: Foreign | None = None,
) -> Preparation:
    """Cut the data set, fit the codec, build the network.

    Args:
        dataset: checked.
        options: as `fit` stores them in the folder.
        seed: of the training.
        autoencoder: of pictures whose latents are learned.
        given: the network to train, of diffusers; default: one of this library.
    """
    cut = split(len(dataset), options["held_share"], seed, dataset.labels)
    if autoencoder is None:
        codec, x, held = _rows(dataset, cut, seed if options["dequantise"] else None, given)
    else:
        codec, x, held = latent_rows(dataset, cut, autoencoder.on("cuda" if torch.cuda.is_available() else "cpu"))
    condition, held_condition = (
        torch.as_tensor(dataset.labels[rows]) if options["labels"] and dataset.labels is not None else None
        for rows in cut
    )
    model, frequencies = untrained(tuple(x.shape[1:]), scales_of(x), condition, options, len(x), given)
    data = {
        "source": options["source"],
        "kind": dataset.kind,
        "records": options["records"],
        "rows": len(x),
        "held": len(held),
        "held_share": options["held_share"],
        "dequantised": options["dequantise"],
        "columns": dataset.columns,
        "classes": dataset.classes,
    }
    if "images" in options:
        data["images"] = options["images"]

    def finish(info: dict[str, Any]) -> TrainedModel:
        made = TrainedModel(model, codec, {}, frequencies, {"data": data, **info}, *moments(x))
        return replace(made, ends=ends_of(made, x.counts() if isinstance(x, Encoded) else None))

    def look(copy: nn.Module) -> TrainedModel:
        return TrainedModel(cast(Any, copy), codec, {}, frequencies, {"data": data})

    exact, shown = _exact(dataset, codec), drawn if dataset.kind == "image" else None
    return Preparation(model, x, held, finish, condition, held_condition, exact=exact, look=look, pictures=shown)


def _rows(
    dataset: Dataset, cut: tuple[Array, Array], noise: int | None, given: Foreign | None
) -> tuple[Codec, Rows, Rows]:
    """The codec of a data set, and its rows to train on and to hold out, images encoded as they are needed."""
    codec = fit_codec(dataset, cut[0])
    codec = codec if given is None else on_their_scale(codec, dataset.records)
    x, held = (Encoded(codec, dataset.records, rows, noise) for rows in cut)
    return (codec, x, held) if dataset.kind == "image" else (codec, x[:], held[:])


def _exact(dataset: Dataset, codec: Codec) -> Model | None:
    """The exact model of a built-in toy that is a Gaussian mixture, in the codec's coordinates."""
    toy = TOYS.get(dataset.source) if not dataset.gridded else None
    if not (isinstance(toy, Dots) and isinstance(codec, ArrayCodec)):
        return None
    mean, slope = torch.tensor(codec.mean, dtype=torch.float64), torch.as_tensor(codec.slope)
    count = len(toy.centres)
    covariance = torch.diag((toy.std * slope) ** 2).expand(count, 2, 2)
    return GaussianMixture(
        torch.full((count,), 1 / count, dtype=torch.float64), (toy.centres - mean) * slope, covariance
    )
