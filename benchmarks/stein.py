"""Size and power of the goodness-of-fit tests of `scorefield.metrics`: `python benchmarks/stein.py` writes stein.md.

Size: how often a test at 5 % rejects samples of the score's own law; within two standard errors of the binomial it is
what it says. Power: how often it rejects other laws, against how far they are off.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.metrics import InverseMultiquadric, SquaredExponential, fssd_test, stein_test

HERE = Path(__file__).parent
Test = Callable[[Callable[[Tensor], Tensor], Tensor, int], float]
LAWS = {
    "normal, d = 1": Gaussian(torch.zeros(1), torch.eye(1)),
    "two modes, d = 2": GaussianMixture(
        torch.tensor([1.0, 3.0]),
        torch.tensor([[-2.0, 0.0], [2.0, 0.5]]),
        torch.stack([torch.eye(2), 0.4 * torch.eye(2)]),
    ),
    "normal, d = 10": Gaussian(torch.zeros(10), torch.eye(10)),
}
TESTS: dict[str, Test] = {
    "KSD, IMQ": lambda s, x, k: stein_test(s, x, kernel=InverseMultiquadric(), bootstraps=199, seed=k).p_value,
    "KSD, Gaussian": lambda s, x, k: stein_test(s, x, kernel=SquaredExponential(), bootstraps=199, seed=k).p_value,
    "FSSD, trained": lambda s, x, k: fssd_test(s, x, steps=25, draws=499, seed=k).p_value,
}
N = {"KSD, IMQ": 100, "KSD, Gaussian": 100, "FSSD, trained": 400}


def rate(test: str, score: Callable[[Tensor], Tensor], draw: Callable[[int], Tensor], repeats: int) -> float:
    """How often a test at 5 % rejects."""
    return float(np.mean([TESTS[test](score, draw(k), k) <= 0.05 for k in range(repeats)]))


def same(z: Tensor) -> Tensor:
    """As it is."""
    return z


def sampler(
    law: Gaussian | GaussianMixture, n: int, change: Callable[[Tensor], Tensor] = same, first: int = 0
) -> Callable[[int], Tensor]:
    """Seed to sample."""
    return lambda k: change(law.sample(n, first + k).double())


def chain(n: int, rho: float, seed: int) -> Tensor:
    """A stationary autoregression with standard normal law."""
    z = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).numpy()
    x = np.empty(n)
    x[0] = z[0]
    for k in range(1, n):
        x[k] = rho * x[k - 1] + math.sqrt(1 - rho**2) * z[k]
    return torch.from_numpy(x)[:, None]


def sizes(repeats: int) -> str:
    """The table of sizes."""
    error = math.sqrt(0.05 * 0.95 / repeats)
    lines = [
        f"Rejections of the truth in {repeats:,} samples (FSSD: {repeats // 3:,}) at 5 %, in percent. A test that is "
        f"what it says has {100 * (0.05 - 2 * error):.1f} to {100 * (0.05 + 2 * error):.1f} (FSSD: "
        f"{100 * (0.05 - 2 * error * 3**0.5):.1f} to {100 * (0.05 + 2 * error * 3**0.5):.1f}): two standard errors of "
        "the binomial.",
        "",
        "| test (n) | " + " | ".join(LAWS) + " |",
        "|---|" + "---|" * len(LAWS),
    ]
    for name in TESTS:
        found = [
            rate(name, law.score, sampler(law, N[name]), repeats // 3 if name.startswith("FSSD") else repeats)
            for law in LAWS.values()
        ]
        lines.append(f"| {name} ({N[name]}) | " + " | ".join(f"{100 * r:.1f}" for r in found) + " |")
    return "\n".join(lines)


def dependent(repeats: int) -> str:
    """The table of sizes for chains."""
    memories = (0.0, 5.0, 20.0, 60.0)
    lines = [
        f"Chains of 500 steps with standard normal law, `x <- rho x + sqrt(1 - rho^2) z` (IMQ; {repeats} chains each).",
        "",
        "| rho | " + " | ".join(f"memory {m:g}" for m in memories) + " |",
        "|---|" + "---|" * len(memories),
    ]
    for rho in (0.0, 0.5, 0.9):
        samples = [chain(500, rho, k) for k in range(repeats)]
        found = [
            np.mean([stein_test(lambda x: -x, x, memory=m, bootstraps=99, seed=k).p_value <= 0.05
                     for k, x in enumerate(samples)])
            for m in memories
        ]  # fmt: skip
        lines.append(f"| {rho:g} | " + " | ".join(f"{100 * r:.1f}" for r in found) + " |")
    return "\n".join(lines)


POWERS: dict[str, tuple[tuple[float, ...], Callable[[Tensor, float], Tensor]]] = {
    "mean moved by": ((0.0, 0.1, 0.2, 0.3, 0.5), lambda z, a: z + a),
    "spread times": ((1.0, 1.1, 1.2, 1.35, 1.6), lambda z, a: a * z),
    "Student's t, 1 / degrees of freedom": ((0.01, 0.1, 0.2, 0.35, 0.5), lambda z, a: student(z, a)),
}


def student(z: Tensor, a: float) -> Tensor:
    """Student's t by the same normal numbers, scaled to them where it has a variance."""
    g = np.random.default_rng(abs(hash(float(z[0, 0]))) % 2**32)
    return z / torch.from_numpy(g.chisquare(1 / a, len(z)) * a).sqrt()[:, None]


def powers(repeats: int) -> str:
    """Tables of power against the standard normal law, 100 numbers each (FSSD: 400)."""
    law, lines = LAWS["normal, d = 1"], []
    for title, (amounts, change) in POWERS.items():
        lines += ["", f"| {title} | " + " | ".join(f"{a:g}" for a in amounts) + " |", "|---|" + "---|" * len(amounts)]
        for name in TESTS:
            found = [rate(name, law.score, sampler(law, N[name], partial(change, a=a), 5000), repeats) for a in amounts]
            lines.append(f"| {name} | " + " | ".join(f"{100 * r:.0f}" for r in found) + " |")
    return "\n".join(lines)


def main() -> None:
    """Write stein.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=120)
    parser.add_argument("--power", type=int, default=60)
    a = parser.parse_args()
    torch.set_num_threads(1)
    parts = [
        "# Goodness of fit by a score",
        f"`python benchmarks/stein.py --size {a.size} --chains {a.chains} --power {a.power}`: tests of "
        "`scorefield.metrics` on laws whose scores are exact.",
        "## Size",
        sizes(a.size),
        "## Dependent samples",
        dependent(a.chains),
        "## Power",
        f"Rejections at 5 % in percent, against the standard normal law, of {a.power} samples of 100 numbers (FSSD: "
        "400, of which 80 find the places).",
        powers(a.power),
        "",
    ]
    (HERE / "stein.md").write_text("\n\n".join(parts).replace("\n\n\n", "\n\n"), encoding="utf-8")


if __name__ == "__main__":
    main()
