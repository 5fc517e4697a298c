"""What changes while training, saved to one file and taken up again bit for bit."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scorefield import _files
from scorefield._files import shown
from scorefield._ranges import PARTS, SEED, real, whole
from scorefield.training import parallel, sharded
from scorefield.training.heldout import POINTS, Evaluation
from scorefield.training.muon import Muon
from scorefield.training.optimizer import AdamW
from scorefield.training.precision import PRECISIONS, Precision

OPTIMIZERS = ("adamw", "muon")
"""What a training may step by."""


@dataclass(frozen=True)
class Settings:
    """How to train. The budget is `steps`, `seconds`, or both (whichever ends first).

    Args:
        steps: optimiser steps in all.
        seconds: training time in all, over all runs of a resumed training.
        batch: samples per step, over all processes together.
        learning_rate: after warm-up; it falls to 0 along a cosine over the budget.
        warmup: steps of linear warm-up.
        optimizer: "adamw", or "muon", whose steps along matrices are orthogonal; the learning rate is that of both.
        weight_decay: per unit of the learning rate.
        clip: greatest norm of the gradient.
        ema_halflife: of the weights' moving average, in samples; shortened early (see ema_share).
        ema_share: the half-life is never more than this share of the samples seen so far.
        evaluate_every: steps between held-out losses.
        patience: stop after this many evaluations without a better held-out loss; None: never.
        checkpoint_every: seconds of training between checkpoints.
        centre: of the default objective: the middle of the levels trained on, as log(sigma / sigma_data).
        condition_dropout: share of samples trained without their class, for an unconditional model as well.
        precision: "auto" (bf16 on GPUs that have it and where it is measured to be faster, else float32; decided once,
            when a run begins), "float32" or "bf16".
        sharded: with several processes, shard weights and optimiser (FSDP2) instead of copying them (DDP).
        accumulate: parts that a process goes through its share of a batch in, one after the other: the gradients are
            those of the whole, to rounding, in the memory of a part.
        activation_checkpointing: keep only the inputs of a network's blocks and compute the rest again on the way back:
            the same gradients in less memory and more time.
        seed: of everything random; step k's batch, levels and noise are a pure function of (seed, k, position).
    """

    steps: int | None = None
    seconds: float | None = None
    batch: int = 128
    learning_rate: float = 2e-3
    warmup: int = 100
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    clip: float = 1.0
    ema_halflife: float = 200_000.0
    ema_share: float = 0.05
    evaluate_every: int = 250
    patience: int | None = 20
    checkpoint_every: float = 15.0
    centre: float = -0.5
    condition_dropout: float = 0.1
    precision: str = "auto"
    sharded: bool = False
    accumulate: int = 1
    activation_checkpointing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps is None and self.seconds is None:
            raise ValueError("Settings needs a budget: give steps=..., seconds=..., or both.")
        for name, check in _RANGES.items():
            value = getattr(self, name)
            if value is not None or name in _NEEDED:
                check(f"Settings({name}=...)", value)
        if self.precision not in PRECISIONS:
            raise ValueError(f"Settings(precision=...) is 'auto', 'float32' or 'bf16', got {shown(self.precision)}.")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"Settings(optimizer=...) is 'adamw' or 'muon', got {shown(self.optimizer)}.")
        for name in ("sharded", "activation_checkpointing"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"Settings({name}=...) is True or False, got {shown(getattr(self, name))}.")
        if self.accumulate > self.batch:
            raise ValueError(f"a batch of {self.batch} cannot be cut into accumulate = {self.accumulate} parts.")


_RANGES = {
    "steps": whole(1, 10**12),
    "seconds": real(0, 1e9, open_low=True),
    "batch": whole(1, 2**31),
    "centre": real(-10, 10),
    "learning_rate": real(0, 1e3, open_low=True),
    "warmup": whole(0, 10**12),
    "weight_decay": real(0, 1e3),
    "clip": real(0, 1e300, open_low=True),
    "ema_halflife": real(0, 1e300, open_low=True),
    "ema_share": real(0, 1),
    "evaluate_every": whole(1, 10**12),
    "patience": whole(0, 10**12),
    "checkpoint_every": real(0, 1e9, open_low=True),
    "condition_dropout": real(0, 1),
    "accumulate": PARTS,
    "seed": SEED,
}
_NEEDED = frozenset(_RANGES) - {"steps", "seconds", "patience"}


@dataclass
class RunState:
    """What changes while training: all of it is in a checkpoint, but for `saved`.

    Args:
        model: with its weights.
        optimizer: with its moments.
        average: the weights' moving average.
        best: the one with the least held-out loss.
        precision: that the training computes in.
        best_loss: its held-out loss.
        stale: evaluations since.
        step: steps done.
        seconds: of training so far, over all runs.
        processor: those of them that the training had a processor.
        preparation: seconds before the first step that count as part of a budget of time.
        saved: at how many seconds the last checkpoint was written.
        points: that the best held-out loss was taken at.
        evaluations: of the held-out rows.
    """

    model: nn.Module
    optimizer: AdamW | Muon
    average: list[Tensor]
    best: list[Tensor]
    precision: Precision
    best_loss: float = math.inf
    stale: int = 0
    step: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    preparation: float = 0.0
    saved: float = 0.0
    points: int = POINTS
    evaluations: list[Evaluation] = field(default_factory=list)

    @property
    def parameters(self) -> list[Tensor]:
        """The model's parameters, in the order of the averages."""
        return self.optimizer.parameters


@torch.no_grad()
def copy_into(into: list[Tensor], values: list[Tensor]) -> None:
    """Overwrite tensors in place."""
    for a, b in zip(into, values, strict=True):
        a.copy_(b)


def save(run: RunState, path: Path, settings: Settings) -> None:
    """Write a run's state to one file, atomically; with several processes all must call, and the first writes."""
    state: dict[str, Any] = {
        "step": run.step,
        "seconds": run.seconds,
        "processor": run.processor,
        "preparation": run.preparation,
        "best_loss": run.best_loss if math.isfinite(run.best_loss) else None,
        "stale": run.stale,
        "points": run.points,
        "precision": asdict(run.precision),
        "evaluations": [asdict(e) for e in run.evaluations],
        "settings": asdict(settings),
    }
    run.saved = run.seconds
    tensors = _tensors(run)
    if settings.sharded and parallel.world() > 1:
        shards = path.with_name(f"{path.stem}-{run.step}")
        sharded.write(shards, tensors)
        if parallel.rank() == 0:  # from here on the new shards count
            _files.write_tensors(path, {}, {**state, "shards": shards.name})
            sharded.remove_others(shards)
        return
    tensors = {name: parallel.whole(value) for name, value in tensors.items()}
    if parallel.rank() == 0:
        _files.write_tensors(path, tensors, state)
        sharded.remove_others(path.with_name(f"{path.stem}-"))


def _tensors(run: RunState) -> dict[str, Tensor]:
    """All tensors of a run by their names in files, as they are in this process."""
    found: dict[str, Tensor] = {}
    for k, (name, p) in enumerate(run.model.named_parameters()):
        found |= {f"weights/{name}": p.detach(), f"average/{name}": run.average[k], f"best/{name}": run.best[k]}
        found |= {f"optimizer/{key}/{name}": value for key, value in run.optimizer.state[p].items()}
    return found


def restore(run: RunState, path: Path | None, settings: Settings) -> None:
    """Continue from a file of `save`.

    Raises:
        FileError: for a missing, truncated or foreign file, or another model's.
        ValueError: for other settings than those it was trained with.
    """
    if path is None:
        raise ValueError("resume=True needs checkpoint=...: the file to continue from.")
    tensors, state = _files.read_tensors(path)
    stored = _status(path, state)
    _check_settings(path, stored.settings, settings)
    if stored.shards is not None:
        sharded.read(path.with_name(stored.shards), _tensors(run))
    else:
        with _files.reading(path, "a checkpoint of this model", fix="; it is another model's: give a new folder"):
            for name, into in _tensors(run).items():
                if name in tensors or not name.startswith("optimizer/"):  # older files lack what had no gradient
                    copy_into([into], [parallel.sharded_like(tensors[name], into)])
    run.step, run.seconds, run.preparation, run.stale = stored.step, stored.seconds, stored.preparation, stored.stale
    run.saved, run.processor = run.seconds, stored.processor
    run.precision = stored.precision or run.precision
    run.best_loss, run.points, run.evaluations = stored.best_loss, stored.points, list(stored.evaluations)


def _evaluation(fields: dict[str, Any]) -> Evaluation:
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    made = Evaluation(**given)
    _count("evaluations.step", made.step)
    losses = [_number("evaluations.losses", value) for value in made.losses]
    finite = all(map(math.isfinite, losses))  # those of a training that diverged are not, nor is their mean
    for name, values in (("sigmas", made.sigmas), ("floors", made.floors or ()), ("mean", (made.mean,))):
        for value in values:
            if not math.isfinite(_number(f"evaluations.{name}", value)) and (name != "mean" or finite):
                raise ValueError(f"evaluations.{name} cannot be {value}")
    return made


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError(f"{name} is a whole number >= 0, got {_files.shown(value)}")
    return value


def _seconds(value: Any) -> float:
    seconds = _number("seconds", value)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"seconds is a time, got {seconds}")
    return seconds


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} is a number, got {_files.shown(value)}")
    return float(value)


def _precision(fields: dict[str, Any]) -> Precision:
    made = Precision(**fields)
    if made.name not in PRECISIONS[1:]:
        raise ValueError(f"precision.name is float32 or bf16, got {_files.shown(made.name)}")
    if made.gain is not None:
        _number("precision.gain", made.gain)
    return made


def _shards(path: Path, name: Any) -> str | None:
    if name is not None and not (isinstance(name, str) and re.fullmatch(re.escape(path.stem) + "-[0-9]{1,12}", name)):
        raise ValueError(f"shards cannot be {_files.shown(name)}")
    return name


_FREE = (
    "steps",
    "seconds",
    "patience",
    "checkpoint_every",
    "sharded",
    "accumulate",
    "activation_checkpointing",
)  # may differ when training is resumed


def _check_settings(path: Path, stored: Settings, settings: Settings) -> None:
    for name, value in asdict(settings).items():
        before = getattr(stored, name)
        if name not in _FREE and before != value:
            raise ValueError(
                f"{path}: was trained with {name} = {before!r}, now {value!r} is asked; resume with the same settings."
            )


def spent(settings: Settings, step: int, seconds: float, preparation: float = 0.0) -> float:
    """The share of the budget that is used, 0 to 1; of a budget of time, preparation takes at most three quarters."""
    by_steps = 0.0 if settings.steps is None else step / settings.steps
    by_time = 0.0
    if settings.seconds is not None:
        by_time = seconds / (settings.seconds - min(preparation, 0.75 * settings.seconds))
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
        processor: those of them that the training had a processor; all of them in older checkpoints.
        preparation: seconds before the first step that count as part of a budget of time.
        stale: evaluations since the best one.
        best_loss: of the best one; infinite where there is none.
        points: that it was taken at.
        precision: that the training computes in; None in older checkpoints.
        shards: the folder beside it that holds the tensors, where processes wrote their own parts.
    """

    settings: Settings
    evaluations: tuple[Evaluation, ...]
    step: int
    seconds: float
    processor: float
    preparation: float
    stale: int
    best_loss: float
    points: int
    precision: Precision | None
    shards: str | None = None

    def ended(self, settings: Settings) -> bool:
        """Whether a training with these settings would take no further step."""
        return ending(settings, spent(settings, self.step, self.seconds, self.preparation), self.stale) is not None


def read_status(path: Path) -> Status:
    """The status in a checkpoint, from the file's header.

    Raises:
        FileError: for a missing, truncated or foreign file.
    """
    return _status(path, _files.read_state(path))


def _status(path: Path, state: Any) -> Status:
    with _files.reading(path, "a checkpoint", fix="; it is another program's or damaged: fit again"):
        loss = state["best_loss"]
        return Status(
            Settings(**state["settings"]),
            tuple(_evaluation(fields) for fields in state["evaluations"]),
            _count("step", state["step"]),
            _seconds(state["seconds"]),
            _seconds(state.get("processor", state["seconds"])),
            _number("preparation", state.get("preparation", 0.0)),  # older checkpoints have none
            _count("stale", state["stale"]),
            math.inf if loss is None else _number("best_loss", loss),
            _count("points", state.get("points", POINTS)),
            _precision(state["precision"]) if "precision" in state else None,
            _shards(path, state.get("shards")),
        )
