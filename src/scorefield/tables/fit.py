"""From a data frame or a table file to a trained model of its rows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scorefield import __version__, _files
from scorefield.data import DataError, split
from scorefield.levels import LogNormal, LogUniform, Mixed, TrainingLevels
from scorefield.tables.codec import RowCodec, fit_row_codec
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.density import row_log_density
from scorefield.tables.held import default_share, digest
from scorefield.tables.mixture import choose_mixture
from scorefield.tables.network import MaskedMLP
from scorefield.tables.objective import Masked
from scorefield.tables.schema import Schema
from scorefield.tables.shrinkage import believed
from scorefield.tables.trained import TrainedTable, careful
from scorefield.training import parallel
from scorefield.training.checkpoint import Settings, read_progress
from scorefield.training.loop import Progress, train
from scorefield.training.run import CHECKPOINT, DEFAULT_SECONDS, check_same, sigma_range, training_info

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 20
"""Fewer rows than this make no model of a table."""
_COPIES, _MOST_COPIED = 8, 400_000  # of each row, with other noise in its cells; rows in all
SIZES = {"small": (64, 2, 8), "medium": (96, 2, 5), "large": (256, 3, 1)}
"""Width, depth and members of the networks: few rows are learned by several small ones, whose mean is more careful."""
_MANY_ROWS = 4000  # are learned by one large network, fewer by several small ones
_RANKED = 400  # training rows whose log-density is kept, for percentiles


@dataclass(frozen=True, eq=False)
class Prepared:
    """A table ready to train on.

    Args:
        model: untrained: the mixture that was fitted to the numbers, and the frequencies of the codes.
        codec: of the rows.
        rows: `(m, entries)` float32, each row in several draws of the noise within its cells.
        held: likewise, held out.
        clean: training rows without noise, `(n, entries)` float64.
        objective: the loss.
        settings: of the training.
    """

    model: MaskedDenoiser
    codec: RowCodec
    rows: Tensor
    held: Tensor
    clean: Tensor
    objective: Masked
    settings: Settings

    @staticmethod
    def of(
        frame: pd.DataFrame,
        settings: Settings,
        schema: Schema | None = None,
        size: str = "auto",
        held_share: float | None = None,
        held: pd.DataFrame | None = None,
    ) -> Prepared:
        """Detect the columns, encode the rows, fit the reference, build the network.

        Args:
            frame: the table.
            settings: of the training; `settings_for` makes them. Seconds are for the mixture and the training.
            schema: of the columns; default: detected.
            size: of the network: "auto", "small", "medium" or "large".
            held_share: of the rows, held out; default: 10 %, but at least 40 rows where that is at most a quarter.
            held: rows to hold out, in place of a share of the frame.
        """
        begun = time.perf_counter()
        if len(frame) < MIN_ROWS:
            raise DataError(f"a model of a table needs at least {MIN_ROWS} rows, got {len(frame)}.")
        codec = fit_row_codec(frame, schema)
        clean = codec.encode(frame)
        if held is None:
            keep, out = split(len(frame), held_share or default_share(len(frame)), settings.seed)
            test, clean = clean[out], clean[keep]
        else:
            test = codec.encode(held)
        rows, held_rows = (_spread(codec, part, settings.seed + k) for k, part in enumerate((clean, test)))
        numbers = codec.continuous
        law = choose_mixture(rows[: len(clean), :numbers], held_rows[:, :numbers], settings.seed) if numbers else None
        width, depth, members = SIZES[size if size != "auto" else _size_for(len(clean))]
        network = MaskedMLP(numbers, codec.sizes, width, depth, members=members, seed=settings.seed)
        low, high = sigma_range(rows[:, :numbers].nan_to_num()) if numbers else (0.002, 80.0)
        model = MaskedDenoiser(network, law, log_frequencies_of(codec, clean), sigma_min=low, sigma_max=high)
        objective = Masked(numbers, len(codec.sizes), codec.gates, table_levels(low, high), settings.seed)
        settings = _less(settings, time.perf_counter() - begun)
        return Prepared(model, codec, rows.float(), held_rows.float(), clean, objective, settings)

    def training(self, checkpoint: Path | None = None, resume: bool = False) -> Iterator[Progress]:
        """The training loop, one step per turn."""
        return train(
            self.model,
            self.rows,
            settings=self.settings,
            held=self.held,
            checkpoint=checkpoint,
            resume=resume,
            objective=self.objective,
        )

    def table(self, info: dict[str, Any] | None = None) -> TrainedTable:
        """What the training has made, its network believed as far as the held-out rows allow."""
        model = _gathered(self.model.eval()).to("cpu")
        careful(model.network)
        model.gains = believed(model, self.objective, self.held)
        return TrainedTable(model, self.codec, {}, info or {})

    def trained(self, info: dict[str, Any] | None = None) -> TrainedTable:
        """As `table`, with the log-densities of training rows, for percentiles."""
        table = self.table(info)
        rows = self.clean[torch.randperm(len(self.clean), generator=torch.Generator().manual_seed(0))[:_RANKED]]
        noised = self.codec.dequantise(rows, self.settings.seed) if self.codec.counting else rows
        found = row_log_density(table.model, table.layout, noised, tolerance=1e-2).value
        return replace(table, levels=(found + self.codec.log_det_encoded(rows)).sort().values)


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


def settings_for(rows: int, **asked: Any) -> Settings:
    """Settings of a training on so many rows: small tables are looked at often, to stop in time.

    Args:
        rows: of the table.
        asked: fields of `Settings` that are given.
    """
    small = rows < _MANY_ROWS
    chosen: dict[str, Any] = {
        "learning_rate": 3e-3 if small else 2e-3,
        "batch": 128 if small else 256,
        "evaluate_every": 25 if rows < 250 else 100 if rows < 5000 else 250,
        "patience": 40 if rows < 250 else 20,  # 1,000 to 5,000 steps
        "ema_halflife": 100_000.0,
    }
    if asked.get("steps") is None and asked.get("seconds") is None:
        chosen["seconds"] = DEFAULT_SECONDS
    return Settings(**{**chosen, **{k: v for k, v in asked.items() if v is not None}})


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
    """Fit a model to a data frame and return it, without a folder and without a word. Arguments as `Prepared.of`."""
    prepared = Prepared.of(frame, settings or settings_for(len(frame)), schema, size, held=held)
    last = deque(prepared.training(), maxlen=1).pop()
    info = {"training": {"steps": last.step, "seconds": round(last.seconds, 1)}}
    return prepared.trained(
        info | {"data": {"rows": len(prepared.clean), "source": "data frame"}, "version": __version__}
    )


def fit_table(
    frame: pd.DataFrame,
    folder: str | Path,
    *,
    source: str = "data frame",
    settings: Settings | None = None,
    schema: Schema | None = None,
    size: str = "auto",
    held_share: float | None = None,
    resume: bool = False,
) -> Iterator[Progress]:
    """Fit a model to a table and write it to a folder, one training step per turn of the loop.

    Args:
        frame: the table.
        folder: to write the run to; `TrainedTable.load(folder)` reads it.
        source: of the table, for the record.
        settings: of the training; default: `settings_for`.
        schema: of the columns; default: detected.
        size: of the network.
        held_share: of the rows, held out.
        resume: go on with what the folder holds, bit for bit as if never stopped.

    Raises:
        DataError: for a table that cannot be used.
        ValueError: when the folder holds a training and resume is False, or resume is asked with another table.
    """
    folder = Path(folder)
    with parallel.process_group() as device, parallel.folder_lock(folder):
        checkpoint = folder / CHECKPOINT
        if checkpoint.exists() and not resume:
            raise ValueError(f"{folder} holds a training already; go on with it by --resume, or take another folder.")
        resume = resume and checkpoint.exists()
        if settings is None:
            settings = read_progress(checkpoint)[0] if resume else settings_for(len(frame))
        prepared = Prepared.of(frame, settings, schema, size, held_share)
        options = {
            "source": source,
            "records": digest(prepared.clean),
            "size": size,
            "held_share": held_share or default_share(len(frame)),
        }
        if resume:
            check_same(folder, options)
        elif parallel.rank() == 0:
            _files.write_json(folder / "fit.json", options)
        prepared.model.to(device)
        yield from prepared.training(checkpoint, resume)
        parallel.wait_for_all()
        data = {**options, "kind": "table", "rows": len(prepared.clean)}
        prepared.trained({"data": data, **training_info(checkpoint, prepared.model)}).save(folder)


def _less(settings: Settings, spent: float) -> Settings:
    """The settings without the seconds that the mixture took: a budget of time is for both, half of it for training."""
    if settings.seconds is None:
        return settings
    return replace(settings, seconds=max(settings.seconds / 2, settings.seconds - spent))


def _size_for(rows: int) -> str:
    return "small" if rows < 250 else "medium" if rows < _MANY_ROWS else "large"


def _spread(codec: RowCodec, rows: Tensor, seed: int) -> Tensor:
    """Rows with noise in their cells, several times over where there is such noise."""
    count = max(1, min(_COPIES, _MOST_COPIED // max(1, len(rows))))
    if not any(column.resolution for column in codec.schema):
        return rows
    return torch.cat([codec.dequantise(rows, seed, k) for k in range(count)])


def log_frequencies_of(codec: RowCodec, rows: Tensor) -> Tensor:
    """Logarithms of each code's frequencies, one row's worth of the uniform law added, side by side."""
    parts = [torch.zeros(0)]
    for j, size in enumerate(codec.sizes):
        codes = rows[:, codec.continuous + j]
        count = torch.bincount(codes[codes.isfinite()].long(), minlength=size).double() + 1 / size
        parts.append((count / count.sum()).log().float())
    return torch.cat(parts)
