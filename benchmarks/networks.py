"""Parameters, forward and training-step times of the networks: `python benchmarks/networks.py [--threads 2]`.

A training step is forward, backward and AdamW on one batch; times are the least of a few runs, in milliseconds, so
that a busy machine disturbs them little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from scorefield.nets import ScalarMLP, UNet, network_for

Case = tuple[str, Callable[[], nn.Module], tuple[int, ...]]

CASES: list[Case] = [
    *((f"default for {shape}", lambda shape=shape: network_for(shape), shape) for shape in ((2,), (10,), (64,))),
    ("default for (2,), 1000 rows", lambda: network_for((2,), rows=1000), (2,)),
    ("default for (3072,)", lambda: network_for((3072,)), (3072,)),
    ("ScalarMLP(10, 128, 3)", lambda: ScalarMLP(10, 128, 3), (10,)),
    *((f"default for {s}", lambda s=s: network_for(s), s) for s in ((1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 64, 64))),
    ("small for (1, 28, 28)", lambda: network_for((1, 28, 28), size="small"), (1, 28, 28)),
    ("large for (1, 28, 28)", lambda: network_for((1, 28, 28), size="large"), (1, 28, 28)),
    ("28 x 28 on single pixels", lambda: UNet((28, 28), base=64, multipliers=(1, 2), blocks=1), (1, 28, 28)),
]


def least(f: Callable[[], object], runs: int) -> float:
    """The shortest of `runs` runs after one to warm up, in milliseconds."""
    f()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def measure(net: nn.Module, shape: tuple[int, ...], batch: int, runs: int) -> tuple[float, float]:
    """Forward and training-step time."""
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.01)  # no zeros, which some kernels finish sooner
    x, level = torch.randn(batch, *shape), torch.randn(batch)
    optimiser = torch.optim.AdamW(net.parameters())

    def step() -> None:
        raw: Tensor = net(x, level)
        optimiser.zero_grad(set_to_none=True)
        raw.square().mean().backward()
        optimiser.step()

    def forward() -> Tensor:
        with torch.no_grad():
            return net(x, level)

    return least(forward, runs), least(step, runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"batch {options.batch}, {options.threads} thread(s), torch {torch.__version__}")
    print(f"{'network':32s} {'parameters':>12s} {'forward ms':>12s} {'step ms':>10s}")
    for name, make, shape in CASES:
        net = make()
        count = sum(p.numel() for p in net.parameters())
        forward, step = measure(net, shape, options.batch, options.runs)
        print(f"{name:32s} {count:12,d} {forward:12.2f} {step:10.2f}", flush=True)


if __name__ == "__main__":
    main()
