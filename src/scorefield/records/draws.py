"""Encoded draws of a model, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from scorefield.core import Model
from scorefield.numerics.threads import Workers, cut, shares
from scorefield.plans.plan import Plan
from scorefield.plans.run import run
from scorefield.progress import Report, counted, silent
from scorefield.training.precision import Precision

_LEAST = 8  # draws that are worth a thread
FLOAT32 = Precision("float32")


def encoded_draws(
    model: Model,
    plan: Plan,
    shape: Sequence[int],
    n: int,
    *,
    std: float,
    like: Tensor,
    seed: int | Tensor = 0,
    first: int | Tensor = 0,
    condition: Tensor | None = None,
    batch: int = 1024,
    precision: Precision = FLOAT32,
    progress: bool = False,
    report: Report = silent,
    every: int | None = None,
) -> Iterator[Tensor]:
    """Encoded draws `(at most batch, *shape)`, or their paths, n in all.

    On a processor, draws of more than one axis are made in parts side by side, as `training.gradients`.

    Args:
        model: that draws.
        plan: how it steps.
        shape: of a draw.
        n: how many.
        std: of the data, where draws start.
        like: a tensor with their dtype and device.
        seed: draw i is a pure function of (seed, first + i), up to the rounding of matrix kernels; `(n,)` int64 seeds,
            one for each, go with plans that add no noise.
        first: index of the first one, or `(n,)` indices.
        condition: what goes with each, `(n,)`.
        batch: at most this many at once.
        precision: that the network computes in; the steps between its answers are made in the dtype of `like`.
        progress: show a bar for each batch.
        report: hears how far the work is.
        every: give the states after every so many rows of the plan, `(at most batch, 1 + rows / every, *shape)`, the
            first and the last included; a divisor of the rows.

    Raises:
        ValueError: for seeds or indices one by one, and a plan that adds noise.
    """
    if plan.stochastic and (isinstance(seed, Tensor) or isinstance(first, Tensor)):
        raise ValueError(f"a seed for each draw goes with plans that add no noise, got {plan!r}; draw them apart.")
    parts = shares(min(n, batch), _LEAST, like.device) if len(shape) > 1 else 1

    def draw(rows: range) -> Tensor:
        shown = progress and rows.start % batch == 0  # one bar for all parts of a batch
        number = first[rows.start : rows.stop] if isinstance(first, Tensor) else first + rows.start
        own = seed[rows.start : rows.stop] if isinstance(seed, Tensor) else seed
        x = plan.start(len(rows), shape, own, std=std, first=number, dtype=like.dtype, device=like.device)
        one, begin = (
            (own, number) if isinstance(own, int) and isinstance(number, int) else (0, 0)
        )  # unless plans add noise
        given = None if condition is None else condition[rows.start : rows.stop].to(like.device)
        with precision.autocast(like.device):
            if every is None:
                return run(plan, model, x, condition=given, progress=shown, seed=one, first=begin)
            path = run(plan, model, x, condition=given, progress=shown, seed=one, first=begin, trajectory=True)
        return path[::every].transpose(0, 1).contiguous()

    starts = range(0, n, batch)
    with Workers(parts) as over:
        for start in counted(starts, len(starts), report, "samples"):
            whole = range(start, min(start + batch, n))
            shared = [whole[part] for part in cut(len(whole), min(over.count, len(whole)))]
            yield torch.cat(over(draw, shared))
