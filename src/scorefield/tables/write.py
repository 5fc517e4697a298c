"""New rows of a model to a file, in parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scorefield.data import check_frame_suffix, write_frames
from scorefield.data.writing import part_bounds
from scorefield.progress import Report, silent
from scorefield.tables.files import remembered
from scorefield.tables.given import parse
from scorefield.tables.trained import TrainedTable

if TYPE_CHECKING:
    import pandas as pd

_FIRST, _PART = 1 << 10, 1 << 16  # rows drawn at a time: few at first, by which the size of the file is told


def write_samples(
    model: TrainedTable,
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
    """Draw rows and write them to a file, as text in the dialect of the one that the model was fitted to.

    Memory holds a part of them at a time; row i is a pure function of (seed, i), so parts change nothing.

    Args:
        model: of a table.
        path: file to write.
        n: how many.
        steps: network evaluations per row.
        seed: of the rows.
        condition: not for tables.
        guidance: not for tables.
        given: conditions that all rows fulfil, as `tables.given.parse` takes them.
        repeats: as `TrainedTable.sample`.
        precision: not for tables.
        first: number of the first one.
        report: hears how far the work is.

    Raises:
        ValueError: for a condition (of a class) or guidance; for what is given and unknown, or too rare.
        DataError: for a file name with another suffix, or a disk without room.
    """
    if condition is not None or guidance != 1.0:
        raise ValueError(
            "a run of a table has no --condition and no --guidance; say what rows must be with --given column=value."
        )
    if precision != "auto":
        raise ValueError("a run of a table has no --precision: its answers are float32; leave it out.")
    check_frame_suffix(path)
    wanted = parse(given, model.codec.schema)

    def parts() -> Iterator[pd.DataFrame]:
        for start, stop in part_bounds(n, _FIRST, _PART):
            report(start / n, "rows")
            yield model.sample(stop - start, steps=steps, seed=seed, first=first + start, given=wanted, repeats=repeats)

    write_frames(parts(), n, path, remembered(model.info.get("data", {})))
