"""What a conditional law is trained by: the likelihood of its normal law, the denoising of what that misses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scorefield.levels import TrainingLevels
from scorefield.numerics.random import uniform
from scorefield.objectives.batch import Draws
from scorefield.posterior.conditional import Laws, Noised
from scorefield.posterior.networks import standardised


@dataclass(frozen=True, eq=False)
class NormalLikelihood:
    """Minus the log-likelihood of v under the normal law of its condition; the condition is the row's number.

    Args:
        z: conditions `(rows, ...)`.
        levels: of no meaning here.
        hide: share of the values of z that are hidden.
        holes: of the interface: v has none.
    """

    z: Tensor
    levels: TrainingLevels
    hide: float = 0.0
    holes: bool = False

    def __call__(self, model: Any, x: Tensor, draws: Draws, condition: Tensor | None = None) -> Tensor:
        """One loss per sample; arguments as `Objective`."""
        condition = _given(condition)
        away, slope = standardised(x, *model(hidden(self.z[condition], self.hide, draws)))
        return 0.5 * away.square().sum(1) - slope


@dataclass(frozen=True, eq=False)
class Correction:
    """The squared error of F, per sample: multi-level denoising with weights that give every level unit variance.

    Args:
        z: conditions `(rows, ...)`.
        laws: of the rows.
        levels: density over noise levels in units of each law's scale.
        hide: share of the values of z that are hidden.
        holes: of the interface: v has none.
    """

    z: Tensor
    laws: Laws
    levels: TrainingLevels
    hide: float = 0.0
    holes: bool = False

    def __call__(self, model: Any, x: Tensor, draws: Draws, condition: Tensor | None = None) -> Tensor:
        """One loss per sample; arguments as `Objective`."""
        answer, wanted = self.answer(model, x, draws, _given(condition))
        return (answer - wanted).square().sum(1)

    def answer(self, model: Any, x: Tensor, draws: Draws, condition: Tensor) -> tuple[Tensor, Tensor]:
        """What the model answers and what it should, `(n, d)` each."""
        laws = self.laws.rows(condition)
        ratio = torch.as_tensor(self.levels(draws.u).ratio).to(x)
        s = ratio * laws.scale
        noised = Noised.of(laws, x + s[:, None] * draws.noise, s)
        clean = laws.into(x - laws.mean)
        missed = (clean - laws.variances / noised.total * noised.away) / noised.weight(laws)
        z = hidden(self.z[condition], self.hide, draws)
        return model(noised.seen(laws), ratio.log(), z), laws.out_of(missed)


def _given(condition: Tensor | None) -> Tensor:
    if condition is None:
        raise ValueError("the rows' numbers are missing: give train condition=torch.arange(n).")
    return condition


def hidden(z: Tensor, share: float, draws: Draws) -> Tensor:
    """Conditions of which a share of the values is hidden, for half of the rows."""
    if not share:
        return z
    place = uniform(len(z), z.shape[1:], 0, "hidden", first=draws.number, device=z.device)
    row = uniform(len(z), (), 0, "hidden rows", first=draws.number, device=z.device) < 0.5
    hide = (place < share) & row.reshape(-1, *[1] * (z.ndim - 1))
    return z.masked_fill(hide, torch.nan)
