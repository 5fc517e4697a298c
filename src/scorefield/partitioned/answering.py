"""A question to a whole folder, and records in many files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from scorefield import _ranges, runs
from scorefield.partitioned import parts as p
from scorefield.partitioned.cluster import check_cluster, done
from scorefield.partitioned.parts import Part
from scorefield.partitioned.questions import COMMANDS, DENSITIES, Outliers, Question, Sample, Task, answered, values_of
from scorefield.progress import Report, part, silent

SHARD = 1_000_000
"""Records of a file, by default."""


def answer(
    run: str | Path,
    folder: str | Path,
    output: str | Path,
    question: Question,
    *,
    cluster: str | None = None,
    report: Report = silent,
) -> int:
    """Answer a question for the rows of a folder of Parquet files, a file of answers for each.

    A file that is written is kept: after any stop the same call goes on. Row i of the whole, counted through the files
    in the order of their names, has the noise of number i; so the numbers are those of one process, whatever the
    cluster. Files hold rows in the order, and with the index, of their sources.

    Args:
        run: folder of a table's model, which all workers can read.
        folder: of the .parquet files, likewise.
        output: folder of the answers, likewise; it also gets `question.json`.
        question: `Density`, `Outliers`, `Impute` or `Predict`. Outliers are ranked among all rows, from 1: each file
            holds those of its source, and `densities` in the output those of all rows.
        cluster: as `cluster.done`; None: this process.
        report: hears how far the work is.

    Returns:
        The number of rows.

    Raises:
        ValueError: for a run of another kind, and what a file of rows raises, with the file.
        DataError: for a folder without such files, an output with something else.
    """
    run, folder, output = Path(run).resolve(), Path(folder).resolve(), Path(output).resolve()
    if output == folder or output in folder.parents or folder in output.parents:
        raise ValueError(f"{output} and {folder} lie in one another; write the answers to a folder of their own.")
    if cluster is not None:
        check_cluster(cluster)
    runs.load_for(run, COMMANDS[type(question)])
    found = p.parts_of(folder)
    p.begin(output, run, question, found)
    some = [one for one in found if one.rows]
    places = str(run), question, str(folder), str(output)
    if isinstance(question, Outliers):
        _outliers((str(run), question, str(folder), str(output)), question, some, cluster, report)
    else:
        wanted = p.lacking(output, some, rows=getattr(question, "draws", 1) == 1)
        done(answered, [Task(*places, one) for one in wanted], cluster, report)
    p.end(output)
    return sum(one.rows for one in some)


def sample(
    run: str | Path,
    n: int,
    output: str | Path,
    question: Sample | None = None,
    *,
    shard: int = SHARD,
    cluster: str | None = None,
    report: Report = silent,
) -> int:
    """Draw n records of a run into files of so many each: tables as .parquet, arrays and images as .npy.

    Record i is a pure function of (seed, i), up to the rounding of matrix kernels: the files together are what one
    process draws. A file that is written is kept: after any stop the same call goes on.

    Args:
        run: folder of a model, which all workers can read.
        n: how many.
        output: folder, likewise.
        question: how; default: `Sample()`.
        shard: records of a file.
        cluster: as `answer`.
        report: hears how far the work is.

    Returns:
        The number of files.
    """
    _ranges.COUNT("sample(n=...)", n)
    _ranges.COUNT("sample(shard=...)", shard)
    run, output, how = Path(run).resolve(), Path(output).resolve(), question or Sample()
    if cluster is not None:
        check_cluster(cluster)
    suffix = ".parquet" if runs.kind_of_run(run) is runs.TABLES else ".npy"
    files, starts = math.ceil(n / shard), range(0, n, shard)
    width = len(str(files - 1))
    found = [Part(f"part-{k:0{width}}{suffix}", at, min(shard, n - at)) for k, at in enumerate(starts)]
    p.begin(output, run, how, found)
    wanted = p.lacking(output, found, rows=True)
    done(answered, [Task(str(run), how, str(output), str(output), one) for one in wanted], cluster, report)
    p.end(output)
    return files


def _outliers(
    places: tuple[str, Outliers, str, str], how: Outliers, some: list[Part], cluster: str | None, report: Report
) -> None:
    """The densities of all rows, their order, then what is surprising in the least likely ones."""
    output = Path(places[3])
    wanted = p.lacking(output / DENSITIES, some, rows=True)
    done(answered, [Task(*places, one) for one in wanted], cluster, part(report, 0.0, 0.8), "densities")
    chosen = _least(output, some, max(1, math.ceil(how.share * sum(one.rows for one in some))))
    tasks = [Task(*places, one, chosen[one.name]) for one in some if one.name in chosen]
    kept = {one.name for one in p.lacking(output, [task.part for task in tasks], rows=False)}
    tasks = [task for task in tasks if task.part.name in kept]
    done(answered, tasks, cluster, part(report, 0.8, 1.0), "outliers")


def _least(output: Path, some: list[Part], count: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By file, which of its rows are among the `count` least likely of all, and their ranks; the earlier row first.

    Memory holds the values of those alone, and of one file.
    """
    values, rows = np.empty(0), np.empty(0, np.int64)
    for one in some:
        own = values_of(output / DENSITIES / one.name)
        values = np.concatenate([values, own])
        rows = np.concatenate([rows, one.first + np.arange(len(own))])
        if len(values) > count:
            order = np.argsort(values, kind="stable")[:count]
            values, rows = values[order], rows[order]
    order = np.argsort(values, kind="stable")[:count]
    rows, rank = rows[order], np.arange(1, len(order) + 1)
    made = {}
    for one in some:
        mine = (rows >= one.first) & (rows < one.first + one.rows)
        if mine.any():
            made[one.name] = rows[mine] - one.first, rank[mine]
    return made
