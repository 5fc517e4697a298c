"""Plans fitted to a model of a table's rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.numerics.random import uniform
from scorefield.plans import Calibration, calibration
from scorefield.progress import Report, silent
from scorefield.tables.objective import gated
from scorefield.tables.trained import TrainedTable

TRAJECTORIES = 1024
"""Rows whose questions the trajectories take in turn."""


def calibrate(
    model: TrainedTable, evaluations: int, *, search: bool = True, seed: int = 0, report: Report = silent
) -> Calibration:
    """A plan of so many evaluations, fitted to the model's own questions; see `plans.calibration`.

    Args:
        model: of a table.
        evaluations: of its network, for the numbers of a row.
        search: the noise levels too.
        seed: of the trajectories.
        report: hears how far the work is.

    Raises:
        ValueError: for a table of codes alone, whose rows are drawn without steps.
    """
    numbers = model.layout.numbers
    if not numbers:
        raise ValueError("every column of this table is a code, and codes are drawn without steps: nothing to fit.")
    return calibration(
        model.model,
        evaluations,
        (numbers,),
        seed=seed,
        search=search,
        condition=questions(model, TRAJECTORIES, seed),
        std=model.model.sigma_data,
        report=report,
    )


def questions(model: TrainedTable, n: int, seed: int = 0) -> Tensor:
    """What sampling and imputation ask, `(n, entries)`: codes given, and in every other row a share of the numbers.

    Args:
        model: of a table.
        n: questions.
        seed: of the model's own rows that they are about.
    """
    numbers = model.layout.numbers
    rows = model.draws(torch.full((n, *model.codec.shape), math.nan, dtype=torch.float64), 1, seed=seed)[0]
    share = uniform(n, (), seed, "questions share", dtype=torch.float64)
    share[::2] = 0.0
    chosen = uniform(n, (numbers,), seed, "questions", dtype=torch.float64) < share[:, None]
    whole, given = rows.clone(), rows.clone()
    whole[:, :numbers] = math.nan
    given[:, :numbers] = torch.where(chosen, rows[:, :numbers], math.nan)
    whole, given = (gated(asked, numbers, model.layout.gates) for asked in (whole, given))
    return torch.where(given[:, :numbers].isnan().any(1, keepdim=True), given, whole)
