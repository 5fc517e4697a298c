"""A training in a folder: what every kind of data does around the loop."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scorefield import __version__, _files
from scorefield.numerics.random import uniform
from scorefield.training.checkpoint import Settings, read_progress
from scorefield.training.loop import Progress

CHECKPOINT = "checkpoint.safetensors"
DEFAULT_SECONDS = 180.0
"""Of training, where neither a time nor a number of steps is given."""


def sigma_range(x: Tensor) -> tuple[float, float]:
    """The noise levels to train on: from 0.002 to twice the data's diameter, at least 20, in standard deviations.

    Song and Ermon (2020) take the greatest distance between two points as the greatest noise level. Twice that leaves
    the noised data so close to a Gaussian that sampling may start from one.

    Args:
        x: `(n, *shape)`, standardised data.
    """
    n = min(len(x), 2048)
    order = uniform(len(x), (), 0, "diameter", dtype=torch.float64).argsort()[:n]
    flat = x[order].reshape(n, -1)
    diameter = float((flat - flat.roll(1, 0)).norm(dim=1).max()) if n > 1 else 1.0
    return 0.002, max(20.0, 2 * diameter)


def check_same(folder: Path, options: Mapping[str, Any]) -> None:
    """Raise unless a folder's training was begun with these options; the place of the data may be another."""
    stored = _files.read_json(folder / "fit.json")
    for name, value in options.items():
        if stored.get(name) != value and name != "source":
            what = (
                "other records"
                if name == "records"
                else f"{name} = {_files.shown(stored.get(name))}, not {_files.shown(value)}"
            )
            raise ValueError(f"{folder} was trained with {what}; resume it with the same, or take another folder.")


def training_info(checkpoint: Path, model: nn.Module) -> dict[str, Any]:
    """What is known of a training that has ended, JSON-able.

    Raises:
        ValueError: for a held-out loss that is not finite.
    """
    settings, evaluations, steps, seconds = read_progress(checkpoint)
    if any(not math.isfinite(v) for e in evaluations for v in e.losses):
        raise ValueError(f"{checkpoint.parent}: a held-out loss is not finite; lower the learning rate and fit again.")
    training = {
        "steps": steps,
        "seconds": round(seconds, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "settings": dict(vars(settings)),
        "evaluations": [vars(e) for e in evaluations],
    }
    return {"training": training, "version": __version__, "torch": str(torch.__version__)}


def watch(loop: Iterator[Progress], settings: Settings, quiet: bool = False) -> Progress | None:
    """Run a training to its end with a bar: rate, loss, held-out loss, time left. Returns its last step's report."""
    from tqdm import tqdm

    last, held = None, ""
    layout = "{percentage:3.0f}%|{bar:24}| {desc}"
    first = next(loop, None)  # before the bar: what is wrong with the data is said on a clean line
    with tqdm(total=1000, bar_format=layout, disable=quiet, mininterval=0.2) as bar:
        for last in loop if first is None else chain((first,), loop):
            if last.evaluation is not None:
                held = f"  held-out {last.evaluation.mean:.4f}{'' if last.evaluation.best else ' (best was lower)'}"
            left = last.seconds * (1 / last.fraction - 1) if last.fraction > 0 else 0.0
            rate = last.step / last.seconds if last.seconds else 0.0
            text = f"step {last.step:,}  {rate:.1f} steps/s  loss {last.loss:.4f}{held}  {_clock(left)} left"
            bar.set_description_str(text, refresh=False)
            bar.update(int(1000 * last.fraction) - bar.n)
    return last


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
