"""The demo: scikit-learn's handwritten digits, from the data to a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from scorefield import data
from scorefield.cli.progress import watch
from scorefield.records import evaluate, fit
from scorefield.records.trained import TrainedModel
from scorefield.report.records import write_report
from scorefield.training.run import CHECKPOINT

TRAINING = 1_500  # steps, a minute or two on two idle cores: a busy machine gives the same digits later
STEPS = 24  # network evaluations per sample
SHARE = 0.2  # of the digits, held out


def demo(folder: Path, seconds: float | None = None, seed: int = 0) -> None:
    """Fit the digits, draw new ones, compare them with held-out ones, write a report, and say where all is.

    Args:
        folder: to write to; a run of an earlier demo in it is replaced.
        seconds: of training; default: 1,500 steps, however long they take.
        seed: of everything random.
    """
    run = folder / "run"
    (run / CHECKPOINT).unlink(missing_ok=True)
    steps = TRAINING if seconds is None else None
    settings = replace(fit.GRID_DEFAULT, steps=steps, seconds=seconds, seed=seed, patience=None)
    budget = f"{TRAINING} steps" if seconds is None else f"{seconds:.0f} s"
    print(f"Training on scikit-learn's 8x8 handwritten digits for {budget} ...")
    watch(fit.fit("digits", run, settings=settings, held_share=SHARE))
    model = TrainedModel.load(run)
    print(f"Drawing digits with {STEPS} network evaluations each, and comparing them with held-out ones ...")
    result = evaluate.evaluate(model, "digits", steps=STEPS, seed=seed)
    digits = torch.arange(10).repeat_interleave(10)
    data.write(folder / "samples.png", model.sample(100, steps=STEPS, seed=seed + 1, condition=digits))
    write_report(folder / "report.html", model, result)
    print(result.table())
    print(f"run:     {run}\nsamples: {folder / 'samples.png'}\nreport:  {folder / 'report.html'}")
