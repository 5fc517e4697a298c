"""What `run`, and a step of training, cost over the bare network, in processor time on one thread; three minutes.

    python benchmarks/overhead.py

Three figures for each plan, from the same runs, interleaved with the bare network called as often:

- 'outside': the time of the sampler outside the network over that inside it, each read within the same run. It knows no
  noise of the machine, and nothing of what the sampler does to the network's own time (caches, page faults).
- 'whole': the sampler's time over the bare network's, the median of paired differences with a 95 % bootstrap interval.
  It knows all, within that interval.
- 'made': memory that the sampler allocates outside the network for each evaluation, in units of x; and 'faults', page
  faults for each evaluation beyond those of the bare network.

Of a step of training 'whole' alone, over forward, backward and optimiser of the bare network on a batch that is there:
what drawing rows, levels and noise, the loss, clipping and averaging the weights cost.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from peers.steady import steady

if __name__ == "__main__":
    steady()

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from scorefield import Denoiser, levels, plans
from scorefield.nets import UNet
from scorefield.numerics.threads import ALONE
from scorefield.objectives import EDM
from scorefield.objectives.batch import Multilevel
from scorefield.plans import Plan, run
from scorefield.training.checkpoint import Settings
from scorefield.training.loop import _batch, _start, _step, default_levels
from scorefield.training.optimizer import AdamW, clear
from scorefield.training.precision import Precision

Sampler = Callable[[Tensor, int], object]
"""`(x, evaluations) -> samples` round a network that it was made with."""


class PlainMLP(nn.Module):
    """Four hidden layers of 256: the smallest network for which the overhead is to be small."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        sizes = [dim + 1, 256, 256, 256, 256]
        layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(256, dim))

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.layers(torch.cat([x, level_feature.reshape(-1, 1).expand(len(x), 1)], dim=1))


PLANS: dict[str, Callable[[int], Plan]] = {
    "ddim": lambda n: plans.ddim(levels.karras(n)),
    "adams4": lambda n: plans.adams(levels.karras(n)),
    "default": plans.default,
    "ancestral": lambda n: plans.ancestral(levels.karras(n)),
    "dpmpp2(eta=1)": lambda n: plans.dpmpp(levels.karras(n), 2, eta=1.0),
}


class Case(NamedTuple):
    """A network, x's shape, evaluations in a run, rounds of runs."""

    name: str
    network: nn.Module
    shape: tuple[int, ...]
    evaluations: int
    rounds: int


def cases() -> list[Case]:
    return [
        Case("4x256 MLP, batch 4096, d = 16", PlainMLP(16), (4096, 16), 10, 25),
        Case("UNet, batch 64, 28x28", UNet((28, 28)), (64, 1, 28, 28), 2, 6),
    ]


class Timed(nn.Module):
    """A network that counts its calls, and the seconds and page faults in them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.calls, self.seconds, self.faults = network, 0, 0.0, 0

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        faults, start = page_faults(), time.process_time()
        answer: Tensor = self.network(x, level_feature, condition)
        self.seconds += time.process_time() - start
        self.faults += page_faults() - faults
        self.calls += 1
        return answer


class Made(TorchDispatchMode):
    """Bytes of the tensors that are made inside: results that share no memory with what they come from."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = op(*args, **(kwargs or {}))
        known = {a.untyped_storage().data_ptr() for a in _tensors((args, kwargs))}
        self.bytes += sum(t.nbytes for t in _tensors(result) if t.untyped_storage().data_ptr() not in known)
        return result


def _tensors(values: object) -> Iterable[Tensor]:
    return (v for v in torch.utils._pytree.tree_leaves(values) if isinstance(v, Tensor))


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


class Once(NamedTuple):
    """One run, for each evaluation: seconds, those of them inside the network, page faults."""

    seconds: float
    inside: float
    faults: float


class Cost(NamedTuple):
    """Of a sampler beside the bare network, for each evaluation.

    Args:
        outside: seconds outside the network over seconds inside.
        whole: seconds over the bare network's; then the ends of its 95 % interval.
        made: bytes allocated outside the network over those of x.
        faults: page faults more than the bare network's.
    """

    outside: float
    whole: float
    low: float
    high: float
    made: float
    faults: float


def once(network: Timed, work: Callable[[], object]) -> Once:
    network.calls, network.seconds, network.faults = 0, 0.0, 0
    faults, start = page_faults(), time.process_time()
    work()
    seconds, n = time.process_time() - start, network.calls
    return Once(seconds / n, network.seconds / n, (page_faults() - faults) / n)


def made(network: Timed, work: Callable[[], object]) -> float:
    network.calls = 0
    with Made() as count:
        work()
    return count.bytes / network.calls


def ours(network: nn.Module, names: Iterable[str] = PLANS) -> dict[str, Sampler]:
    """The library's plans, each built once (a plan is data) and run by `run`."""

    def sampler(build: Callable[[int], Plan]) -> Sampler:
        built = cache(build)
        return lambda x, n: run(built(n), model, x)

    model = Denoiser(network).eval()
    return {name: sampler(PLANS[name]) for name in names}


@torch.no_grad()
def measure(case: Case, make: Callable[[nn.Module], Mapping[str, Sampler]] = ours) -> dict[str, Cost]:
    """The cost of each sampler; a round runs the network and every sampler once, beginning with another each time."""
    network, n = Timed(case.network), case.evaluations
    x = 80 * torch.randn(case.shape, generator=torch.Generator().manual_seed(0))
    features = list(torch.linspace(4.0, -6.0, n))
    works: dict[str, Callable[[], object]] = {"": lambda: [network(x / 80, f) for f in features]}
    works |= {name: (lambda s=sampler: s(x, n)) for name, sampler in make(network).items()}
    allocated = {name: made(network, work) for name, work in works.items()}  # also warms up
    found: dict[str, list[Once]] = {name: [] for name in works}
    names = list(works)
    for k in range(case.rounds):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            found[name].append(once(network, works[name]))
    bare, size = found.pop(""), x.nbytes
    spare = allocated.pop("") - size  # the bare loop scales x itself
    return {name: _cost(runs, bare, (allocated[name] - spare) / size) for name, runs in found.items()}


def ratio(ours: list[float], bare: list[float]) -> tuple[float, float, float]:
    """1 and the median of paired differences, with the ends of its 95 % bootstrap interval."""
    paired = torch.tensor([(a - b) / b for a, b in zip(ours, bare, strict=True)])
    draws = torch.randint(len(paired), (2000, len(paired)), generator=torch.Generator().manual_seed(0))
    low, high = paired[draws].quantile(0.5, dim=1).quantile(torch.tensor([0.025, 0.975]))
    return 1 + float(paired.quantile(0.5)), 1 + float(low), 1 + float(high)


def _cost(runs: list[Once], bare: list[Once], allocated: float) -> Cost:
    whole, low, high = ratio([r.seconds for r in runs], [b.seconds for b in bare])
    outside = torch.tensor([(r.seconds - r.inside) / r.inside for r in runs])
    faults = torch.tensor([r.faults - b.faults for r, b in zip(runs, bare, strict=True)])
    return Cost(float(outside.quantile(0.5)), whole, low, high, allocated, float(faults.mean()))


def trained(make: Callable[[], nn.Module], shape: tuple[int, ...], precision: str, rounds: int) -> list[float]:
    """A step of training over the bare network's: the ratio and its interval. Both networks learn meanwhile."""
    batch, device, computes = 128, torch.device("cpu"), Precision(precision)
    x, settings = torch.randn(2000, *shape), Settings(steps=10**6, batch=batch, precision=precision)
    model, network = Denoiser(make()), make()
    run, wrapped = _start(model, settings, computes)
    objective = Multilevel(default_levels(0.002, 80.0), EDM())
    optimizer = AdamW(list(network.parameters()), settings.weight_decay)
    given, feature = torch.randn(batch, *shape), torch.randn(batch)

    def bare() -> None:
        clear(optimizer.parameters)
        with computes.autocast(device):
            loss = network(given, feature, None).square().mean()
        loss.backward()
        optimizer.step(1e-5)

    def step() -> None:
        _step(run, wrapped, _batch(run, x, None, settings, device), objective, 1e-5, settings, ALONE)

    seconds: list[list[float]] = [[], []]
    for k in range(rounds + 1):
        for which in (k % 2, 1 - k % 2):
            begun = time.process_time()
            (bare, step)[which]()
            seconds[which].append(time.process_time() - begun)
    return list(ratio(seconds[1][1:], seconds[0][1:]))  # the first round sets the kernels up


TRAINED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str, int]] = {
    "4x256 MLP, d = 16": (lambda: PlainMLP(16), (16,), "float32", 300),
    "UNet, 28x28": (lambda: UNet((28, 28)), (1, 28, 28), "float32", 8),
    "UNet, 28x28, bf16": (lambda: UNet((28, 28)), (1, 28, 28), "bf16", 12),
}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    for case in cases():
        size = sum(p.numel() for p in case.network.parameters()) / 1e6
        print(f"{case.name}: {size:.2f} M parameters")
        print(f"    {'plan':16}{'outside':>9}{'whole':>9}{'95 %':>18}{'made':>8}{'faults':>8}")
        for name, c in measure(case).items():
            interval = f"{c.low:.4f} to {c.high:.4f}"
            print(f"    {name:16}{c.outside:9.4f}{c.whole:9.4f}{interval:>18}{c.made:8.1f}{c.faults:8.1f}")
    print("a step of training, batch 128")
    for name, what in TRAINED.items():
        whole, low, high = trained(*what)
        print(f"    {name:25}{whole:9.4f}{f'{low:.4f} to {high:.4f}':>18}")


if __name__ == "__main__":
    main()
