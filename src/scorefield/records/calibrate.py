"""Plans fitted to a model of records."""

from __future__ import annotations

from scorefield.plans import Calibration, calibration
from scorefield.progress import Report, silent
from scorefield.records.diffusers_unet import own_plan
from scorefield.records.trained import TrainedModel

TRAJECTORIES = 1024
"""Records whose classes the trajectories take in turn."""


def calibrate(
    model: TrainedModel, evaluations: int, *, search: bool = True, seed: int = 0, report: Report = silent
) -> Calibration:
    """A plan of so many evaluations, fitted to the model; see `plans.calibration`.

    Args:
        model: of records.
        evaluations: of its network, per record.
        search: the noise levels too.
        seed: of the trajectories.
        report: hears how far the work is.
    """
    return calibration(
        model.model,
        evaluations,
        model.codec.shape,
        seed=seed,
        search=search,
        condition=model.conditions(TRAJECTORIES, seed=seed),
        std=model.model.sigma_data,
        plan=own_plan(model.model, evaluations),
        report=report,
    )
