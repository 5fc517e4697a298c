"""Many tasks by the workers of a Dask cluster, or one after the other in this process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from scorefield._files import shown
from scorefield._optional import package
from scorefield.progress import Report

T = TypeVar("T")
_TRIES = 10  # workers that may die over one task before it is given up


def done(
    function: Callable[[T], object], tasks: Sequence[T], cluster: str | None, report: Report, what: str = "files"
) -> None:
    """Call a function with each task; a task whose worker dies is given to another.

    Args:
        function: of a module, for workers import it.
        tasks: one argument each.
        cluster: `local:N`, N processes of this machine; the address of a scheduler, such as `tcp://host:8786`; None:
            this process.
        report: hears how far the work is.
        what: the tasks, for the report.

    Raises:
        ValueError: for another text, where the package is missing, or where a task's workers died again and again.
        Exception: what a task raises; the others that have not begun are given up.
    """
    if not tasks:
        return
    if cluster is None:
        for k, task in enumerate(tasks):
            report(k / len(tasks), what)
            function(task)
        return
    check_cluster(cluster)
    with _client(cluster) as client:
        _gathered(client, function, tasks, report, what)


def check_cluster(cluster: str) -> None:
    """Raise a ValueError for what is no cluster."""
    if not re.fullmatch(r"local:[1-9][0-9]{0,3}|(tcp|tls|ws|wss|ucx)://\S+", cluster):
        raise ValueError(
            f"a cluster is local:N, with N processes from 1 to 9999, or an address such as tcp://host:8786, got "
            f"{shown(cluster)}."
        )


def _gathered(client: Any, function: Callable[[T], object], tasks: Sequence[T], report: Report, what: str) -> None:
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    futures = [client.submit(function, task, pure=False) for task in tasks]
    try:
        for k, future in enumerate(as_completed(futures), 1):
            future.result()
            future.release()
            report(k / len(tasks), what)
    except KilledWorker:
        raise ValueError(
            f"{_TRIES} workers died over the same file, most likely for want of memory; make its files smaller or give "
            "the workers more. What is written is kept: the same command goes on."
        ) from None
    finally:
        client.cancel(futures)


@contextmanager
def _client(cluster: str) -> Iterator[Any]:
    """A client of the cluster; one of this machine ends with it."""
    dask, distributed = (package(name, "a cluster", "scorefield[dask]") for name in ("dask", "distributed"))
    quiet = {"distributed.scheduler.allowed-failures": _TRIES, "distributed.worker.memory.terminate": False}
    with dask.config.set(quiet):
        if not cluster.startswith("local:"):
            try:
                client = distributed.Client(cluster, timeout="20s")
            except OSError as fault:
                raise ValueError(f"no Dask scheduler answers at {cluster}: {shown(str(fault))}.") from None
            with client:
                yield client
            return
        count = int(cluster.partition(":")[2])
        with (
            distributed.LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                memory_limit=None,
                silence_logs="CRITICAL",
            ) as local,
            distributed.Client(local) as client,
        ):
            yield client
