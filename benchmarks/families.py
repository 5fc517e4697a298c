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

import numpy as np
import torch
from torch import Tensor

from scorefield import discrete
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


def covered(once: Callable[[], FamilyFit], truth: Tensor, trials: int) -> Tensor:
    """Shares of the 95 % intervals that hold the truth, one for each parameter."""
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
        truth = torch.tensor(case.truth).double()
        shares = covered(lambda case=case: fit(case.draw(n, draw), case.family), truth, trials)
        lines.append(row(name, case.family.names, shares))
        print(lines[-1], f"{time.process_time() - begun:.0f} s", flush=True)
    truth = torch.cat([FIELDS, COUPLINGS])
    for loss in (discrete.ratio_matching, discrete.pseudo_likelihood):
        once = lambda loss=loss: discrete.fit_family(ising(n, draw), discrete.ising(3), loss)  # noqa: E731
        name = f"Ising, 3 columns, {loss.__name__.replace('_', ' ')}"
        lines.append(row(name, once().family.names, covered(once, truth, trials)))
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
    parser.add_argument("--trials", type=int, default=1000)
    a = parser.parse_args()
    torch.set_num_threads(1)
    error = 100 * math.sqrt(0.95 * 0.05 / a.trials)
    text = [
        "# Intervals of families",
        "",
        f"`python benchmarks/families.py --rows {a.rows} --trials {a.trials}`: how often, in percent, the 95 % "
        f"interval of each usual parameter held the truth, in {a.trials:,} samples of {a.rows:,} rows of a law of the "
        f"family. The standard error of a share is {error:.1f}.",
        "",
        "| family | least | greatest | each parameter |",
        "|---|---|---|---|",
        *rows(a.rows, a.trials),
        "",
    ]
    (HERE / "families.md").write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
