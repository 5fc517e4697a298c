"""Models of other libraries as models of this one, and back: adapters of networks, diffusers, schedulers from plans.

What may enter: a translation between another library's convention and the pair `Level`, `Estimate`, proved equal to
that library's own answer; nothing that learns, and no code from files. The other library is imported where it is met.
"""

from __future__ import annotations

from scorefield.interop.adapters import Adapted, from_edm, from_eps, from_flow
from scorefield.interop.convention import Convention
from scorefield.interop.diffusers_models import DiffusersNetwork, from_diffusers, joined
from scorefield.interop.schedulers import convention_of, levels_of
from scorefield.interop.times import BetaTimes, FlowTimes, LogSigmaTimes, SigmaTimes, Times

__all__ = [
    "Adapted",
    "from_eps",
    "from_flow",
    "from_edm",
    "from_diffusers",
    "DiffusersNetwork",
    "joined",
    "convention_of",
    "levels_of",
    "Convention",
    "Times",
    "BetaTimes",
    "FlowTimes",
    "SigmaTimes",
    "LogSigmaTimes",
]
