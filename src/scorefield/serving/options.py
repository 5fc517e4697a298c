"""The options of each endpoint: values with ranges, and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from scorefield import _ranges
from scorefield._ranges import real, whole
from scorefield.web.checked import Checked

Seed: TypeAlias = Annotated[int, whole(-(2**53), 2**53), "of everything random: the same seed gives the same answer"]
First: TypeAlias = Annotated[int, _ranges.ANY_COUNT, "number of the first one: draw i depends on (seed, first + i)"]
Count: TypeAlias = Annotated[int, _ranges.COUNT, "how many to draw"]
Steps: TypeAlias = Annotated[int, _ranges.STEPS, "network evaluations for each"]
Tolerance: TypeAlias = Annotated[float, real(1e-5, 10.0), "greatest error of the integration, in nats"]
Unseen: TypeAlias = Annotated[Literal["error", "missing"], "a category that training did not have: an error, or a hole"]
Class: TypeAlias = Annotated[int, whole(0, (1 << 16) - 1), "a class for all"]
Sigma: TypeAlias = Annotated[float, real(0, 1e6), "of the noise on the records, in standard deviations of the data"]


@dataclass(frozen=True)
class SampleRows(Checked):
    """Of new rows of a table."""

    n: Count = 1
    steps: Steps = 18
    seed: Seed = 0
    first: First = 0
    given: Annotated[tuple[str, ...], 'what rows must be, such as "region=North" or "10<=age<=20"'] = ()
    repeats: Annotated[
        bool, "whether rows may have values of a row of training, in columns whose values recur together"
    ] = True


@dataclass(frozen=True)
class SampleRecords(Checked):
    """Of new arrays or images."""

    n: Count = 1
    steps: Steps = 18
    seed: Seed = 0
    first: First = 0
    condition: Class | None = None
    guidance: Annotated[float, real(0, 1e3), "towards the class; 1 is none"] = 1.0


@dataclass(frozen=True)
class RowDensity(Checked):
    """Of log-densities of rows."""

    tolerance: Tolerance = 0.01
    seed: Seed = 0
    unseen: Unseen = "error"


@dataclass(frozen=True)
class Outliers(Checked):
    """Of the least likely rows."""

    share: Annotated[float, _ranges.SHARE, "of the rows, to list"] = 0.05
    tolerance: Tolerance = 0.01
    seed: Seed = 0
    unseen: Unseen = "error"


@dataclass(frozen=True)
class Impute(Checked):
    """Of filled holes."""

    draws: Annotated[int, _ranges.DRAWS, "completed tables"] = 1
    steps: Steps = 18
    seed: Seed = 0
    unseen: Unseen = "error"


@dataclass(frozen=True)
class Predict(Checked):
    """Of a column predicted from the others."""

    target: Annotated[str, "the column"]
    interval: Annotated[float, _ranges.PROBABILITY, "probability of the interval"] = 0.9
    steps: Steps = 18
    seed: Seed = 0
    unseen: Unseen = "error"


@dataclass(frozen=True)
class RecordDensity(Checked):
    """Of log-densities of arrays or images."""

    tolerance: Tolerance = 0.01
    condition: Class | None = None


@dataclass(frozen=True)
class Noised(Checked):
    """Of noised records."""

    sigma: Sigma
    condition: Class | None = None


@dataclass(frozen=True)
class Posterior(Checked):
    """Of draws of parameters."""

    n: Annotated[int, _ranges.COUNT, "draws for each observation"] = 1000
    steps: Steps = 20
    seed: Seed = 0
