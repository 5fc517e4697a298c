"""A run of a posterior: its parameters, what was observed, simulations held out, and draws given an observation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch

from scorefield.explorer.queries.params import AtMost, Checked, Seed, Within
from scorefield.explorer.queries.pauses import pause
from scorefield.posterior.fit import HELD
from scorefield.posterior.simulations import Simulations, simulations
from scorefield.posterior.trained import OutsideWarning, TrainedPosterior

if TYPE_CHECKING:
    from scorefield.explorer.session import Session

MOST_OBSERVED, MOST_ROWS, MOST_TEXT = 40, 1000, 200
_PAD = 0.04  # of a range, on each side
_TYPICAL = 500  # draws that show a parameter's range, where there are no simulations


def _open(session: Session) -> TrainedPosterior:
    if not isinstance(session.run, TrainedPosterior):
        raise ValueError("the open run is no posterior; fit one to a table of simulations with --parameters.")
    run = session.run
    if run.info.get("observation_ndim", 1) != 1 or run.codec.columns > MOST_OBSERVED:
        raise ValueError(
            f"this scene takes observations of at most {MOST_OBSERVED} numbers, and this run's are sets, series or "
            "longer; scorefield posterior answers for them."
        )
    return run


@lru_cache(maxsize=2)
def _held(folder: Path | None, parameters: tuple[str, ...]) -> Simulations | None:
    """The simulations that were held out of a run, the first 1,000; None where they are not at hand."""
    if folder is None or not (folder / HELD).is_file():
        return None
    from scorefield.data.sources import frame

    found = simulations(frame(folder / HELD), parameters)
    whole = np.isfinite(found.x).all(1)
    return found.rows(np.flatnonzero(whole)[:MOST_ROWS])


def _columns(run: TrainedPosterior) -> list[str]:
    return [name[:MOST_TEXT] for name in run.observed] or [f"x{k + 1}" for k in range(run.codec.columns)]


def _first(run: TrainedPosterior, held: Simulations | None) -> np.ndarray:
    """An observation to begin with: the first simulation held out, or the middle of all."""
    if held is not None and len(held.x):
        return held.x[0]
    return run.codec.original(torch.zeros(1, run.codec.columns))[0].numpy()


def _ends(run: TrainedPosterior, held: Simulations | None) -> np.ndarray:
    """Between which values each parameter is shown, `(d, 2)`: its edges, or what the simulations reach."""
    if held is not None and len(held.theta) > 1:
        shown = held.theta
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OutsideWarning)
            shown = run.sample(torch.from_numpy(_first(run, held)), _TYPICAL).numpy()
    low, high = shown.min(0), shown.max(0)
    pad = np.where(high > low, _PAD * (high - low), 0.5)
    least, most = run.coordinates.low.numpy(), run.coordinates.high.numpy()
    bounded = np.isfinite(least) & np.isfinite(most)
    return np.stack([np.where(bounded, least, low - pad), np.where(bounded, most, high + pad)], 1)


@lru_cache(maxsize=2)
def _axes(session: Session) -> np.ndarray:
    run = _open(session)
    return _ends(run, _held(session.folder, run.names))


@dataclass(frozen=True)
class About(Checked):
    """Nothing is to be chosen."""


def about(p: About, session: Session) -> dict[str, Any]:
    """`parameters` and `observed`, each `{name, low, high}`, the ends of its axis; `first`, an observation to begin
    with; `held`, how many simulations are held out; `theta` `(held, d)` and `x` `(held, k)`, those on axes from 0 to 1.
    """
    run = _open(session)
    held, ends = _held(session.folder, run.names), _axes(session)
    low, high = run.codec.low.numpy(), run.codec.high.numpy()
    pad = np.where(high > low, _PAD * (high - low), 0.5)
    seen = np.stack([low - pad, high + pad], 1)
    told = [zip(run.names, ends.tolist(), strict=True), zip(_columns(run), seen.tolist(), strict=True)]
    parameters, observed = ([{"name": name, "low": a, "high": b} for name, (a, b) in one] for one in told)
    return {
        "parameters": parameters,
        "observed": observed,
        "first": _first(run, held).tolist(),
        "held": 0 if held is None else len(held.x),
        "theta": np.empty((0, run.dim)) if held is None else _places(held.theta, ends),
        "x": np.empty((0, run.codec.columns)) if held is None else _places(held.x, seen),
    }


def _places(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Where values lie on their axes, 0 to 1 within them."""
    return (values - ends[:, 0]) / (ends[:, 1] - ends[:, 0])


@dataclass(frozen=True)
class Held(Checked):
    """A simulation that was held out.

    Args:
        index: of it.
    """

    index: Annotated[int, Within(0, MOST_ROWS)] = 0


def held(p: Held, session: Session) -> dict[str, Any]:
    """`x`, what was simulated; `theta`, with which parameters."""
    run = _open(session)
    found = _held(session.folder, run.names)
    if found is None:
        raise ValueError("the simulations that were held out are not in the run's folder; put held.parquet back there.")
    if p.index >= len(found.x):
        raise ValueError(f"index must be from 0 to {len(found.x) - 1}, got {p.index}.")
    return {"x": found.x[p.index].tolist(), "theta": found.theta[p.index].tolist()}


@dataclass(frozen=True)
class Draw(Checked):
    """An observation, of whose parameters draws are requested.

    Args:
        x: the observation.
        n: draws.
        steps: network evaluations for each.
        seed: of the draws.
    """

    x: Annotated[tuple[float, ...], AtMost(MOST_OBSERVED), Within(-1e300, 1e300)] = (0.0,)
    n: Annotated[int, Within(2, 5000)] = 500
    steps: Annotated[int, Within(2, 60)] = 20
    seed: Seed = 0


def draw(p: Draw, session: Session) -> dict[str, Any]:
    """`draws` `(n, d)` on axes from 0 to 1; `laws` of each parameter: its `mean`, `deviation`, and `low`, `median` and
    `high` (5, 50 and 95 %); `beyond`, how many draws lie beyond an axis; `outside`, what of the observation no
    simulation reaches, in words.
    """
    run = _open(session)
    if len(p.x) != run.codec.columns:
        raise ValueError(f"x has {run.codec.columns} numbers, as a simulation has, got {len(p.x)}.")
    x = torch.tensor(p.x, dtype=torch.float64)
    pause()
    with warnings.catch_warnings():  # without a pause inside: filters are the whole process's
        warnings.simplefilter("ignore", OutsideWarning)  # it is said on the page
        theta = run.sample(x, p.n, steps=p.steps, seed=p.seed).numpy()
    places = _places(theta, _axes(session))
    return {
        "draws": places,
        "laws": [_law(values) for values in theta.T],
        "beyond": int(((places < 0) | (places > 1)).any(1).sum()),
        "outside": [str(one) for one in run.codec.outside(x, _columns(run))][:4],
    }


def _law(values: np.ndarray) -> dict[str, float]:
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95], method="inverted_cdf").tolist()
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    return {"mean": mean, "deviation": deviation, "low": low, "median": median, "high": high}
