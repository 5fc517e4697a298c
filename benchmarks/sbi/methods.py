"""What every method of the benchmark looks like: fitted to simulations, it draws parameters for an observation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import references
from tasks import Task
from torch import Tensor

SIMULATION_SEED = 10


@dataclass(frozen=True)
class Fitted:
    """A method fitted to simulations.

    Args:
        sample: from an observation (k,), a count n and a seed to draws (n, d).
        seconds: of CPU time for fitting.
        note: its settings, in words.
    """

    sample: Callable[[Tensor, int, int], Tensor]
    seconds: float
    note: str


Method = Callable[[Task, Tensor, Tensor, float, int], Fitted]
"""From a task, theta (n, d), x (n, k), CPU seconds that fitting may take, and a seed."""


def simulations(task: Task, n: int) -> tuple[Tensor, Tensor]:
    """The first n of the task's simulations for fitting are the same for every method."""
    theta = task.draw(n, SIMULATION_SEED)
    return theta, task.simulate(theta, SIMULATION_SEED + 1)


def spent(started: float) -> float:
    """Seconds of CPU time since `time.process_time()` gave `started`."""
    return time.process_time() - started


OURS, FLOOR = "scorefield", "floor"
METHODS: tuple[str, ...] = (FLOOR, OURS, "NPE", "NPE maf", "NPSE", "FMPE")
"""All names; the floor is no method, but exact draws in place of one."""


def exact(task: Task, theta: Tensor, x: Tensor, seconds: float, seed: int) -> Fitted:
    """What a perfect method gets."""
    return Fitted(lambda x, n, number: references.draws(task, x, n, 9_000_000 + number), 0.0, "exact draws")


def load(name: str) -> Method:
    """A method by its name; the libraries of the peers are imported only here."""
    if name == FLOOR:
        return exact
    if name == OURS:
        import ours

        return ours.fit
    import peers

    return peers.METHODS[name]
