"""New records of a model to a file, in parts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from scorefield import data
from scorefield.data.dataset import Array
from scorefield.data.writing import part_bounds
from scorefield.progress import Report, silent
from scorefield.records.grid_codec import GridCodec
from scorefield.records.latent_codec import records_codec
from scorefield.records.trained import TrainedModel

_FIRST, _PART = 1 << 16, 1 << 24  # values drawn at a time: few at first, by which the size of the file is told


def write_samples(
    model: TrainedModel,
    path: Path,
    n: int,
    *,
    steps: int,
    seed: int,
    condition: int | None = None,
    guidance: float = 1.0,
    given: Sequence[str] = (),
    repeats: bool = True,
    precision: str = "auto",
    first: int = 0,
    report: Report = silent,
) -> None:
    """Draw records and write them to a .csv, .parquet, .npy or .npz file, or as a grid of images to a .png file.

    Memory holds a part of them at a time; sample i is a pure function of (seed, i), so parts change nothing.

    Args:
        model: of arrays or images.
        path: file to write.
        n: how many.
        steps: network evaluations per sample.
        seed: of the samples.
        condition: class to draw; default: classes as often as in training, written with the records.
        guidance: as `TrainedModel.sample`.
        given: not for arrays and images.
        repeats: not for arrays and images.
        precision: as `TrainedModel.sample`.
        first: number of the first one.
        report: hears how far the work is.

    Raises:
        ValueError: for anything given.
        DataError: for a file name whose suffix does not go with the records, or a disk without room.
    """
    if given:
        raise ValueError("a run of arrays or images has no --given, only one of a table; take a class by --condition.")
    if not repeats:
        raise ValueError("a run of arrays or images repeats no values of its data; leave --no-repeats out.")
    suffix = _suffix_for(path, model)
    each = math.prod(records_codec(model.codec).shape)
    bounds = part_bounds(n, max(1, _FIRST // each), max(1, _PART // each))

    def parts() -> Iterator[tuple[Array, Array | None]]:
        for start, stop in bounds:
            report(start / n, "samples")
            count = stop - start
            labels = model.conditions(count, seed=seed, first=first + start) if condition is None else None
            wanted = condition if labels is None else labels
            records = model.sample(
                count,
                steps=steps,
                seed=seed,
                first=first + start,
                condition=wanted,
                guidance=guidance,
                precision=precision,
            )
            kept = None if labels is None or suffix == ".npy" else labels.numpy()  # .npy holds one array
            yield records, kept

    data.write_parts(path, parts(), n, model.info.get("data", {}).get("columns"))


def _suffix_for(path: Path, model: TrainedModel) -> str:
    """The suffix of a file, once it is known to hold such records."""
    if not isinstance(model.codec, GridCodec):
        return data.check_suffix(path, image=len(records_codec(model.codec).shape) == 3)
    rows = len(model.codec.record_shape) == 1
    suffix = data.check_suffix(path, image=False if rows else None)
    if not rows and suffix not in (".npy", ".npz"):
        shape = ", ".join(map(str, model.codec.record_shape))
        raise data.DataError(f"{path}: records of shape ({shape}) are written as .npy or .npz, not as {suffix}.")
    return suffix
