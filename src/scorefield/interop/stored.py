"""Conventions as JSON, for the configurations that other libraries keep of what is made here."""

from __future__ import annotations

from scorefield._files import shown
from scorefield.denoiser import ANGLE, DATA, EDM_F, FLOW, NOISE, Target
from scorefield.pretrained.convention import NEGATIVE_F, Convention
from scorefield.times import times_from_json

PREDICTIONS: dict[str, Target] = {
    "epsilon": NOISE,
    "sample": DATA,
    "v_prediction": ANGLE,
    "flow_prediction": FLOW,
    "F": EDM_F,
    "-F": NEGATIVE_F,
}
"""Names of predictions in files: those of diffusers, and EDM's."""


def prediction_to_json(target: Target) -> str:
    """The name of a prediction."""
    name = next((name for name, known in PREDICTIONS.items() if target is known), None)
    if name is None:
        raise ValueError(f"{target!r} has no name in files; there are {', '.join(PREDICTIONS)}.")
    return name


def convention_from_json(times: object, prediction: object) -> Convention:
    """The convention of stored times and a stored prediction.

    Raises:
        ValueError: for what is none.
    """
    if not isinstance(prediction, str) or prediction not in PREDICTIONS:
        raise ValueError(f"a prediction is one of {', '.join(PREDICTIONS)}, got {shown(prediction)}.")
    return Convention(times_from_json(times), PREDICTIONS[prediction])
