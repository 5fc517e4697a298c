"""Measures what a sampler costs over the bare network, here and at the peers': processor times, interleaved."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from overhead import PlainMLP  # benchmarks/overhead.py
from torch import Tensor, nn

from peers import azula, diffusers, kdiffusion
from scorefield import Denoiser, levels, plans
from scorefield.nets import UNet
from scorefield.plans import Plan, run


class Case(NamedTuple):
    name: str
    network: nn.Module
    shape: tuple[int, ...]
    evaluations: int
    rounds: int


class Cost(NamedTuple):
    """Time of a sampler over the network's, as often called."""

    package: str
    sampler: str
    ratio: float


def cases() -> list[Case]:
    return [
        Case("4x256 MLP, batch 4096, d = 16", PlainMLP(16), (4096, 16), 10, 7),
        Case("UNet, batch 64, 28x28", UNet(28, 28), (64, 1, 28, 28), 3, 3),
    ]


def _ours(network: nn.Module, build: Callable[[int], Plan]) -> Callable[[Tensor, int], Tensor]:
    model, made = Denoiser(network).eval(), cache(build)  # a plan is data: built once, run often
    return lambda x, n: run(made(n), model, x)


def _samplers(network: nn.Module) -> dict[tuple[str, str], Callable[[Tensor, int], Tensor]]:
    def net(x: Tensor, feature: Tensor) -> Tensor:
        return network(x, feature.float(), None)

    karras = levels.karras
    made = {
        ("scorefield", "ddim"): _ours(network, lambda n: plans.ddim(karras(n))),
        ("scorefield", "default"): _ours(network, plans.default),
        ("scorefield", "dpmpp2(eta=1)"): _ours(network, lambda n: plans.dpmpp(karras(n), 2, eta=1.0)),
    }
    for package, module, kinds in (
        ("azula", azula, ("DDIM", "vAB3", "DDPM")),
        ("k-diffusion", kdiffusion, ("Euler", "DPM++ 2M", "DPM++ 2M SDE")),
        ("diffusers", diffusers, ("Euler", "DPM++ 2M", "UniPC2", "DPM++ 2M SDE")),
    ):
        for kind in kinds:
            made[package, kind] = module.loop(net, kind)
    return made


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@torch.no_grad()
def measure(case: Case) -> list[Cost]:
    """The least of some rounds for each; a round runs the network and every sampler once, in turn."""
    x = 80 * torch.randn(case.shape, generator=torch.Generator().manual_seed(0))
    features = torch.linspace(4.0, -6.0, case.evaluations)
    loops = _samplers(case.network)
    work = {key: (lambda loop=loop: loop(x, case.evaluations)) for key, loop in loops.items()}
    bare = ("", "network")
    work = {bare: lambda: [case.network(x / 80, f, None) for f in features], **work}
    best = dict.fromkeys(work, float("inf"))
    for k in range(case.rounds + 1):
        for key, task in work.items():
            spent = seconds(task)
            if k:  # the first round warms up
                best[key] = min(best[key], spent)
    return [Cost(*key, best[key] / best[bare]) for key in loops]
