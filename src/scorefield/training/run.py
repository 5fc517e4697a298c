"""A training in a folder: what every kind of data does around the loop.

The folder of a run holds `fit.json` (what a resumed training must share), `checkpoint.safetensors` (its state) and,
once the training has ended, the model. A training that is killed at any moment and resumed ends in the same folder as
one that was never stopped, apart from the times it notes.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from scorefield import __version__, _files
from scorefield.core import Model
from scorefield.numerics.random import uniform
from scorefield.objectives.batch import Objective
from scorefield.training import parallel
from scorefield.training.checkpoint import Settings, Status, read_status
from scorefield.training.log import Logger, logged, losses_png, open_loggers
from scorefield.training.loop import Progress, train
from scorefield.training.rows import Rows

CHECKPOINT = "checkpoint.safetensors"
OPTIONS = "fit.json"
_FREE = ("source", "dialect")  # the same records may lie in another place, and be written in another way
_CHUNK = 1 << 20  # numbers at a time
DEFAULT_SECONDS = 180.0
"""Of training, where neither a time nor a number of steps is given."""


class Saved(Protocol):
    """A trained model that can be written to a folder."""

    def save(self, folder: str | Path) -> None:
        """Write it; of several processes the first writes."""
        ...


@dataclass(frozen=True, eq=False)
class Preparation:
    """A data set and a model ready for the loop.

    Args:
        model: to train, in place.
        x: training data `(n, *shape)`.
        held: held-out data.
        finish: makes the trained model, given what is known of the training (`training_info`).
        condition: what goes with each row of x.
        held_condition: what goes with the held-out rows.
        objective: default: multi-level denoising.
        exact: the data's exact model, where it is known.
        seconds: that the preparation took and that count as part of a budget of time, at most three quarters of it.
        look: makes what a `Progress.snapshot` is of a copy of the model; default: that copy.
        pictures: of the trained model, for loggers: by name a PNG file.
        close: called when the training ends, however it does: ends what reads ahead.
    """

    model: nn.Module
    x: Rows
    held: Rows
    finish: Callable[[dict[str, Any]], Saved]
    condition: Tensor | None = None
    held_condition: Tensor | None = None
    objective: Objective | None = None
    exact: Model | None = None
    seconds: float = 0.0
    look: Callable[[nn.Module], Any] | None = None
    pictures: Callable[[Any], Mapping[str, bytes]] | None = None
    close: Callable[[], None] | None = None

    def train(self, settings: Settings, checkpoint: Path | None = None, resume: bool = False) -> Iterator[Progress]:
        """The training loop, one step per turn."""
        loop = train(
            self.model,
            self.x,
            settings=settings,
            condition=self.condition,
            held=self.held,
            held_condition=self.held_condition,
            exact=self.exact,
            checkpoint=checkpoint,
            resume=resume,
            objective=self.objective,
            preparation=self.seconds,
        )
        return loop if self.look is None else (_with_look(progress, self.look) for progress in loop)


def _with_look(progress: Progress, look: Callable[[nn.Module], Any]) -> Progress:
    taken = progress.snapshot
    return progress if taken is None else replace(progress, snapshot=lambda: look(taken()))


def train_in_folder(
    folder: Path,
    options: Mapping[str, Any],
    prepare: Callable[[Settings], Preparation],
    *,
    default: Settings,
    settings: Settings | Mapping[str, Any] | None = None,
    resume: bool = False,
    log: Sequence[Logger] = (),
) -> Iterator[Progress]:
    """Train what `prepare` makes, checkpoint it in a folder, and write the trained model there at the end.

    A run that has ended and whose budget is not raised stays as it is, and nothing is yielded.

    Args:
        folder: of the run; held by a lock meanwhile.
        options: JSON-able: what a resumed training must share with the one that began.
        prepare: makes the data and the model ready, given the settings; a pure function of these and the options.
        default: settings where nothing else is said.
        settings: of the training; or some fields, in place of the stored ones when resuming, else of the default ones.
        resume: go on with what the folder holds.
        log: who is told of the training; of several processes the first one tells.

    Raises:
        ValueError: when the folder holds a training and resume is False, or one of other options or settings.
    """
    checkpoint = folder / CHECKPOINT
    with parallel.process_group() as device, parallel.folder_lock(folder):
        status = _status(folder, options, resume)
        settings = settings_for_run(None if status is None else status.settings, default, settings)
        if status is not None and status.ended(settings) and _holds_model(folder, status):
            return
        if status is None and parallel.rank() == 0:
            _files.write_json(folder / OPTIONS, options)
        heard = tuple(log) if parallel.rank() == 0 else ()
        done, spent = (0, 0.0) if status is None else (status.step, status.seconds)
        with open_loggers(heard, folder.name, {**options, **vars(settings)}, done):
            ready = prepare(settings)
            with contextlib.ExitStack() as end:
                if ready.close is not None:
                    end.callback(ready.close)
                ready.model.to(device)
                steps = ready.train(settings, checkpoint, status is not None)
                yield from logged(steps, heard, settings.batch, spent) if heard else steps
            parallel.wait_for_all()  # the first process has written the checkpoint
            made = ready.finish(training_info(checkpoint, ready.model))
            made.save(folder)
            if heard:
                _show(made, ready, read_status(checkpoint), heard)


def _show(made: Saved, ready: Preparation, status: Status, loggers: Sequence[Logger]) -> None:
    """Tell loggers in pictures what has come out."""
    pictures = {} if ready.pictures is None else dict(ready.pictures(made))
    if status.evaluations:
        pictures["held_out_losses"] = losses_png(status.evaluations)
    for name, png in pictures.items():
        for one in loggers:
            one.picture(name, status.step, png)


def settings_for_run(
    stored: Settings | None, default: Settings, given: Settings | Mapping[str, Any] | None
) -> Settings:
    """The settings of a training: the stored ones when it is resumed, else the default ones, with what is given.

    Args:
        stored: of a training that is resumed; None: of a new one.
        default: of a new one.
        given: settings as a whole, or fields; steps or seconds among these replace the whole budget.

    Example:
        >>> settings_for_run(None, Settings(seconds=60.0), {"steps": 5, "seed": 1}).seconds is None
        True
    """
    if isinstance(given, Settings):
        return given
    fields = {name: value for name, value in (given or {}).items() if value is not None}
    if "steps" in fields or "seconds" in fields:
        fields = {"steps": None, "seconds": None, **fields}
    return replace(stored or default, **fields)


def _status(folder: Path, options: Mapping[str, Any], resume: bool) -> Status | None:
    """Where the training in a folder stands; None where it begins, also if it was stopped before a checkpoint."""
    checkpoint = folder / CHECKPOINT
    if not checkpoint.exists():
        return None
    if not resume:
        raise ValueError(f"{folder} holds a training already; go on with it by --resume, or take another folder.")
    stored = _files.read_json(folder / OPTIONS)
    for name, value in json.loads(json.dumps(options)).items():  # as a file has it
        if stored.get(name, value) != value and name not in _FREE:
            raise ValueError(
                f"{folder} was trained with {_difference(name, stored[name], value)}; resume it with the same, or take "
                "another folder."
            )
    return read_status(checkpoint)


def _difference(name: str, stored: object, value: object) -> str:
    contents = {
        "records": "other records",
        "rows": "other rows",
        "class_labels": "other labels",
        "autoencoder": "another autoencoder, or none",
        "schema": "another schema",
    }
    return contents.get(name) or f"{name} = {_files.shown(stored)}, not {_files.shown(value)}"


def _holds_model(folder: Path, status: Status) -> bool:
    """Whether the folder's model was written at the end of the training that the checkpoint holds."""
    try:
        header = _files.read_json(folder / "model.json")
        weights = _files.read_state(folder / "model.safetensors")
    except _files.FileError:
        return False
    info = header.get("info", {}).get("training", {})
    whole = isinstance(weights, dict) and weights.get("weights") == header.get("weights")
    return whole and info.get("steps") == status.step and info.get("seconds") == round(status.seconds, 1)


def training_info(checkpoint: Path, model: nn.Module) -> dict[str, Any]:
    """What is known of a training that has ended, JSON-able.

    Raises:
        ValueError: for a held-out loss that is not finite.
    """
    status = read_status(checkpoint)
    if any(not math.isfinite(v) for e in status.evaluations for v in e.losses):
        raise ValueError(f"{checkpoint.parent}: a held-out loss is not finite; lower the learning rate and fit again.")
    training = {
        "steps": status.step,
        "seconds": round(status.seconds, 1),
        "processor": round(status.processor, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "precision": None if status.precision is None else vars(status.precision),
        "settings": dict(vars(status.settings)),
        "evaluations": [vars(e) for e in status.evaluations],
    }
    return {"training": training, "version": __version__, "torch": str(torch.__version__)}


def sigma_range(x: Rows) -> tuple[float, float]:
    """The noise levels to train on: from 0.002 to twice the data's diameter, at least 20, in standard deviations.

    Song and Ermon (2020) take the greatest distance between two points as the greatest noise level. Twice that leaves
    the noised data so close to a Gaussian that sampling may start from one.

    Args:
        x: `(n, *shape)`, standardised data.
    """
    n = min(len(x), 2048)
    order = uniform(len(x), (), 0, "diameter", dtype=torch.float64).argsort()[:n]
    diameter, step = 1.0 if n == 1 else 0.0, max(1, _CHUNK // x[:1].numel())
    for start in range(0, n if n > 1 else 0, step):  # so that pairs of large images fit into memory
        one = torch.arange(start, min(start + step, n))
        apart = x[order[one]] - x[order[one - 1]]
        diameter = max(diameter, float(apart.flatten(1).norm(dim=1).max()))
    return 0.002, max(20.0, 2 * diameter)
