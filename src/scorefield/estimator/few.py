"""A model of a table with too few rows to train on: one Gaussian, and the frequencies of the codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorefield.checkpoint import Settings
from scorefield.data import Schema, fit_row_codec
from scorefield.fitting_table import Prepared, log_frequencies_of
from scorefield.masked import MaskedDenoiser
from scorefield.mixture_fit import PRIORS, fit_mixture
from scorefield.nets import MaskedMLP
from scorefield.objectives.masked import Masked

if TYPE_CHECKING:
    import pandas as pd


def few_rows(frame: pd.DataFrame, schema: Schema, seed: int) -> Prepared:
    """The Gaussian of the numbers, its covariance held towards its diagonal, and the frequencies of the codes.

    Args:
        frame: at least one row.
        schema: of its columns.
        seed: of the noise within cells.

    Returns:
        What needs no training.
    """
    codec = fit_row_codec(frame, schema)
    rows = codec.encode(frame)
    numbers = codec.continuous
    law = fit_mixture(rows[:, :numbers], 1, *PRIORS[0]) if numbers else None
    network = MaskedMLP(numbers, codec.sizes, width=16, depth=1, seed=seed)
    model = MaskedDenoiser(network, law, log_frequencies_of(codec, rows))
    objective = Masked(numbers, len(codec.sizes), codec.gates, seed)
    noised = rows.float()
    return Prepared(model, codec, noised, noised, rows, objective, Settings(steps=1, seed=seed))
