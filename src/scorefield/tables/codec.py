"""Rows of mixed columns as vectors of continuous coordinates and codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from scorefield.data.dataset import Array, DataError
from scorefield.numerics.random import uniform
from scorefield.tables.cells import (
    Cells,
    Unseen,
    cell_ends,
    codes_of,
    frame_cells,
    misfit_error,
    misfits,
    native_of,
    values_array,
)
from scorefield.tables.detection import detect
from scorefield.tables.schema import Name, Place, Schema
from scorefield.tables.series import as_frame, restore
from scorefield.tables.transforms import moments, walls_of

if TYPE_CHECKING:
    import pandas as pd

_FAR = 10.0  # training ranges beyond the training range


@dataclass(frozen=True)
class RowCodec:
    """A table's rows as float64 vectors of C continuous coordinates and D codes, and back.

    A continuous, integer or datetime column has one coordinate, `encoded = (transform(value) - mean) / std`; a
    categorical, boolean or ordinal one has one code, 0 to K - 1. A column with atoms has both: its code is 0 where its
    value is an ordinary one and i on atom i, and its coordinate is there only where the code is 0 (`gates`). The
    coordinates come first, then the codes, both in the order of the columns. NaN stands for what is not there.
    Constants and copies are left out and come back in `decode`.

    The codec's law: `decode(encode(frame))` is the frame, up to the rounding of floats that lie on no lattice.

    Args:
        schema: the columns.
        mean: of each transformed coordinate over the training rows.
        std: likewise, > 0.
        least: smallest training value of each coordinate (whole numbers less their origin, times in seconds since it).
        most: the largest.

    Raises:
        ValueError: for a schema that leaves nothing to model, other numbers of entries than coordinates, std <= 0.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"size": [1.5, 2.5, 9.5], "sex": ["f", "m", None]})
        >>> (codec := fit_row_codec(frame)).sizes
        (2,)
        >>> codec.decode(codec.encode(frame)).equals(frame)
        True
    """

    schema: Schema
    mean: tuple[float, ...]
    std: tuple[float, ...]
    least: tuple[float, ...]
    most: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.shape[0]:
            raise DataError("every column is a constant, so there is nothing to model; give a column that varies.")
        for name in ("mean", "std", "least", "most"):
            values = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, values)
            if len(values) != self.continuous or not all(math.isfinite(value) for value in values):
                raise ValueError(f"RowCodec needs {self.continuous} finite numbers as {name}, got {values}.")
        if any(std <= 0 for std in self.std):
            raise ValueError(f"RowCodec needs std > 0, got {self.std}.")

    @property
    def continuous(self) -> int:
        """C, the number of continuous coordinates."""
        return sum(column.floating for column in self.schema)

    @property
    def sizes(self) -> tuple[int, ...]:
        """K of each of the D codes."""
        return tuple(column.size for column in self.schema if column.size)

    @property
    def gates(self) -> tuple[int, ...]:
        """For each coordinate the code (0 to D - 1) that must be 0 for it to be there, or -1."""
        return tuple(-1 if p.code is None else p.code for p in self.schema.places() if p.coordinate is not None)

    @property
    def walls(self) -> tuple[tuple[float, float], ...]:
        """For each coordinate its values at the walls of its column, infinite where there is none."""
        columns = [column for column in self.schema if column.floating]
        ends = (walls_of(column.transform) for column in columns)
        return tuple(
            ((low - mean) / std, (high - mean) / std)
            for (low, high), mean, std in zip(ends, self.mean, self.std, strict=True)
        )

    @property
    def shape(self) -> tuple[int]:
        """`(C + D,)`."""
        return (self.continuous + len(self.sizes),)

    @property
    def names_of_coordinates(self) -> tuple[str, ...]:
        """A name for each of the C + D entries; the indicator of atoms is called after its column."""
        places = self.schema.places()
        codes = [
            f"{p.column.name} (atom)" if p.column.floating else str(p.column.name) for p in places if p.code is not None
        ]
        return (*(str(p.column.name) for p in places if p.coordinate is not None), *codes)

    def entries_of(self, name: Name) -> tuple[int, ...]:
        """Which of the C + D entries belong to a column; those of its source for a copy, none for a constant.

        Raises:
            KeyError: for an unknown column.
        """
        column = self.schema[name]
        wanted = column.of if column.kind == "copy" else name
        place = next(p for p in self.schema.places() if p.column.name == wanted)
        entries = (place.coordinate, None if place.code is None else self.continuous + place.code)
        return tuple(entry for entry in entries if entry is not None)

    @property
    def counting(self) -> bool:
        """Whether the density of some number is the probability of its cell: a column of kind integer."""
        return any(column.kind == "integer" for column in self.schema)

    def measure(self) -> dict[Name, str]:
        """For each column, what a density refers to: Lebesgue or counting measure."""
        return {column.name: column.measure for column in self.schema}

    def encode(
        self,
        frame: pd.DataFrame | Array,
        seed: int | None = None,
        draw: int = 0,
        *,
        first: int | Tensor = 0,
        unseen: Unseen = "error",
        extra: bool = False,
    ) -> Tensor:
        """Rows as float64 `(n, C + D)`, NaN where a value is missing or gated off.

        Args:
            frame: the schema's columns in any order, or an array `(n, d)` with them in the schema's.
            seed: given: values that repeat on a lattice are spread uniformly within their cells; None: cell centres.
            draw: which noise, for example the training step.
            first: index of the first row, or `(n,)` indices: the noise of row i depends on (seed, i, draw) only.
            unseen: what happens to values that the model has no place for, see `misfits`: "error", or "missing".
            extra: whether other columns may stand in the frame; they are not used.

        Raises:
            DataError: for missing or extra columns, unseen values, wrong types, infinite values, values outside the
                bounds of a transform, and values that contradict a constant or a copy; with column, value and row.
        """
        cells = frame_cells(self.schema, frame, extra)
        n = len(next(iter(cells.values())).values)
        rows = np.full((n, *self.shape), np.nan)
        for place in self.schema.places():
            column, own = place.column, cells[place.column.name]
            bad = misfits(column, own)
            if unseen == "error" and bad.any():
                raise misfit_error(column, own, int(bad.argmax()))
            own = Cells(own.values, own.here & ~bad)
            if column.coded:
                rows[:, self.continuous + (place.code or 0)] = np.where(own.here, codes_of(column, own), np.nan)
            elif place.coordinate is not None:
                self._put(rows, place, own)
        encoded = torch.from_numpy(rows)
        return encoded if seed is None else self.dequantise(encoded, seed, draw, first=first)

    def dequantise(self, rows: Tensor, seed: int, draw: int = 0, *, first: int | Tensor = 0, point: int = 0) -> Tensor:
        """Encoded rows `(n, C + D)`, values that repeat on a lattice spread uniformly in their cells, within bounds.

        `encode(frame, seed, draw)` is `dequantise(encode(frame), seed, draw)`. Arguments as there. The points 0, 1, ...
        of a draw fill the cells evenly (a Kronecker sequence from a random start, each uniform by itself).
        """
        out = self._checked(rows).copy()
        count = (max(self.continuous, 1),)
        u = uniform(len(out), count, seed, "rows/dequantise", first=first, row=draw, dtype=torch.float64)
        u = (u + point * _even(count[0])) % 1.0
        for place in self.schema.places():
            if place.coordinate is None or not place.column.resolution:
                continue
            j = place.coordinate
            low, high = cell_ends(place.column, self._value(place, out[:, j]))
            least, most = place.column.transform.bounds
            x = np.clip(low + u[:, j].numpy() * (high - low), np.nextafter(least, np.inf), np.nextafter(most, -np.inf))
            out[:, j] = self._standard(place, x)
        return torch.from_numpy(out)

    def decode(self, rows: Tensor, index: Sequence[Any] | None = None) -> pd.DataFrame:
        """Encoded rows `(n, C + D)` as a data frame with the names, order and types of the training table.

        Values are rounded to their column's lattice, to the nearest one strictly within the bounds of its transform,
        and to the range of whole-number types. NaN comes back as a missing value.

        Args:
            rows: codes whole numbers from 0 to K - 1, or NaN.
            index: of the frame; None: 0, 1, ...

        Raises:
            ValueError: for another shape, infinite entries, other codes.
        """
        import pandas as pd

        values = self._checked(rows)
        self._check_codes(values)
        made: dict[Name, tuple[Array, Array]] = {}
        series = []
        places = {place.column.name: place for place in self.schema.places()}
        for column in self.schema:
            if column.kind == "copy":
                native, here = made[column.of]
            else:
                native, here = made[column.name] = self._native(places[column.name], values)
            series.append(restore(column, native, here))
        frame = pd.concat(series, axis=1)
        frame.columns = pd.Index(list(self.schema.names), dtype=self.schema.names_dtype, name=self.schema.names_title)
        if index is not None:
            frame.index = pd.Index(index)
        return frame

    def log_det(self, frame: pd.DataFrame | Array, *, extra: bool = False) -> Tensor:
        """`log p(row) = log p(encoded) + log_det`, float64 `(n,)`: of the row's cell centres, see `log_det_encoded`."""
        return self.log_det_encoded(self.encode(frame, extra=extra))

    def log_det_encoded(self, rows: Tensor) -> Tensor:
        """The sum over the present coordinates of `log |d encoded / d value|`, float64 `(n,)`.

        For a column of kind integer the logarithm of its cell's width is added, so that the density becomes the
        probability of the cell. Times count in seconds. What is missing or on an atom adds 0.

        Args:
            rows: `(n, C + D)`, dequantised or not.
        """
        values = self._checked(rows)
        total = np.zeros(len(values))
        for place in self.schema.places():
            if place.coordinate is None:
                continue
            z = values[:, place.coordinate]
            std, mean = self.std[place.coordinate], self.mean[place.coordinate]
            part = place.column.transform.log_slope(z * std + mean) - math.log(std)
            if place.column.kind == "integer":
                low, high = cell_ends(place.column, self._value(place, z))
                part = part + np.log(high - low)
            total += np.where(np.isfinite(z), part, 0.0)
        return torch.from_numpy(total)

    def warnings(self, frame: pd.DataFrame | Array, *, extra: bool = False) -> list[str]:
        """What is allowed and yet worth knowing: values far outside the training range, nothing in a row or column.

        A value is far outside when it lies more than 10 training ranges beyond all training values.
        """
        cells = frame_cells(self.schema, frame, extra)
        found = []
        anything = np.zeros(len(next(iter(cells.values())).here), dtype=bool)
        for place in self.schema.places():
            values, here = cells[place.column.name]
            if place.column.kind == "constant":
                continue
            anything |= here
            if not here.any():
                found.append(f"column {place.column.name!r} has no values; all of them are taken as missing.")
            if place.coordinate is not None:
                found += self._far(place, values, here)
        if not anything.all():
            row = int(np.flatnonzero(~anything)[0]) + 1
            found.append(f"{int((~anything).sum())} row(s) have no values at all, the first is row {row} (from 1).")
        return found

    def misfits(self, frame: pd.DataFrame | Array, *, extra: bool = False) -> Array:
        """Which cells hold values that the model has no place for, so that it gives them no probability.

        Those are values without a code, other ones than a constant's, outside the bounds of a transform, and off the
        lattice of a column of kind integer. `encode` raises for them, or takes them as missing.

        Returns:
            bool `(n, d)`, the columns in the schema's order; copies have none of their own.
        """
        cells = frame_cells(self.schema, frame, extra)
        nothing = np.zeros(len(next(iter(cells.values())).here), dtype=bool)
        found = {name: misfits(self.schema[name], own) for name, own in cells.items()}
        return np.column_stack([found.get(name, nothing) for name in self.schema.names])

    def to_json(self) -> dict[str, Any]:
        """Plain lists, texts and numbers, for `RowCodec.from_json`."""
        ranges = {name: list(getattr(self, name)) for name in ("mean", "std", "least", "most")}
        return {"kind": "row", "schema": self.schema.to_json(), **ranges}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RowCodec:
        """The codec that `to_json` described; a ValueError for another kind, missing or unknown fields."""
        wanted = {"kind", "schema", "mean", "std", "least", "most"}
        if not isinstance(fields, Mapping) or fields.get("kind") != "row" or set(fields) != wanted:
            found = sorted(fields) if isinstance(fields, Mapping) else type(fields).__name__
            raise ValueError(f"a row codec has kind 'row' and the fields {sorted(wanted)}, got {found}.")
        schema = Schema.from_json(fields["schema"])
        return cls(schema, *(tuple(fields[name]) for name in ("mean", "std", "least", "most")))

    def _put(self, rows: Array, place: Place, cells: Cells) -> None:
        """Set a column's coordinate and, with atoms, its code."""
        column, (x, here) = place.column, cells
        ordinary = here
        if place.code is not None:
            code = np.zeros(len(x))
            for i, atom in enumerate(column.atoms, start=1):
                code[x == atom] = i
            rows[:, self.continuous + place.code] = np.where(here, code, np.nan)
            ordinary = here & (code == 0)
        rows[ordinary, place.coordinate] = self._standard(place, x[ordinary])

    def _standard(self, place: Place, x: Array) -> Array:
        j = place.coordinate or 0
        return np.asarray((place.column.transform.forward(x) - self.mean[j]) / self.std[j])

    def _value(self, place: Place, z: Array) -> Array:
        j = place.coordinate or 0
        return place.column.transform.inverse(z * self.std[j] + self.mean[j])

    def _native(self, place: Place, rows: Array) -> tuple[Array, Array]:
        """A column's values as `restore` takes them, and where there are any."""
        column = place.column
        if column.kind == "constant":
            return values_array(column.values * len(rows), column), np.ones(len(rows), dtype=bool)
        code = np.zeros(len(rows)) if place.code is None else rows[:, self.continuous + place.code]
        here = np.isfinite(code)
        chosen = np.where(here, code, 0).astype(np.int64)
        if place.coordinate is None:
            return values_array(column.values, column)[chosen], here
        z = rows[:, place.coordinate]
        here &= np.isfinite(z) | (chosen > 0)
        x = self._value(place, np.where(np.isfinite(z), z, 0.0))
        if column.lattice is not None:
            x = column.lattice.inside(x, *column.transform.bounds)
        x = np.where(chosen > 0, np.array([0.0, *column.atoms])[chosen], x)
        return native_of(column, x), here

    def _checked(self, rows: Tensor) -> Array:
        if not isinstance(rows, Tensor) or rows.ndim != 2 or rows.shape[1:] != self.shape:
            got = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
            raise ValueError(f"encoded rows are a tensor of shape (n, {self.shape[0]}), got {got}.")
        values: Array = rows.detach().cpu().double().numpy()
        if np.isinf(values).any():
            raise ValueError("encoded rows are finite or NaN, got infinite entries.")
        return values

    def _check_codes(self, values: Array) -> None:
        for j, (size, name) in enumerate(zip(self.sizes, self.names_of_coordinates[self.continuous :], strict=True)):
            code = values[:, self.continuous + j]
            bad = np.flatnonzero(~np.isnan(code) & ((code != np.rint(code)) | (code < 0) | (code >= size)))
            if len(bad):
                raise ValueError(
                    f"codes of {name!r} are 0 to {size - 1} or NaN, got {code[bad[0]]} in row {bad[0] + 1}."
                )

    def _far(self, place: Place, x: Array, here: Array) -> list[str]:
        j = place.coordinate or 0
        reach = _FAR * (self.most[j] - self.least[j])
        ordinary = here & ~np.isin(x, place.column.atoms)
        bad = np.flatnonzero(ordinary & ((x < self.least[j] - reach) | (x > self.most[j] + reach)))
        if not len(bad):
            return []
        shown = np.array([self.least[j], self.most[j], x[bad[0]]])
        low, high, first = restore(place.column, native_of(place.column, shown), np.ones(3, dtype=bool))
        return [
            f"column {place.column.name!r} has {len(bad)} value(s) far outside the training range "
            f"{low} to {high}: the first is {first} in row {bad[0] + 1} (from 1)."
        ]


def fit_row_codec(frame: pd.DataFrame | Array, schema: Schema | None = None) -> RowCodec:
    """The codec of a table: each coordinate gets mean 0 and standard deviation 1 over the rows where it is there.

    Args:
        frame: the training rows, a data frame or an array `(n, d)`.
        schema: of these rows; None: detected.

    Raises:
        DataError: as `detect` and `RowCodec.encode`, and when no column varies.
    """
    if isinstance(frame, np.ndarray):
        frame = as_frame(frame)
    schema = detect(frame) if schema is None else schema
    count = sum(column.floating for column in schema)
    plain = RowCodec(schema, (0.0,) * count, (1.0,) * count, (0.0,) * count, (0.0,) * count)
    y = plain.encode(frame).numpy()
    fitted: list[tuple[float, float, float, float]] = []
    for place in schema.places():
        if place.coordinate is None:
            continue
        kept = y[np.isfinite(y[:, place.coordinate]), place.coordinate]
        mean, std = moments(kept) if len(kept) else (0.0, 0.0)
        if not std > 0:
            raise DataError(
                f"column {place.column.name!r} of kind {place.column.kind} has a single value; detect it anew."
            )
        ends = place.column.transform.inverse(np.array([kept.min(), kept.max()]))
        fitted.append((mean, std, float(ends[0]), float(ends[1])))
    return RowCodec(schema, *(tuple(part) for part in zip(*fitted, strict=True))) if fitted else plain


def _even(dimensions: int) -> Tensor:
    """Steps in [0, 1) whose multiples fill a cube evenly: powers of the root of `x^(d + 1) = x + 1` (Roberts 2018)."""
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (dimensions + 1))
    return torch.tensor([(1 / root) ** (j + 1) % 1.0 for j in range(dimensions)], dtype=torch.float64)
