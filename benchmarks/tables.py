"""Measures densities, generated rows, imputation and prediction on tables, beside peers, on fixed splits.

    make bench-tables DATA=folder                     # makes the environment with the peers, then runs this
    python benchmarks/tables.py --data folder [--only density ...] [--tables wine ...] [--methods scorefield ...]

The folder holds `columns.json` and for every table `<name>.csv` and `<name>.split.csv` (part, half, dup); without it
scikit-learn's wine and breast cancer are measured alone. Results are kept in `--cache` as one JSON file for each part,
table, split and method; a peer found there is not run again unless it had less time than it may have now, scorefield
always is (unless --keep). The report goes to `--out`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from tables.problems import BUILT_IN, FOLDER, Split  # noqa: E402

from tables import (  # noqa: E402
    conversion,
    ours,
    peers_density,
    peers_generate,
    peers_impute,
    peers_predict,
    problems,
    report,
)

Result = dict[str, Any]
"""What a job found, as JSON."""


@dataclass(frozen=True)
class Times:
    """Seconds for training: of scorefield, of a density that is trained, of ForestDiffusion."""

    ours: float
    density: float
    forest: float

    def of(self, method: str) -> float:
        """The seconds a method may use; 0 for one that takes what it takes."""
        given = {ours.NAME: self.ours, "ForestDiffusion": self.forest}
        return given.get(method, self.density if method in ("mixture", "MAF", "NSF") else 0.0)


def density(split: Split, method: str, times: Times) -> Result:
    if method == ours.NAME:
        values, note = ours.log_density(split, times.ours, 0)
        return {"log_density": values.tolist(), "note": note}
    rows = peers_density.Rows(
        split.standardised(split.rows("train").to_numpy(float)),
        split.standardised(split.rows("val").to_numpy(float)),
        split.widths / split.scale,
    )
    model = peers_density.METHODS[method](rows, times.density, 0)
    return {"log_density": model.log_density(split.standardised(split.noised("test"))).tolist(), "note": model.note}


def generate(split: Split, method: str, times: Times) -> Result:
    if method == "floor":
        return vars(peers_generate.floor(split)) | {"note": "half a in place of generated rows"}
    if method == ours.NAME:
        sample, note = ours.generator(split, times.ours, 0)
    else:
        seconds = times.forest if method == "ForestDiffusion" else times.density
        sample, note = peers_generate.METHODS[method](split, seconds, 0)
    return vars(peers_generate.judged(split, sample)) | {"note": note}


def impute(split: Split, method: str, times: Times) -> Result:
    values, away = peers_impute.holes(split)
    holed = np.where(away, np.nan, values)
    if method == ours.NAME:
        draws, note = ours.impute(split, holed, times.ours, 0)
    else:
        draws, note = peers_impute.METHODS[method](split, holed, times.forest, 0)
    found = peers_impute.scored(split, draws, values, away)
    return {name: value.tolist() for name, value in vars(found).items()} | {"note": note}


def predict(split: Split, method: str, times: Times) -> Result:
    if method == ours.NAME:
        found = ours.predict(split, times.ours, 0)
    else:
        found = peers_predict.METHODS[method](peers_predict.regression(split), 0)
    return {name: getattr(found, name).tolist() for name in ("log_density", "crps", "covered")} | {"note": found.note}


PARTS = {
    "density": (density, (*peers_density.METHODS, ours.NAME)),
    "generate": (generate, ("floor", *peers_generate.METHODS, ours.NAME)),
    "impute": (impute, (*peers_impute.METHODS, ours.NAME)),
    "predict": (predict, (*peers_predict.METHODS, ours.NAME)),
}


def path_of(cache: Path, part: str, split: Split, method: str) -> Path:
    return cache / f"{part}-{split.key}-{method.replace(' ', '_')}.json"


def cached(path: Path) -> Result | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def stale(method: str, result: Result, times: Times, keep: bool) -> bool:
    """Whether a result in the cache is to be found anew: scorefield's, and one that had less time than it may have."""
    return not keep and (method == ours.NAME or result.get("allowed", 0.0) < times.of(method))


def run(part: str, split: Split, method: str, times: Times, path: Path) -> Result:
    """Does a job and keeps its result; one that fails says why, and is tried again the next time."""
    started = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = PARTS[part][0](split, method, times)
    except Exception as why:
        print(f"        {part}, {split.key}, {method} failed: {type(why).__name__}: {why}", flush=True)
        return {"failed": f"{type(why).__name__}: {why}"}
    result |= {"seconds": time.monotonic() - started, "allowed": times.of(method)}
    path.write_text(json.dumps(result), encoding="utf-8")
    return result


def tables(folder: Path | None, asked: Iterable[str] | None) -> tuple[str, ...]:
    """The tables to measure; says what is missing and how to get it."""
    there = problems.found(folder)
    absent = [name for name in FOLDER if name not in there]
    if absent:
        place = "no folder was given" if folder is None else f"not in {folder}"
        print(
            f"Left out: {', '.join(absent)} ({place}). Name a folder with columns.json, NAME.csv and NAME.split.csv by "
            f"--data FOLDER; {', '.join(BUILT_IN)} come with scikit-learn.",
            flush=True,
        )
    every = (*there, *(("concrete-6",) if "concrete" in there else ()), *BUILT_IN)
    unknown = [name for name in asked or () if name not in every]
    if unknown:
        sys.exit(f"No table {', '.join(unknown)}; there are {', '.join(every)}")
    return tuple(name for name in every if name in asked) if asked else every


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the four tables with a published split")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--tables", nargs="+")
    parser.add_argument("--methods", nargs="+", help="only these are run; the report holds what the cache has, too")
    parser.add_argument("--splits", type=int, default=problems.SPLITS, help="of wine and breast cancer")
    parser.add_argument("--cache", type=Path, default=HERE.parent / "runs" / "tables")
    parser.add_argument("--out", type=Path, default=HERE / "tables.md")
    parser.add_argument("--keep", action="store_true", help="run nothing that the cache has, scorefield included")
    parser.add_argument("--seconds", type=float, default=180.0, help="of training for scorefield")
    parser.add_argument("--density-seconds", type=float, default=180.0, help="of training for MAF and NSF")
    parser.add_argument("--forest-seconds", type=float, default=600.0, help="of training for ForestDiffusion")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    options.cache.mkdir(parents=True, exist_ok=True)
    times = Times(options.seconds, options.density_seconds, options.forest_seconds)
    started = time.monotonic()
    print(conversion.check(), flush=True)
    ours.store = options.cache / "models" if options.keep else None
    lacking = ours.available()
    if lacking:
        print(f"scorefield is left out: {lacking}", flush=True)
    names = tables(options.data, options.tables)
    results: dict[str, report.Part] = {part: {} for part in options.only}
    for part in options.only:
        for name in names if part == "density" else [n for n in names if n != "concrete-6"]:
            for split in problems.splits(name, options.data, options.splits):
                for method in PARTS[part][1]:
                    path = path_of(options.cache, part, split, method)
                    result = cached(path)
                    able = (options.methods is None or method in options.methods) and (
                        method != ours.NAME or not lacking
                    )
                    if able and (result is None or stale(method, result, times, options.keep)):
                        result = run(part, split, method, times, path)
                    if result is None:
                        continue
                    results[part].setdefault(name, {}).setdefault(method, []).append(result)
                    said = report.brief(part, result)
                    print(f"{time.monotonic() - started:6.0f} s  {part}, {split.key}, {method}: {said}", flush=True)
    options.out.write_text(report.text(results), encoding="utf-8")
    print(f"{time.monotonic() - started:6.0f} s  written to {options.out}")


if __name__ == "__main__":
    main()
