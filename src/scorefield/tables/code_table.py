"""The combinations of codes that occurred in training, counted, beside what the network says of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

TENSORS = ("codes/rows", "codes/weights", "codes/rates")
MOST_COMBINATIONS = 2000
_RATES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # in rows
_PART = 2048  # rows at a time


@dataclass(frozen=True, eq=False)
class CodeTable:
    """Counts of combinations of codes, and how many rows the network's probabilities are worth beside them.

    With c_k of the training rows that have the given codes in code k, and network probabilities q_k,
    `P(k) = (c_k + rate q_k) / (sum of c + rate)`: the posterior mean under a Dirichlet prior around the network
    (MacKay and Peto 1995). Where a combination is a design, it is kept; where codes are rare or independent, the
    network decides.

    Args:
        rows: the combinations `(m, D)` as whole float64, -1 where a code is missing.
        weights: how often each occurred, `(m,)`.
        rates: of each code, `(D,)`, > 0; infinite: the network alone.
        sizes: K of each code.
    """

    rows: Tensor
    weights: Tensor
    rates: Tensor
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        m, d = len(self.weights), len(self.sizes)
        if self.rows.shape != (m, d) or self.rates.shape != (d,) or not bool((self.rates > 0).all()):
            raise ValueError(f"a table of {d} codes needs rows (m, {d}), m weights and {d} rates > 0.")

    def tensors(self) -> dict[str, Tensor]:
        """For the file of weights; see `code_table_from`."""
        parts = self.rows.to(torch.int32), self.weights, self.rates
        return {name: value.cpu() for name, value in zip(TENSORS, parts, strict=True)}

    def blended(self, log_probabilities: tuple[Tensor, ...], given: Tensor) -> tuple[Tensor, ...]:
        """The network's `log P(code = k | given)`, `(n, K)` each, with the counts; alone where a number is given.

        Args:
            log_probabilities: of every code.
            given: rows `(n, numbers + D)`, not finite where nothing is given.
        """
        codes = given[:, given.shape[1] - len(self.sizes) :]
        alone = ~torch.isfinite(given[:, : given.shape[1] - len(self.sizes)]).any(1)
        if not bool(torch.isfinite(self.rates).any()) or not bool(alone.any()):
            return log_probabilities
        counts = torch.cat([self.counts(part) for part in codes.double().split(_PART)])
        parts = []
        for j, (network, count) in enumerate(zip(log_probabilities, counts.split(self.sizes, 1), strict=True)):
            rate = float(self.rates[j])
            mixed = self.mixed(network, count, rate)
            parts.append(network if math.isinf(rate) else torch.where(alone[:, None], mixed, network))
        return tuple(parts)

    @staticmethod
    def mixed(network: Tensor, count: Tensor, rate: float) -> Tensor:
        """The network's log-probabilities of a code `(n, K)` with the counts, at a finite rate."""
        count = count.to(network)
        return torch.log(count + rate * network.exp()) - torch.log(count.sum(1, keepdim=True) + rate)

    def counts(self, codes: Tensor) -> Tensor:
        """Of each row, how many rows of training with its codes have each code, `(n, sum of sizes)`."""
        own = one_hot(self.rows.to(codes), self.sizes)
        agree = one_hot(codes, self.sizes) @ own.T
        matching = agree == torch.isfinite(codes).sum(1, keepdim=True)
        return (matching * self.weights.to(codes)) @ own


def code_table_from(tensors: Mapping[str, Tensor], sizes: tuple[int, ...]) -> CodeTable | None:
    """The table among stored tensors, None where there is none."""
    if TENSORS[0] not in tensors:
        return None
    rows, weights, rates = (tensors[name] for name in TENSORS)
    return CodeTable(rows.double(), weights, rates, sizes)


def one_hot(codes: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Codes `(n, D)` as float64 corners side by side, `(n, sum of sizes)`, 0 for what is no code."""
    parts = [codes[:, j, None] == torch.arange(size, device=codes.device) for j, size in enumerate(sizes)]
    return torch.cat(parts, 1).double()


@torch.no_grad()
def fit_code_table(
    log_codes: Callable[[Tensor], tuple[Tensor, ...]], numbers: int, sizes: tuple[int, ...], rows: Tensor, held: Tensor
) -> CodeTable | None:
    """The table of training rows, its rates those with the greatest likelihood of rows that are not counted.

    These are the held-out rows, and those of training, each left out of the counts in its turn: a few held-out rows
    cannot tell that next to no new row has a combination of its own. That the network has seen the latter speaks for
    the network. A rate is finite only where the gain over it is more than two standard errors above 0. None where there
    is less than two codes, more than 2,000 combinations, no held-out row, or no finite rate.

    Args:
        log_codes: the network's `log P(code = k | given)`.
        numbers: of a row; they come first.
        sizes: K of each code.
        rows: of training `(n, numbers + D)`.
        held: held out.
    """
    if len(sizes) < 2 or not len(held):
        return None
    codes = rows[:, numbers:].double().nan_to_num(nan=-1.0)
    combinations, weights = torch.unique(codes, dim=0, return_counts=True)
    if len(combinations) > MOST_COMBINATIONS:
        return None
    table = CodeTable(combinations, weights.double(), torch.full((len(sizes),), math.inf, dtype=torch.float64), sizes)
    both = torch.cat([combinations.masked_fill(combinations < 0, math.nan), held[:, numbers:].double()])
    times = torch.cat([table.weights, torch.ones(len(held), dtype=torch.float64)])
    own = torch.cat([one_hot(combinations, sizes), torch.zeros(len(held), sum(sizes), dtype=torch.float64)])
    rates = []
    for j in range(len(sizes)):
        known = torch.isfinite(both[:, j])
        given = torch.full((int(known.sum()), numbers + len(sizes)), math.nan, dtype=torch.float64)
        given[:, :numbers] = math.inf
        given[:, numbers : numbers + j] = both[known, :j]
        network = log_codes(given)[j].double()
        count = (table.counts(given[:, numbers:]) - own[known]).split(sizes, 1)[j]
        rates.append(_best_rate(network, count, both[known, j].long(), times[known]))
    table = replace(table, rates=torch.tensor(rates, dtype=torch.float64))
    return table if bool(torch.isfinite(table.rates).any()) else None


def _best_rate(network: Tensor, count: Tensor, actual: Tensor, times: Tensor) -> float:
    """The rate that gains most over the network's log-probabilities `(n, K)` of codes that occurred so many times."""
    best, gained, total = math.inf, 0.0, float(times.sum())
    for rate in _RATES:
        gain = (CodeTable.mixed(network, count, rate) - network).gather(1, actual[:, None])[:, 0]
        mean = float(gain @ times) / total
        error = math.sqrt(float((gain - mean).square() @ times) / max(total - 1, 1) / total)
        if mean > max(gained, 2 * error):
            best, gained = rate, mean
    return best
