"""A Gaussian mixture given parts of rows, for rows of which many share their pattern: one decomposition for each."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield._tensor import rows_of
from scorefield.analytic.mixture import GaussianMixture
from scorefield.analytic.partial import GIVEN_NOISE, Pattern
from scorefield.core import Estimate

_MOST_NUMBERS = 1 << 25  # that are kept of decompositions: 256 MB
_FEW_ROWS = 4  # of a pattern: fewer are quicker one by one
_FEW_PATTERNS = 8  # are quicker one after another whatever their rows


class Kind(NamedTuple):
    """The components conditional on a pattern, side by side; of K components, a coordinates asked for, g given.

    Args:
        asked: which coordinates, `(a,)`.
        given: `(g,)`.
        basis: eigenvectors of the conditional covariances, `(a, K a)`.
        variances: their eigenvalues, `(K, a)`.
        slope: from what is given to the conditional means in the basis, `(g, K a)`.
        offset: the rest of these, `(K a,)`.
        white: from what is given to independent standard normals, `(g, K g)`.
        shift: to be taken off there, `(K g,)`.
        log_weights: `log w_k` with the normalising constant of what is given, `(K,)`.
        place: rows of the unit matrix, `(a, d)`: puts what is asked for back among all coordinates.
    """

    asked: Tensor
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
    def of(law: GaussianMixture, asked: Tensor, given: Tensor) -> Kind:
        """Decompose a mixture for a pattern; float64."""
        (k, d), a, g = law.means.shape, len(asked), len(given)
        eye = torch.eye(d).to(law.means)
        covariance, log_weights = law.covariances[:, asked][:, :, asked], law.weights.log()
        white, regression = law.means.new_zeros(k, g, g), law.means.new_zeros(k, g, a)
        if g:
            factor = torch.linalg.cholesky(law.covariances[:, given][:, :, given] + GIVEN_NOISE**2 * eye[:g, :g])
            half = torch.linalg.solve_triangular(factor, law.covariances[:, given][:, :, asked], upper=False)
            white = torch.linalg.solve_triangular(factor, eye[:g, :g].expand(k, g, g), upper=False).mT
            covariance, regression = covariance - half.mT @ half, white @ half
            log_weights = log_weights - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        variances, basis = torch.linalg.eigh((covariance + covariance.mT) / 2) if a else (
            law.means.new_zeros(k, 0), covariance)  # fmt: skip
        slope, known = regression @ basis, law.means[:, given]
        offset = torch.einsum("ka,kae->ke", law.means[:, asked], basis) - torch.einsum("kg,kge->ke", known, slope)
        shift = torch.einsum("kg,kge->ke", known, white)
        sides = (v.permute(1, 0, 2).flatten(1) for v in (basis, slope, white))
        flat, slopes, whites = sides
        return Kind(asked, given, flat, variances.clamp(min=0.0), slopes, offset.reshape(-1), whites,
                    shift.reshape(-1), log_weights, eye[asked])  # fmt: skip

    @property
    def numbers(self) -> int:
        """How many are kept."""
        return sum(v.numel() for v in self)


class Slice(NamedTuple):
    """Rows of one kind, with what is given in them worked in.

    Args:
        rows: which of the batch, `(m,)`.
        kind: theirs.
        means: conditional, in the kind's basis, `(m, K, a)`.
        log_weights: `log w_k p_k(given)` up to a constant of the row, `(m, K)`.
    """

    rows: Tensor
    kind: Kind
    means: Tensor
    log_weights: Tensor

    @staticmethod
    def of(rows: Tensor, kind: Kind, value: Tensor) -> Slice:
        """Rows with these values `(m, d)`."""
        k, known = len(kind.log_weights), value[:, kind.given]
        means = (known @ kind.slope + kind.offset).unflatten(1, (k, len(kind.asked)))
        away = (known @ kind.white - kind.shift).unflatten(1, (k, len(kind.given)))
        return Slice(rows, kind, means, kind.log_weights - 0.5 * away.square().sum(-1))

    def _seen(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is asked for, its distance from the means over the variances, and `log w_k p_k` up to constants."""
        kind, (_, k, a) = self.kind, self.means.shape
        seen = x[:, kind.asked]
        z = (seen @ kind.basis).unflatten(1, (k, a)) - alpha[..., None] * self.means
        variance = (alpha**2)[..., None] * kind.variances + (sigma**2)[..., None]
        precise = z / variance
        return seen, precise, self.log_weights - 0.5 * ((z * precise).sum(-1) + variance.log().sum(-1))

    def log_density(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """`log p(asked | given)` of the noised x `(m, d)`, in nats, `(m,)`."""
        _, _, log_joint = self._seen(x, alpha, sigma)
        constant = 0.5 * len(self.kind.asked) * math.log(2 * math.pi)
        return torch.logsumexp(log_joint, 1) - torch.logsumexp(self.log_weights, 1) - constant

    def estimate(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Estimate:
        """At x `(m, d)` and levels `(m, 1)` or 0-d, 0 where not asked for."""
        kind = self.kind
        seen, precise, log_joint = self._seen(x, alpha, sigma)
        share = torch.softmax(log_joint, 1)
        near = alpha >= sigma  # the smaller of the pair is summed, the other follows
        part = torch.where(
            near[..., None], sigma[..., None] * precise, self.means + alpha[..., None] * kind.variances * precise
        )
        small = (share[..., None] * part).flatten(1) @ kind.basis.T
        x0 = torch.where(near, (seen - sigma * small) / torch.where(near, alpha, 1.0), small)
        eps = torch.where(near, small, (seen - alpha * small) / torch.where(near, 1.0, sigma))
        return Estimate(x0 @ kind.place, eps @ kind.place)

    def left(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The posterior variances `(m, d)` of the first component, 0 where not asked for."""
        kind, a = self.kind, len(self.kind.asked)
        variance = kind.variances[0]
        spread = variance * sigma**2 / (alpha**2 * variance + sigma**2)
        return (spread.expand(len(self.rows), -1) @ kind.basis[:, :a].square().T) @ kind.place


class Grouped(NamedTuple):
    """A batch of rows by their patterns: the mixture of each row's asked coordinates given its own.

    Args:
        pattern: of the rows.
        slices: the rows, each once.
    """

    pattern: Pattern
    slices: tuple[Slice, ...]

    @property
    def _back(self) -> Tensor:
        return torch.cat([s.rows for s in self.slices]).argsort()

    def estimate(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Estimate:
        """The mixture's answer at x `(n, d)`, 0 where not asked for; levels 0-d or `(n, 1)`; float64."""
        parts = [s.estimate(x[s.rows], rows_of(alpha, s.rows), rows_of(sigma, s.rows)) for s in self.slices]
        return Estimate(*(torch.cat(values)[self._back] for values in zip(*parts, strict=True)))

    def log_density(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """`log p(asked | given)` of the noised x `(n, d)`, in nats, `(n,)`."""
        parts = [s.log_density(x[s.rows], rows_of(alpha, s.rows), rows_of(sigma, s.rows)) for s in self.slices]
        return torch.cat(parts)[self._back]

    def left(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The posterior variance of each coordinate under the first component, `(n, d)`."""
        parts = [s.left(rows_of(alpha, s.rows), rows_of(sigma, s.rows)) for s in self.slices]
        return torch.cat(parts)[self._back]

    def rows(self, index: Tensor) -> Grouped:
        """Some of the rows."""
        place = index.new_full((len(self.pattern.asked), 2), -1)
        for j, own in enumerate(self.slices):
            place[own.rows] = torch.stack([torch.full_like(own.rows, j), torch.arange(len(own.rows)).to(own.rows)], 1)
        chosen = place[index]
        slices = []
        for j, own in enumerate(self.slices):
            rows = (chosen[:, 0] == j).nonzero()[:, 0]
            if len(rows):
                at = chosen[rows, 1]
                slices.append(Slice(rows, own.kind, own.means[at], own.log_weights[at]))
        return Grouped(Pattern(*(v[index] for v in self.pattern)), tuple(slices))


class Kinds:
    """The decompositions of a mixture for the patterns that were asked for last.

    Args:
        law: the mixture.
    """

    def __init__(self, law: GaussianMixture) -> None:
        self.law = law
        self._kept: OrderedDict[bytes, Kind] = OrderedDict()
        self._numbers = 0

    def shared(self, pattern: Pattern) -> Tensor:
        """Which rows, `(n,)` bool, are quicker answered by `grouped`: they share their pattern with others."""
        _, place, count = torch.unique(_bits(pattern), dim=0, return_inverse=True, return_counts=True)
        return (count >= _FEW_ROWS)[place] | (len(count) <= _FEW_PATTERNS)

    def grouped(self, pattern: Pattern) -> Grouped:
        """The rows by their patterns."""
        patterns, place = torch.unique(_bits(pattern), dim=0, return_inverse=True)
        slices = []
        for p, bits in enumerate(patterns):
            rows = (place == p).nonzero()[:, 0]
            slices.append(Slice.of(rows, self._kind(bits, pattern.asked.shape[1]), pattern.value[rows]))
        return Grouped(pattern, tuple(slices))

    def _kind(self, bits: Tensor, d: int) -> Kind:
        key = bits.cpu().numpy().tobytes()
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        kind = Kind.of(self.law, bits[:d].nonzero()[:, 0], bits[d:].nonzero()[:, 0])
        self._kept[key] = kind
        self._numbers += kind.numbers
        while self._numbers > _MOST_NUMBERS and len(self._kept) > 1:
            self._numbers -= self._kept.popitem(last=False)[1].numbers
        return kind


def _bits(pattern: Pattern) -> Tensor:
    return torch.cat([pattern.asked, pattern.given], 1)
