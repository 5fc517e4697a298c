"""In what precision a network is trained: float32, or bf16 inside where that is measured to be faster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scorefield.numerics.random import normal
from scorefield.objectives.batch import Draws, Objective
from scorefield.training import parallel
from scorefield.training.rows import Rows

PRECISIONS = ("auto", "float32", "bf16")
"""What may be asked for."""
_ENOUGH = 1.2  # times as fast as float32: from here on bf16 is worth its rounding
_LEAST = 10**8  # products in a linear layer for a batch: below, a step is not its matrix products
_FEWEST = 30  # steps of a training that is worth the measurement
_ROUNDS, _LONG = 2, 0.04  # of steps that are timed; seconds from which on a step is more than its fixed costs
_SAMPLES = 16  # of a batch that they are timed on where its step is long: with fewer, bf16 is slow to get its weights


@dataclass(frozen=True)
class Precision:
    """What a training computes in.

    Args:
        name: "float32" or "bf16".
        gain: how many times as fast as in float32 a step was in bf16, 0 where the network has operations that bf16 has
            not; None where it was not measured.
    """

    name: str
    gain: float | None = None

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context in which a network answers."""
        return torch.autocast(device.type, torch.bfloat16) if self.name == "bf16" else nullcontext()


def unmeasured(asked: str, device: torch.device) -> Precision:
    """The precision without a measurement: what is asked; of "auto" bf16 on GPUs that have it, else float32."""
    if asked != "auto":
        return Precision(asked)
    return Precision("bf16" if device.type == "cuda" and _is_made_for_bf16(device) else "float32")


def as_trained(info: Mapping[str, Any], device: torch.device) -> Precision:
    """The precision that a network was trained in, where the device is made for it, else float32.

    Args:
        info: of the run.
        device: of the network.
    """
    stored = (info.get("training") or {}).get("precision") or {}
    return Precision("bf16" if stored.get("name") == "bf16" and _is_made_for_bf16(device) else "float32")


def _is_made_for_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    known: Callable[[], bool] | None = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and known is not None and known()


def choose(
    asked: str,
    model: nn.Module,
    objective: Objective,
    x: Rows,
    condition: Tensor | None,
    batch: int,
    steps: int | None,
    device: torch.device,
) -> Precision:
    """The precision to train in; where it is left open, on a CPU, by the time of steps in both on a part of a batch.

    Processors with AMX or AVX512-BF16 gain, others lose: convolutions in bf16 are 3 times as fast on the ones and 8
    times as slow on the others. Networks without convolutions or large matrices, and trainings of few steps, are not
    measured and stay in float32. The processes decide together; gradients are forgotten and no random state is used.

    Args:
        asked: one of `PRECISIONS`.
        model: to train, not yet shared among processes.
        objective: of the training.
        x: training data.
        condition: what goes with each row.
        batch: samples in a step, over all processes.
        steps: of the training, where they are known.
        device: of the model.
    """
    batch //= parallel.world()
    short = steps is not None and steps < _FEWEST
    if asked != "auto" or device.type != "cpu" or short or not _worth_measuring(model, batch):
        return unmeasured(asked, device)
    model.train()
    usual = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other would count as well
    try:
        with torch.random.fork_rng(devices=[]):
            seconds = _times(model, objective, x, condition, batch)
    finally:
        torch.set_num_threads(usual)
    full, half = parallel.mean_over_processes(seconds, device)
    gain = round(full / half, 2)
    return Precision("bf16" if gain >= _ENOUGH else "float32", gain)


def _worth_measuring(model: nn.Module, batch: int) -> bool:
    layers = list(model.modules())
    linear = max((m.weight.numel() for m in layers if isinstance(m, nn.Linear)), default=0)
    return linear * batch >= _LEAST or any(isinstance(m, nn.Conv2d) for m in layers)


def _times(
    model: nn.Module, objective: Objective, x: Rows, condition: Tensor | None, batch: int
) -> tuple[float, float]:
    """Seconds of the processor for a step in float32 and in bf16, each the least of a few; infinite: it cannot."""
    full, half = (Precision(name) for name in ("float32", "bf16"))
    n = min(batch, _SAMPLES)
    while _step(full, model, objective, x, condition, n) < _LONG and n < batch:  # the first ones set the kernels up
        n = min(batch, 4 * n)
    try:
        _step(half, model, objective, x, condition, n)
    except RuntimeError:  # such as torch.lerp of a bf16 answer and a float32 one
        return 1.0, math.inf
    rounds = [[_step(p, model, objective, x, condition, n) for p in (full, half)] for _ in range(_ROUNDS)]
    return min(r[0] for r in rounds), min(r[1] for r in rounds)


def _step(
    precision: Precision, model: nn.Module, objective: Objective, x: Rows, condition: Tensor | None, n: int
) -> float:
    number = torch.arange(n)
    row = number % len(x)
    x0, given = x[row], None if condition is None else condition[row]
    draws = Draws(normal(n, x.shape[1:], 0, "precision", dtype=x.dtype), ((number + 0.5) / n).to(x.dtype), number)
    begun = time.process_time()
    with precision.autocast(x.device):
        loss = objective(model, x0, draws, given).mean()
    loss.backward()
    seconds = time.process_time() - begun
    for p in model.parameters():
        p.grad = None
    return seconds
