"""Objectives of score matching: each gives one loss per sample, `(n,)`; nothing is averaged over the batch.

The static ones train a score `x -> score` (a network, minus the gradient of an energy, any callable); `multilevel`
trains a model of all noise levels; `closed_form` solves for models that are linear in their parameters; those of
`contrastive` train an energy without derivatives in x, and `minimum` finds few parameters by any of them. Up to a
constant of the data they agree in expectation: all are least at the true score, of the data for explicit, implicit,
sliced and finite-difference sliced matching, of the *noised* data for denoising.

What may enter: a function of a model or score and a batch that is least at the true score, and what it needs:
weightings, the least loss possible. How to step, and from which data, is the business of `training`.
"""

from scorefield.objectives.contrastive import (
    conditional_noise_contrastive,
    contrastive_divergence,
    minimum_probability_flow,
    noise_contrastive,
    recovery_likelihood,
)
from scorefield.objectives.minima import Minimum, minimum
from scorefield.objectives.noised import (
    EDM,
    NCSN,
    Floor,
    Flow,
    Likelihood,
    MinSNR,
    Weighting,
    denoising_floor,
    multilevel,
    multilevel_floor,
)
from scorefield.objectives.static import denoising, explicit, finite_difference_sliced, generalised, implicit, sliced

__all__ = [
    "explicit",
    "implicit",
    "generalised",
    "sliced",
    "finite_difference_sliced",
    "denoising",
    "noise_contrastive",
    "conditional_noise_contrastive",
    "minimum_probability_flow",
    "contrastive_divergence",
    "recovery_likelihood",
    "minimum",
    "Minimum",
    "multilevel",
    "Weighting",
    "NCSN",
    "EDM",
    "Likelihood",
    "MinSNR",
    "Flow",
    "Floor",
    "denoising_floor",
    "multilevel_floor",
]
