"""A model of a table compared with rows it has not seen: new rows, densities, intervals, filled holes, copies."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorefield import _ranges
from scorefield.data import DataError, TableFile, named
from scorefield.data.streams.tableparts import TableParts
from scorefield.metrics.comparison import C2ST_LEAST, LEAST, MOST, Figure, distances
from scorefield.numerics.random import uniform
from scorefield.progress import Report, counted, part, silent
from scorefield.tables.conform import conform
from scorefield.tables.files import parts_like, read_rows
from scorefield.tables.held import Rows, real_rows, real_rows_of
from scorefield.tables.measures import CellDraws, boosted, features, holes, is_number, modelled, values_of
from scorefield.tables.memorisation import memorisation_ratio, with_holes
from scorefield.tables.trained import TrainedTable

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 19  # of each cell: the ends of 50 % and 90 % intervals are then order statistics
_CELLS = 30_000  # draws of cells for the coverage, in all, at about so many evaluations of the network each
_MOST_DENSITIES = 300  # rows whose log-density is taken
_REMOVED = 0.2  # share of the cells that the check of imputation removes
_TOLERANCE = 1e-2  # of log-densities, in nats


class Coverage(NamedTuple):
    """How a column's predictions from the other columns hold.

    Args:
        column: its name.
        half: the share of values within the central 50 % interval.
        most: within the 90 % interval.
        ranks: the place of each value among its draws, in (0, 1): uniform if the intervals are right.
    """

    column: str
    half: float
    most: float
    ranks: np.ndarray

    @staticmethod
    def of(column: str, ranks: np.ndarray) -> Coverage:
        """From the values' places among their draws."""
        half, most = (float((np.abs(ranks - 0.5) <= q / 2).mean()) for q in (0.5, 0.9))
        return Coverage(column, half, most, ranks)


@dataclass(frozen=True)
class Densities:
    """Log-densities in nats per row.

    Args:
        real: of the real rows.
        reference: of the same rows by the mixture and the frequencies, without the network.
        new: of generated rows.
        training: of training rows.
    """

    real: np.ndarray = field(repr=False)
    reference: np.ndarray = field(repr=False)
    new: np.ndarray = field(repr=False)
    training: np.ndarray | None = field(repr=False)


@dataclass(frozen=True)
class Imputation:
    """Cells removed at random, filled, and compared with what was there.

    Args:
        crps: of the numbers, in standard deviations of their column, averaged.
        crps_alone: of draws from the column alone.
        most: the share of numbers within their 90 % interval.
        agreement: the share of draws of codes that equal the actual.
        agreement_alone: likewise of draws from the column alone.
        cells: how many were removed.
    """

    crps: float | None
    crps_alone: float | None
    most: float | None
    agreement: float | None
    agreement_alone: float | None
    cells: int


@dataclass(frozen=True)
class TableComparison:
    """A model of a table compared with real rows.

    Args:
        source: of the real rows.
        figures: of new rows against real ones, each next to that of two real halves.
        coverage: of each column of numbers or times, predicted from the others.
        densities: of real and new rows.
        imputation: of cells removed from the real rows; None where there are too few rows.
        real: rows compared with.
        new: rows of the model, as many.
        shown: rows to draw pictures of: real ones, of training too where they are at hand, and as many new ones.
        unseen: whether it is known that the model was trained on none of the real rows.
        steps: network evaluations per row.
        plan: name of the sampler.
        seed: of everything random.
        note: what the reader should know.
        training: the rows of training, where they are at hand and others than the real ones.
    """

    source: str
    figures: tuple[Figure, ...]
    coverage: tuple[Coverage, ...]
    densities: Densities
    imputation: Imputation | None
    real: pd.DataFrame = field(repr=False)
    new: pd.DataFrame = field(repr=False)
    shown: tuple[pd.DataFrame, pd.DataFrame] = field(repr=False)
    unseen: bool
    steps: int
    plan: str
    seed: int
    note: str = ""
    training: pd.DataFrame | None = field(default=None, repr=False)

    def table(self) -> str:
        """The figures as text."""
        seen = " that the model has not seen" if self.unseen else ""
        lines = [
            f"{len(self.new):,} new rows ({self.steps} evaluations each) against {len(self.real):,} real rows{seen}"
        ]
        lines += [f"{'':30} {'new : real':>18} {'real : real':>18}"]
        lines += [f"{f.name:30} {f.text():>18} {f.floor_text():>18}" for f in self.figures]
        lines += ["", f"{'':30} {'model':>18} {'without network':>18}"]
        d = self.densities
        lines += [f"{'log-density per real row':30} {mean_text(d.real):>18} {mean_text(d.reference):>18}"]
        if self.coverage:
            lines += ["", f"{'predicted from the rest':30} {'within 50 %':>18} {'within 90 %':>18}"]
            lines += [f"{c.column[:30]:30} {c.half:>18.1%} {c.most:>18.1%}" for c in self.coverage]
        lines += self._imputation_lines()
        return "\n".join([*lines, *(["", self.note] if self.note else [])])

    def _imputation_lines(self) -> list[str]:
        i = self.imputation
        if i is None:
            return []
        lines = ["", f"{'20 % of cells removed':30} {'imputed':>18} {'from column alone':>18}"]
        if i.crps is not None:
            lines += [f"{'CRPS, in standard deviations':30} {i.crps:>18.3f} {i.crps_alone:>18.3f}"]
            lines += [f"{'numbers within 90 %':30} {i.most:>18.1%} {'':>18}"]
        if i.agreement is not None:
            lines += [f"{'codes drawn rightly':30} {i.agreement:>18.1%} {i.agreement_alone:>18.1%}"]
        return [line.rstrip() for line in lines]

    def to_json(self) -> dict[str, Any]:
        """The figures as a JSON-able dict."""
        d = self.densities
        return {
            "source": self.source,
            "samples": len(self.new),
            "real": len(self.real),
            "unseen": self.unseen,
            "steps": self.steps,
            "plan": self.plan,
            "seed": self.seed,
            "note": self.note,
            "figures": [figure.to_json() for figure in self.figures],
            "log_density": {"mean": float(d.real.mean()), "error": _error(d.real), "rows": len(d.real)},
            "log_density_without_network": {"mean": float(d.reference.mean()), "error": _error(d.reference)},
            "coverage": [{"column": c.column, "50": c.half, "90": c.most, "rows": len(c.ranks)} for c in self.coverage],
            "imputation": None if self.imputation is None else dict(vars(self.imputation)),
        }


def evaluate(
    model: TrainedTable,
    source: str | Path | pd.DataFrame | TableFile | TableParts,
    *,
    n: int | None = None,
    steps: int = 18,
    seed: int = 0,
    report: Report = silent,
) -> TableComparison:
    """Compare a model with rows it has not seen: those held out, where the table is what it was fitted to.

    Args:
        model: of a table.
        source: real rows with the model's columns in any order: a file, a built-in table, one that
            was read (`read_rows`), a folder or a pattern of .parquet files, or a data frame.
        n: how many rows to compare; default: all, at most 2,000.
        steps: network evaluations per new row.
        seed: of everything random.
        report: hears how far the work is.

    Raises:
        DataError: for other columns than the model's, or fewer than 10 rows.
    """
    if n is not None:
        _ranges.COUNT("evaluate(n=...)", n)
    name, found = _real(model, source)
    count = min(len(found.real), MOST if n is None else n)
    if count < LEAST:
        raise DataError(
            f"{name}: a comparison needs at least {LEAST} real rows, got {count}; give more, or hold more out."
        )
    names = list(model.codec.schema.names)
    real = found.real[names].iloc[:count].reset_index(drop=True)
    report(0.0, "new rows")
    new = model.sample(count, steps=steps, seed=seed)
    rows, drawn = model.codec.encode(real), model.codec.encode(new)
    figures, notes = _figures(model, rows, drawn, found, seed)
    return TableComparison(
        name,
        figures,
        _coverage(model, rows, steps, seed, part(report, 0.1, 0.5)),
        _densities(model, rows, with_holes(model.codec, drawn, rows), seed, part(report, 0.5, 0.75)),
        _imputation(model, rows, steps, seed, part(report, 0.75, 1.0)),
        real,
        new,
        _shown(model, real, found, steps, seed),
        found.unseen,
        steps,
        model.plan(steps).name,
        seed,
        " ".join(note for note in (found.note, *notes) if note),
        found.training if found.unseen else None,
    )


def _real(model: TrainedTable, source: str | Path | pd.DataFrame | TableFile | TableParts) -> tuple[str, Rows]:
    """The name of a source, and the rows of it to compare with."""
    if isinstance(source, str | Path):
        source = parts_like(model, source) or read_rows(model, source)
    if isinstance(source, TableParts):
        return source.source, real_rows_of(model, source)
    if not isinstance(source, TableFile):
        return "data frame", real_rows(model, source)
    with named(str(source.path)):
        frame = conform(model.codec, source.frame)
    return str(source.path), real_rows(model, frame)


def _shown(
    model: TrainedTable, real: pd.DataFrame, found: Rows, steps: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    parts = [real] if found.training is None or not found.unseen else [real, found.training[list(real.columns)]]
    rows = pd.concat(parts, ignore_index=True).iloc[:MOST]
    return rows, model.sample(len(rows), steps=steps, seed=seed)


def _figures(
    model: TrainedTable, real: Tensor, new: Tensor, found: Rows, seed: int
) -> tuple[tuple[Figure, ...], list[str]]:
    notes: list[str] = []
    holed = with_holes(model.codec, new, real)
    if bool(holes(model.codec, real).any()):
        notes.append("New rows were given the holes of the real ones before they were compared.")
    figures = distances(features(model.codec, real), features(model.codec, holed), seed)
    if len(real) >= C2ST_LEAST:
        figures = (*figures, _classifier(model, real, holed, seed))
    else:
        notes.append(f"No C2ST: it needs {C2ST_LEAST} real rows, there are {len(real)}.")
    if found.training is None or not found.unseen:
        notes.append("No memorisation ratio: it needs the training rows and others.")
        return figures, notes
    memory = memorisation_ratio(model.codec, real, holed, model.codec.encode(found.training), seed)
    if memory is None:
        notes.append("No memorisation ratio: every real row equals a training row.")
    return (figures if memory is None else (*figures, memory)), notes


def _classifier(model: TrainedTable, real: Tensor, new: Tensor, seed: int) -> Figure:
    """New halves against real halves, as the floor is real half against real half."""
    half = len(real) // 2
    order = uniform(len(real), (), seed, "halves", dtype=torch.float64).argsort()
    a, b = real[order[:half]], real[order[half : 2 * half]]
    first, second = (boosted(x, y, model.codec, seed) for x, y in ((new[:half], a), (new[half : 2 * half], b)))
    floor = boosted(a, b, model.codec, seed)
    meaning = "held-out accuracy of boosted trees that tell new from real: 0.5 means they cannot"
    value = (first.value + second.value) / 2
    error = math.hypot(first.standard_error, second.standard_error) / 2
    return Figure("C2ST accuracy", value, floor.value, meaning, error, floor.standard_error)


def _densities(model: TrainedTable, real: Tensor, new: Tensor, seed: int, report: Report) -> Densities:
    frames = [model.codec.decode(rows[:_MOST_DENSITIES]) for rows in (real, new)]
    heard = part(report, 0.0, 0.5), part(report, 0.5, 1.0)
    found = [
        model.log_density(frame, tolerance=_TOLERANCE, seed=seed, report=hear).value.numpy()
        for frame, hear in zip(frames, heard, strict=True)
    ]
    alone = model.reference_log_density(real[:_MOST_DENSITIES], 8, seed).numpy()
    return Densities(
        found[0],
        alone,
        found[1],
        None if model.training_log_densities is None else model.training_log_densities.numpy(),
    )


def _coverage(model: TrainedTable, rows: Tensor, steps: int, seed: int, report: Report) -> tuple[Coverage, ...]:
    """Each column of numbers or times predicted from the others, on some of the rows."""
    columns = [column for column in modelled(model.codec) if is_number(column)]
    out = []
    for k, column in enumerate(counted(columns, len(columns), report, "intervals")):
        count = max(40, _CELLS // (DRAWS * len(columns)))
        actual = values_of(model.codec, column, rows)
        some = np.flatnonzero(np.isfinite(actual))[:count]
        if len(some) < LEAST:
            continue
        queried = rows[some].clone()
        queried[:, list(model.codec.entries_of(column.name))] = math.nan
        drawn = [values_of(model.codec, column, part) for part in model.draws(queried, DRAWS, steps=steps, seed=seed)]
        ranks = CellDraws(actual[some], np.stack(drawn)).ranks(seed, f"coverage {k}")
        out.append(Coverage.of(str(column.name), ranks))
    return tuple(out)


def _imputation(model: TrainedTable, rows: Tensor, steps: int, seed: int, report: Report) -> Imputation | None:
    """Remove cells, fill them, compare."""
    columns = modelled(model.codec)
    if len(columns) < 2:
        return None
    rows = rows[: max(40, _CELLS // (DRAWS * 4))]
    gone = uniform(len(rows), (len(columns),), seed, "removed", dtype=torch.float64) < _REMOVED
    queried = rows.clone()
    for j, column in enumerate(columns):
        for entry in model.codec.entries_of(column.name):
            queried[gone[:, j], entry] = math.nan
    drawn = model.draws(queried, DRAWS, steps=steps, seed=seed, report=part(report, 0.0, 1.0, "imputation"))
    scores, alone, ranks, right, right_alone, cells = [], [], [], [], [], 0
    for j, column in enumerate(columns):
        actual = values_of(model.codec, column, rows)
        some = np.flatnonzero(gone[:, j].numpy() & np.isfinite(actual))
        others = actual[np.isfinite(actual)]
        if not len(some):
            continue
        cells += len(some)
        mine = CellDraws(actual, np.stack([values_of(model.codec, column, part) for part in drawn])).take(some)
        any_value = CellDraws(actual[some], np.repeat(others[:, None], len(some), 1))
        if is_number(column) and others.std() > 0:
            scores.append(mine.crps() / others.std())
            alone.append(any_value.crps() / others.std())
            ranks.append(mine.ranks(seed, f"imputed {j}"))
        elif not is_number(column):
            right.append((mine.drawn == mine.actual).mean(0))
            right_alone.append((any_value.drawn == any_value.actual).mean(0))
    within = [np.abs(r - 0.5) <= 0.45 for r in ranks]
    crps, crps_alone, most, agreement, agreement_alone = map(_pooled, (scores, alone, within, right, right_alone))
    return Imputation(crps, crps_alone, most, agreement, agreement_alone, cells)


def _pooled(parts: list[np.ndarray]) -> float | None:
    return float(np.concatenate(parts).mean()) if parts else None


def _error(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None


def mean_text(values: np.ndarray) -> str:
    """The mean, with its standard error."""
    error = _error(values)
    return f"{values.mean():.3f}" + ("" if error is None else f" +- {error:.3f}")
