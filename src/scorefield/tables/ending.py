"""How long what follows the training of a table takes, so that a budget of time can hold all of it."""

from __future__ import annotations

import math
import time

import torch

from scorefield.metrics.comparison import MOST
from scorefield.plans import default
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.impute import complete
from scorefield.tables.row_model import Layout

_TRIED, _STEPS = 128, 12  # rows drawn to know the time of an answer
_RECALIBRATED, _RANKED, _SHRUNK = 3072, 7_000, 20_000  # values by recalibration, answers by number, by shrinkage
_BACK = 26  # answers for each value that is recalibrated
_DISTANCE = 2e-9  # seconds for one number of a pair of rows


def ending_seconds(model: MaskedDenoiser, layout: Layout, held: int, training: int) -> float:
    """Seconds that shrinkage, recalibration, levels, percentiles and memorisation will take, from a few rows drawn.

    Args:
        model: untrained: its answers take as long as a trained one's.
        layout: of its rows.
        held: rows held out.
        training: rows of training.
    """
    rows = torch.full((_TRIED, layout.numbers + layout.codes), math.nan, dtype=torch.float64)
    plan = default(_STEPS, model.sigma_data, model.sigma_min, model.sigma_max)
    begun = time.perf_counter()
    complete(model, layout, rows, plan)
    answer = (time.perf_counter() - begun) / (_TRIED * _STEPS)
    drawn = min(held, MOST)
    values = min(2 * held * layout.numbers, _RECALIBRATED + _RECALIBRATED // 2)
    answers = _SHRUNK + 18 * drawn + _BACK * values + _RANKED * layout.numbers
    return answer * answers + _DISTANCE * 2 * drawn * training * (layout.numbers + layout.codes)
