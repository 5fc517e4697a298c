"""Running a simulator: in several processes, with what was simulated kept as it comes, so that a stop loses nothing."""

from __future__ import annotations

import inspect
import io
import math
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from scorefield import _files, _ranges
from scorefield.posterior.prior import Prior
from scorefield.progress import Report, silent

Simulator: TypeAlias = Callable[..., Any]
"""`simulator(theta)` or `simulator(theta, seed)`: parameters `(d,)`, an array, to an observation, numbers `(k,)`."""
_CHUNK = 64  # simulations that are kept together
Parameters: TypeAlias = Callable[[int, int], Tensor]
"""`(n, seed) -> (n, d)`."""


class SimulatorError(RuntimeError):
    """A simulator raised an error; the message says for which parameters, and what is kept."""


def simulate(
    simulator: Simulator,
    prior: Prior | Parameters,
    n: int,
    *,
    folder: str | Path | None = None,
    processes: int = 1,
    seed: int = 0,
    report: Report = silent,
) -> tuple[Tensor, Tensor]:
    """n simulations: parameters `(n, d)` and observations `(n, k)`, float64.

    Simulation i has the i-th parameters of the prior and the seed `seed + i`, whatever the number of processes. With a
    folder every 64 of them are written as they come; another call with the same folder, prior and seed goes on where
    that one stopped, with more of them too.

    Args:
        simulator: `simulator(theta)` or `simulator(theta, seed)`; at the top of a module where there are processes.
        prior: the parameters' law, or what draws them.
        n: how many.
        folder: where they are kept.
        processes: that simulate at the same time.
        seed: of the parameters and the simulations.
        report: hears how far the work is.

    Raises:
        SimulatorError: where the simulator raises an error. A simulation that fails returns NaN.
        ValueError: for observations of several shapes, or a folder that holds simulations of other parameters.

    Example:
        >>> from scorefield.posterior import gaussian
        >>> theta, x = simulate(lambda theta: [theta.sum(), 1.0], gaussian([0.0, 0.0], 1.0), 3)
        >>> x.shape
        torch.Size([3, 2])
    """
    _ranges.COUNT("simulate(n=...)", n)
    _ranges.COUNT("simulate(processes=...)", processes)
    draw = prior.sample if isinstance(prior, Prior) else prior
    chunks = math.ceil(n / _CHUNK)
    theta = torch.cat([draw(_CHUNK, _chunk_seed(seed, k)).double() for k in range(chunks)])[:n]
    place = None if folder is None else Path(folder)
    found: list[np.ndarray] = []
    wanted = [theta[k * _CHUNK : (k + 1) * _CHUNK].numpy() for k in range(chunks)]
    done = [None if place is None else _kept(place / f"{k:06d}.npz", rows) for k, rows in enumerate(wanted)]
    report(0.0, f"simulations, {sum(len(x) for x in done if x is not None):,} are there")
    with _Workers(processes) as run:
        for k, rows in enumerate(wanted):
            x = done[k]
            if x is None:
                x = _simulated(run, simulator, rows, seed + k * _CHUNK)
                if place is not None:
                    _keep(place / f"{k:06d}.npz", rows, x)
            found.append(x)
            report((k + 1) / chunks, f"simulations, {min(n, (k + 1) * _CHUNK):,} of {n:,}")
    return theta, torch.from_numpy(_stacked(found))


def _chunk_seed(seed: int, k: int) -> int:
    """Of the parameters of a chunk, so that more simulations begin with the same ones."""
    return seed + 1_000_003 * k


class _Workers:
    """A map over rows: in this process, or in several, which are started afresh (never forked from a threaded one)."""

    def __init__(self, processes: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(processes, mp_context=spawn) if processes > 1 else None

    def __enter__(self) -> Callable[..., Iterator[Any]]:
        return map if self.pool is None else self.pool.map

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def _simulated(run: Callable[..., Iterator[Any]], simulator: Simulator, theta: np.ndarray, seed: int) -> np.ndarray:
    """One chunk, `(rows, k)`."""
    seeds = [seed + i for i in range(len(theta))]
    call = _Call(simulator, _takes_seed(simulator))
    return _stacked([x[None] for x in run(call, list(theta), seeds)])


class _Call:
    """One simulation, with an error that says which; picklable where the simulator is."""

    def __init__(self, simulator: Simulator, seeded: bool) -> None:
        self.simulator, self.seeded = simulator, seeded

    def __call__(self, theta: np.ndarray, seed: int) -> np.ndarray:
        try:
            x = self.simulator(theta, seed) if self.seeded else self.simulator(theta)
            return np.atleast_1d(np.asarray(x, dtype=np.float64))
        except Exception as why:
            raise SimulatorError(
                f"the simulator raised {type(why).__name__} ({why}) for the parameters {theta.tolist()}; what was "
                "simulated before is kept where a folder was given. Return NaN where a simulation fails."
            ) from why


def _takes_seed(simulator: Simulator) -> bool:
    try:
        parameters = inspect.signature(simulator).parameters.values()
    except (TypeError, ValueError):
        return False
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return len(places) >= 2


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    shapes = sorted({part.shape[1:] for part in parts})
    if len(shapes) > 1:
        raise ValueError(f"the simulator returned observations of several shapes: {shapes[0]} and {shapes[1]}.")
    return np.concatenate(parts)


def _keep(path: Path, theta: np.ndarray, x: np.ndarray) -> None:
    file = io.BytesIO()
    np.savez(file, theta=theta, x=x)
    _files.write_bytes(path, file.getvalue())


def _kept(path: Path, theta: np.ndarray) -> np.ndarray | None:
    """What a chunk's file holds; None where there is none, or where it has fewer rows than are wanted now."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            stored, x = file["theta"], file["x"]
    except (OSError, ValueError, KeyError) as why:
        raise ValueError(f"{path} holds no simulations ({why}); remove it and simulate again.") from None
    rows = min(len(stored), len(theta))
    if stored.shape[1:] != theta.shape[1:] or not np.array_equal(stored[:rows], theta[:rows]):
        raise ValueError(
            f"{path} holds simulations of other parameters; give the same prior and seed, or another folder."
        )
    return x[: len(theta)] if len(stored) >= len(theta) else None
