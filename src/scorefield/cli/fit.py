"""The commands before there is a model: schema and fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from scorefield.cli.app import Batch, Probability, Rate, Seed, TrainingSteps, app, seconds

if TYPE_CHECKING:
    import pandas as pd

    from scorefield.tables.schema import Schema
    from scorefield.training.checkpoint import Settings
    from scorefield.training.loop import Progress

SCHEMA = "schema.toml"  # in the folder of a run: what was given as --schema


@app.command(
    help_epilogue="""Examples:
  scorefield schema table.csv
  scorefield schema table.csv -o schema.toml      edit it, then: scorefield fit table.csv -o run --schema schema.toml"""
)
def schema(data: str, *, output: Annotated[Path | None, Parameter(("--output", "-o"))] = None) -> None:
    """Say what the columns of a table are taken for, or write it to a file to edit.

    Args:
        data: a .csv or .parquet file, or a built-in table (wine, breast_cancer, iris, diabetes).
        output: TOML file to write.
    """
    from scorefield import _files, runs
    from scorefield.data import named
    from scorefield.tables.detection import detect
    from scorefield.tables.schema_toml import to_toml

    with named(data):
        found = detect(runs.frame(data))
    if output is None:
        print(found)
        return
    _files.write_bytes(output, to_toml(found).encode())
    print(f"{output}: {len(found)} columns; change what is wrong and give it to `scorefield fit --schema {output}`.")


@app.command(
    help_epilogue="""Examples:
  scorefield fit table.csv -o run --time 2m
  scorefield fit digits -o run --steps 2000 --seed 1
  torchrun --nproc-per-node 2 -m scorefield fit images/ -o run --time 1h"""
)
def fit(
    data: str,
    *,
    output: Annotated[Path, Parameter(("--output", "-o"))],
    time: str | None = None,
    steps: TrainingSteps | None = None,
    seed: Seed | None = None,
    batch: Batch | None = None,
    learning_rate: Rate | None = None,
    size: Literal["auto", "small", "medium", "large"] = "auto",
    condition: Literal["label", "none"] | None = None,
    energy: bool = False,
    dequantise: Annotated[bool | None, Parameter(negative="--no-dequantise")] = None,
    schema: Path | None = None,
    held: Probability | None = None,
    checkpoint_every: str = "15s",
    fsdp: bool = False,
    resume: bool = False,
    quiet: bool = False,
) -> None:
    """Fit a score model to a data file.

    Tables (.csv, .parquet, wine, breast_cancer, iris, diabetes) get a model that also answers density, outliers, impute
    and predict; arrays, images and --energy one of records.

    Args:
        data: a .csv, .parquet, .npy or .npz file, a folder of images, or a built-in set (digits, wine, ring, ...).
        output: folder to write the run to.
        time: training time, such as 90s, 2m or 1h30m; 3m unless --steps is given.
        steps: optimiser steps, instead of a time or beside it.
        seed: of everything random; 0 unless given.
        batch: rows per step; 128 unless given, for tables of 4,000 rows or more 256.
        learning_rate: of AdamW after warm-up; 2e-3 unless given, for tables 3e-3 (under 4,000 rows) or 2e-3.
        size: of the network.
        condition: learn the records given their class label, or not; default: for images that have labels.
        energy: learn an energy, whose gradient is the score (tables of numbers, without the answers for tables).
        dequantise: spread whole numbers by uniform noise, for a density (arrays, images, --energy).
        schema: TOML file that says what columns are, where the detected schema is wrong; see `scorefield schema`.
        held: share of the rows held out; default: 0.1, for small tables more.
        checkpoint_every: training time between checkpoints.
        fsdp: with several processes, shard the weights (FSDP2) instead of copying them (DDP).
        resume: go on with what the folder holds, also after a crash.
        quiet: show no progress.
    """
    from scorefield import runs
    from scorefield.records import fit
    from scorefield.training import parallel
    from scorefield.training.run import watch

    given = {"seed": seed, "batch": batch, "learning_rate": learning_rate}
    asked = {k: v for k, v in given.items() if v is not None}
    asked |= {"sharded": fsdp, "checkpoint_every": seconds(checkpoint_every)}
    rows = runs.frame(data) if runs.is_table(data) and not energy else None
    if rows is not None:
        if condition is not None or dequantise is not None:
            raise ValueError(
                "--condition and --dequantise are for arrays and images; a table's class is a column like the others, "
                "and its schema says what is spread."
            )
        settings = _settings(output, resume, time, steps, asked, len(rows))
        loop = _fit_table(data, rows, output, settings, size, schema, held, resume)
    else:
        if schema is not None:
            raise ValueError(f"--schema is for tables, and {data} is fitted as an array; leave it out.")
        settings = _settings(output, resume, time, steps, asked)
        labels = None if condition is None else condition == "label"
        loop = fit.fit(
            data,
            output,
            settings=settings,
            size=size,
            energy=energy,
            labels=labels,
            dequantise=dequantise,
            held_share=0.1 if held is None else held,
            resume=resume,
        )
    last = watch(loop, settings, quiet or not parallel.first_process())
    if last is not None and parallel.first_process():
        print(f"{output}: trained {last.step} steps in {last.seconds:.0f} s; stopped at: {last.last}.")
        if rows is not None:
            _memorised(output, rows)


def _fit_table(
    source: str,
    rows: pd.DataFrame,
    output: Path,
    settings: Settings,
    size: str,
    schema: Path | None,
    held: float | None,
    resume: bool,
) -> Iterator[Progress]:
    from scorefield.data import named
    from scorefield.tables.fit import fit_table
    from scorefield.training import parallel

    with named(source):
        columns, text = _schema(rows, schema or (output / SCHEMA if resume and (output / SCHEMA).exists() else None))
    loop = fit_table(
        rows, output, source=source, settings=settings, schema=columns, size=size, held_share=held, resume=resume
    )
    for k, progress in enumerate(loop):
        if k == 0 and text is not None and parallel.first_process():
            from scorefield import _files

            _files.write_bytes(output / SCHEMA, text.encode())  # so that --resume need not be told again
        yield progress


def _schema(rows: pd.DataFrame, path: Path | None) -> tuple[Schema, str | None]:
    """The detected schema, or with what a file says in its place, and the text of that file."""
    from scorefield.tables import detect
    from scorefield.tables.schema_toml import schema_from_file

    found = detect(rows)
    return (found, None) if path is None else schema_from_file(found, path, rows)


def _memorised(output: Path, rows: pd.DataFrame) -> None:
    """Measure how near to training rows new rows fall, and keep it with the model."""
    from dataclasses import replace

    from scorefield.tables import evaluate
    from scorefield.tables.trained import TrainedTable
    from scorefield.training import parallel

    with parallel.folder_lock(output):
        model = TrainedTable.load(output)
        found = evaluate.memorisation(model, rows)
        if found is not None:
            print(f"memorisation ratio {found.value:.2f}, of real rows {found.floor:.2f}: {found.meaning}.")
            known = {"value": found.value, "floor": found.floor, "meaning": found.meaning}
            replace(model, info={**model.info, "memorisation": known}).save(output)


def _settings(
    output: Path, resume: bool, time: str | None, steps: int | None, asked: dict[str, Any], rows: int | None = None
) -> Settings:
    """The settings asked for; on resuming, the stored ones with what is asked in their place.

    Args:
        rows: of a table; None for arrays and images.
    """
    from dataclasses import replace

    from scorefield.training.checkpoint import Settings, read_progress
    from scorefield.training.run import CHECKPOINT, DEFAULT_SECONDS

    budget: dict[str, Any] = {"steps": steps, "seconds": None if time is None else seconds(time)}
    if resume and (output / CHECKPOINT).exists():
        stored = read_progress(output / CHECKPOINT)[0]
        return replace(stored, **asked, **(budget if time is not None or steps is not None else {}))
    if time is None and steps is None:
        budget["seconds"] = DEFAULT_SECONDS
    if rows is not None:
        from scorefield.tables.fit import settings_for

        return settings_for(rows, **asked, **budget)
    return Settings(**asked, **budget)
