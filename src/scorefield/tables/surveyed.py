"""What a codec needs to know of a table that does not fit into memory: one pass, whose parts are merged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scorefield.data import DataError, named
from scorefield.data.dataset import Array
from scorefield.data.streams.order import drawn_rows, held_rows
from scorefield.data.streams.tableparts import TableParts
from scorefield.progress import Report, silent
from scorefield.records.statistics import Moments
from scorefield.tables.cells import Cells, frame_cells, misfits
from scorefield.tables.codec import RowCodec
from scorefield.tables.frequencies import counts_of
from scorefield.tables.schema import Column, Schema
from scorefield.tables.series import present

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 1 << 16
"""Rows that the columns are detected in, and rows that stand for all where these would have to be in memory."""
_PASSES = 6  # through the data, each of which found rows that the columns had no place for
_ODD = 2000  # such rows of a column that are taken from a row group


@dataclass(frozen=True, eq=False)
class Survey:
    """What a pass through a table says.

    Args:
        codec: of its rows.
        counts: how often each code occurs, for every column of codes.
        rows: encoded rows that were asked for, `(m, entries)` float64, in their order.
    """

    codec: RowCodec
    counts: list[Tensor]
    rows: Tensor


def survey(
    parts: TableParts, schema_of: Schema | Callable[[pd.DataFrame], Schema], wanted: Array, report: Report = silent
) -> Survey:
    """The codec of a table, as `fit_row_codec` makes it of one in memory, and some of its rows encoded.

    The columns are detected in 65,536 rows; of columns that are empty there, in rows where they are not. Rows of the
    pass that they have no place for, such as a category or a bound that these did not show, are added to them, the
    columns are detected again, and the pass begins anew.

    Args:
        parts: the table.
        schema_of: the columns; or what detects them in some rows.
        wanted: `(m,)` different row numbers.
        report: hears how far a pass is.

    Raises:
        DataError: for what cannot be read, for rows that a given schema has no place for, and for columns of which
            every pass finds others.
    """
    if isinstance(schema_of, Schema):
        done = _Pass(schema_of, wanted).through(parts, report)
        return done.found()
    import pandas as pd

    frame = _filled(parts.sample(SAMPLE_ROWS), parts)
    for _ in range(_PASSES):
        with named(parts.source):
            schema = schema_of(frame)
        done = _Pass(schema, wanted, lenient=True).through(parts, report)
        if not done.odd:
            return done.found()
        frame = pd.concat([frame, *done.odd], ignore_index=True)
    names = ", ".join(sorted(done.names))
    raise DataError(
        f"{parts.source}: every look at the rows finds values in {names} that others did not show; say in a schema "
        "what they are (--schema), or leave them out (--leave-out)."
    )


def cut_rows(parts: TableParts, share: float, seed: int) -> tuple[Array, Array]:
    """The rows that are held out, in random order, and some of those that are trained on, rising; by number."""
    held = held_rows(len(parts), share, seed)
    trained = len(parts) - len(held)
    some = np.sort(drawn_rows(trained, min(trained, SAMPLE_ROWS), seed, "stream/sample"))
    rising = np.sort(held)
    return held, some + np.searchsorted(rising - np.arange(len(rising)), some, side="right")


def _filled(frame: pd.DataFrame, parts: TableParts) -> pd.DataFrame:
    """A sample, with rows that hold what columns do which are empty in it: the first of the table's that have them."""
    import pandas as pd

    lacking = {name: _ODD for name in frame.columns if not present(frame[name]).any()}
    found = [frame]
    for _, part in parts.frames() if lacking else ():
        for name, count in lacking.items():
            rows = part[present(part[name])].iloc[:count]
            found += [rows] if len(rows) else []
            lacking[name] -= len(rows)
        lacking = {name: count for name, count in lacking.items() if count}
        if not lacking:
            break
    return pd.concat(found, ignore_index=True) if len(found) > 1 else frame


@dataclass(eq=False)
class _Pass:
    """One pass with a schema: merged statistics of its coordinates and codes; rows that it has no place for."""

    schema: Schema
    wanted: Array
    lenient: bool = False
    odd: list[pd.DataFrame] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        count = sum(column.floating for column in self.schema)
        self.plain = RowCodec(self.schema, (0.0,) * count, (1.0,) * count, (0.0,) * count, (0.0,) * count)
        self.moments: list[Moments | None] = [None] * count
        self.counts = [torch.zeros(size, dtype=torch.int64) for size in self.plain.sizes]
        self.rows = torch.empty(len(self.wanted), *self.plain.shape, dtype=torch.float64)

    def through(self, parts: TableParts, report: Report) -> _Pass:
        order = np.argsort(self.wanted)
        rising = self.wanted[order]
        for k, (first, frame) in enumerate(parts.frames()):
            report(k / len(parts.sizes), "reading through the data")
            with named(parts.place(k)):
                odd = self._odd(frame) if self.lenient else []
                self.odd += odd
                if self.odd:
                    continue
                rows = self.plain.encode(frame)
            self._merge(rows)
            here = slice(*np.searchsorted(rising, [first, first + len(frame)]))
            self.rows[order[here]] = rows[rising[here] - first]
        return self

    def _odd(self, frame: pd.DataFrame) -> list[pd.DataFrame]:
        """Rows that the schema has no place for, one of each value, and those beyond the last values it knows of."""
        bad = {column.name: _unlike(column, frame) for column in self.schema if column.kind in ("copy", "constant")}
        if not any(one.any() for one in bad.values()):
            cells = frame_cells(self.schema, frame, extra=False)
            bad = {
                name: misfits(self.schema[name], own) | _beyond(self.schema[name], own) for name, own in cells.items()
            }
        rows = []
        for name, here in bad.items():
            if here.any():
                self.names.add(str(name))
                rows.append(frame[here].drop_duplicates([name]).iloc[:_ODD])
        return rows

    def _merge(self, rows: Tensor) -> None:
        self.counts = [a + b for a, b in zip(self.counts, counts_of(self.plain, rows), strict=True)]
        for j, known in enumerate(self.moments):
            y = rows[:, j].numpy()
            y = y[np.isfinite(y), None]
            if not len(y):
                continue
            if known is None:
                self.moments[j] = Moments.of(y, whole=np.zeros(1, bool))
            else:
                self.moments[j] = known.merged(Moments.of(y, known.scale, known.whole))

    def found(self) -> Survey:
        """The codec, and the rows in its coordinates."""
        fitted = []
        for place in self.schema.places():
            if place.coordinate is None:
                continue
            known = self.moments[place.coordinate]
            if known is None or not known.std[0] > 0:
                raise DataError(
                    f"column {place.column.name!r} of kind {place.column.kind} has a single value; detect it anew."
                )
            ends = place.column.transform.inverse(np.concatenate([known.low, known.high]))
            fitted.append((float(known.mean[0]), float(known.std[0]), float(ends[0]), float(ends[1])))
        codec = RowCodec(self.schema, *(tuple(p) for p in zip(*fitted, strict=True))) if fitted else self.plain
        rows, c = self.rows, codec.continuous
        mean, std = (torch.tensor(part, dtype=torch.float64) for part in (codec.mean, codec.std))
        rows[:, :c] = (rows[:, :c] - mean) / std
        return Survey(codec, self.counts, rows)


def _beyond(column: Column, cells: Cells) -> Array:
    """Where a number is the least, or the greatest, beyond what the column is known to end at."""
    found = np.zeros(len(cells.here), bool)
    if not column.floating or not cells.here.any():
        return found
    ordinary = np.flatnonzero(cells.here & ~np.isin(cells.values, column.atoms))
    for end, sign in ((column.low, -1), (column.high, 1)):
        if end is not None and len(ordinary):
            row = ordinary[(sign * cells.values[ordinary]).argmax()]
            found[row] |= sign * cells.values[row] > sign * end
    return found


def _unlike(column: Column, frame: pd.DataFrame) -> Array:
    """Where a copy has another value than its source, or a hole of its own, and where a constant has a hole."""
    here = present(frame[column.name])
    if column.kind == "constant":
        return ~here
    source = frame[column.of]
    same = (frame[column.name] == source).fillna(False).to_numpy(bool)
    return np.asarray((here != present(source)) | (here & ~same))
