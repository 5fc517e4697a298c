"""Training by several processes on one machine: strong and weak scaling, and the bytes of a step against the model.

`python benchmarks/scaling.py` starts 1, 2 and 4 processes over gloo with a thread each; more of them than there are
cores share these. Bytes are those that leave by the loopback interface, the processes' own in a network namespace:
`unshare -n sh -c "ip link set lo up && python benchmarks/scaling.py"`.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed.fsdp  # before the processes part

from scorefield import Denoiser, nets
from scorefield.numerics.random import normal
from scorefield.training import parallel
from scorefield.training.checkpoint import Settings
from scorefield.training.loop import train


def run(batch: int, sharded: bool, steps: int, width: int) -> dict[str, Any]:
    """Seconds a step, and what is sent in one."""
    with parallel.process_group():
        torch.set_num_threads(1)
        model = Denoiser(nets.ResidualMLP(16, width=width, depth=4), sigma_max=20.0)
        x = normal(20_000, (16,), 0, "data")
        settings = Settings(steps=steps + 5, batch=batch, sharded=sharded, precision="float32")
        loop = train(model, x, settings=settings)
        for _ in range(3):
            next(loop)
        parallel.wait_for_all()
        begun, worked, before = time.perf_counter(), time.process_time(), sent()
        for _ in range(steps):
            next(loop)
        wall, processor = time.perf_counter() - begun, time.process_time() - worked
        parallel.wait_for_all()
        through, numbers = sent() - before, sum(p.numel() for p in model.parameters())
        loop.close()
        return {"wall": wall / steps, "processor": processor / steps, "numbers": numbers, "sent": through / steps}


def sent() -> int:
    """Bytes that left by the loopback interface so far, of all processes that see it."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    return next(int(line.split(":")[1].split()[8]) for line in lines if line.strip().startswith("lo:"))


def several(count: int, **options: Any) -> dict[str, Any]:
    """The answer of the first of some processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reading, writing = os.pipe()
    children = []
    for rank in range(count):
        children.append(os.fork())
        if children[-1] == 0:
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1"}
            os.environ.update({name: str(value) for name, value in {**place, "MASTER_PORT": port}.items()})
            answer = run(**options)
            if rank == 0:
                os.write(writing, json.dumps(answer).encode())
            os._exit(0)
    os.close(writing)
    text = b""
    while part := os.read(reading, 1 << 16):
        text += part
    os.close(reading)
    for child in children:
        os.waitpid(child, 0)
    found: dict[str, Any] = json.loads(text)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=30)
    options.add_argument("--batch", type=int, default=512)
    options.add_argument("--width", type=int, default=512)
    options.add_argument("--processes", default="1,2,4")
    given = options.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores", file=sys.stderr)
    for count in map(int, given.processes.split(",")):
        for sharded in (False, True) if count > 1 else (False,):
            for name, batch in (("strong", given.batch), ("weak", given.batch * count)):
                answer = several(count, batch=batch, sharded=sharded, steps=given.steps, width=given.width)
                print(count, "fsdp" if sharded else "ddp", name, batch, json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
