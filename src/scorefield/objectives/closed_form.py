"""Score matching solved exactly, where its loss is quadratic in the parameters, with sandwich standard errors.

For a score linear in theta, `s(x) = grad theta . T(x)`, Hyvarinen's loss `tr(J) + |s|^2 / 2` is
`theta . b + theta . G theta / 2` with `G = E[grad T grad T^T]` and `b = E[laplacian T]`: its minimiser is
`-G^-1 b`, and no normalising constant is needed (Hyvarinen 2005, 2007). On a support with an edge, or a curved one, the
field v of `objectives.supports` takes a gradient's place: `G = E[<grad T, v>]`, `b = E[div v]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield._tensor import check_batch, check_real
from scorefield.analytic import Gaussian
from scorefield.objectives.supports import Everywhere, Support

Statistics = Callable[[Tensor], Tensor]

EVERYWHERE = Everywhere()
"""The default support."""
_ROWS = 1 << 22  # numbers in one intermediate tensor of the derivatives


@dataclass(frozen=True, eq=False)
class GaussianFit:
    """A Gaussian fitted by score matching; the errors are sandwich ones, right for data that are not Gaussian too.

    Args:
        mean: `(d,)`, float64.
        precision: `(d, d)`: the inverse covariance.
        mean_error: standard errors `(d,)`.
        precision_error: standard errors `(d, d)`.
    """

    mean: Tensor
    precision: Tensor
    mean_error: Tensor
    precision_error: Tensor

    def __repr__(self) -> str:
        return f"GaussianFit({len(self.mean)} dimensions)"

    @property
    def law(self) -> Gaussian:
        """The fitted Gaussian: a model."""
        return Gaussian(self.mean, torch.linalg.inv(self.precision))

    def score(self, x: Tensor) -> Tensor:
        """`-precision (x - mean)`, `(n, d) -> (n, d)`."""
        return (self.mean.to(x) - x) @ self.precision.to(x)

    def energy(self, x: Tensor) -> Tensor:
        """`(x - mean) . precision (x - mean) / 2`, `(n, d) -> (n,)`."""
        return -((x - self.mean.to(x)) * self.score(x)).sum(1) / 2


def gaussian(x: Tensor) -> GaussianFit:
    """The Gaussian that minimises the implicit loss: the sample's mean and inverse covariance (divided by n).

    Args:
        x: `(n, d)`, n > d.

    Raises:
        ValueError: when the sample covariance is singular.

    Example:
        >>> fit = gaussian(torch.tensor([[-1.0], [1.0]]))
        >>> fit.mean.tolist(), fit.precision.tolist()
        ([0.0], [[1.0]])
    """
    check_batch("x", x)
    check_real("x", x, dim=2)
    x = x.detach().double()
    n = len(x)
    mean = x.mean(0)
    centred = x - mean
    covariance = centred.T @ centred / n
    precision = positive_inverse(covariance, "the sample covariance", "columns")
    u = centred @ precision  # the influence of a sample on the precision is P - u u^T
    fourth = torch.einsum("ni,nj->ij", u.square(), u.square()) / n
    spread = (fourth - precision.square()).clamp(min=0)
    return GaussianFit(mean, precision, (covariance.diagonal() / n).sqrt(), (spread / n).sqrt())


@dataclass(frozen=True, eq=False)
class ExponentialFamilyFit:
    """`p(x) ~ exp(theta . T(x))` fitted by score matching.

    Args:
        theta: `(k,)`, float64.
        covariance: of theta, `(k, k)`: the sandwich `G^-1 Omega G^-1 / n`, right whether or not the family holds the
            truth.
        statistics: T.
        loss: at theta, the mean over the samples, without the ridge.
        optimism: `tr(Omega G^-1) / n`: what the loss is too low by for having been fitted (Matsuda, Uehara and
            Hyvarinen 2021).
    """

    theta: Tensor
    covariance: Tensor
    statistics: Statistics
    loss: float = math.nan
    optimism: float = math.nan

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{t:.4g} +- {e:.2g}" for t, e in zip(self.theta.tolist(), self.standard_error.tolist(), strict=True)
        )
        return f"ExponentialFamilyFit(theta = {shown})"

    @property
    def standard_error(self) -> Tensor:
        """Of theta, `(k,)`."""
        return root_of_variances(self.covariance)

    def energy(self, x: Tensor) -> Tensor:
        """`-theta . T(x)`, `(n, *shape) -> (n,)`."""
        values = self.statistics(x)
        return -values @ self.theta.to(values)

    def score(self, x: Tensor) -> Tensor:
        """`grad theta . T(x)`, `(n, *shape) -> (n, *shape)`."""
        return -torch.func.grad(lambda z: self.energy(z).sum())(x)


def exponential_family(
    x: Tensor,
    statistics: Statistics,
    ridge: float = 0.0,
    *,
    weights: Tensor | None = None,
    support: Support = EVERYWHERE,
    names: Sequence[str] = (),
) -> ExponentialFamilyFit:
    """Fit `log p(x) = theta . T(x) - constant` by the exact minimiser of the implicit (or generalised) loss.

    `theta = -(G + ridge)^-1 b`. Without a support, right for densities that vanish at the border of their domain; with
    one, whatever they do there.

    Args:
        x: samples, `(n, *shape)`; worked on in float64.
        statistics: T, `(n, *shape) -> (n, k)`, each sample by itself, twice differentiable by `torch.func`; no
            statistic may be constant (it carries no score) or a combination of the others.
        ridge: adds `ridge |theta|^2 / 2` to the loss, >= 0.
        weights: of the samples, `(n,)`, >= 0, made to sum to 1; default: equal.
        support: of the data, of `objectives.supports`; default: everywhere.
        names: of the statistics, for errors.

    Raises:
        ValueError: when the statistics' gradients are linearly dependent on these samples; for a sample on or beyond
            the edge of the support, with its row and column.

    Example:
        >>> x = torch.tensor([[-1.0], [0.0], [1.0]])
        >>> exponential_family(x, lambda x: torch.cat([x, -(x**2) / 2], 1)).theta.round(decimals=6).tolist()
        [0.0, 1.5]
    """
    if not (math.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge must be finite and >= 0, got {ridge}.")
    w, gradients, fields, divergences = _rows(x, statistics, weights, support)
    k = divergences.shape[1]
    identity = torch.eye(k, dtype=w.dtype, device=w.device)
    G = torch.einsum("n,nid,njd->ij", w, gradients, fields) + ridge * identity
    inverse = positive_inverse((G + G.T) / 2, "the matrix E[grad T grad T^T]", "statistics", names)
    theta = -inverse @ (w @ divergences)
    each = torch.einsum("nid,njd,j->ni", gradients, fields, theta) + divergences + ridge * theta
    omega = (w.square()[:, None] * each).T @ each
    loss = theta @ (G - ridge * identity) @ theta / 2 + theta @ (w @ divergences)
    optimism = float((inverse * omega).sum())
    return ExponentialFamilyFit(theta, inverse @ omega @ inverse, statistics, float(loss), optimism)


def score_test(
    x: Tensor,
    statistics: Statistics,
    values: Mapping[int, float],
    *,
    weights: Tensor | None = None,
    support: Support = EVERYWHERE,
) -> float:
    """The p-value of the score test that some theta have these values; the others are fitted with them.

    With u the loss's slope per sample there, S the tested and R the other parameters, `e = u_S - G_SR G_RR^-1 u_R` and
    `mean(e) . Var(mean(e))^-1 mean(e)` is chi-squared with as many degrees of freedom as there are values. The variance
    is that under the hypothesis, where Wald's test takes it at the estimate (Boos 1992).

    Args:
        x: samples, `(n, *shape)`, as for `exponential_family`.
        statistics: T, likewise.
        values: of theta, by its place from 0 to k - 1; at least one.
        weights: of the samples, `(n,)`.
        support: of the data.

    Raises:
        ValueError: for a place that there is not; see also `exponential_family`.

    Example:
        >>> x = torch.special.ndtri(torch.linspace(0.01, 0.99, 99))[:, None]
        >>> family = lambda x: torch.cat([x, -(x**2) / 2], 1)
        >>> round(score_test(x, family, {0: 0.0}), 6), score_test(x + 1, family, {0: 0.0}) < 1e-6
        (1.0, True)
    """
    w, gradients, fields, divergences = _rows(x, statistics, weights, support)
    k = divergences.shape[1]
    if not values or not all(0 <= place < k for place in values):
        raise ValueError(f"score_test(values=...) takes places from 0 to {k - 1}, got {sorted(values)}.")
    G = torch.einsum("n,nid,njd->ij", w, gradients, fields)
    G = (G + G.T) / 2
    tested = torch.tensor(sorted(values))
    other = torch.tensor([place for place in range(k) if place not in values], dtype=torch.long)
    theta = w.new_zeros(k)
    theta[tested] = w.new_tensor([values[place] for place in sorted(values)])
    each = torch.einsum("nid,njd,j->ni", gradients, fields, theta) + divergences
    if len(other):
        inverse = positive_inverse(G[other][:, other], "the matrix E[grad T grad T^T]", "statistics")
        theta[other] = -inverse @ (w @ each[:, other])
        each = torch.einsum("nid,njd,j->ni", gradients, fields, theta) + divergences
        each = each[:, tested] - each[:, other] @ inverse @ G[other][:, tested]
    mean = w @ each
    spread = (w.square()[:, None] * each).T @ each
    square = mean @ positive_inverse(spread, "the variance of the tested slopes", "tested statistics") @ mean
    half = torch.tensor(len(tested) / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(half, square.cpu() / 2))


def _rows(
    x: Tensor, statistics: Statistics, weights: Tensor | None, support: Support
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Checked: weights that sum to 1, and `derivatives`."""
    check_batch("x", x)
    check_real("x", x)
    x = x.detach().double()
    support.check(x)
    return (normalised_weights(weights, x), *derivatives(statistics, support, x))


def derivatives(statistics: Statistics, support: Support, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each statistic the gradient, its field, both `(n, k, d)`, and that one's divergence `(n, k)`."""
    shape, d = x.shape[1:], x[0].numel()
    k = _count(statistics(x[:1]))
    basis = torch.eye(d, dtype=x.dtype, device=x.device).reshape(d, *shape)

    def both(one: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients and fields `(k, *shape)` at one sample `(*shape)`."""
        at = support.nearest(one[None])
        gradients = torch.func.jacrev(lambda z: statistics(z[None])[0])(at[0])
        return gradients, torch.func.vmap(lambda u: support.field(at, u[None])[0])(gradients)

    def along(one: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def derivative(e: Tensor) -> Tensor:
            slope = torch.func.jvp(lambda y: both(y)[1], (one,), (e,))[1]
            return (slope * e).flatten(1).sum(1)

        gradients, fields = both(one)
        return gradients.flatten(1), fields.flatten(1), torch.func.vmap(derivative)(basis).sum(0)

    rows = max(1, _ROWS // (d * d * k))
    found = [torch.func.vmap(along)(part) for part in x.split(rows)]
    gradients, fields, divergences = (torch.cat(parts) for parts in zip(*found, strict=True))
    return gradients, fields, divergences


def root_of_variances(covariance: Tensor) -> Tensor:
    """Standard errors `(k,)`; a variance of 0 is rounded to either side of it, and is 0."""
    return covariance.diagonal().clamp(min=0).sqrt()


def _count(value: Tensor) -> int:
    if value.ndim != 2 or len(value) != 1:
        raise ValueError(f"statistics must map (n, *shape) to (n, k); for n = 1 it gave shape {tuple(value.shape)}.")
    return value.shape[1]


def normalised_weights(weights: Tensor | None, x: Tensor) -> Tensor:
    """`(n,)`, with the sum 1."""
    if weights is None:
        return x.new_full((len(x),), 1 / len(x))
    w = torch.as_tensor(weights).detach().to(x)
    if w.shape != (len(x),):
        raise ValueError(f"weights must be ({len(x)},), one for each row, got shape {tuple(w.shape)}.")
    wrong = ~((w >= 0) & torch.isfinite(w))
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise ValueError(f"weights must be >= 0 and finite, got {float(w[row]):g} in row {row}.")
    if not float(w.sum()) > 0:
        raise ValueError("weights must not all be 0.")
    return w / w.sum()


class SingularError(ValueError):
    """A matrix that must have an inverse has none."""


def positive_inverse(matrix: Tensor, what: str, parts: str, names: Sequence[str] = ()) -> Tensor:
    """The inverse of a symmetric positive definite matrix, checked after scaling its diagonal to 1.

    Args:
        matrix: `(k, k)`.
        what: it is, for the error.
        parts: what its rows stand for.
        names: of these, where they have names.

    Raises:
        SingularError: with the rows that depend on each other.
    """
    scale = matrix.diagonal().clamp(min=0).sqrt()
    if not bool((scale > 0).all()):
        index = int((scale == 0).nonzero()[0])
        which = names[index] if names else f"number {index}"
        raise SingularError(f"{what} is singular: of the {parts}, {which} is constant; leave it out.")
    scaled = matrix / scale[:, None] / scale
    values, vectors = torch.linalg.eigh(scaled)
    if not float(values[0]) > 1e-12 * float(values[-1]):
        raise SingularError(
            f"{what} is singular: some of the {len(matrix)} {parts} are combinations of the others on these samples "
            f"({_involved(vectors[:, values <= 1e-12 * values[-1]], names)}); leave some out or give more samples."
        )
    # by Cholesky's factor: of columns in units far apart each entry keeps its digits, where eigenvectors mix them
    return torch.cholesky_inverse(torch.linalg.cholesky(scaled)) / scale[:, None] / scale


def _involved(null: Tensor, names: Sequence[str], most: int = 8) -> str:
    """The rows of a matrix that take part in its null space `(k, m)`, in words."""
    share = null.square().sum(1)
    places = (share > 1e-6 * share.max()).nonzero()[:, 0].tolist()
    shown = ", ".join(names[k] if names else str(k) for k in places[:most])
    return f"{'' if names else 'numbers '}{shown}{f' and {len(places) - most} more' if len(places) > most else ''}"
