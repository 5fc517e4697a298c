"""The command on models of records: distil."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from scorefield import _ranges
from scorefield.cli.app import Seed, TrainingSteps, app, ranged, seconds
from scorefield.cli.progress import ProgressBar, watch


@app.command(
    help_epilogue="""Examples:
  scorefield distil run --steps 2 --time 3m
  scorefield sample run -n 1000 -o new.png --steps 2        takes the network of 2 evaluations by itself"""
)
def distil(
    run: Path,
    *,
    steps: Annotated[int, ranged(_ranges.DISTILLED)],
    time: str | None = None,
    training_steps: TrainingSteps | None = None,
    seed: Seed = 0,
    quiet: bool = False,
) -> None:
    """Train a network that draws with few evaluations as the model does with many, and store it in the run.

    It learns from the model alone, without data, to take long steps along the model's flow. It draws, without guidance;
    densities, restoration and all else stay with the model, and `sample` with other --steps, too.

    Args:
        run: folder of a trained model of arrays or images.
        steps: network evaluations per sample.
        time: in all; the model's draws to learn from take a third at most; 3m unless --training-steps is given.
        training_steps: optimiser steps, instead of a time or together with it.
        seed: of everything random.
        quiet: show no progress.
    """
    from scorefield import runs
    from scorefield.records import TrainedModel
    from scorefield.records import distil as distilling
    from scorefield.training import parallel
    from scorefield.training.run import settings_for_run

    given = {"seconds": None if time is None else seconds(time), "steps": training_steps, "seed": seed}
    settings = settings_for_run(None, distilling.DEFAULT, given)
    with parallel.folder_lock(run):
        model = runs.load_for(run, "distil")
        with ProgressBar("paths of the model", quiet) as bar:
            ready = distilling.prepare(model, steps, settings=settings, seed=seed, report=bar)
        last = watch(ready.train(settings), quiet)
        info = {} if last is None else {"steps": last.step, "seconds": round(last.seconds, 1)}
        ready.finish(info).save(run)
    print(distilling.compared(TrainedModel.load(run), steps))
    print(f"{run}: a network of {steps} evaluation(s) is stored; `scorefield sample {run} --steps {steps}` takes it.")
