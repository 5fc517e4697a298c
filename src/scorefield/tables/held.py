"""Which rows of a table a model has not seen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from scorefield.data import named
from scorefield.data.overlap import among
from scorefield.data.sources import is_table
from scorefield.data.splitting import split
from scorefield.data.streams.order import drawn_rows
from scorefield.data.streams.tableparts import TableParts
from scorefield.metrics.comparison import LEAST, MOST
from scorefield.tables.conform import conform
from scorefield.tables.files import parts_like, read_rows
from scorefield.tables.trained import TrainedTable

if TYPE_CHECKING:
    import pandas as pd


def digest(rows: Tensor) -> str:
    """A fingerprint of encoded rows, to know a table again."""
    content = hashlib.blake2b(f"{tuple(rows.shape)}".encode(), digest_size=16)
    content.update(np.ascontiguousarray(rows.nan_to_num(nan=1e300).numpy()).data)
    return content.hexdigest()


def default_share(rows: int) -> float:
    """The share of rows to hold out: a tenth, but 40 rows where they are no more than a quarter."""
    return min(0.25, max(0.1, 40 / rows))


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


def real_rows_of(model: TrainedTable, parts: TableParts) -> Rows:
    """As `real_rows` of a table in many files: of a model's own the rows held out, and some that it was trained on."""
    data, settings = model.info.get("data", {}), model.info.get("training", {}).get("settings", {})
    if data.get("stream") and data.get("records") == parts.fingerprint():
        from scorefield.tables.surveyed import cut_rows  # with all that streams need

        held, some = cut_rows(parts, data["held_share"], settings.get("seed", 0))
        held = held[:MOST]
        found = parts.rows(np.concatenate([held, some]))
        trained = len(parts) - int(data.get("held", 0))
        note = f"Training rows are {len(some):,} of the {trained:,}, drawn by the seed." if len(some) < trained else ""
        return Rows(found.iloc[: len(held)], found.iloc[len(held) :], True, note)
    rows = drawn_rows(len(parts), min(len(parts), MOST), 0, "stream/evaluate")
    note = "Whether the model was trained on these rows is not known: its training rows are not at hand."
    if len(rows) < len(parts):
        note += f" They are {len(rows):,} of the {len(parts):,}, drawn by a fixed seed."
    return Rows(conform(model.codec, parts.rows(rows)), None, False, note)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rows that a model has not seen, as far as they are at hand.

    Args:
        rows: data frame; None: there are none.
        training: rows that it was trained on; None: not at hand.
        note: what is missing, and why.
    """

    rows: pd.DataFrame | None
    training: pd.DataFrame | None = None
    note: str = ""


def held_out(model: TrainedTable, data: str | Path | pd.DataFrame | None = None) -> HeldOut:
    """The rows that a run held out, or those of other data that it was not trained on.

    Args:
        model: of a table.
        data: a file, a built-in table or a data frame; default: what the model was fitted to.

    Raises:
        DataError: for data that cannot be read, or have other columns than the model.
    """
    source = model.info.get("data", {}).get("source") if data is None else data
    parts = parts_like(model, source) if isinstance(source, str | Path) else None
    if parts is not None:
        many = real_rows_of(model, parts)
        return HeldOut(many.real, many.training, many.note)
    if data is None:
        found = _source(model)
        if found is None:
            text = "the table that the model was fitted to is not at hand: give it to check intervals and copies"
            return HeldOut(None, note=f"Not checked against data: {text}.")
        whole, (keep, out) = found
        whole = conform(model.codec, whole)
        return HeldOut(whole.iloc[out], whole.iloc[keep])
    given: Any = data
    if isinstance(data, str | Path):
        with named(str(data)):
            given = conform(model.codec, read_rows(model, data).frame)
    rows = real_rows(model, given)
    note = rows.note
    if not rows.unseen and rows.training is not None:
        note = f"{note} Memorisation is not checked."
    return HeldOut(rows.real, rows.training if rows.unseen else None, note)


def _parts(model: TrainedTable, rows: Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """Places of the training and the held-out rows, if these encoded rows are the model's own table."""
    data, settings = model.info.get("data", {}), model.info.get("training", {}).get("settings", {})
    if "records" not in data or len(rows) < 2:
        return None
    keep, out = split(len(rows), data.get("held_share") or default_share(len(rows)), settings.get("seed", 0))
    return (keep, out) if digest(rows[keep]) == data["records"] else None


def _training(model: TrainedTable) -> pd.DataFrame | None:
    """The rows of training, if the model's source is still there and unchanged."""
    found = _source(model)
    return None if found is None else found[0].iloc[found[1][0]]


def _source(model: TrainedTable) -> tuple[pd.DataFrame, tuple[np.ndarray, np.ndarray]] | None:
    """The table that a model was fitted to, with the places of its training and held-out rows; None: not at hand."""
    source = str(model.info.get("data", {}).get("source", ""))
    try:
        found = read_rows(model, source).frame if is_table(source) else None
        parts = None if found is None else _parts(model, model.codec.encode(found))
    except (ValueError, OSError):
        return None
    return None if found is None or parts is None else (found, parts)
