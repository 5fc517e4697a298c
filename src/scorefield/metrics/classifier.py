"""The classifier two-sample test: can a small neural network tell the samples apart?"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from scorefield.metrics.samples import Sample, check_count, pair, random_order, shuffled
from scorefield.metrics.side_by_side import logits, weights_of

_LEAST_STEPS = 11
"""Of the schedule of learning rates, whose rise takes a tenth: shorter trainings stop within it."""


class Accuracy(NamedTuple):
    """Held-out accuracy of a classifier, with its binomial standard error."""

    value: float
    standard_error: float


def c2st(x: Sample, y: Sample, *, seed: int = 0, folds: int = 5, epochs: int = 40, width: int = 128) -> Accuracy:
    """How well a small neural network tells the samples apart on rows it has not seen (Lopez-Paz and Oquab 2017).

    0.5: not at all, 1: always. Rows are standardised; a network of two hidden layers is trained per fold, stopped where
    its loss on a tenth of its training rows is least, and evaluated on the rows left out. Of the larger sample a random
    part of the smaller one's size is used, so that 0.5 is chance.

    Args:
        x: `(n, *shape)`.
        y: `(m, *shape)`.
        seed: of everything random.
        folds: parts of the data, each left out once, >= 2; each sample needs at least 4 rows per fold.
        epochs: passes over the training rows at most.
        width: of the hidden layers.

    Returns:
        The accuracy over all rows and its binomial standard error.

    Example:
        >>> x = torch.linspace(0, 1, 40)[:, None]
        >>> c2st(x, x + 2, epochs=20).value
        1.0
    """
    x, y = pair(x, y)
    check_count("folds", folds, 2)
    check_count("epochs", epochs, 1)
    check_count("width", width, 1)
    n = min(len(x), len(y))
    if n < 4 * folds:
        raise ValueError(f"c2st with {folds} folds needs {4 * folds} rows of each sample, got {n}; use fewer folds.")
    rows = torch.cat([shuffled(v, seed, f"c2st-{name}")[:n] for name, v in (("x", x), ("y", y))])
    label = torch.arange(2 * n, device=x.device) // n
    part = torch.arange(2 * n, device=x.device) % n % folds  # both samples alike in every fold
    right = _Classifiers(rows, label.to(torch.float32), part, folds, width, seed).fit(epochs)
    p = (right + 1) / (2 * n + 2)
    return Accuracy(right / (2 * n), math.sqrt(p * (1 - p) / (2 * n)))


class _Classifiers:
    """One network per fold, trained side by side: all tensors have the fold first."""

    def __init__(self, rows: Tensor, label: Tensor, part: Tensor, folds: int, width: int, seed: int) -> None:
        self.label, self.seed = label, seed
        other = [(part != k).nonzero()[:, 0] for k in range(folds)]
        least = min(map(len, other))
        index = torch.stack([o[random_order(len(o), seed, f"c2st-fold-{k}", o)][:least] for k, o in enumerate(other)])
        check = max(2, least // 10)
        self.check, self.train = index[:, :check], index[:, check:]
        self.held = [(part == k).nonzero()[:, 0] for k in range(folds)]
        mean = torch.stack([rows[t].mean(0) for t in self.train])
        scale = torch.stack([rows[t].std(0) for t in self.train])
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        self.rows = ((rows - mean[:, None]) / scale[:, None]).float().clamp(-10, 10)  # (folds, rows, d)
        self.weights = weights_of(folds, [rows.shape[1], width, width, 1], seed, "c2st", rows.device)

    def loss(self, weights: list[Tensor], index: Tensor) -> Tensor:
        """The cross-entropy of every fold's network on its rows `index` `(folds, k)`: `(folds,)`."""
        x = self.rows.gather(1, index[..., None].expand(-1, -1, self.rows.shape[2]))
        return F.binary_cross_entropy_with_logits(logits(weights, x), self.label[index], reduction="none").mean(1)

    def fit(self, epochs: int, batch: int = 128, rate: float = 2e-3) -> int:
        """Train, then count the held-out rows that the network classifies correctly."""
        weights = [w.clone().requires_grad_() for w in self.weights]
        steps = -(-self.train.shape[1] // batch)
        optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.05)
        total = max(_LEAST_STEPS, epochs * steps)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=total, pct_start=0.1)
        best, kept = torch.full((len(self.train),), math.inf, device=self.label.device), list(self.weights)
        for epoch in range(epochs):
            order = random_order(self.train.shape[1], self.seed, "c2st-epoch", self.train, epoch)
            for chosen in order.chunk(steps):
                optimizer.zero_grad(set_to_none=True)
                self.loss(weights, self.train[:, chosen]).sum().backward()
                optimizer.step()
                schedule.step()
            with torch.no_grad():
                now = self.loss(weights, self.check)
                better = (now < best)[:, None, None]
                best, kept = (
                    torch.minimum(now, best),
                    [torch.where(better, a, b) for a, b in zip(weights, kept, strict=True)],
                )
        with torch.no_grad():
            says = logits(kept, self.rows) > 0
        return sum(int((says[k, held] == self.label[held].bool()).sum()) for k, held in enumerate(self.held))
