"""A sampler as a table: the `Plan`, how it is stored and shown, and where it starts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scorefield._files import parse_json, reason, shortened, shown
from scorefield._memory import lacking
from scorefield._tensor import check_batch, check_real
from scorefield.core import Levels
from scorefield.numerics.random import normal

_FORMAT, _VERSION = "scorefield.plan", 1


@dataclass(frozen=True, eq=False)
class Plan:
    """A sampler: `y[k+1] = sum_j P[k, j] x0_j + sum_j E[k, j] eps_j + c[k] z_k`.

    `(x0_j, eps_j)` is the model's estimate at the state `y[j]` and level j, z_k is standard normal. Row k is one
    evaluation of the model, at level k; the state after the last row is at the last level.

    Args:
        levels: K + 1 levels: the K at which the model is evaluated, then the one at which the last row arrives.
        P: `(K, K)`, lower triangular: how much of each estimate of the data enters each row.
        E: `(K, K)`, lower triangular: how much of each estimate of the noise.
        c: `(K,)`, >= 0: how much new noise.
        name: what made it, for display.
        order: the declared order of its error in the step size; 0 when none is claimed.

    Raises:
        ValueError: for tables that do not fit the levels, are not finite, or use an estimate before it is made.

    Example:
        >>> lv = Levels(torch.ones(3), torch.tensor([2.0, 1.0, 0.0]))
        >>> plan = Plan(lv, P=torch.eye(2), E=torch.diag(torch.tensor([1.0, 0.0])), c=torch.zeros(2), name="ddim")
        >>> plan
        Plan(ddim: 2 evaluations, order 1, sigma/alpha from 2 to 0, deterministic)
    """

    levels: Levels
    P: Tensor
    E: Tensor
    c: Tensor
    name: str = "plan"
    order: float = 1

    def __post_init__(self) -> None:
        if not isinstance(self.levels, Levels):
            raise TypeError(
                f"Plan.levels must be a Levels grid, got {type(self.levels).__name__}; see scorefield.levels."
            )
        K = len(self.levels) - 1
        if K < 1:
            raise ValueError("a Plan needs at least two levels: one to evaluate at, one to arrive at.")
        for name, shape in (("P", (K, K)), ("E", (K, K)), ("c", (K,))):
            value = torch.as_tensor(getattr(self, name), dtype=torch.float64).detach().cpu().clone()
            if tuple(value.shape) != shape:
                raise ValueError(f"Plan.{name} must have shape {shape} for {K + 1} levels, got {tuple(value.shape)}.")
            check_real(f"Plan.{name}", value)
            object.__setattr__(self, name, value)
        if bool(self.P.triu(1).any()) or bool(self.E.triu(1).any()):
            raise ValueError("Plan.P and Plan.E must be lower triangular: row k may use estimates 0 to k only.")
        if bool((self.c < 0).any()):
            raise ValueError(f"Plan.c must be >= 0, got {float(self.c.min()):g}; give standard deviations.")

    @property
    def evaluations(self) -> int:
        """How often the model is evaluated: the number of rows."""
        return len(self.c)

    @property
    def stochastic(self) -> bool:
        """Whether any row adds noise."""
        return bool((self.c > 0).any())

    @property
    def kept(self) -> int:
        """The greatest number of tensors of earlier rows that `run` holds while the model is evaluated."""
        last_P, last_E = last_uses(self.P), last_uses(self.E)
        return max(sum(last >= k for uses in (last_P, last_E) for last in uses[:k]) for k in range(self.evaluations))

    def __repr__(self) -> str:
        ratio = self.levels.ratio
        kind = "stochastic" if self.stochastic else "deterministic"
        return (
            f"Plan({self.name}: {self.evaluations} evaluations, order {self.order:g}, "
            f"sigma/alpha from {float(ratio[0]):.4g} to {float(ratio[-1]):.4g}, {kind})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        tables = all(torch.equal(getattr(self, n), getattr(other, n)) for n in ("P", "E", "c"))
        return tables and self.levels == other.levels and (self.name, self.order) == (other.name, other.order)

    __hash__ = None  # type: ignore[assignment]

    def table(self, digits: int = 4) -> str:
        """The plan as text: a line per row with its level and its non-zero coefficients, newest estimate first."""
        lines = [repr(self), "row  alpha      sigma      | next state"]
        for k in range(self.evaluations):
            terms = []
            for j in range(k, -1, -1):
                terms += [
                    f"{float(value):+.{digits}g} {symbol}{j}"
                    for value, symbol in ((self.P[k, j], "x0_"), (self.E[k, j], "eps_"))
                    if value != 0
                ]
            if self.c[k] > 0:
                terms.append(f"{float(self.c[k]):+.{digits}g} z_{k}")
            alpha, sigma = self.levels[k]
            lines.append(
                f"{k:<4d} {float(alpha):<10.{digits}g} {float(sigma):<10.{digits}g} | {' '.join(terms) or '0'}"
            )
        alpha, sigma = self.levels[self.evaluations]
        lines.append(f"end  {float(alpha):<10.{digits}g} {float(sigma):<10.{digits}g} |")
        return "\n".join(lines)

    # ------------------------------------------------------------------------------------------------------- start

    def start(
        self,
        n: int,
        shape: Sequence[int],
        seed: int | Tensor,
        mean: float | Tensor = 0.0,
        std: float = 0.0,
        *,
        first: int | Tensor = 0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Where samples begin: draws of `N(alpha mean, alpha^2 std^2 + sigma^2)` at the first level, `(n, *shape)`.

        Args:
            n: how many.
            shape: of one record.
            seed: sample i depends on (seed, first + i) alone; or `(n,)` int64 seeds, one for each.
            mean: of the data; a number, or a tensor of the record's shape.
            std: of the data.
            first: index of the first sample, or `(n,)` indices.

        Example:
            >>> from scorefield import levels, plans
            >>> plans.ddim(levels.karras(5)).start(3, (2,), seed=0).shape
            torch.Size([3, 2])
        """
        if not (math.isfinite(std) and std >= 0):
            raise ValueError(f"Plan.start(std=...) must be finite and >= 0, got {std}.")
        alpha, sigma = (float(v) for v in self.levels[0])
        x = normal(n, shape, seed, "start", first=first, dtype=dtype, device=device) * math.hypot(alpha * std, sigma)
        if isinstance(mean, Tensor):
            return x + alpha * mean.to(dtype=dtype, device=device)
        return x + alpha * mean if mean else x

    def start_from(self, x0: Tensor, seed: int, *, first: int = 0) -> Tensor:
        """Data noised to the first level, `alpha * x0 + sigma * z`: where editing begins.

        Args:
            x0: `(n, *shape)`.
            seed: the noise of sample i depends on (seed, first + i) alone.
        """
        check_batch("x0", x0)
        alpha, sigma = (float(v) for v in self.levels[0])
        z = normal(len(x0), x0.shape[1:], seed, "start", first=first, dtype=x0.dtype, device=x0.device)
        return alpha * x0 + sigma * z

    def tail(self, k: int) -> Plan:
        """The rows from k on, where they use no earlier estimate (one-step methods).

        Raises:
            ValueError: when they do: such a plan is built again over `plan.levels.from_index(k)`.
        """
        if not 0 <= k < self.evaluations:
            raise ValueError(f"Plan.tail(k): k must be from 0 to {self.evaluations - 1}, got {k}.")
        if bool(self.P[k:, :k].any()) or bool(self.E[k:, :k].any()):
            raise ValueError(
                f"the rows of {self.name!r} from {k} on use earlier estimates; call its builder over "
                f"levels.from_index({k}) instead of plan.tail({k})."
            )
        return replace(self, levels=self.levels.from_index(k), P=self.P[k:, k:], E=self.E[k:, k:], c=self.c[k:])

    # -------------------------------------------------------------------------------------------------------- JSON

    def to_json(self) -> str:
        """The plan as JSON text; every number comes back to the last bit."""
        terms = []
        for k in range(self.evaluations):
            used = torch.nonzero((self.P[k] != 0) | (self.E[k] != 0)).reshape(-1).tolist()
            terms.append([[j, float(self.P[k, j]), float(self.E[k, j])] for j in used])
        return json.dumps(
            {
                "format": _FORMAT,
                "version": _VERSION,
                "name": self.name,
                "order": self.order,
                "alpha": self.levels.alpha.tolist(),
                "sigma": self.levels.sigma.tolist(),
                "c": self.c.tolist(),
                "terms": terms,  # of each row: [column, P, E] where either is not 0
            },
            allow_nan=False,
        )

    @staticmethod
    def from_json(text: str) -> Plan:
        """The plan from `to_json`'s text.

        Raises:
            ValueError: for text that is cut short, is not a plan, or is of a later version.

        Example:
            >>> from scorefield import levels, plans
            >>> plan = plans.ddim(levels.karras(5))
            >>> Plan.from_json(plan.to_json()) == plan
            True
        """
        try:
            data = parse_json(text)
        except ValueError as error:
            raise ValueError(f"this is not a stored plan, or it is cut short: {reason(error)}.") from None
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise ValueError("this JSON is not a stored plan; expected the text that Plan.to_json wrote.")
        if data.get("version") != _VERSION:
            raise ValueError(
                f"this plan has version {shown(data.get('version'))}, this library reads {_VERSION}; update it."
            )
        try:
            return _from_fields(data)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, RuntimeError) as error:
            raise ValueError(f"this stored plan is damaged: {reason(error)}.") from None


def _from_fields(data: dict[str, Any]) -> Plan:
    K = len(data["c"])
    if len(data["terms"]) != K:
        raise ValueError(f"{K} noise coefficients for {len(data['terms'])} rows")
    too_much = lacking(6 * K * K * 8)
    if too_much:
        raise ValueError(f"a plan of {K:,} evaluations {too_much}")
    P, E = torch.zeros(2, K, K, dtype=torch.float64)
    for k, terms in enumerate(data["terms"]):
        for j, p, e in terms:
            if isinstance(j, bool) or not (isinstance(j, int) and 0 <= j <= k):
                raise ValueError(f"row {k} uses estimate {shown(j)}")
            P[k, j], E[k, j] = _number(p), _number(e)
    alpha, sigma, c = (torch.tensor([_number(v) for v in data[name]], dtype=torch.float64) for name in _LISTS)
    if not isinstance(data["name"], str):
        raise ValueError(f"a plan's name is a text, got {shown(data['name'])}")
    return Plan(Levels(alpha, sigma), P, E, c, name=shortened(data["name"]), order=_number(data["order"]))


_LISTS = ("alpha", "sigma", "c")


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{shown(value)} stands where a number should")
    return float(value)


def plans_from_json(stored: dict[str, Any]) -> dict[int, Plan]:
    """Plans by their number of evaluations, from the texts that a model's folder holds by that number.

    Raises:
        ValueError: for what is no plan, or one of another number of evaluations.
    """
    if not isinstance(stored, dict):
        raise ValueError(f"plans are a JSON object, got {shown(stored)}.")
    found = {int(n): Plan.from_json(text) for n, text in stored.items()}
    for n, plan in found.items():
        if plan.evaluations != n:
            raise ValueError(f"the plan stored for {n} evaluations has {plan.evaluations}.")
    return found


def last_uses(table: Tensor) -> list[int]:
    """For each column the last row in which it is not 0, or -1."""
    rows = torch.arange(1, len(table) + 1)[:, None] * (table != 0)
    return (rows.amax(0) - 1).tolist()
