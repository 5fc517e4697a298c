"""Measures posteriors of eight simulators against exact references, beside the library sbi.

    make bench-sbi                                    # makes the environment with sbi, then runs this
    python benchmarks/sbi.py [--tasks slcp ...] [--methods NPE ...] [--simulations 10000] [--held-out]

Every method is fitted once to the same simulations of a task and draws from the posteriors of ten observations; a
classifier then tries to tell these draws from exact ones (C2ST: 0.5 when it cannot). What was found is kept in
`--cache`: draws as .npy, figures as JSON. A peer found there is not run again, scorefield always is (unless --keep).
The report goes to `--out`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
# In place of this folder, where this file would hide the library of the same name.
sys.path[0] = str(HERE / "sbi")

import coverage  # noqa: E402
import judge  # noqa: E402
import references  # noqa: E402
import report  # noqa: E402
from methods import FLOOR, METHODS, OURS, Fitted, load, simulations  # noqa: E402
from tasks import TASKS, Task  # noqa: E402

Result = dict[str, Any]
"""What is known of a method on a task, as JSON."""


@dataclass(frozen=True)
class Job:
    """A method on a task.

    Args:
        task: the task.
        method: its name.
        simulations: how many it is fitted to.
        observations: the seed of the set of observations.
        cache: folder of results.
    """

    task: Task
    method: str
    simulations: int
    observations: int
    cache: Path

    @property
    def key(self) -> str:
        return f"{self.task.name}-{self.method.replace(' ', '_')}-{self.simulations}-{self.observations}"

    @property
    def figures(self) -> Path:
        return self.cache / f"{self.key}.json"

    @property
    def draws(self) -> Path:
        return self.cache / "draws" / f"{self.key}.npy"

    def found(self) -> Result:
        return json.loads(self.figures.read_text(encoding="utf-8")) if self.figures.is_file() else {}

    def keep(self, result: Result) -> Result:
        self.figures.write_text(json.dumps(result), encoding="utf-8")
        return result


def fit(jobs: list[Job], seconds: float, n: int) -> Fitted:
    """Fits a method once and draws for every set of observations; keeps draws and times."""
    first = jobs[0]
    fitted = load(first.method)(first.task, *simulations(first.task, first.simulations), seconds, 0)
    known = {"fit_seconds": fitted.seconds, "note": fitted.note, "draws": n}
    for job in jobs:
        started = time.process_time()
        seen = references.observations(job.task, job.observations)
        found = [fitted.sample(one.x, n, number).float().numpy() for number, one in enumerate(seen)]
        np.save(job.draws, np.stack(found))
        took = (time.process_time() - started) / len(seen)
        job.keep(known | {"sample_seconds": took})
    return fitted


def covered(jobs: list[Job], fitted: Fitted) -> None:
    """Adds TARP, which takes longer than all the rest where one posterior takes seconds."""
    p = coverage.tarp(jobs[0].task, fitted)
    for job in jobs:
        job.keep(job.found() | {"tarp": p})
    print(f"        TARP p = {p:.2f}", flush=True)


def judged(job: Job, n: int) -> Result:
    """Adds the C2ST of each observation, by n draws of each kind."""
    result = job.found()
    found = torch.from_numpy(np.load(job.draws))
    accuracies = []
    for number, one in enumerate(found):
        exact = references.cached(job.cache / "references", job.task, job.observations, number)
        accuracies.append(judge.c2st(exact[:n], one[:n], seed=number))
    return job.keep(result | {"c2st": accuracies, "judged": n})


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--simulations", nargs="+", type=int, default=[10_000])
    parser.add_argument(
        "--held-out", action="store_true", help="the other ten observations: for figures, never to tune"
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="of CPU time for fitting")
    parser.add_argument("--draws", type=int, default=references.DRAWS, help="of each posterior")
    parser.add_argument("--judged", type=int, default=references.DRAWS, help="draws of each kind the classifier gets")
    parser.add_argument("--no-judge", action="store_true", help="fit and draw only")
    parser.add_argument("--no-tarp", action="store_true", help="leave the coverage on fresh simulations out")
    parser.add_argument("--keep", action="store_true", help="fit nothing that the cache has, scorefield included")
    parser.add_argument("--cache", type=Path, default=HERE.parent / "runs" / "sbi")
    parser.add_argument("--out", type=Path, default=HERE / "sbi.md")
    return parser.parse_args()


def sets(held_out: bool) -> list[int]:
    return [references.OPEN, references.HELD_OUT] if held_out else [references.OPEN]


def main() -> None:
    options = parsed()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    warnings.simplefilter("ignore")
    (options.cache / "draws").mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    for method in options.methods:
        for name in options.tasks:
            for count in [0] if method == FLOOR else options.simulations:
                jobs = [Job(TASKS[name], method, count, seed, options.cache) for seed in sets(options.held_out)]
                try:
                    fitted = None
                    if (method == OURS and not options.keep) or not all(job.draws.is_file() for job in jobs):
                        fitted = fit(jobs, options.seconds, options.draws)
                    for job in jobs:
                        result = job.found()
                        if not options.no_judge and result.get("judged") != options.judged:
                            result = judged(job, options.judged)
                        print(f"{time.monotonic() - started:6.0f} s  {job.key}: {report.brief(result)}", flush=True)
                    if fitted is not None and not options.no_tarp:
                        covered(jobs, fitted)
                except Exception as why:
                    print(f"        {name}, {method}, {count} failed: {type(why).__name__}: {why}", flush=True)
    options.out.write_text(report.text(options.cache, options.seconds), encoding="utf-8")
    print(f"{time.monotonic() - started:6.0f} s  written to {options.out}")


if __name__ == "__main__":
    main()
