"""Schedulers of diffusers, read: the convention of the network that one belongs to, and the levels that it visits.

A scheduler of diffusers holds two things: what its network was trained with (a table of betas, what is predicted), and
how to step. The first is a `Convention`; the second is a plan's business, and of it only the levels are read.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scorefield._files import shown
from scorefield.core import Levels
from scorefield.denoiser import ANGLE, DATA, EDM_F, FLOW, NOISE, Target
from scorefield.pretrained.convention import NEGATIVE_F, Convention
from scorefield.times import BetaTimes, Between, FlowTimes, LogSigmaTimes

ON_BETAS = (
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "DDIMScheduler",
    "DDIMParallelScheduler",
    "PNDMScheduler",
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "DPMSolverSDEScheduler",
    "DEISMultistepScheduler",
    "UniPCMultistepScheduler",
    "SASolverScheduler",
)
"""Whose networks were trained on a table of betas (or, with `flow_prediction`, on straight lines)."""
OF_FLOWS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
OF_EDM = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler")
READ = (*ON_BETAS, *OF_FLOWS, *OF_EDM)
PREDICTIONS: dict[str, Target] = {"epsilon": NOISE, "sample": DATA, "v_prediction": ANGLE}
"""What diffusers calls a prediction on a table of betas."""
_STAND_IN = 2.0**-24
"""What some schedulers have in the place of alpha^2 = 0 (`rescale_betas_zero_snr`), so that sigma / alpha is finite."""
_OF_THEIR_TABLE = ("DDPMScheduler", "DDPMParallelScheduler", "DDIMScheduler", "DDIMParallelScheduler")
_VISITED = (
    *_OF_THEIR_TABLE,
    "EulerDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "FlowMatchEulerDiscreteScheduler",
    *OF_EDM,
)


def convention_of(scheduler: Any, between: Between = "interpolate") -> Convention:
    """The convention of the network that a scheduler of diffusers belongs to.

    Read are the table of betas as the scheduler holds it (`rescale_betas_zero_snr` included), `prediction_type`,
    `sigma_data`, and what times are told. Spacing, offsets and shifts of timesteps say where to step, not what the
    network means, and are no part of it.

    Args:
        scheduler: of diffusers, one of `READ`.
        between: levels between two entries of a table; see `times.BetaTimes`.

    Raises:
        ValueError: for another scheduler or prediction.
    """
    name = type(scheduler).__name__
    if name not in READ:
        raise ValueError(f"no convention is known for the scheduler {shown(name)}; there are {', '.join(READ)}.")
    config = scheduler.config
    if name in OF_EDM:
        target = {"epsilon": EDM_F, "v_prediction": NEGATIVE_F}.get(config.prediction_type)
        times = LogSigmaTimes(config.sigma_data, config.sigma_min, config.sigma_max)
        return Convention(times, _known(target, name, config))
    if name in OF_FLOWS:
        if config.get("invert_sigmas"):
            raise ValueError(f"a {name} with invert_sigmas runs time from noise to data; use interop.from_flow for it.")
        return Convention(FlowTimes(float(config.num_train_timesteps), float(scheduler.sigma_min)), FLOW)
    if config.prediction_type == "flow_prediction":
        return Convention(FlowTimes(float(config.num_train_timesteps)), FLOW)
    target = _known(PREDICTIONS.get(config.prediction_type), name, config)
    table = _table(scheduler)
    if config.get("timestep_type") == "continuous" and target is ANGLE:  # v of log(sigma) / 4: EDM's -F, sigma_data = 1
        ends = ((1 - table) / table).sqrt()
        low, high = config.get("sigma_min") or float(ends[0]), config.get("sigma_max") or float(ends[-1])
        return Convention(LogSigmaTimes(1.0, low, high), NEGATIVE_F)
    return Convention(BetaTimes(table, between), target)


def notes_of(scheduler: Any) -> tuple[str, ...]:
    """What a scheduler does to the network's answer besides, in sentences: an adapted model does none of it."""
    name, config = type(scheduler).__name__, scheduler.config
    notes = []
    if config.get("thresholding"):
        notes.append(f"{name} thresholds the data that it predicts; these estimates are as the network gives them.")
    elif config.get("clip_sample"):
        size = config.get("clip_sample_range") or 1.0
        notes.append(
            f"{name} clips the data that it predicts to {size:g} (clip_sample); these estimates are as the network "
            "gives them."
        )
    return tuple(notes)


def levels_of(scheduler: Any) -> Levels:
    """The levels at which a scheduler of diffusers evaluates its network, and the one where it arrives.

    After `scheduler.set_timesteps(n)`; on the scale of a table of betas `alpha^2 + sigma^2 = 1`, of flows
    `alpha + sigma = 1`, of EDM alpha = 1. The end is the scheduler's own: `set_alpha_to_one`, `final_sigmas_type`.

    A DDIMScheduler steps from t to t - N // n, wherever it then evaluates: where n does not divide N, trailing and
    linspace spacings evaluate at another level than they arrived at. A plan over these levels arrives where it
    evaluates.

    Raises:
        ValueError: for a scheduler whose levels are not known, or that has no timesteps yet.

    Example:
        >>> from diffusers import DDIMScheduler
        >>> scheduler = DDIMScheduler()
        >>> scheduler.set_timesteps(4)
        >>> levels_of(scheduler)
        Levels(5 levels, sigma/alpha = 17.38, 3.443, 0.958, 0.01, 0)
    """
    name = type(scheduler).__name__
    if name not in _VISITED:
        raise ValueError(f"the levels of {shown(name)} are not known; there are {', '.join(_VISITED)}.")
    if scheduler.num_inference_steps is None:
        raise ValueError(f"this {name} has no timesteps yet; call scheduler.set_timesteps(n) first.")
    if name in _OF_THEIR_TABLE:
        visited = scheduler.alphas_cumprod.double()[scheduler.timesteps.cpu()]
        end = torch.as_tensor(getattr(scheduler, "final_alpha_cumprod", 1.0)).double().reshape(1)
        power = torch.cat([visited, end])
        return Levels(power.sqrt(), (1 - power).sqrt())
    sigmas: Tensor = scheduler.sigmas.double().cpu()
    if not bool(sigmas.isfinite().all()):
        raise ValueError(f"this {name} has levels that are not finite; see its configuration.")
    if name in OF_FLOWS or scheduler.config.get("use_flow_sigmas"):
        return Levels(1 - sigmas, sigmas)
    if name in OF_EDM:
        return Levels(torch.ones_like(sigmas), sigmas)
    size = (1 + sigmas**2).sqrt()
    alpha, sigma = 1 / size, sigmas / size
    if float(_table(scheduler)[-1]) == 0:
        last = sigmas > _STAND_IN**-0.5 - 1
        alpha, sigma = torch.where(last, 0.0, alpha), torch.where(last, 1.0, sigma)
    return Levels(alpha, sigma)


def _table(scheduler: Any) -> Tensor:
    """The table of `alpha^2`, whose last entry is 0 where a stand-in for that is greater than the entry before."""
    table: Tensor = scheduler.alphas_cumprod.double().cpu()
    if float(table[-1]) == _STAND_IN and float(table[-2]) <= _STAND_IN:
        table = torch.cat([table[:-1], table.new_zeros(1)])
    return table


def _known(target: Target | None, name: str, config: Any) -> Target:
    if target is None:
        raise ValueError(f"a {name} with prediction_type {shown(config.prediction_type)} is not known here.")
    return target
