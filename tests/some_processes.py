"""Run by test_distributed: a training by several processes, forked after their one import of torch, until a step.

`some_processes.py PROCESSES UNTIL SOURCE FOLDER JSON`: UNTIL steps in all, then every process stops, as it is killed
for the first of them if the JSON options say {"kill": step}; the first process prints the loss of every step.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

import torch.distributed.checkpoint
import torch.distributed.fsdp  # noqa: F401  before the processes part

from scorefield import runs
from scorefield.training import parallel


def train(until: int, source: str, folder: str, given: dict[str, object]) -> None:
    kill = given.pop("kill", None)
    options = {key: given.pop(key) for key in ("stream", "size") if key in given}
    for progress in runs.fit(source, folder, settings=given, options=options, resume=True):
        if os.environ.get("RANK", "0") == "0":
            print(
                "loss", progress.step, repr(progress.loss), progress.evaluation and progress.evaluation.mean, flush=True
            )
        if kill == progress.step and parallel.rank() == parallel.world() - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if progress.step == until and not progress.last:
            return


def main() -> int:
    count, until, source, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    given = json.loads(sys.argv[5])
    if count == 1:
        train(until, source, folder, given)
        return 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        children.append(os.fork())
        if children[-1] == 0:
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1"}
            os.environ.update({name: str(value) for name, value in {**place, "MASTER_PORT": port}.items()})
            try:
                train(until, source, folder, given)
            except Exception as error:
                print("ended", type(error).__name__, str(error), flush=True)
                os._exit(2)
            return 0
    return max(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) for child in children)


sys.exit(main())
