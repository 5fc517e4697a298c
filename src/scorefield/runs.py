"""Folders of trained models: which kind one holds, and which rows of a table it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from scorefield import _files
from scorefield.data import builtin_frame, read_frame, split
from scorefield.evaluation import LEAST, among
from scorefield.fitting_table import default_share, digest
from scorefield.trained import TrainedModel
from scorefield.trained_table import FORM, TrainedTable

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("breast_cancer", "diabetes", "iris", "wine")
"""Built-in tables."""


def is_table(source: str | Path) -> bool:
    """Whether a source is a table of columns of every kind: a .csv or .parquet file, or a built-in table.

    Example:
        >>> is_table("people.csv"), is_table("wine"), is_table("digits")
        (True, True, False)
    """
    return str(source) in TABLES or Path(source).suffix.lower() in (".csv", ".parquet")


def frame(source: str | Path) -> pd.DataFrame:
    """A table as a data frame: a .csv or .parquet file, or a built-in table with its classes in a column `target`.

    Raises:
        DataError: for what is no table, or cannot be read.
    """
    return builtin_frame(str(source)) if str(source) in TABLES else read_frame(source)


def load(folder: str | Path) -> TrainedModel | TrainedTable:
    """The model in a folder, of whichever kind its model.json says.

    Raises:
        FileError: for a missing, truncated or foreign file.
    """
    header = _files.read_json(Path(folder) / "model.json")
    return TrainedTable.load(folder) if header.get("format") == FORM else TrainedModel.load(folder)


def table(folder: str | Path, command: str) -> TrainedTable:
    """The model of a table in a folder.

    Args:
        folder: that `scorefield fit` wrote.
        command: that needs it, for the message.

    Raises:
        ValueError: for a model of arrays or images.
    """
    model = load(folder)
    if not isinstance(model, TrainedTable):
        raise ValueError(
            f"{folder} is a model of arrays or images, and `scorefield {command}` answers for tables; "
            "fit a .csv or .parquet file or a built-in table (without --energy)."
        )
    return model


def records(folder: str | Path, command: str) -> TrainedModel:
    """The model of arrays or images in a folder; arguments and errors as `table`, the other way round."""
    model = load(folder)
    if not isinstance(model, TrainedModel):
        raise ValueError(
            f"{folder} is a model of a table, and `scorefield {command}` answers for arrays and images only."
        )
    return model


class Rows(NamedTuple):
    """Real rows, and the rows of training where they are at hand.

    Args:
        real: to compare with.
        training: what the model was trained on; None where not at hand.
        unseen: whether the real rows are surely others than those.
        note: what the reader should know.
    """

    real: pd.DataFrame
    training: pd.DataFrame | None
    unseen: bool
    note: str = ""


def real_rows(model: TrainedTable, given: pd.DataFrame) -> Rows:
    """What to compare a model with: of its own table the rows held out, of another one those it was not trained on."""
    rows = model.codec.encode(given)
    parts = _parts(model, rows)
    if parts is not None:
        keep, out = parts
        return Rows(given.iloc[out], given.iloc[keep], True)
    training = _training(model)
    if training is None:
        note = "Whether the model was trained on these rows is not known: its training rows are not at hand."
        return Rows(given, None, False, note)
    seen = among(rows.numpy(), model.codec.encode(training).numpy())
    if not seen.any():
        return Rows(given, training, True)
    if (~seen).sum() < LEAST:
        return Rows(given, training, False, f"{int(seen.sum()):,} of these rows equal rows of training.")
    note = f"{int(seen.sum()):,} of the {len(given):,} rows given equal rows of training and were left out."
    return Rows(given[~seen], training, True, note)


def _parts(model: TrainedTable, rows: Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """Places of the training and the held-out rows, if these encoded rows are the model's own table."""
    data, settings = model.info.get("data", {}), model.info.get("training", {}).get("settings", {})
    if "records" not in data or len(rows) < 2:
        return None
    keep, out = split(len(rows), data.get("held_share") or default_share(len(rows)), settings.get("seed", 0))
    return (keep, out) if digest(rows[keep]) == data["records"] else None


def _training(model: TrainedTable) -> pd.DataFrame | None:
    """The rows of training, if the model's source is still there and unchanged."""
    source = str(model.info.get("data", {}).get("source", ""))
    try:
        found = frame(source) if is_table(source) else None
        parts = None if found is None else _parts(model, model.codec.encode(found))
    except (ValueError, OSError):
        return None
    return None if found is None or parts is None else found.iloc[parts[0]]
