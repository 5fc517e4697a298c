"""A model of a table with too few rows to train on: one Gaussian, and the frequencies of the codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorefield.tables.codec import fit_row_codec
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.fit import Encoded, TableFit, table_levels
from scorefield.tables.frequencies import counts_of, log_frequencies
from scorefield.tables.mixture import PRIORS, fit_mixture
from scorefield.tables.network import MaskedMLP
from scorefield.tables.objective import MaskedObjective
from scorefield.tables.schema import Schema

if TYPE_CHECKING:
    import pandas as pd


def few_rows(frame: pd.DataFrame, schema: Schema, seed: int) -> TableFit:
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
    model = MaskedDenoiser(network, law, log_frequencies(counts_of(codec, rows)))
    objective = MaskedObjective(
        numbers, len(codec.sizes), codec.gates, table_levels(model.sigma_min, model.sigma_max), seed
    )
    noised = rows.float()
    return TableFit(Encoded(codec, rows, rows), model, noised, noised, objective, seed=seed)
