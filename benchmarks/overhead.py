"""What `run` costs over the bare network: the ratio of processor times, interleaved, least of rounds, on one thread.

    python benchmarks/overhead.py [--rounds 15]

'network' is the network called in a loop, as many times as the plan asks; 'model' the Denoiser round it, with its
scaling and 2x2 solve; 'run' the whole sampler; 'loop' the sampler with a model that answers at once, over the network:
what is left of 'run' when the machine is busy and the others drown in its noise. glibc hands freed memory back and
faults it in again, more or less by accident of layout, up to 10 % here: with MALLOC_TRIM_THRESHOLD_=1073741824 and
MALLOC_MMAP_THRESHOLD_=1073741824 in the environment that is out of the comparison.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from scorefield import Denoiser, levels, plans
from scorefield.core import Estimate
from scorefield.nets import ResidualMLP, UNet
from scorefield.plans import Plan, run


class PlainMLP(nn.Module):
    """Four hidden layers of 256: the smallest network for which the overhead is to be small."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        sizes = [dim + 1, 256, 256, 256, 256]
        layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(256, dim))

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.layers(torch.cat([x, level_feature.expand(len(x), 1)], dim=1))


PLANS: dict[str, Callable[[int], Plan]] = {
    "ddim": lambda n: plans.ddim(levels.karras(n)),
    "adams4": lambda n: plans.adams(levels.karras(n)),
    "default": plans.default,
    "heun": lambda n: plans.heun(levels.karras((n + 1) // 2)),
    "ancestral": lambda n: plans.ancestral(levels.karras(n)),
    "dpmpp2 SDE": lambda n: plans.dpmpp(levels.karras(n), 2, eta=1.0),
}
CASES: dict[str, tuple[nn.Module, tuple[int, ...], int]] = {  # network, x's shape, evaluations
    "4x256 MLP, batch 4096, d = 16": (PlainMLP(16), (4096, 16), 10),
    "residual MLP, batch 4096, d = 16": (ResidualMLP(16), (4096, 16), 10),
    "UNet, batch 64, 28x28": (UNet(28, 28), (64, 1, 28, 28), 3),
}


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@torch.no_grad()
def ratios(network: nn.Module, shape: tuple[int, ...], plan: Plan, rounds: int) -> tuple[float, float, float, float]:
    """Seconds per evaluation of the network, and the ratios of model, run and loop to it."""
    model = Denoiser(network).eval()
    x = plan.start(shape[0], shape[1:], seed=0)
    small = x / 80
    points = [plan.levels[k] for k in range(plan.evaluations)]
    features = [level.log_ratio.float() for level in points]
    answer = Estimate(x / 80, x / 80)
    loops = {
        "network": lambda: [network(small, feature, None) for feature in features],
        "model": lambda: [model(x, level) for level in points],
        "run": lambda: run(plan, model, x),
        "loop": lambda: run(plan, lambda x, level, condition: answer, x),
    }
    times: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds + 1):
        for name, loop in loops.items():
            times[name].append(seconds(loop))
    network_s, model_s, run_s, loop_s = (min(times[name][1:]) for name in loops)  # the first round warms up
    return network_s / plan.evaluations, model_s / network_s, run_s / network_s, loop_s / network_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"{'network':34s}{'plan':12s}{'ms/evaluation':>14s}{'model':>8s}{'run':>8s}{'loop':>8s}  (times the network)")
    for name, (network, shape, evaluations) in CASES.items():
        size = sum(p.numel() for p in network.parameters()) / 1e6
        print(f"-- {name}: {size:.2f} M parameters")
        for plan_name, build in PLANS.items():
            each, model, whole, loop = ratios(network, shape, build(evaluations), rounds)
            print(f"{'':34s}{plan_name:12s}{1e3 * each:14.2f}{model:8.4f}{whole:8.4f}{loop:8.4f}")


if __name__ == "__main__":
    main()
