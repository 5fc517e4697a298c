"""The commands on trained models: sample, evaluate, info, calibrate, check, demo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from scorefield.cli.app import (
    Class,
    Guidance,
    Samples,
    Seed,
    Steps,
    app,
    check_table_file,
    seconds,
    whole_numbers,
)

if TYPE_CHECKING:
    from scorefield.records.trained import TrainedModel
    from scorefield.tables.trained import TrainedTable


@app.command(
    help_epilogue="""Examples:
  scorefield sample run -n 1000 -o new.csv
  scorefield sample run -n 100 -o digits.png --steps 30 --condition 7 --guidance 2"""
)
def sample(
    run: Path,
    *,
    output: Annotated[Path, Parameter(("--output", "-o"))],
    n: Samples = 1000,
    steps: Steps = 18,
    seed: Seed = 0,
    condition: Class | None = None,
    guidance: Guidance = 1.0,
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
    from scorefield import runs
    from scorefield.tables.trained import TrainedTable

    model = runs.load(run)
    if isinstance(model, TrainedTable):
        if condition is not None or guidance != 1.0:
            raise ValueError(f"{run} is a model of a table: fill in what is known and use `scorefield impute`.")
        _sample_rows(model, output, n, steps, seed)
    else:
        _sample_records(model, output, n, steps, seed, condition, guidance, not quiet)
    print(f"{output}: {n} samples of {run}, {steps} network evaluations each, seed {seed}.")


def _sample_rows(model: TrainedTable, output: Path, n: int, steps: int, seed: int) -> None:
    from scorefield import data

    check_table_file(output)
    data.write_frame(model.sample(n, steps=steps, seed=seed), output)


def _sample_records(
    model: TrainedModel,
    output: Path,
    n: int,
    steps: int,
    seed: int,
    condition: int | None,
    guidance: float,
    progress: bool,
) -> None:
    from scorefield import data

    data.check_suffix(output, image=len(model.codec.shape) == 3)
    labels = model.conditions(n, seed=seed) if condition is None else None
    records = model.sample(
        n,
        steps=steps,
        seed=seed,
        condition=condition if labels is None else labels,
        guidance=guidance,
        progress=progress,
    )
    columns = model.info.get("data", {}).get("columns")
    kept = None if labels is None or output.suffix.lower() == ".npy" else labels.numpy()  # .npy holds one array
    data.write(output, records, columns=columns, labels=kept)


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
    n: Samples | None = None,
    steps: Steps = 18,
    seed: Seed = 0,
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
    from scorefield import _files, runs
    from scorefield.tables.trained import TrainedTable

    model = runs.load(run)
    compare = _compare_rows if isinstance(model, TrainedTable) else _compare_records
    text, figures, page = compare(model, data, n, steps, seed)
    print(text)
    if json is not None:
        _files.write_json(json, figures)
        print(f"{json}: written.")
    if report is not None:
        page(report)
        print(f"{report}: written.")


def _compare_records(
    model: Any, data: str, n: int | None, steps: int, seed: int
) -> tuple[str, dict[str, Any], Callable[[Path], None]]:
    from scorefield.records import evaluate
    from scorefield.report import write_report

    result = evaluate.evaluate(model, data, n=n, steps=steps, seed=seed)
    return result.table(), result.to_json(), lambda path: write_report(path, model, result)


def _compare_rows(
    model: Any, data: str, n: int | None, steps: int, seed: int
) -> tuple[str, dict[str, Any], Callable[[Path], None]]:
    from scorefield import runs
    from scorefield.report import write_table_report
    from scorefield.tables import answers, evaluate

    rows = answers.known(model, runs.frame(data), "error")
    result = evaluate.evaluate(model, rows, source=data, n=n, steps=steps, seed=seed)
    return result.table(), result.to_json(), lambda path: write_table_report(path, model, result)


@app.command(
    help_epilogue="""Examples:
  scorefield info run"""
)
def info(run: Path) -> None:
    """Say what a run is: its data, network, training, noise range and plans; of a table its schema and densities too.

    Args:
        run: folder of a trained model.
    """
    from scorefield import runs
    from scorefield.report import describe, describe_table
    from scorefield.tables.trained import TrainedTable

    model = runs.load(run)
    print(describe_table(model) if isinstance(model, TrainedTable) else describe(model))


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
    seed: Seed = 0,
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

    from scorefield import runs
    from scorefield.plans import calibration
    from scorefield.training import parallel

    budgets = whole_numbers(steps)
    with parallel.folder_lock(run):
        model = runs.records(run, "calibrate")
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


@app.command(
    help_epilogue="""Examples:
  scorefield check
  scorefield check run table.csv"""
)
def check(run: Path | None = None, data: str | None = None, *, json: Path | None = None, seed: Seed = 0) -> None:
    """Hold the laws of exactness against the installed library and, for a run, against its model.

    Exit code 0 if all hold, 1 if one fails.

    Args:
        run: folder of a trained model; default: the library alone, with exact models.
        data: records to hold against the model; default: what it was fitted to, where that can be loaded again.
        json: file to write the figures to.
        seed: of all noise.
    """
    from scorefield import _files, check, runs

    report = check.laws(None if run is None else runs.records(run, "check"), data, seed=seed)
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
    seed: Seed = 0,
) -> None:
    """Fit scikit-learn's handwritten digits, draw new ones, evaluate them, and write a report.

    Args:
        output: folder to write to.
        time: training time.
        seed: of everything random.
    """
    from scorefield.cli.demo import demo as run_demo

    run_demo(output, seconds(time), seed)
