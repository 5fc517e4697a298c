"""Muon: matrices move along the orthogonal part of their momentum, everything else by AdamW."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from scorefield.training import parallel
from scorefield.training.optimizer import AdamW

MOMENTUM = 0.95
_NARROWEST = 32  # of the shorter side: narrower ones (inputs, outputs, tables) are no maps between features
_ROUNDS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)  # per round: singular values from 0.01 to 1 end between 0.7 and 1.2
_STEP = 0.2  # the root mean square of a step, per unit of the learning rate: that of AdamW's steps


class Muon:
    """Momentum orthogonalised by Newton and Schulz's iteration (Jordan and others 2024), for layers with matrices.

    Every direction of a layer moves as far as every other, where AdamW follows the few that have large gradients. A
    step's entries have AdamW's usual size (Liu and others 2025), so that one learning rate does for both. The weights
    of a convolution are the matrix `(channels out, channels in * points)`.

    Args:
        parameters: to train; sharded ones (FSDP2) are put together for a step.
        weight_decay: per unit of the learning rate.
        dtype: that the iteration computes in; bfloat16 is exact enough where it is fast.

    Example:
        >>> p = torch.zeros(32, 64)
        >>> p.grad = torch.eye(32, 64)
        >>> Muon([p], weight_decay=0.0).step(1.0)
        >>> bool((p[:, :32].diagonal() < -1).all()), float(p[0, 1])
        (True, 0.0)
    """

    def __init__(self, parameters: Sequence[Tensor], weight_decay: float, dtype: torch.dtype = torch.float32) -> None:
        self.parameters, self.weight_decay, self.dtype = list(parameters), weight_decay, dtype
        self.matrices = [p for p in self.parameters if p.ndim > 1 and min(len(p), p[0].numel()) >= _NARROWEST]
        chosen = set(self.matrices)
        self.others = AdamW([p for p in self.parameters if p not in chosen], weight_decay)
        self.state: dict[Tensor, dict[str, Tensor]] = {
            **{p: {"momentum": torch.zeros_like(p)} for p in self.matrices},
            **self.others.state,
        }

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step along the gradients, at a learning rate; parameters without one stay."""
        self.others.step(rate)
        alike: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for p in self.matrices:
            if p.grad is not None:
                momentum = self.state[p]["momentum"].lerp_(p.grad, 1 - MOMENTUM)
                ahead = parallel.whole(p.grad.lerp(momentum, MOMENTUM)).flatten(1)  # Nesterov's
                alike[ahead.shape[0], ahead.shape[1]].append((p, ahead))
        for (rows, columns), pairs in alike.items():
            steps = orthogonal(torch.stack([ahead for _, ahead in pairs]), self.dtype)
            for (p, _), step in zip(pairs, steps, strict=True):
                p.mul_(1 - rate * self.weight_decay)
                whole = step.reshape(p.shape).to(p.dtype)
                p.sub_(parallel.sharded_like(whole, p), alpha=rate * _STEP * max(rows, columns) ** 0.5)


def orthogonal(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The nearest matrices with orthonormal rows or columns, roughly: singular values between 0.7 and 1.2.

    Those under 0.01 of the matrix' norm stay smaller, and a matrix of zeros is one of zeros.

    Args:
        matrices: `(n, rows, columns)`.
        dtype: to compute in.
    """
    a, b, c = _QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(dtype)
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=torch.finfo(dtype).tiny)
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
