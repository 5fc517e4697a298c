"""How far a network's probabilities of codes are believed beside the codes' frequencies, by held-out rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scorefield.tables.denoiser import CODE_KNOTS, MaskedDenoiser
from scorefield.tables.objective import MaskedObjective, Shares
from scorefield.tables.shrinkage import to_mask

_PRIOR = (0.25, 0.25)  # precisions: of 1 for the gains of all codes, of these for those of each
_ITERATIONS, _HALVINGS = 30, 20


@torch.no_grad()
def fit_code_gains(model: MaskedDenoiser, objective: MaskedObjective, held: Tensor) -> Tensor:
    """The gains with which held-out codes are most likely, `(CODE_KNOTS, codes)` in [0, 1].

    A network that has learned its rows by heart is sure of codes that it cannot know. `P(code) ~ f (P / f)^gain`, P of
    the network and the frequencies f, is the network at 1 and the frequencies at 0: the one direction in which a
    softmax is less sure (Platt 1999; Guo and others 2017). The log-likelihood is concave in the gains. Those of one
    code are held towards those of all, and these towards 1, as by normal laws of deviation 2, where each held-out row
    counts once, however often it is masked. The knots are those of `MaskedDenoiser.code_knot_weights`.

    Args:
        model: trained.
        objective: that it was trained with; its masks are drawn again.
        held: `(m, entries)`, rows held out.
    """
    sizes, numbers = model.network.sizes, model.network.dim
    ones = torch.ones(CODE_KNOTS, len(sizes), dtype=torch.float64)
    if not sizes or not len(held):
        return ones
    index, rows = to_mask(held)
    given, asked = objective.with_shares(Shares(0.0, 0.0, 1.0)).masks(rows, index)
    probabilities = [torch.cat(v) for v in zip(*(model.raw_log_codes(part) for part in given.split(512)), strict=True)]
    weights, frequencies = model.code_knot_weights(given), model.split_log_frequencies()
    problems = []
    for j, (found, frequency) in enumerate(zip(probabilities, frequencies, strict=True)):
        of = asked[:, j]
        once = weights[of].new_tensor(len(held) / max(1, int(of.sum())))
        code = rows[of, numbers + j].long()
        problems.append(GainProblem(found[of] - frequency, frequency, code, weights[of], float(once)))
    common = best_gains(problems, ones[:, 0], _PRIOR[0]).clamp(0.0, 1.0)
    each = [best_gains([problem], common, _PRIOR[1]) for problem in problems]
    return torch.stack(each, 1).clamp(0.0, 1.0)


class GainProblem:
    """One code of some rows.

    Args:
        change: the network's log-probabilities less the log-frequencies, `(n, K)`.
        frequency: the log-frequencies `(K,)`.
        code: what each row has, `(n,)` int64.
        weights: of the knots, `(n, knots)`.
        once: how much each row counts.
    """

    def __init__(self, change: Tensor, frequency: Tensor, code: Tensor, weights: Tensor, once: float = 1.0) -> None:
        self.change, self.frequency, self.code, self.weights, self.once = change, frequency, code, weights, once

    def value(self, gains: Tensor) -> float:
        """The log-likelihood."""
        return self.once * float(self._log_probabilities(gains).gather(1, self.code[:, None]).sum())

    def derivatives(self, gains: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient `(knots,)` and the negative Hessian `(knots, knots)` of the log-likelihood."""
        probability = self._log_probabilities(gains).exp()
        mean = (probability * self.change).sum(1)
        variance = (probability * self.change.square()).sum(1) - mean.square()
        gradient = self.weights.T @ (self.change.gather(1, self.code[:, None])[:, 0] - mean)
        return self.once * gradient, self.once * (self.weights * variance[:, None]).T @ self.weights

    def _log_probabilities(self, gains: Tensor) -> Tensor:
        return torch.log_softmax(self.frequency + (self.weights @ gains)[:, None] * self.change, 1)


def best_gains(problems: Sequence[GainProblem], prior: Tensor, precision: float) -> Tensor:
    """The gains `(knots,)` of the greatest likelihood of all problems, held towards a prior; by Newton's method.

    Args:
        problems: with gains in common.
        prior: `(knots,)`; what is found where the network says nothing.
        precision: of the prior, > 0.
    """

    def value(gains: Tensor) -> float:
        return sum(p.value(gains) for p in problems) - precision * float((gains - prior).square().sum()) / 2

    gains, now = prior.clone(), value(prior)
    for _ in range(_ITERATIONS):
        parts = [p.derivatives(gains) for p in problems]
        gradient = torch.stack([g for g, _ in parts]).sum(0) - precision * (gains - prior)
        hessian = torch.stack([h for _, h in parts]).sum(0) + precision * torch.eye(len(prior), dtype=prior.dtype)
        step = torch.linalg.solve(hessian, gradient)
        for _ in range(_HALVINGS):
            if (then := value(gains + step)) >= now:
                break
            step = step / 2
        else:
            return gains
        gains, gained, now = gains + step, then - now, then
        if gained < 1e-10 * (1 + abs(now)):
            return gains
    return gains
