"""Steps and metrics that chains find for themselves during their burn-in, each chain by its own states alone.

The step by dual averaging of the acceptance (Hoffman and Gelman 2014, section 3.2), the metric from the states of
windows that double in length, as Stan has them. Both are fixed when burn-in ends: only then do chains keep their law.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from scorefield.mcmc.metric import Metric, rooted

Adapted: TypeAlias = Literal["step", "diagonal", "dense"]
"""What is adapted: the step alone, or with it the variances, or the whole covariance."""

_GAMMA, _T0, _KAPPA = 0.05, 10.0, 0.75  # of dual averaging, as published
_FEWEST = 20  # steps of burn-in, below which no metric is measured


class Averaging:
    """Dual averaging of the logarithm of each chain's step towards an acceptance.

    Args:
        step: `(n,)`, where it begins.
        target: acceptance.
    """

    def __init__(self, step: Tensor, target: float) -> None:
        self.target, self.centre = target, (10 * step).log()
        self.error, self.mean, self.count = torch.zeros_like(step), torch.zeros_like(step), 0
        self.step = step

    def hear(self, acceptance: Tensor) -> None:
        """The probability `(n,)` with which each chain's last proposal was accepted."""
        self.count += 1
        t = self.count
        self.error = self.error + (self.target - acceptance - self.error) / (t + _T0)
        log_step = self.centre - t**0.5 / _GAMMA * self.error
        weight = t**-_KAPPA
        self.mean = weight * log_step + (1 - weight) * self.mean
        self.step = log_step.exp()

    @property
    def settled(self) -> Tensor:
        """The averaged step, `(n,)`."""
        return self.mean.exp() if self.count else self.step


class Moments:
    """Mean and covariance of each chain's states, by Welford's recursion.

    Args:
        x: `(n, *shape)`.
        dense: whether of all coordinates together.
    """

    def __init__(self, x: Tensor, dense: bool) -> None:
        n, d = len(x), x[0].numel()
        self.dense, self.count = dense, 0
        self.mean, self.sum = x.new_zeros(n, d), x.new_zeros((n, d, d) if dense else (n, d))

    def hear(self, x: Tensor) -> None:
        """The next states."""
        self.count += 1
        before = x.flatten(1) - self.mean
        self.mean = self.mean + before / self.count
        after = x.flatten(1) - self.mean
        self.sum = self.sum + (before[:, :, None] * after[:, None] if self.dense else before * after)

    def metric(self, current: Metric) -> Metric:
        """The covariance, drawn towards its diagonal where states are few; the old one of what did not move."""
        c = self.sum / (self.count - 1)
        own = c.diagonal(dim1=1, dim2=2) if self.dense else c
        old = current.covariance
        old = old.diagonal(dim1=-2, dim2=-1) if current.dense else old
        moved = own > 1e-20 * self.mean.square() + torch.finfo(own.dtype).tiny
        variances = torch.where(moved, own, old)
        if not self.dense:
            return rooted(variances, False)
        few = (c.shape[-1] + 5) / (self.count + c.shape[-1] + 5)
        c = torch.where(moved[:, :, None] & moved[:, None], c, 0.0)
        return rooted((1 - few) * c + torch.diag_embed(variances - (1 - few) * c.diagonal(dim1=1, dim2=2)), True)


def windows(burn_in: int) -> list[tuple[int, int]]:
    """From which step to before which each metric is measured: after 15 % of burn-in, 25 steps, 50, ...

    The last tenth, or up to 50 steps of a short burn-in, is left for the step.


    Example:
        >>> windows(10), windows(200), windows(1000)
        ([], [(30, 55), (55, 160)], [(150, 175), (175, 225), (225, 325), (325, 900)])
    """
    if burn_in < _FEWEST:
        return []
    last = max(burn_in // 10, min(50, burn_in // 5))  # for the step alone
    start, end, length, found = int(0.15 * burn_in), burn_in - last, 25, []
    while start < end:
        stop = start + length if start + 3 * length <= end else end
        found.append((start, stop))
        start, length = stop, 2 * length
    return found


class Adapter:
    """The step and the metric of each chain, step by step of its burn-in.

    Args:
        x: where chains start.
        step: `(n,)`.
        metric: to begin with.
        kind: what is adapted.
        target: acceptance.
        burn_in: steps.
    """

    def __init__(self, x: Tensor, step: Tensor, metric: Metric, kind: Adapted, target: float, burn_in: int) -> None:
        self.metric, self.target, self.dense, self.burn_in = metric, target, kind == "dense", burn_in
        self.averaging = Averaging(step, target)
        self.windows = windows(burn_in) if kind != "step" else []
        self.moments: Moments | None = None

    @property
    def step(self) -> Tensor:
        """To take next, `(n,)`."""
        return self.averaging.step

    def hear(self, k: int, x: Tensor, acceptance: Tensor) -> None:
        """The states after step k, and how probable their acceptance was."""
        self.averaging.hear(acceptance)
        for start, end in self.windows:
            if start <= k < end:
                self.moments = Moments(x, self.dense) if k == start else self.moments
                if self.moments is not None:
                    self.moments.hear(x)
                if k == end - 1 and self.moments is not None:
                    self.metric = self.moments.metric(self.metric)
                    unit = torch.full_like(self.step, x[0].numel() ** -0.25)
                    self.averaging = Averaging(unit, self.target)
        if k == self.burn_in - 1:
            self.averaging.step = self.averaging.settled


def check_adapted(kind: Adapted | None, target: float, burn_in: int) -> None:
    """Raise unless there is a burn-in to adapt in."""
    if kind is None:
        return
    if kind not in get_args(Adapted):
        raise ValueError(f"adapt must be one of {', '.join(get_args(Adapted))} or None, got {kind!r}.")
    if not 0 < target < 1:
        raise ValueError(f"acceptance must be between 0 and 1, got {target}.")
    if burn_in < 1:
        raise ValueError(
            f"adapt = {kind!r} needs a burn_in, in which chains do not keep their law yet; 500 steps are usual."
        )
