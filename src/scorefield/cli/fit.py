"""The commands before there is a model: schema and fit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from scorefield._files import shown
from scorefield.cli.app import Batch, Parts, Probability, Rate, Readers, Seed, TrainingSteps, app, seconds, warn
from scorefield.cli.logs import loggers
from scorefield.cli.progress import ProgressBar, say_end, watch
from scorefield.cli.reading import AS_FOUND, AS_THEY_ARE, Columns, Images, Reading, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scorefield.data import Dataset, ImageReading, TableFile
    from scorefield.data.streams import TableParts
    from scorefield.runs import Kind


@app.command(
    help_epilogue="""Examples:
  scorefield schema table.csv
  scorefield schema table.csv -o schema.toml      edit it, then: scorefield fit table.csv -o run --schema schema.toml"""
)
def schema(
    data: str,
    *,
    output: Annotated[Path | None, Parameter(("--output", "-o"))] = None,
    leave_out: Columns = (),
    reading: Reading = AS_FOUND,
) -> None:
    """Say what the columns of a table are taken for, or write it to a file to edit.

    Args:
        data: a .csv, .tsv, .jsonl (also .gz, .zst), .xlsx, .parquet or .feather file, or a built-in table (wine,
            breast_cancer, iris, diabetes).
        output: TOML file to write.
        leave_out: a column to leave out, such as names or numbers of records; may be given several times.
    """
    from scorefield import _files
    from scorefield.data import named
    from scorefield.data.sources import table
    from scorefield.tables import detect, to_toml

    with named(data), ProgressBar("reading the table"):
        found = detect(say(table(data, reading.dialect)).without(leave_out).frame)
    if output is None:
        print(found)
        return
    _files.write_bytes(output, to_toml(found).encode())
    print(f"{output}: {len(found)} columns; change what is wrong and give it to `scorefield fit --schema {output}`.")


@app.command(
    help_epilogue="""Examples:
  scorefield fit table.csv -o run --time 2m
  scorefield fit digits -o run --steps 2000 --seed 1
  scorefield fit photos/ -o run --image-size 64 --crop --image-mode rgb
  scorefield fit hourly.npy -o run --records series
  scorefield fit digits -o run --log tensorboard:logs
  torchrun --nproc-per-node 2 -m scorefield fit images/ -o run --time 1h"""
)
def fit(
    data: str,
    *others: Annotated[str, Parameter(show=False)],
    output: Annotated[Path, Parameter(("--output", "-o"))],
    time: str | None = None,
    steps: TrainingSteps | None = None,
    seed: Seed | None = None,
    batch: Batch | None = None,
    learning_rate: Rate | None = None,
    precision: Literal["auto", "float32", "bf16"] | None = None,
    size: Literal["auto", "small", "medium", "large"] = "auto",
    network: Literal["unet", "transformer"] | Path | None = None,
    condition: Literal["label", "none"] | None = None,
    energy: bool = False,
    dequantise: Annotated[bool | None, Parameter(negative="--no-dequantise")] = None,
    records: Literal["series", "volumes", "table"] | None = None,
    autoencoder: Path | None = None,
    stream: Annotated[bool | None, Parameter(negative="--no-stream")] = None,
    readers: Readers | None = None,
    schema: Path | None = None,
    held: Probability | None = None,
    checkpoint_every: str = "15s",
    fsdp: bool = False,
    accumulate: Parts | None = None,
    activation_checkpointing: bool = False,
    resume: bool = False,
    quiet: bool = False,
    log: Columns = (),
    parameters: str | None = None,
    bounds: Columns = (),
    prior: Literal["uniform"] | None = None,
    leave_out: Columns = (),
    images: Images = AS_THEY_ARE,
    reading: Reading = AS_FOUND,
) -> None:
    """Fit a score model to a data file.

    Tables (.csv, .xlsx, .jsonl, .parquet, ..., wine, breast_cancer, iris, diabetes) get a model that also answers
    density, outliers, impute and predict; arrays, images and --energy one of records. With --parameters a table is
    one of simulations, and what is fitted the posterior of its parameters given the other columns.

    Args:
        data: a .csv, .tsv, .jsonl (also .gz, .zst), .xlsx, .parquet, .feather, .npy or .npz file, a folder of images,
            a folder of .parquet files or a pattern in quotes, or a built-in set (digits, mnist, wine, ring, ...).
        output: folder to write the run to.
        time: training time, such as 90s, 2m or 1h30m; 3m unless --steps is given.
        steps: optimiser steps, instead of a time or together with it.
        seed: of everything random; 0 unless given.
        batch: rows per step; 128 unless given, for tables of 4,000 rows or more 256, for images, series and volumes 32.
        learning_rate: after warm-up; 2e-3 unless given, for tables 3e-3 (under 4,000 rows) or 2e-3.
        precision: of the network while training; auto unless given: bf16 where it is faster, which is measured when a
            training begins.
        size: of the network.
        network: of series, images and volumes: convolutions at several resolutions (the default), or a transformer over
            patches; of images also a pipeline of diffusers with a UNet2DModel, its folder or hub:USER/NAME, which is
            trained further (a --learning-rate of 1e-4 changes it little).
        condition: learn the records given their class label, or not; default: for images that have labels.
        energy: learn an energy, whose gradient is the score (tables of numbers, without the answers for tables).
        dequantise: spread whole numbers by uniform noise, for a density (arrays, images, --energy).
        records: what the records of a file are, where they are neither rows nor images: series (n, length), also with
            channels last, or the rows of a table of numbers; volumes (n, depth, height, width), also with channels;
            table: that .parquet files of numbers are a table, as those with other columns are.
        autoencoder: learn the latents of pictures by it: a folder that `scorefield autoencode` wrote, or diffusers (its
            AutoencoderKL); densities are then of latents.
        stream: read records as they are needed, in an order that follows from the seed: of .npy and .parquet files, of
            folders of images or .parquet files, of .tar shards (WebDataset), of what datasets saved; numbers and images
            alone; several .parquet files with other columns are a table that is read so. Default: for what comes so
            alone, .npy files that do not fit into memory comfortably, and folders of more than 10,000 images.
        readers: threads that read ahead, of records that are read as they are needed; 1 unless given.
        schema: TOML file that says what columns are, where the detected schema is wrong; see `scorefield schema`.
        held: share of the rows held out; default: 0.1, for small tables more.
        checkpoint_every: training time between checkpoints.
        fsdp: with several processes, shard the weights (FSDP2) instead of copying them (DDP).
        accumulate: parts that each process goes through its rows of a step in, one after the other, with the memory of
            one; 1 unless given.
        activation_checkpointing: compute the inside of a network's blocks again on the way back instead of keeping it:
            less memory, more time, the same gradients.
        resume: go on with what the folder holds, also after a crash.
        quiet: show no progress.
        log: where the training is logged: tensorboard:DIR, mlflow:DIR or wandb:DIR (offline); may be given several
            times.
        parameters: columns of a table of simulations that hold the parameters, such as a,b,c.
        bounds: between which a parameter lies, such as "a=0:1" or "b=0:"; may be given several times.
        prior: of the parameters, uniform between their bounds; default: only as the simulations show it.
        leave_out: a column of a table that the model is not to see, such as names or numbers of records; may be given
            several times.
    """

    if others:
        raise ValueError(_several(data, others))
    first = os.environ.get("RANK", "0") == "0"  # of torchrun's processes
    with ProgressBar("loading", quiet or not first):  # a sign of life: imports take their seconds
        from scorefield import runs
        from scorefield.data.dataset import grid_of
        from scorefield.data.streams.opening import many_images, many_parquet
        from scorefield.records.files import is_streamed
        from scorefield.report.facts import busy_words, precision_words
        from scorefield.training import parallel

    if isinstance(network, Path) and not (network.is_dir() or str(network).startswith("hub:")):
        raise ValueError(f"--network is unet, transformer or a pipeline of diffusers; there is no folder {network}.")
    settings = {
        "steps": steps,
        "seconds": None if time is None else seconds(time),
        "seed": seed,
        "batch": batch,
        "learning_rate": learning_rate,
        "precision": precision,
        "checkpoint_every": seconds(checkpoint_every),
        "sharded": fsdp,
        "accumulate": accumulate,
        "activation_checkpointing": activation_checkpointing,
    }
    options: dict[str, Any] = {
        "size": None if size == "auto" else size,
        "network": network,
        "energy": energy or None,
        "labels": None if condition is None else condition == "label",
        "dequantise": dequantise,
        "grid": None if records in (None, "table") else "series" if records == "series" else "volume",
        "autoencoder": autoencoder,
        "stream": stream,
        "readers": readers,
        "schema": schema,
        "held_share": held,
        "parameters": None if parameters is None else tuple(part.strip() for part in parameters.split(",")),
        "bounds": _bounds(bounds) or None,
        "prior": prior,
    }
    told, heard = images.reading, loggers(log)
    if parameters is not None:
        _refuse(data, "a posterior", told)
        if heard:
            raise ValueError("a posterior is fitted in several trainings, none of which is logged; leave --log out.")
        _fit_posterior(data, output, settings, options, resume, quiet, leave_out, reading)
        return
    plans, distilled = (_stored(output, name) if resume else [] for name in ("plans", "distilled"))
    folder = output if resume else None
    grid, leave = options["grid"] is not None, tuple(leave_out)
    form = runs.kind_of_source(data, energy=energy, grid=grid, stream=bool(stream), leave_out=leave, folder=folder)
    if records == "table" and many_parquet(data):
        form = runs.TABLES
    asked = False if stream is None and autoencoder is not None else stream  # latents are made of all pictures
    streamed = form is runs.RECORDS and is_streamed(data, asked, folder, grid_of(options["grid"]))
    if streamed:
        options |= {"stream": True, "images": told, "leave_out": leave_out or None}
        if stream is None and not resume and Path(data).is_dir() and many_images(data) and first:
            print(f"{data}: many images, decoded as they are needed; --no-stream decodes all of them first.")
    source = _source(data, reading, told, folder, leave_out, form, streamed=streamed, quiet=quiet)
    last = watch(
        runs.fit(source, output, settings=settings, options=options, resume=resume, log=heard),
        quiet or not parallel.first_process(),
    )
    if not parallel.first_process():
        return
    say_end(output, last)
    if last is None:
        return
    info = runs.load(output).info
    used = precision_words(info)
    if used not in ("", "float32"):  # what everyone expects
        print(f"precision {used}.")
    busy = busy_words(info)
    if busy and last.last == "budget" and _out_of_time(info):
        warn(f"{busy}; go on by --resume with a greater --time, or give --steps, which take as long as they need.")
    memory = info.get("memorisation")
    if memory:
        print(f"memorisation ratio {memory['value']:.2f}, of real rows {memory['floor']:.2f}: {memory['meaning']}.")
    for made, by in ((plans, "calibrate"), (distilled, "distil")):
        if made:
            warn(
                f"what `scorefield {by}` made for {', '.join(map(str, made))} evaluations was made for the weights "
                f"before; it is dropped: run `scorefield {by} {output}` again."
            )


def _out_of_time(info: Mapping[str, Any]) -> bool:
    """Whether it was the time of a training that ended it, and not the number of its steps.

    Example:
        >>> [_out_of_time({"training": {"steps": 9, "settings": {"seconds": 60.0, "steps": n}}}) for n in (None, 9, 10)]
        [True, False, True]
        >>> _out_of_time({"training": {"steps": 9, "settings": {"seconds": None, "steps": 9}}})
        False
    """
    training = info.get("training", {})
    settings = training.get("settings", {})
    whole = settings.get("steps")
    return settings.get("seconds") is not None and (whole is None or training["steps"] < whole)


def _fit_posterior(
    data: str,
    output: Path,
    settings: dict[str, Any],
    options: dict[str, Any],
    resume: bool,
    quiet: bool,
    leave_out: tuple[str, ...],
    reading: Reading,
) -> None:
    from scorefield import runs
    from scorefield.cli.posteriors import told
    from scorefield.data.sources import table

    with ProgressBar("reading the simulations", quiet) as bar, told():
        found = say(table(data, reading.dialect)).without(leave_out)
        last = list(runs.fit(found, output, settings=settings, options=options, resume=resume, report=bar))[-1]
    known = runs.load(output).info["data"]
    print(
        f"{output}: the posterior of {', '.join(known['parameters'])} given {len(known['columns'])} column(s), from "
        f"{known['rows']:,} simulations in {last.seconds:.0f} s; {known['held']:,} are held out for its proof: "
        f"scorefield check {output}."
    )


def _bounds(texts: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Bounds such as a=0:1, b=0: or c=:5 by parameter."""
    found = {}
    for text in texts:
        name, _, ends = text.rpartition("=")
        low, colon, high = ends.partition(":")
        try:
            found[name.strip()] = (float(low or "-inf"), float(high or "inf"))
        except ValueError:
            colon = ""
        if not (name.strip() and colon):
            raise ValueError(f"--bounds takes a parameter and its ends, such as a=0:1 or b=0:, got {text!r}.")
    return found


def _several(data: str, others: tuple[str, ...]) -> str:
    """That one source is fitted, for a shell that made several names of a pattern."""
    given = shown([data, *others], 100)
    if not all(name.endswith(".tar") for name in (data, *others)):
        return f"fit takes one source, got {given}; give one, and the run's folder by -o."
    folders = {str(Path(name).parent) for name in (data, *others)}
    pattern = f"{folders.pop()}/*.tar" if len(folders) == 1 else "*/*.tar"
    return (
        f"fit takes one source, got the shards {given}; give a pattern in quotes, such as '{pattern}', or their folder."
    )


def _refuse(data: str, kind: str, told: ImageReading | None) -> None:
    if told is not None:
        raise ValueError(f"{data} is fitted as {kind}, so it has no option {told.given[0]}; leave it out.")


def _source(
    data: str,
    reading: Reading,
    told: ImageReading | None,
    folder: Path | None,
    leave_out: tuple[str, ...],
    form: Kind,
    *,
    streamed: bool,
    quiet: bool,
) -> str | TableFile | TableParts | Dataset:
    """What to fit: a table or a folder of images, once it is read and said how; or the name of other data."""
    from scorefield import runs
    from scorefield.data.reading import is_folder_of_images
    from scorefield.data.streams.opening import many_parquet
    from scorefield.data.streams.tableparts import table_parts
    from scorefield.records import files as images
    from scorefield.tables import files as tables
    from scorefield.training import parallel

    quiet = quiet or not parallel.first_process()
    if form is runs.TABLES:
        _refuse(data, "a table", told)
        if many_parquet(data):
            if reading.given:
                raise ValueError(f"{data} are .parquet files, so they have no option {reading.given[0]}; leave it out.")
            return table_parts(data, leave_out or tables.left_out_before(folder))
        with ProgressBar("reading the table", quiet):
            found = tables.read_to_fit(data, reading.dialect, folder, leave_out)
        return say(found) if parallel.first_process() else found
    given = [*reading.given, *(["--leave-out"] if leave_out else [])]
    if given and not (streamed and given == ["--leave-out"]):
        raise ValueError(f"{data} is not fitted as a table, so it has no option {given[0]}; leave it out.")
    if streamed:
        return data
    if is_folder_of_images(data):
        with ProgressBar("reading the images", quiet) as bar:
            records = images.read_to_fit(data, told, folder, bar)
        return say(records) if parallel.first_process() else records
    if told is not None:
        raise ValueError(f"{data} is no folder of images, so it has no option {told.given[0]}; leave it out.")
    return data


def _stored(folder: Path, name: str) -> list[int]:
    """The numbers of evaluations of the plans, or distilled networks, in a run; none where there is no run yet."""
    from scorefield import _files

    path = folder / "model.json"
    return sorted(int(n) for n in _files.read_json(path).get(name, {})) if path.exists() else []
