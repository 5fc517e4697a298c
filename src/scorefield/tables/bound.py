"""A model of rows with what is given in each of them bound to it, for many noise levels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scorefield._tensor import expand
from scorefield.analytic.conditional import GroupedRows
from scorefield.analytic.partial import ConditionedRows, Pattern
from scorefield.core import Estimate, Level
from scorefield.tables.network import MaskedMLP
from scorefield.tables.residual import Residual, answer_separately, safe_sqrt
from scorefield.tables.tangents import Entrance, LevelNetwork

if TYPE_CHECKING:
    from scorefield.tables.denoiser import MaskedDenoiser


class BoundDenoiser:
    """A `MaskedDenoiser` with what is given in each row bound to it: matrices are decomposed once for all levels.

    `bound(x, level, index)` answers as the model does for the rows of that index, `(n,)`; None: for all.

    Args:
        model: of rows.
        given: `(n, d + codes)`, as the model's condition.
        derivatives: whether answers are differentiated; if not, the network is asked in single precision, with what a
            level and a row's condition have in common found once, where all rows are at one level.
    """

    def __init__(self, model: MaskedDenoiser, given: Tensor, derivatives: bool = True) -> None:
        self.model, self.given, self.derivatives = model, given, derivatives
        self.sigma_min, self.sigma_max = model.sigma_min, model.sigma_max
        self.pattern = model.pattern(given)
        self._whole = self.pattern.queried.all(1)

    @cached_property
    def _laws(self) -> tuple[GroupedRows | ConditionedRows, ...]:
        """The reference and the Gaussian of its moments, given what is given: whole rows need neither."""
        caches = self.model.decompositions
        common = len(self.given) and caches[0].grouping_pays(self.pattern)
        return tuple(
            cache.grouped(self.pattern) if common else ConditionedRows.of(cache.law, self.pattern) for cache in caches
        )

    @cached_property
    def _single(self) -> tuple[MaskedMLP, Entrance]:
        network = copy.deepcopy(self.model.network).float()
        return network, Entrance(network, self.given.float())

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        if condition is None and self._alike:
            return self._of_one_kind(x, level, None)
        index = torch.arange(len(self.given), device=x.device) if condition is None else condition
        return answer_separately(
            self._whole[index], x, level, lambda x, level, rows: self._of_one_kind(x, level, index[rows])
        )

    def _of_one_kind(self, x: Tensor, level: Level, index: Tensor | None) -> Estimate:
        """The answer for rows, by default all, of which all are queried as a whole, or none."""
        pattern, laws = self.pattern, None
        if index is not None:
            pattern = Pattern(*(v[index] for v in pattern))
        alpha, sigma = (expand(v, x).double() for v in level)
        if pattern.whole:
            residual = self.model.residual(x.double(), alpha, sigma, pattern)
        else:
            laws = self._laws if index is None else tuple(own.rows(index) for own in self._laws)
            scale = safe_sqrt(laws[1].posterior_variance(alpha, sigma))
            residual = Residual(laws[0].estimate(x.double(), alpha, sigma), None, scale)
        return self.model.corrected(x, level, self._raw(x, level, index), residual, pattern)

    def _raw(self, x: Tensor, level: Level, index: Tensor | None) -> Tensor:
        """The network's answer for the numbers of rows, by default all."""
        alpha, sigma = (torch.as_tensor(v, dtype=torch.float64) for v in level)
        if self.derivatives or alpha.ndim or sigma.ndim:
            return self.model.raw(x, level, self.given if index is None else self.given[index])
        network, entrance = self._single
        small = (x / (alpha**2 + sigma**2).sqrt()).float()
        return LevelNetwork(network, (sigma / alpha).log().float()).answer(small, entrance, index)

    @cached_property
    def _alike(self) -> bool:
        """Whether all of each row is queried, or of none."""
        return bool((self._whole == self._whole[:1]).all())

    def reference_noise_at(self, s: float) -> Callable[[Tensor], Tensor]:
        """`E[eps | x, given]` of the reference at (1, s) of x, both `(n, d)`, of rows none of which is whole."""
        law = self._laws[0]
        if isinstance(law, GroupedRows):
            return law.noise_at(s, self.model.law)
        return lambda x: law.estimate(x, *_at(s, x)).eps

    def reference_log_density(self, x: Tensor, s: float) -> Tensor:
        """`log p(queried | given)` of the reference noised to (1, s), at x `(n, d)`; rows are whole, or none is."""
        if self.whole:
            return self.model.law.log_density(x, Level(*_at(s, x)))
        return self._laws[0].log_density(x, *_at(s, x))

    def scale(self, s: float) -> Tensor:
        """What the network's answer is multiplied by at (1, s), `(n, d)`; of whole rows `(1, d)`, along `basis`."""
        alpha, sigma = _at(s, self.given)
        if self.whole:
            level, one = Level(alpha[None], sigma[None]), Pattern(*(v[:1] for v in self.pattern))
            return self.model.scale_of_all(alpha, sigma) * self.model.shrinkage_at(level, one)
        level = Level(alpha.expand(len(self.given)), sigma.expand(len(self.given)))
        left = safe_sqrt(self._laws[1].posterior_variance(alpha, sigma))
        return left * self.model.shrinkage_at(level, self.pattern)

    @cached_property
    def whole(self) -> bool:
        """Whether all of each row is queried."""
        return bool(self._whole.all())


def _at(s: float, like: Tensor) -> tuple[Tensor, Tensor]:
    one = torch.ones((), dtype=torch.float64, device=like.device)
    return one, s * one
