"""A Gaussian mixture given parts of rows, for rows of which many share a pattern: one decomposition a pattern."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield._tensor import rows_of
from scorefield.analytic.at_level import MixtureAtLevel
from scorefield.analytic.mixture import GaussianMixture
from scorefield.analytic.partial import GIVEN_NOISE, Pattern
from scorefield.core import Estimate

_MOST_NUMBERS = 1 << 25  # that are kept of decompositions: 256 MB
_FEW_ROWS = 4  # of a pattern: fewer are quicker one by one
_MANY_ROWS = 96  # of a pattern: matrices made for them at each level are worth it
_FEW_PATTERNS = 8  # are quicker one after another whatever their rows
_A_PATTERN = 23_000  # numbers of matrices of single rows that are read as fast as a pattern is answered


class Decomposition(NamedTuple):
    """The components conditional on a pattern, side by side; of K components, a coordinates queried, g given.

    Args:
        queried: which coordinates, `(a,)`.
        given: `(g,)`.
        basis: eigenvectors of the conditional covariances, `(a, K a)`.
        variances: their eigenvalues, `(K, a)`.
        slope: from what is given to the conditional means in the basis, `(g, K a)`.
        offset: the rest of these, `(K a,)`.
        white: from what is given to independent standard normals, `(g, K g)`.
        shift: to be taken off there, `(K g,)`.
        log_weights: `log w_k` with the normalising constant of what is given, `(K,)`.
        place: rows of the unit matrix, `(a, d)`: puts what is queried back among all coordinates.
    """

    queried: Tensor
    given: Tensor
    basis: Tensor
    variances: Tensor
    slope: Tensor
    offset: Tensor
    white: Tensor
    shift: Tensor
    log_weights: Tensor
    place: Tensor

    @staticmethod
    def of(law: GaussianMixture, queried: Tensor, given: Tensor) -> Decomposition:
        """Decompose a mixture for a pattern; float64."""
        (k, d), a, g = law.means.shape, len(queried), len(given)
        eye = torch.eye(d).to(law.means)
        covariance, log_weights = law.covariances[:, queried][:, :, queried], law.weights.log()
        white, regression = law.means.new_zeros(k, g, g), law.means.new_zeros(k, g, a)
        if g:
            factor = torch.linalg.cholesky(law.covariances[:, given][:, :, given] + GIVEN_NOISE**2 * eye[:g, :g])
            half = torch.linalg.solve_triangular(factor, law.covariances[:, given][:, :, queried], upper=False)
            white = torch.linalg.solve_triangular(factor, eye[:g, :g].expand(k, g, g), upper=False).mT
            covariance, regression = covariance - half.mT @ half, white @ half
            log_weights = log_weights - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        variances, basis = torch.linalg.eigh((covariance + covariance.mT) / 2) if a else (
            law.means.new_zeros(k, 0), covariance)  # fmt: skip
        slope, known = regression @ basis, law.means[:, given]
        offset = torch.einsum("ka,kae->ke", law.means[:, queried], basis) - torch.einsum("kg,kge->ke", known, slope)
        shift = torch.einsum("kg,kge->ke", known, white)
        sides = (v.permute(1, 0, 2).flatten(1) for v in (basis, slope, white))
        flat, slopes, whites = sides
        return Decomposition(queried, given, flat, variances.clamp(min=0.0), slopes, offset.reshape(-1), whites,
                    shift.reshape(-1), log_weights, eye[queried])  # fmt: skip

    @property
    def numbers(self) -> int:
        """How many are kept."""
        return sum(v.numel() for v in self)


class PatternRows(NamedTuple):
    """Rows of one pattern, with the mixture conditional on what is given in them.

    Args:
        rows: which of the batch, `(m,)`.
        decomposition: theirs.
        means: conditional, in the decomposition's basis, `(m, K, a)`.
        log_weights: `log w_k p_k(given)` up to a constant of the row, `(m, K)`.
    """

    rows: Tensor
    decomposition: Decomposition
    means: Tensor
    log_weights: Tensor

    @staticmethod
    def of(rows: Tensor, decomposition: Decomposition, value: Tensor) -> PatternRows:
        """Rows with these values `(m, d)`."""
        k, known = len(decomposition.log_weights), value[:, decomposition.given]
        means = (known @ decomposition.slope + decomposition.offset).unflatten(1, (k, len(decomposition.queried)))
        away = (known @ decomposition.white - decomposition.shift).unflatten(1, (k, len(decomposition.given)))
        return PatternRows(rows, decomposition, means, decomposition.log_weights - 0.5 * away.square().sum(-1))

    def _against_components(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is queried, its distance from the means over the variances, and `log w_k p_k` up to constants."""
        decomposition, (_, k, a) = self.decomposition, self.means.shape
        seen = x[:, decomposition.queried]
        z = (seen @ decomposition.basis).unflatten(1, (k, a)) - alpha[..., None] * self.means
        variance = (alpha**2)[..., None] * decomposition.variances + (sigma**2)[..., None]
        precise = z / variance
        return seen, precise, self.log_weights - 0.5 * ((z * precise).sum(-1) + variance.log().sum(-1))

    def log_density(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """`log p(queried | given)` of the noised x `(m, d)`, in nats, `(m,)`."""
        _, _, log_joint = self._against_components(x, alpha, sigma)
        constant = 0.5 * len(self.decomposition.queried) * math.log(2 * math.pi)
        return torch.logsumexp(log_joint, 1) - torch.logsumexp(self.log_weights, 1) - constant

    def estimate(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Estimate:
        """At x `(m, d)` and levels `(m, 1)` or 0-d, 0 where not queried."""
        decomposition = self.decomposition
        seen, precise, log_joint = self._against_components(x, alpha, sigma)
        share = torch.softmax(log_joint, 1)
        near = alpha >= sigma  # the smaller of the pair is summed, the other follows
        part = torch.where(
            near[..., None],
            sigma[..., None] * precise,
            self.means + alpha[..., None] * decomposition.variances * precise,
        )
        small = (share[..., None] * part).flatten(1) @ decomposition.basis.T
        x0 = torch.where(near, (seen - sigma * small) / torch.where(near, alpha, 1.0), small)
        eps = torch.where(near, small, (seen - alpha * small) / torch.where(near, 1.0, sigma))
        return Estimate(x0 @ decomposition.place, eps @ decomposition.place)

    def noise_at(self, s: float, law: GaussianMixture) -> Callable[[Tensor], Tensor]:
        """`E[eps | x, given]` at (1, s) of what is queried of x, `(m, a)`, of the mixture that was decomposed."""
        decomposition, queried = self.decomposition, self.decomposition.queried
        if len(self.rows) >= _MANY_ROWS and not len(decomposition.given):
            there = law.means[:, queried], law.covariances[:, queried][:, :, queried]
            return MixtureAtLevel(law.weights, *there, s).noise
        precision = 1 / (decomposition.variances + s**2)
        constant, back = self.log_weights + 0.5 * precision.log().sum(1), s * decomposition.basis.T

        def noise(seen: Tensor) -> Tensor:
            z = (seen @ decomposition.basis).view(self.means.shape).sub_(self.means)
            precise = z * precision
            share = torch.softmax(z.mul_(precise).sum(-1).mul_(-0.5).add_(constant), 1)
            return precise.mul_(share[..., None]).flatten(1) @ back

        return noise

    def posterior_variance(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The posterior variances `(m, d)` of the first component, 0 where not queried."""
        decomposition, a = self.decomposition, len(self.decomposition.queried)
        variance = decomposition.variances[0]
        spread = variance * sigma**2 / (alpha**2 * variance + sigma**2)
        return ((spread @ decomposition.basis[:, :a].square().T) @ decomposition.place).expand(len(self.rows), -1)


class GroupedRows(NamedTuple):
    """A batch of rows by their patterns: the mixture of each row's queried coordinates given its own.

    Args:
        pattern: of the rows.
        groups: the rows, each once.
    """

    pattern: Pattern
    groups: tuple[PatternRows, ...]

    @property
    def _back(self) -> Tensor:
        return torch.cat([s.rows for s in self.groups]).argsort()

    def estimate(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Estimate:
        """The mixture's estimate at x `(n, d)`, 0 where not queried; levels 0-d or `(n, 1)`; float64."""
        parts = [s.estimate(x[s.rows], rows_of(alpha, s.rows), rows_of(sigma, s.rows)) for s in self.groups]
        return Estimate(*(torch.cat(values)[self._back] for values in zip(*parts, strict=True)))

    def noise_at(self, s: float, law: GaussianMixture) -> Callable[[Tensor], Tensor]:
        """`E[eps | x, given]` at (1, s) of x, both `(n, d)`, 0 where not queried, of the mixture decomposed."""
        parts = [(own.rows[:, None], own.decomposition.queried, own.noise_at(s, law)) for own in self.groups]

        def noise(x: Tensor) -> Tensor:
            found = torch.zeros_like(x)
            for rows, queried, of_seen in parts:
                found[rows, queried] = of_seen(x[rows, queried])
            return found

        return noise

    def log_density(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """`log p(queried | given)` of the noised x `(n, d)`, in nats, `(n,)`."""
        parts = [s.log_density(x[s.rows], rows_of(alpha, s.rows), rows_of(sigma, s.rows)) for s in self.groups]
        return torch.cat(parts)[self._back]

    def posterior_variance(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The posterior variance of each coordinate under the first component, `(n, d)`."""
        parts = [s.posterior_variance(rows_of(alpha, s.rows), rows_of(sigma, s.rows)) for s in self.groups]
        return torch.cat(parts)[self._back]

    def rows(self, index: Tensor) -> GroupedRows:
        """Some of the rows."""
        place = index.new_full((len(self.pattern.queried), 2), -1)
        for j, own in enumerate(self.groups):
            place[own.rows] = torch.stack([torch.full_like(own.rows, j), torch.arange(len(own.rows)).to(own.rows)], 1)
        chosen = place[index]
        groups = []
        for j, own in enumerate(self.groups):
            rows = (chosen[:, 0] == j).nonzero()[:, 0]
            if len(rows):
                at = chosen[rows, 1]
                groups.append(PatternRows(rows, own.decomposition, own.means[at], own.log_weights[at]))
        return GroupedRows(Pattern(*(v[index] for v in self.pattern)), tuple(groups))


class DecompositionCache:
    """The decompositions of a mixture for the patterns used last, the oldest dropped first.

    Args:
        law: the mixture.
    """

    def __init__(self, law: GaussianMixture) -> None:
        self.law = law
        self._kept: OrderedDict[bytes, Decomposition] = OrderedDict()
        self._numbers = 0

    def shared(self, pattern: Pattern) -> Tensor:
        """Which rows, `(n,)` bool, are quicker answered by `grouped`: they share their pattern with others."""
        _, place, count = torch.unique(_bits(pattern), dim=0, return_inverse=True, return_counts=True)
        return (count >= _FEW_ROWS)[place] | (len(count) <= _FEW_PATTERNS)

    def grouping_pays(self, pattern: Pattern) -> bool:
        """Whether all rows are quicker answered by `grouped` than each with matrices of its own."""
        n, d = pattern.queried.shape
        count = torch.unique(_bits(pattern), dim=0, return_counts=True)[1]
        if len(count) <= _FEW_PATTERNS or bool((count >= _FEW_ROWS).all()):
            return True
        return len(count) * _A_PATTERN < n * self.law.means.numel() * d

    def grouped(self, pattern: Pattern) -> GroupedRows:
        """The rows by their patterns."""
        patterns, place = torch.unique(_bits(pattern), dim=0, return_inverse=True)
        groups = []
        for p, bits in enumerate(patterns):
            rows = (place == p).nonzero()[:, 0]
            groups.append(PatternRows.of(rows, self._decomposed(bits, pattern.queried.shape[1]), pattern.value[rows]))
        return GroupedRows(pattern, tuple(groups))

    def _decomposed(self, bits: Tensor, d: int) -> Decomposition:
        key = bits.cpu().numpy().tobytes()
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        decomposition = Decomposition.of(self.law, bits[:d].nonzero()[:, 0], bits[d:].nonzero()[:, 0])
        self._kept[key] = decomposition
        self._numbers += decomposition.numbers
        while self._numbers > _MOST_NUMBERS and len(self._kept) > 1:
            self._numbers -= self._kept.popitem(last=False)[1].numbers
        return decomposition


def _bits(pattern: Pattern) -> Tensor:
    return torch.cat([pattern.queried, pattern.given], 1)
