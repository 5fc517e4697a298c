"""Training: a generator that takes one optimiser step per turn, with averaging, held-out losses and exact resume."""

from __future__ import annotations

import copy
import functools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from scorefield._tensor import check_batch
from scorefield.core import Model
from scorefield.levels import LogNormal, LogUniform, Mixed, TrainingLevels
from scorefield.nets.recomputed import recomputed
from scorefield.numerics.random import normal, uniform
from scorefield.numerics.threads import Workers
from scorefield.objectives import EDM, Weighting
from scorefield.objectives.batch import Draws, Multilevel, Objective
from scorefield.training import parallel
from scorefield.training.checkpoint import RunState, Settings, copy_into, ending, restore, save, spent
from scorefield.training.gradients import Batch, descend, parts_of
from scorefield.training.heldout import BINS, Evaluation, HeldOut, affordable
from scorefield.training.muon import Muon
from scorefield.training.optimizer import AdamW, clear, clip
from scorefield.training.precision import Precision, choose, unmeasured
from scorefield.training.rows import InTurn, Rows


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which step and noise level, and what is kept."""


@dataclass(frozen=True)
class Progress:
    """What one step of training reports.

    Args:
        step: steps done.
        loss: of this step's batch, per coordinate.
        learning_rate: used in this step.
        seconds: of training so far, over all runs.
        fraction: of the budget used, 0 to 1.
        evaluation: held-out losses, in steps that take them.
        last: why this step is the last one ("budget" or "no better held-out loss"), else None.
        snapshot: makes a copy of what is trained as it stands, with the moving average of its weights: the module, or
            where records are trained in a folder the `TrainedModel`, without what is measured at the end; to be called
            before the next step.
    """

    step: int
    loss: float
    learning_rate: float
    seconds: float
    fraction: float
    evaluation: Evaluation | None = None
    last: str | None = None
    snapshot: Callable[[], Any] | None = field(default=None, repr=False, compare=False)


def default_levels(sigma_min: float, sigma_max: float, sigma_data: float = 1.0, centre: float = -0.5) -> TrainingLevels:
    """Log-normal around the data's scale, a tenth of it spread log-uniformly so that no level goes untrained."""
    bulk = LogNormal(centre + math.log(sigma_data), 1.2, sigma_min, sigma_max)
    return Mixed(bulk, LogUniform(sigma_min, sigma_max), 0.1)


def train(
    model: nn.Module,
    x: Rows,
    *,
    settings: Settings,
    condition: Tensor | None = None,
    held: Rows | None = None,
    held_condition: Tensor | None = None,
    training_levels: TrainingLevels | None = None,
    weighting: Weighting | None = None,
    exact: Model | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    objective: Objective | None = None,
    preparation: float = 0.0,
) -> Iterator[Progress]:
    """Train a model, one optimiser step per turn of the loop; default: by multi-level denoising score matching.

    When the loop ends, or is left, the model holds the moving average of its weights: the one with the least
    held-out loss if held-out data are given, else the last.

    Args:
        model: trained in place. The default objective takes `sigma_min`, `sigma_max` and `sigma_data` from it.
        x: `(n, *shape)`, standardised data: a tensor on any device, or what makes the rows of a batch.
        condition: `(n, ...)`, what goes with each row.
        held: `(m, *shape)`, data for the held-out loss and early stopping.
        held_condition: what goes with them.
        training_levels: of the default objective: density over noise levels; default `default_levels`.
        weighting: of the default objective: of the levels; default EDM's with the model's sigma_data.
        exact: the data's exact model, where it is known: gives the floor of the held-out losses.
        checkpoint: a file to save to, atomically, every `checkpoint_every` seconds and at the end.
        resume: continue from that file, bit for bit as if never stopped (given the same settings).
        objective: in place of multi-level denoising.
        preparation: seconds spent before, which count as part of a budget of time (at most three quarters of it).

    Yields:
        One `Progress` per step.

    Raises:
        ValueError: for data of a wrong shape, or a checkpoint of another model or other settings.
        TrainingError: when the loss is no longer finite; the last checkpoint is kept.

    Example:
        >>> from scorefield import Denoiser
        >>> from scorefield.nets import ResidualMLP
        >>> x = normal(256, (2,), seed=0, purpose="example")
        >>> model = Denoiser(ResidualMLP(2, width=16, depth=1))
        >>> for progress in train(model, x, settings=Settings(steps=3, batch=32)):
        ...     pass
        >>> progress.step, progress.last
        (3, 'budget')
    """
    objective = _objective(model, objective, training_levels, weighting, settings.centre)
    _check_data(x, condition, held, held_condition, settings, objective.holes)
    device = next(model.parameters()).device
    begun = time.perf_counter()
    precision = unmeasured(settings.precision, device)
    if not resume:
        asked, batch, steps = settings.precision, settings.batch, settings.steps
        precision = choose(asked, model, objective, x, condition, batch, steps, device)
    run, wrapped = _start(model, settings, precision)
    run.preparation = preparation + time.perf_counter() - begun
    if resume:
        restore(run, checkpoint, settings)
    test: Callable[[int], HeldOut] | None = None
    if held is not None:
        test = functools.lru_cache(1)(functools.partial(HeldOut, held, held_condition, objective, exact, settings.seed))
    last = _finished(run, settings)
    try:
        again = recomputed(model) if settings.activation_checkpointing else nullcontext()
        with again, Workers(parts_of(wrapped, settings.batch // settings.accumulate, x.shape[1:], device)) as over:
            while last is None:
                rate = settings.learning_rate * _schedule(run, settings)
                with _clock(run, device):
                    if not wrapped.training:
                        wrapped.train()
                    samples = _batch(run, x, condition, settings, device)
                    loss = _step(run, wrapped, samples, objective, rate, settings, over)
                evaluation = None
                if test is not None and (_finished(run, settings) or run.step % settings.evaluate_every == 0):
                    with _clock(run, device):
                        points = affordable(min(run.step, settings.evaluate_every), settings.batch)
                        evaluation = _evaluate(run, wrapped, test(points), device)
                last = _finished(run, settings)
                if checkpoint is not None and (last or run.seconds - run.saved >= settings.checkpoint_every):
                    with _clock(run, device):
                        save(run, checkpoint, settings)
                share, snapshot = _fraction(run, settings), functools.partial(_snapshot, run)
                yield Progress(run.step, loss, rate, run.seconds, share, evaluation, last, snapshot)
    finally:
        copy_into(run.parameters, run.best if test is not None and run.evaluations else run.average)
        model.eval()


# ------------------------------------------------------------------------------------------------------- one step


def _positions(step: int, settings: Settings) -> tuple[int, int]:
    """This process's slice of a step's batch, as global sample numbers."""
    size = settings.batch // parallel.world()
    first = step * settings.batch + parallel.rank() * size
    return first, first + size


def _batch_index(step: int, settings: Settings, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and global sample numbers of this process's slice of a step's batch: each epoch is a fresh permutation."""
    first, end = _positions(step, settings)
    parts = []
    for epoch in range(first // n, (end - 1) // n + 1):
        order = _permutation(n, settings.seed, epoch)
        parts.append(order[max(first - epoch * n, 0) : end - epoch * n])
    return torch.cat(parts), torch.arange(first, end, device=device)


@functools.lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> Tensor:
    return uniform(n, (), seed, "epoch", row=epoch, dtype=torch.float64).argsort()


def _batch(
    run: RunState,
    x: Rows,
    condition: Tensor | None,
    settings: Settings,
    device: torch.device,
) -> Batch:
    """This process's slice of a step's samples, with what is random in it."""
    if isinstance(x, InTurn):
        first, end = _positions(run.step, settings)
        x0, row = x.in_turn(first, end)
        x0, number = x0.to(device), torch.arange(first, end, device=device)
    else:
        row, number = _batch_index(run.step, settings, len(x), device)
        x0 = x[row.to(x.device)].to(device)
    # levels are stratified over the batch: one in each of its equal parts
    place = (number % settings.batch).to(torch.float64)
    jitter = uniform(len(number), (), settings.seed, "levels", first=number, dtype=torch.float64, device=device)
    u = ((place + jitter) / settings.batch).to(x0.dtype)
    noise = normal(len(number), x0.shape[1:], settings.seed, "noise", first=number, dtype=x0.dtype, device=device)
    given = None
    if condition is not None:
        given = _dropped(condition[row.to(condition.device)].to(device), run.model, number, settings)
    return Batch(x0, Draws(noise, u, number), given)


def _step(
    run: RunState,
    wrapped: nn.Module,
    batch: Batch,
    objective: Objective,
    rate: float,
    settings: Settings,
    over: Workers,
) -> float:
    """One optimiser step; returns the batch's loss per coordinate, the same in every process."""
    clear(run.parameters)
    each, device = descend(wrapped, objective, run.precision, batch, over, settings.accumulate), batch.x0.device
    value = parallel.mean_over_processes([float(each.mean()) / batch.x0[0].numel()], device)[0]
    if not math.isfinite(value):
        raise TrainingError(_diverged(run.step + 1, each, batch.draws.u, objective, device))
    clip(run.parameters, settings.clip)
    run.optimizer.step(rate, over)
    run.step += 1
    _average(run, settings)
    return value


def _diverged(step: int, each: Tensor, u: Tensor, objective: Objective, device: torch.device) -> str:
    bad = ~torch.isfinite(each)
    worst = float(torch.as_tensor(objective.levels(u[bad]).ratio).max()) if bool(bad.any()) else 0.0
    sigma = parallel.mean_over_processes([worst], device)[0] * parallel.world()
    return (
        f"the loss is not finite at step {step}, noise level sigma = {sigma:.4g}: "
        "lower the learning rate or look for extreme values in the data; the last checkpoint is kept."
    )


def _dropped(condition: Tensor, model: nn.Module, number: Tensor, settings: Settings) -> Tensor:
    """The condition with a share of its rows replaced by 'none': the class after the last, or NaN."""
    if settings.condition_dropout == 0:
        return condition
    draw = uniform(len(number), (), settings.seed, "dropout", first=number, device=number.device)
    drop = draw < settings.condition_dropout
    if condition.is_floating_point():
        return condition.masked_fill(drop.reshape(-1, *[1] * (condition.ndim - 1)), math.nan)
    return condition.masked_fill(drop, cast(int, model.classes))


@torch.no_grad()
def _average(run: RunState, settings: Settings) -> None:
    samples = run.step * settings.batch
    halflife = min(settings.ema_halflife, settings.ema_share * samples)
    torch._foreach_lerp_(run.average, run.parameters, 1 - 0.5 ** (settings.batch / halflife))


@torch.no_grad()
def _snapshot(run: RunState) -> nn.Module:
    model = copy.deepcopy(run.model).eval()
    copy_into(list(model.parameters()), run.average)
    return model


# ---------------------------------------------------------------------------------------------------- the budget


@contextmanager
def _clock(run: RunState, device: torch.device) -> Iterator[None]:
    """Add the time of what is done inside, the mean over the processes, so that all of them end together.

    Also that of this thread on a processor, which is less where others want it; on a GPU the processor only waits.
    """
    begun, worked = time.perf_counter(), time.thread_time()
    yield
    wall = time.perf_counter() - begun
    processor = time.thread_time() - worked if device.type == "cpu" else wall
    wall, processor = parallel.mean_over_processes([wall, processor], device)
    run.seconds, run.processor = run.seconds + wall, run.processor + processor


def _fraction(run: RunState, settings: Settings) -> float:
    return spent(settings, run.step, run.seconds, run.preparation)


def _finished(run: RunState, settings: Settings) -> str | None:
    return ending(settings, _fraction(run, settings), run.stale)


def _schedule(run: RunState, settings: Settings) -> float:
    """Warm-up times a cosine to 0 over the budget."""
    warm = min(1.0, (run.step + 1) / settings.warmup) if settings.warmup else 1.0
    return warm * 0.5 * (1 + math.cos(math.pi * _fraction(run, settings)))


@torch.no_grad()
def _evaluate(run: RunState, wrapped: nn.Module, test: HeldOut, device: torch.device) -> Evaluation:
    """The held-out losses of the average; the best one's are taken again where they were taken at other points."""
    raw = [p.detach().clone() for p in run.parameters]
    wrapped.eval()
    with run.precision.autocast(device):
        if run.evaluations and test.points != run.points:
            copy_into(run.parameters, run.best)
            run.best_loss = sum(test.losses(wrapped, device)) / BINS
        run.points = test.points
        copy_into(run.parameters, run.average)
        losses = test.losses(wrapped, device)
    copy_into(run.parameters, raw)
    mean = sum(losses) / BINS
    best = mean < run.best_loss
    run.stale = 0 if best else run.stale + 1
    if best:
        run.best_loss = mean
        copy_into(run.best, run.average)
    run.evaluations.append(Evaluation(run.step, test.sigmas, losses, test.floors, mean, best))
    return run.evaluations[-1]


def _start(model: nn.Module, settings: Settings, precision: Precision) -> tuple[RunState, nn.Module]:
    wrapped = parallel.parallel(model, settings.sharded)
    parameters = list(model.parameters())
    copies = [[p.detach().clone() for p in parameters] for _ in range(2)]
    make = Muon if settings.optimizer == "muon" else AdamW
    optimizer = make(parameters, settings.weight_decay)
    return RunState(model, optimizer, copies[0], copies[1], precision), wrapped


def _objective(
    model: Any,
    objective: Objective | None,
    levels: TrainingLevels | None,
    weighting: Weighting | None,
    centre: float,
) -> Objective:
    if objective is None:
        levels = levels or default_levels(model.sigma_min, model.sigma_max, model.sigma_data, centre)
        return Multilevel(levels, weighting or EDM(model.sigma_data))
    if levels is not None or weighting is not None:
        raise ValueError("training_levels and weighting are for the default objective; give them to the objective.")
    return objective


def _check_data(
    x: Rows,
    condition: Tensor | None,
    held: Rows | None,
    held_condition: Tensor | None,
    settings: Settings,
    holes: bool,
) -> None:
    check_batch("x", x[:1])
    if len(x) == 0:
        raise ValueError("train needs at least one row of data, got none.")
    if held is not None and (held.shape[1:] != x.shape[1:] or len(held) == 0):
        raise ValueError(f"held must have rows of shape {tuple(x.shape[1:])}, got {tuple(held.shape)}.")
    for name, value, rows in (("condition", condition, x), ("held_condition", held_condition, held)):
        if value is not None and (rows is None or len(value) != len(rows)):
            raise ValueError(f"{name} must have one entry per row, got {len(value)}.")
    if condition is not None and held is not None and held_condition is None:
        raise ValueError("held_condition is missing: held-out rows of a conditional model need theirs.")
    if settings.batch % parallel.world():
        raise ValueError(
            f"the batch of {settings.batch} does not divide among {parallel.world()} processes; choose a multiple."
        )
    for name, data in (("x", x), ("held", held)):  # rows that are made when needed are checked by what makes them
        if not holes and isinstance(data, Tensor) and not bool(torch.isfinite(data).all()):
            row = int((~torch.isfinite(data.reshape(len(data), -1))).any(1).nonzero()[0])
            raise ValueError(f"{name} has NaN or infinite values, first in row {row}; remove or fill them.")


__all__ = ["Evaluation", "Progress", "Settings", "TrainingError", "default_levels", "train"]
