"""A trained model of a table: new rows, densities, filled holes and predictions, in the user's own columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from scorefield import _ranges
from scorefield._memory import lacking
from scorefield.likelihood import LogDensity
from scorefield.plans import Plan, default
from scorefield.progress import Report, silent
from scorefield.tables.cell_density import cell_log_density, chosen
from scorefield.tables.cells import Unseen
from scorefield.tables.codec import RowCodec
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.density import average_over_draws, log_density_of_draws
from scorefield.tables.frequencies import log_probability
from scorefield.tables.given import Given, conditions
from scorefield.tables.impute import complete
from scorefield.tables.mixture import log_densities
from scorefield.tables.recalibration import Recalibration
from scorefield.tables.repeats import Repeats
from scorefield.tables.restricted import Restriction
from scorefield.tables.restricted_repeats import with_repeats
from scorefield.tables.row_model import Layout
from scorefield.tables.schema import Name
from scorefield.tables.series import as_frame
from scorefield.tables.stored import Parts, read, stored
from scorefield.training import model_folder

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
"""Version of the folder's layout."""
FORM = "scorefield table"
"""What model.json calls such a folder."""
FAR = 50.0
"""Standard deviations beyond which a number is far from all that was learned."""
_ROWS = 4096  # of all draws together
_DRAWS = 3  # of the noise in cells, where a density is the probability of a cell


@dataclass(frozen=True)
class TrainedTable:
    """One model of a table's rows, for every question: a folder of JSON and safetensors, no pickle.

    The law of a row is that of its codes, one after another, times the density of its numbers given the codes. A
    log-density is in nats per row in the user's units, relative to Lebesgue measure for continuous columns and times,
    and to counting measure for categories, ordinals, whole numbers and atoms; constants and copies are left out. A row
    with holes has the marginal density of what is there.

    Args:
        model: of encoded rows.
        codec: data frame <-> encoded rows.
        plans: by number of evaluations; `plans.default(n)` for the others.
        info: what else is known of it (data, training, version), JSON-able.
        training_log_densities: of training rows, ascending `(m,)`: what `percentile` compares with.
        recalibration: of predictions and of single holes, by held-out rows; None: the model's own law.
        repeats: values of some columns that recur together, and how often a new row has them; None: no columns do.
    """

    model: MaskedDenoiser
    codec: RowCodec
    plans: Mapping[int, Plan] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    training_log_densities: Tensor | None = None
    recalibration: Recalibration | None = None
    repeats: Repeats | None = None

    # --------------------------------------------------------------------------------------------------- answers

    def sample(
        self,
        n: int,
        *,
        steps: int = 18,
        plan: Plan | None = None,
        seed: int | Tensor = 0,
        first: int | Tensor = 0,
        given: Given | None = None,
        repeats: bool = True,
        report: Report = silent,
    ) -> pd.DataFrame:
        """Draw n new rows, without holes; where conditions are given, from the law of rows that fulfil them.

        Values that recurred together in training (`Repeats`) recur as often in new rows; the other columns are drawn
        given them. Under conditions a combination has the weight that Bayes' rule gives it.

        Args:
            n: how many, >= 0.
            steps: evaluations of the network for the numbers of a row; each code takes one more.
            plan: how to step; default: the stored plan for `steps`, else `plans.default(steps)`.
            seed: row i is a pure function of (seed, first + i), up to the rounding of matrix kernels; or, without
                conditions, `(n,)` int64 seeds, one for each row.
            first: index of the first row; or likewise `(n,)` indices.
            given: what must hold, by column: a value, or `Among`, `Except`, `Between`, or several of these; see
                `scorefield.tables.given`.
            repeats: whether combinations of values may be those of a row of training, where such combinations recur.
            report: hears how far the work is.

        Raises:
            ValueError: for conditions that the model knows nothing of, or that are too rare.
        """
        _ranges.ANY_COUNT("sample(n=...)", n)
        if not isinstance(first, Tensor):
            _ranges.ANY_COUNT("sample(first=...)", first)
        too_much = lacking(4 * 8 * n * self.codec.shape[0])
        if too_much:
            raise ValueError(f"sample(n={n}) {too_much}; draw parts of it, with first=...")
        rows, plan = torch.full((n, *self.codec.shape), math.nan, dtype=torch.float64), plan or self.plan(steps)
        own = self.recalibration if given else None
        if given:
            if isinstance(seed, Tensor) or isinstance(first, Tensor):
                raise ValueError("rows that fulfil conditions are drawn by one seed and a first index, not by tensors.")
            wanted, scale = conditions(given), self.model.sigma_data
            asked = Restriction.of(self.model, self.layout, self.codec, plan, own, wanted, scale)
            if repeats and self.repeats is not None and self.repeats.exact:
                asked = with_repeats(asked, self.repeats, self.codec)
            rows = asked.rows(n, seed=seed, first=first, report=report)
        elif repeats and self.repeats is not None:
            rows = self.repeats.begun(rows, seed, first)
        filled = complete(self.model, self.layout, rows, plan, seed=seed, first=first, recalibration=own, report=report)
        return self.codec.decode(filled)

    def impute(
        self,
        table: pd.DataFrame | np.ndarray,
        *,
        draws: int = 1,
        steps: int = 18,
        seed: int = 0,
        first: int = 0,
        report: Report = silent,
    ) -> list[pd.DataFrame]:
        """Fill the holes of a table: draws from their law given what is there (multiple imputation; Rubin 1987).

        Args:
            table: the columns of training in any order; holes are missing values.
            draws: how many completed tables.
            steps: evaluations of the network per row and draw.
            seed: draw k of row i is a pure function of (seed, first + i, k).
            first: index of the first row.
            report: hears how far the work is.

        Returns:
            `draws` data frames; what was there is returned as it came.
        """
        frame = self._frame(table)
        rows = self.codec.encode(frame)
        filled = self.draws(rows, draws, steps=steps, seed=seed, first=first, report=report)
        return [self._patched(frame, self.codec.decode(part, index=list(frame.index))) for part in filled]

    def draws(
        self,
        rows: Tensor,
        draws: int,
        *,
        steps: int = 18,
        seed: int = 0,
        first: int = 0,
        report: Report = silent,
    ) -> Tensor:
        """Encoded rows `(n, entries)` with holes, completed `draws` times: `(draws, n, entries)`."""
        _ranges.DRAWS("draws", draws)
        too_much = lacking(2 * 8 * draws * rows.numel())
        if too_much:
            raise ValueError(f"{draws} draws of {len(rows):,} rows: this {too_much}; draw fewer, or for fewer rows.")
        index = torch.arange(first, first + len(rows)) + (torch.arange(draws)[:, None] << 32)
        filled = complete(
            self.model,
            self.layout,
            rows.repeat(draws, 1),
            self.plan(steps),
            seed=seed,
            first=index.flatten(),
            batch=min(_ROWS, self.model.rows_at_once),
            recalibration=self.recalibration,
            report=report,
        )
        return filled.reshape(draws, *rows.shape)

    def sample_column(
        self,
        table: pd.DataFrame | np.ndarray,
        target: Name,
        *,
        draws: int,
        steps: int = 18,
        seed: int = 0,
        first: int = 0,
    ) -> np.ndarray:
        """Draws from `p(target | the other columns)`, those of a row, `(n, draws)` in the column's own type.

        Args:
            table: the other columns; a target column in it is not looked at.
            target: name of a column.
            draws: how many for each row.
            steps: evaluations of the network.
            seed: of the draws.
            first: index of the first row.
        """
        rows = self.codec.encode(self.without(table, target))
        filled = self.draws(rows, draws, steps=steps, seed=seed, first=first)
        return np.stack([self.codec.decode(part)[target].to_numpy() for part in filled], 1)

    def log_density(
        self,
        table: pd.DataFrame | np.ndarray,
        target: Name | None = None,
        *,
        draws: int | None = None,
        tolerance: float = 1e-3,
        evaluations: int | None = None,
        seed: int = 0,
        unseen: Unseen | Literal["impossible"] = "error",
        report: Report = silent,
    ) -> LogDensity:
        """`log p(row)` in nats, of what is there of each row; with a target, `log p(target | the other columns)`.

        Of the data noised at the model's sigma_min (0.002 standard deviations of each number). A row with a number more
        than 50 standard deviations from its mean has the `reference_log_density`: no network knows anything there.

        Args:
            table: the columns of training in any order.
            target: name of a column.
            draws: of the noise within cells of whole numbers, averaged over; default: 3 where there are such columns.
            tolerance: of the ODE, in nats.
            evaluations: instead of a tolerance.
            seed: of the draws.
            unseen: what is done with values that no training row has room for (a new category, a number beyond a
                bound): "error", "missing" (as if not there), or "impossible" (a density of 0, minus infinity).
            report: hears how far the work is.

        Returns:
            Values, standard errors of the average over draws (0 without), intervals of 95 %, errors of the solver.
        """
        _ranges.TOLERANCE("log_density(tolerance=...)", tolerance)
        if evaluations is not None:
            _ranges.EVALUATIONS("log_density(evaluations=...)", evaluations)
        if draws is not None:
            _ranges.DRAWS("log_density(draws=...)", draws)
        frame = self._frame(table)
        rows = self.codec.encode(frame, unseen="error" if unseen == "error" else "missing")
        queried = None if target is None else self._entries(target, rows)
        found = self._of_encoded(rows, queried, draws, tolerance, evaluations, seed, report)
        if unseen == "impossible":
            impossible = torch.from_numpy(self.codec.misfits(frame).any(1))
            shift = torch.zeros_like(found.value).masked_fill(impossible, -math.inf)
            found = replace(found, value=found.value + shift, interval=found.interval + shift[:, None])
        return found

    def log_density_of_each(
        self,
        table: pd.DataFrame,
        targets: Sequence[Name],
        *,
        tolerance: float = 1e-2,
        seed: int = 0,
        report: Report = silent,
    ) -> Tensor:
        """`log p(target | the other columns)` of several columns in one pass, `(n, targets)`: see `log_density`.

        Args:
            table: the columns of training in any order.
            targets: names of columns.
            tolerance: of the ODE, in nats.
            seed: of the noise within cells, of which one is drawn.
            report: hears how far the work is.
        """
        rows = self.codec.encode(table)
        queried = torch.cat([self._entries(target, rows) for target in targets])
        found = self._of_encoded(rows.repeat(len(targets), 1), queried, 1, tolerance, None, seed, report)
        return found.value.reshape(len(targets), len(rows)).T

    def _of_encoded(
        self,
        rows: Tensor,
        queried: Tensor | None,
        draws: int | None,
        tolerance: float,
        evaluations: int | None,
        seed: int,
        report: Report,
    ) -> LogDensity:
        """The log-densities of encoded rows, of some entries `(n, entries)` of each given the others, or of all."""
        counting = self._counting
        count = draws or (_DRAWS if counting else 1)
        far = self.is_far(rows)
        near = rows.masked_fill(far[:, None], math.nan)  # which has the density 1, in no time
        if queried is None and count > 1 and self.model.reference is not None:
            number = _number_of(near)
            drawn = chosen(self.model, partial(self._spread, near, number, seed), number, count, seed)
            found = [cell_log_density(self.model, self.layout, drawn, tolerance, evaluations, report)]
        else:
            noised = self._noised(near, count, seed, counting or draws is not None)
            found = log_density_of_draws(self.model, self.layout, noised, queried, tolerance, evaluations, seed, report)
        shift = self.codec.log_det_encoded(rows if queried is None else rows.masked_fill(~queried, math.nan))
        if bool(far.any()):
            shift[far] = self._far_log_density(rows[far], None if queried is None else queried[far], seed)
        return average_over_draws(found, shift)

    def is_far(self, rows: Tensor) -> Tensor:
        """Which encoded rows have a number more than 50 standard deviations from its mean, `(n,)`."""
        return (rows[:, : self.codec.continuous].nan_to_num().abs() > FAR).any(1)

    def reference_log_density(self, rows: Tensor, draws: int = 1, seed: int = 0) -> Tensor:
        """The log-density of encoded rows by the mixture and the codes' frequencies, without the network, `(n,)`.

        In the user's units, of what is there of each row; cells are averaged over as `log_density` does.
        """
        numbers = self.codec.continuous
        total = self.codec.log_det_encoded(rows) + log_probability(self.model.log_frequencies, self.codec, rows)
        if self.model.reference is None:
            return total
        noised = self._noised(rows, draws, seed, self._counting)
        found = torch.stack([log_densities(self.model.law, part[:, :numbers]) for part in noised])
        return total + torch.logsumexp(found, 0) - math.log(len(found))

    def percentile(self, values: Tensor) -> Tensor:
        """The share of training rows with a smaller log-density, in percent `(n,)`: small for outliers."""
        if self.training_log_densities is None or not len(self.training_log_densities):
            raise ValueError("this model was saved without the densities of its training rows; fit it again.")
        place = torch.searchsorted(self.training_log_densities, values.double().contiguous(), right=True)
        return 100.0 * place.double() / len(self.training_log_densities)

    def plan(self, steps: int) -> Plan:
        """The plan that `steps` evaluations take."""
        model = self.model
        return self.plans.get(steps) or default(
            steps,
            scale=model.sigma_data,
            sigma_min=model.sigma_min,
            sigma_max=model.sigma_max,
            dimensions=max(1, self.layout.numbers),
        )

    @property
    def layout(self) -> Layout:
        """What the entries of an encoded row are."""
        return Layout(self.codec.continuous, len(self.codec.sizes), self.codec.gates, self.codec.walls)

    # ------------------------------------------------------------------------------------------------ the folder

    def save(self, folder: str | Path) -> None:
        """Write `model.json` and `model.safetensors`, atomically each, the weights first."""
        model_folder.save(Path(folder), FORM, FORMAT, *stored(Parts(**vars(self))))

    @staticmethod
    def load(folder: str | Path, device: torch.device | str = "cpu") -> TrainedTable:
        """Read the folder that `save` or `scorefield fit` wrote.

        Raises:
            FileError: for a missing, truncated or foreign file, or weights that belong to another model.json.
        """
        return model_folder.load(Path(folder), FORM, FORMAT, "scorefield table", partial(_made, device=device))

    # -------------------------------------------------------------------------------------------------- helpers

    def _frame(self, table: pd.DataFrame | np.ndarray) -> pd.DataFrame:
        return as_frame(table, list(self.codec.schema.names)) if isinstance(table, np.ndarray) else table

    def without(self, table: pd.DataFrame | np.ndarray, target: Name) -> pd.DataFrame:
        """The table with holes in its target column, which need not be there; a ValueError for an unknown one."""
        names = list(self.codec.schema.names)
        if target not in names:
            raise ValueError(f"there is no column {target!r}; the columns are {', '.join(map(repr, names[:12]))}.")
        if isinstance(table, np.ndarray):
            table = as_frame(table, [name for name in names if name != target])
        empty = self.codec.decode(torch.full((len(table), *self.codec.shape), math.nan, dtype=torch.float64))
        out = table.drop(columns=[target], errors="ignore")
        out[target] = empty[target].to_numpy()  # names may be numbers
        return out

    def _entries(self, target: Name, rows: Tensor) -> Tensor:
        """Which entries are a column's, `(n, entries)`."""
        queried = torch.zeros_like(rows, dtype=torch.bool)
        queried[:, list(self.codec.entries_of(target))] = True
        return queried

    def _far_log_density(self, rows: Tensor, queried: Tensor | None, seed: int) -> Tensor:
        whole = self.reference_log_density(rows, seed=seed)
        if queried is None:
            return whole
        return whole - self.reference_log_density(rows.masked_fill(queried, math.nan), seed=seed)

    @property
    def _counting(self) -> bool:
        """Whether the density of some column is the probability of its cells."""
        return self.codec.counting

    def _spread(self, rows: Tensor, number: Tensor, seed: int, some: slice, draw: int, point: int) -> Tensor:
        """Some of the rows, with a point of a draw of noise in their cells."""
        return self.codec.dequantise(rows[some], seed, draw, first=number[some], point=point)

    def _noised(self, rows: Tensor, count: int, seed: int, noisy: bool) -> list[Tensor]:
        if not noisy:
            return [rows]
        number = _number_of(rows)
        return [self.codec.dequantise(rows, seed, k, first=number) for k in range(count)]

    def _patched(self, frame: pd.DataFrame, filled: pd.DataFrame) -> pd.DataFrame:
        """The table with values put into its holes, and nothing else changed."""
        out = frame.copy()
        for name in self.codec.schema.names:
            holes = frame[name].isna()
            if bool(holes.any()):
                own = frame[name]
                if own.dtype.kind == "i" and filled[name].dtype.kind == "f":  # whole numbers by chance
                    own = own.astype(filled[name].dtype)
                out[name] = own.where(~holes, filled[name])
        return out


def _number_of(rows: Tensor) -> Tensor:
    """An int64 for each row that follows from its values, `(n,)`: noise by it does not depend on where a row stands."""
    bits = rows.double().nan_to_num(nan=1e300).contiguous().view(torch.int64)
    odd = 2 * torch.arange(rows.shape[1]) + 0x9E3779B97F4A7C1
    return (bits * odd).sum(1)


def _made(header: dict[str, Any], tensors: dict[str, Tensor], device: torch.device | str) -> TrainedTable:
    return TrainedTable(*read(header, tensors, device))
