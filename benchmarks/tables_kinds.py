"""Measures new rows on tables of many kinds: seeded ones with a known law, and those that packages ship.

    python benchmarks/tables_kinds.py [--only "heavy tails" ...] [--methods scorefield ...] [--cache runs/kinds]

Each table is cut into halves; a method is fitted to one, and gradient boosting tells its rows from the other half. One
default of each method for all tables. Results are kept in the cache as one JSON file for each table and method, and
what is found there is not run again (scorefield's too; --again does). The report goes to `--out`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from tables.problems import Split  # noqa: E402

from tables import kinds, problems, shipped  # noqa: E402

Floats = NDArray[np.float64]
NAME = "scorefield"
STEPS: int | None = None
"""Of scorefield's training at most, where a machine is too busy for its seconds to say much."""
METHODS = ("floor", "independent", "mixture", "copula", "NSF", "ForestDiffusion", NAME)


def split_of(name: str) -> Split:
    """The table with its halves; all rows train."""
    frame = kinds.made(name) if name in kinds.KINDS else shipped.loaded(name)
    columns = tuple(problems.described(str(c), frame[c].to_numpy()) for c in frame)
    half = np.full(len(frame), "a")
    half[np.random.default_rng(1).permutation(len(frame))[len(frame) // 2 :]] = "b"
    return Split(name, 0, frame, columns, np.full(len(frame), "train"), half)


def independent(split: Split, seconds: float, seed: int) -> tuple[Any, str]:
    """Every column drawn by itself from its own values."""
    values = split.halves()[0].to_numpy(float)

    def sample(n: int, draw: int) -> Floats:
        rng = np.random.default_rng(draw)
        return np.column_stack([rng.choice(column, n) for column in values.T])

    return sample, "each column's own values"


def ours(split: Split, seconds: float, seed: int) -> tuple[Any, str]:
    from scorefield.tables.fit import fit_frame, settings_for

    frame = split.halves()[0]
    texts = kinds.TEXTS.get(split.name, ())
    for name in texts:
        frame[name] = "c" + frame[name].astype(int).astype(str)
    table = fit_frame(frame, settings=settings_for(len(frame), seconds=seconds, steps=STEPS, seed=seed))

    def sample(n: int, draw: int) -> Floats:
        made = table.sample(n, seed=draw)
        for name in texts:
            made[name] = made[name].str[1:].astype(float)
        return made.to_numpy(float)

    return sample, f"{table.info['training']['steps']} steps"


def run(split: Split, method: str, seconds: float) -> dict[str, Any]:
    from tables import peers_density, peers_forest, peers_generate

    started = time.process_time()
    for module in (peers_density, peers_forest):  # seconds of the processor, whatever else the machine does
        module.time = SimpleNamespace(monotonic=time.process_time)  # type: ignore[assignment]
    if method == "floor":
        return vars(peers_generate.floor(split)) | {"note": "the half that is fitted to"}
    own = {NAME: ours, "independent": independent}
    sample, note = {**peers_generate.METHODS, **own}[method](split, seconds, 0)
    fitted = time.process_time() - started
    return vars(peers_generate.judged(split, sample)) | {"note": note, "seconds": fitted}


def report(results: dict[str, dict[str, dict[str, Any]]], methods: tuple[str, ...]) -> str:
    """A row for each table; bold where scorefield is within 0.03 of the floor, or nearest of all to it."""
    head = ["table", *methods, "within .03 or nearest"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    good = judged = 0
    for name, found in results.items():
        cells = [f"{found[m]['c2st']:.3f}" if m in found and "c2st" in found[m] else "" for m in methods]
        said = ""
        if {NAME, "floor"} <= set(found):
            floor = found["floor"]["c2st"]
            peers = [
                found[m]["c2st"] for m in methods if m in found and m not in ("floor", NAME) and "c2st" in found[m]
            ]
            mine = found[NAME]["c2st"]
            well = mine <= max(floor, 0.5) + 0.03 or all(mine <= p for p in peers)
            judged, good, said = judged + 1, good + well, "yes" if well else "no"
        lines.append("| " + " | ".join([name, *cells, said]) + " |")
    return "\n".join([*lines, "", f"Within 0.03 of the floor (at least 0.5) or nearest of all: {good} of {judged}."])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[*kinds.KINDS, *shipped.SOURCES])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--cache", type=Path, default=HERE.parent / "runs" / "kinds")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--again", action="store_true", help="run what the cache has, too")
    parser.add_argument("--steps", type=int, help="of scorefield's training, at most")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the processor, for training a peer")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    torch.set_num_threads(1)
    global STEPS
    STEPS = options.steps
    options.cache.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for name in options.only:
        try:
            split = split_of(name)
        except ImportError as why:
            print(f"{name} is left out: {why}", flush=True)
            continue
        for method in METHODS:
            path = options.cache / f"{name}-{method}.json".replace(" ", "_")
            found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
            if method in options.methods and (found is None or options.again):
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        found = run(split, method, options.seconds)
                except Exception as why:
                    found = {"failed": f"{type(why).__name__}: {why}"}
                path.write_text(json.dumps(found), encoding="utf-8")
                print(f"{name}, {method}: {found}", flush=True)
            if found is not None:
                results.setdefault(name, {})[method] = found
    said = report(results, METHODS)
    print(said, flush=True)
    if options.out:
        options.out.write_text(said + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
