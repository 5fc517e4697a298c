"""Whether Markov chains have mixed: effective sample size and split R-hat of every coordinate."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield._tensor import check_real


def effective_sample_size(samples: Tensor) -> Tensor:
    """How many independent draws would know each coordinate's mean as well as these chains do.

    `m n / tau` with `tau = -1 + 2 sum_k (rho_2k + rho_2k+1)`, the sum cut off at Geyer's (1992) initial monotone
    sequence and rho the autocorrelation of all chains together (Gelman and others 2013, section 11.5), so that chains
    that disagree count for little.

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
    tau = 2 * (pairs.cummin(0).values * kept).sum(0) - 1
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
    x = torch.cat([x[:half], x[n - half :]], dim=1)
    within, between = x.var(0).mean(0), x.mean(0).var(0)
    return (((half - 1) / half * within + between) / within).sqrt()


def _check_samples(samples: Tensor) -> tuple[int, int]:
    if samples.ndim < 2 or len(samples) < 4 or not samples.shape[1]:
        raise ValueError(
            f"diagnostics need samples of shape (n, m, *shape) with n >= 4, got {tuple(samples.shape)}; keep "
            "more states."
        )
    check_real("samples", samples)
    return samples.shape[0], samples.shape[1]
