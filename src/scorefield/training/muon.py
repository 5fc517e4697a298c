"""Muon: matrices move along the orthogonal part of their momentum, everything else by AdamW."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from scorefield.numerics.threads import ALONE, Workers
from scorefield.training import parallel
from scorefield.training.optimizer import AdamW

MOMENTUM = 0.95
_NARROWEST = 32  # of the shorter side: narrower ones (inputs, outputs, tables) are no maps between features
_ROUNDS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)  # per round: singular values from 0.01 to 1 end between 0.7 and 1.2
_Pair: TypeAlias = tuple[Tensor, Tensor]  # weights and their gradient
_STEP = 0.2  # the root mean square of a step, per unit of the learning rate: that of AdamW's steps


class Muon:
    """Momentum orthogonalised by Newton and Schulz's iteration (Jordan and others 2024), for layers with matrices.

    Every direction of a layer moves as far as every other, where AdamW follows the few that have large gradients. A
    step's entries have AdamW's usual size (Liu and others 2025), so that one learning rate does for both. The weights
    of a convolution are the matrix `(channels out, channels in * points)`.

    Args:
        parameters: to train; sharded ones (FSDP2) are put together for a step.
        weight_decay: per unit of the learning rate.

    Example:
        >>> p = torch.zeros(32, 64)
        >>> p.grad = torch.eye(32, 64)
        >>> Muon([p], weight_decay=0.0).step(1.0)
        >>> bool((p[:, :32].diagonal() < -1).all()), float(p[0, 1])
        (True, 0.0)
    """

    def __init__(self, parameters: Sequence[Tensor], weight_decay: float) -> None:
        self.parameters, self.weight_decay = list(parameters), weight_decay
        self.matrices = [p for p in self.parameters if p.ndim > 1 and min(len(p), p[0].numel()) >= _NARROWEST]
        chosen = set(self.matrices)
        self.others = AdamW([p for p in self.parameters if p not in chosen], weight_decay)
        self.state: dict[Tensor, dict[str, Tensor]] = {
            **{p: {"momentum": torch.zeros_like(p)} for p in self.matrices},
            **self.others.state,
        }

    def step(self, rate: float, over: Workers = ALONE) -> None:
        """One step along the gradients, at a learning rate; parameters without one stay.

        Args:
            rate: of learning.
            over: how layers are gone through: matrices of one shape together, shapes side by side.
        """
        self.others.step(rate)
        alike: dict[tuple[int, int], list[_Pair]] = defaultdict(list)
        for p in self.matrices:
            if p.grad is not None:
                alike[len(p), p[0].numel()].append((p, p.grad))
        over(functools.partial(self._move, rate), _shared([*alike.values()], over.count))

    @torch.no_grad()
    def _move(self, rate: float, groups: Sequence[Sequence[_Pair]]) -> None:
        for group in groups:
            steps = orthogonal(torch.stack([self._ahead(p, gradient) for p, gradient in group]))
            size = _STEP * max(steps.shape[1:]) ** 0.5
            for (p, _), step in zip(group, steps, strict=True):
                p.mul_(1 - rate * self.weight_decay)
                p.sub_(parallel.sharded_like(step.reshape(p.shape), p), alpha=rate * size)

    def _ahead(self, p: Tensor, gradient: Tensor) -> Tensor:
        """The momentum as it will be after another step along this gradient (Nesterov's), as a matrix."""
        momentum = self.state[p]["momentum"].lerp_(gradient, 1 - MOMENTUM)
        return parallel.whole(gradient.lerp(momentum, MOMENTUM)).flatten(1)


def _shared(groups: Sequence[list[_Pair]], count: int) -> list[list[list[_Pair]]]:
    """The groups in `count` parts of nearly equal work, the heaviest first to the part that has least."""
    parts: list[list[list[_Pair]]] = [[] for _ in range(count)]
    loads = [0] * count
    for group in sorted(groups, key=_work, reverse=True):
        least = loads.index(min(loads))
        parts[least].append(group)
        loads[least] += _work(group)
    return [part for part in parts if part]


def _work(group: Sequence[_Pair]) -> int:
    return sum(p.numel() * min(len(p), p[0].numel()) for p, _ in group)


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest matrices with orthonormal rows or columns, roughly: singular values between 0.7 and 1.2.

    Those under 0.01 of the matrix' norm stay smaller, and a matrix of zeros is one of zeros. Every round multiplies by
    a polynomial of the matrix' Gram matrix, so that the rounds are products of the small Gram matrices alone.

    Args:
        matrices: `(n, rows, columns)`, float32 or float64.
    """
    a, b, c = _QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    wide = matrices.mT if tall else matrices
    wide = wide / torch.linalg.matrix_norm(wide, keepdim=True).clamp(min=torch.finfo(wide.dtype).tiny)
    gram = wide @ wide.mT
    one = a * torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    factors: list[Tensor] = []
    for k in range(_ROUNDS):
        if k:
            gram = factors[-1] @ gram @ factors[-1]
        factors.append(torch.baddbmm(gram, gram, gram, beta=b, alpha=c) + one)
    found = functools.reduce(torch.matmul, factors) @ wide
    return found.mT if tall else found
