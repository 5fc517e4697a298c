"""Laws of sequences of tokens whose answers are known: any law of few states, and Markov chains of any length.

They are what `analytic` is for numbers: in the place of a network in every loss, sampler and bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from scorefield.discrete.corruptions import Corruption, check_tokens, drawn, likelihood
from scorefield.discrete.static import TokenEnergy
from scorefield.discrete.views import Step, TokenModel
from scorefield.numerics.random import uniform

_MOST_STATES = 1 << 20


class TokenLaw(Protocol):
    """A law of clean sequences with known answers under any corruption."""

    @property
    def length(self) -> int:
        """L, tokens in a sequence."""
        ...

    @property
    def size(self) -> int:
        """K, values of a token."""
        ...

    def log_likelihood(self, evidence: Tensor) -> Tensor:
        """`log sum over x0 of p(x0) exp(sum of evidence[l, x0_l])`, `(n,)`, for evidence `(n, L, K)`."""
        ...

    def log_posterior(self, evidence: Tensor) -> Tensor:
        """`log p(x0_l = k)` of the law weighted so, `(n, L, K)`."""
        ...


@dataclass(frozen=True, eq=False)
class Exact:
    """A law's exact model under a corruption: a `TokenModel`, with the density of corrupted sequences.

    Args:
        law: of clean sequences.
        corruption: with as many clean tokens.

    Example:
        >>> from scorefield.discrete import Absorbing
        >>> law = MarkovChain.of([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], length=3)
        >>> model = Exact(law, Absorbing(2))
        >>> model(torch.tensor([[0, 2, 0]]), torch.tensor(1.0)).exp()[0, 1]
        tensor([0.9878, 0.0122], dtype=torch.float64)
    """

    law: TokenLaw
    corruption: Corruption

    def __post_init__(self) -> None:
        if self.law.size != self.corruption.size:
            raise ValueError(
                f"the law has {self.law.size} tokens and the corruption {self.corruption.size}; give one of as many."
            )

    def __call__(self, x: Tensor, total: Tensor, condition: Tensor | None = None) -> Tensor:
        """`log p(x0_l = k | x)`, `(n, L, K)` float64; as `TokenModel`.

        Raises:
            ValueError: for a sequence that noise makes of none that the law has.
        """
        found = self.law.log_posterior(self._evidence(x, total))
        if bool(found.isnan().any()):
            row = int(found.isnan().flatten(1).any(1).nonzero()[0])
            raise ValueError(f"the sequence in row {row} has probability 0 under this law, and no posterior.")
        return found

    def log_prob(self, x: Tensor, total: Tensor | float = 0.0) -> Tensor:
        """`log p(x)` of corrupted sequences x `(n, L)`, in nats, `(n,)` float64; at total = 0 of clean ones."""
        total = torch.as_tensor(total, dtype=torch.float64)
        check_tokens("x", x, self.corruption.states)
        found = self.law.log_likelihood(self._evidence(x, total))
        known = self._evidence(x, total)  # up to a constant of each token, which is put back
        gap = likelihood(self.corruption, x, total).log() - known
        return found + torch.where(known.isfinite(), gap, -torch.inf).amax(-1).sum(1)

    def _evidence(self, x: Tensor, total: Tensor) -> Tensor:
        if x.shape[-1] != self.law.length:
            raise ValueError(f"the law has sequences of {self.law.length} tokens, got {tuple(x.shape)}.")
        return self.corruption.evidence(x, total.double())


@dataclass(frozen=True, eq=False)
class Joint:
    """Any law of L tokens of K values: a table of K^L probabilities, at most about a million.

    Args:
        probabilities: `(K, ..., K)`, L axes, >= 0; they are divided by their sum.

    Raises:
        ValueError: for tables of other shapes, negative or infinite numbers.

    Example:
        >>> law = Joint(torch.tensor([[0.4, 0.1], [0.1, 0.4]]))
        >>> law.log_prob(torch.tensor([[0, 0]])).exp()
        tensor([0.4000], dtype=torch.float64)
    """

    probabilities: Tensor

    def __post_init__(self) -> None:
        p = torch.as_tensor(self.probabilities).double()
        if p.ndim < 1 or len(set(p.shape)) != 1 or p.shape[0] < 2 or p.numel() > _MOST_STATES:
            raise ValueError(
                f"a Joint is a table (K, ..., K) with K >= 2 and at most {_MOST_STATES:,} states, got {tuple(p.shape)}."
            )
        if not bool(torch.isfinite(p).all()) or bool((p < 0).any()) or not float(p.sum()) > 0:
            raise ValueError("the probabilities of a Joint must be finite and >= 0, and not all 0.")
        object.__setattr__(self, "probabilities", p / p.sum())

    @staticmethod
    def of_energy(energy: TokenEnergy, length: int, size: int) -> Joint:
        """The law `exp(-energy(x)) / Z`, by enumeration; energy as in `static`."""
        values = -energy(all_sequences(length, size)).double()
        return Joint((values - values.max()).exp().reshape((size,) * length))

    @property
    def length(self) -> int:
        """L."""
        return self.probabilities.ndim

    @property
    def size(self) -> int:
        """K."""
        return self.probabilities.shape[0]

    @property
    def entropy(self) -> float:
        """Of a sequence, in nats."""
        return float(-torch.xlogy(self.probabilities, self.probabilities).sum())

    def log_prob(self, x: Tensor) -> Tensor:
        """`log p(x)` of clean sequences `(n, L)`, `(n,)` float64."""
        check_tokens("x", x, self.size)
        if x.shape[1] != self.length:
            raise ValueError(f"the law has sequences of {self.length} tokens, got {tuple(x.shape)}.")
        return self.probabilities[tuple(x.T)].log()

    def noised(self, corruption: Corruption, total: Tensor | float) -> Tensor:
        """The law of corrupted sequences, `(S, ..., S)`: the chain's matrix along every axis."""
        p = self.probabilities
        M = corruption.matrix(torch.as_tensor(total, dtype=torch.float64))[: self.size]
        for _ in range(self.length):
            p = torch.tensordot(p, M, dims=([0], [0]))  # the first axis goes to the end: in order after L turns
        return p

    def sample(self, n: int, seed: int, first: int = 0) -> Tensor:
        """Sequences `(n, L)`; number i is a pure function of (seed, first + i)."""
        u = uniform(n, (), seed, "joint", first=first, dtype=torch.float64)
        return all_sequences(self.length, self.size)[drawn(self.probabilities.flatten(), u)]

    def log_likelihood(self, evidence: Tensor) -> Tensor:
        """As `TokenLaw`."""
        return self._weighted(evidence).flatten(1).logsumexp(1)

    def log_posterior(self, evidence: Tensor) -> Tensor:
        """As `TokenLaw`."""
        w = self._weighted(evidence)
        axes = [w.movedim(1 + l, 1).reshape(len(w), self.size, -1).logsumexp(2) for l in range(self.length)]
        return torch.log_softmax(torch.stack(axes, 1), -1)

    def _weighted(self, evidence: Tensor) -> Tensor:
        """`log p(x0) + evidence`, `(n, K, ..., K)`."""
        w = self.probabilities.log().expand(len(evidence), *self.probabilities.shape)
        for l in range(self.length):
            shape = [1] * self.length
            shape[l] = self.size
            w = w + evidence[:, l].reshape(len(evidence), *shape)
        return w


@dataclass(frozen=True, eq=False)
class MarkovChain:
    """A Markov chain of L tokens. Corrupted it is a hidden Markov model, whose answers take L products of matrices.

    Args:
        initial: law of the first token, `(K,)`.
        transition: law of each next one, `(K, K)`, rows sum to 1.
        length: L.

    Raises:
        ValueError: for numbers that are not probabilities.

    Example:
        >>> law = MarkovChain.of([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], length=100)
        >>> round(law.entropy_rate, 4), round(law.entropy / 100, 4)
        (0.3251, 0.3288)
    """

    initial: Tensor
    transition: Tensor
    length: int

    def __post_init__(self) -> None:
        p, P = self.initial.double(), self.transition.double()
        if p.ndim != 1 or P.shape != (len(p), len(p)) or len(p) < 2:
            raise ValueError(
                f"a MarkovChain takes K >= 2 initial probabilities and (K, K) transitions, got {tuple(p.shape)} and "
                f"{tuple(P.shape)}."
            )
        if isinstance(self.length, bool) or not isinstance(self.length, int) or self.length < 1:
            raise ValueError(f"MarkovChain(length=...) must be a whole number >= 1, got {self.length!r}.")
        for name, rows in (("initial", p[None]), ("transition", P)):
            if bool((rows < 0).any()) or not bool(((rows.sum(1) - 1).abs() < 1e-6).all()):
                raise ValueError(f"{name} must have rows of probabilities that sum to 1, got {rows.tolist()}.")
        object.__setattr__(self, "initial", p / p.sum())
        object.__setattr__(self, "transition", P / P.sum(1, keepdim=True))

    @staticmethod
    def of(initial: object, transition: object, length: int) -> MarkovChain:
        """A chain from lists or arrays of numbers."""
        p, P = (torch.as_tensor(v, dtype=torch.float64) for v in (initial, transition))
        return MarkovChain(p, P, length)

    @property
    def size(self) -> int:
        """K."""
        return len(self.initial)

    @property
    def entropy(self) -> float:
        """Of a sequence, in nats."""
        per_token = -torch.xlogy(self.transition, self.transition).sum(1)
        total, p = float(-torch.xlogy(self.initial, self.initial).sum()), self.initial
        for _ in range(self.length - 1):
            total, p = total + float(p @ per_token), p @ self.transition
        return total

    @property
    def entropy_rate(self) -> float:
        """Nats per token of a long sequence, by the stationary law that the chain tends to."""
        settled = self.initial @ torch.linalg.matrix_power(self.transition, 1 << 20)
        return float(settled @ -torch.xlogy(self.transition, self.transition).sum(1))

    def log_prob(self, x: Tensor) -> Tensor:
        """`log p(x)` of clean sequences `(n, L)`, `(n,)` float64."""
        check_tokens("x", x, self.size)
        if x.shape[1] != self.length:
            raise ValueError(f"the law has sequences of {self.length} tokens, got {tuple(x.shape)}.")
        return self.initial[x[:, 0]].log() + self.transition[x[:, :-1], x[:, 1:]].log().sum(1)

    def sample(self, n: int, seed: int, first: int = 0) -> Tensor:
        """Sequences `(n, L)`; number i is a pure function of (seed, first + i)."""
        u = uniform(n, (self.length,), seed, "chain", first=first, dtype=torch.float64)
        x = [drawn(self.initial.expand(n, -1), u[:, 0])]
        for l in range(1, self.length):
            x.append(drawn(self.transition[x[-1]], u[:, l]))
        return torch.stack(x, 1)

    def log_likelihood(self, evidence: Tensor) -> Tensor:
        """As `TokenLaw`: the forward recursion."""
        return self._forward(evidence)[-1].logsumexp(1)

    def log_posterior(self, evidence: Tensor) -> Tensor:
        """As `TokenLaw`: forward and backward (Baum and others 1970)."""
        P = self.transition.log()
        back = [torch.zeros_like(evidence[:, 0])]
        for l in range(self.length - 1, 0, -1):
            back.append((P + (evidence[:, l] + back[-1])[:, None, :]).logsumexp(2))
        joined = torch.stack(self._forward(evidence), 1) + torch.stack(back[::-1], 1)
        return torch.log_softmax(joined, -1)

    def _forward(self, evidence: Tensor) -> list[Tensor]:
        """`log p(x0_l, evidence up to l)`, `(n, K)` for each l."""
        P, found = self.transition.log(), [self.initial.log() + evidence[:, 0]]
        for l in range(1, self.length):
            found.append((found[-1][:, :, None] + P).logsumexp(1) + evidence[:, l])
        return found


def all_sequences(length: int, size: int) -> Tensor:
    """All sequences in the order of a table's cells, `(size^length, length)` int64.

    Example:
        >>> all_sequences(2, 2).tolist()
        [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    if length < 1 or size < 1 or length * math.log(size) > math.log(_MOST_STATES * 8):
        raise ValueError(f"{size}^{length} sequences are too many to list.")
    return torch.cartesian_prod(*[torch.arange(size)] * length).reshape(-1, length)


def law_of_steps(model: TokenModel, length: int, totals: Tensor, step: Step) -> Tensor:
    """The exact law of what a sampler of these steps draws, `(S, ..., S)`, by enumeration: for few states.

    Args:
        model: any.
        length: tokens of a sequence.
        totals: falling, `(steps + 1,)`.
        step: `views.analytic` or `views.euler`.

    Example:
        >>> from scorefield.discrete import Absorbing, LogLinear, analytic
        >>> law = Joint(torch.tensor([[0.4, 0.1], [0.1, 0.4]]))
        >>> found = law_of_steps(Exact(law, Absorbing(2)), 2, LogLinear(left=0.0).grid(64), analytic)
        >>> round(float(found[0, 0]), 6), round(0.4 - 0.15 / 64, 6)  # both tokens come in one step of 64
        (0.397656, 0.397656)
    """
    corruption = model.corruption
    x = all_sequences(length, corruption.states)
    limit = corruption.limit()
    p = limit[x].prod(1)
    for now, after in pairwise(totals):
        there = p > 0  # states that are never reached have no posterior
        rows = step(corruption, model(x[there], now), x[there], now, after).double()
        into = torch.ones(int(there.sum()), 1, dtype=torch.float64)
        for l in range(length):
            into = (into[:, :, None] * rows[:, l, None, :]).flatten(1)
        p = p[there] @ into
    return p.reshape((corruption.states,) * length)
