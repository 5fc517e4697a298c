"""The slopes of the loss row by row of the data, from which variances come."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.graphs.moments import Sample, location


def parts(sample: Sample, K: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the slope of row i of the data in K_jk is made of: `t_ki b_ji + u_jk e_ji`, less `own_ji` where j = k.

    Returns:
        b: `(d, n)`.
        u: `(d, d)`, 0 without a location.
        e: `(d, n)`: the slope in eta_j.
    """
    eta = location(sample, K)
    score = sample.q * eta[:, None] - sample.r * (K @ sample.t)
    b = -(sample.field_r * score + sample.slope_r)
    e = sample.field_q * score + sample.slope_q
    if not sample.model.location:
        return b, torch.zeros_like(K), torch.zeros_like(e)
    inner = (sample.field_q * sample.q).mean(1)
    return b, (sample.field_r * sample.q) @ sample.t.T / sample.n / inner[:, None], e


def pair_variance(sample: Sample, K: Tensor) -> Tensor:
    """The mean square over the data of the slope in K_jk = K_kj, `(d, d)`; that of the diagonal is left out (0)."""
    b, u, e = parts(sample, K)
    t = sample.t
    alone = b.square() @ t.square().T + 2 * u * ((b * e) @ t.T) + u.square() * e.square().sum(1, keepdim=True)
    mixed = u.T * (b @ (t * e).T)  # of K_jk with K_kj: b_j t_k times u_kj e_k
    both = (b * t) @ (b * t).T + mixed + mixed.T + u * u.T * (e @ e.T)
    return (alone + alone.T + 2 * both).fill_diagonal_(0) / sample.n
