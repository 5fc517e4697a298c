"""Posterior draws for other programs: tables with the parameters' names, ArviZ's InferenceData."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield.data import write_frame
from scorefield.mcmc.exchange import from_dict
from scorefield.posterior.proof.arrays import finite, names_of, numbers

if TYPE_CHECKING:
    import pandas as pd

OBSERVATION = "observation"
"""The column that says, of draws given several observations, which one."""


def as_frame(draws: object, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Draws `(n, d)` as a data frame; `(m, n, d)` with a first column `observation`, from 1.

    Example:
        >>> as_frame([[1.0, 2.0]], ["a", "b"]).columns.tolist()
        ['a', 'b']
    """
    import pandas as pd

    values = numbers("draws", draws)
    if values.ndim not in (2, 3):
        raise ValueError(f"draws are (n, d), or (m, n, d) of several observations, got {values.shape}.")
    found = pd.DataFrame(values.reshape(-1, values.shape[-1]), columns=list(names_of(names, values.shape[-1])))
    if values.ndim == 3:
        if OBSERVATION in found.columns:
            raise ValueError(f"a parameter is called {OBSERVATION!r}, as the column of observations is; rename it.")
        found.insert(0, OBSERVATION, np.repeat(np.arange(1, len(values) + 1), values.shape[1]))
    return found


def write_draws(path: str | Path, draws: object, names: Sequence[str] | None = None) -> None:
    """Write draws as a table with the parameters' names: .parquet, .csv, ... as `data.write_frame`.

    Args:
        path: where to.
        draws: `(n, d)`, or `(m, n, d)` of several observations.
        names: of the parameters; default: theta0, theta1, ...
    """
    write_frame(as_frame(draws, names), path)


def to_arviz(
    draws: object,
    names: Sequence[str] | None = None,
    x_obs: object = None,
    *,
    prior: object = None,
    predictions: object = None,
) -> Any:
    """Draws as ArviZ's InferenceData (from its version 1 on, a DataTree), for its plots, summaries and files.

    The draws are independent: they stand as one chain.

    Args:
        draws: given one observation, `(n, d)`.
        names: of the parameters; default: theta0, theta1, ...
        x_obs: the observation, the variable `x` of the group `observed_data`.
        prior: draws of the prior `(m, d)`, the group `prior`.
        predictions: simulations of draws `(s, ...)`, the variable `x` of the group `posterior_predictive`.

    Raises:
        ImportError: where arviz is not installed.
    """
    try:
        import arviz
    except ImportError:
        raise ImportError("to_arviz needs the package arviz, which is not installed: pip install arviz.") from None
    values = finite("draws", draws)
    if values.ndim != 2:
        raise ValueError(f"draws given one observation are (n, d), got {values.shape}.")
    labels = names_of(names, values.shape[1])
    groups: dict[str, dict[str, np.ndarray]] = {"posterior": _chain(values, labels)}
    if prior is not None:
        groups["prior"] = _chain(finite("prior", prior), labels)
    if predictions is not None:
        groups["posterior_predictive"] = {"x": numbers("predictions", predictions)[None]}
    if x_obs is not None:
        groups["observed_data"] = {"x": numbers("the observation", x_obs)}
    return from_dict(arviz, groups)


def _chain(values: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Each parameter as `(1, n)`: chain, draw."""
    return {name: values[None, :, j] for j, name in enumerate(names)}
