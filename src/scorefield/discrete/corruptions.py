"""Corruptions of tokens: continuous-time Markov chains that act on every token of a sequence by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from scorefield._files import shown
from scorefield._ranges import whole

SIZE = whole(2, 1 << 20)
"""How many clean tokens there are."""


class Corruption(Protocol):
    """A Markov chain on the states 0..S - 1 of a token, of which the first K are the clean ones.

    `total` is the integral of the noise's rate (sigma-bar in Lou and others 2024): 0 for clean sequences. Rows of
    matrices are where a token comes from, columns where it goes.
    """

    @property
    def size(self) -> int:
        """K, how many clean tokens there are."""
        ...

    @property
    def states(self) -> int:
        """S >= K, how many states a token has."""
        ...

    def rates(self) -> Tensor:
        """Q `(S, S)` float64, whose rows sum to 0."""
        ...

    def matrix(self, total: Tensor) -> Tensor:
        """`exp(total Q)`, `(*total.shape, S, S)`."""
        ...

    def limit(self) -> Tensor:
        """The law of a token at infinite total, `(S,)` float64."""
        ...

    def evidence(self, x: Tensor, total: Tensor) -> Tensor:
        """`log q(x | x0 = k)` up to a constant of each token: x `(n, L)`, total 0-d or `(n,)` -> `(n, L, K)`."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Each token is replaced at rate 1 by one drawn uniformly: `Q = 1/K - I`.

    `exp(s Q) = exp(-s) I + (1 - exp(-s)) / K` (Austin and others 2021; Lou and others 2024).

    Args:
        size: K tokens, >= 2.

    Example:
        >>> Uniform(3).matrix(torch.tensor(math.log(2.0)))[0]
        tensor([0.6667, 0.1667, 0.1667])
    """

    size: int

    def __post_init__(self) -> None:
        SIZE("Uniform(size=...)", self.size)

    @property
    def states(self) -> int:
        """K."""
        return self.size

    def rates(self) -> Tensor:
        """As `Corruption`."""
        return torch.full((self.size, self.size), 1 / self.size, dtype=torch.float64) - _identity(self.size)

    def matrix(self, total: Tensor) -> Tensor:
        """As `Corruption`."""
        kept = torch.exp(-total)[..., None, None]
        return kept * _identity(self.size).to(total) - torch.expm1(-total)[..., None, None] / self.size

    def limit(self) -> Tensor:
        """As `Corruption`."""
        return torch.full((self.size,), 1 / self.size, dtype=torch.float64)

    def evidence(self, x: Tensor, total: Tensor) -> Tensor:
        """As `Corruption`."""
        other = -torch.expm1(-total) / self.size
        other = other.expand(len(x)).reshape(-1, 1, 1)
        same = torch.exp(-total).expand(len(x)).reshape(-1, 1, 1) + other
        here = x[..., None] == torch.arange(self.size, device=x.device)
        return torch.where(here, same.log(), other.log())


@dataclass(frozen=True)
class Absorbing:
    """Each token is masked at rate 1 and stays so; the mask is the state K, after the clean tokens.

    `q(k | k) = exp(-s)`, `q(mask | k) = 1 - exp(-s)` (Austin and others 2021). Given a sequence, which tokens are
    masked says nothing of those that are: what a model has to know does not depend on s (Ou and others 2024).

    Args:
        size: K clean tokens, >= 2.

    Example:
        >>> Absorbing(2).matrix(torch.tensor(math.log(4.0)))
        tensor([[0.2500, 0.0000, 0.7500],
                [0.0000, 0.2500, 0.7500],
                [0.0000, 0.0000, 1.0000]])
    """

    size: int

    def __post_init__(self) -> None:
        SIZE("Absorbing(size=...)", self.size)

    @property
    def states(self) -> int:
        """K + 1."""
        return self.size + 1

    @property
    def mask(self) -> int:
        """The mask's number, K."""
        return self.size

    def rates(self) -> Tensor:
        """As `Corruption`."""
        Q = -_identity(self.states)
        Q[:, self.mask] += 1
        return Q

    def matrix(self, total: Tensor) -> Tensor:
        """As `Corruption`."""
        into = torch.zeros(self.states, self.states, dtype=total.dtype, device=total.device)
        into[:, self.mask] = 1
        kept = torch.exp(-total)[..., None, None]
        return kept * _identity(self.states).to(total) - torch.expm1(-total)[..., None, None] * into

    def limit(self) -> Tensor:
        """As `Corruption`."""
        law = torch.zeros(self.states, dtype=torch.float64)
        law[self.mask] = 1
        return law

    def evidence(self, x: Tensor, total: Tensor) -> Tensor:
        """As `Corruption`: a mask says nothing, a token that is seen is what it was."""
        here = x[..., None] == torch.arange(self.size, device=x.device)
        zero = torch.zeros((), dtype=total.dtype, device=x.device)
        return torch.where(here | (x == self.mask)[..., None], zero, -torch.inf)


@dataclass(frozen=True)
class Substitutions:
    """Any chain on the clean tokens, such as a model of substitutions in DNA.

    Args:
        rows: Q as K rows of K numbers: rates >= 0 off the diagonal, rows that sum to 0, one stationary law.

    Raises:
        ValueError: for anything else.

    Example:
        >>> two = Substitutions(((-1.0, 1.0), (2.0, -2.0)))
        >>> two.limit()
        tensor([0.6667, 0.3333], dtype=torch.float64)
    """

    rows: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(tuple(float(v) for v in row) for row in self.rows))
        SIZE("the number of rows of Substitutions", len(self.rows))
        if any(len(row) != len(self.rows) for row in self.rows):
            raise ValueError(f"Substitutions takes as many rates in each row as there are rows, {len(self.rows)}.")
        for i, row in enumerate(self.rows):
            bad = [j for j, v in enumerate(row) if not (math.isfinite(v) and (v >= 0 or i == j))]
            if bad:
                raise ValueError(f"the rate from {i} to {bad[0]} must be finite and >= 0, got {row[bad[0]]:g}.")
            if abs(sum(row)) > 1e-9 * max(map(abs, row), default=0.0):
                raise ValueError(f"row {i} of Substitutions must sum to 0, got {sum(row):g}; set its diagonal.")
        if int(torch.linalg.matrix_rank(self.rates())) != self.size - 1:
            raise ValueError("Substitutions needs one stationary law, got several: some tokens never meet.")

    @staticmethod
    def kimura(kappa: float = 2.0) -> Substitutions:
        """Kimura's (1980) chain on A, C, G, T with transitions kappa times as fast as transversions, mean rate 1."""
        if not (math.isfinite(kappa) and kappa > 0):
            raise ValueError(f"kimura(kappa=...) must be positive and finite, got {kappa}.")
        b = 1 / (kappa + 2)
        return Substitutions(
            tuple(tuple(-1.0 if i == j else b * (kappa if (i - j) % 2 == 0 else 1) for j in range(4)) for i in range(4))
        )

    @property
    def size(self) -> int:
        """K."""
        return len(self.rows)

    @property
    def states(self) -> int:
        """K."""
        return len(self.rows)

    def rates(self) -> Tensor:
        """As `Corruption`."""
        return torch.tensor(self.rows, dtype=torch.float64)

    def matrix(self, total: Tensor) -> Tensor:
        """As `Corruption`, by torch's exponential in float64."""
        found = torch.linalg.matrix_exp(total.double()[..., None, None] * self.rates().to(total.device))
        return found.clamp(min=0).to(total.dtype)  # rounding alone is below 0

    @cached_property
    def _limit(self) -> Tensor:
        equations = torch.cat([self.rates().T, torch.ones(1, self.size, dtype=torch.float64)])
        right = torch.zeros(self.size + 1, 1, dtype=torch.float64)
        right[-1] = 1
        return torch.linalg.lstsq(equations, right).solution[:, 0].clamp(min=0)

    def limit(self) -> Tensor:
        """As `Corruption`."""
        return self._limit

    def evidence(self, x: Tensor, total: Tensor) -> Tensor:
        """As `Corruption`."""
        return likelihood(self, x, total).log()


CORRUPTIONS: dict[str, type[Uniform] | type[Absorbing] | type[Substitutions]] = {
    "uniform": Uniform,
    "absorbing": Absorbing,
    "substitutions": Substitutions,
}
"""Names for files; library code takes the objects."""


def matrices(corruption: Corruption, total: Tensor, n: int) -> Tensor:
    """The corruption's matrices for n sequences, `(n, S, S)`, for a total that is 0-d or `(n,)`."""
    return corruption.matrix(total).expand(n, corruption.states, corruption.states)


def likelihood(corruption: Corruption, x: Tensor, total: Tensor) -> Tensor:
    """`q(x | x0 = k)`, `(n, L, K)`, for x `(n, L)` and total 0-d or `(n,)`."""
    into = matrices(corruption, total, len(x))[:, : corruption.size].mT  # (n, S, K)
    return into[torch.arange(len(x), device=x.device)[:, None], x]


def corrupt(corruption: Corruption, x0: Tensor, total: Tensor, u: Tensor) -> Tensor:
    """Sequences after a total of noise.

    Args:
        corruption: the chain.
        x0: clean tokens `(n, L)` int64.
        total: of the noise, 0-d or `(n,)`.
        u: uniform numbers `(n, L)` in (0, 1): all that is random.

    Example:
        >>> x0, u = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0.1, 0.6, 0.3, 0.9]])
        >>> corrupt(Absorbing(4), x0, torch.tensor(math.log(2)), u)
        tensor([[0, 4, 2, 4]])
    """
    rows = matrices(corruption, total.double(), len(x0))
    return drawn(rows[torch.arange(len(x0), device=x0.device)[:, None], x0], u)


def drawn(rows: Tensor, u: Tensor) -> Tensor:
    """One state for each row of probabilities `(..., S)`, by the inverse of its distribution function at u `(...)`.

    A state of probability 0 is never drawn.
    """
    sums = rows.double().cumsum(-1)
    return (u.double()[..., None] >= sums / sums[..., -1:]).sum(-1).clamp(max=rows.shape[-1] - 1)


def check_tokens(name: str, x: Tensor, states: int) -> None:
    """Raise unless x is `(n, L)` of int64 in 0..states - 1; the message names the first row and place that are not."""
    if not isinstance(x, Tensor) or x.dtype != torch.int64:
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name} must be an int64 tensor of tokens, got {kind}; use torch.as_tensor(...).long().")
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f"{name} must have shape (n, L) with L >= 1, got {tuple(x.shape)}.")
    bad = (x < 0) | (x >= states)
    if bool(bad.any()):
        row, place = bad.nonzero()[0].tolist()
        raise ValueError(
            f"{name} has the token {shown(int(x[row, place]))} in row {row}, place {place}; tokens are 0 to "
            f"{states - 1}."
        )


def _identity(n: int) -> Tensor:
    return torch.eye(n, dtype=torch.float64)
