"""Whether Markov chains have mixed: effective sample sizes and R-hat of every coordinate, as ArviZ has them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield._tensor import check_real


def effective_sample_size(samples: Tensor) -> Tensor:
    """How many independent draws would know each coordinate's mean as well as these chains do.

    `m n / tau` with `tau = -1 + 2 sum_k (rho_(2k) + rho_(2k + 1))`, the sum cut off at Geyer's (1992) initial monotone
    sequence (of the first pair cut off one term is kept) and rho the autocorrelation of all chains together (Gelman and
    others 2013, section 11.5), so that chains that disagree count for little.

    Args:
        samples: `(n, m, *shape)`: n states of m chains, n >= 4.

    Returns:
        `shape`; NaN for a coordinate that never changes.

    Example:
        >>> x = torch.linspace(0, 1, 1000).reshape(-1, 1, 1).expand(-1, 2, 1)  # a slow drift
        >>> float(effective_sample_size(x)) < 10
        True
    """
    n, m = _check_samples(samples)
    columns = samples.detach().to(torch.float64).reshape(n, m, -1)
    parts = columns.split(max(1, 10**7 // (n * m)), dim=2)
    return torch.cat([_effective(part) for part in parts]).reshape(samples.shape[2:])


def _effective(x: Tensor) -> Tensor:
    """`(n, m, d) -> (d,)`."""
    n, m, _ = x.shape
    means = x.mean(0)
    spectrum = torch.fft.rfft(x - means, n=2 * n, dim=0)
    covariance = torch.fft.irfft(spectrum.abs() ** 2, n=2 * n, dim=0)[:n].mean(1) / n  # (n, d)
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + (means.var(0) if m > 1 else 0.0)
    rho = 1 - (within - covariance) / total
    rho[0] = 1.0
    pairs = rho[: n - n % 2].reshape(n // 2, 2, -1).sum(1)
    kept = (pairs > 0).to(x.dtype).cumprod(0)
    kept[max(1, (n + 1) // 2 - 2) :] = 0  # the last lags are of few products
    last = rho[: n - n % 2 : 2] * (kept.sum(0, keepdim=True) == torch.arange(len(pairs), device=x.device)[:, None])
    tau = 2 * (pairs.cummin(0).values * kept).sum(0) - 1 + last.sum(0).clamp(min=0)  # and half of the pair cut off
    size = n * m / tau.clamp(min=1 / math.log10(n * m))
    return torch.where(total > 0, size, torch.nan)


def split_r_hat(samples: Tensor) -> Tensor:
    """Split R-hat (Gelman and others 2013, section 11.4): 1 where all halves of all chains have one law.

    Args:
        samples: `(n, m, *shape)`: n states of m chains, n >= 4.

    Returns:
        `shape`; above about 1.01 the chains have not mixed. NaN for a coordinate that never changes.

    Example:
        >>> x = torch.tensor([0.0, 1.0]).repeat(50)[:, None, None]
        >>> bool(split_r_hat(torch.cat([x, x], 1)) < 1.0) and bool(split_r_hat(torch.cat([x, x + 2], 1)) > 2)
        True
    """
    n, _ = _check_samples(samples)
    half = n // 2
    x = samples.detach().to(torch.float64)
    return _r_hat(torch.cat([x[:half], x[n - half :]], dim=1))


def _r_hat(x: Tensor) -> Tensor:
    within, between = x.var(0).mean(0), x.mean(0).var(0)
    return (((len(x) - 1) / len(x) * within + between) / within).sqrt()


def bulk_ess(samples: Tensor) -> Tensor:
    """`effective_sample_size` of the split chains' normal scores (Vehtari 2021): of laws without moments too.

    Args:
        samples: `(n, m, *shape)`: n states of m chains, n >= 8.

    Returns:
        `shape`; 100 for each chain are few enough.

    Example:
        >>> x = torch.linspace(0, 1, 1000).reshape(-1, 1, 1).expand(-1, 2, 1)
        >>> float(bulk_ess(x)) < 10
        True
    """
    return effective_sample_size(_normal_scores(_split(samples)))


def tail_ess(samples: Tensor) -> Tensor:
    """The lesser effective sample size of the 5 % and the 95 % quantile (Vehtari and others 2021).

    Args:
        samples: `(n, m, *shape)`: n states of m chains, n >= 8.

    Example:
        >>> x = torch.linspace(0, 1, 1000).reshape(-1, 1, 1).expand(-1, 2, 1)
        >>> float(tail_ess(x)) < 50
        True
    """
    x, whole = _split(samples), samples.detach().to(torch.float64).flatten(0, 1)
    ends = [whole.quantile(q, dim=0) for q in (0.05, 0.95)]
    low, high = (effective_sample_size((x <= end).double()) for end in ends)
    return torch.fmin(low, high)  # NaN where the quantile is the end of what the chains took


def rank_r_hat(samples: Tensor) -> Tensor:
    """Split R-hat of normal scores, or of those of distances from the median, whichever is greater (Vehtari 2021).

    It sees chains that differ in scale alone, and those of laws without moments.

    Args:
        samples: `(n, m, *shape)`: n states of m chains, n >= 8.

    Example:
        >>> x = torch.linspace(-1, 1, 101)[:, None, None]
        >>> both = torch.cat([x, 5 * x], 1)
        >>> bool(rank_r_hat(both) > split_r_hat(both) + 0.1)
        True
    """
    x = _split(samples)
    folded = (x - x.flatten(0, 1).quantile(0.5, dim=0)).abs()
    return torch.fmax(_r_hat(_normal_scores(x)), _r_hat(_normal_scores(folded)))  # of constant distances: NaN


def mean_error(samples: Tensor) -> Tensor:
    """The Monte Carlo standard error of each coordinate's mean, by the split chains' effective sample size.

    Args:
        samples: `(n, m, *shape)`: n states of m chains, n >= 8.

    Example:
        >>> x = torch.tensor([-1.0, 1.0, 1.0, -1.0]).repeat(25)[:, None, None]
        >>> 0 < float(mean_error(x)) < 0.2
        True
    """
    size = effective_sample_size(_split(samples))
    return samples.detach().to(torch.float64).flatten(0, 1).std(0) / size.sqrt()


def _split(samples: Tensor) -> Tensor:
    """Both halves of each chain as chains, float64."""
    n, _ = _check_samples(samples)
    if n < 8:
        raise ValueError(f"of split chains at least 8 states are needed, got {n}; keep more states.")
    x = samples.detach().to(torch.float64)
    return torch.cat([x[: n // 2], x[n - n // 2 :]], dim=1)


def _normal_scores(x: Tensor) -> Tensor:
    """Normal quantiles of the ranks of all states of all chains together, coordinate by coordinate."""
    from scipy.stats import rankdata

    flat = x.reshape(x.shape[0] * x.shape[1], -1).cpu()
    ranks = torch.from_numpy(rankdata(flat.numpy(), axis=0)).reshape(x.shape)
    return torch.special.ndtri((ranks - 3 / 8) / (len(flat) + 1 / 4)).to(x.device)


def _check_samples(samples: Tensor) -> tuple[int, int]:
    if samples.ndim < 2 or len(samples) < 4 or not samples.shape[1]:
        raise ValueError(
            f"diagnostics need samples of shape (n, m, *shape) with n >= 4, got {tuple(samples.shape)}; keep "
            "more states."
        )
    check_real("samples", samples)
    return samples.shape[0], samples.shape[1]
