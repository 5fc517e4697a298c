"""From a table of simulations to the folder of a posterior, some simulations held out for its proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np
import torch

from scorefield import __version__
from scorefield._files import shown
from scorefield.data import DataError, TableFile, split, write_frame
from scorefield.data.sources import table
from scorefield.posterior.estimator import LEAST, PosteriorEstimator
from scorefield.posterior.prior import Prior, box, from_samples
from scorefield.posterior.simulations import Simulations, simulations
from scorefield.posterior.training import Recipe
from scorefield.progress import Report, part, silent
from scorefield.training.loop import Progress

HELD = "held.parquet"
"""The simulations that were held out, in the folder of a run."""
SHARE, MOST = 0.1, 1000
"""Of the simulations, held out for the proof; and so many at most."""

Bounds = Mapping[str, tuple[float, float]]
"""By parameter, between which it lies."""


def fit(
    source: str | Path | TableFile,
    folder: str | Path,
    *,
    settings: Mapping[str, Any],
    parameters: Sequence[str],
    bounds: Bounds | None = None,
    prior: Literal["uniform"] | None = None,
    held_share: float | None = None,
    resume: bool = False,
    report: Report = silent,
) -> Iterator[Progress]:
    """Fit a posterior to a table of simulations; it reports by `report` and yields once, at its end.

    Args:
        source: a table: columns of parameters and of what was simulated with them.
        folder: to write to.
        settings: fields of `Settings`; None among them is as if left out.
        parameters: names of their columns; the others are what was observed.
        bounds: of parameters.
        prior: uniform between the bounds; default: only as the simulations show it.
        held_share: of the simulations, held out for the proof; default: 0.1, at most 1,000.
        resume: not possible; the simulations are what takes long, and those are kept.
        report: hears how far it is.

    Raises:
        DataError: for a table that holds no such simulations.
        ValueError: for settings that a posterior has not.
    """
    begun = monotonic()
    given = _given(settings, resume)
    found = source if isinstance(source, TableFile) else table(source)
    all_of = simulations(found.frame, parameters)
    chosen, held = _divided(all_of, held_share, int(given.get("seed", 0)))
    recipe = Recipe()
    if {"steps", "seconds"} & set(given):
        given = {"steps": None, "seconds": None, **given}
    recipe = replace(recipe, settings=replace(recipe.settings, **given))
    theta = torch.from_numpy(chosen.theta)
    law = _prior(all_of, bounds or {}, prior)
    estimator = PosteriorEstimator(law, names=all_of.parameters, recipe=recipe, seed=recipe.settings.seed)
    estimator.fit(theta, torch.from_numpy(chosen.x), report=part(report, 0.0, 0.98))
    seconds = monotonic() - begun
    fitted = estimator.fitted
    info = {**fitted.info, **_info(found, chosen, held, seconds)}
    write_frame(held.frame(), Path(folder) / HELD)
    replace(fitted, info=info).save(folder)
    yield Progress(recipe.settings.steps or 0, float("nan"), 0.0, seconds, 1.0, None, "budget")


def held_out(folder: str | Path, info: Mapping[str, Any]) -> Simulations:
    """The simulations that a run held out for its proof.

    Raises:
        DataError: where the folder has none.
    """
    path = Path(folder) / HELD
    if not path.exists():
        raise DataError(f"{path}: there are no simulations that were held out; give others, as a table.")
    data = info.get("data", {})
    return simulations(table(path).frame, data.get("parameters", ()), data.get("columns"))


def recorded(held: Simulations, info: Mapping[str, Any]) -> Simulations:
    """All simulations of a run where their table is still what it was; else those held out."""
    data = info.get("data", {})
    path = Path(str(data.get("source", "")))
    if not path.is_file():
        return held
    try:
        found = simulations(table(path).frame, held.parameters, held.columns)
    except DataError:
        return held
    whole = len(found.theta) == data.get("rows", 0) + data.get("held", 0)
    return found if whole and _among(held.theta, found.theta) else held


def _among(some: np.ndarray, rows: np.ndarray) -> bool:
    """Whether some rows are all among others."""
    known = {row.tobytes() for row in rows}
    return all(row.tobytes() in known for row in some)


def _given(settings: Mapping[str, Any], resume: bool) -> dict[str, Any]:
    if resume:
        raise ValueError("the fit of a posterior is not resumed; leave --resume out and fit again.")
    if settings.get("sharded"):
        raise ValueError("a posterior is fitted by one process; leave --fsdp out.")
    names = ("steps", "seconds", "seed", "batch", "learning_rate", "precision")
    return {name: settings[name] for name in names if settings.get(name) is not None}


def _divided(all_of: Simulations, share: float | None, seed: int) -> tuple[Simulations, Simulations]:
    """Simulations to fit to, and those of the proof."""
    n = len(all_of.theta)
    if n < 2 * LEAST:
        raise DataError(f"{n} simulations are too few to fit to and to prove by; at least {2 * LEAST} are needed.")
    wanted = share if share is not None else max(min(SHARE, MOST / n), LEAST / n)
    train, held = split(n, wanted, seed)
    return all_of.rows(train), all_of.rows(held[~all_of.failed[held]])


def _prior(sims: Simulations, bounds: Bounds, prior: str | None) -> Prior:
    for name in bounds:
        if name not in sims.parameters:
            raise ValueError(f"bounds are of parameters, {', '.join(sims.parameters)}; got {shown(name)}.")
    ends = np.array([bounds.get(name, (-np.inf, np.inf)) for name in sims.parameters], dtype=np.float64)
    low, high = torch.from_numpy(ends).unbind(1)
    if prior is None:
        return from_samples(torch.from_numpy(sims.theta), low, high)
    if not np.isfinite(ends).all():
        raise ValueError('a uniform prior has both bounds of every parameter: --bounds "a=0:1" for each of them.')
    return box(low, high)


def _info(found: TableFile, chosen: Simulations, held: Simulations, seconds: float) -> dict[str, Any]:
    data = {
        "source": str(found.path),
        "rows": len(chosen.theta),
        "held": len(held.theta),
        "parameters": list(chosen.parameters),
        "columns": list(chosen.columns),
        "prior_mean": chosen.theta.mean(0).tolist(),
        "prior_sd": chosen.theta.std(0).tolist(),
    }
    return {"data": data, "fit_seconds": seconds, "version": __version__, "torch": torch.__version__}
