"""Conventions as JSON, for the configurations that other libraries keep of what is made here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from scorefield._files import reason, shown
from scorefield.denoiser import ANGLE, DATA, EDM_F, FLOW, NOISE, Target
from scorefield.interop.convention import NEGATIVE_F, Convention
from scorefield.interop.times import BetaTimes, FlowTimes, LogSigmaTimes, SigmaTimes, Times

PREDICTIONS: dict[str, Target] = {
    "epsilon": NOISE,
    "sample": DATA,
    "v_prediction": ANGLE,
    "flow_prediction": FLOW,
    "F": EDM_F,
    "-F": NEGATIVE_F,
}
"""Names of predictions in files: those of diffusers, and EDM's."""
_TIMES: dict[str, type[Any]] = {
    "betas": BetaTimes,
    "flow": FlowTimes,
    "sigma": SigmaTimes,
    "log sigma": LogSigmaTimes,
}


def times_to_json(times: Times) -> dict[str, Any]:
    """The fields of times, with their kind."""
    kind = next((name for name, known in _TIMES.items() if type(times) is known), None)
    if kind is None:
        raise ValueError(f"{type(times).__name__} has no name in files; there are the times of scorefield.interop.")
    fields = {name: v.tolist() if isinstance(v, torch.Tensor) else v for name, v in vars(times).items()}
    return {"kind": kind, **fields}


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
    if not isinstance(times, Mapping) or times.get("kind") not in _TIMES:
        raise ValueError(f"stored times are an object of kind {', '.join(_TIMES)}, got {shown(times)}.")
    fields = {name: value for name, value in times.items() if name != "kind"}
    if "alphas_cumprod" in fields:
        fields["alphas_cumprod"] = torch.tensor(fields["alphas_cumprod"], dtype=torch.float64)
    try:
        return Convention(_TIMES[times["kind"]](**fields), PREDICTIONS[prediction])
    except (TypeError, ValueError, RuntimeError) as fault:
        raise ValueError(f"these stored times are damaged: {reason(fault)}.") from None
