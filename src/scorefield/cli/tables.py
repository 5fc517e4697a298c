"""The commands on models of tables: density, outliers, impute, predict."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from scorefield.cli.app import Draws, Probability, Seed, Share, Steps, Tolerance, app, warn
from scorefield.cli.progress import ProgressBar
from scorefield.cli.reading import AS_FOUND, Reading, say

if TYPE_CHECKING:
    import pandas as pd

    from scorefield.data import TableFile
    from scorefield.partitioned.questions import Question
    from scorefield.tables.trained import TrainedTable


@Parameter(name="*")
@dataclass(frozen=True)
class RowsOptions:
    """What every command on rows of a table takes; the texts under the fields are its help."""

    run: Path
    """Folder of a model of a table."""

    data: str
    """Rows with the columns of training in any order; holes are allowed. A folder: of all .parquet files in it."""

    _: KW_ONLY

    output: Annotated[Path, Parameter(("--output", "-o"))]
    """A file to write: .csv, .tsv, .jsonl (each also .gz or .zst), .xlsx, .parquet or .feather. For a folder of rows:
    a folder, which gets a file for each; what is written is kept, so that the same command goes on after any stop."""

    unseen: Literal["error", "missing"] = "error"
    """A category that training did not have: an error, or taken as a hole."""

    seed: Seed = 0
    """Of everything random."""

    cluster: str | None = None
    """For a folder of rows: local:4, so many processes, or the address of a Dask scheduler, such as tcp://host:8786;
    default: this process. The numbers do not depend on it."""

    reading: Reading = AS_FOUND

    @property
    def in_files(self) -> bool:
        """Whether the rows are a folder of files."""
        found = Path(self.data).is_dir()
        if self.cluster is not None and not found:
            raise ValueError(f"--cluster is for a folder of .parquet files, and {self.data} is none; leave it out.")
        return found

    def answer(self, question: Question) -> None:
        """Answer a question for a folder of files, and say what was written."""
        from scorefield.partitioned import answer

        if self.reading.given:
            raise ValueError(f"a folder of .parquet files takes no {self.reading.given[0]}; leave it out.")
        with ProgressBar("files") as bar:
            rows = answer(self.run, self.data, self.output, question, cluster=self.cluster, report=bar)
        self.say(f"answers for {rows:,} rows, a file for each of {self.data}.")

    def load(self, command: str, target: str | None = None) -> tuple[TrainedTable, pd.DataFrame, TableFile]:
        """The model, the rows, checked, warnings said, a target's column emptied; and the file that they are from."""
        from scorefield import runs
        from scorefield.data import check_frame_suffix
        from scorefield.tables.conform import conform
        from scorefield.tables.files import read_rows

        check_frame_suffix(self.output)
        if self.output.exists() and Path(self.data).exists() and self.output.samefile(self.data):
            raise ValueError(f"{self.output} is the table that is read, which is left as it is; give --output another.")
        model = runs.load_for(self.run, command)
        table = say(read_rows(model, self.data, self.reading.dialect))
        rows = table.frame
        rows = conform(model.codec, rows if target is None else model.without(rows, target), self.unseen)
        for message in model.codec.warnings(rows):
            if target is None or not message.startswith(f"column {target!r} has no values"):
                warn(message)
        return model, rows, table

    def write(self, found: pd.DataFrame, text: str, table: TableFile) -> None:
        """Write a table of results in the dialect of the one that was read, and say what it is."""
        from scorefield.data import write_frame

        write_frame(found, self.output, table.dialect)
        self.say(text)

    def say(self, text: str) -> None:
        """Say what was written."""
        print(f"{self.output}: {text}")


@app.command(
    help_epilogue="""Examples:
  scorefield density run table.csv -o density.csv
  scorefield density run folder/ -o densities/ --cluster local:4"""
)
def density(options: RowsOptions, *, tolerance: Tolerance = 0.01) -> None:
    """How likely is each row? Its log-density, in nats, and its percentile among the training rows.

    Written are log_density, standard_error and percentile, a row for each row. A row with holes gets the marginal
    density of what is there. What it means, `scorefield info` says.

    Args:
        tolerance: greatest error of the integration, in nats. Rows with a number more than 50 standard deviations away
            get the density of the mixture that the model starts from.
    """
    if options.in_files:
        from scorefield.partitioned import Density

        return options.answer(Density(tolerance, options.seed, options.unseen))
    from scorefield.tables.answers import densities

    with ProgressBar("log-densities") as bar:
        model, rows, table = options.load("density")
        found = densities(model, rows, tolerance=tolerance, seed=options.seed, report=bar)
    options.write(found, f"{len(found):,} rows, mean log-density {found['log_density'].mean():.3f} nats.", table)


@app.command(
    help_epilogue="""Examples:
  scorefield outliers run table.csv -o outliers.csv --share 0.02"""
)
def outliers(options: RowsOptions, *, share: Share = 0.05, tolerance: Tolerance = 0.01) -> None:
    """The least likely rows, the least likely first, each with the column that is the most surprising in it.

    Written are row (from 1), log_density, standard_error, percentile, the column, its surprise in nats (the column's
    log-density given the rest of the row, below what the model expects), then the row itself.

    Args:
        share: of the rows, to list.
        tolerance: greatest error of the integration, in nats.
    """
    if options.in_files:
        from scorefield.partitioned import Outliers

        return options.answer(Outliers(share, tolerance, options.seed, options.unseen))
    from scorefield.tables.outliers import outliers as least_likely

    with ProgressBar("log-densities") as bar:
        model, rows, table = options.load("outliers")
        found = least_likely(model, rows, share, tolerance=tolerance, seed=options.seed, report=bar)
    options.write(found, f"the {len(found):,} least likely of {len(rows):,} rows.", table)


@app.command(
    help_epilogue="""Examples:
  scorefield impute run table.csv -o full.csv
  scorefield impute run table.csv -o draws.parquet --draws 20
  scorefield impute run table.csv -o "full-{}.csv" --draws 20"""
)
def impute(options: RowsOptions, *, draws: Draws = 1, steps: Steps = 18) -> None:
    """Fill the holes of a table by draws given what is there; no character of any other cell changes.

    What is written has the dialect of what was read: separators, decimal and thousands signs, dates, quotes. With more
    than one draw the completed tables are written one under the other, their number, from 1, in a first column `draw`;
    with {} in the name of the output each to a file of its own, its number in that place. Rows keep their order.
    With --unseen missing a category that training did not have is filled too.

    Args:
        draws: completed tables (multiple imputation): their spread is the uncertainty.
        steps: network evaluations per row and draw.
    """
    if options.in_files:
        from scorefield.partitioned import Impute

        return options.answer(Impute(draws, steps, options.seed, options.unseen))
    from scorefield.data import write_filled
    from scorefield.tables.conform import free_name

    with ProgressBar("draws") as bar:
        model, rows, table = options.load("impute")
        found = model.impute(rows, draws=draws, steps=steps, seed=options.seed, report=bar)
    holes = int(rows[list(model.codec.schema.names)].isna().to_numpy().sum())
    for path, tables in _outputs(options.output, found):
        write_filled(table, rows, tables, path, free_name("draw", list(rows.columns)))
    options.say(f"{holes:,} holes in {len(rows):,} rows filled, {draws} draw(s), seed {options.seed}.")


def _outputs(output: Path, found: list[pd.DataFrame]) -> list[tuple[Path, list[pd.DataFrame]]]:
    """Which completed tables go to which file: all to one, or each to its own where the name has {} for its number."""
    if "{}" not in output.name:
        return [(output, found)]
    return [(output.with_name(output.name.replace("{}", str(k))), [part]) for k, part in enumerate(found, 1)]


@app.command(
    help_epilogue="""Examples:
  scorefield predict run table.csv --target price -o prices.csv
  scorefield predict run table.csv --target price --interval 0.5 -o prices.parquet"""
)
def predict(options: RowsOptions, *, target: str, interval: Probability = 0.9, steps: Steps = 18) -> None:
    """Predict a column from the others: mean, median and interval, or the probability of each category.

    Written are row (from 1), actual (where the target is among the columns; the prediction does not look at it), then
    mean, median, low and high, or prediction and p_... of each category. How many of the actual values lie within their
    intervals is said. Times are predicted by draws, numbers and categories without.

    Args:
        target: the column to predict.
        interval: probability that the value lies between `low` and `high`.
        steps: network evaluations per quantile.
    """
    if options.in_files:
        from scorefield.partitioned import Predict

        return options.answer(Predict(target, interval, steps, options.seed, options.unseen))
    import numpy as np

    from scorefield.tables.answers import beside_actual, coverage_text, predicted

    with ProgressBar("predictions") as bar:
        model, rows, table = options.load("predict", target)
        found = predicted(model, rows, target, interval, steps=steps, seed=options.seed, report=bar)
    lost = int((~np.isfinite(found.select_dtypes("number").to_numpy())).any(1).sum())
    if lost:
        warn(f"{lost} prediction(s) are beyond all numbers: the rest of the row is far from all that was learned.")
    found = beside_actual(found, table.frame.get(target), model.codec.schema[target])
    text = f"{target} of {len(found):,} rows. {coverage_text(found, interval)}"
    options.write(found, text.strip(), table)
