"""Run by test_train: two processes that train as one, forked after their one import of torch.

`two_processes.py gradients`: the gradients of two processes against those of the whole batch in one.
`two_processes.py command WORDS...`: the command line in both.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace

import torch
import torch.distributed.fsdp  # before the processes part
from torch import nn

import scorefield.tables.fit  # noqa: F401
from scorefield.cli import main as command
from scorefield.denoiser import Denoiser
from scorefield.nets import ResidualMLP
from scorefield.numerics.random import normal
from scorefield.numerics.threads import ALONE
from scorefield.objectives import EDM
from scorefield.objectives.batch import Multilevel
from scorefield.training import parallel
from scorefield.training.checkpoint import Settings
from scorefield.training.loop import _batch, _start, _step, default_levels
from scorefield.training.precision import Precision


def gradients(model: Denoiser, settings: Settings) -> list[torch.Tensor]:
    with torch.no_grad():  # away from the zero-initialised output, whose gradient reaches no other layer
        for k, p in enumerate(model.parameters()):
            p.add_(0.1 * normal(1, p.shape, 0, "test weights", first=k)[0])
    run, wrapped = _start(model, settings, Precision("float32"))
    x, device = normal(100, (3,), 0, "test data"), torch.device("cpu")
    objective = Multilevel(default_levels(0.002, 20.0), EDM())
    _step(run, wrapped, _batch(run, x, None, settings, device), objective, 1e-3, settings, ALONE)
    if settings.optimizer == "muon":
        return [parallel.whole(p.detach()) for p in run.parameters]
    return [parallel.whole(p.grad) for p in run.parameters if p.grad is not None]


def compare() -> None:
    kinds = ("adamw", "muon")
    settings = [Settings(steps=1, batch=64, clip=1e9, optimizer=kind) for kind in kinds]
    alone = [gradients(Denoiser(ResidualMLP(3, width=32, depth=2), sigma_max=20.0), one) for one in settings]
    with parallel.process_group():
        for way in ("ddp", "fsdp"):
            for kind, one, wanted in zip(kinds, settings, alone, strict=True):
                together: nn.Module = Denoiser(ResidualMLP(3, width=32, depth=2), sigma_max=20.0)
                both = gradients(together, replace(one, sharded=way == "fsdp"))
                worst = max(float((a - b).abs().max()) for a, b in zip(wanted, both, strict=True))
                scale = max(float(g.abs().max()) for g in wanted)
                if parallel.rank() == 0:
                    what = "gradients" if kind == "adamw" else "weights"
                    print(f"{way}-{kind}", "difference", worst / scale, "of", len(both), what)


def started(rank: int, port: int) -> int:
    """A child that is process `rank` of two, as torchrun would start it; 0 in the child."""
    child = os.fork()
    if child == 0:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in place.items()})
    return child


def main() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(2):
        children.append(started(rank, port))
        if children[-1] == 0:
            work, *sys.argv[1:] = sys.argv[1:]
            compare() if work == "gradients" else command()
            return 0
    return max(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) for child in children)


sys.exit(main())
