"""The command line: fit, sample, evaluate, info, demo. torch is imported by the commands, not by `--help`."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from cyclopts import App, CycloptsError, Parameter

from scorefield import __version__

if TYPE_CHECKING:
    from scorefield.checkpoint import Settings

app = App(
    name="scorefield",
    help="Score matching from a data file: fit a model, draw samples, say how good they are.",
    help_epilogue="""Examples:
  scorefield demo                             digits: fit, sample, evaluate, report
  scorefield fit table.csv -o run --time 2m   fit a model to a table
  scorefield sample run -n 1000 -o new.csv    draw new rows
  scorefield evaluate run table.csv           compare them with held-out rows""",
    help_format="plaintext",
    version=__version__,
    default_parameter=Parameter(negative=()),
)

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """A duration such as 90s, 2m, 1h30m or 45 (seconds) in seconds.

    Example:
        >>> seconds("2m"), seconds("1h30m"), seconds("45")
        (120.0, 5400.0, 45.0)
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not parts or "".join(a + b for a, b in parts) != text or any(not unit for _, unit in parts[:-1]):
        raise ValueError(f"a duration is written as 90s, 2m or 1h30m, got {text!r}.")
    total = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if total <= 0:
        raise ValueError(f"a duration must be more than nothing, got {text!r}.")
    return total


@app.command(
    help_epilogue="""Examples:
  scorefield fit table.csv -o run --time 2m
  scorefield fit digits -o run --steps 2000 --seed 1
  torchrun --nproc-per-node 2 -m scorefield fit images/ -o run --time 1h"""
)
def fit(
    data: str,
    *,
    output: Annotated[Path, Parameter(("--output", "-o"))],
    time: str | None = None,
    steps: int | None = None,
    seed: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    size: Literal["auto", "small", "medium", "large"] = "auto",
    condition: Literal["label", "none"] | None = None,
    energy: bool = False,
    dequantise: Annotated[bool | None, Parameter(negative="--no-dequantise")] = None,
    held: float = 0.1,
    checkpoint_every: str = "15s",
    fsdp: bool = False,
    resume: bool = False,
    quiet: bool = False,
) -> None:
    """Fit a score model to a data file.

    Args:
        data: a .csv, .parquet, .npy or .npz file, a folder of images, or a built-in set (digits, wine, ring, ...).
        output: folder to write the run to.
        time: training time, such as 90s, 2m or 1h30m; 3m unless --steps is given.
        steps: optimiser steps, instead of a time or beside it.
        seed: of everything random; 0 unless given.
        batch: rows per step; 128 unless given.
        learning_rate: of AdamW after warm-up; 2e-3 unless given.
        size: of the network.
        condition: learn the records given their class label, or not; default: for images that have labels.
        energy: learn an energy, whose gradient is the score (tables).
        dequantise: spread whole numbers by uniform noise, for a density; tables do unless --no-dequantise.
        held: share of the rows held out.
        checkpoint_every: training time between checkpoints.
        fsdp: with several processes, shard the weights (FSDP2) instead of copying them (DDP).
        resume: go on with what the folder holds, also after a crash.
        quiet: show no progress.
    """
    from scorefield import fitting, parallel

    given = {"seed": seed, "batch": batch, "learning_rate": learning_rate}
    free = {"sharded": fsdp, "checkpoint_every": seconds(checkpoint_every)}
    settings = _settings(output, resume, time, steps, {k: v for k, v in given.items() if v is not None} | free)
    labels = None if condition is None else condition == "label"
    loop = fitting.fit(
        data,
        output,
        settings=settings,
        size=size,
        energy=energy,
        labels=labels,
        dequantise=dequantise,
        held_share=held,
        resume=resume,
    )
    last = fitting.watch(loop, settings, quiet or not parallel.first_process())
    if last is not None and parallel.first_process():
        print(f"{output}: trained {last.step} steps in {last.seconds:.0f} s; stopped at: {last.last}.")


def _settings(output: Path, resume: bool, time: str | None, steps: int | None, asked: dict[str, Any]) -> Settings:
    """The settings asked for; on resuming, the stored ones with what is asked in their place."""
    from dataclasses import replace

    from scorefield.checkpoint import Settings, read_progress
    from scorefield.fitting import CHECKPOINT, DEFAULT_SECONDS

    budget: dict[str, Any] = {"steps": steps, "seconds": None if time is None else seconds(time)}
    if resume and (output / CHECKPOINT).exists():
        stored = read_progress(output / CHECKPOINT)[0]
        return replace(stored, **asked, **(budget if time is not None or steps is not None else {}))
    if time is None and steps is None:
        budget["seconds"] = DEFAULT_SECONDS
    return Settings(**asked, **budget)


@app.command(
    help_epilogue="""Examples:
  scorefield sample run -n 1000 -o new.csv
  scorefield sample run -n 100 -o digits.png --steps 30 --condition 7 --guidance 2"""
)
def sample(
    run: Path,
    *,
    output: Annotated[Path, Parameter(("--output", "-o"))],
    n: Annotated[int, Parameter("-n")] = 1000,
    steps: int = 18,
    seed: int = 0,
    condition: int | None = None,
    guidance: float = 1.0,
    quiet: bool = False,
) -> None:
    """Draw new records from a trained model.

    Args:
        run: folder of a trained model.
        output: file to write; its suffix says how: .csv, .parquet, .npy, .npz, or .png (images, a grid).
        n: how many.
        steps: network evaluations per sample.
        seed: the same seed gives the same samples.
        condition: class to draw; default: classes as often as in the training data.
        guidance: towards the class, classifier-free; 1 is none, 1.5 to 4 sharpen and take twice the evaluations.
        quiet: show no progress.
    """
    from scorefield import data
    from scorefield.trained import TrainedModel

    if n < 1:
        raise ValueError(f"-n must be at least 1, got {n}.")
    model = TrainedModel.load(run)
    data.check_suffix(output, image=len(model.codec.shape) == 3)
    labels = model.conditions(n, seed=seed) if condition is None else None
    records = model.sample(
        n,
        steps=steps,
        seed=seed,
        condition=condition if labels is None else labels,
        guidance=guidance,
        progress=not quiet,
    )
    columns = model.info.get("data", {}).get("columns")
    kept = None if labels is None or output.suffix.lower() == ".npy" else labels.numpy()  # .npy holds one array
    data.write(output, records, columns=columns, labels=kept)
    print(f"{output}: {n} samples of {run}, {steps} network evaluations each, seed {seed}.")


@app.command(
    help_epilogue="""Examples:
  scorefield evaluate run table.csv --json figures.json --report report.html"""
)
def evaluate(
    run: Path,
    data: str,
    *,
    json: Path | None = None,
    report: Path | None = None,
    n: Annotated[int | None, Parameter("-n")] = None,
    steps: int = 18,
    seed: int = 0,
) -> None:
    """Compare a model's samples with real records, each figure beside what two halves of the real records give.

    If DATA is what the model was fitted to, its held-out rows are taken; otherwise the rows of DATA that it was not
    trained on, where its training data are at hand to tell.

    Args:
        run: folder of a trained model.
        data: real records: a file, a folder of images, or a built-in set.
        json: file to write the figures to.
        report: HTML page to write.
        n: how many samples to draw; default: as many as there are real records, at most 2,000.
        steps: network evaluations per sample.
        seed: of samples and metrics.
    """
    from scorefield import _files, evaluation
    from scorefield.trained import TrainedModel

    model = TrainedModel.load(run)
    result = evaluation.evaluate(model, data, n=n, steps=steps, seed=seed)
    print(result.table())
    if json is not None:
        _files.write_json(json, result.to_json())
        print(f"{json}: written.")
    if report is not None:
        from scorefield.report import write_report

        write_report(report, model, result)
        print(f"{report}: written.")


@app.command(
    help_epilogue="""Examples:
  scorefield info run"""
)
def info(run: Path) -> None:
    """Say what a run is: its data, network, training, noise range and plans.

    Args:
        run: folder of a trained model.
    """
    from scorefield.report import describe
    from scorefield.trained import TrainedModel

    print(describe(TrainedModel.load(run)))


@app.command(
    help_epilogue="""Examples:
  scorefield calibrate run --steps 5,10,20
  scorefield sample run -n 1000 -o new.csv --steps 10   takes the calibrated plan by itself"""
)
def calibrate(
    run: Path,
    *,
    steps: str = "10",
    search: Annotated[bool, Parameter(negative="--no-search")] = True,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Fit samplers to a model, one for each number of network evaluations, and store them in the run.

    Args:
        run: folder of a trained model.
        steps: network evaluations per sample, such as 10 or 5,10,20.
        search: search the noise levels too, at five times the cost.
        seed: of the trajectories.
        quiet: show no progress.
    """
    from dataclasses import replace

    from scorefield import parallel
    from scorefield.plans import calibration
    from scorefield.trained import TrainedModel

    budgets = whole_numbers(steps)
    with parallel.folder_lock(run):
        model = TrainedModel.load(run)
        for n in budgets:
            condition = model.conditions(1024, seed=seed)
            result = calibration(
                model.model,
                n,
                model.codec.shape,
                seed=seed,
                search=search,
                condition=condition,
                std=model.model.sigma_data,
                progress=not quiet,
            )
            print(result, end="\n\n")
            model = replace(model, plans={**model.plans, n: result.plan})
            model.save(run)
    print(f"{run}: plans for {', '.join(map(str, sorted(model.plans)))} evaluations are stored.")


def whole_numbers(text: str) -> list[int]:
    """Numbers such as 5,10,20.

    Example:
        >>> whole_numbers("5,10,20")
        [5, 10, 20]
    """
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise ValueError(f"--steps takes whole numbers such as 5,10,20, got {text!r}.")
    return [int(part) for part in text.split(",")]


@app.command(
    help_epilogue="""Examples:
  scorefield check
  scorefield check run table.csv"""
)
def check(run: Path | None = None, data: str | None = None, *, json: Path | None = None, seed: int = 0) -> None:
    """Hold the laws of exactness against the installed library and, for a run, against its model.

    Exit code 0 if all hold, 1 if one fails.

    Args:
        run: folder of a trained model; default: the library alone, with exact models.
        data: records to hold against the model; default: what it was fitted to, where that can be loaded again.
        json: file to write the figures to.
        seed: of all noise.
    """
    from scorefield import _files, check
    from scorefield.trained import TrainedModel

    report = check.laws(None if run is None else TrainedModel.load(run), data, seed=seed)
    print(report)
    if json is not None:
        _files.write_json(json, report.to_json())
        print(f"{json}: written.")
    if not report.passed:
        raise SystemExit(1)


@app.command(
    help_epilogue="""Examples:
  scorefield demo -o demo"""
)
def demo(
    *,
    output: Annotated[Path, Parameter(("--output", "-o"))] = Path("demo"),
    time: str = "90s",
    seed: int = 0,
) -> None:
    """Fit scikit-learn's handwritten digits, draw new ones, evaluate them, and write a report.

    Args:
        output: folder to write to.
        time: training time.
        seed: of everything random.
    """
    from scorefield.demo import demo as run_demo

    run_demo(output, seconds(time), seed)


def fail(message: str) -> NoReturn:
    """One line to standard error, exit code 2."""
    print("scorefield: error: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    """Run the command line: exit code 0, or one line saying what is wrong and exit code 2."""
    # torch's threads spin briefly, then sleep, while they wait: on a busy machine their long spinning halves the speed
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        app(sys.argv[1:], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        fail(str(error))
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        fail(str(error) or type(error).__name__)
    except KeyboardInterrupt:
        fail("interrupted; a training that was stopped goes on with --resume.")
