"""The error of log-densities against evaluations, with exact models: the ring, 16-d, and 64-d mixtures of low rank.

Run `python benchmarks/likelihood.py [--points 256]`. Error in nats, root mean square over points of the law;
'estimate' is the root mean square of `solver_error`. The last table compares random divergences at equal cost.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch

from scorefield.analytic import GaussianMixture
from scorefield.likelihood import log_density

DATA = Path(__file__).parents[1] / "tests" / "data"


def stored(name: str) -> GaussianMixture:
    """The mixture of the tests."""
    with np.load(DATA / f"mixture_{name}.npz") as file:
        return GaussianMixture(*(torch.from_numpy(file[key]) for key in ("weights", "means", "covariances")))


def low_rank(seed: int, diagonal: float, d: int = 64, count: int = 10, rank: int = 6) -> GaussianMixture:
    """Modes of low rank plus a small diagonal."""
    g = torch.Generator().manual_seed(seed)
    means = torch.randn(count, d, generator=g, dtype=torch.float64)
    factors = 0.5 * torch.randn(count, d, rank, generator=g, dtype=torch.float64) / math.sqrt(rank)
    weights = torch.rand(count, generator=g, dtype=torch.float64) + 0.2
    eye = diagonal * torch.eye(d, dtype=torch.float64)
    return GaussianMixture(weights, means, factors @ factors.mT + eye)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    laws = {
        "ring": stored("ring"),
        "blend": stored("blend"),
        "64-d, 0.01": low_rank(0, 0.01),
        "64-d, 0.001": low_rank(1, 0.001),
    }
    print(f"{'law':12} {'asked':>18} {'rms':>8} {'median':>8} {'greatest':>8} {'estimate':>8} {'mean':>5} {'most':>5}")
    for name, law in laws.items():
        x = law.sample(a.points, 0)
        truth = law.log_density(x)
        asked: list[dict[str, float]] = [{"tolerance": t} for t in (1e-2, 1e-3, 1e-4, 3e-5, 1e-5, 1e-6)]
        for option in [*asked, {"evaluations": 50}, {"evaluations": 100}, {"evaluations": 200}]:
            r = log_density(law, x, **option)  # type: ignore[arg-type]
            error, (key, value) = (r.value - truth).abs(), next(iter(option.items()))
            print(
                f"{name:12} {f'{key} {value:g}':>18} {error.square().mean().sqrt():8.1e} {error.median():8.1e} "
                f"{error.max():8.1e} {r.solver_error.square().mean().sqrt():8.1e} "
                f"{r.evaluations.double().mean():5.0f} {int(r.evaluations.max()):5d}",
                flush=True,
            )
    print(f"\n{'law':12} {'divergence':>12} {'probes':>6} {'rms':>8} {'covered':>8}")
    for name, law in laws.items():
        x = law.sample(a.points, 0)
        truth = law.log_density(x)
        for divergence in ("hutchinson", "hutch++"):
            for probes in (16, 48):
                r = log_density(law, x, divergence=divergence, probes=probes, tolerance=1e-3)  # type: ignore[arg-type]
                covered = ((r.interval[:, 0] <= truth) & (truth <= r.interval[:, 1])).double().mean()
                error = (r.value - truth).square().mean().sqrt()
                print(f"{name:12} {divergence:>12} {probes:6d} {error:8.1e} {covered:8.3f}", flush=True)


if __name__ == "__main__":
    main()
