"""Run under torchrun by test_train: the gradients of two processes against those of the whole batch in one."""

from __future__ import annotations

import sys

import torch
from torch import nn

from scorefield.denoiser import Denoiser
from scorefield.nets import ResidualMLP
from scorefield.numerics.random import normal
from scorefield.objectives import EDM
from scorefield.objectives.batch import Multilevel
from scorefield.training import parallel
from scorefield.training.checkpoint import Settings
from scorefield.training.loop import _start, _step, default_levels


def gradients(model: Denoiser, settings: Settings) -> list[torch.Tensor]:
    with torch.no_grad():  # away from the zero-initialised output, whose gradient reaches no other layer
        for k, p in enumerate(model.parameters()):
            p.add_(0.1 * normal(1, p.shape, 0, "test weights", first=k)[0])
    run, wrapped = _start(model, settings)
    x, device = normal(100, (3,), 0, "test data"), torch.device("cpu")
    _step(run, wrapped, x, None, Multilevel(default_levels(0.002, 20.0), EDM()), 1e-3, settings, device)
    return [parallel.whole(p.grad) for p in run.parameters if p.grad is not None]


def main() -> None:
    sharded = sys.argv[1] == "fsdp"
    settings = Settings(steps=1, batch=64, clip=1e9)
    alone = gradients(Denoiser(ResidualMLP(3, width=32, depth=2), sigma_max=20.0), settings)
    with parallel.process_group():
        together: nn.Module = Denoiser(ResidualMLP(3, width=32, depth=2), sigma_max=20.0)
        both = gradients(together, Settings(steps=1, batch=64, clip=1e9, sharded=sharded))
        scale = max(float(g.abs().max()) for g in alone)
        worst = max(float((a - b).abs().max()) for a, b in zip(alone, both, strict=True))
        if parallel.rank() == 0:
            print("difference", worst / scale, "of", len(both), "gradients")


main()
