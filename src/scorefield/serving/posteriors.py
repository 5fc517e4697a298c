"""What a run of a posterior answers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from scorefield._files import shown
from scorefield.data import DataError
from scorefield.posterior import TrainedPosterior, exchange
from scorefield.posterior.simulations import observations
from scorefield.progress import Report
from scorefield.serving import options as o
from scorefield.serving.asks import Answer, Ask, Endpoint
from scorefield.serving.rows import Row, rows_of


def posterior(model: TrainedPosterior, asks: Sequence[Ask], report: Report) -> list[Answer]:
    """Draws of the parameters given each observation."""
    import pandas as pd

    (ask,) = asks
    how: o.Posterior = ask.options
    x = observations(pd.DataFrame(ask.data), model.info.get("data", {}).get("columns", ()))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        draws = model.sample_many(x, how.n, seed=how.seed, steps=how.steps, report=report).numpy()
    own = [one for one in caught if issubclass(one.category, UserWarning) and "scorefield" in one.filename]
    rows = rows_of(exchange.as_frame(draws if len(x) > 1 else draws[0], model.names))
    return [Answer(rows, warnings=[str(one.message) for one in own], evaluations=how.steps * len(rows))]


def check(model: TrainedPosterior, endpoint: Endpoint, rows: list[Row], how: o.Posterior) -> None:
    """Raise a DataError for cells that are no numbers."""
    for i, row in enumerate(rows, 1):
        for name, value in row.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise DataError(f"column {name!r} takes a number or null, got {shown(value)} in row {i} (from 1).")


ENDPOINTS = (
    Endpoint(
        "posterior", "draws of the parameters given each observation", o.Posterior, "rows", "rows", posterior,
        wanted=lambda how, given: how.n * given, evaluations=lambda how, given: how.n * given * how.steps,
    ),
)  # fmt: skip
"""Of `runs.POSTERIORS`."""
