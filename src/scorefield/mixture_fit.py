"""A Gaussian mixture fitted to rows with holes: expectation maximisation with covariances held towards each other."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield._tensor import uniform
from scorefield.analytic.mixture import GaussianMixture
from scorefield.analytic.partial import PartialMixture, Pattern, Seen, roots, scaled_factor

COMPONENTS = (1, 2, 3, 5, 8, 12, 20, 40, 80, 160)
"""Numbers of components that `choose_mixture` tries, in this order, until they no longer help."""
_FEW = 8  # up to here every prior is tried; the most where rows have holes, which cost a matrix per row and component
PRIORS = ((5.0, 0.3), (30.0, 0.3), (150.0, 0.3), (5.0, 0.003), (30.0, 0.003), (150.0, 0.003))
"""Rows' worth of weight with which each covariance is held towards the pooled one, and the share of its diagonal in
that: much keeps correlations small that few rows suggest, little keeps columns that are nearly functions of others."""
_LOOSE = (5.0, 0.003)
_FLOOR = 1e-6  # variance, of standardised data, below which no direction goes
_MOST_ROWS = 10_000  # that a fit looks at: the reference is a start, the network learns from all rows
_MOST_WITH_HOLES = 1500


def fit_mixture(
    x: Tensor, components: int, shrinkage: float = 5.0, diagonal: float = 0.3, seed: int = 0, rounds: int = 60
) -> GaussianMixture:
    """The mixture of greatest penalised likelihood, by expectation maximisation from k-means++ seeds.

    Each covariance is the maximum of the posterior under an inverse Wishart prior around the pooled covariance of all
    components, off its diagonal reduced by the share `diagonal`, worth `shrinkage` rows: Fraley and Raftery (2007). A
    hole counts by its conditional mean and covariance (Ghahramani and Jordan 1994).

    Args:
        x: `(n, d)`, standardised, NaN where missing.
        components: K >= 1, at most n.
        shrinkage: in rows, > 0.
        diagonal: share, in [0, 1].
        seed: of the start.
        rounds: most rounds; fewer where the likelihood stands still.

    Example:
        >>> law = fit_mixture(torch.tensor([[-1.0], [-1.1], [1.0], [float("nan")], [1.1]]), 2)
        >>> law.means.flatten().sort().values.round().tolist()
        [-1.0, 1.0]
    """
    if x.ndim != 2 or not 1 <= components <= len(x):
        raise ValueError(f"fit_mixture needs x (n, d) and 1 to n components, got {tuple(x.shape)} and {components}.")
    z = x.double()
    share = _starting_shares(torch.nan_to_num(z), components, seed)
    pattern = Pattern(torch.zeros_like(z, dtype=torch.bool), torch.isfinite(z), torch.nan_to_num(z))
    filled, spread = z.nan_to_num()[:, None].expand(-1, components, -1), None
    if not bool(pattern.given.all()):
        spread = (~pattern.given).double()[:, None, :, None] * torch.eye(z.shape[1], dtype=z.dtype)
    last = -math.inf
    for _ in range(rounds):
        law = _maximised(share, filled, spread, shrinkage, diagonal)
        log_joint, filled, spread = _expected(law, z, pattern)
        total = float(torch.logsumexp(log_joint, 1).mean())
        share = torch.softmax(log_joint, 1)
        if total - last < 1e-3:
            break
        last = total
    return _maximised(share, filled, spread, shrinkage, diagonal)


def choose_mixture(x: Tensor, held: Tensor, seed: int = 0) -> GaussianMixture:
    """The mixture with the greatest log-density on held-out rows, over `COMPONENTS` and `PRIORS`.

    Args:
        x: `(n, d)`, NaN where missing; at most 10,000 of them are looked at.
        held: `(m, d)`.
        seed: of the starts and of the choice of rows.
    """
    order = uniform(len(x), (), seed, "mixture rows", dtype=torch.float64).argsort()
    holes = not bool(torch.isfinite(x).all())
    most = _MOST_WITH_HOLES if holes else _MOST_ROWS
    rows, test = x[order][torch.isfinite(x[order]).any(1)][:most], held[torch.isfinite(held).any(1)][:most]
    test = test if len(test) else rows
    best, prior = -math.inf, list(PRIORS)
    law = fit_mixture(rows, 1, *_LOOSE, seed)
    for components in COMPONENTS:
        needed = (10 if components <= _FEW else 50) * components  # rows
        if components > 1 and (len(rows) < needed or (holes and components > _FEW)):
            break
        found = [fit_mixture(rows, components, *p, seed) for p in prior]
        values = [float(log_densities(f, test).mean()) for f in found]
        place = values.index(max(values))
        if max(values) > best:
            best, law = max(values), found[place]
        elif components > 3:
            break
        if components >= _FEW:  # many components need many rows, which speak for themselves
            prior = sorted({prior[place], _LOOSE}) if components == _FEW else prior
    return law


def log_densities(law: GaussianMixture, x: Tensor) -> Tensor:
    """`log p` of what is there of each row, `(n,)`, in the mixture."""
    z = x.double()
    present = torch.isfinite(z)
    pattern = Pattern(torch.zeros_like(present), present, torch.nan_to_num(z))
    log_joint = _expected(law, z, pattern)[0]
    return torch.logsumexp(log_joint, 1)


def _maximised(
    share: Tensor, filled: Tensor, spread: Tensor | None, shrinkage: float, diagonal: float
) -> GaussianMixture:
    """The mixture for shares `(n, K)`, completed rows `(n, K, d)` and their covariances `(n, K, d, d)`."""
    count = share.sum(0) + 1e-9
    means = torch.einsum("nk,nkd->kd", share, filled) / count[:, None]
    centred = (filled - means) * share.sqrt()[..., None]
    scatter = torch.einsum("nkd,nke->kde", centred, centred)
    if spread is not None:
        scatter = scatter + torch.einsum("nk,nkde->kde", share, spread)
    pooled = scatter.sum(0) / len(share)
    target = (1 - diagonal) * pooled + diagonal * torch.diag(pooled.diagonal())
    covariances = (scatter + shrinkage * target) / (count + shrinkage)[:, None, None]
    covariances = (covariances + covariances.mT) / 2 + _FLOOR * torch.eye(means.shape[1], dtype=means.dtype)
    return GaussianMixture(count / count.sum(), means, covariances)


def _expected(law: GaussianMixture, x: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor, Tensor | None]:
    """Log joint `(n, K)`, and each row's completion and its covariance under each component."""
    n, d = x.shape
    if bool(pattern.given.all()):
        factor = torch.linalg.cholesky(law.covariances)
        z = torch.linalg.solve_triangular(factor, (x[:, None] - law.means).permute(1, 2, 0), upper=False)
        log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_joint = law.weights.log() - log_det - 0.5 * z.square().sum(1).T - 0.5 * d * math.log(2 * math.pi)
        return log_joint, x[:, None].expand(-1, len(law.weights), -1), None
    zero = x.new_zeros(())
    partial = PartialMixture(law)
    parts = [_completed(partial, zero, Pattern(*(v[rows] for v in pattern))) for rows in torch.arange(n).split(512)]
    log_joint, filled, spread = (torch.cat(v) for v in zip(*parts, strict=True))
    return log_joint, filled, spread


def _completed(partial: PartialMixture, zero: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor, Tensor]:
    law = partial.law
    one = zero + 1
    seen: Seen = partial.partly(pattern.value, one, one, pattern)
    root = roots(one, one, pattern)
    factor = scaled_factor(law.covariances, root)
    half = torch.linalg.solve_triangular(factor, root[:, None, :, None] * law.covariances, upper=False)
    spread = law.covariances - half.mT @ half
    # the density of what is given: what `partly` leaves out is the same for all components
    known = pattern.given.sum(1)
    constant = torch.where(pattern.given, root, 1.0).log().sum(1) - 0.5 * known * math.log(2 * math.pi)
    filled = torch.where(pattern.given[:, None], pattern.value[:, None], seen.x0)
    return seen.log_joint + constant[:, None], filled, spread


def _starting_shares(x: Tensor, components: int, seed: int) -> Tensor:
    """Hard shares from k-means: ten rounds from k-means++ seeds (Arthur and Vassilvitskii 2007)."""
    draws = uniform(components, (), seed, "mixture start", dtype=torch.float64)
    centres = x[int(float(draws[0]) * len(x))][None]
    for k in range(1, components):
        distance = torch.cdist(x, centres).min(1).values.square() + 1e-12
        place = torch.searchsorted(distance.cumsum(0) / distance.sum(), draws[k])
        centres = torch.cat([centres, x[int(place.clamp(max=len(x) - 1))][None]])
    for _ in range(10):
        nearest = torch.cdist(x, centres).argmin(1)
        hard = torch.nn.functional.one_hot(nearest, components).to(x)
        count = hard.sum(0)
        centres = torch.where(count[:, None] > 0, hard.T @ x / count.clamp(min=1)[:, None], centres)
    return hard
