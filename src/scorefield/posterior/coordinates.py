"""Parameters in coordinates without edges: an interval becomes the line, so that no draw ever leaves the support."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scorefield._files import shown

_LOG_ROOT = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class Coordinates:
    """A bijection of a box, with sides that may be infinite, onto R^d, one parameter at a time.

    Between two edges u is the normal quantile of the place between them, so that a uniform law becomes standard normal;
    beside one edge it is the logarithm of the distance; without edges the value. Then `(u - centre) / scale`.

    Args:
        low: `(d,)` float64, lower edges, -inf for none.
        high: `(d,)`, upper ones, inf for none.
        centre: `(d,)`.
        scale: `(d,)`, > 0.

    Example:
        >>> box = Coordinates.of(torch.zeros(1), torch.full((1,), 4.0))
        >>> box.inward(torch.tensor([[2.0]])).tolist(), box.outward(torch.zeros(1, 1)).tolist()
        ([[0.0]], [[2.0]])
    """

    low: Tensor
    high: Tensor
    centre: Tensor
    scale: Tensor

    @staticmethod
    def of(low: Tensor, high: Tensor, centre: Tensor | None = None, scale: Tensor | None = None) -> Coordinates:
        """The bijection of a box; centre 0 and scale 1 unless given.

        Raises:
            ValueError: for edges that do not enclose anything, or scales that are not positive and finite.
        """
        low, high = low.double(), high.double()
        centre = torch.zeros_like(low) if centre is None else centre.double()
        scale = torch.ones_like(low) if scale is None else scale.double()
        for i in range(len(low)):
            if not float(low[i]) < float(high[i]):
                raise ValueError(
                    f"parameter {i} has no room between {float(low[i]):g} and {float(high[i]):g}; give low < high."
                )
            if not (0 < float(scale[i]) < math.inf and math.isfinite(float(centre[i]))):
                raise ValueError(
                    f"parameter {i} has the centre {float(centre[i]):g} and the scale {float(scale[i]):g}; a finite "
                    "centre and a positive scale are needed: is it constant, or infinite in the simulations?"
                )
        return Coordinates(low, high, centre, scale)

    @staticmethod
    def measured(theta: Tensor, low: Tensor, high: Tensor) -> Coordinates:
        """The bijection of a box, standardised on draws `(n, d)` inside it."""
        plain = Coordinates.of(low, high)
        u = plain.inward(theta.double())
        return Coordinates.of(low, high, u.mean(0), u.std(0, correction=0))

    @property
    def dim(self) -> int:
        """d."""
        return len(self.low)

    def inside(self, theta: Tensor) -> Tensor:
        """Which points `(n, d)` lie in the box, its edges included: `(n,)` bool."""
        theta = theta.double()
        return ((theta >= self.low) & (theta <= self.high)).all(1)

    def inward(self, theta: Tensor) -> Tensor:
        """theta `(n, d)` inside the box to u, float64; points on an edge are moved by the least number there is."""
        theta = theta.double()
        columns = [self._inward(theta[:, i], i) for i in range(self.dim)]
        return (torch.stack(columns, 1) - self.centre) / self.scale

    def outward(self, u: Tensor) -> Tensor:
        """u `(n, d)` to theta, float64, in the box."""
        u = u.double() * self.scale + self.centre
        return torch.stack([self._outward(u[:, i], i) for i in range(self.dim)], 1)

    def log_slope(self, theta: Tensor) -> Tensor:
        """`log |du / dtheta|` at theta `(n, d)`, `(n,)`."""
        theta = theta.double()
        each = torch.stack([self._log_slope(theta[:, i], i) for i in range(self.dim)], 1)
        return (each - self.scale.log()).sum(1)

    def _edges(self, i: int) -> tuple[float, float]:
        return float(self.low[i]), float(self.high[i])

    def _inward(self, theta: Tensor, i: int) -> Tensor:
        low, high = self._edges(i)
        if math.isfinite(low) and math.isfinite(high):
            below, above = (theta - low) / (high - low), (high - theta) / (high - low)
            near = torch.minimum(below, above).clamp(min=torch.finfo(torch.float64).tiny)
            return torch.special.ndtri(near) * torch.where(below <= above, 1.0, -1.0)
        if math.isfinite(low):
            return (theta - low).clamp(min=torch.finfo(torch.float64).tiny).log()
        if math.isfinite(high):
            return -(high - theta).clamp(min=torch.finfo(torch.float64).tiny).log()
        return theta

    def _outward(self, u: Tensor, i: int) -> Tensor:
        low, high = self._edges(i)
        if math.isfinite(low) and math.isfinite(high):
            from_low, from_high = (
                low + (high - low) * torch.special.ndtr(u),
                high - (high - low) * torch.special.ndtr(-u),
            )
            return torch.where(u <= 0, from_low, from_high).clamp(low, high)
        if math.isfinite(low):
            return low + u.exp()
        if math.isfinite(high):
            return high - (-u).exp()
        return u

    def _log_slope(self, theta: Tensor, i: int) -> Tensor:
        low, high = self._edges(i)
        u = self._inward(theta, i)
        if math.isfinite(low) and math.isfinite(high):
            return 0.5 * u.square() + _LOG_ROOT - math.log(high - low)
        if math.isfinite(low):
            return -u
        return u if math.isfinite(high) else torch.zeros_like(u)

    # ---------------------------------------------------------------------------------------------------- as JSON

    def to_json(self) -> dict[str, Any]:
        """JSON-able; no edge is null."""
        edge = [[None if math.isinf(v) else v for v in side.tolist()] for side in (self.low, self.high)]
        return {"low": edge[0], "high": edge[1], "centre": self.centre.tolist(), "scale": self.scale.tolist()}

    @staticmethod
    def from_json(value: object) -> Coordinates:
        """As `to_json` wrote it.

        Raises:
            ValueError: for anything else.
        """
        names = ("low", "high", "centre", "scale")
        if not isinstance(value, dict) or any(not isinstance(value.get(n), list) for n in names):
            raise ValueError(f"coordinates are an object with the lists {', '.join(names)}, got {shown(value)}.")
        filled = {n: [_number(v, n) for v in value[n]] for n in names}
        sides = [torch.tensor(filled[n], dtype=torch.float64) for n in names]
        if len({len(side) for side in sides}) != 1:
            raise ValueError(f"coordinates need lists of one length, got {[len(side) for side in sides]}.")
        return Coordinates.of(*sides)


def _number(value: object, name: str) -> float:
    if value is None and name in ("low", "high"):
        return -math.inf if name == "low" else math.inf
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"{name} in the coordinates is a list of numbers, got {shown(value)}.")
