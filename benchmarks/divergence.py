"""The exact trace of a Jacobian beside a loop of `autograd.grad` over coordinates: d = 64, n = 256, a 4x256 MLP.

Run `python benchmarks/divergence.py [--device cuda]`. Both give the same trace and the same gradients (checked). Three
tasks: the value alone; the value with the graph that published loops record (`create_graph=True`) against the value as
it is asked for here, under no_grad; and a training step (implicit loss and its backward pass to the parameters).

At n = 256 one CPU core is bound by matrix products in both, as many in one as in the other: the last column says which
share of the time they take at the speed measured for one large product. The gain is greatest where the loop is bound by
its 64 launches instead: on a GPU, and at few samples.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from scorefield.numerics.divergence import jacobian_trace

D, WIDTH, DEPTH = 64, 256, 4


def network() -> nn.Module:
    """An MLP of DEPTH hidden layers of WIDTH units."""
    sizes = [D, *[WIDTH] * DEPTH]
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*layers, nn.Linear(WIDTH, D))


def loop(f: nn.Module, x: Tensor, graph: bool) -> tuple[Tensor, Tensor]:
    """The trace, one coordinate at a time."""
    x = x.detach().requires_grad_()
    y, total = f(x), torch.zeros(len(x), device=x.device)
    for i in range(D):
        total = total + torch.autograd.grad(y[:, i].sum(), x, create_graph=graph, retain_graph=True)[0][:, i]
    return y, total


def backward(f: nn.Module, answer: tuple[Tensor, Tensor]) -> list[Tensor]:
    """The gradient of the implicit loss."""
    y, trace = answer
    return list(torch.autograd.grad((trace + y.square().sum(1) / 2).mean(), list(f.parameters())))


def seconds(task: Callable[[], object], repeats: int, device: str) -> float:
    """The least time of several runs, after a warm-up."""
    best = float("inf")
    for k in range(repeats + 1):
        start = time.perf_counter()
        task()
        if device != "cpu":
            torch.cuda.synchronize()
        if k:
            best = min(best, time.perf_counter() - start)
    return best


def product_speed(device: str) -> float:
    """Multiply-adds per second of one large matrix product."""
    a, b = torch.randn(4096, WIDTH, device=device), torch.randn(WIDTH, WIDTH, device=device)
    return 4096 * WIDTH * WIDTH / seconds(lambda: a @ b, 20, device)


def peak_mib(task: Callable[[], object], device: str) -> float:
    """The memory that a task adds at its peak, in MiB; on a CPU what its operators allocate and keep."""
    if device != "cpu":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        task()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        task()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak / 2**20


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--samples", type=int, default=256)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    generator = torch.Generator().manual_seed(0)
    f, x = network().to(a.device), torch.randn(a.samples, D, generator=generator).to(a.device)

    def ours(chunk: int | None) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return jacobian_trace(f, x, chunk=chunk)

    torch.testing.assert_close(loop(f, x, False)[1], ours(None)[1], rtol=1e-3, atol=1e-4)
    for u, v in zip(backward(f, loop(f, x, True)), backward(f, jacobian_trace(f, x, chunk=16)), strict=True):
        torch.testing.assert_close(u, v, rtol=1e-2, atol=1e-4)

    base = {
        "value": seconds(lambda: loop(f, x, False), a.repeats, a.device),
        "value, loop with graph": seconds(lambda: loop(f, x, True), a.repeats, a.device),
        "training step": seconds(lambda: backward(f, loop(f, x, True)), a.repeats, a.device),
    }
    products = D * a.samples * (2 * D * WIDTH + (DEPTH - 1) * WIDTH**2) / product_speed(a.device)
    share = {"value": products, "value, loop with graph": products, "training step": 3 * products}
    print(f"d = {D}, n = {a.samples}, {DEPTH}x{WIDTH} MLP, {a.device}, {a.threads} thread(s)")
    print(f"{'task':24} {'chunk':>5} {'loop ms':>8} {'here ms':>8} {'ratio':>6} {'MiB':>7} {'products':>9}")
    for name, reference in base.items():
        for chunk in (4, 16, 64, None):
            train = name == "training step"

            def task(chunk: int | None = chunk, train: bool = train) -> object:
                return backward(f, jacobian_trace(f, x, chunk=chunk)) if train else ours(chunk)

            spent, memory = seconds(task, a.repeats, a.device), peak_mib(task, a.device)
            print(
                f"{name:24} {chunk or 'all':>5} {reference * 1e3:8.1f} {spent * 1e3:8.1f} {reference / spent:6.2f} "
                f"{memory:7.1f} {share[name] / spent:9.0%}"
            )


if __name__ == "__main__":
    main()
