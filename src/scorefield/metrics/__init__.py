"""How far two samples, or a sample and a score, are apart: distances, tests, what a generator copied or left out.

Every function takes tensors or arrays `(n, *shape)`, flattens each row, and computes in float64; what is random takes a
seed. Distances are in the units of the data: standardise columns of different units first. `floor` gives the value that
two halves of the same real data have, which is what a perfect generator can hope for.

What may enter: a number from two samples, or a sample and a score, with its value for equal laws or its error, and how
well laws predicted what came; neither models nor files.
"""

from scorefield.metrics.classifier import Accuracy, c2st
from scorefield.metrics.control import Expectation, expectation
from scorefield.metrics.crps import crps
from scorefield.metrics.distances import energy_distance, frechet, sliced_wasserstein
from scorefield.metrics.fssd import FiniteSetTest, fssd_test
from scorefield.metrics.hyvarinen import SequentialScore, linear_model_score, particle_score
from scorefield.metrics.kernel import TwoSample, mmd
from scorefield.metrics.neighbours import Coverage, coverage, memorisation, nearest
from scorefield.metrics.samples import Sample, floor
from scorefield.metrics.stein import SteinTest, stein_test, stein_thinned
from scorefield.numerics.kernels import InverseMultiquadric, SquaredExponential

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
    "stein_test",
    "stein_thinned",
    "fssd_test",
    "expectation",
    "linear_model_score",
    "particle_score",
    "InverseMultiquadric",
    "SquaredExponential",
    "SteinTest",
    "Accuracy",
    "Coverage",
    "Expectation",
    "FiniteSetTest",
    "SequentialScore",
    "Sample",
    "TwoSample",
]
