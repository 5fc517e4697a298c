"""Sparse undirected graphs of numeric columns, by l1-penalised score matching: no normalising constant, n < d too.

`ScoreGraph(frame, model).fit().summary()`; below it `path`, graphs at falling penalties, `stability`, edges found again
in halves of the data. Models are pairwise interactions on any support with edges.

What may enter: a model whose score is linear in a matrix of interactions, a way to choose among graphs or to judge
their edges. Drawing one is the business of `report`.
"""

from scorefield.graphs.edges import EdgeTests
from scorefield.graphs.fit import GraphFit, ScoreGraph
from scorefield.graphs.models import (
    Interactions,
    exponential_square_root,
    gamma,
    gaussian,
    interactions,
    truncated_gaussian,
)
from scorefield.graphs.path import Path, default_multiplier, path
from scorefield.graphs.stability import Stability, stability

__all__ = [
    "ScoreGraph",
    "GraphFit",
    "Interactions",
    "gaussian",
    "truncated_gaussian",
    "exponential_square_root",
    "gamma",
    "interactions",
    "path",
    "Path",
    "default_multiplier",
    "stability",
    "Stability",
    "EdgeTests",
]
