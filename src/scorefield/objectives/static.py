"""Objectives for a static score: explicit, implicit, generalised, sliced, finite-difference sliced, denoising."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield._tensor import check_batch, expand, sum_rest
from scorefield.core import StaticScore
from scorefield.numerics.divergence import ProbeKind, hutchinson, jacobian_trace, probe
from scorefield.numerics.random import noise_like
from scorefield.objectives.supports import Support


def explicit(score: StaticScore, x: Tensor, true_score: StaticScore) -> Tensor:
    """`|score(x) - true_score(x)|^2 / 2`: half the Fisher divergence, sample by sample.

    Args:
        score: `(n, *shape) -> (n, *shape)`.
        x: samples of the data, `(n, *shape)`.
        true_score: as score; of the law that x was drawn from.

    Returns:
        One loss per sample, `(n,)`.

    Example:
        >>> explicit(lambda x: -0.5 * x, torch.tensor([[2.0]]), lambda x: -x).tolist()
        [0.5]
    """
    check_batch("x", x)
    return sum_rest((_answer(score, x) - _answer(true_score, x)).square()) / 2


def implicit(
    score: StaticScore,
    x: Tensor,
    probes: int = 0,
    seed: int | torch.Generator | None = None,
    *,
    kind: ProbeKind = "rademacher",
    directions: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """`tr(J) + |score|^2 / 2` with J the Jacobian of the score (Hyvarinen 2005).

    In expectation the explicit loss less `E|true score|^2 / 2`: it needs no true score.

    Args:
        score: `(n, *shape) -> (n, *shape)`, each sample by itself, differentiable.
        x: samples of the data, `(n, *shape)`.
        probes: 0 for the exact trace (d derivatives of the score); otherwise the number of Hutchinson's probes.
        seed: an int or a torch.Generator, where probes are drawn.
        kind: of the probes.
        directions: the probes themselves, `(m, n, *shape)`, in place of drawn ones.
        chunk: for the exact trace, derivatives at a time: bounds the memory.

    Returns:
        One loss per sample, `(n,)`.

    Raises:
        TypeError: when probes are drawn without a seed.
        ValueError: for an unknown kind, or a negative number of probes.

    Example:
        >>> implicit(lambda x: -x, torch.tensor([[2.0, 0.0]])).tolist()
        [0.0]
    """
    check_batch("x", x)
    value, trace = _with_trace(score, x, directions, kind, probes, seed, "implicit", chunk)
    return trace + sum_rest(value.square()) / 2


def generalised(
    score: StaticScore,
    x: Tensor,
    support: Support,
    probes: int = 0,
    seed: int | torch.Generator | None = None,
    *,
    kind: ProbeKind = "rademacher",
    directions: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """`<score, v> / 2 + div v`, `v = support.field(x, score(x))`: implicit matching on supports with edges.

    In expectation `E<score - true, field of (score - true)> / 2` less a constant of the data, whatever the density does
    at the edge (Hyvarinen 2007; Liu, Kanamori and Williams 2022; on the sphere Mardia, Kent and Laha 2016).

    Args:
        score: `(n, *shape) -> (n, *shape)`, each sample by itself, differentiable; on a curved support any extension of
            the score to the space around it: what points away from the support does not count.
        x: samples of the data, `(n, *shape)`, inside of the support.
        support: of `objectives.supports`.
        probes: 0 for the exact divergence (d derivatives); otherwise the number of Hutchinson's probes.
        seed: as `implicit`; so are the options that follow.
        kind: of the probes.
        directions: the probes themselves.
        chunk: derivatives at a time.

    Returns:
        One loss per sample, `(n,)`.

    Raises:
        ValueError: for a point on or beyond the edge, named by its row and column.

    Example:
        >>> from scorefield.objectives.supports import Box
        >>> generalised(lambda x: -torch.ones_like(x), torch.tensor([[2.0]]), Box()).tolist()  # h = x^2: 4 / 2 - 2 * 2
        [-2.0]
    """
    check_batch("x", x)
    support.check(x)

    def field(y: Tensor) -> Tensor:
        at = support.nearest(y)
        return support.field(at, _answer(score, at))

    v, trace = _with_trace(field, x, directions, kind, probes, seed, "generalised", chunk)
    return trace + sum_rest(_answer(score, x) * v) / 2


def sliced(
    score: StaticScore,
    x: Tensor,
    projections: int = 1,
    kind: ProbeKind = "rademacher",
    variance_reduced: bool = True,
    seed: int | torch.Generator | None = None,
    *,
    directions: Tensor | None = None,
) -> Tensor:
    """`mean over v of v^T J v + (v . score)^2 / 2` (Song, Garg, Shi and Ermon 2019).

    Variance-reduced: `|score|^2 / 2` in place of `(v . score)^2 / 2`, which is its mean over v.

    Args:
        score: `(n, *shape) -> (n, *shape)`, each sample by itself, differentiable.
        x: samples of the data, `(n, *shape)`.
        projections: directions v per sample.
        kind: 'rademacher', 'gaussian' or 'sphere' (radius sqrt(d)), all with `E[v v^T] = I`.
        variance_reduced: see above.
        seed: an int or a torch.Generator.
        directions: the v themselves, `(m, n, *shape)`, in place of drawn ones.

    Returns:
        One loss per sample, `(n,)`.

    Raises:
        TypeError: without a seed, unless directions are given.
        ValueError: for an unknown kind.

    Example:
        >>> sliced(lambda x: -x, torch.tensor([[2.0, 0.0]]), seed=0).tolist()
        [0.0]
    """
    check_batch("x", x)
    v = _directions(directions, kind, projections, x, seed, "sliced")
    value, curvature = hutchinson(score, x, v)
    return (curvature + _half_square(value, v, variance_reduced)).mean(0)


def finite_difference_sliced(
    score: StaticScore,
    x: Tensor,
    step: float | None = None,
    projections: int = 1,
    seed: int | torch.Generator | None = None,
    *,
    kind: ProbeKind = "rademacher",
    variance_reduced: bool = True,
    directions: Tensor | None = None,
) -> Tensor:
    """Sliced matching without derivatives of the score, up to O(step^2) (Pang and others 2020).

    With `s+ = score(x + step v)` and `s- = score(x - step v)`: `v . (s+ - s-) / (2 step)` for the curvature,
    `(s+ + s-) / 2` for the score.

    Args:
        score: `(n, *shape) -> (n, *shape)`, evaluated twice per projection.
        x: samples of the data, `(n, *shape)`.
        step: in units of x, > 0. Default: the cube root of the rounding unit of x's dtype (0.005 in float32), where
            the errors of rounding and of the difference are about equal for data and scores of order 1.
        projections: directions v per sample.
        seed: an int or a torch.Generator.
        kind: as `sliced`.
        variance_reduced: as `sliced`.
        directions: as `sliced`.

    Returns:
        One loss per sample, `(n,)`.

    Raises:
        TypeError: without a seed, unless directions are given.
        ValueError: for an unknown kind, or a step that is not positive.

    Example:
        >>> finite_difference_sliced(lambda x: -x, torch.tensor([[2.0, 0.0]]), step=0.5, seed=0).tolist()
        [0.0]
    """
    check_batch("x", x)
    step = torch.finfo(x.dtype).eps ** (1 / 3) if step is None else step
    if not (math.isfinite(step) and step > 0):
        raise ValueError(f"step must be positive and finite, got {step}; leave it out for a default.")
    total = x.new_zeros(len(x))
    chosen = _directions(directions, kind, projections, x, seed, "finite-difference sliced")
    for v in chosen:
        above, below = _answer(score, x + step * v), _answer(score, x - step * v)
        curvature = sum_rest(v * (above - below)) / (2 * step)
        total = total + curvature + _half_square((above + below) / 2, v[None], variance_reduced)[0]
    return total / len(chosen)


def denoising(
    score: StaticScore,
    x: Tensor,
    sigma: float | Tensor,
    seed: int | torch.Generator | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """`|score(x + sigma eps) + eps / sigma|^2 / 2` (Vincent 2011).

    Its minimiser is the score of the *noised* data, its minimum `E|eps - E[eps|x]|^2 / (2 sigma^2)`, not 0: see
    `denoising_floor`.

    Args:
        score: `(n, *shape) -> (n, *shape)`.
        x: samples of the data, `(n, *shape)`.
        sigma: noise standard deviation, > 0; a number or `(n,)`.
        seed: an int or a torch.Generator.
        noise: eps itself, `(n, *shape)`, in place of a drawn one.

    Returns:
        One loss per sample, `(n,)`.

    Raises:
        TypeError: without a seed, unless noise is given.
        ValueError: for sigma that is not positive.

    Example:
        >>> x, eps = torch.tensor([[2.0]]), torch.tensor([[0.5]])
        >>> denoising(lambda x: 0 * x, x, sigma=1.0, noise=eps).tolist()
        [0.125]
    """
    check_batch("x", x)
    if not bool((torch.as_tensor(sigma) > 0).all()):
        raise ValueError(f"sigma must be positive, got {float(torch.as_tensor(sigma).min()):g}.")
    eps = drawn_noise(noise, x, seed, "denoising")
    scale = expand(sigma, x)
    return sum_rest((_answer(score, x + scale * eps) + eps / scale).square()) / 2


def drawn_noise(noise: Tensor | None, x: Tensor, seed: int | torch.Generator | None, purpose: str) -> Tensor:
    """Noise of x's shape: the given one, checked, or a fresh one."""
    if noise is None:
        return noise_like(x, seed, purpose)
    if noise.shape != x.shape:
        raise ValueError(f"noise must have x's shape {tuple(x.shape)}, got {tuple(noise.shape)}.")
    return noise


def _with_trace(
    field: StaticScore,
    x: Tensor,
    directions: Tensor | None,
    kind: ProbeKind,
    probes: int,
    seed: int | torch.Generator | None,
    name: str,
    chunk: int | None,
) -> tuple[Tensor, Tensor]:
    """A field at x and the trace of its Jacobian `(n,)`: exact for 0 probes, else the mean over the probes."""
    if directions is None and isinstance(probes, int) and probes == 0:
        return jacobian_trace(field, x, chunk=chunk)
    value, estimates = hutchinson(field, x, _directions(directions, kind, probes, x, seed, name))
    return value, estimates.mean(0)


def _directions(
    given: Tensor | None, kind: ProbeKind, count: int, x: Tensor, seed: int | torch.Generator | None, purpose: str
) -> Tensor:
    if given is None:
        return probe(kind, count, x, seed, purpose=purpose)
    if given.ndim != x.ndim + 1 or given.shape[1:] != x.shape or not len(given):
        raise ValueError(f"directions must have shape (m, *{tuple(x.shape)}), got {tuple(given.shape)}.")
    return given


def _half_square(value: Tensor, v: Tensor, variance_reduced: bool) -> Tensor:
    """`|s|^2 / 2`, or `(v . s)^2 / 2` for each direction: `(1 or m, n)`."""
    if variance_reduced:
        return sum_rest(value.square())[None] / 2
    return (v * value).flatten(2).sum(2).square() / 2


def _answer(score: StaticScore, x: Tensor) -> Tensor:
    value = score(x)
    if not isinstance(value, Tensor) or value.shape != x.shape:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"a score must answer with a tensor of x's shape {tuple(x.shape)}, got {got}.")
    return value
