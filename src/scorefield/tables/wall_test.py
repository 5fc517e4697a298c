"""Whether the density of a column ends in a wall, and at which place."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from scorefield.data.dataset import Array
from scorefield.tables.marks import Grid

_SHARES = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3)  # of the rows: how far from the end the test looks
_LEAST = 15  # rows that it looks at
_WIDER = 2  # shares after the one at which there is a wall that are asked, too
_NEAREST = 10  # spacings at the end whose mean says how far beyond the last value the wall may be
_FARTHEST = 3.0  # of these spacings
_TELLING = 3  # rows in the last cell of a lattice: were there as many in the next one, it would be empty in 5 %
_STRONGER, _WEAKER = 2.88, 1.64  # standard errors of a one-sided test at 0.2 and 5 %


class Ends(NamedTuple):
    """The last values that a column can have where its density ends in a wall, None where it does not."""

    low: float | None
    high: float | None


def find_walls(
    x: Array, lattice: Grid | None = None, cell: float = 0.0, epoch: float | None = None, *, shifted: bool = False
) -> Ends:
    """The walls of a sample.

    At an end where the density vanishes, at least linearly, few values lie near the last one; at a wall many do. With
    d_1 >= ... >= d_k the distances of the k last values from the next one inwards, mean(d) / d_1 tends to 1/2 where the
    density is constant up to a wall, to more where it rises towards it, to 1/3 where it falls to zero linearly, and to
    0 in a tail. There is a wall where, for some k, that is more than a linear end gives in 998 of 1,000 samples, and
    for no smaller k less than a wall gives in 994 of 1,000, and the next two k give more than a linear end does on
    average: a thin shelf at the end of a tail is none. k is 1 to 30 % of the rows, at least 15.

    The wall is at the roundest number up to three mean spacings beyond the last value, or, where none is rounder than
    chance has it, one spacing beyond; on a lattice at the last value where cells are taken and the last one by so many
    rows that an empty one tells, else one cell beyond at least.

    Args:
        x: `(n,)` finite.
        lattice: on which they lie.
        cell: its width where values repeat: they are spread within their cells.
        shifted: whether an origin was subtracted from the numbers, so that round ones are not looked for.
        epoch: for times in seconds, how many seconds after 1970 their zero is: round are years, months, days, hours.

    Returns:
        The last possible values; where there is a lattice its walls are half a cell beyond.
    """
    x = np.sort(x)
    spread = _spread(x, cell) if cell else x
    ends = spread, -spread[::-1]
    found = [has_wall(end) for end in ends]
    found = [
        one or (other and has_wall(end, _WEAKER)) for one, other, end in zip(found, found[::-1], ends, strict=True)
    ]
    lower = _last(x, spread, lattice, epoch, up=False, shifted=shifted) if found[0] else None
    upper = _last(-x[::-1], -spread[::-1], lattice, epoch, up=True, shifted=shifted) if found[1] else None
    return Ends(lower, upper)


def has_wall(x: Array, errors: float = _STRONGER) -> bool:
    """Whether the density ends in a wall at the lower end of ascending values `(n,)`; see `find_walls`."""
    counts = sorted({int(share * len(x)) for share in _SHARES if share * len(x) >= _LEAST})
    for place, k in enumerate(counts if len(counts) > 1 else ()):  # one alone cannot tell a wall from a small cluster
        width = float(x[k] - x[0])
        if not width > 0:
            continue
        found = _mean_distance(x, k)
        if found < 0.5 - 2.5 * math.sqrt(1 / 12 / k):  # the standard error of the mean of k uniform values
            return False
        if np.diff(x[: k + 1]).max() > 1.5 * (math.log(k) + 5) / k * width:  # a cluster of its own
            return False
        if found > _most_of_linear(k, errors) and _mean_distance(x, k // 2) > 0.5 - 1.3 * math.sqrt(1 / 6 / k):
            return all(_mean_distance(x, wider) > _most_of_linear(wider, 0.0) for wider in counts[place + 1 :][:_WIDER])
    return False


def _mean_distance(x: Array, k: int) -> float:
    """mean(d) / d_1 of the first k of ascending values."""
    distance = x[k] - x[:k]
    return float(distance.mean()) / float(distance[0]) if distance[0] > 0 else 1.0


def _most_of_linear(k: int, errors: float) -> float:
    """A high quantile of mean(d) / d_1 for k values of density 2 d on (0, 1), which ends linearly (simulated)."""
    mean = 1 / 3 / (1 - 0.886 / math.sqrt(k))
    return mean + errors * 0.278 / math.sqrt(k) + 0.3 / k


def _spread(x: Array, cell: float) -> Array:
    """Ascending values of a lattice at equal distances within their cells."""
    _, first, count = np.unique(x, return_index=True, return_counts=True)
    rank = np.arange(len(x)) - np.repeat(first, count)
    return np.asarray(x + cell * ((rank + 0.5) / np.repeat(count, count) - 0.5))


def _last(x: Array, spread: Array, lattice: Grid | None, epoch: float | None, *, up: bool, shifted: bool) -> float:
    """The last possible value at the lower end of ascending values; for the upper end of negative ones."""
    least, sign = float(x[0]), -1.0 if up else 1.0
    count = min(_NEAREST, len(x) - 1)
    spacing = float(spread[count] - spread[0]) / count
    cell = lattice.width if lattice else 0.0
    if spacing <= cell and np.count_nonzero(x == x[0]) >= _TELLING:
        return 0.0 + sign * least
    low = least - _FARTHEST * spacing
    touching = lattice is not None
    if epoch is not None:
        found = _round_time(low, least, epoch, up=up)
        if found is not None and up and found < least:
            found += cell  # 2025 begins after the last day of 2024
    else:
        found = None if shifted else _roundest(low, least, touching)
    found = least - max(spacing, cell) if found is None else found
    return 0.0 + sign * found if lattice is None else float(lattice.nearest(np.array(sign * found)))


def _roundest(low: float, high: float, touching: bool) -> float | None:
    """The roundest number from low to high, which itself counts where touching; None where it is round by chance.

    Multiples of 1, 5, 2 times a power of ten; one is no accident where its neighbours are four lengths away.
    """
    wide = high - low
    if low <= 0 < high or (touching and high == 0):
        return 0.0
    size = max(abs(low), abs(high))
    for digits in range(-math.floor(math.log10(size)) - 1, 16):
        for step in (1.0, 0.5, 0.2):
            scale = 10.0**digits / step
            unit = math.floor(high * scale + 1e-9)
            place = unit / scale
            if not touching and place >= high:
                place = (unit - 1) / scale
            if place >= low:
                return place if 1 / scale > 4 * wide else None
    return None


def _round_time(low: float, high: float, epoch: float, *, up: bool) -> float | None:
    """The start of a year, month, day or hour from low to high, as `_roundest`; up: low and high are negative times."""
    first, last = (-high, -low) if up else (low, high)
    for unit in ("Y", "M", "D", "h"):
        start = np.datetime64(math.floor(last + epoch), "s").astype(f"datetime64[{unit}]")
        length = ((start + 1).astype("datetime64[s]") - start.astype("datetime64[s]")).astype(float)
        place = float(start.astype("datetime64[s]").astype(np.int64)) - epoch
        if place >= first:
            return (-place if up else place) if length > 4 * (high - low) else None
    return None
