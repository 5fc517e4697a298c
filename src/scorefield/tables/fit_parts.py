"""From a table in many Parquet files to a trained model of its rows, which are read as the training needs them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield import _files
from scorefield.data.dataset import Array
from scorefield.data.streams.order import Order, buffer_rows
from scorefield.data.streams.order import held_share as default_share
from scorefield.data.streams.reader import Reader
from scorefield.data.streams.stream import Stream
from scorefield.data.streams.tableparts import TableParts, table_parts
from scorefield.records.streamed import Streamed
from scorefield.tables.codec import RowCodec
from scorefield.tables.detection import detect
from scorefield.tables.files import left_out_before
from scorefield.tables.fit import Encoded, TableFit, settings_for
from scorefield.tables.frequencies import log_frequencies
from scorefield.tables.schema import Schema
from scorefield.tables.schema_toml import schema_from_file
from scorefield.tables.surveyed import Survey, cut_rows, survey
from scorefield.tables.trained import FORM
from scorefield.training.checkpoint import Settings, read_status
from scorefield.training.log import Logger
from scorefield.training.loop import Progress
from scorefield.training.run import CHECKPOINT, OPTIONS, Preparation, train_in_folder


@dataclass(frozen=True)
class AsTheyAre:
    """What stands in a codec's place where a stream's records are encoded rows already.

    Args:
        shape: of one, `(entries,)`.
    """

    shape: tuple[int, ...]

    def encode(self, records: Array, *, seed: int | None = None, first: Tensor | int = 0) -> Tensor:
        """The records themselves, float32."""
        return torch.from_numpy(records)


def encoded_stream(parts: TableParts, codec: RowCodec, seed: int) -> Stream:
    """A table as a stream of encoded rows in float32, those that repeat on a lattice spread in their cells."""

    def read(k: int) -> Array:
        first = int(parts.starts[k])
        rows: Array = codec.encode(parts.frame(k), seed, first=first).float().numpy()
        return rows

    names = codec.names_of_coordinates
    return Stream(parts.source, "table", codec.shape, np.dtype(np.float32), parts.sizes, read, names, holes=True)


def fit_parts(
    source: str | Path | TableParts,
    folder: str | Path,
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    schema: Schema | Path | None = None,
    size: str = "auto",
    held_share: float | None = None,
    leave_out: Sequence[str] = (),
    readers: int = 1,
    resume: bool = False,
    log: Sequence[Logger] = (),
) -> Iterator[Progress]:
    """Fit a model to a table in many Parquet files, as `tables.fit.fit` does to one in memory, which holds two buffers.

    Columns are detected in 65,536 rows, means, deviations and frequencies are those of all rows, and what needs rows in
    memory takes 65,536 of those that are trained on: the mixture, percentiles, memorisation.

    Args:
        source: a folder of .parquet files, however deep, a pattern such as "rows/*.parquet", or `table_parts`.
        folder: to write the run to; `TrainedTable.load(folder)` reads it.
        settings: of the training, as a whole or some fields; default: `settings_for`.
        schema: as `tables.fit.fit`.
        size: of the network: "auto", "small", "medium" or "large".
        held_share: of the rows, held out; default: a tenth, 20,000 rows at most.
        leave_out: columns that are not read.
        readers: threads that read ahead; the answer does not depend on it.
        resume: go on with what the folder holds, bit for bit as if never stopped.
        log: who is told of the training.

    Yields:
        The trainer's `Progress`, step by step, none where the run has ended; the folder is complete after the last.

    Raises:
        DataError: for files that cannot be used.
        ValueError: when the folder holds a training and resume is False, or resume is given with another table.
    """
    begun, folder = time.perf_counter(), Path(folder)
    stored = _files.read_json(folder / OPTIONS) if resume and (folder / OPTIONS).exists() else {}
    parts = source
    if not isinstance(parts, TableParts):
        parts = table_parts(parts, leave_out or left_out_before(folder if resume else None))
    share = held_share or stored.get("held_share") or default_share(len(parts))
    seed = _seed(settings, folder if resume else None)
    held, sample = cut_rows(parts, share, seed)
    found = survey(parts, _columns(schema, stored, folder), np.concatenate([held, sample]))
    options = {
        "source": parts.source,
        "format": FORM,
        "rows": parts.fingerprint(),
        "schema": found.codec.schema.to_json(),
        "size": size,
        "held_share": share,
        "dialect": None,
        "left_out": list(parts.left_out),
        "stream": {"buffer": stored["stream"]["buffer"] if stored.get("stream") else _buffer(parts, found.codec)},
    }
    spent = time.perf_counter() - begun

    def prepare(settings: Settings) -> Preparation:
        if settings.seed != seed:
            raise ValueError(f"the training was prepared for seed {seed}, not {settings.seed}; give the seed it had.")
        return _prepared(parts, found, held, options, seed, readers, spent)

    default = settings_for(len(parts))
    yield from train_in_folder(folder, options, prepare, default=default, settings=settings, resume=resume, log=log)


def _seed(settings: Settings | Mapping[str, Any] | None, folder: Path | None) -> int:
    """The seed that the settings of the training will have."""
    given = settings.seed if isinstance(settings, Settings) else (settings or {}).get("seed")
    if given is not None:
        return int(given)
    if folder is not None and (folder / CHECKPOINT).exists():
        return read_status(folder / CHECKPOINT).settings.seed
    return Settings(steps=1).seed


def _columns(schema: Schema | Path | None, stored: Mapping[str, Any], folder: Path) -> Any:
    """The columns: as given, as the training in a folder began with, or what detects them, with a file's changes."""
    if isinstance(schema, Schema):
        return schema
    if schema is None and stored.get("schema") is not None:
        with _files.reading(folder / OPTIONS, "the options of a training"):
            return Schema.from_json(stored["schema"])
    return detect if schema is None else lambda frame: schema_from_file(detect(frame), schema, frame)


def _buffer(parts: TableParts, codec: RowCodec) -> int:
    return buffer_rows(encoded_stream(parts, codec, 0))


def _prepared(
    parts: TableParts,
    found: Survey,
    held: Array,
    options: Mapping[str, Any],
    seed: int,
    readers: int,
    spent: float,
) -> Preparation:
    """The model of the held-out rows and the sample, to be trained on all others."""
    codec, out = found.codec, len(held)
    made = TableFit.of(Encoded(codec, found.rows[out:], found.rows[:out]), seed, options["size"])
    made.model.log_frequencies.copy_(log_frequencies(found.counts))
    ready = made.preparation()
    order = Order(encoded_stream(parts, codec, seed), np.sort(held), seed, options["stream"]["buffer"])
    rows = Streamed(AsTheyAre(order.stream.shape), Reader(order, readers))
    data = {name: options[name] for name in ("source", "size", "held_share", "dialect", "left_out")}
    data |= {"kind": "table", "rows": len(rows), "held": out, "records": options["rows"]}
    data["stream"] = {**options["stream"], "sample": len(found.rows) - out}
    return replace(
        ready,
        x=rows,
        seconds=ready.seconds + spent,
        finish=lambda info: ready.finish({"data": data, **info}),
        close=rows.reader.close,
    )
