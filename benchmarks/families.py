"""How often intervals of the families hold the truth: `python benchmarks/families.py` writes families.md.

The laws and their exact draws are those of tests/test_families.py, which holds eight of them to 93 to 97 % each time.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield import discrete
from scorefield.objectives import closed_form
from scorefield.objectives.families import FamilyFit, fit

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))
FIELDS, COUPLINGS = torch.tensor([0.4, -0.3, 0.2]).double(), torch.tensor([0.7, 0.0, -0.5]).double()


def ising(n: int, draw: np.random.Generator) -> Tensor:
    """Exact draws of three columns of 0 and 1: `exp(fields . x + couplings of the pairs (0, 1), (0, 2), (1, 2))`."""
    states = torch.tensor(list(itertools.product((0, 1), repeat=3)))
    x = states.double()
    pairs = torch.stack([x[:, i] * x[:, j] for i, j in itertools.combinations(range(3), 2)], 1)
    p = (x @ FIELDS + pairs @ COUPLINGS).softmax(0).numpy()
    return states[torch.from_numpy(draw.choice(8, n, p=p))]


def covered(case: Any, n: int, draw: np.random.Generator, trials: int) -> Tensor:
    """Shares of the 95 % intervals that hold the truth, one for each parameter.

    The formulas of `closed_form.exponential_family` for many samples at once; the first is compared with `fit`.
    """
    truth = torch.tensor(case.truth).double()
    held, done, family = torch.zeros(len(truth)), 0, case.family
    while done < trials:
        m = min(1 if case.family.about else 50, trials - done)  # a weight made for the data is made for each sample
        x = torch.from_numpy(case.draw(m * n, draw)).double()
        family = case.family if case.family.about is None else case.family.about(x)
        parts = closed_form.derivatives(family.statistics, family.support, x)
        gradients, fields, divergences = (v.reshape(m, n, *v.shape[1:]) for v in parts)
        G = torch.einsum("tnid,tnjd->tij", gradients, fields) / n
        inverse = torch.linalg.inv((G + G.mT) / 2)
        theta = -(inverse @ divergences.mean(1)[..., None])[..., 0]
        each = torch.einsum("tnid,tnjd,tj->tni", gradients, fields, theta) + divergences
        covariance = inverse @ (each.mT @ each / n**2) @ inverse
        for k in range(m):
            natural = closed_form.ExponentialFamilyFit(theta[k], covariance[k], family.statistics)
            found = FamilyFit(family, natural, n)
            low, high = found.interval().T
            held += (low < truth) & (truth < high)
            if done + k == 0:
                one = fit(x[:n], family)
                torch.testing.assert_close(one.standard_error, found.standard_error, rtol=1e-6, atol=1e-9)
        done += m
    return held / trials


def of_tokens(once: Callable[[], FamilyFit], truth: Tensor, trials: int) -> Tensor:
    """The same of one fit after another."""
    held = torch.zeros(len(truth))
    for _ in range(trials):
        low, high = once().interval().T
        held += (low < truth) & (truth < high)
    return held / trials


def rows(n: int, trials: int) -> list[str]:
    """Of the table."""
    from test_families import CASES

    draw, lines = np.random.default_rng(17), []
    for name, case in CASES.items():
        begun = time.process_time()
        shares = covered(case, n, draw, trials)
        lines.append(row(name, case.family.names, shares))
        print(lines[-1], f"{time.process_time() - begun:.0f} s", flush=True)
    truth = torch.cat([FIELDS, COUPLINGS])
    for loss in (discrete.ratio_matching, discrete.pseudo_likelihood):
        once = lambda loss=loss: discrete.fit_family(ising(n, draw), discrete.ising(3), loss)  # noqa: E731
        name = f"Ising, 3 columns, {loss.__name__.replace('_', ' ')}"
        lines.append(row(name, once().family.names, of_tokens(once, truth, max(1, trials // 10))))
        print(lines[-1], flush=True)
    return lines


def row(name: str, names: tuple[str, ...], shares: Tensor) -> str:
    """The least and the greatest share, and that of each parameter."""
    each = ", ".join(f"{name} {100 * float(share):.1f}" for name, share in zip(names, shares, strict=True))
    return f"| {name} | {100 * float(shares.min()):.1f} | {100 * float(shares.max()):.1f} | {each} |"


def main() -> None:
    """Write families.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--trials", type=int, default=2000)
    a = parser.parse_args()
    torch.set_num_threads(1)
    error = 100 * math.sqrt(0.95 * 0.05 / a.trials)
    text = [
        "# Intervals of families",
        "",
        f"`python benchmarks/families.py --rows {a.rows} --trials {a.trials}`: how often, in percent, the 95 % "
        f"interval of each usual parameter held the truth, in {a.trials:,} samples of {a.rows:,} rows of a law of the "
        f"family (Ising: a tenth of them). The standard error of a share is {error:.1f}.",
        "",
        "| family | least | greatest | each parameter |",
        "|---|---|---|---|",
        *rows(a.rows, a.trials),
        "",
    ]
    (HERE / "families.md").write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
