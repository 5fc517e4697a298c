"""Discrete parameters beside continuous ones: p(codes | x) by a classifier, p(numbers | codes, x) by the score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from scorefield import _ranges
from scorefield._files import shown
from scorefield.levels import TrainingLevels
from scorefield.numerics.random import uniform
from scorefield.objectives.batch import Draws
from scorefield.posterior.estimator import PosteriorEstimator
from scorefield.posterior.networks import NetworkOfCodes, VectorReader
from scorefield.posterior.observations import ObservationCodec, as_observations, as_one
from scorefield.posterior.prior import Prior
from scorefield.posterior.trained import TrainedPosterior
from scorefield.posterior.training import LEVELS, SHARES, Pairs, Recipe, trained
from scorefield.progress import Report, part, silent

if TYPE_CHECKING:
    import pandas as pd

_MOST = 256  # combinations of codes
_CODES_SHARE = 0.2  # of the time


@dataclass(frozen=True, eq=False)
class _CrossEntropy:
    """Minus the log-probability of each row's code; the condition is the row's number."""

    z: Tensor
    levels: TrainingLevels
    holes: bool = False

    def __call__(self, model: Any, x: Tensor, draws: Draws, condition: Tensor | None = None) -> Tensor:
        return cross_entropy(model(self.z[condition]), x[:, 0].long(), reduction="none")


@dataclass(frozen=True, eq=False)
class MixedPosterior:
    """p(codes and numbers | observation).

    Args:
        names: of all parameters, in the order of the simulations.
        codes: the values of the discrete parameters that occur together, by name: as many for each.
        network: of the logarithms of their probabilities, given an encoded observation.
        codec: of the observations.
        numbers: the posterior of the numbers given the observation and, one-hot behind it, the combination.
    """

    names: tuple[str, ...]
    codes: Mapping[str, tuple[Any, ...]]
    network: NetworkOfCodes
    codec: ObservationCodec
    numbers: TrainedPosterior

    def probabilities(self, x: object) -> pd.DataFrame:
        """The combinations of codes with their probabilities given one observation, the column `probability`."""
        import pandas as pd

        return pd.DataFrame({**self.codes, "probability": self._log_probabilities(x).exp().numpy()})

    def sample(self, x: object, n: int, *, seed: int = 0) -> pd.DataFrame:
        """n draws of all parameters given one observation `(k,)`; draw i is a function of (seed, i)."""
        import pandas as pd

        _ranges.ANY_COUNT("sample(n=...)", n)
        observed = self._one(x)
        edges = self._log_probabilities(x).exp().cumsum(0)
        place = uniform(n, (), seed, "codes", dtype=torch.float64) * edges[-1]
        code = torch.searchsorted(edges, place).clamp(max=len(edges) - 1)
        theta = self.numbers.sample_many(_joined(observed, torch.arange(len(edges)), len(edges)), n, seed=seed)
        frame = pd.DataFrame(theta[code, torch.arange(n)].numpy(), columns=list(self.numbers.names))
        for name, values in self.codes.items():
            frame[name] = [values[k] for k in code.tolist()]
        return frame[list(self.names)]

    def log_prob(self, theta: pd.DataFrame, x: object) -> Tensor:
        """`log p(codes, numbers | x)` in nats of rows of parameters, `(n,)`; -inf for codes that never occurred."""
        code = _code_numbers(theta, self.codes)
        known = code >= 0
        value = torch.full((len(theta),), -torch.inf, dtype=torch.float64)
        numbers = as_observations(theta[list(self.numbers.names)])[known]
        chosen = _joined(self._one(x), code[known], len(next(iter(self.codes.values()))))
        value[known] = self._log_probabilities(x)[code[known]] + self.numbers.log_prob(numbers, chosen).value
        return value

    def _one(self, x: object) -> Tensor:
        observed = as_one(x)
        if tuple(observed.shape) != (1, self.codec.columns):
            raise ValueError(f"give one observation of {self.codec.columns} values, got {tuple(observed.shape)}.")
        return observed

    @torch.no_grad()
    def _log_probabilities(self, x: object) -> Tensor:
        return self.network(self.codec.encode(self._one(x)))[0].double().log_softmax(0)


def fit_mixed(
    theta: pd.DataFrame,
    x: object,
    prior: Prior | None = None,
    *,
    recipe: Recipe | None = None,
    report: Report = silent,
) -> MixedPosterior:
    """Learn from simulations whose parameters are codes (categories, texts, booleans) and numbers.

    Args:
        theta: parameters, a column each; what is no number is discrete.
        x: what was simulated with each, `(n, k)`.
        prior: of the numbers alone, where it is known.
        recipe: sizes and budget.
        report: hears how far the work is.

    Raises:
        ValueError: where there are no codes, no numbers, or more than 256 combinations of codes.

    Example:
        >>> import pandas as pd
        >>> theta = pd.DataFrame({"kind": ["a", "b"] * 30, "size": np.linspace(0, 1, 60)})
        >>> posterior = fit_mixed(theta, theta[["size"]].to_numpy(), recipe=replace(Recipe(), settings=QUICK))
        >>> list(posterior.sample([0.3], 2).columns)
        ['kind', 'size']
    """
    recipe = recipe or Recipe()
    discrete = [name for name in theta.columns if not _is_number(theta[name])]
    numbers = [name for name in theta.columns if name not in discrete]
    if not discrete or not numbers:
        raise ValueError(
            f"codes and numbers are needed, got {len(discrete)} discrete parameters and {len(numbers)} numbers; for "
            "numbers alone take PosteriorEstimator."
        )
    codes = _combinations(theta, discrete)
    code, observed = _code_numbers(theta, codes), as_observations(x)
    count = len(codes[discrete[0]])
    first = replace(recipe, settings=recipe.part(_CODES_SHARE))
    codec, network = _fit_codes(code, observed, count, first, part(report, 0, _CODES_SHARE))
    rest = replace(recipe, settings=recipe.part(1 - _CODES_SHARE))
    estimator = PosteriorEstimator(prior, recipe=rest, by="score", seed=recipe.settings.seed)
    joined = _joined(observed, code, count)
    estimator.fit(theta[numbers], joined, report=part(report, _CODES_SHARE, 1))
    return MixedPosterior(tuple(map(str, theta.columns)), codes, network, codec, estimator.fitted)


def _fit_codes(
    code: Tensor, x: Tensor, count: int, recipe: Recipe, report: Report
) -> tuple[ObservationCodec, NetworkOfCodes]:
    """The classifier: from the frequencies, by as much of a network as held-out simulations bear out."""
    codec = ObservationCodec.measured(x)
    pairs = Pairs.split(code[:, None].double(), codec.encode(x), recipe.settings.seed)
    frequency = torch.bincount(code, minlength=count).double() / len(code)
    reader = VectorReader(codec.columns, recipe.width, holes=codec.holes)
    network = NetworkOfCodes(reader, frequency.log().float(), recipe.settings.seed)
    trained(network, pairs.y.float(), pairs, _CrossEntropy(pairs.z, LEVELS), recipe.settings, report)
    held, answer = pairs.y[pairs.trained :, 0].long(), pairs.z[pairs.trained :]
    network.shrink(min(SHARES, key=lambda share: _held_loss(network, answer, held, share)))
    return codec, network


@torch.no_grad()
def _held_loss(network: NetworkOfCodes, z: Tensor, code: Tensor, share: float) -> float:
    return float(cross_entropy(network(z, share), code))


def _is_number(column: pd.Series) -> bool:
    return column.dtype.kind in "fiu" if isinstance(column.dtype, np.dtype) else False


def _combinations(theta: pd.DataFrame, discrete: list[str]) -> dict[str, tuple[Any, ...]]:
    """The combinations of codes that occur, in the order of their values."""
    if bool(theta[discrete].isna().any().any()):
        raise ValueError("a discrete parameter is missing in some simulation; every simulation has its parameters.")
    seen = theta[discrete].drop_duplicates().sort_values(discrete, key=lambda column: column.astype(str))
    if len(seen) > _MOST:
        raise ValueError(
            f"the discrete parameters {shown(discrete)} have {len(seen)} combinations, more than {_MOST}; give those "
            "with an order as numbers."
        )
    return {str(name): tuple(seen[name].tolist()) for name in discrete}


def _code_numbers(theta: pd.DataFrame, codes: Mapping[str, tuple[Any, ...]]) -> Tensor:
    """Which combination each row has, -1 for one that never occurred."""
    place = {values: k for k, values in enumerate(zip(*codes.values(), strict=True))}
    rows = zip(*(theta[name].tolist() for name in codes), strict=True)
    return torch.tensor([place.get(row, -1) for row in rows], dtype=torch.int64)


def _joined(x: Tensor, code: Tensor, count: int) -> Tensor:
    """Observations, one for all or one for each, with their combination one-hot behind."""
    return torch.cat([x.expand(len(code), -1), one_hot(code, count).double()], 1)


QUICK = replace(Recipe().settings, seconds=None, steps=2)
"""A training that is none, for trials."""
