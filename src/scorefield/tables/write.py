"""New rows of a model to a file."""

from __future__ import annotations

from pathlib import Path

from scorefield.data import check_frame_suffix, write_frame
from scorefield.progress import Report, silent
from scorefield.tables.trained import TrainedTable


def write_samples(
    model: TrainedTable,
    path: Path,
    n: int,
    *,
    steps: int,
    seed: int,
    condition: int | None = None,
    guidance: float = 1.0,
    report: Report = silent,
) -> None:
    """Draw rows and write them to a .csv or .parquet file.

    Args:
        model: of a table.
        path: file to write.
        n: how many.
        steps: network evaluations per row.
        seed: of the rows.
        condition: not for tables.
        guidance: not for tables.
        report: hears how far the work is.

    Raises:
        ValueError: for a condition or guidance.
        DataError: for a file name with another suffix.
    """
    if condition is not None or guidance != 1.0:
        raise ValueError(
            "a run of a table has no --condition and no --guidance: fill in what is given and use `scorefield impute`."
        )
    check_frame_suffix(path)
    report(0.0, "rows")
    write_frame(model.sample(n, steps=steps, seed=seed), path)
