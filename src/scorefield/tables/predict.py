"""The law of one column of numbers given the rest of its row, without Monte Carlo."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scorefield.data.dataset import Array
from scorefield.progress import Report, silent
from scorefield.tables.impute import complete
from scorefield.tables.recalibration import share_given
from scorefield.tables.schema import Column, Name
from scorefield.tables.trained import TrainedTable
from scorefield.tables.transforms import Identity
from scorefield.tables.transport import backward, conditional_mean, deviates_of, values_at

_NODES = torch.arange(-22, 23, dtype=torch.float64) / 4  # standard normal deviates, of the trapezoidal rule
_ROWS = 512  # rows that the network sees at a time


@dataclass(frozen=True)
class Prediction:
    """`p(target | the rest of the row)`, its mean, quantiles and draws.

    For a column of codes, and for atoms, the network's probabilities are the law. A number's law is the image of a
    standard normal under the probability-flow ODE, which in one dimension is monotone: the q-quantile of the start goes
    to the q-quantile of the law. The table's `Recalibration`, if it has one, widens or narrows it so that held-out
    values lie within its intervals as often as these say. What a row lacks is integrated out.

    Args:
        table: the model.
        target: name of a column of numbers.
        steps: evaluations of the network for one transported number.
        report: hears how far the work is.

    Raises:
        ValueError: when the target is no column of numbers.
    """

    table: TrainedTable
    target: Name
    steps: int = 18
    report: Report = silent

    def __post_init__(self) -> None:
        if self.column.holds != "numbers" or self.column.kind == "copy":
            raise ValueError(
                f"the target {self.target!r} must be a column of numbers and no copy, got one of kind "
                f"{self.column.kind} that holds {self.column.holds}; draw it with TrainedTable.sample_column."
            )

    @property
    def column(self) -> Column:
        """The target."""
        return self.table.codec.schema[self.target]

    @torch.no_grad()
    def mean(self, rows: Tensor) -> Array:
        """`E[target | the rest]` in the column's units, float64 `(n,)`.

        For a number that enters the model without a transform this is the model's own answer `E[x0 | given]` where
        noise has drowned x, which a recalibration leaves as it is; else the mean over transported nodes.

        Args:
            rows: encoded `(n, entries)`; the target's entries are not looked at.
        """
        column, question = self.column, self.question(rows)
        if column.kind == "constant":
            return np.full(len(rows), float(column.values[0]))
        if not column.floating:
            return self._probabilities(question) @ self._atoms()
        given = self._ordinary(question)
        if isinstance(column.transform, Identity):
            numbers = self.table.layout.numbers
            centre = conditional_mean(self.table.model, given, numbers, self._coordinate)
            ordinary = self._native(centre)
        else:
            weight = torch.softmax(-_NODES.square() / 2, 0).numpy()
            ordinary = self._transported(given, _NODES.expand(len(given), -1)) @ weight
        if not column.atoms:
            return ordinary
        share = self._probabilities(question)
        return np.asarray(share[:, 0] * ordinary + share[:, 1:] @ self._atoms())

    @torch.no_grad()
    def quantiles(self, rows: Tensor, q: Array) -> Array:
        """The q-quantiles of `p(target | the rest)`, float64 `(n, m)`.

        Args:
            rows: encoded `(n, entries)`.
            q: `(m,)` within (0, 1).
        """
        column, question = self.column, self.question(rows)
        if column.kind == "constant":
            return np.full((len(rows), len(q)), float(column.values[0]))
        levels = torch.from_numpy(np.asarray(q, dtype=np.float64)).expand(len(rows), -1)
        if not column.floating:
            return self._among_codes(question, levels.numpy())
        given = self._ordinary(question)
        if not column.atoms:
            return self._rounded(self._transported(given, torch.special.ndtri(levels)))
        return self._among_atoms(question, given, levels.numpy())

    @torch.no_grad()
    def log_gain(self, rows: Tensor) -> Array:
        """By how much the recalibration changes `log p(target | the rest)` of the model, at the rows' targets, `(n,)`.

        Values on atoms, of codes and missing ones: 0. Of whole numbers the change is taken at the cell's centre.

        Args:
            rows: encoded `(n, entries)`, with the target.
        """
        found, own = np.zeros(len(rows)), self.table.recalibration
        if own is None or not self.column.floating:
            return found
        some = rows[:, self._coordinate].isfinite().nonzero()[:, 0]
        given, model = self._ordinary(self.question(rows[some])), self.table.model
        plan, j = backward(model, model.sigma_data), self._coordinate
        z = deviates_of(model, plan, given, self.table.layout.numbers, j, rows[some, j])
        found[some.numpy()] = own.log_gain(z, self._at(given)).numpy()
        return found

    def draws(self, rows: Tensor, count: int, seed: int) -> Array:
        """Draws from `p(target | the rest)`, `(n, count)`; row i's are a pure function of (seed, i)."""
        question = self.question(rows).repeat_interleave(count, 0)
        table = self.table
        plan, own = table.plan(self.steps), table.recalibration
        filled = complete(table.model, table.layout, question, plan, seed=seed, recalibration=own)
        rest = torch.full_like(filled, math.nan)
        entries = list(self.table.codec.entries_of(self.target))
        rest[:, entries] = filled[:, entries]
        drawn = self.table.codec.decode(rest)[self.target].to_numpy(dtype=np.float64)
        return np.asarray(drawn.reshape(len(rows), count))

    def question(self, rows: Tensor) -> Tensor:
        """Rows with the target queried (NaN), and what else is missing hidden (infinite)."""
        out = torch.where(torch.isfinite(rows), rows.double(), torch.inf)
        out[:, list(self.table.codec.entries_of(self.target))] = torch.nan
        return out

    # --------------------------------------------------------------------------------------------------- numbers

    @property
    def _coordinate(self) -> int:
        return self.table.codec.entries_of(self.target)[0]

    def _ordinary(self, question: Tensor) -> Tensor:
        """The question about the number, given that its value lies on no atom."""
        given = question.clone()
        given[:, list(self.table.codec.entries_of(self.target))[1:]] = 0.0
        return given

    def _transported(self, given: Tensor, w: Tensor) -> Array:
        """Where the flow takes standard normal deviates w `(n, m)`, in the column's units, ascending as w is."""
        table = self.table
        z = w if table.recalibration is None else table.recalibration.of_model(w, self._at(given)[:, None])
        numbers, plan = table.layout.numbers, table.plan(self.steps)
        value = self._native(values_at(table.model, plan, given, numbers, self._coordinate, z, self.report))
        # the steps of a plan may swap neighbours where the map is nearly flat: rearranged (Chernozhukov et al. 2010)
        place = w.argsort(1).argsort(1).numpy()
        return np.take_along_axis(np.sort(value, 1), place, 1)

    def _at(self, given: Tensor) -> Tensor:
        """The target's recalibration for each question, `(n, 2)`; zeros without one."""
        own = self.table.recalibration
        return given.new_zeros(len(given), 2) if own is None else own.at(share_given(given), self._coordinate)

    def _native(self, x: Tensor) -> Array:
        """Encoded values in the column's units, not rounded."""
        codec, j = self.table.codec, self._coordinate
        value = self.column.transform.inverse(x.numpy() * codec.std[j] + codec.mean[j])
        return np.asarray(value + self.column.origin, dtype=np.float64)

    def _rounded(self, value: Array) -> Array:
        """Quantiles of whole numbers are whole; those of continuous columns stay between the marks of their scale."""
        column = self.column
        if column.kind != "integer" or column.lattice is None:
            return value
        return column.lattice.inside(value - column.origin, *column.transform.bounds) + column.origin

    # ----------------------------------------------------------------------------------------------------- codes

    def _atoms(self) -> Array:
        """The values behind the codes; of a column with atoms those of the codes 1, 2, ..."""
        column = self.column
        if column.coded:
            return np.array(column.values, dtype=np.float64)
        return np.array(column.atoms, dtype=np.float64) + column.origin

    def _probabilities(self, question: Tensor) -> Array:
        """Of the target's codes, `(n, K)`."""
        numbers = self.table.layout.numbers
        code = self.table.codec.entries_of(self.target)[-1] - numbers
        queried = question.clone()
        queried[:, :numbers] = torch.where(torch.isnan(queried[:, :numbers]), torch.inf, queried[:, :numbers])
        found = [self.table.model.log_codes(part)[code].exp() for part in queried.split(_ROWS)]
        return torch.cat(found).numpy() if found else np.zeros((0, self.column.size))

    def _among_codes(self, question: Tensor, q: Array) -> Array:
        """The first value, in ascending order, at which the probability of it and those below reaches q."""
        order = np.argsort(self._atoms())
        reached = np.cumsum(self._probabilities(question)[:, order], 1)[:, :-1]
        return self._atoms()[order][(reached[:, None, :] < q[:, :, None]).sum(2)]

    def _among_atoms(self, question: Tensor, given: Tensor, q: Array) -> Array:
        """Quantiles of the mixture of atoms and a continuous part."""
        order = np.argsort(self._atoms())
        atoms, share = self._atoms()[order], self._probabilities(question)
        mass, ordinary = share[:, 1:][:, order], share[:, :1]
        grid = self._transported(given, _NODES.expand(len(given), -1))
        nodes = torch.special.ndtr(_NODES).numpy()
        below = np.stack([np.interp(atoms, row, nodes, 0.0, 1.0) for row in grid]) if len(grid) else mass
        start = ordinary * below + np.cumsum(mass, 1) - mass  # P(value < atom)
        passed = (q[:, :, None] > (start + mass)[:, None, :]) * mass[:, None, :]
        rest = (q - passed.sum(2)) / np.maximum(ordinary, 1e-12)
        z = torch.special.ndtri(torch.from_numpy(np.clip(rest, 1e-9, 1 - 1e-9)))
        value = self._rounded(self._transported(given, z))
        for i, atom in enumerate(atoms):
            on = (q >= start[:, i : i + 1]) & (q <= (start + mass)[:, i : i + 1])
            value = np.where(on, atom, value)
        return value
