"""The command on models of posteriors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from scorefield.cli.app import Row, Samples, Seed, Steps, app, warn
from scorefield.cli.progress import ProgressBar
from scorefield.cli.reading import AS_FOUND, Reading, say

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from scorefield.posterior import TrainedPosterior


@app.command(
    help_epilogue="""Examples:
  scorefield fit sims.parquet --parameters a,b,c -o run
  scorefield posterior run obs.csv -n 10000 -o draws.parquet --report r.html
  scorefield check run"""
)
def posterior(
    run: Path,
    data: str,
    *,
    output: Annotated[Path, Parameter(("--output", "-o"))],
    n: Samples = 10_000,
    row: Row | None = None,
    report: Path | None = None,
    steps: Steps = 20,
    seed: Seed = 0,
    quiet: bool = False,
    reading: Reading = AS_FOUND,
) -> None:
    """Draw parameters given an observation; the report shows them, and whether they can be believed.

    Written is a column for each parameter; of several observations also which one, by its row from 1. An observation
    beyond the simulations is warned of. Columns of the parameters in DATA are taken for their true values.

    Args:
        run: folder of a posterior, from `scorefield fit sims.csv --parameters a,b -o run`.
        data: a table with the columns that were observed, in any order; each row is an observation.
        output: file to write: .parquet, .csv, ...
        n: draws for each observation.
        row: the observation to take, from 1; default: all.
        report: HTML page to write, about one observation.
        steps: network evaluations per draw.
        seed: the same seed gives the same draws.
        quiet: show no progress.
    """
    from scorefield import runs
    from scorefield.data import check_frame_suffix
    from scorefield.data.sources import table
    from scorefield.posterior import exchange
    from scorefield.posterior.simulations import observations

    check_frame_suffix(output)
    model = runs.load_for(run, "posterior")
    frame = _chosen(say(table(data, reading.dialect)).frame, row)
    x = observations(frame, model.info.get("data", {}).get("columns", ()))
    if report is not None and len(x) != 1:
        raise ValueError(f"a report is about one observation, and {data} has {len(x)}; choose one by --row.")
    with ProgressBar("posterior draws", quiet) as bar, told():
        draws = model.sample_many(x, n, seed=seed, steps=steps, report=bar).numpy()
    exchange.write_draws(output, draws if len(x) > 1 else draws[0], model.names)
    print(f"{output}: {n:,} draws of {', '.join(model.names)} for {len(x):,} observation(s), seed {seed}.")
    if report is not None:
        with ProgressBar("report", quiet) as bar, told():
            print(_report(report, run, model, x[0], draws[0], _truth(frame, model.names), seed, bar))
        print(f"{report}: written.")


@contextmanager
def told() -> Iterator[None]:
    """Warnings of the library as lines of the command."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for one in caught:
        if issubclass(one.category, UserWarning) and "scorefield" in one.filename:
            warn(str(one.message))


def _chosen(frame: pd.DataFrame, row: int | None) -> pd.DataFrame:
    if row is None:
        return frame
    if row > len(frame):
        raise ValueError(f"--row {row}: there are {len(frame)} observations.")
    return frame.iloc[row - 1 : row]


def _truth(frame: pd.DataFrame, names: Sequence[str]) -> np.ndarray | None:
    """The true parameters, where the table of the observation has them."""
    from scorefield.posterior.simulations import simulations

    if not set(names) <= set(map(str, frame.columns)):
        return None
    others = [str(name) for name in frame.columns if str(name) not in names]
    return simulations(frame, names, others).theta[0]


def _report(
    path: Path,
    run: Path,
    model: TrainedPosterior,
    x: np.ndarray,
    draws: np.ndarray,
    truth: np.ndarray | None,
    seed: int,
    bar: ProgressBar,
) -> str:
    from scorefield.posterior.believing import believed
    from scorefield.posterior.fit import held_out, recorded
    from scorefield.report.posteriors import PosteriorReport, facts, write_posterior

    held = held_out(run, model.info)
    found = believed(model, held, recorded(held, model.info), x, draws, seed=seed, report=bar)
    page = PosteriorReport(
        model.names,
        draws=draws,
        prior=held.theta,
        truth=truth,
        proof=found.proof,
        place=found.place,
        local=found.local,
        predictive=found.predictive,
        untold=(found.untold,) if found.untold else (),
        facts=facts(model),
    )
    write_posterior(path, f"The posterior of {', '.join(model.names)}", page)
    return page.headline
