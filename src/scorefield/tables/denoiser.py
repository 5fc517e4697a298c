"""A score model of rows of which any part may be given: a mixture of Gaussians, exact for every part, and a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from scorefield._tensor import check_batch, expand, rows_of
from scorefield.analytic.conditional import DecompositionCache
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
from scorefield.tables.network import MaskedMLP
from scorefield.tables.residual import Rest, by_kind, hats, root_of

GAINS = (3, 9)
"""Shares of what is given, and noise levels, for which it is known how far to believe the network in each number."""


class Bound:
    """A `MaskedDenoiser` with what is given in each row bound to it: matrices are decomposed once for all levels.

    `bound(x, level, index)` answers as the model does for the rows of that index, `(n,)`; None: for all.

    Args:
        model: of rows.
        given: `(n, d + codes)`, as the model's condition.
    """

    def __init__(self, model: MaskedDenoiser, given: Tensor) -> None:
        self.model, self.given = model, given
        self.sigma_min, self.sigma_max = model.sigma_min, model.sigma_max
        pattern = model.pattern(given)
        self._whole = pattern.asked.all(1)
        common = len(given) and bool(model.kinds[0].shared(pattern).all())
        self._law, self._total = (
            kinds.grouped(pattern) if common else ConditionedRows.of(kinds.law, pattern) for kinds in model.kinds
        )

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        index = torch.arange(len(self.given), device=x.device) if condition is None else condition
        return by_kind(self._whole[index], x, level, lambda x, level, rows: self._of_one_kind(x, level, index[rows]))

    def _of_one_kind(self, x: Tensor, level: Level, index: Tensor) -> Estimate:
        """The answer for rows of which all are asked for as a whole, or none."""
        if bool(self._whole[index].all()):
            return self.model(x, level, self.given[index])
        given = self.given[index]
        return self.model.corrected(x, level, given, self.rest(x, level, index), self.model.pattern(given))

    def rest(self, x: Tensor, level: Level, index: Tensor) -> Rest:
        """The reference's answer for rows all of which are asked for as a whole, or none; see `Rest`."""
        alpha, sigma = (expand(v, x).double() for v in level)
        if bool(self._whole[index].all()):
            return self.model.rest(x.double(), alpha, sigma, self.model.pattern(self.given[index]))
        law, total = self._law.rows(index), self._total.rows(index)
        return Rest(law.estimate(x.double(), alpha, sigma), None, root_of(total.posterior_variance(alpha, sigma)))

    def change(self, x: Tensor, level: Level, index: Tensor, rest: Rest) -> Tensor:
        """What the network adds to the reference's `E[x0]`."""
        given = self.given[index]
        return self.model.change(x, level, given, rest, self.model.pattern(given))

    def reference_log_density(self, x: Tensor, level: Level, index: Tensor) -> Tensor:
        """`log p(asked | given)` of the reference noised to a level, at x `(n, d)`; rows as for `rest`."""
        if bool(self._whole[index].all()):
            return self.model.law.log_density(x.double(), level)
        return self._law.rows(index).log_density(x.double(), *(expand(v, x).double() for v in level))


def _kinds_of(law: GaussianMixture) -> tuple[DecompositionCache, DecompositionCache]:
    total = GaussianMixture(torch.ones_like(law.weights[:1]), law.mean[None], law.covariance[None])
    return DecompositionCache(law), DecompositionCache(total)


class MaskedDenoiser(nn.Module):
    """The model of rows `(n, d)` of numbers, beside codes, any of which may be given: `model(x, level, given)`.

    `E[x0 | x, given]` is that of a Gaussian mixture, the reference, exact for every pattern of what is given, plus the
    network's answer in units of the standard deviation which the reference leaves. An untrained network therefore is
    the mixture, and small data are fitted no worse than by it. Codes are answered by softmax heads, `log_codes`.

    Args:
        network: for d numbers and codes.
        reference: of the numbers; its dtype is float64. None where d = 0.
        log_frequencies: of the codes, side by side, where nothing is known; default: equal.
        gains: how much of the network's answer counts, `(*GAINS, d)`: for shares of the row that are given, from none
            to all, for noise levels, from sigma_min to sigma_max in equal steps of the logarithm, and for each number
            (each direction of the reference where all are asked for); default: all of it. See `gains.believed`.
        sigma_min: least sigma / alpha that training covers.
        sigma_max: greatest.

    Example:
        >>> law = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None])
        >>> model = MaskedDenoiser(MaskedMLP(2, width=16, depth=1), law).eval()
        >>> model(torch.ones(1, 2), Level(1.0, 1.0)).x0.tolist()
        [[0.5, 0.5]]
    """

    log_frequencies: Tensor
    gains: Tensor

    def __init__(
        self,
        network: MaskedMLP,
        reference: GaussianMixture | None,
        log_frequencies: Tensor | None = None,
        *,
        gains: Tensor | None = None,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
    ) -> None:
        super().__init__()
        d = network.dim
        if (reference is not None and reference.means.shape[1] != d) or (reference is None and d):
            raise ValueError(f"the reference must be a mixture in the network's {d} dimensions, got {reference}.")
        self.network, self.sigma_min, self.sigma_max = network, float(sigma_min), float(sigma_max)
        self.reference = None if reference is None else PartialMixture(reference)
        codes = sum(network.sizes)
        self.register_buffer("log_frequencies", torch.zeros(codes) if log_frequencies is None else log_frequencies)
        self.register_buffer("gains", torch.ones(*GAINS, d, dtype=torch.float64) if gains is None else gains.double())
        if reference is not None:
            self._total = reference.covariance
            self._variances, self._basis = torch.linalg.eigh(self._total)
            self._kinds = _kinds_of(reference)

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
        truth: tuple[Tensor, Tensor] | None = None,
    ) -> Estimate | Tensor:
        """`E[x0 | x, given]` and `E[eps | x, given]` at x `(n, d)`; with the truth, the losses of training.

        Args:
            x: noised where asked for; elsewhere answered as an independent standard normal.
            level: 0-d or `(n,)`.
            condition: `(n, d + codes)`: a number is given, NaN asked for, infinity hidden; None: all numbers asked for,
                the codes unknown.
            truth: noise `(n, d + codes)` and which codes count `(n, codes)`, where x is clean rows `(n, d + codes)`:
                the loss of each, `(n,)`, in place of the estimate. One entry for both lets wrappers of several
                processes see every parameter used.
        """
        if truth is not None and condition is not None:
            return self._losses(x, level, condition, *truth)
        check_batch("x", x)
        given = self.unknown(x) if condition is None else condition
        whole = self.pattern(given).asked.all(1)
        return by_kind(whole, x, level, lambda x, level, rows: self._of_one_kind(x, level, given[rows]))

    def _of_one_kind(self, x: Tensor, level: Level, given: Tensor) -> Estimate:
        alpha, sigma = (expand(v, x).double() for v in level)
        pattern = self.pattern(given)
        return self.corrected(x, level, given, self.rest(x.double(), alpha, sigma, pattern), pattern)

    def bound(self, given: Tensor) -> Bound:
        """The model of rows whose condition is known, for many levels."""
        return Bound(self, given)

    def corrected(self, x: Tensor, level: Level, given: Tensor, rest: Rest, pattern: Pattern) -> Estimate:
        """The reference's answer with the network's added."""
        alpha, sigma = (expand(v, x).double() for v in level)
        change = self.change(x, level, given, rest, pattern)
        estimate = Estimate(rest.estimate.x0 + change, rest.estimate.eps - alpha / sigma * change)
        if not pattern.whole:
            estimate = standard_normal_elsewhere(estimate, x.double(), alpha, sigma, pattern.asked)
        return Estimate(*(v.to(x.dtype) for v in estimate))

    def change(self, x: Tensor, level: Level, given: Tensor, rest: Rest, pattern: Pattern) -> Tensor:
        """What the network adds to the reference's `E[x0]`, `(n, d)`; of what is not asked for without meaning."""
        believed = rest._replace(scale=rest.scale * self.trust(level, pattern))
        return believed.scaled(self.raw(x, level, given).double())

    def trust(self, level: Level, pattern: Pattern) -> Tensor:
        """By what the network's answer is multiplied, `(n, d)`: `gains` between their knots."""
        return self.knots(level, pattern) @ self.gains.flatten(0, 1)

    def knots(self, level: Level, pattern: Pattern) -> Tensor:
        """The weights `(n, knots)` of `gains` for rows: hats in log(sigma / alpha) and in the share that is given."""
        given, asked = pattern.given.sum(1).double(), pattern.asked.sum(1).double()
        share = given / (given + asked).clamp(min=1.0)
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        ratio = torch.as_tensor(level.log_ratio).double().to(share.device).expand(len(share))
        by_level = hats((ratio - low) / (high - low), self.gains.shape[1])
        return (hats(share, self.gains.shape[0])[:, :, None] * by_level[:, None, :]).flatten(1)

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
        """The numbers that are asked for with their noise, 0 elsewhere; float64 `(n, d)`."""
        d = self.network.dim
        alpha, sigma = (expand(v, rows).double() for v in level)
        clean = torch.nan_to_num(rows[:, :d]).double()
        return torch.where(self.pattern(given).asked, alpha * clean + sigma * noise[:, :d].double(), 0.0)

    def compared(
        self, rows: Tensor, level: Level, given: Tensor, noise: Tensor, raw: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The network's answers `(members, n, d)` beside what the reference leaves of rows, in the units of both.

        Yields:
            Which rows, `(m,)`; the answers `(members, m, d)`; what is left `(m, d)`. Both are 0 where not asked for.
        """
        if not self.network.dim:
            return
        pattern, clean = self.pattern(given), torch.nan_to_num(rows[:, : self.network.dim]).double()
        x = self.noised(rows, level, given, noise)
        alpha, sigma = (expand(v, rows).double() for v in level)
        whole = pattern.asked.all(1)
        for index in (whole.nonzero()[:, 0], (~whole).nonzero()[:, 0]):
            if len(index):
                own, answer = Pattern(*(v[index] for v in pattern)), raw[:, index].double()
                with torch.no_grad():
                    rest = self.rest(x[index], rows_of(alpha, index), rows_of(sigma, index), own)
                    left = rest.unscaled(clean[index] - rest.estimate.x0)
                answer = answer if rest.basis is None else answer @ rest.basis
                yield index, torch.where(own.asked, answer, 0.0), torch.where(own.asked, left, 0.0)

    def _code_losses(self, logits: Tensor, codes: Tensor, counted: Tensor) -> Tensor:
        loss = logits.new_zeros(len(codes), dtype=torch.float64)
        for j, part in enumerate(logits.split(self.network.sizes, -1)):
            target = torch.where(counted[:, j], codes[:, j], 0).long()
            chosen = torch.log_softmax(part, -1).gather(-1, target.expand(len(part), -1)[..., None])[..., 0]
            loss = loss + torch.where(counted[:, j], -chosen.double().mean(0), 0.0)
        return loss

    def log_codes(self, given: Tensor) -> tuple[Tensor, ...]:
        """`log P(code = k | given)` of every code, `(n, K)` each, nothing noised being seen."""
        first = next(self.network.parameters())
        logits = self.network.together(self.network.logits(given.to(first.dtype)) + self.log_frequencies)
        return tuple(torch.log_softmax(part.double(), 1) for part in logits.split(self.network.sizes, 1))

    def unknown(self, x: Tensor) -> Tensor:
        """The condition that asks for all numbers and knows nothing, `(n, d + codes)`."""
        return x.new_full((len(x), self.network.dim + len(self.network.sizes)), torch.nan)

    def rest(self, x: Tensor, alpha: Tensor, sigma: Tensor, pattern: Pattern) -> Rest:
        """The reference's answer at x, and the scale of what it leaves; float64."""
        reference = self._partial
        if pattern.whole:
            level = Level(*(v.reshape(-1) if v.ndim else v for v in (alpha, sigma)))
            return Rest(reference.law(x, level), self._basis, self._scale_of_all(alpha, sigma))
        shared = self.kinds[0].shared(pattern)
        index = [shared.nonzero()[:, 0], (~shared).nonzero()[:, 0]]
        parts = []
        for rows, answer in zip(index, (self._rest_shared, self._rest_alone), strict=True):
            if len(rows):
                own = Pattern(*(v[rows] for v in pattern))
                parts.append(answer(x[rows], rows_of(alpha, rows), rows_of(sigma, rows), own))
        x0, eps, scale = (torch.cat(values)[torch.cat(index).argsort()] for values in zip(*parts, strict=True))
        return Rest(Estimate(x0, eps), None, scale)

    def _rest_shared(self, x: Tensor, alpha: Tensor, sigma: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor, Tensor]:
        law, total = (kinds.grouped(pattern) for kinds in self.kinds)
        return *law.estimate(x, alpha, sigma), root_of(total.posterior_variance(alpha, sigma))

    def _rest_alone(self, x: Tensor, alpha: Tensor, sigma: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor, Tensor]:
        seen = self._partial.component_estimates(x, alpha, sigma, pattern)
        return *combine_components(seen, x, alpha, sigma), self._scale_of_parts(alpha, sigma, pattern)

    @property
    def kinds(self) -> tuple[DecompositionCache, DecompositionCache]:
        """The reference, and the Gaussian with its mean and covariance, for rows that share their patterns."""
        return self._kinds

    def _scale_of_all(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return (self._variances * sigma**2 / (alpha**2 * self._variances + sigma**2)).sqrt()

    def _scale_of_parts(self, alpha: Tensor, sigma: Tensor, pattern: Pattern) -> Tensor:
        """The posterior standard deviation of each coordinate of a Gaussian with the mixture's covariance."""
        root = precision_roots(alpha, sigma, pattern)
        factor = scaled_cholesky(self._total[None], root)[:, 0]
        half = torch.linalg.solve_triangular(factor, root[:, :, None] * self._total, upper=False)
        return root_of(self._total.diagonal() - half.square().sum(1))

    @property
    def rows_at_once(self) -> int:
        """Rows whose matrices for all components stay in a processor's cache: more at a time take longer each."""
        if self.reference is None:
            return 4096
        return max(32, (1 << 20) // self.law.means.numel())

    def pattern(self, given: Tensor) -> Pattern:
        """What each number of each row is."""
        return Pattern.of(given[:, : self.network.dim].double())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MaskedDenoiser:
        """What torch calls to move a module: the reference moves along and stays in float64."""
        gains = self.gains
        super()._apply(fn, recurse)
        self.gains = gains.to(self.log_frequencies.device)
        if self.reference is not None:
            device = self.log_frequencies.device
            self.reference = PartialMixture(self.law, device)
            self._kinds = _kinds_of(self.reference.law)
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
