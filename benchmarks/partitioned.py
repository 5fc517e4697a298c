"""Log-densities of a table of 10 columns in many files: rows per second and core; writes partitioned.md.

    python benchmarks/partitioned.py [--rows 40000] [--files 8]

The rate of one process is that of its processor time, which other work on the machine does not change; the cluster's
is by the clock, with what it takes to start left out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from serve import COLUMNS, points

BILLION = 10**9


def folder_of(folder: Path, rows: int, files: int) -> None:
    """The rows in files, and a model of others of their kind."""
    names = [f"x{j}" for j in range(COLUMNS)]
    x = points(5000 + rows)
    pd.DataFrame(x[:5000], columns=names).to_parquet(folder / "table.parquet")
    (folder / "rows").mkdir()
    for k, part in enumerate(np.array_split(x[5000:], files)):
        pd.DataFrame(part, columns=names).to_parquet(folder / "rows" / f"part-{k:03}.parquet")
    command = [sys.executable, "-m", "scorefield", "fit", str(folder / "table.parquet"), "-o", str(folder / "run")]
    subprocess.run([*command, "--steps", "300"], check=True, capture_output=True)


def main() -> None:
    """Measure and write the page."""
    from distributed import Client, LocalCluster

    from scorefield import partitioned

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--files", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, how = Path(name), partitioned.Density()
        folder_of(folder, given.rows, given.files)
        partitioned.answer(folder / "run", folder / "rows", folder / "warm", how)
        begun = time.process_time()
        partitioned.answer(folder / "run", folder / "rows", folder / "one", how)
        alone = given.rows / (time.process_time() - begun)
        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=None
            ) as local,
            Client(local),
        ):
            partitioned.answer(folder / "run", folder / "rows", folder / "two", how, cluster=local.scheduler_address)
            begun = time.perf_counter()
            address = local.scheduler_address
            partitioned.answer(folder / "run", folder / "rows", folder / "again", how, cluster=address)
            both = given.rows / (time.perf_counter() - begun)
        one, again = (
            [(p.name, p.read_bytes()) for p in sorted((folder / o).glob("*.parquet"))] for o in ("one", "again")
        )
    page = Path(__file__).with_suffix(".md")
    page.write_text(text(given.rows, given.files, alone, both, one == again), encoding="utf-8")
    print(page.read_text(encoding="utf-8"))


def text(rows: int, files: int, alone: float, both: float, same: bool) -> str:
    """The page."""
    lines = [
        "# Answers over many files",
        "",
        f"Written by `benchmarks/partitioned.py`: log-densities of {rows:,} rows of 10 correlated numbers in {files}",
        "files, by a model of the default size, tolerance 0.01 nats.",
        "",
        "| | rows/s |",
        "|---|---|",
        f"| one process, one thread, by processor time | {alone:,.0f} |",
        f"| two workers, by the clock, beside a load of {os.getloadavg()[0]:.1f} | {both:,.0f} |",
        "",
        f"The files of both are {'the same, byte for byte' if same else 'DIFFERENT'}.",
        "",
        "## A billion rows",
        "",
        "Files do not wait for one another and a worker only reads its file and writes its answer, so the time is",
        f"that of {BILLION / alone / 3600:,.0f} hours of one core, divided:",
        "",
        "| cores | hours |",
        "|---|---|",
    ]
    lines += [f"| {n:,} | {BILLION / alone / 3600 / n:,.1f} |" for n in (4, 64, 256, 1024)]
    lines += [
        "",
        "In files of 1,000,000 rows (80 MB of numbers) these are 1,000 tasks, which are few for a scheduler.",
        f"A task takes {10**6 / alone / 60:,.0f} minutes of a core, which is what a killed worker costs. Ten columns",
        "of float64 are 80 GB to read and 24 GB of answers to write: at 256 cores less than 1 MB/s for each.",
        "This is a plan from the measured rate; a billion rows were not computed.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
