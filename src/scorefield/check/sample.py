"""Is this sample from this run's law? A Stein test by the run's score, and a two-sample test by its draws.

The sample is noised, and the noised density's score is the model's at that level: records need no density of their
own. A score that is only nearly that of the run's own draws would reject every large sample, so that draws of the run,
as many as the sample has, go through the same test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scorefield import metrics, runs
from scorefield.check.tables import whole
from scorefield.core import Level
from scorefield.data import DataError
from scorefield.metrics.samples import random_order
from scorefield.numerics.random import noise_like
from scorefield.records.held import held_out as held_records
from scorefield.records.trained import TrainedModel
from scorefield.tables.held import held_out as held_rows
from scorefield.tables.trained import TrainedTable

_ROWS, _LEAST = 1000, 20  # of a sample that are tested
_SIGMA = 0.2  # standard deviations of noise
_DRAWS = 499  # signs and relabellings
_BATCH = 1024
LEVEL = 0.05
"""Below which a p-value speaks against a sample."""
_TRUSTED = 0.01  # below which the score does not fit the run's own draws


@dataclass(frozen=True)
class SampleCheck:
    """Whether a sample is from a run's law; `str` is the verdict in words.

    Args:
        rows: of the sample that were tested.
        stein: p-value of the Stein test of the sample by the run's score; None: there are no numbers to test.
        own: that of as many draws of the run.
        draws: p-value of the two-sample test of the sample and draws of the run.
        note: what was not tested, and why.
    """

    rows: int
    stein: float | None
    own: float | None
    draws: float
    note: str = ""

    @property
    def trusted(self) -> bool:
        """Whether the run's score fits its own draws, so that the Stein test says something."""
        return self.stein is not None and self.own is not None and self.own >= _TRUSTED

    @property
    def p_value(self) -> float:
        """Of both tests together (Bonferroni); of the draws alone where the score does not fit them."""
        if self.stein is None or not self.trusted:
            return self.draws
        return min(1.0, 2 * min(self.stein, self.draws))

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the sample."""
        return self.p_value >= LEVEL

    def __str__(self) -> str:
        p = f"p = {self.p_value:.3g}, {self.rows:,} rows"
        lines = [
            f"Nothing speaks against this sample being from the run's law ({p})."
            if self.passed
            else f"This sample is not from the run's law ({p})."
        ]
        if self.stein is not None:
            lines.append(
                f"By the run's score (kernel Stein test): p = {self.stein:.3g}; its own draws: {self.own:.3g}."
            )
            if not self.trusted:
                lines.append("The score does not fit the run's own draws, so that only these decide here.")
        lines.append(f"By draws of the run (maximum mean discrepancy): p = {self.draws:.3g}.")
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def to_json(self) -> dict[str, Any]:
        """As a JSON-able dict."""
        found = {name: getattr(self, name) for name in ("passed", "p_value", "rows", "stein", "own", "draws", "note")}
        return {**found, "verdict": str(self)}


class _Question(NamedTuple):
    """What is tested.

    Args:
        sample: for the two-sample test, `(n, k)`.
        draws: of the run, `(n, k)`.
        noised: of the sample, for the Stein test, `(n, *shape)`; None: nothing has a score.
        score: of the noised law, at the rows of `noised`.
        own: draws of the run, noised.
        own_score: at the rows of `own`.
    """

    sample: Tensor
    draws: Tensor
    noised: Tensor | None = None
    score: Callable[[Tensor], Tensor] | None = None
    own: Tensor | None = None
    own_score: Callable[[Tensor], Tensor] | None = None


@torch.no_grad()
def of_sample(model: Any, sample: Any, *, seed: int = 0) -> SampleCheck:
    """Whether a sample is from a trained model's law.

    Args:
        model: of records or of a table.
        sample: as `check.laws(data=...)`; of what the model was fitted to the rows that it held out.
        seed: of noise, draws and tests.

    Raises:
        DataError: for a sample that cannot be read, does not fit the model, or is too small.
        ValueError: for a run of another kind.
    """
    form = runs.kind_of_model(model).form
    if form not in _QUESTIONS:
        raise ValueError(
            "a sample is compared with runs of records and tables; a posterior's calibration is proved by held-out "
            "simulations: `scorefield check RUN`."
        )
    q, note = _QUESTIONS[form](model, sample, seed)
    two = metrics.mmd(q.sample, q.draws, permutations=_DRAWS, seed=seed).p_value
    if q.noised is None or q.score is None or q.own is None or q.own_score is None:
        return SampleCheck(len(q.sample), None, None, two, note)
    stein, own = (
        metrics.stein_test(s, x, bootstraps=_DRAWS, seed=seed).p_value
        for s, x in ((q.score, q.noised), (q.own_score, q.own))
    )
    return SampleCheck(len(q.sample), stein, own, two, note)


def _some(n: int, name: object, seed: int) -> Tensor:
    """Which rows are tested."""
    if n < _LEAST:
        raise DataError(f"{name}: {n} rows are too few to say anything; give at least {_LEAST}.")
    return random_order(n, seed, "check sample", torch.zeros(()))[:_ROWS]


def _of_records(model: TrainedModel, sample: str | Path, seed: int) -> tuple[_Question, str]:
    held = held_records(model, sample, seed=seed)
    if held.x is None:
        raise DataError(f"{sample}: there are no records in it.")
    some = _some(len(held.x), sample, seed).to(held.x.device)
    x = held.x[some]
    own = model.codec.encode(model.sample(len(x), seed=seed)).to(x)
    level = Level(1.0, max(_SIGMA * model.model.sigma_data, model.model.sigma_min))
    given = None if held.condition is None else held.condition[some]
    classes = None if given is None else model.conditions(len(x), seed=seed)

    def score_of(condition: Tensor | None) -> Callable[[Tensor], Tensor]:
        def score(z: Tensor) -> Tensor:
            parts = []
            for start in range(0, len(z), _BATCH):
                part = slice(start, start + _BATCH)
                mine = None if condition is None else condition[part].to(z.device)
                parts.append(model.model(z[part].to(x.dtype), level, mine).score(level))
            return torch.cat(parts).to(z)

        return score

    noised, own_noised = (
        level.noised(rows, noise_like(rows, seed, f"check {name}")) for name, rows in (("sample", x), ("own", own))
    )
    q = _Question(x.flatten(1), own.flatten(1), noised, score_of(given), own_noised, score_of(classes))
    return q, held.note


def _of_table(model: TrainedTable, sample: str | Path, seed: int) -> tuple[_Question, str]:
    held = held_rows(model, sample)
    rows = held.rows
    if rows is None:
        raise DataError(f"{sample}: there are no rows in it.")
    encoded, numbers = model.codec.encode(rows, seed=seed), model.layout.numbers
    there = encoded[:, :numbers].isfinite().all(1) & encoded[:, numbers:].isfinite().all(1)
    notes = [held.note] if held.note else []
    if not bool(there.all()):
        notes.append(
            f"{int((~there).sum()):,} rows with holes, or without a number that only some rows have, were left out."
        )
    encoded = encoded[there]
    encoded = encoded[_some(len(encoded), sample, seed)]
    empty = torch.full((2 * len(encoded), *model.codec.shape), torch.nan, dtype=torch.float64)
    own = model.draws(empty, 1, seed=seed)[0]
    own = own[own.isfinite().all(1)][: len(encoded)]
    if len(own) < len(encoded):  # columns that exist in some rows alone
        encoded = encoded[: max(len(own), 2)]
    sample_rows, own_rows = (_features(model, part) for part in (encoded, own))
    if model.layout.codes:
        notes.append("The score covers the numbers given the codes of their rows; codes are compared by draws alone.")
    if not numbers or len(own) < _LEAST:
        return _Question(sample_rows, own_rows), " ".join(notes)
    level = Level(1.0, max(_SIGMA * model.model.sigma_data, model.model.sigma_min))

    def score_of(given: Tensor) -> Callable[[Tensor], Tensor]:
        bound = model.model.bound(whole(model, given))
        return lambda z: bound(z, level).score(level)

    noised, own_noised = (
        level.noised(part[:, :numbers], noise_like(part[:, :numbers], seed, f"check {name}"))
        for name, part in (("sample", encoded), ("own", own))
    )
    q = _Question(sample_rows, own_rows, noised, score_of(encoded), own_noised, score_of(own))
    return q, " ".join(notes)


def _features(model: TrainedTable, rows: Tensor) -> Tensor:
    """Numbers, and a column for each value of a code."""
    numbers = model.layout.numbers
    codes = [
        torch.nn.functional.one_hot(rows[:, numbers + j].long(), size).double()
        for j, size in enumerate(model.codec.sizes)
    ]
    return torch.cat([rows[:, :numbers], *codes], 1)


_QUESTIONS: Mapping[str, Callable[[Any, Any, int], tuple[_Question, str]]] = {
    runs.RECORDS.form: _of_records,
    runs.TABLES.form: _of_table,
}
"""For each kind of data that has a score what is tested."""
