"""Sparse graphs: edges recovered on the designs of Yu, Drton and Shojaie (2019), tests of edges, time of 500 columns.

    python benchmarks/graphs.py [--repeats 5] [--rows 80 1000] [--out benchmarks/graphs.md]

K of 100 columns has 10 blocks whose pairs are edges with a chance (0.2 for 80 rows, 0.8 for 1,000), of size uniform
between 0.5 and 1, and a diagonal that makes its least eigenvalue 0.1 (Lin, Drton and Shojaie 2016, section 4.2); data
are normal, of mean 0, truncated to positive numbers, by Gibbs sampling. Areas are under the curve of true against false
positive rates along a path. The peer is scikit-learn's graphical lasso. Seconds are the processor's, of one thread.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from sklearn.covariance import empirical_covariance, graphical_lasso

from scorefield import graphs

D, BLOCKS = 100, 10
Draw = np.random.Generator


def design(share: float, draw: Draw) -> np.ndarray:
    """K of the design."""
    K, size = np.zeros((D, D)), D // BLOCKS
    for start in range(0, D, size):
        block = np.triu(draw.uniform(0.5, 1, (size, size)) * (draw.random((size, size)) < share), 1)
        K[start : start + size, start : start + size] = block + block.T
    return K + np.eye(D) * (0.1 - np.linalg.eigvalsh(K)[0])


def truncated(K: np.ndarray, mean: float, n: int, draw: Draw, sweeps: int = 150) -> np.ndarray:
    """`N(mean, K^-1)` given that all are positive: as many chains as rows."""
    d = len(K)
    x = np.abs(draw.normal(size=(n, d)))
    for _ in range(sweeps):
        for j in range(d):
            spread = K[j, j] ** -0.5
            centre = mean - ((x - mean) @ K[j] - (x[:, j] - mean) * K[j, j]) / K[j, j]
            tail = np.clip(draw.random(n) * ndtr(centre / spread), 1e-300, 1)
            x[:, j] = np.maximum(centre - spread * ndtri(tail), 1e-12)
    return x


def area(K: np.ndarray, matrices: np.ndarray) -> float:
    """Under true against false positive rates, from no edge to all."""
    i, j = np.triu_indices(len(K), 1)
    there = K[i, j] != 0
    rates = [(0.0, 0.0)]
    rates += [(float((M[i, j] != 0)[~there].mean()), float((M[i, j] != 0)[there].mean())) for M in matrices]
    false, true = np.array([*rates, (1.0, 1.0)]).T
    return float(np.trapezoid(true, false))


def along_path(model: graphs.Interactions) -> Callable[[np.ndarray], np.ndarray]:
    """Score matching's path, with genscore's multiplier, as a function of the data."""

    def matrices(x: np.ndarray) -> np.ndarray:
        multiplier = graphs.default_multiplier(*x.shape)
        found = graphs.path(x, model, multiplier=multiplier, smallest=0.02, tolerance=1e-6)
        assert float(found.violation.max()) < 2e-6
        return found.matrices.numpy()

    return matrices


def by_graphical_lasso(x: np.ndarray) -> np.ndarray:
    """The peer's path on the correlations."""
    S = empirical_covariance(x / x.std(0))
    largest, found = np.abs(np.triu(S, 1)).max(), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for penalty in largest * np.geomspace(1, 0.1, 12):
            try:
                found.append(graphical_lasso(S, penalty, max_iter=60, tol=1e-3)[1])
            except FloatingPointError:
                break
    return np.array(found)


METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "score matching, truncated, h = min(x, 3)": along_path(graphs.truncated_gaussian(location=False)),
    "the same, h = min(x, 1)": along_path(graphs.truncated_gaussian(location=False, cap=1.0)),
    "the same, h = x^2 (Hyvarinen 2007)": along_path(graphs.truncated_gaussian(location=False, power=2.0, cap=np.inf)),
    "the same with a free location": along_path(graphs.truncated_gaussian()),
    "score matching, Gaussian": along_path(graphs.gaussian()),
    "graphical lasso (scikit-learn)": by_graphical_lasso,
}


def recovery(n: int, share: float, repeats: int) -> list[str]:
    """Rows of the table of areas."""
    areas: dict[str, list[float]] = {name: [] for name in METHODS}
    seconds = dict.fromkeys(METHODS, 0.0)
    for seed in range(repeats):
        print(f"{n} rows, repeat {seed}", flush=True)
        draw = np.random.default_rng(seed)
        K = design(share, draw)
        x = truncated(K, 0.0, n, draw)
        for name, method in METHODS.items():
            begun = time.process_time()
            areas[name].append(area(K, method(x)))
            seconds[name] += (time.process_time() - begun) / repeats
    return [
        f"| {n:,} | {name} | {np.mean(v):.3f} +- {np.std(v, ddof=1) / len(v) ** 0.5:.3f} | {seconds[name]:.1f} |"
        for name, v in areas.items()
    ]


def tests(kind: str, n: int, d: int, repeats: int) -> str:
    """A row of the table of edge tests, on a chain of interactions of 0.3."""
    K = np.eye(d) + 0.3 * (np.eye(d, k=1) + np.eye(d, k=-1))
    i, j = np.triu_indices(d, 1)
    there = K[i, j] != 0
    print(f"tests: {kind}, {n} rows, {d} columns", flush=True)
    false, true, held, found_true, found_false = [], [], [], [], []
    for seed in range(repeats):
        draw = np.random.default_rng(1000 + seed)
        if kind == "Gaussian":
            x, model = draw.multivariate_normal(np.zeros(d), np.linalg.inv(K), n), graphs.gaussian()
        else:
            x, model = truncated(K, 0.5, n, draw, 60), graphs.truncated_gaussian()
        tested = graphs.ScoreGraph(x, model).fit().tests()
        p, off = tested.p.numpy()[i, j], (tested.estimate.numpy() - K) / tested.error.numpy()
        false.append(np.mean(p[~there] < 0.05))
        true.append(np.mean(p[there] < 0.05))
        held.append(np.mean(np.abs(off[i, j][there]) < 1.96))
        graph = tested.graph().numpy()[i, j]
        found_true.append(np.mean(graph[there]))
        found_false.append(np.sum(graph[~there]) / max(1, np.sum(graph)))
    size = f"{100 * np.mean(false):.1f} +- {100 * np.std(false, ddof=1) / repeats**0.5:.1f} %"
    rest = (true, held, found_true, found_false)
    return f"| {kind} | {n} | {d} | {size} | " + " | ".join(f"{100 * np.mean(v):.0f} %" for v in rest) + " |"


def large() -> str:
    """Seconds of a path of 500 columns."""
    K = np.eye(500) + 0.3 * (np.eye(500, k=1) + np.eye(500, k=-1))
    parts = []
    for n in (250,):
        x = np.random.default_rng(0).multivariate_normal(np.zeros(500), np.linalg.inv(K), n)
        begun = time.process_time()
        found = graphs.path(x, multiplier=graphs.default_multiplier(n, 500))
        seconds, far = time.process_time() - begun, float(found.violation.max())
        edges = int(found.edges[-1])
        parts.append(f"{n:,} rows: {seconds:.0f} s, to {edges:,} edges, conditions of the minimum met to {far:.0e}")
    return "; ".join(parts)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    parser.add_argument("--rows", type=int, nargs="+", choices=tuple(SHARES), default=list(SHARES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "# Sparse graphs",
        "",
        f"Written by `benchmarks/graphs.py`, {options.repeats} repeats ({2 * options.repeats} for tests); errors are",
        "standard ones over them. Seconds are the processor's.",
        "",
        "Edges recovered among 100 truncated normal columns, the designs of Yu, Drton and Shojaie (2019): area under",
        "the curve of true against false positives along a path. With its weights and multiplier the problem is that",
        "of the R package genscore; the minimum is unique, and each path meets its conditions to 2e-6.",
        "",
        "| rows | method | area | seconds |",
        "|---|---|---|---|",
        *(row for n in options.rows for row in recovery(n, SHARES[n], options.repeats)),
        "",
        "Tests of edges on a chain (interactions of 0.3): absent edges rejected at 5 %, edges found at 5 %, 95 %",
        "intervals of edges that hold them; adjusted for all pairs at 5 %, edges found and the share of false ones.",
        "",
        "| data | rows | columns | absent | there | held | found, adjusted | false, adjusted |",
        "|---|---|---|---|---|---|---|---|",
        *(tests(*case, 2 * options.repeats) for case in CASES),
        "",
        f"A path of 30 penalties for 500 Gaussian columns: {large()}.",
    ]
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


SHARES = {80: 0.2, 1000: 0.8}
CASES = (
    ("Gaussian", 200, 20),
    ("Gaussian", 100, 60),
    ("Gaussian", 60, 80),
    ("truncated", 400, 10),
    ("truncated", 150, 30),
)

if __name__ == "__main__":
    main()
