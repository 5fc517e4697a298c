"""A proof in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from scorefield.metrics.comparison import Finding
from scorefield.posterior.proof.contraction import Contraction
from scorefield.posterior.proof.coverage import DENSITY, DISTANCES, REGIONS
from scorefield.posterior.proof.dependence import Pair
from scorefield.posterior.proof.ranks import Ranks
from scorefield.posterior.proof.uniformity import p_text

Fault: TypeAlias = Literal["biased", "over-confident", "too wide", "of a wrong form", "of a wrong dependence"]
"""What can be wrong with a posterior."""

_SURE = 2.0  # standard errors from which on a cause is named
_LONGER = "fit longer or with more simulations"
_ADVICE: dict[Fault, str] = {
    "biased": "see that these simulations are made as those of the fit were, then fit longer or with more of them",
    "over-confident": f"widen it, or {_LONGER}",
    "too wide": f"safe, but it gives away what the observation tells: {_LONGER}",
    "of a wrong form": _LONGER,
    "of a wrong dependence": _LONGER,
}
_HIGHEST = {REGIONS: "neighbours among the draws", DENSITY: "its own log-density"}


class Proven(Protocol):
    """What a verdict is on: the fields of `Proof` that it speaks of."""

    @property
    def level(self) -> float:
        """Of all tests together."""
        ...

    @property
    def parameters(self) -> tuple[Ranks, ...]:
        """Ranks of each parameter."""
        ...

    @property
    def regions(self) -> tuple[Ranks, ...]:
        """Of the loneliness of the truth."""
        ...

    @property
    def quantities(self) -> tuple[Ranks, ...]:
        """Of other quantities."""
        ...

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Of two parameters together."""
        ...

    @property
    def contraction(self) -> tuple[Contraction, ...]:
        """What observations tell of each parameter."""
        ...

    @property
    def all(self) -> tuple[Ranks, ...]:
        """All ranks that are tested."""
        ...

    @property
    def off(self) -> tuple[Ranks, ...]:
        """Those that are not of a right posterior."""
        ...

    @property
    def passed(self) -> bool:
        """Whether there are none."""
        ...

    @property
    def simulations(self) -> int:
        """How many were held against the posterior."""
        ...


def headline(proof: Proven) -> str:
    """The verdict in one sentence."""
    most = proof.regions[0].below(0.9)
    if proof.passed:
        text = f"{most} ({proof.simulations:,} simulations; chance moves this by {_points(most.error)})"
        if abs(most.share - most.probability) > 2 * most.error:
            return f"No fault is certain, yet {text}: hold more simulations against it."
        return f"No fault found: {text}."
    found = faults(proof)
    named = [_with_names(fault, names, proof) for fault, names in found.items()]
    return f"{most}: {', '.join(named)}; {_ADVICE[next(iter(found))]}."


def faults(proof: Proven) -> dict[Fault, list[str]]:
    """What is wrong, the worst first, each with the parameters; with none where it is the whole."""
    off = {one.name for one in proof.off}
    found: dict[Fault, list[str]] = {}
    for one in (p for p in proof.parameters if p.name in off):
        found.setdefault(fault_of(one), []).append(one.name)
    if not found:
        found[_of_whole(proof)] = []
    return {fault: found[fault] for fault in _ADVICE if fault in found}


def fault_of(one: Ranks) -> Fault:
    """What is wrong with a parameter whose ranks are off."""
    shift, shift_error = one.shift
    ratio, ratio_error = one.ratio
    if abs(shift) > _SURE * shift_error and abs(shift) / shift_error > abs(ratio - 1) / ratio_error:
        return "biased"
    if abs(ratio - 1) > _SURE * ratio_error:
        return "over-confident" if ratio > 1 else "too wide"
    return "of a wrong form"


def fault_of_region(one: Ranks) -> Fault:
    """What is wrong with the whole where its ranks, 0 in the middle of the draws, are off."""
    z = (float(one.levels.mean()) - 0.5) * math.sqrt(12 * len(one))
    if abs(z) <= _SURE:
        return "of a wrong form"
    return "over-confident" if z > 0 else "too wide"


def findings(proof: Proven) -> tuple[Finding, ...]:
    """What is to be said beside the verdict."""
    off = {one.name for one in proof.off}
    told = [_of_parameter(one) for one in proof.parameters if one.name in off]
    told += [_of_region(one) for one in proof.regions if one.name in off]
    told += _of_pairs(proof, off)
    told += [f"The ranks of {one.name} are off (p {_p(one)})." for one in proof.quantities if one.name in off]
    right = [one.name for one in proof.parameters if one.name not in off]
    good = [Finding(True, f"{_listed(right)}: the truth ranks among the draws as it should.")] if right else []
    return (*(Finding(False, text) for text in told), *good, *_of_contraction(proof), _of_power(proof))


def _of_whole(proof: Proven) -> Fault:
    """What is wrong where each parameter by itself is right."""
    dense = _dense_fault(proof)
    return "of a wrong dependence" if dense is None else dense


def _dense_fault(proof: Proven) -> Fault | None:
    """What is wrong with the regions of highest density."""
    dense = [one for one in proof.regions if one in proof.off and one.name != DISTANCES]
    return fault_of_region(dense[0]) if dense else None


def _with_names(fault: Fault, names: Sequence[str], proof: Proven) -> str:
    if fault == "of a wrong dependence":
        pairs = any(pair.ranks in proof.off for pair in proof.pairs)
        return f"{fault} {'between parameters' if pairs else 'on the observation'}"
    if not names:
        return f"{fault} as a whole, though each parameter by itself is right"
    everywhere = len(names) == len(proof.parameters) or (fault == _dense_fault(proof) and fault != "of a wrong form")
    return fault if everywhere else f"{fault} in {_listed(names)}"


def _of_parameter(one: Ranks) -> str:
    shift, ratio = one.shift[0], one.ratio[0]
    side = "above" if shift > 0 else "below"
    told: dict[Fault, str] = {
        "biased": f"it lies {abs(shift):.2f} of their standard deviations {side} the draws on average",
        "over-confident": f"it spreads {ratio:.2f} times as wide as the draws",
        "too wide": f"it spreads only {ratio:.2f} times as wide as the draws",
        "of a wrong form": "place and width of the draws are about right, their form is not",
    }
    return f"{one.name}: intervals of {_held(one.within(0.5).share, one.within(0.9).share)}; {told[fault_of(one)]}."


def _of_region(one: Ranks) -> str:
    if one.name == DISTANCES:
        where = "reference points that follow the observation"
        return f"Truth and draws are not equally far from {where} (TARP, p {_p(one)})."
    held = _held(one.below(0.5).share, one.below(0.9).share)
    return f"Regions of highest density, by {_HIGHEST[one.name]}, of {held}."


def _of_pairs(proof: Proven, off: set[str]) -> list[str]:
    """Of the pairs whose parameters are right by themselves."""
    return [
        f"{pair.first} and {pair.second} rise together {'more' if pair.closer else 'less'} than the draws say (p "
        f"{_p(pair.ranks)})."
        for pair in proof.pairs
        if pair.ranks.name in off and not {pair.first, pair.second} & off
    ]


def _of_contraction(proof: Proven) -> list[Finding]:
    vague = [one.name for one in proof.contraction if one.mean < 0.05]
    if not vague:
        return []
    return [Finding(None, f"The observations tell next to nothing of {_listed(vague)}: as wide as the prior.")]


def _of_power(proof: Proven) -> Finding:
    error = proof.regions[0].below(0.9).error
    return Finding(
        None,
        f"{len(proof.all)} tests on {proof.simulations:,} simulations: a right posterior is found at fault in "
        f"{100 * proof.level:g} of 100 proofs; shares of regions that are off by less than {_points(3 * error)} need "
        "more simulations to show.",
    )


def _held(half: float, most: float) -> str:
    return f"50 and 90 % hold the truth in {100 * half:.0f} and {100 * most:.0f} of 100 simulations"


def _p(one: Ranks) -> str:
    text = p_text(one.test.p)
    return text if text.startswith("<") else f"= {text}"


def _points(share: float) -> str:
    return f"{100 * share:.0f} in 100" if share >= 0.0095 else f"{100 * share:.1f} in 100"


def _listed(names: Sequence[str]) -> str:
    """Names in a row, at most six of them.

    Example:
        >>> _listed(["a", "b", "c"]), _listed(list("abcdefgh"))
        ('a, b and c', 'a, b, c, d, e and 3 more')
    """
    names = list(names) if len(names) <= 6 else [*names[:5], f"{len(names) - 5} more"]
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
