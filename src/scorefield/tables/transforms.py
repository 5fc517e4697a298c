"""Increasing maps of a column's values onto the whole line, and the choice among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np

from scorefield._files import shown
from scorefield.data.dataset import Array
from scorefield.tables.edge import Edge, Edges, edges_around
from scorefield.tables.marks import Grid
from scorefield.tables.wall import Wall, Walls, walls_around


@dataclass(frozen=True)
class Identity:
    """`y = x`."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The open interval of x."""
        return -math.inf, math.inf

    def forward(self, x: Array) -> Array:
        """x `(n,)` to y."""
        return x

    def inverse(self, y: Array) -> Array:
        """y `(n,)` to x."""
        return y

    def log_slope(self, y: Array) -> Array:
        """`log dy/dx` at the x that belongs to y."""
        return np.zeros_like(y)


@dataclass(frozen=True)
class Log:
    """`y = log(x - bound)` for x above the bound; `y = -log(bound - x)` for x below it.

    Example:
        >>> Log().forward(np.array([1.0]))
        array([0.])
    """

    bound: float = 0.0
    above: bool = True

    @property
    def bounds(self) -> tuple[float, float]:
        """The open interval of x."""
        return (self.bound, math.inf) if self.above else (-math.inf, self.bound)

    def forward(self, x: Array) -> Array:
        """x `(n,)` to y."""
        return np.log(x - self.bound) if self.above else -np.log(self.bound - x)

    def inverse(self, y: Array) -> Array:
        """y `(n,)` to x, strictly within the bounds and finite."""
        with np.errstate(over="ignore"):
            return _within(self.bound + np.exp(y) if self.above else self.bound - np.exp(-y), self.bounds)

    def log_slope(self, y: Array) -> Array:
        """`log dy/dx` at the x that belongs to y."""
        return -y if self.above else y


@dataclass(frozen=True)
class Logit:
    """`y = log((x - low) / (high - x))` for x between low and high."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"Logit needs low < high, got {self.low} and {self.high}.")

    @property
    def bounds(self) -> tuple[float, float]:
        """The open interval of x."""
        return self.low, self.high

    def forward(self, x: Array) -> Array:
        """x `(n,)` to y."""
        return np.log(x - self.low) - np.log(self.high - x)

    def inverse(self, y: Array) -> Array:
        """y `(n,)` to x, strictly within the bounds."""
        tail = np.exp(-np.abs(y))
        part = (self.high - self.low) * (tail / (1 + tail))  # the distance from the nearer end
        return _within(np.where(y < 0, self.low + part, self.high - part), self.bounds)

    def log_slope(self, y: Array) -> Array:
        """`log dy/dx` at the x that belongs to y."""
        size = np.abs(y)
        return np.asarray(size + 2 * np.log1p(np.exp(-size)) - math.log(self.high - self.low))


@dataclass(frozen=True)
class Asinh:
    """`y = asinh((x - centre) / scale)`: straight near the centre, a logarithm to both sides far from it."""

    centre: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"Asinh needs a scale > 0, got {self.scale}.")

    @property
    def bounds(self) -> tuple[float, float]:
        """The open interval of x."""
        return -math.inf, math.inf

    def forward(self, x: Array) -> Array:
        """x `(n,)` to y."""
        return np.arcsinh((x - self.centre) / self.scale)

    def inverse(self, y: Array) -> Array:
        """y `(n,)` to x, finite."""
        with np.errstate(over="ignore"):
            return _within(self.centre + self.scale * np.sinh(y), self.bounds)

    def log_slope(self, y: Array) -> Array:
        """`log dy/dx` at the x that belongs to y."""
        size = np.abs(y)  # log cosh y = |y| + log(1 + exp(-2 |y|)) - log 2
        return np.asarray(math.log(2) - size - np.log1p(np.exp(-2 * size)) - math.log(self.scale))


T = TypeVar("T", bound="Transform")
Transform: TypeAlias = Identity | Log | Logit | Asinh | Wall | Walls | Edge | Edges
TRANSFORMS: dict[str, type[Transform]] = {
    "identity": Identity,
    "log": Log,
    "logit": Logit,
    "asinh": Asinh,
    "wall": Wall,
    "walls": Walls,
    "edge": Edge,
    "edges": Edges,
}


def walls_of(transform: Transform) -> tuple[float, float]:
    """The values of y at the walls of a transform, infinite where it has none."""
    return transform.inside if isinstance(transform, Wall | Walls | Edge | Edges) else (-math.inf, math.inf)


def transform_name(transform: Transform) -> str:
    """Its key in `TRANSFORMS`.

    Example:
        >>> transform_name(Log())
        'log'
    """
    return next(name for name, made in TRANSFORMS.items() if type(transform) is made)


def transform_to_json(transform: Transform) -> dict[str, Any]:
    """Its kind and parameters."""
    return {"kind": transform_name(transform), **asdict(transform)}


def transform_from_json(fields: dict[str, Any]) -> Transform:
    """The transform that `transform_to_json` described.

    Raises:
        ValueError: for an unknown kind or other parameters than its own.
    """
    given = dict(fields)
    kind = given.pop("kind", None)
    if not isinstance(kind, str) or kind not in TRANSFORMS:
        raise ValueError(f"a transform is one of {', '.join(TRANSFORMS)}, got {shown(kind)}.")
    for name, value in given.items():
        number = isinstance(value, (int, float)) and abs(value) <= 1e300
        if not number or isinstance(value, bool) != (name == "above"):
            raise ValueError(f"the transform {kind} cannot have {shown(name)} = {shown(value)}.")
    try:
        return TRANSFORMS[kind](**given)
    except TypeError as error:
        raise ValueError(f"the transform {kind} cannot be read: {error}.") from None


def _within(x: Array, bounds: tuple[float, float]) -> Array:
    """Rounding may reach an end, which the transform itself never does: the neighbouring float instead."""
    return np.asarray(np.clip(x, np.nextafter(bounds[0], math.inf), np.nextafter(bounds[1], -math.inf)))


INTERVALS = ((0.0, 1.0), (0.0, 100.0), (-1.0, 1.0))  # in which shares, per cents and correlations live
_NEAR = 0.05  # of an interval's length: how near both its ends the data come that are taken to be bounded by it
_MARGIN = 0.05  # nats per row by which another transform must beat the identity
_REACH = 50.0  # trimmed standard deviations: a column whose values lie farther out is not left as it is
_DIGITS = 1e-14  # of the range of values: a lattice finer than that, as nanoseconds of years, may be left by walls
_SCALES = (1.0, 0.3, 0.1, 0.03)  # of asinh, in robust standard deviations


def choose_transform(x: Array, lattice: Grid | None = None, *, bounded: bool = True) -> Transform:
    """The transform after which a Gaussian describes the values best.

    The score of a transform is the mean over rows of `log N(y; mean, std) + log dy/dx`, the lowest and the highest 1 %
    of the rows left out, so that outliers do not decide. The identity wins unless another one is better by 0.05 nats
    per row and two standard errors of the difference. One exception: where the identity would leave a value more than
    50 trimmed standard deviations from the median, the best of those wins that do not.

    The log is tried for positive (or negative) values, the logit for values that come within 5 % of both ends of
    (0, 1), (0, 100) or (-1, 1), asinh with scales of 1 to 0.03 robust standard deviations always. Values on a lattice
    may touch a bound: the transform then starts half a cell beyond it. A transform whose rounding would leave the
    lattice is out, but for that exception: there, whole numbers above 1e12 may come back with 13 right digits.

    Args:
        x: `(n,)` finite float64, not all the same.
        lattice: on which the values lie.
        bounded: whether log and logit are tried.
    """
    x = np.sort(x)
    identity = Identity()
    candidates = [c for c in _candidates(x, lattice, bounded) if _restores(c, x)]
    scored = {c: _score(c, x) for c in (identity, *candidates)}
    near = [c for c, (_, reach) in scored.items() if reach <= _REACH]
    if identity not in near:
        if near:
            return max(near, key=lambda c: float(scored[c][0].mean()))
        return min(scored, key=lambda c: scored[c][1])
    exact = [identity, *(c for c in candidates if lattice is None or _error(c, x).max() <= lattice.width / 4)]
    best = max(exact, key=lambda c: float(scored[c][0].mean()))
    return best if _better(best, identity, x) else identity


def walled(x: Array, usual: Transform, low: float | None, high: float | None, lattice: Grid | None = None) -> Transform:
    """The transform of values whose density ends in walls; for one wall that after which a Gaussian fits them best.

    A log or logit that already ends at these sides stays where a Gaussian fits all values, the last ones included, even
    better after it; its free end, where it has one, becomes the other wall.

    Args:
        x: `(n,)` finite.
        usual: the transform without walls.
        low: the lower wall, below the values; None for none.
        high: the upper wall.
        lattice: on which the values lie.
    """
    x = np.sort(x)
    if isinstance(usual, Log | Logit):
        ends = usual.bounds
        if low is None and math.isfinite(ends[0]):
            low = ends[0] if high is not None else None
        if high is None and math.isfinite(ends[1]):
            high = ends[1] if low is not None else None
    if low is None and high is None:
        return usual
    made = fitting(all_walls(x, low, high), x)
    wrong = _error(made, x).max()
    if not _restores(made, x) or (lattice is not None and wrong > max(lattice.width / 4, _DIGITS * (x[-1] - x[0]))):
        return usual
    ends = usual.bounds
    bounded = (low is None or math.isfinite(ends[0])) and (high is None or math.isfinite(ends[1]))
    return usual if bounded and _score_of_all(usual, x) > _score_of_all(made, x) else made


def all_walls(x: Array, low: float | None, high: float | None) -> list[Transform]:
    """All transforms with walls at one place or two, to choose among."""
    found: list[Transform] = [*edges_for(x, low, high)]
    if low is not None and high is not None:
        return [Walls(low, high), *found]
    return [*walls_around(x, low if low is not None else high or 0.0, above=low is not None), *found]


def edges_for(x: Array, low: float | None, high: float | None) -> list[Edge | Edges]:
    """Those that are straight away from the walls."""
    return edges_around(low, high, robust_std(x))


def fitting(candidates: Sequence[T], x: Array) -> T:
    """The one of some transforms after which a Gaussian fits values `(n,)` best."""
    x = np.sort(x)
    return max(candidates, key=lambda one: float(_score(one, x)[0].mean()))


def asinh_for(x: Array, scale: float = 1.0) -> Asinh:
    """asinh around the median, its scale in robust standard deviations."""
    centre = float(np.median(x))
    return Asinh(centre, scale * robust_std(x))


def _better(new: Transform, usual: Transform, x: Array) -> bool:
    """Whether a transform is better than another by the margin and two standard errors."""
    gain = _score(new, x)[0] - _score(usual, x)[0]
    return float(gain.mean()) > _MARGIN + 2 * float(gain.std()) / math.sqrt(len(gain))


def _candidates(x: Array, lattice: Grid | None, bounded: bool) -> list[Transform]:
    found: list[Transform] = [asinh_for(x, scale) for scale in _SCALES]
    if not bounded:
        return found
    half = lattice.width / 2 if lattice else 0.0
    least, most = float(x[0]), float(x[-1])
    if least > 0 or (least == 0 and half):
        found.append(Log(0.0 if least > 0 else -half))
    if most < 0 or (most == 0 and half):
        found.append(Log(0.0 if most < 0 else half, above=False))
    for low, high in INTERVALS:
        near = _NEAR * (high - low)
        if low <= least < low + near and high - near < most <= high and (half or (low < least and most < high)):
            found.append(Logit(low - half * (least == low), high + half * (most == high)))
    return found


def robust_std(x: Array) -> float:
    """From the quartiles; where they agree, from ever wider quantiles. The factor is that of the quartiles."""
    for q in (0.25, 0.1, 0.05, 0.01, 0.0):
        low, high = np.quantile(x, [q, 1 - q])
        if high > low:
            return float(high / 1.349 - low / 1.349)
    raise ValueError("a transform needs values that are not all the same.")


def _error(transform: Transform, x: Array) -> Array:
    return np.asarray(np.abs(transform.inverse(transform.forward(x)) - x))


def _restores(transform: Transform, x: Array) -> bool:
    """Whether the way forth and back is exact to nine digits of the spread or of the distance from the median."""
    size = robust_std(x) + np.abs(x - np.median(x))
    return bool((_error(transform, x) <= 1e-9 * size).all())


def _score(transform: Transform, x: Array) -> tuple[Array, float]:
    """The log-density of each trimmed row up to a constant, and how far the farthest of all lies from the median."""
    y = transform.forward(x)
    cut = max(int(len(x) >= 20), len(x) // 100)
    kept = y[cut : len(y) - cut]
    if not kept[-1] > kept[0]:
        kept = y
    mean, std = moments(kept)
    density = -0.5 * ((kept - mean) / std) ** 2 - math.log(std) + transform.log_slope(kept)
    if len(kept) == len(y) and cut:  # rows of equal number for every transform
        density = density[cut : len(y) - cut]
    return density, float(np.abs((y - np.median(y)) / std).max())


def _score_of_all(transform: Transform, x: Array) -> float:
    """The mean log-density of all rows up to a constant."""
    y = transform.forward(x)
    return float(transform.log_slope(y).mean()) - math.log(moments(y)[1])


def moments(y: Array) -> tuple[float, float]:
    """Mean and standard deviation, safe from overflow, underflow and a large mean with a small spread."""
    scale = float(np.abs(y).max()) or 1.0
    mean = float((y / scale).mean() * scale)
    mean += float((y - mean).mean())
    spread = float(np.abs(y - mean).max()) or 1.0
    return mean, float(((y - mean) / spread).std() * spread)
