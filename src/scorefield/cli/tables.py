"""The commands on models of tables: density, outliers, impute, predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from cyclopts import Parameter

from scorefield.cli.app import Draws, Probability, Seed, Share, Steps, Tolerance, app, warn
from scorefield.cli.progress import ProgressBar

if TYPE_CHECKING:
    import pandas as pd

    from scorefield.tables.trained import TrainedTable

Output: TypeAlias = Annotated[Path, Parameter(("--output", "-o"))]
Unseen: TypeAlias = Literal["error", "missing"]


@app.command(
    help_epilogue="""Examples:
  scorefield density run table.csv -o density.csv"""
)
def density(
    run: Path,
    data: str,
    *,
    output: Output,
    tolerance: Tolerance = 0.01,
    unseen: Unseen = "error",
    seed: Seed = 0,
) -> None:
    """How likely is each row? Its log-density, in nats, and its percentile among the training rows.

    A row with holes gets the marginal density of what is there. What it means, `scorefield info` says.

    Args:
        run: folder of a model of a table.
        data: rows with the columns of training in any order; holes are allowed.
        output: .csv or .parquet file to write: log_density, standard_error, percentile, a row for each row.
        tolerance: greatest error of the integration, in nats. Rows with a number more than 50 standard deviations away
            get the density of the mixture that the model starts from.
        unseen: a category that training did not have: an error, or taken as a hole.
        seed: of the noise within cells of whole numbers.
    """
    from scorefield.data import write_frame
    from scorefield.tables.answers import densities

    with ProgressBar("log-densities") as bar:
        model, rows = _model_and_rows(run, data, output, "density", unseen)
        found = densities(model, rows, tolerance=tolerance, seed=seed, report=bar)
    write_frame(found, output)
    print(f"{output}: {len(found):,} rows, mean log-density {found['log_density'].mean():.3f} nats.")


@app.command(
    help_epilogue="""Examples:
  scorefield outliers run table.csv -o outliers.csv --share 0.02"""
)
def outliers(
    run: Path,
    data: str,
    *,
    output: Output,
    share: Share = 0.05,
    tolerance: Tolerance = 0.01,
    unseen: Unseen = "error",
    seed: Seed = 0,
) -> None:
    """The least likely rows, the least likely first, each with the column that is the most surprising in it.

    Args:
        run: folder of a model of a table.
        data: rows with the columns of training in any order.
        output: .csv or .parquet file to write: row (from 1), log_density, standard_error, percentile, the column, its
            surprise in nats (the column's log-density given the rest of the row, below what the model expects), then
            the row itself.
        share: of the rows, to list.
        tolerance: greatest error of the integration, in nats.
        unseen: a category that training did not have: an error, or taken as a hole.
        seed: of all noise.
    """
    from scorefield.data import write_frame
    from scorefield.tables.outliers import outliers as least_likely

    with ProgressBar("log-densities") as bar:
        model, rows = _model_and_rows(run, data, output, "outliers", unseen)
        found = least_likely(model, rows, share, tolerance=tolerance, seed=seed, report=bar)
    write_frame(found, output)
    print(f"{output}: the {len(found):,} least likely of {len(rows):,} rows.")


@app.command(
    help_epilogue="""Examples:
  scorefield impute run table.csv -o full.csv
  scorefield impute run table.csv -o draws.parquet --draws 20"""
)
def impute(
    run: Path,
    data: str,
    *,
    output: Output,
    draws: Draws = 1,
    steps: Steps = 18,
    unseen: Unseen = "error",
    seed: Seed = 0,
) -> None:
    """Fill the holes of a table by draws given what is there; nothing else changes.

    Args:
        run: folder of a model of a table.
        data: rows with the columns of training in any order.
        output: .csv or .parquet file to write; with more than one draw the completed tables one under the other, their
            number, from 1, in a first column `draw`.
        draws: completed tables (multiple imputation): their spread is the uncertainty.
        steps: network evaluations per row and draw.
        unseen: a category that training did not have: an error, or taken as a hole and filled.
        seed: of the draws.
    """
    from scorefield.data import write_frame
    from scorefield.tables.answers import imputed

    with ProgressBar("draws") as bar:
        model, rows = _model_and_rows(run, data, output, "impute", unseen)
        found = imputed(model, rows, draws, steps=steps, seed=seed, report=bar)
    write_frame(found, output)
    holes = int(rows[list(model.codec.schema.names)].isna().to_numpy().sum())
    print(f"{output}: {holes:,} holes in {len(rows):,} rows filled, {draws} draw(s), seed {seed}.")


@app.command(
    help_epilogue="""Examples:
  scorefield predict run table.csv --target price -o prices.csv
  scorefield predict run table.csv --target price --interval 0.5 -o prices.parquet"""
)
def predict(
    run: Path,
    data: str,
    *,
    target: str,
    output: Output,
    interval: Probability = 0.9,
    steps: Steps = 18,
    unseen: Unseen = "error",
    seed: Seed = 0,
) -> None:
    """Predict a column from the others: mean, median and interval, or the probability of each category.

    Args:
        run: folder of a model of a table.
        data: rows with the other columns in any order; the target may be there and is not looked at.
        target: the column to predict.
        output: .csv or .parquet file to write, a row for each row.
        interval: probability that the value lies between `low` and `high`.
        steps: network evaluations per quantile.
        unseen: a category that training did not have: an error, or taken as a hole.
        seed: of draws; times are predicted by draws, numbers and categories without.
    """
    import numpy as np

    from scorefield.data import write_frame
    from scorefield.tables.answers import predicted

    with ProgressBar("predictions") as bar:
        model, rows = _model_and_rows(run, data, output, "predict", unseen, target)
        found = predicted(model, rows, target, interval, steps=steps, seed=seed, report=bar)
    lost = int((~np.isfinite(found.select_dtypes("number").to_numpy())).any(1).sum())
    if lost:
        warn(f"{lost} prediction(s) are beyond all numbers: the rest of the row is far from all that was learned.")
    write_frame(found, output)
    print(f"{output}: {target} of {len(found):,} rows.")


def _model_and_rows(
    run: Path, data: str, output: Path, command: str, unseen: Unseen, target: str | None = None
) -> tuple[TrainedTable, pd.DataFrame]:
    """The model and the rows, both checked, what is worth knowing said; a target's column is emptied."""
    from scorefield import runs
    from scorefield.data import check_frame_suffix
    from scorefield.data.sources import frame
    from scorefield.tables.conform import conform

    check_frame_suffix(output)
    model = runs.load_for(run, command)
    rows = frame(data)
    rows = conform(model.codec, rows if target is None else model.without(rows, target), unseen)
    for message in model.codec.warnings(rows):
        if target is None or not message.startswith(f"column {target!r} has no values"):
            warn(message)
    return model, rows
