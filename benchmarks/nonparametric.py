"""Scores estimated by kernels beside the true ones: `python benchmarks/nonparametric.py` writes nonparametric.md.

`--reference FOLDER` adds the mixtures of FOLDER/mixture_*.npz (weights, means, covariances) with at most 10 dimensions.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorefield import closed_form, nonparametric
from scorefield.analytic import Gaussian, GaussianMixture

HERE = Path(__file__).parent
Law = Gaussian | GaussianMixture
LAWS: dict[str, Law] = {
    "normal, d = 2": Gaussian(torch.tensor([1.0, -1.0]), torch.tensor([[2.0, 0.6], [0.6, 1.0]])),
    "two modes, d = 2": GaussianMixture(
        torch.tensor([1.0, 3.0]),
        torch.tensor([[-2.0, 0.0], [2.0, 0.5]]),
        torch.stack([torch.eye(2), 0.4 * torch.eye(2)]),
    ),
    "normal, d = 10": Gaussian(torch.zeros(10), torch.eye(10)),
}


def with_base(x: Tensor) -> Gaussian:
    """The Gaussian of a sample."""
    return closed_form.gaussian(x).law


ESTIMATORS: dict[str, Callable[[Tensor], Callable[[Tensor], Tensor]]] = {
    "Gaussian (closed form)": lambda x: closed_form.gaussian(x).score,
    "Stein gradient": nonparametric.stein_gradient,
    "SSGE": nonparametric.ssge,
    "nu-method, diagonal": lambda x: nonparametric.nu_method(x, kernel=nonparametric.Diagonal()),
    "nu-method, curl-free": nonparametric.nu_method,
    "KEF": nonparametric.kernel_exponential_family,
    "KEF, 50 centres": lambda x: nonparametric.kernel_exponential_family(x, centres=50),
    "KEF lite": nonparametric.kernel_exponential_family_lite,
    "KEF lite, Gaussian base": lambda x: nonparametric.kernel_exponential_family_lite(x, base=with_base(x)),
}


def references(folder: Path) -> dict[str, Law]:
    """Mixtures of files."""
    found = {}
    for path in sorted(folder.glob("mixture_*.npz")):
        stored = np.load(path)
        parts = [torch.from_numpy(stored[name]) for name in ("weights", "means", "covariances")]
        if parts[1].shape[1] <= 10:
            found[f"{path.stem.removeprefix('mixture_')}, d = {parts[1].shape[1]}"] = GaussianMixture(*parts)
    return found


def measured(
    estimator: Callable[[Tensor], Callable[[Tensor], Tensor]], law: Law, n: int, repeats: int
) -> tuple[float, float]:
    """`E|estimate - score|^2 / E|score|^2` at new points, and seconds of the processor."""
    new = law.sample(2000, 999).double()
    true = law.score(new)
    off, seconds = [], []
    for k in range(repeats):
        x = law.sample(n, k).double()
        start = time.process_time()
        estimate = estimator(x)
        seconds.append(time.process_time() - start)
        off.append(float((estimate(new) - true).square().sum() / true.square().sum()))
    return float(np.mean(off)), float(np.median(seconds))


def main() -> None:
    """Write nonparametric.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--repeats", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(1)
    laws = {**LAWS, **(references(a.reference) if a.reference else {})}
    text = [
        "# Scores by kernels",
        "",
        "`python benchmarks/nonparametric.py`: `E|estimate - score|^2 / E|score|^2` at 2,000 new points, mean of "
        f"{a.repeats} samples; in brackets seconds of one thread. Scales, ridges, steps and numbers of eigenfunctions "
        "are chosen by held-out score matching (5 folds), as by default.",
    ]
    for n in a.sizes:
        here = {name: law for name, law in laws.items() if n * law.sample(1, 0).shape[1] <= 1000}
        text += ["", f"## {n} points", "", "| | " + " | ".join(here) + " |", "|---|" + "---|" * len(here)]
        for name, estimator in ESTIMATORS.items():
            cells = []
            for law in here.values():
                off, seconds = measured(estimator, law, n, a.repeats)
                cells.append(f"{off:.3f} ({seconds:.1f})")
            text.append(f"| {name} | " + " | ".join(cells) + " |")
    (HERE / "nonparametric.md").write_text("\n".join([*text, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
