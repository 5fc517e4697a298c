"""From simulations to a posterior: the likelihood where a normal law holds, the score, and which of them answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from scorefield.posterior import density
from scorefield.posterior.budget import Budget
from scorefield.posterior.by_likelihood import ByLikelihood
from scorefield.posterior.conditional import BoundScore, ConditionalScore
from scorefield.posterior.likelihood import MOST_VALUES, Likelihood, fit_likelihood
from scorefield.posterior.natural import NaturalLikelihood, fit_natural
from scorefield.posterior.observations import ObservationCodec
from scorefield.posterior.prior import Prior
from scorefield.posterior.training import Pairs, Recipe, fit_conditional
from scorefield.progress import Report, part

By = Literal["auto", "score", "likelihood"]
_NATURAL, _LIKELIHOOD, _COMPARING = 0.25, 0.3, 0.95  # of the budget; where the comparison begins
_NORMAL_SHARE = 0.12  # of the time, where pairs are made as many as needed and nothing is learned by heart
_SYNTHETIC = 20  # simulated pairs for each real one that the score is trained on, where the likelihood holds
_MOST_SYNTHETIC = 400_000
_COMPARED, _PARTICLES = 32, 300  # held-out simulations by which one is taken, at most, and particles for each
_AT_ONCE = 8  # of them; so many are compared however late it is
_WIDER = 1.5  # than the normal law given an observation: what particles for its evidence start from


class Learned(NamedTuple):
    """What was learned of a problem.

    Args:
        score: of the parameters given an observation.
        likelihood: of an observation given the parameters, where it was learned; of two kinds the better one.
        by: which of them answers.
        info: figures of how that was decided, JSON-able.
    """

    score: ConditionalScore
    likelihood: Likelihood | NaturalLikelihood | None
    by: Literal["score", "likelihood"]
    info: dict[str, Any]


def learn(
    u: Tensor,
    x: Tensor,
    codec: ObservationCodec,
    prior: Prior,
    reader: Callable[[Recipe], nn.Module],
    recipe: Recipe,
    by: By,
    report: Report,
    proposal: Callable[[int, int], Tensor] | None = None,
    budget: Budget | None = None,
) -> Learned:
    """The posterior of parameters u `(n, d)`, in coordinates without edges, given observations x.

    Args:
        u: parameters of the simulations.
        x: `(n, k)` or `(n, length, k)`.
        codec: of the observations.
        prior: of the parameters.
        reader: makes the network that reads encoded observations.
        recipe: sizes and budget.
        by: which answers; "auto": a likelihood, normal or natural, where a classifier cannot tell it from the simulator
            and it gives the true parameters of held-out simulations the greatest log-density.
        report: hears how far the work is.
        proposal: what the parameters were drawn from, `(n, seed) -> (n, d)`, where it is not the prior.
        budget: of time for all of it, where it runs already; default: that of the recipe, from now on.

    Raises:
        ValueError: for by="likelihood" where it cannot be learned.
    """
    seed = recipe.settings.seed
    pairs = Pairs.split(u, codec.encode(x), seed)
    obstacle = _obstacle(x, codec, prior)
    if by == "likelihood" and obstacle:
        raise ValueError(f"the likelihood cannot be learned here: {obstacle}; take by='score'.")
    budget = budget or Budget(recipe.settings.seconds)
    if by == "score" or obstacle:
        score = fit_conditional(pairs, reader(recipe), recipe.lasting(budget.left()), report)
        return Learned(score, None, "score", {} if by == "score" else {"likelihood": obstacle})
    laws: dict[str, Likelihood | NaturalLikelihood] = {}
    begun = 0.0
    if by == "auto":
        natural = fit_natural(u, x, codec, recipe.lasting(budget.left(_NATURAL)), part(report, 0, _NATURAL))
        if natural is not None and natural.holds:
            laws["natural"], begun = natural, _NATURAL
    until = begun + _LIKELIHOOD
    first, hear = recipe.lasting(budget.left(until)), part(report, begun, until)
    likelihood = fit_likelihood(u, x, codec, first, hear, always=by == "likelihood")
    if likelihood.holds:
        laws["normal"] = likelihood
        pairs = pairs.more(*_synthetic(likelihood, prior, proposal or prior.sample, codec, x, seed))
        recipe = replace(recipe, dropout=0.0, normal=_NORMAL_SHARE)
    compared = by == "auto" and bool(laws)
    rest = recipe.lasting(budget.left(_COMPARING if compared else 1.0))
    score = fit_conditional(pairs, reader(rest), rest, part(report, until, _COMPARING))
    info: dict[str, Any] = {"residuals_told_apart": likelihood.accuracy}
    if by == "likelihood":
        return Learned(score, likelihood, "likelihood", info)
    if not laws:
        return Learned(score, None, "score", info)
    routes = [ByLikelihood(law, prior) for law in laws.values()]
    gains = _gain(score, routes, pairs, codec, budget, part(report, _COMPARING, 1))
    means, errors = gains.mean(1), gains.std(1) / math.sqrt(gains.shape[1])
    k = int(means.argmax())
    info |= {"gain_by_likelihood": float(means[k]), "standard_error": float(errors[k])}
    info |= {"gains": dict(zip(laws, means.tolist(), strict=True)), "compared": gains.shape[1]}
    return Learned(score, routes[k].likelihood, "likelihood" if float(means[k]) > 0 else "score", info)


def _obstacle(x: Tensor, codec: ObservationCodec, prior: Prior) -> str:
    """Why no normal law of the observation can be learned and used, or nothing."""
    if x.ndim != 2:
        return "the observations are sets or series"
    if codec.holes:
        return "some values of the observations are missing"
    if codec.columns > MOST_VALUES:
        return f"an observation has {codec.columns} values, more than {MOST_VALUES}"
    if prior.draw is None or (prior.density is None and prior.covariance is None):
        return "only draws of the prior are known"
    return ""


def _synthetic(
    likelihood: Likelihood,
    prior: Prior,
    draw: Callable[[int, int], Tensor],
    codec: ObservationCodec,
    x: Tensor,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Pairs of parameters and what the likelihood makes of them, whole numbers where x has them."""
    u = prior.coordinates.inward(draw(min(_SYNTHETIC * len(x), _MOST_SYNTHETIC), seed + 1))
    made = likelihood.simulate(u, seed)
    whole = (x == x.round()).all(0)
    made = torch.where(whole, made.round(), made)
    return u, codec.encode(made)


def _gain(
    score: ConditionalScore,
    routes: Sequence[ByLikelihood],
    pairs: Pairs,
    codec: ObservationCodec,
    budget: Budget,
    report: Report,
) -> Tensor:
    """By how many nats each likelihood gives the true parameters of held-out simulations more, `(routes, m)`.

    Of as many as there is time for, 8 at least.
    """
    u, z = pairs.y[pairs.trained :][:_COMPARED], pairs.z[pairs.trained :][:_COMPARED]
    gains: list[Tensor] = []
    for rows in torch.arange(len(u)).split(_AT_ONCE):
        if gains and budget.over():
            break
        gains.append(_gains(score.bound(z[rows]), routes, u[rows], codec.original(z[rows].double())))
        report(float(rows[-1] + 1) / len(u), "comparing")
    return torch.cat(gains, 1)


def _gains(bound: BoundScore, routes: Sequence[ByLikelihood], u: Tensor, x: Tensor) -> Tensor:
    """For parameters and observations `(m, ...)` of m conditions, `(routes, m)`."""
    by_score = density.log_density(bound, u, torch.arange(len(u)), tolerance=0.05).value
    by_law = torch.empty(len(routes), len(u), dtype=torch.float64)
    for i in range(len(u)):
        first, log_first = bound.wide(i, _PARTICLES, _WIDER, i)
        for k, route in enumerate(routes):
            evidence = route.log_evidence(x[i : i + 1], first, log_first, seed=i)
            by_law[k, i] = route.log_density(u[i : i + 1], x[i : i + 1])[0] - evidence
    return by_law - by_score
