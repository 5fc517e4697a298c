"""How far two samples are apart: distances, tests, and what a generator copied or left out.

Every function takes tensors or arrays `(n, *shape)`, flattens each row, and computes in float64; what is random takes a
seed. Distances are in the units of the data: standardise columns of different units first. `floor` gives the value that
two halves of the same real data have, which is what a perfect generator can hope for.

What may enter: a number from two samples with its value for equal laws; neither models nor files.
"""

from scorefield.metrics.classifier import Accuracy, c2st
from scorefield.metrics.crps import crps
from scorefield.metrics.distances import energy_distance, frechet, sliced_wasserstein
from scorefield.metrics.kernel import TwoSample, mmd
from scorefield.metrics.neighbours import Coverage, coverage, memorisation, nearest
from scorefield.metrics.samples import Sample, floor

__all__ = [
    "energy_distance",
    "sliced_wasserstein",
    "frechet",
    "mmd",
    "c2st",
    "crps",
    "nearest",
    "memorisation",
    "coverage",
    "floor",
    "Accuracy",
    "Coverage",
    "Sample",
    "TwoSample",
]
