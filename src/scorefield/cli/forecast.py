"""The command on models of series: forecast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from scorefield import _ranges
from scorefield.cli.app import Probability, Seed, Steps, app, ranged
from scorefield.cli.progress import ProgressBar

if TYPE_CHECKING:
    import pandas as pd

    from scorefield.data.dataset import Array
    from scorefield.records.forecast import Forecast


@app.command(
    help_epilogue="""Examples:
  scorefield forecast run latest.npy -o forecast.csv --picture forecast.png
  scorefield forecast run test.npy --known 24 -o forecast.npz -n 500"""
)
def forecast(
    run: Path,
    data: Path,
    *,
    output: Annotated[Path, Parameter(("--output", "-o"))],
    known: Annotated[int, ranged(_ranges.whole(1, 10**6))] | None = None,
    n: Annotated[int, ranged(_ranges.whole(2, 10**6), "-n")] = 100,
    interval: Probability = 0.9,
    picture: Path | None = None,
    steps: Steps = 18,
    particles: Annotated[int, ranged(_ranges.whole(1, 100_000))] = 1,
    jacobian: bool = False,
    seed: Seed = 0,
    quiet: bool = False,
) -> None:
    """Draw how series go on: what is not known of them, the future or gaps, given what is.

    A .csv or .parquet file gets a row for each value that is not known (series and step from 1, mean, median, the ends
    low and high of the interval, and the actual value where the data hold it), a .npz file the draws, what was known,
    mean, median, low and high.

    Args:
        run: folder of a model of series.
        data: .npy, .npz or table of numbers: series, a row each, at most as long as the run's; what is missing (NaN, an
            empty cell) or comes after their end is not known.
        output: .csv, .parquet or .npz file to write.
        known: only the first so many steps of each series are given; what follows is what the draws are held against.
        n: draws for each series.
        interval: probability of the interval.
        picture: .png file that shows the first six series with their forecasts.
        steps: network evaluations per draw.
        particles: that are weighted against each other: more are nearer to the posterior where series are not normal.
        jacobian: take the network's Jacobian: nearer too, at as many times the cost as a series is long.
        seed: of all noise.
        quiet: show no progress.
    """
    import numpy as np

    from scorefield import runs
    from scorefield.data import DataError, check_frame_suffix, write_frame
    from scorefield.records.forecast import filled_up
    from scorefield.records.forecast import forecast as drawn

    arrays = output.suffix.lower() == ".npz"
    if picture is not None and picture.suffix.lower() != ".png":
        raise DataError(f"{picture}: the picture is written as .png.")
    if not arrays:
        check_frame_suffix(output)
    model = runs.load_for(run, "forecast")
    actual = filled_up(model, _series(data))
    given = actual.copy()
    if known is not None:
        given[:, known:] = np.nan
    if not np.isnan(given).any():
        raise DataError(f"{data}: every value of every series is known; say how many steps are by --known.")
    with ProgressBar("draws", quiet) as bar:
        found = drawn(
            model, given, n, steps=steps, particles=particles, jacobian=jacobian, seed=seed, report=bar
        )  # fmt: skip
    if arrays:
        _write_arrays(output, found, interval)
    else:
        write_frame(_table(found, actual, interval), output)
    if picture is not None:
        from scorefield import _files
        from scorefield.report.series_figures import forecast_png

        _files.write_bytes(picture, forecast_png(found, actual, interval))
    unknown = int(np.isnan(given).sum())
    print(f"{output}: {n} draws of {unknown:,} values in {len(given):,} series, {steps} evaluations each, seed {seed}.")
    if (np.isnan(given) & ~np.isnan(actual)).any():
        score, held = found.scores(actual, interval)
        print(f"Against what came: CRPS {score:.4g}; {100 * interval:g}% intervals hold {held:.1%} of the values.")


def _series(path: Path) -> Array:
    """The numbers of a file, NaN where one is missing."""
    import numpy as np

    from scorefield.data import DataError
    from scorefield.data.arrays import read_array
    from scorefield.data.sources import is_table, table

    if not is_table(path):
        return np.asarray(read_array(path), dtype=np.float64)
    frame = table(path).frame
    words = [name for name in frame if frame[name].dtype.kind not in "biuf" and frame[name].notna().any()]
    if words:
        raise DataError(f"{path}: column {words[0]!r} holds no numbers; series are rows of numbers.")
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


def _table(found: Forecast, actual: Array, interval: float) -> pd.DataFrame:
    """A row for each value that was not known."""
    import numpy as np
    import pandas as pd

    place = np.argwhere(np.isnan(found.known))
    at = tuple(place.T)
    columns: dict[str, Array] = {"series": place[:, 0] + 1, "step": place[:, 1] + 1}
    if place.shape[1] == 3:
        columns["channel"] = place[:, 2] + 1
    columns |= {name: values[at] for name, values in _summaries(found, interval).items()}
    if not np.isnan(actual[at]).all():
        columns["actual"] = actual[at]
    return pd.DataFrame(columns)


def _summaries(found: Forecast, interval: float) -> dict[str, Array]:
    ends = {"median": 0.5, "low": (1 - interval) / 2, "high": (1 + interval) / 2}
    return {"mean": found.mean, **{name: found.quantile(q) for name, q in ends.items()}}


def _write_arrays(path: Path, found: Forecast, interval: float) -> None:
    import io

    import numpy as np

    from scorefield import _files

    out = io.BytesIO()
    np.savez_compressed(out, draws=found.draws, known=found.known, **_summaries(found, interval))  # type: ignore[arg-type]
    _files.write_bytes(path, out.getvalue())
