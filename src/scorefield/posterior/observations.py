"""Observations as a network takes them: every entry standardised, a mask where some are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorefield._files import shown

_HEAVY = 6.0  # standard deviations: an entry that goes farther is bent
_STRAIGHT = 0.1  # a bend nearer to 1 is none
_LEAST, _GREATEST = 0.0, 2.0  # powers between which a bend reaches the whole line: none presses large values together
_FARTHEST = 20.0  # what lies farther enters as this, so that a wild observation gives an answer (and a warning)


class Outside(NamedTuple):
    """An entry of an observation that no simulation reaches.

    Args:
        entry: which, as `x[entry]`; of a series the column.
        value: of the observation.
        percentile: of the simulations that lie below it, 0 or 100.
        low: least value in the simulations.
        high: greatest.
        name: of the entry, where the simulations had names.
    """

    entry: int
    value: float
    percentile: float
    low: float
    high: float
    name: str = ""

    def __str__(self) -> str:
        name = self.name or f"x[{self.entry}]"
        return (
            f"{name} = {self.value:.6g} lies at percentile {self.percentile:g} of the simulations "
            f"({self.low:.6g} to {self.high:.6g})"
        )


@dataclass(frozen=True, eq=False)
class ObservationCodec:
    """Observations `(n, k)`, or sets and series `(n, length, k)`, and the numbers that enter a network.

    A column whose values go farther than 6 standard deviations is bent by the transform of Yeo and Johnson (2000), of
    a power between 0 and 2: no more than by logarithms, so that values far out stay apart.

    Args:
        centre: `(k,)`, of each column after bending.
        scale: `(k,)`, > 0.
        bend: `(k,)`, the power of each column; 1 leaves it as it is.
        low: `(k,)`, least value in the simulations.
        high: `(k,)`, greatest.
        holes: whether values may be missing.
    """

    centre: Tensor
    scale: Tensor
    bend: Tensor
    low: Tensor
    high: Tensor
    holes: bool

    @staticmethod
    def measured(x: Tensor) -> ObservationCodec:
        """The codec of simulations, `(n, k)` or `(n, length, k)`, NaN where a value is missing."""
        flat = x.double().reshape(-1, x.shape[-1])
        bend = torch.tensor([_power(flat[:, j]) for j in range(flat.shape[1])], dtype=torch.float64)
        bent = _bent(flat, bend)
        there = ~flat.isnan()
        count = there.sum(0).clamp(min=1)
        centre = torch.where(there, bent, 0.0).sum(0) / count
        scale = (torch.where(there, bent - centre, 0.0).square().sum(0) / count).sqrt()
        scale = torch.where(scale > 0, scale, 1.0)  # a constant column says nothing and stays 0
        low = torch.where(there, flat, torch.inf).amin(0)
        high = torch.where(there, flat, -torch.inf).amax(0)
        return ObservationCodec(centre, scale, bend, low, high, bool((~there).any()))

    @property
    def columns(self) -> int:
        """k."""
        return len(self.centre)

    def encode(self, x: Tensor) -> Tensor:
        """x to standardised numbers of the same shape, float32, NaN kept.

        Raises:
            ValueError: for another number of columns, or values missing that never were in the simulations.
        """
        if x.shape[-1] != self.columns:
            raise ValueError(
                f"an observation has {self.columns} values as the simulations have, got {x.shape[-1]}; "
                f"its shape is {tuple(x.shape)}."
            )
        if bool(torch.isinf(x).any()):
            raise ValueError("an observation has infinite values; give finite ones, or NaN where a value is missing.")
        if x.ndim == 2 and not self.holes and bool(x.isnan().any()):
            row, column = x.isnan().nonzero()[0].tolist()
            raise ValueError(
                f"x[{column}] of observation {row} is missing, and no simulation has a hole: fit with missing=0.1, "
                "which hides a tenth of the values while training."
            )
        return self.standardised(x).clamp(-_FARTHEST, _FARTHEST).float()

    def standardised(self, x: Tensor) -> Tensor:
        """x without bounds, float64."""
        return (_bent(x.double(), self.bend) - self.centre) / self.scale

    def original(self, z: Tensor) -> Tensor:
        """The inverse of `standardised`."""
        return _unbent(z.double() * self.scale + self.centre, self.bend)

    def log_slope(self, x: Tensor) -> Tensor:
        """`log |dz / dx|` of `standardised` at x `(n, k)`, `(n,)`."""
        powers = torch.where(x >= 0, self.bend - 1, 1 - self.bend)
        return (powers * torch.log1p(x.double().abs()) - self.scale.log()).sum(1)

    def straight(self, x: Tensor) -> ObservationCodec:
        """The codec of the same simulations x that bends nothing."""
        centre, scale = x.double().mean(0), x.double().std(0, correction=0)
        return replace(self, centre=centre, scale=torch.where(scale > 0, scale, 1.0), bend=torch.ones_like(self.bend))

    def outside(self, x: Tensor, names: Sequence[str] = ()) -> list[Outside]:
        """What of one observation `(k,)` or `(length, k)`, of columns with these names, no simulation reaches."""
        found = []
        for row in x.double().reshape(-1, self.columns):
            for j in ((row < self.low) | (row > self.high)).nonzero()[:, 0].tolist():
                below = 0.0 if row[j] < self.low[j] else 100.0
                ends = float(self.low[j]), float(self.high[j])
                found.append(Outside(j, float(row[j]), below, *ends, names[j] if names else ""))
        return found

    # ---------------------------------------------------------------------------------------------------- as JSON

    def to_json(self) -> dict[str, Any]:
        """JSON-able."""
        numbers = {name: getattr(self, name).tolist() for name in _NUMBERS}
        return {**numbers, "holes": self.holes}

    @staticmethod
    def from_json(value: object) -> ObservationCodec:
        """As `to_json` wrote it.

        Raises:
            ValueError: for anything else.
        """
        if not isinstance(value, dict) or not isinstance(value.get("holes"), bool):
            raise ValueError(
                f"the codec of observations is an object with {', '.join(_NUMBERS)}, holes: {shown(value)}."
            )
        lists = []
        for name in _NUMBERS:
            v = value.get(name)
            if not isinstance(v, list) or not all(isinstance(e, (int, float)) for e in v):
                raise ValueError(f"{name} in the codec of observations is a list of numbers, got {shown(v)}.")
            lists.append(torch.tensor(v, dtype=torch.float64))
        if len({len(v) for v in lists}) != 1 or not bool((lists[1] > 0).all()):
            raise ValueError("the codec of observations needs lists of one length and positive scales.")
        centre, scale, bend, low, high = lists
        return ObservationCodec(centre, scale, bend, low, high, value["holes"])


_NUMBERS = ("centre", "scale", "bend", "low", "high")


def as_observations(x: object) -> Tensor:
    """Simulated or real observations as a tensor `(n, k)` or `(n, length, k)`, float64.

    Args:
        x: arrays, tensors or a data frame of numbers, `(n,)` for one value each; or a sequence of arrays
            `(length_i, k)`, sets or series of any length, which are filled up by NaN.

    Raises:
        ValueError: for other shapes, or what are no numbers.
    """
    if isinstance(x, Sequence) and len(x) and all(np.ndim(v) == 2 for v in x):
        return _filled([torch.as_tensor(np.asarray(v), dtype=torch.float64) for v in x])
    try:
        value = x.detach().cpu() if isinstance(x, Tensor) else torch.from_numpy(np.array(x, dtype=np.float64))
    except (TypeError, ValueError):
        raise ValueError(
            f"observations are numbers, (n, k) or (n, length, k), got {type(x).__name__} that holds others."
        ) from None
    value = value.double()
    if value.ndim == 1:
        value = value[:, None]
    if value.ndim not in (2, 3) or not value.shape[-1]:
        raise ValueError(f"observations have the shape (n, k) or (n, length, k), got {tuple(value.shape)}.")
    return value


def as_one(x: object) -> Tensor:
    """One observation, a vector `(k,)` or `(1, k)`, as `(1, k)`; several stay as they are."""
    value = as_observations(x)
    return value.T if value.ndim == 2 and value.shape[1] == 1 else value


def failed(x: Tensor) -> Tensor:
    """Which simulations failed, `(n,)` bool: all values missing, or one infinite."""
    flat = x.reshape(len(x), -1)
    return flat.isnan().all(1) | flat.isinf().any(1)


def _filled(parts: list[Tensor]) -> Tensor:
    """Series of several lengths in one tensor, NaN behind their ends."""
    widths = {part.shape[1] for part in parts}
    if len(widths) != 1:
        raise ValueError(f"series have one number of columns, got {sorted(widths)}.")
    longest = max(len(part) for part in parts)
    filled = torch.full((len(parts), longest, widths.pop()), torch.nan, dtype=torch.float64)
    for i, part in enumerate(parts):
        filled[i, : len(part)] = part
    return filled


def _power(column: Tensor) -> float:
    """The bend of a column: 1, or by maximum likelihood where its values go far."""
    values = column[~column.isnan()]
    if len(values) < 3 or not float(values.std()) > 0:
        return 1.0
    z = (values - values.mean()) / values.std()
    if float(z.abs().max()) <= _HEAVY:
        return 1.0
    from sklearn.preprocessing import PowerTransformer

    bend = float(PowerTransformer(standardize=False).fit(values[:, None].numpy()).lambdas_[0])
    if not np.isfinite(bend) or abs(bend - 1) <= _STRAIGHT:
        return 1.0
    return min(max(bend, _LEAST), _GREATEST)


def _bent(x: Tensor, bend: Tensor) -> Tensor:
    """The transform of Yeo and Johnson of each column, the identity at a power of 1."""
    above, below = x.clamp(min=0.0), -x.clamp(max=0.0)
    return _box_cox(above, bend) - _box_cox(below, 2 - bend)


def _unbent(y: Tensor, bend: Tensor) -> Tensor:
    """The inverse of `_bent`."""
    above, below = y.clamp(min=0.0), -y.clamp(max=0.0)
    return _box_cox_inverse(above, bend) - _box_cox_inverse(below, 2 - bend)


def _box_cox_inverse(y: Tensor, power: Tensor) -> Tensor:
    """The inverse of `_box_cox`; where a power has an end, that is where y stops."""
    inner = torch.log1p((power * y).clamp(min=-1 + 1e-12)) / torch.where(power.abs() < 1e-8, 1.0, power)
    return torch.expm1(torch.where(power.abs() < 1e-8, y, inner))


def _box_cox(x: Tensor, power: Tensor) -> Tensor:
    """`((1 + x)^power - 1) / power`, the logarithm at power 0; `(n, k)` >= 0."""
    root = torch.log1p(x)
    return torch.where(power.abs() < 1e-8, root, torch.expm1(power * root) / torch.where(power == 0, 1.0, power))
