"""Scores estimated from a sample, without a network: one problem, several kernels and ways to regularise it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from scorefield._ranges import whole
from scorefield.core import StaticScore
from scorefield.metrics.kernel import median_distance
from scorefield.nonparametric.expansion import Density, KernelEnergy, KernelScore, base_at, checked, losses
from scorefield.nonparametric.filters import Filter, Leading, NuMethod, Tikhonov
from scorefield.nonparametric.kernels import CurlFree, Diagonal, FieldKernel
from scorefield.nonparametric.systems import Data, Estimate, Solver, full, lite, nystrom
from scorefield.numerics.kernels import InverseMultiquadric, RadialKernel, SquaredExponential
from scorefield.numerics.random import uniform

Base: TypeAlias = Density | StaticScore
IMQ, GAUSS = InverseMultiquadric(), SquaredExponential()
CURL_FREE = CurlFree(IMQ)

RIDGES = tuple(Tikhonov(10 ** (-k / 2)) for k in range(14))
"""What a ridge is chosen among: 1 to 3e-7."""
STEPS = tuple(NuMethod(k) for k in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256))
"""What a number of steps is chosen among."""
COUNTS = tuple(Leading(k) for k in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128))
"""What a number of eigenfunctions is chosen among."""
SCALES = (0.4, 0.8, 1.6, 3.2, 6.4)
"""What a kernel's scale is chosen among, in median distances."""
_FOLDS, _CENTRES = whole(2, 1000), whole(1, 100_000)


def fit(
    x: Tensor,
    *,
    kernel: FieldKernel = CURL_FREE,
    filter: Filter | Sequence[Filter] = STEPS,
    centres: int | Tensor | None = None,
    base: Base | None = None,
    folds: int = 5,
    seed: int = 0,
) -> KernelScore:
    """The score of the law of a sample: `-g(L) zeta`, which is near the minimiser of Hyvarinen's loss in K's space.

    `L = mean of K(., x_m) K(x_m, .)` and `zeta = mean of sum_i d/dx_mi K(., x_m)_i`; g is the filter (Zhou, Shi and Zhu
    2020). The estimate falls to the base's score, or to 0, far from the data.

    Args:
        x: `(n, *shape)`, n >= 2.
        kernel: `CurlFree` (gradients, with a log-density) or `Diagonal`, of a radial kernel.
        filter: a filter, or several, of which the one with the least loss on points held out is taken, together with
            the kernel's scale where that is None.
        centres: None: the whole space; else `(m, *shape)` or how many of x: sums of K at these alone, in the time of
            `m^2 n`.
        base: a law (or score) that the estimate is added to, such as `closed_form.gaussian(x).law`.
        folds: parts of the sample, each held out once, where something is chosen.
        seed: of the parts, and of centres.

    Returns:
        A static score, `x -> score`, with `log_density` (of curl-free kernels), `divergence` and `loss`.

    Raises:
        ValueError: for a sample that is not finite, naming row and column, all of whose points are equal, or one of
            whose coordinates is the same in all of them: it has no density, and the loss no minimum.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> x = Gaussian(torch.zeros(1), torch.eye(1)).sample(200, seed=0)
        >>> s = fit(x)
        >>> [round(v) for v in s(torch.tensor([[-1.0], [0.0], [1.0]])).flatten().tolist()]
        [1, 0, -1]
    """
    data = _data(x, base)
    z = _centres(centres, data, seed)

    def solve(part: Data, scale: float, filters: Sequence[Filter]) -> list[KernelScore]:
        return full(part, kernel, scale, filters) if z is None else nystrom(part, z, kernel, scale, filters)

    return _fitted(data, solve, kernel.radial, filter, folds, seed)


def stein_gradient(
    x: Tensor, ridge: float | None = None, *, radial: RadialKernel = GAUSS, seed: int = 0
) -> KernelScore:
    """The Stein gradient estimator (Li and Turner 2018): a diagonal kernel and Tikhonov's filter.

    At the sample `-(K + n ridge)^-1 sum_m grad k(., x_m)`; beyond it the function that continues this.

    Args:
        x: `(n, *shape)`.
        ridge: > 0; None: chosen by points held out.
        radial: the kernel.
        seed: of that choice.
    """
    return fit(x, kernel=Diagonal(radial), filter=RIDGES if ridge is None else Tikhonov(ridge), seed=seed)


def ssge(x: Tensor, count: int | None = None, *, radial: RadialKernel = GAUSS, seed: int = 0) -> KernelScore:
    """The spectral Stein gradient estimator (Shi, Sun and Zhu 2018): a diagonal kernel and its leading eigenfunctions.

    Args:
        x: `(n, *shape)`.
        count: of eigenfunctions; None: chosen by points held out.
        radial: the kernel.
        seed: of that choice.
    """
    return fit(x, kernel=Diagonal(radial), filter=COUNTS if count is None else Leading(count), seed=seed)


def nu_method(
    x: Tensor, steps: int | None = None, *, kernel: FieldKernel = CURL_FREE, base: Base | None = None, seed: int = 0
) -> KernelScore:
    """The nu-method (Zhou, Shi and Zhu 2020): accelerated descent, stopped early; products alone, no system to solve.

    Args:
        x: `(n, *shape)`.
        steps: of descent; None: chosen by points held out.
        kernel: `CurlFree` or `Diagonal`.
        base: as `fit`.
        seed: of that choice.
    """
    return fit(x, kernel=kernel, filter=STEPS if steps is None else NuMethod(steps), base=base, seed=seed)


def kernel_exponential_family(
    x: Tensor,
    ridge: float | None = None,
    *,
    radial: RadialKernel = IMQ,
    centres: int | Tensor | None = None,
    base: Base | None = None,
    seed: int = 0,
) -> KernelScore:
    """The kernel exponential family `p ~ base exp(f)`, f in k's space (Sriperumbudur and others 2017).

    The minimiser of Hyvarinen's loss plus `ridge / 2 |f|^2`: a curl-free kernel and Tikhonov's filter. With centres the
    Nystrom approximation of Sutherland and others (2018); `kernel_exponential_family_lite` is cheaper still.

    Args:
        x: `(n, *shape)`.
        ridge: > 0, without unit; None: chosen by points held out.
        radial: k.
        centres: as `fit`.
        base: as `fit`.
        seed: of that choice.
    """
    filter = RIDGES if ridge is None else Tikhonov(ridge)
    return fit(x, kernel=CurlFree(radial), filter=filter, centres=centres, base=base, seed=seed)


def kernel_exponential_family_lite(
    x: Tensor,
    ridge: float | None = None,
    *,
    radial: RadialKernel = GAUSS,
    centres: int | Tensor = 200,
    base: Base | None = None,
    folds: int = 5,
    seed: int = 0,
) -> KernelEnergy:
    """The kernel exponential family over `f = sum_a alpha_a k(., z_a)` (Strathmann and others 2015): m numbers.

    Args:
        x: `(n, *shape)`.
        ridge: > 0, without unit; None: chosen by points held out.
        radial: k.
        centres: z, `(m, *shape)`, or how many of x (all, where there are fewer).
        base: as `fit`.
        folds: parts of the sample, each held out once, where something is chosen.
        seed: of that choice, and of centres.

    Example:
        >>> x = torch.special.ndtri(torch.linspace(0.01, 0.99, 99, dtype=torch.float64))[:, None]
        >>> s = kernel_exponential_family_lite(x, 1e-3, centres=20)
        >>> [round(v) for v in s(torch.tensor([[-1.0], [0.0], [1.0]])).flatten().tolist()]
        [1, 0, -1]
    """
    data = _data(x, base)
    count = min(centres, len(x)) if isinstance(centres, int) else centres
    z = _centres(count, data, seed)
    if z is None:
        raise ValueError("kernel_exponential_family_lite needs centres: how many, or points.")
    at = z

    def solve(part: Data, scale: float, filters: Sequence[Filter]) -> list[KernelEnergy]:
        return lite(part, at, radial, scale, filters)

    return _fitted(data, solve, radial, RIDGES if ridge is None else Tikhonov(ridge), folds, seed)


# --------------------------------------------------------------------------------------------------------- choices


def _data(x: Tensor, base: Base | None) -> Data:
    rows = checked(x)
    constant = rows.amax(0) == rows.amin(0)
    if bool(constant.any()) and not bool(constant.all()):
        first = int(constant.nonzero()[0])
        raise ValueError(
            f"column {first} is {float(rows[0, first]):g} in every point (such columns: {int(constant.sum())}): it has "
            "no density, and so no score; leave such columns out."
        )
    return Data(rows, tuple(x.shape[1:]), base, base_at(base, rows, x.shape[1:]))


def _centres(centres: int | Tensor | None, data: Data, seed: int) -> Tensor | None:
    if centres is None:
        return None
    if isinstance(centres, Tensor):
        z = checked(centres)
        if tuple(centres.shape[1:]) != data.shape:
            raise ValueError(f"centres must be points of shape {data.shape}, got {tuple(centres.shape[1:])}.")
        return z
    _CENTRES("centres", centres)
    if centres > len(data.rows):
        raise ValueError(f"centres={centres} of {len(data.rows)} points: take fewer, or None for the whole space.")
    return data.rows[_order(len(data.rows), seed, "kernel centres")[:centres]]


def _order(n: int, seed: int, purpose: str) -> Tensor:
    return uniform(1, (n,), seed, purpose, dtype=torch.float64)[0].argsort()


def _fitted(
    data: Data,
    solve: Solver[Estimate],
    radial: RadialKernel,
    filter: Filter | Sequence[Filter],
    folds: int,
    seed: int,
) -> Estimate:
    """The estimate by the one filter, or by the one with the least loss on points held out."""
    median = median_distance(data.rows, seed) if radial.scale is None else radial.scale
    if not 0 < median < math.inf:
        raise ValueError(f"the kernel needs a scale > 0, got {median:g}; give it one (are most points equal?).")
    if not isinstance(filter, Sequence):
        return solve(data, median, [filter])[0]
    if not filter:
        raise ValueError("filter must be a filter or a sequence of at least one; got an empty one.")
    _FOLDS("folds", folds)
    scales = [median] if radial.scale is not None else [median * c for c in SCALES]
    scale, best = _chosen(data, solve, scales, filter, folds, seed)
    return solve(data, scale, [best])[0]


def _chosen(
    data: Data, solve: Solver[Estimate], scales: Sequence[float], filters: Sequence[Filter], folds: int, seed: int
) -> tuple[float, Filter]:
    """The scale and the filter with the least loss on points held out."""
    n = len(data.rows)
    if n - -(-n // folds) < 2:
        raise ValueError(f"{n} points are too few to hold out one of {folds} parts; give one filter, or fewer folds.")
    parts = _order(n, seed, "kernel held").tensor_split(min(folds, n))
    total = torch.zeros(len(scales), len(filters), dtype=torch.float64)
    for k, held in enumerate(parts):
        kept = data.take(torch.cat([part for i, part in enumerate(parts) if i != k]))
        points = data.rows[held].reshape(len(held), *data.shape)
        for j, scale in enumerate(scales):
            total[j] += losses(solve(kept, scale, filters), points).sum(1)
    j, k = divmod(int(total.nan_to_num(math.inf).argmin()), len(filters))
    return scales[j], filters[k]
