"""Models of other libraries as models of this one, and models of this one elsewhere: adapters, files, loggers.

What may enter: a translation between another library's convention and the pair `Level`, `Estimate`, proved equal to
that library's own answer; a way from a run to another program's file or service. Nothing that learns, and no code from
files. The other library is imported where it is met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorefield.interop.adapters import Adapted, from_edm, from_eps, from_flow
from scorefield.interop.diffusers_folder import pipeline_of, to_diffusers
from scorefield.interop.diffusers_models import from_diffusers
from scorefield.interop.export import export_model
from scorefield.pretrained.convention import Convention
from scorefield.pretrained.networks import DiffusersNetwork, joined
from scorefield.pretrained.schedulers import convention_of, levels_of
from scorefield.records.trained import TrainedModel
from scorefield.times import BetaTimes, FlowTimes, LogSigmaTimes, SigmaTimes, Times, evenly

if TYPE_CHECKING:
    from scorefield.interop.plan_scheduler import PlanScheduler as PlanScheduler

__all__ = [
    "PlanScheduler",
    "Adapted",
    "from_eps",
    "from_flow",
    "from_edm",
    "from_diffusers",
    "adopted",
    "DiffusersNetwork",
    "pipeline_of",
    "to_diffusers",
    "export_model",
    "joined",
    "convention_of",
    "levels_of",
    "evenly",
    "Convention",
    "Times",
    "BetaTimes",
    "FlowTimes",
    "SigmaTimes",
    "LogSigmaTimes",
]

adopted = TrainedModel.from_diffusers


def __getattr__(name: str) -> object:
    """`PlanScheduler`, whose base is a class of diffusers: that is imported with it."""
    if name != "PlanScheduler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from scorefield import _optional

    _optional.diffusers("a PlanScheduler")
    from scorefield.interop.plan_scheduler import PlanScheduler

    return PlanScheduler
