"""The interface of objectives to the trainer: one loss per sample of a batch whose randomness is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from scorefield.levels import TrainingLevels
from scorefield.objectives.noised import Weighting, multilevel


class Draws(NamedTuple):
    """What is random in a batch of n samples: a pure function of (seed, step, position).

    Args:
        noise: standard normal, like the data, `(n, *shape)`.
        u: `(n,)` in (0, 1): where the noise level of each sample lies.
        number: `(n,)` int64: the place of each sample in the whole training, for draws of the objective's own.
    """

    noise: Tensor
    u: Tensor
    number: Tensor


class Objective(Protocol):
    """A loss of samples that training minimises.

    `levels` is the density of noise levels that `u` is mapped by; `holes`: whether NaN in the data are allowed.
    """

    @property
    def levels(self) -> TrainingLevels:
        """u in (0, 1) `(n,)` to levels."""
        ...

    @property
    def holes(self) -> bool:
        """Whether the data may have NaN, where a value is missing."""
        ...

    def __call__(self, model: Any, x: Tensor, draws: Draws, condition: Tensor | None = None) -> Tensor:
        """One loss per sample, `(n,)`.

        Args:
            model: that is trained, perhaps in a wrapper of several processes; or the data's exact model.
            x: clean data `(n, *shape)`.
            draws: the batch's randomness.
            condition: what goes with each sample.
        """
        ...


@dataclass(frozen=True)
class Multilevel:
    """`objectives.multilevel` with its density of levels and its weighting: what `train` minimises by default.

    Args:
        levels: density of noise levels.
        weighting: of the levels.
    """

    levels: TrainingLevels
    weighting: Weighting
    holes: bool = False

    def __call__(self, model: Any, x: Tensor, draws: Draws, condition: Tensor | None = None) -> Tensor:
        """One loss per sample, `(n,)`; arguments as `Objective`."""
        return multilevel(
            model, x, self.levels, weighting=self.weighting, condition=condition, noise=draws.noise, u=draws.u
        )
