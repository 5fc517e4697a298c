"""From a data file to a trained model in a folder: what `scorefield fit` does, as a generator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield import _files, nets
from scorefield.analytic import GaussianMixture
from scorefield.core import Model
from scorefield.data import TOYS, DataError, Dataset, load, split
from scorefield.data.toys import Dots
from scorefield.denoiser import Denoiser, Energy
from scorefield.records.array_codec import ArrayCodec
from scorefield.records.codec import Codec, fit_codec
from scorefield.records.trained import TrainedModel
from scorefield.training import parallel
from scorefield.training.checkpoint import Settings, read_progress
from scorefield.training.loop import Progress, train
from scorefield.training.run import CHECKPOINT, DEFAULT_SECONDS, check_same, sigma_range, training_info

_FULL_COVARIANCE = 256  # most dimensions of which the whole covariance is kept


@dataclass(frozen=True)
class Parts:
    """A data set cut into what is trained on and what is held out, as `fit` cuts it.

    Args:
        training: rows that the model may see.
        held: rows that it never sees: for the held-out loss, early stopping and evaluation.
    """

    training: Dataset
    held: Dataset

    @staticmethod
    def of(dataset: Dataset, share: float, seed: int) -> Parts:
        """Cut, a share of every class held out; rows that the source itself holds out are left alone."""
        rows, held = split(len(dataset), share, seed, dataset.labels)
        return Parts(dataset.take(rows), dataset.take(held))


def digest(records: np.ndarray) -> str:
    """A fingerprint of records, to know a data set again."""
    content = hashlib.blake2b(f"{records.shape} {records.dtype}".encode(), digest_size=16)
    content.update(np.ascontiguousarray(records).data)
    return content.hexdigest()


def fit(
    source: str | Path | Dataset,
    folder: str | Path,
    *,
    settings: Settings | None = None,
    size: str = "auto",
    energy: bool = False,
    labels: bool | None = None,
    dequantise: bool | None = None,
    held_share: float = 0.1,
    resume: bool = False,
) -> Iterator[Progress]:
    """Fit a score model to a data set and write it to a folder, one training step per turn of the loop.

    Args:
        source: a file, a folder of images, the name of a built-in data set, or a `Dataset`.
        folder: to write the run to; `TrainedModel.load(folder)` reads it.
        settings: of the training; default: three minutes.
        size: of the network: "auto", "small", "medium" or "large".
        energy: learn an energy, whose gradient is the score (tables only).
        labels: condition the model on the source's class labels; default: for images that have them.
        dequantise: spread whole numbers by uniform noise, so that they have a density; default: for tables. Images
            look better without, and their log-density then means little.
        held_share: of the rows, held out.
        resume: go on with what the folder holds, bit for bit as if never stopped.

    Yields:
        The trainer's `Progress`, step by step; the folder is complete when the loop ends.

    Raises:
        DataError: for data that cannot be used.
        ValueError: when the folder holds a training and resume is False, or resume is asked with other data.
    """
    folder = Path(folder)
    dataset = load(source)
    options = {
        "source": dataset.source,
        "records": digest(dataset.records),
        "size": size,
        "energy": energy,
        "labels": bool(labels) if labels is not None else dataset.kind == "image" and dataset.labels is not None,
        "dequantise": dequantise if dequantise is not None else dataset.kind != "image",
        "held_share": held_share,
    }
    if options["labels"] and dataset.labels is None:
        raise ValueError(f"{dataset.source} has no class labels to condition on; leave labels out.")
    with parallel.process_group() as device, parallel.folder_lock(folder):
        settings, resume = _settings(folder, options, settings, resume)
        parts = Parts.of(dataset, held_share, settings.seed)
        codec = fit_codec(parts.training)
        x, held = (_encoded(codec, part, options, settings) for part in (parts.training, parts.held))
        model, frequencies = _model(x, parts.training if options["labels"] else None, options)
        model.to(device)
        if parallel.rank() == 0:
            _files.write_json(folder / "fit.json", options)
        yield from train(
            model,
            x,
            settings=settings,
            condition=_labels(parts.training, options),
            held=held,
            held_condition=_labels(parts.held, options),
            exact=_exact(dataset, codec),
            checkpoint=folder / CHECKPOINT,
            resume=resume,
        )
        _write(folder, model, codec, frequencies, parts, options, x)


def _settings(folder: Path, options: dict[str, Any], asked: Settings | None, resume: bool) -> tuple[Settings, bool]:
    """The settings to train with, and whether there is something to go on with."""
    checkpoint = folder / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise ValueError(f"{folder} holds a training already; go on with it by --resume, or take another folder.")
    if not checkpoint.exists():  # also where a run was stopped before its first checkpoint: begin again
        return asked or Settings(seconds=DEFAULT_SECONDS), False
    check_same(folder, options)
    return asked or read_progress(checkpoint)[0], True


def _model(x: Tensor, labelled: Dataset | None, options: dict[str, Any]) -> tuple[Denoiser | Energy, Any]:
    classes, frequencies = 0, None
    if labelled is not None and labelled.labels is not None:
        counts = np.bincount(labelled.labels)
        classes, frequencies = len(counts), tuple((counts / counts.sum()).tolist())
    sigma_min, sigma_max = sigma_range(x)
    scales: Any = {"sigma_data": float(x.double().std()), "sigma_min": sigma_min, "sigma_max": sigma_max}
    if options["energy"]:
        if x.ndim != 2:
            raise ValueError(f"an energy network is for tables; these records have shape {tuple(x.shape[1:])}.")
        return Energy(nets.ScalarMLP(x.shape[1], classes=classes), **scales), frequencies
    network = nets.network_for(tuple(x.shape[1:]), classes=classes, size=options["size"], rows=len(x))
    return Denoiser(network, **scales), frequencies


def _encoded(codec: Codec, part: Dataset, options: dict[str, Any], settings: Settings) -> Tensor:
    return codec.encode(part.records, seed=settings.seed if options["dequantise"] else None)


def _labels(part: Dataset, options: dict[str, Any]) -> Tensor | None:
    return torch.as_tensor(part.labels) if options["labels"] and part.labels is not None else None


def _exact(dataset: Dataset, codec: Codec) -> Model | None:
    """The exact model of a built-in toy that is a Gaussian mixture, in the codec's coordinates."""
    toy = TOYS.get(dataset.source) if dataset.kind != "image" else None
    if not (isinstance(toy, Dots) and isinstance(codec, ArrayCodec)):
        return None
    mean, slope = torch.tensor(codec.mean, dtype=torch.float64), torch.as_tensor(codec.slope)
    count = len(toy.centres)
    covariance = torch.diag((toy.std * slope) ** 2).expand(count, 2, 2)
    return GaussianMixture(
        torch.full((count,), 1 / count, dtype=torch.float64), (toy.centres - mean) * slope, covariance
    )


def _write(
    folder: Path,
    model: Denoiser | Energy,
    codec: Codec,
    frequencies: Any,
    parts: Parts,
    options: dict[str, Any],
    x: Tensor,
) -> None:
    """Write the trained model, with what is known of its training."""
    parallel.wait_for_all()  # the first process has written the checkpoint
    info = {
        "data": {
            "source": options["source"],
            "kind": parts.training.kind,
            "records": options["records"],
            "rows": len(parts.training),
            "held": len(parts.held),
            "held_share": options["held_share"],
            "dequantised": options["dequantise"],
            "columns": parts.training.columns,
            "classes": parts.training.classes,
        },
        **training_info(folder / CHECKPOINT, model),
    }
    TrainedModel(model, codec, {}, frequencies, info, *moments(x)).save(folder)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean `(*shape)` of data `(n, *shape)` and their covariance `(d, d)`, or variances `(*shape)` where d > 256.

    In float64; what log-densities start from.
    """
    mean = x.mean(0, dtype=torch.float64)
    if mean.numel() > _FULL_COVARIANCE:
        total = torch.zeros_like(mean)
        for part in x.split(1024):  # so that float64 images fit
            total += ((part.double() - mean) ** 2).sum(0)
        return mean, total / len(x)
    flat = (x.double() - mean).flatten(1)
    return mean, flat.T @ flat / len(x)


def parts_of(trained: TrainedModel, dataset: Dataset) -> Parts | None:
    """The rows that a run trained on and held out, if this is the data set it was fitted to; else None."""
    data = trained.info.get("data", {})
    if data.get("records") != digest(dataset.records):
        return None
    return Parts.of(dataset, data["held_share"], trained.info["training"]["settings"]["seed"])


def fitted_to(trained: TrainedModel) -> Dataset | None:
    """The data set that a run was fitted to, if its source is still there and unchanged."""
    source = trained.info.get("data", {}).get("source")
    try:
        again = load(source) if source else None
    except (DataError, OSError):
        return None
    return again if again is not None and parts_of(trained, again) is not None else None


def unseen(parts: Parts, dataset: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
    """Records that the run has not trained on, with their labels: the source's test records, else those held out."""
    if dataset.held is not None:
        return dataset.held, dataset.held_labels
    return parts.held.records, parts.held.labels
