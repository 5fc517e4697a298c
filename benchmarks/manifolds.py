"""Volcanoes and earthquakes on the sphere: a score model beside a mixture, kernels and uniform.

    pip install pyvolcans==1.3.3
    python benchmarks/manifolds.py              # writes benchmarks/manifolds.md

Volcanoes: the 1,400 or so of the Holocene, from the Volcanoes of the World database of the Smithsonian Institution
(version 4.6.7), as the package pyvolcans has them; without the package this set is left out. Earthquakes: docs/data.
All that is chosen (components, bandwidth, when a training ends) is chosen on the validation part.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.manifolds import Sphere, VonMisesFisherMixture, fit, fit_von_mises_fisher
from scorefield.manifolds.fitting import DEFAULT
from scorefield.numerics.random import uniform

ROOT = Path(__file__).parent.parent
SPHERE = Sphere(2)
COMPONENTS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96)
WIDTHS = tuple(math.radians(d) for d in (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12))
SIGMA_MIN = math.radians(1.0)
UNIFORM = "uniform"


class Split(NamedTuple):
    """Parts of a data set, `(n, 3)` float64."""

    train: Tensor
    valid: Tensor
    test: Tensor


def directions(latitude: list[float], longitude: list[float]) -> Tensor:
    """Unit vectors of places given in degrees."""
    a, b = (torch.tensor(v, dtype=torch.float64).deg2rad() for v in (latitude, longitude))
    return torch.stack([a.cos() * b.cos(), a.cos() * b.sin(), a.sin()], 1)


def earthquakes() -> Tensor:
    """Those of magnitude 2.5 and more of a week."""
    return _table(ROOT / "docs" / "data" / "earthquakes.csv", "latitude", "longitude")


def volcanoes() -> Tensor | None:
    """Those of the Holocene, one point each; None without the package."""
    found = find_spec("pyvolcans")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "VOLCANS_csv_files"
    return _table(folder / "VOTW467_8May18_volcano_data.csv", "Latitude", "Longitude")


def _table(path: Path, latitude: str, longitude: str) -> Tensor:
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return directions([float(row[latitude]) for row in rows], [float(row[longitude]) for row in rows]).unique(dim=0)


def split(x: Tensor, seed: int) -> Split:
    """60 % to train, 20 % to choose, 20 % to test."""
    order = uniform(len(x), (), seed, "manifold split", dtype=torch.float64).argsort()
    a, b = round(0.6 * len(x)), round(0.8 * len(x))
    return Split(x[order[:a]], x[order[a:b]], x[order[b:]])


def mixture(part: Split) -> tuple[str, Tensor]:
    """The number of components and the start, out of two, that are best for the validation part."""
    laws = [fit_von_mises_fisher(part.train, k, seed=s) for k in COMPONENTS if k < len(part.train) for s in range(2)]
    best = max(laws, key=lambda law: float(law.log_density(part.valid).mean()))
    return f"{len(best.weights)} components", best.log_density(part.test)


def kernels(part: Split) -> tuple[str, Tensor]:
    """The same law around every training point, with the width that is best for the validation part."""
    n = len(part.train)
    laws = {
        width: VonMisesFisherMixture(
            torch.full((n,), 1 / n, dtype=torch.float64), part.train, torch.full((n,), width**-2, dtype=torch.float64)
        )
        for width in WIDTHS
    }
    best = max(WIDTHS, key=lambda width: float(laws[width].log_density(part.valid).mean()))
    return f"{math.degrees(best):.3g} degrees", laws[best].log_density(part.test)


def score(part: Split, steps: int, seed: int) -> Tensor:
    """Log-densities of a score model of the training part; its weights have the least loss on the validation part."""
    settings = replace(DEFAULT, steps=steps, evaluate_every=50, patience=8, seed=seed)
    return fit(SPHERE, part.train, held=part.valid, settings=settings, sigma_min=SIGMA_MIN).log_density(part.test)


def measure(name: str, x: Tensor, splits: int, steps: int) -> Iterator[tuple[str, str, float]]:
    """Method, what was chosen, and mean held-out log-density, for each split."""
    for seed in range(splits):
        part = split(x, seed)
        yield UNIFORM, "", -math.log(SPHERE.volume)
        for method, (chosen, value) in (("von Mises-Fisher mixture", mixture(part)), ("kernel density", kernels(part))):
            print(name, seed, method, chosen, f"{float(value.mean()):.3f}", flush=True)
            yield method, chosen, float(value.mean())
        begun = time.thread_time()
        value = score(part, steps, seed)
        yield "score model", f"in {time.thread_time() - begun:.0f} s", float(value.mean())
        print(name, seed, "score model", f"{float(value.mean()):.3f}", flush=True)


def report(results: dict[str, list[tuple[str, str, float]]], sizes: dict[str, int], splits: int) -> str:
    """The page."""
    lines = [HEAD.format(splits=splits, degrees=math.degrees(SIGMA_MIN))]
    for name, found in results.items():
        lines += ["", f"## {name}, {sizes[name]:,} points", "", "| | held-out log-density | standard error | chosen |"]
        lines += ["|---|---|---|---|"]
        for method in dict.fromkeys(m for m, _, _ in found):
            values = torch.tensor([v for m, _, v in found if m == method], dtype=torch.float64)
            chosen = ", ".join(c for m, c, _ in found if m == method)
            error = f"{float(values.std()) / math.sqrt(len(values)):.3f}" if len(values) > 1 else ""
            lines.append(f"| {method} | {float(values.mean()):.3f} | {error} | {chosen.strip(', ')} |")
    return "\n".join(lines) + "\n"


HEAD = """# Densities on the sphere

By `python benchmarks/manifolds.py`, on one thread: held-out log-densities, means over {splits} random splits (60 % to
train, 20 % to choose, 20 % to test), in nats per steradian; more is better. The standard error is that of the mean over
the splits. Chosen on the validation part: the components of the mixture (best of two starts each), the width of the
kernels (a von Mises-Fisher law around every training point), when the training of the score model ends. The score
model's density is that of the data blurred by {degrees:g} degree."""


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    sets = {"volcanoes": volcanoes(), "earthquakes": earthquakes()}
    there = {name: x for name, x in sets.items() if x is not None and options.only in name}
    results = {name: list(measure(name, x, options.splits, options.steps)) for name, x in there.items()}
    page = report(results, {name: len(x) for name, x in there.items()}, options.splits)
    print(page)
    if not options.only:
        (ROOT / "benchmarks" / "manifolds.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
