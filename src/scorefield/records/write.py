"""New records of a model to a file."""

from __future__ import annotations

from pathlib import Path

from scorefield import data
from scorefield.progress import Report, silent
from scorefield.records.trained import TrainedModel


def write_samples(
    model: TrainedModel,
    path: Path,
    n: int,
    *,
    steps: int,
    seed: int,
    condition: int | None = None,
    guidance: float = 1.0,
    report: Report = silent,
) -> None:
    """Draw records and write them to a .csv, .parquet, .npy or .npz file, or as a grid of images to a .png file.

    Args:
        model: of arrays or images.
        path: file to write.
        n: how many.
        steps: network evaluations per sample.
        seed: of the samples.
        condition: class to draw; default: classes as often as in training, written next to the records.
        guidance: as `TrainedModel.sample`.
        report: hears how far the work is.

    Raises:
        DataError: for a file name whose suffix does not go with the records.
    """
    suffix = data.check_suffix(path, image=len(model.codec.shape) == 3)
    labels = model.conditions(n, seed=seed) if condition is None else None
    given = condition if labels is None else labels
    records = model.sample(n, steps=steps, seed=seed, condition=given, guidance=guidance, report=report)
    columns = model.info.get("data", {}).get("columns")
    kept = None if labels is None or suffix == ".npy" else labels.numpy()  # .npy holds one array
    data.write(path, records, columns=columns, labels=kept)
