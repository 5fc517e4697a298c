"""From a data frame or a table file to a trained model of its rows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from scorefield import __version__, _files
from scorefield.data import DataError, TableFile, named, split
from scorefield.levels import LogNormal, LogUniform, Mixed, TrainingLevels
from scorefield.tables.calibration import fit_recalibration
from scorefield.tables.code_gains import fit_code_gains
from scorefield.tables.code_table import fit_code_table
from scorefield.tables.codec import RowCodec, fit_row_codec
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.density import fit_level_density, row_log_density
from scorefield.tables.detection import detect
from scorefield.tables.ending import ending_seconds
from scorefield.tables.files import read_to_fit
from scorefield.tables.frequencies import counts_of, log_frequencies, numbers_of_codes
from scorefield.tables.held import default_share, digest
from scorefield.tables.memorisation import memorisation
from scorefield.tables.mixture import choose_mixture, defended
from scorefield.tables.near_repeats import once, with_things
from scorefield.tables.near_rows import fit_near_rows
from scorefield.tables.network import MaskedMLP, inference_dtype
from scorefield.tables.objective import MaskedObjective
from scorefield.tables.repeats import Repeats, fit_repeats
from scorefield.tables.row_model import Layout
from scorefield.tables.schema import Schema
from scorefield.tables.schema_toml import schema_from_file
from scorefield.tables.shrinkage import fit_shrinkage
from scorefield.tables.trained import FORM, TrainedTable
from scorefield.training import parallel
from scorefield.training.checkpoint import Settings
from scorefield.training.log import Logger
from scorefield.training.loop import Progress
from scorefield.training.run import DEFAULT_SECONDS, OPTIONS, Preparation, sigma_range, train_in_folder

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 20
"""Fewer rows than this make no model of a table."""
_COPIES, _MOST_COPIED = 8, 400_000  # of each row, with other noise in its cells; rows in all
SIZES = {"small": (64, 2, 8), "medium": (96, 2, 5), "large": (256, 3, 1)}
"""Width, depth and members of the networks: few rows are learned by several small ones, whose mean is more cautious."""
_MANY_ROWS = 4000  # are learned by one large network, fewer by several small ones
_OLD_SCHEMA = "schema.toml"  # where older runs kept what was given as a schema
_RANKED = 400  # training rows whose log-density is kept, for percentiles


class Encoded(NamedTuple):
    """A table as encoded rows, cut into what is trained on and what is held out.

    Args:
        codec: of the rows.
        training: rows `(n, entries)` float64, without noise in their cells.
        held: rows held out, likewise.
    """

    codec: RowCodec
    training: Tensor
    held: Tensor

    @staticmethod
    def of(
        frame: pd.DataFrame,
        seed: int,
        schema: Schema | None = None,
        held_share: float | None = None,
        held: pd.DataFrame | None = None,
    ) -> Encoded:
        """Detect the columns, fit the codec, encode and cut the rows.

        Args:
            frame: the table.
            seed: of the choice of rows held out.
            schema: of the columns; default: detected.
            held_share: of the rows, held out; default: 10 %, but at least 40 rows where that is at most a quarter.
            held: rows to hold out, in place of a share of the frame.

        Raises:
            DataError: for a table of fewer than 20 rows, or one that the schema does not fit.
        """
        codec, rows = encode(frame, schema)
        return Encoded(codec, rows, codec.encode(held)) if held is not None else cut(codec, rows, seed, held_share)


def encode(frame: pd.DataFrame, schema: Schema | None = None) -> tuple[RowCodec, Tensor]:
    """The codec of a table, and its rows `(n, entries)` float64; arguments and errors as `Encoded.of`."""
    if len(frame) < MIN_ROWS:
        raise DataError(f"a model of a table needs at least {MIN_ROWS} rows, got {len(frame)}.")
    codec = fit_row_codec(frame, schema)
    return codec, codec.encode(frame)


def cut(codec: RowCodec, rows: Tensor, seed: int, held_share: float | None = None) -> Encoded:
    """Encoded rows cut into what is trained on and what is held out; arguments as `Encoded.of`."""
    keep, out = split(len(rows), held_share or default_share(len(rows)), seed)
    return Encoded(codec, rows[keep], rows[out])


@dataclass(frozen=True, eq=False)
class TableFit:
    """Encoded rows and an untrained model of them.

    Args:
        encoded: the table.
        model: the mixture that was fitted to the numbers, the frequencies of the codes, and an untrained network.
        rows: to train on, `(m, entries)` float32, each in several draws of the noise within its cells.
        held: likewise, held out.
        objective: of the training.
        seconds: that fitting the mixture took.
        seed: of everything random.
        things: how many components of the mixture are single things (`near_repeats`).
    """

    encoded: Encoded
    model: MaskedDenoiser
    rows: Tensor
    held: Tensor
    objective: MaskedObjective
    seconds: float = 0.0
    seed: int = 0
    things: int = 0

    @staticmethod
    def of(encoded: Encoded, seed: int, size: str = "auto") -> TableFit:
        """Fit the mixture, build the network.

        Args:
            encoded: the table.
            seed: of the training.
            size: of the network: "auto", "small", "medium" or "large".
        """
        begun = time.perf_counter()
        codec, clean = encoded.codec, encoded.training
        rows, held = (_spread(codec, part, seed + k) for k, part in enumerate((clean, encoded.held)))
        numbers, things = codec.continuous, 0
        law = None
        if numbers:
            chosen = law = choose_mixture(rows[: len(clean), :numbers], held[:, :numbers], seed)
            if not codec.sizes:
                own, others = once(clean, encoded.held)
                law = with_things(chosen, rows[own], held[others])
            things = len(law.weights) - len(chosen.weights)
            law = defended(law, len(clean))
        width, depth, members = SIZES[size if size != "auto" else _size_for(len(clean))]
        values = numbers_of_codes(codec)
        network = MaskedMLP(numbers, codec.sizes, width, depth, members=members, seed=seed, values=values)
        low, high = sigma_range(rows[:, :numbers].nan_to_num()) if numbers else (0.002, 80.0)
        model = MaskedDenoiser(network, law, log_frequencies(counts_of(codec, clean)), sigma_min=low, sigma_max=high)
        objective = MaskedObjective(numbers, len(codec.sizes), codec.gates, table_levels(low, high), seed)
        seconds = time.perf_counter() - begun
        return TableFit(encoded, model, rows.float(), held.float(), objective, seconds, seed, things)

    def preparation(self) -> Preparation:
        """What the trainer takes; the trained model has its percentiles and its memorisation ratio."""

        def finish(info: dict[str, Any]) -> TrainedTable:
            table = self.with_percentiles(self.table(info))
            if parallel.rank() != 0:  # the first process writes
                return table
            found = memorisation(table, self.encoded.held, self.encoded.training)
            if found is None:
                return table
            figures = {"value": found.value, "floor": found.floor, "meaning": found.meaning}
            return replace(table, info={**table.info, "memorisation": figures})

        codec, model = self.encoded.codec, self.model.eval()
        layout = Layout(codec.continuous, len(codec.sizes), codec.gates, codec.walls)
        ending = ending_seconds(model, layout, len(self.encoded.held), len(self.encoded.training))
        seconds = self.seconds + ending
        return Preparation(model, self.rows, self.held, finish, objective=self.objective, seconds=seconds)

    def table(self, info: Mapping[str, Any] | None = None) -> TrainedTable:
        """The trained model; its network counts, and its intervals are wide, as the held-out rows allow."""
        model = _gathered(self.model.eval()).to("cpu")
        inference_dtype(model.network)
        model.shrinkage = fit_shrinkage(model, self.objective, self.held)
        model.code_gains = fit_code_gains(model, self.objective, self.held)
        codec = self.encoded.codec
        parts = self.encoded.training, self.encoded.held
        model.code_table = fit_code_table(model.network_log_codes, codec.continuous, codec.sizes, *parts)
        known = {**(info or {}), **({"things": self.things} if self.things else {})}
        table = TrainedTable(model, codec, {}, known)
        held = codec.dequantise(self.encoded.held, self.seed)
        own = fit_recalibration(model, table.layout, held, scale=model.sigma_data, seed=self.seed)
        return replace(table, recalibration=own, repeats=self._repeats(table))

    def _repeats(self, table: TrainedTable) -> Repeats | None:
        """What new rows repeat: rows nearly, or the values of some columns."""
        codec, training, held = self.encoded
        near = fit_near_rows(table.model, table.layout, codec, training, held, self.seed)
        return near or fit_repeats(codec, training, self.seed)

    def with_percentiles(self, table: TrainedTable) -> TrainedTable:
        """The model with its levels, and the log-densities of training rows, which percentiles are taken among."""
        codec, rows = self.encoded.codec, self.encoded.training
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:_RANKED]]
        noised = codec.dequantise(rows, self.seed) if codec.counting else rows
        table.model.level_density = fit_level_density(table.model, table.layout, noised)
        found = row_log_density(table.model, table.layout, noised, tolerance=1e-2).value
        return replace(table, training_log_densities=(found + codec.log_det_encoded(rows)).sort().values)


def _gathered(model: MaskedDenoiser) -> MaskedDenoiser:
    """The model with whole weights, where several processes hold parts of them; all of these must call."""
    if not any(hasattr(p, "full_tensor") for p in model.parameters()):
        return model
    network = MaskedMLP(**model.network.config)  # type: ignore[arg-type]
    network.load_state_dict({name: parallel.whole(value) for name, value in model.network.state_dict().items()})
    reference = None if model.reference is None else model.law
    whole = MaskedDenoiser(
        network, reference, model.log_frequencies, sigma_min=model.sigma_min, sigma_max=model.sigma_max
    )
    return whole.to(model.log_frequencies.device).eval()


def settings_for(rows: int, **given: Any) -> Settings:
    """Settings of a training on so many rows: small tables are looked at often, to stop in time.

    Args:
        rows: of the table.
        given: fields of `Settings`; None is as if left out.
    """
    small = rows < _MANY_ROWS
    chosen: dict[str, Any] = {
        "learning_rate": 3e-3 if small else 2e-3,
        "batch": 128 if small else 256,
        "evaluate_every": 50 if rows < 250 else 100 if rows < 5000 else 250,
        "patience": 20,  # 1,000 to 5,000 steps
        "ema_halflife": 100_000.0,
    }
    if given.get("steps") is None and given.get("seconds") is None:
        chosen["seconds"] = DEFAULT_SECONDS
    return Settings(**{**chosen, **{k: v for k, v in given.items() if v is not None}})


def table_levels(sigma_min: float, sigma_max: float) -> TrainingLevels:
    """The density of noise levels to train on: most where rows of unit variance take shape."""
    return Mixed(LogNormal(-1.2, 1.3, sigma_min, sigma_max), LogUniform(sigma_min, sigma_max), 0.1)


def fit_frame(
    frame: pd.DataFrame,
    *,
    settings: Settings | None = None,
    schema: Schema | None = None,
    size: str = "auto",
    held: pd.DataFrame | None = None,
) -> TrainedTable:
    """Fit a model to a data frame and return it, without a folder.

    Args:
        frame: the table.
        settings: of the training; default: `settings_for`. A budget of time includes fitting the mixture.
        schema: of the columns; default: detected.
        size: of the network: "auto", "small", "medium" or "large".
        held: rows to hold out, in place of a share of the frame.
    """
    settings = settings or settings_for(len(frame))
    made = TableFit.of(Encoded.of(frame, settings.seed, schema, held=held), settings.seed, size)
    last = deque(made.preparation().train(settings), maxlen=1).pop()
    info = {
        "training": {"steps": last.step, "seconds": round(last.seconds, 1)},
        "data": {"rows": len(made.encoded.training), "source": "data frame"},
        "version": __version__,
    }
    return made.with_percentiles(made.table(info))


def fit(
    source: str | Path | pd.DataFrame | TableFile,
    folder: str | Path,
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    schema: Schema | Path | None = None,
    size: str = "auto",
    held_share: float | None = None,
    resume: bool = False,
    log: Sequence[Logger] = (),
) -> Iterator[Progress]:
    """Fit a model to a table and write it to a folder, one training step per turn of the loop.

    Args:
        source: a table's file, the name of a built-in table, one that was read (`read_to_fit`), or a data frame.
        folder: to write the run to; `TrainedTable.load(folder)` reads it.
        settings: of the training, as a whole or some fields; default: `settings_for`.
        schema: of the columns, or a TOML file of what to change in the detected one; default: detected; when resuming:
            the one that the training began with.
        size: of the network: "auto", "small", "medium" or "large".
        held_share: of the rows, held out; default: `default_share`.
        resume: go on with what the folder holds, bit for bit as if never stopped.
        log: who is told of the training, such as `interop.loggers.TensorBoard(folder)`; see `training.log.Logger`.

    Yields:
        The trainer's `Progress`, step by step, none where the run has ended; the folder is complete after the last.

    Raises:
        DataError: for a table that cannot be used.
        ValueError: when the folder holds a training and resume is False, or resume is given with another table.
    """
    begun, folder = time.perf_counter(), Path(folder)
    if isinstance(source, str | Path):
        source = read_to_fit(source, folder=folder if resume else None)
    name, frame, dialect = "data frame", source, None
    left_out: tuple[str, ...] = ()
    if isinstance(source, TableFile):
        name, frame, dialect, left_out = str(source.path), source.frame, source.dialect.to_json(), source.left_out
    with named(name):
        columns = _schema(frame, schema, folder if resume else None)
        codec, rows = encode(frame, columns)
    options = {
        "source": name,
        "format": FORM,
        "rows": digest(rows),
        "schema": codec.schema.to_json(),
        "size": size,
        "held_share": held_share or default_share(len(rows)),
        "dialect": dialect,
        "left_out": list(left_out),
    }

    reading = time.perf_counter() - begun

    def prepare(settings: Settings) -> Preparation:
        made = TableFit.of(cut(codec, rows, settings.seed, held_share), settings.seed, size)
        ready = made.preparation()
        training = made.encoded.training
        data = {name: options[name] for name in ("source", "size", "held_share", "dialect", "left_out")}
        data |= {"kind": "table", "rows": len(training), "records": digest(training)}
        seconds = ready.seconds + reading
        return replace(ready, seconds=seconds, finish=lambda info: ready.finish({"data": data, **info}))

    default = settings_for(len(rows))
    return train_in_folder(folder, options, prepare, default=default, settings=settings, resume=resume, log=log)


def _schema(frame: pd.DataFrame, schema: Schema | Path | None, folder: Path | None) -> Schema:
    """The columns: as given, as detected with a file's changes, or as the training in a folder began with."""
    if isinstance(schema, Schema):
        return schema
    if schema is None and folder is not None and (folder / OPTIONS).exists():
        stored = _files.read_json(folder / OPTIONS).get("schema")
        if stored is not None:
            with _files.reading(folder / OPTIONS, "the options of a training"):
                return Schema.from_json(stored)
        if (folder / _OLD_SCHEMA).exists():
            schema = folder / _OLD_SCHEMA
    found = detect(frame)
    return found if schema is None else schema_from_file(found, schema, frame)


def _size_for(rows: int) -> str:
    return "small" if rows < 250 else "medium" if rows < _MANY_ROWS else "large"


def _spread(codec: RowCodec, rows: Tensor, seed: int) -> Tensor:
    """Rows with noise in their cells, several times over where there is such noise."""
    count = max(1, min(_COPIES, _MOST_COPIED // max(1, len(rows))))
    if not any(column.resolution for column in codec.schema):
        return rows
    return torch.cat([codec.dequantise(rows, seed, k) for k in range(count)])
