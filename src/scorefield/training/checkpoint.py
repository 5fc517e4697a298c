"""What changes while training, saved to one file and taken up again bit for bit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scorefield import _files
from scorefield.training import parallel
from scorefield.training.heldout import Evaluation


@dataclass(frozen=True)
class Settings:
    """How to train. The budget is `steps`, `seconds`, or both (whichever ends first).

    Args:
        steps: optimiser steps in all.
        seconds: training time in all, over all runs of a resumed training.
        batch: samples per step, over all processes together.
        learning_rate: of AdamW, after warm-up; it falls to 0 along a cosine over the budget.
        warmup: steps of linear warm-up.
        weight_decay: of AdamW.
        clip: greatest norm of the gradient.
        ema_halflife: of the weights' moving average, in samples; shortened early (see ema_share).
        ema_share: the half-life is never more than this share of the samples seen so far.
        evaluate_every: steps between held-out losses.
        patience: stop after this many evaluations without a better held-out loss; None: never.
        checkpoint_every: seconds of training between checkpoints.
        condition_dropout: share of samples trained without their class, for an unconditional model as well.
        precision: "auto" (bf16 on GPUs that have it, float32 elsewhere), "float32" or "bf16".
        sharded: with several processes, shard weights and optimiser (FSDP2) instead of copying them (DDP).
        seed: of everything random; step k's batch, levels and noise are a pure function of (seed, k, position).
    """

    steps: int | None = None
    seconds: float | None = None
    batch: int = 128
    learning_rate: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.01
    clip: float = 1.0
    ema_halflife: float = 200_000.0
    ema_share: float = 0.05
    evaluate_every: int = 250
    patience: int | None = 20
    checkpoint_every: float = 15.0
    condition_dropout: float = 0.1
    precision: str = "auto"
    sharded: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps is None and self.seconds is None:
            raise ValueError("Settings needs a budget: give steps=..., seconds=..., or both.")
        for name in (
            "steps",
            "seconds",
            "batch",
            "learning_rate",
            "clip",
            "ema_halflife",
            "evaluate_every",
            "checkpoint_every",
        ):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"Settings({name}=...) must be positive and finite, got {value}.")
        if self.precision not in ("auto", "float32", "bf16"):
            raise ValueError(f"Settings(precision=...) is 'auto', 'float32' or 'bf16', got {self.precision!r}.")


@dataclass
class RunState:
    """What changes while training: all of it is in a checkpoint."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: list[Tensor]
    best: list[Tensor]
    best_loss: float = math.inf
    stale: int = 0
    step: int = 0
    seconds: float = 0.0
    preparation: float = 0.0
    saved: float = 0.0
    evaluations: list[Evaluation] = field(default_factory=list)

    @property
    def parameters(self) -> list[Tensor]:
        """The model's parameters, in the order of the averages."""
        return list(self.model.parameters())


@torch.no_grad()
def copy_into(into: list[Tensor], values: list[Tensor]) -> None:
    """Overwrite tensors in place."""
    for a, b in zip(into, values, strict=True):
        a.copy_(b)


def save(run: RunState, path: Path, settings: Settings) -> None:
    """Write a run's state to one file, atomically; with several processes all must call, and the first writes."""
    tensors: dict[str, Tensor] = {}
    for k, (name, p) in enumerate(run.model.named_parameters()):
        tensors[f"weights/{name}"] = parallel.whole(p.detach())
        tensors[f"average/{name}"] = parallel.whole(run.average[k])
        tensors[f"best/{name}"] = parallel.whole(run.best[k])
        for key, value in run.optimizer.state[p].items():
            tensors[f"optimizer/{key}/{name}"] = parallel.whole(value)
    state = {
        "step": run.step,
        "seconds": run.seconds,
        "preparation": run.preparation,
        "best_loss": run.best_loss if math.isfinite(run.best_loss) else None,
        "stale": run.stale,
        "evaluations": [asdict(e) for e in run.evaluations],
        "settings": asdict(settings),
    }
    run.saved = run.seconds
    if parallel.rank() == 0:
        _files.write_tensors(path, tensors, state)


def restore(run: RunState, path: Path | None, settings: Settings) -> None:
    """Continue from a file of `save`.

    Raises:
        FileError: for a missing, truncated or foreign file, or another model's.
        ValueError: for other settings than those it was trained with.
    """
    if path is None:
        raise ValueError("resume=True needs checkpoint=...: the file to continue from.")
    tensors, state = _files.read_tensors(path)
    try:
        _check_settings(path, state["settings"], settings)
        for k, (name, p) in enumerate(run.model.named_parameters()):
            copy_into([p], [parallel.sharded_like(tensors[f"weights/{name}"], p)])
            copy_into([run.average[k]], [parallel.sharded_like(tensors[f"average/{name}"], p)])
            copy_into([run.best[k]], [parallel.sharded_like(tensors[f"best/{name}"], p)])
            keys = [key.split("/")[1] for key in tensors if key.startswith("optimizer/") and key.endswith(f"/{name}")]
            moments = {key: tensors[f"optimizer/{key}/{name}"] for key in keys}
            run.optimizer.state[p] = {
                key: value if key == "step" else parallel.sharded_like(value, p) for key, value in moments.items()
            }
        run.step, run.seconds, run.stale = state["step"], state["seconds"], state["stale"]
        run.preparation = state.get("preparation", 0.0)  # older checkpoints have none
        run.saved = run.seconds
        run.best_loss = math.inf if state["best_loss"] is None else state["best_loss"]
        run.evaluations = _evaluations(state)
    except (KeyError, TypeError, RuntimeError) as error:
        raise _files.FileError(
            f"{path}: this checkpoint does not fit the model ({error}); it is another model's: give a new folder."
        ) from None


def _evaluations(state: dict[str, Any]) -> list[Evaluation]:
    stored: list[dict[str, Any]] = state["evaluations"]
    stored = [{k: tuple(v) if isinstance(v, list) else v for k, v in e.items()} for e in stored]
    return [Evaluation(**fields) for fields in stored]


_FREE = ("steps", "seconds", "patience", "checkpoint_every", "sharded")  # may differ when training is resumed


def _check_settings(path: Path, stored: dict[str, Any], settings: Settings) -> None:
    for name, value in asdict(settings).items():
        if name not in _FREE and stored.get(name) != value:
            raise ValueError(
                f"{path}: was trained with {name} = {stored.get(name)!r}, now {value!r} is asked; "
                "resume with the same settings."
            )


def spent(settings: Settings, step: int, seconds: float, preparation: float = 0.0) -> float:
    """The share of the budget that is used, 0 to 1; of a budget of time, preparation takes at most half."""
    by_steps = 0.0 if settings.steps is None else step / settings.steps
    by_time = 0.0
    if settings.seconds is not None:
        by_time = seconds / (settings.seconds - min(preparation, settings.seconds / 2))
    return min(1.0, max(by_steps, by_time))


def ending(settings: Settings, fraction: float, stale: int) -> str | None:
    """Why a training ends: "budget" or "no better held-out loss"; None while it goes on."""
    if fraction >= 1:
        return "budget"
    if settings.patience is not None and stale >= settings.patience:
        return "no better held-out loss"
    return None


@dataclass(frozen=True)
class Status:
    """Where a training stands, as its checkpoint says.

    Args:
        settings: that it was trained with.
        evaluations: of the held-out rows.
        step: steps done.
        seconds: of training so far, over all runs.
        preparation: seconds before the first step that count as part of a budget of time.
        stale: evaluations since the best one.
    """

    settings: Settings
    evaluations: tuple[Evaluation, ...]
    step: int
    seconds: float
    preparation: float
    stale: int

    def ended(self, settings: Settings) -> bool:
        """Whether a training with these settings would take no further step."""
        return ending(settings, spent(settings, self.step, self.seconds, self.preparation), self.stale) is not None


def read_status(path: Path) -> Status:
    """The status in a checkpoint, from the file's header.

    Raises:
        FileError: for a missing, truncated or foreign file.
    """
    state = _files.read_state(path)
    try:
        return Status(
            Settings(**state["settings"]),
            tuple(_evaluations(state)),
            state["step"],
            state["seconds"],
            state.get("preparation", 0.0),
            state["stale"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _files.FileError(f"{path}: not a checkpoint of a training ({error}); give a new folder.") from None
