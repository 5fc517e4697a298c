"""Folders of trained models: which kind one holds, and which rows of a table it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scorefield import _files
from scorefield.data.sources import frame as frame
from scorefield.data.sources import is_table as is_table
from scorefield.records.trained import TrainedModel
from scorefield.tables.trained import FORM, TrainedTable

if TYPE_CHECKING:
    pass


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
