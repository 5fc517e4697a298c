"""A score model of rows of which any part may be given: a mixture of Gaussians, exact for every part, and a network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from torch import Tensor, nn

from scorefield._tensor import check_batch, expand, rows_of
from scorefield.analytic.conditional import DecompositionCache, GroupedRows
from scorefield.analytic.mixture import GaussianMixture
from scorefield.analytic.partial import (
    ConditionedRows,
    PartialMixture,
    Pattern,
    combine_components,
    precision_roots,
    scaled_cholesky,
    standard_normal_elsewhere,
)
from scorefield.core import Estimate, Level
from scorefield.likelihood.level_density import USUAL, LevelDensity
from scorefield.tables.code_table import CodeTable
from scorefield.tables.network import MaskedMLP
from scorefield.tables.residual import Residual, answer_separately, interpolation_weights, safe_sqrt
from scorefield.tables.tangents import Entrance, LevelNetwork

SHRINKAGE_KNOTS = (3, 9)
"""Knots of the shrinkage: shares of the row that are given, and noise levels."""
CODE_KNOTS = 6
"""Knots of the gains of codes: shares of the codes that are given where no number is, of the row where one is."""


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
        pattern = self.pattern if index is None else Pattern(*(v[index] for v in self.pattern))
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


def _decompositions_of(law: GaussianMixture) -> tuple[DecompositionCache, DecompositionCache]:
    total = GaussianMixture(torch.ones_like(law.weights[:1]), law.mean[None], law.covariance[None])
    return DecompositionCache(law), DecompositionCache(total)


class MaskedDenoiser(nn.Module):
    """The model of rows of d numbers and some codes, any of which may be given: `model(x, level, given)`.

    `E[x0 | x, given]` is that of a Gaussian mixture, the reference, exact for every pattern of what is given, plus the
    network's answer in units of the standard deviation which the reference leaves. An untrained network therefore is
    the mixture, and small data are fitted no worse than by it. Codes are answered by softmax heads, `log_codes`.

    Args:
        network: for d numbers and codes.
        reference: of the numbers; its dtype is float64. None where d = 0.
        log_frequencies: of the codes, side by side, where nothing is known; default: equal.
        shrinkage: factors of the network's answer, `(*SHRINKAGE_KNOTS, d)`: for shares of the row that are given, from
            none to all, for noise levels, from sigma_min to sigma_max in equal steps of the logarithm, and for each
            number (each direction of the reference where all are queried); default: 1. See
            `shrinkage.fit_shrinkage`.
        sigma_min: least sigma / alpha that training covers.
        sigma_max: greatest.
        code_table: of combinations of codes, see `CodeTable`; default: the network alone.
        code_gains: powers of what the network says of codes beside their frequencies, `(CODE_KNOTS, codes)`; default:
            1. See `code_gains.fit_code_gains`.
        level_density: of the levels at which log-densities of rows are integrated, see `level_density_of`.

    Example:
        >>> law = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None])
        >>> model = MaskedDenoiser(MaskedMLP(2, width=16, depth=1), law).eval()
        >>> model(torch.ones(1, 2), Level(1.0, 1.0)).x0.tolist()
        [[0.5, 0.5]]
    """

    log_frequencies: Tensor
    shrinkage: Tensor
    code_gains: Tensor

    def __init__(
        self,
        network: MaskedMLP,
        reference: GaussianMixture | None,
        log_frequencies: Tensor | None = None,
        *,
        shrinkage: Tensor | None = None,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        code_table: CodeTable | None = None,
        code_gains: Tensor | None = None,
        level_density: LevelDensity = USUAL,
    ) -> None:
        super().__init__()
        self.code_table, self.level_density = code_table, level_density
        d = network.dim
        if (reference is not None and reference.means.shape[1] != d) or (reference is None and d):
            raise ValueError(f"the reference must be a mixture in the network's {d} dimensions, got {reference}.")
        self.network, self.sigma_min, self.sigma_max = network, float(sigma_min), float(sigma_max)
        self.reference = None if reference is None else PartialMixture(reference)
        codes = sum(network.sizes)
        self.register_buffer("log_frequencies", torch.zeros(codes) if log_frequencies is None else log_frequencies)
        self.register_buffer(
            "shrinkage",
            torch.ones(*SHRINKAGE_KNOTS, d, dtype=torch.float64) if shrinkage is None else shrinkage.double(),
        )
        ones = torch.ones(CODE_KNOTS, len(network.sizes), dtype=torch.float64)
        self.register_buffer("code_gains", ones if code_gains is None else code_gains.double(), persistent=False)
        if reference is not None:
            self._total = reference.covariance
            self._variances, self._basis = torch.linalg.eigh(self._total)
            self._decompositions = _decompositions_of(reference)

    @property
    def mean(self) -> Tensor:
        """Of the reference, `(d,)` float64: what log-densities start from."""
        return self.law.mean

    @property
    def covariance(self) -> Tensor:
        """Of the reference, `(d, d)` float64."""
        return self.law.covariance

    @property
    def sigma_data(self) -> float:
        """Root mean square of the reference's standard deviations."""
        return float(self.covariance.diagonal().mean().sqrt()) if self.network.dim else 1.0

    def forward(
        self,
        x: Tensor,
        level: Level,
        condition: Tensor | None = None,
        targets: tuple[Tensor, Tensor] | None = None,
    ) -> Estimate | Tensor:
        """`E[x0 | x, given]` and `E[eps | x, given]` at x `(n, d)`; with the targets, the losses of training.

        Args:
            x: noised where queried; elsewhere answered as an independent standard normal.
            level: 0-d or `(n,)`.
            condition: `(n, d + codes)`: a number is given, NaN queried, infinity hidden; None: all numbers queried,
                the codes unknown.
            targets: noise `(n, d + codes)` and which codes count `(n, codes)`, where x is clean rows `(n, d + codes)`:
                the loss of each, `(n,)`, in place of the estimate. One entry for both lets wrappers of several
                processes see every parameter used.
        """
        if targets is not None and condition is not None:
            return self._losses(x, level, condition, *targets)
        check_batch("x", x)
        given = self.unknown(x) if condition is None else condition
        whole = self.pattern(given).queried.all(1)
        return answer_separately(whole, x, level, lambda x, level, rows: self._of_one_kind(x, level, given[rows]))

    def _of_one_kind(self, x: Tensor, level: Level, given: Tensor) -> Estimate:
        alpha, sigma = (expand(v, x).double() for v in level)
        pattern = self.pattern(given)
        residual = self.residual(x.double(), alpha, sigma, pattern)
        return self.corrected(x, level, self.raw(x, level, given), residual, pattern)

    def bound(self, given: Tensor, derivatives: bool = True) -> BoundDenoiser:
        """The model of rows whose condition is known, for many levels; see `BoundDenoiser`."""
        return BoundDenoiser(self, given, derivatives)

    def corrected(self, x: Tensor, level: Level, raw: Tensor, residual: Residual, pattern: Pattern) -> Estimate:
        """The reference's answer with the network's, raw `(n, d)`, added."""
        alpha, sigma = (expand(v, x).double() for v in level)
        change = self.change(level, raw, residual, pattern)
        estimate = Estimate(residual.estimate.x0 + change, residual.estimate.eps - alpha / sigma * change)
        if not pattern.whole:
            estimate = standard_normal_elsewhere(estimate, x.double(), alpha, sigma, pattern.queried)
        return Estimate(*(v.to(x.dtype) for v in estimate))

    def change(self, level: Level, raw: Tensor, residual: Residual, pattern: Pattern) -> Tensor:
        """What the network adds to the reference's `E[x0]`, `(n, d)`; without meaning where nothing is queried."""
        shrunk = residual._replace(scale=residual.scale * self.shrinkage_at(level, pattern))
        return shrunk.scaled(raw.double())

    def shrinkage_at(self, level: Level, pattern: Pattern) -> Tensor:
        """The factors of the network's answer, `(n, d)`: `shrinkage` interpolated between its knots."""
        return self.knot_weights(level, pattern) @ self.shrinkage.flatten(0, 1)

    def knot_weights(self, level: Level, pattern: Pattern) -> Tensor:
        """The weights `(n, knots)` of `shrinkage`: linear in log(sigma / alpha) and in the share that is given."""
        given, queried = pattern.given.sum(1).double(), pattern.queried.sum(1).double()
        share = given / (given + queried).clamp(min=1.0)
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        ratio = torch.as_tensor(level.log_ratio).double().to(share.device).expand(share.shape[0])
        by_level = interpolation_weights((ratio - low) / (high - low), self.shrinkage.shape[1])
        return (interpolation_weights(share, self.shrinkage.shape[0])[:, :, None] * by_level[:, None, :]).flatten(1)

    def raw(self, x: Tensor, level: Level, given: Tensor) -> Tensor:
        """The network's answer for the numbers, `(n, d)`."""
        return self._each(x, level, given)[0].mean(0)

    def _each(self, x: Tensor, level: Level, given: Tensor) -> tuple[Tensor, Tensor]:
        """The members' answers `(members, n, d)`, and the logits of their codes."""
        first = next(self.network.parameters())
        alpha, sigma = (expand(v, x).double() for v in level)
        small = (x / (alpha**2 + sigma**2).sqrt()).to(first.dtype)
        feature = level.log_ratio.to(device=x.device, dtype=first.dtype)
        raw, logits = self.network.each(small, feature, given.to(first.dtype))
        return raw, logits + self.log_frequencies

    def _losses(self, rows: Tensor, level: Level, given: Tensor, noise: Tensor, counted: Tensor) -> Tensor:
        """Of each row, the mean over the members while they train, of what they answer together otherwise."""
        d = self.network.dim
        raw, logits = self._each(self.noised(rows, level, given, noise).to(rows.dtype), level, given)
        if not self.training:
            raw, logits = raw.mean(0, keepdim=True), self.network.together(logits)[None]
        loss = self._code_losses(logits, rows[:, d:], counted)
        for index, answer, left in self.compared(rows, level, given, noise, raw):
            each = (answer - left).square().sum(-1).mean(0) / 2
            loss = loss.index_add(0, index, each)
        return loss

    def noised(self, rows: Tensor, level: Level, given: Tensor, noise: Tensor) -> Tensor:
        """The queried numbers with their noise, 0 elsewhere; float64 `(n, d)`."""
        d = self.network.dim
        alpha, sigma = (expand(v, rows).double() for v in level)
        clean = torch.nan_to_num(rows[:, :d]).double()
        return torch.where(self.pattern(given).queried, alpha * clean + sigma * noise[:, :d].double(), 0.0)

    def compared(
        self, rows: Tensor, level: Level, given: Tensor, noise: Tensor, raw: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The network's answers `(members, n, d)` and the targets that the reference leaves, in the same units.

        Yields:
            Which rows, `(m,)`; the answers `(members, m, d)`; what is left `(m, d)`. Both are 0 where not queried.
        """
        if not self.network.dim:
            return
        pattern, clean = self.pattern(given), torch.nan_to_num(rows[:, : self.network.dim]).double()
        x = self.noised(rows, level, given, noise)
        alpha, sigma = (expand(v, rows).double() for v in level)
        whole = pattern.queried.all(1)
        for index in (whole.nonzero()[:, 0], (~whole).nonzero()[:, 0]):
            if len(index):
                own, answer = Pattern(*(v[index] for v in pattern)), raw[:, index].double()
                with torch.no_grad():
                    residual = self.residual(x[index], rows_of(alpha, index), rows_of(sigma, index), own)
                    left = residual.unscaled(clean[index] - residual.estimate.x0)
                answer = answer if residual.basis is None else answer @ residual.basis
                yield index, torch.where(own.queried, answer, 0.0), torch.where(own.queried, left, 0.0)

    def _code_losses(self, logits: Tensor, codes: Tensor, counted: Tensor) -> Tensor:
        loss = logits.new_zeros(len(codes), dtype=torch.float64)
        for j, part in enumerate(logits.split(self.network.sizes, -1)):
            target = torch.where(counted[:, j], codes[:, j], 0).long()
            chosen = torch.log_softmax(part, -1).gather(-1, target.expand(len(part), -1)[..., None])[..., 0]
            loss = loss + torch.where(counted[:, j], -chosen.double().mean(0), 0.0)
        return loss

    def log_codes(self, given: Tensor) -> tuple[Tensor, ...]:
        """`log P(code = k | given)` of every code, `(n, K)` each, nothing noised being seen."""
        found = self.network_log_codes(given)
        return found if self.code_table is None else self.code_table.blended(found, given)

    def network_log_codes(self, given: Tensor, only: int | None = None) -> tuple[Tensor, ...]:
        """As `log_codes`, without the table of combinations; of one code alone if asked."""
        gains = (self.code_knot_weights(given) @ self.code_gains).split(1, 1)
        parts = list(zip(self._code_logits(given), self.split_log_frequencies(), gains, strict=True))
        asked = parts if only is None else [parts[only]]
        return tuple(
            torch.log_softmax(mean + gain * (torch.log_softmax(found, 1) - mean), 1) for found, mean, gain in asked
        )

    def split_log_frequencies(self) -> tuple[Tensor, ...]:
        """The normalised log-frequencies of every code, `(K,)` float64 each."""
        return tuple(torch.log_softmax(part, 0) for part in self.log_frequencies.double().split(self.network.sizes))

    def code_knot_weights(self, given: Tensor) -> Tensor:
        """The weights `(n, CODE_KNOTS)` of `code_gains`: linear in the share that is given.

        The first half of the knots is for rows of which codes alone are given, as where rows are drawn: the share is of
        the codes. The other half is for rows with a number given: of all of the row.
        """
        known, numbers = torch.isfinite(given), self.network.dim
        some = known[:, :numbers].any(1, keepdim=True)
        of_codes, of_all = (
            interpolation_weights(v.double().mean(1), CODE_KNOTS // 2) for v in (known[:, numbers:], known)
        )
        return torch.cat([of_codes * ~some, of_all * some], 1)

    def raw_log_codes(self, given: Tensor) -> tuple[Tensor, ...]:
        """As `log_codes`, by the network as it was trained."""
        return tuple(torch.log_softmax(part, 1) for part in self._code_logits(given))

    def _code_logits(self, given: Tensor) -> tuple[Tensor, ...]:
        first = next(self.network.parameters())
        logits = self.network.together(self.network.logits(given.to(first.dtype)) + self.log_frequencies)
        return logits.double().split(self.network.sizes, 1)

    def unknown(self, x: Tensor) -> Tensor:
        """The condition in which all numbers are queried and nothing is given, `(n, d + codes)`."""
        return x.new_full((len(x), self.network.dim + len(self.network.sizes)), torch.nan)

    def residual(self, x: Tensor, alpha: Tensor, sigma: Tensor, pattern: Pattern) -> Residual:
        """The reference's answer at x, and the scale of what it leaves; float64."""
        reference = self._partial
        if pattern.whole:
            level = Level(*(v.reshape(-1) if v.ndim else v for v in (alpha, sigma)))
            return Residual(reference.law(x, level), self._basis, self.scale_of_all(alpha, sigma))
        shared = self.decompositions[0].shared(pattern)
        index = [shared.nonzero()[:, 0], (~shared).nonzero()[:, 0]]
        parts = []
        for rows, answer in zip(index, (self._residual_shared, self._residual_alone), strict=True):
            if len(rows):
                own = Pattern(*(v[rows] for v in pattern))
                parts.append(answer(x[rows], rows_of(alpha, rows), rows_of(sigma, rows), own))
        x0, eps, scale = (torch.cat(values)[torch.cat(index).argsort()] for values in zip(*parts, strict=True))
        return Residual(Estimate(x0, eps), None, scale)

    def _residual_shared(
        self, x: Tensor, alpha: Tensor, sigma: Tensor, pattern: Pattern
    ) -> tuple[Tensor, Tensor, Tensor]:
        law, total = (cache.grouped(pattern) for cache in self.decompositions)
        return *law.estimate(x, alpha, sigma), safe_sqrt(total.posterior_variance(alpha, sigma))

    def _residual_alone(
        self, x: Tensor, alpha: Tensor, sigma: Tensor, pattern: Pattern
    ) -> tuple[Tensor, Tensor, Tensor]:
        seen = self._partial.component_estimates(x, alpha, sigma, pattern)
        return *combine_components(seen, x, alpha, sigma), self._scale_of_parts(alpha, sigma, pattern)

    @property
    def decompositions(self) -> tuple[DecompositionCache, DecompositionCache]:
        """The reference, and the Gaussian with its mean and covariance, for rows that share their patterns."""
        return self._decompositions

    def scale_of_all(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The standard deviation that a Gaussian with the mixture's covariance leaves, along its directions."""
        return (self._variances * sigma**2 / (alpha**2 * self._variances + sigma**2)).sqrt()

    def _scale_of_parts(self, alpha: Tensor, sigma: Tensor, pattern: Pattern) -> Tensor:
        """The posterior standard deviation of each coordinate of a Gaussian with the mixture's covariance."""
        root = precision_roots(alpha, sigma, pattern)
        factor = scaled_cholesky(self._total[None], root)[:, 0]
        half = torch.linalg.solve_triangular(factor, root[:, :, None] * self._total, upper=False)
        return safe_sqrt(self._total.diagonal() - half.square().sum(1))

    @property
    def basis(self) -> Tensor:
        """The directions of the Gaussian with the mixture's covariance, in columns `(d, d)`."""
        return self._basis

    @property
    def rows_at_once(self) -> int:
        """Rows whose layers and matrices for all components stay in a processor's cache: more take longer each."""
        members, _, width = self.network.inputs.weight.shape
        most = max(32, (1 << 20) // (members * width))
        return most if self.reference is None else max(32, min(most, (1 << 20) // self.law.means.numel()))

    def pattern(self, given: Tensor) -> Pattern:
        """What each number of each row is."""
        return Pattern.of(given[:, : self.network.dim].double())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MaskedDenoiser:
        """What torch calls to move a module: the reference moves along and stays in float64."""
        shrinkage, gains = self.shrinkage, self.code_gains
        super()._apply(fn, recurse)
        self.shrinkage = shrinkage.to(self.log_frequencies.device)
        self.code_gains = gains.to(self.log_frequencies.device)
        if self.reference is not None:
            device = self.log_frequencies.device
            self.reference = PartialMixture(self.law, device)
            self._decompositions = _decompositions_of(self.reference.law)
            self._total, self._variances, self._basis = (
                v.to(device) for v in (self._total, self._variances, self._basis)
            )
        return self

    @property
    def _partial(self) -> PartialMixture:
        if self.reference is None:
            raise ValueError("this model has codes only and no numbers to estimate; use log_codes.")
        return self.reference

    @property
    def law(self) -> GaussianMixture:
        """The reference."""
        return self._partial.law
