"""CPU seconds of one thread, and memory, of every command on two seeded tables, beside other packages.

    python benchmarks/tables_speed.py [--only small] [--seconds 40] [--out benchmarks/tables_speed.md]

Each command runs in a process of its own, start and reading included. What is measured is its processor time. The peers
(NSF of zuko, ForestDiffusion, chained equations of scikit-learn) get the same rows with categories as numbers, and are
skipped where they are not installed; `make bench-tables` makes an environment that has them.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from tables.speed_tables import large, small  # noqa: E402

BARS = {
    "small": {"density": 5, "outliers": 7, "predict": 5, "evaluate": 20, "impute, 20 draws": 7},
    "large": {"density": 120},
}
"""CPU seconds that a command may take."""


class Spent(NamedTuple):
    """Processor seconds, seconds on the clock, and the most memory in MB, of one process."""

    cpu: float
    wall: float
    memory: float


def measured(command: list[str]) -> Spent:
    """What a command takes, on one thread.

    Raises:
        RuntimeError: when it fails.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    text = process.stdout.read().decode() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {status}:\n{text[-2000:]}")
    return Spent(usage.ru_utime + usage.ru_stime, time.perf_counter() - begun, usage.ru_maxrss / 1024)


def ours(table: str, seconds: float, folder: Path) -> dict[str, Spent]:
    """Every command of scorefield on a table."""
    data, run = str(folder / f"{table}.parquet"), str(folder / table)
    target = "pressure" if table == "small" else "x0"
    commands = {
        f"fit --time {seconds:g}s": ["fit", data, "-o", run, "--time", f"{seconds:g}s", "--quiet"],
        "density": ["density", run, data, "-o", str(folder / "density.csv")],
        "outliers": ["outliers", run, data, "-o", str(folder / "outliers.csv")],
        "predict": ["predict", run, data, "--target", target, "-o", str(folder / "predicted.csv")],
        "impute, 20 draws": ["impute", run, data, "--draws", "20", "-o", str(folder / "imputed.parquet")],
        "evaluate": ["evaluate", run, data],
        "sample, as many rows": [
            "sample",
            run,
            "-n",
            str(len(pd.read_parquet(data))),
            "-o",
            str(folder / "new.parquet"),
        ],
    }
    kept = commands if table == "small" else {k: commands[k] for k in (f"fit --time {seconds:g}s", "density")}
    found = {}
    for name, arguments in kept.items():
        found[name] = measured([sys.executable, "-m", "scorefield", *arguments])
        print(f"{table}: {name}: {found[name]}", flush=True)
    return found


# ----------------------------------------------------------------------------------------------------------- peers


def as_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Categories as numbers, holes kept."""
    return table.apply(
        lambda c: (
            c
            if pd.api.types.is_numeric_dtype(c)
            else pd.Series(c.astype("category").cat.codes, c.index).where(c.notna())
        )
    )


def nsf(rows: np.ndarray, seconds: float) -> None:
    """A neural spline flow of complete rows: training, then their densities."""
    from tables.peers_density import METHODS, Rows

    whole = rows[np.isfinite(rows).all(1)]
    whole = (whole - whole.mean(0)) / whole.std(0)
    model = METHODS["NSF"](Rows(whole[::2], whole[1::2], np.zeros(whole.shape[1])), seconds, 0)
    begun = time.process_time()
    model.log_density(whole)
    print(f"density of {len(whole)} complete rows: {time.process_time() - begun:.2f} s")


def forest(rows: np.ndarray, seconds: float) -> None:
    """ForestDiffusion: training, then 20 imputations."""
    from tables import peers_forest

    model = peers_forest.fit((), rows, "vp", seconds, 0)
    begun = time.process_time()
    model.impute(rows, 20, 0)
    print(f"20 imputations: {time.process_time() - begun:.2f} s")


def mice(rows: np.ndarray, seconds: float) -> None:
    """Chained equations with Bayesian ridge regression: 20 imputations."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    begun = time.process_time()
    for draw in range(20):
        IterativeImputer(sample_posterior=True, random_state=draw).fit_transform(rows)
    print(f"20 imputations: {time.process_time() - begun:.2f} s")


PEERS = {"NSF": nsf, "ForestDiffusion": forest, "MICE": mice}


def peer(name: str, data: Path, seconds: float) -> str:
    """What a peer prints, with the processor time of all it did; or why it was not measured."""
    command = [sys.executable, __file__, "--peer", name, "--data", str(data), "--seconds", str(seconds)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        return f"not measured: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{done.stdout.strip().splitlines()[-1]}; {spent:.0f} s in all"


# ---------------------------------------------------------------------------------------------------------- report


def lines(table: str, shape: tuple[int, int], found: dict[str, Spent], peers: dict[str, str]) -> list[str]:
    """A table's part of the report."""
    out = [
        f"## {shape[0]:,} rows of {shape[1]} columns",
        "",
        "| command | CPU s | wall s | MB | at most |",
        "|---|---|---|---|---|",
    ]
    for name, spent in found.items():
        bar = BARS[table].get(name, "")
        out.append(f"| {name} | {spent.cpu:.1f} | {spent.wall:.1f} | {spent.memory:.0f} | {bar} |")
    return [*out, "", *(f"- {name}: {text}" for name, text in peers.items()), ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["small", "large"])
    parser.add_argument("--seconds", type=float, default=40.0, help="of training")
    parser.add_argument("--out", type=Path, default=HERE / "tables_speed.md")
    parser.add_argument("--peer", choices=list(PEERS), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer:
        PEERS[given.peer](as_numbers(pd.read_parquet(given.data)).to_numpy(float), given.seconds)
        return
    text = [
        "# Answers on tables: what they cost",
        "",
        f"Written by `benchmarks/tables_speed.py` on one thread of an {platform.machine()} CPU.",
        "",
    ]
    with tempfile.TemporaryDirectory() as name:
        for table, made in (("small", small), ("large", large)):
            if given.only in (None, table):
                frame, folder = made(), Path(name)
                frame.to_parquet(folder / f"{table}.parquet")
                found = ours(table, given.seconds, folder)
                peers = (
                    {p: peer(p, folder / f"{table}.parquet", given.seconds) for p in PEERS} if table == "small" else {}
                )
                text += lines(table, frame.shape, found, peers)
                given.out.write_text("\n".join(text))
    print(f"{given.out}")


if __name__ == "__main__":
    main()
