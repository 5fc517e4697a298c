"""Combinations of codes that occurred in training: counted, kept by draws of a design, stored with the run."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.tables.code_table import CodeTable, fit_code_table
from scorefield.tables.codec import fit_row_codec
from scorefield.tables.fit import fit_frame, settings_for
from scorefield.tables.frequencies import numbers_of_codes
from scorefield.tables.network import MaskedMLP
from scorefield.tables.trained import TrainedTable

ROWS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
FLAT = (torch.full((1, 2), math.log(1 / 2)).double(), torch.full((1, 3), math.log(1 / 3)).double())


def table(*rates: float) -> CodeTable:
    return CodeTable(ROWS, torch.tensor([3.0, 1.0, 4.0]).double(), torch.tensor(rates).double(), (2, 3))


def test_counts_beside_the_network() -> None:
    """(c + rate q) / (C + rate): of the four rows with a first code 0, three have a second code 0, one has 1."""
    given = torch.tensor([[math.inf, 0.0, math.nan]])
    found = table(math.inf, 1.5).blended(FLAT, given)
    assert torch.equal(found[0], FLAT[0])
    expected = torch.tensor([[3 + 0.5, 1 + 0.5, 0.5]]).double() / 5.5
    torch.testing.assert_close(found[1].exp(), expected)
    first = table(2.0, 1.0).blended(FLAT, torch.tensor([[math.nan, math.nan, math.nan]]))[0].exp()
    torch.testing.assert_close(first, torch.tensor([[4 + 1.0, 4 + 1.0]]).double() / 10)
    unseen = table(1.0, 1.0).blended(FLAT, torch.tensor([[math.inf, 1.0, math.nan]]))[1].exp()
    torch.testing.assert_close(unseen, torch.tensor([[1 / 3, 1 / 3, 4 + 1 / 3]]).double() / 5)


def test_where_a_number_is_given_the_network_decides() -> None:
    given = torch.tensor([[0.3, 0.0, math.nan]])
    assert all(torch.equal(a, b) for a, b in zip(table(1.0, 1.0).blended(FLAT, given), FLAT, strict=True))


def test_bad_tables() -> None:
    with pytest.raises(ValueError, match="rates > 0"):
        table(0.0, 1.0)
    with pytest.raises(ValueError, match="rows"):
        CodeTable(ROWS, torch.ones(2), torch.ones(2), (2, 3))


def test_independent_codes_need_no_table() -> None:
    rng = np.random.default_rng(0)
    rows = torch.tensor(np.column_stack([rng.integers(0, 2, 500), rng.integers(0, 3, 500)]), dtype=torch.float64)

    def uniform(given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(part.repeat(len(given), 1) for part in FLAT)

    assert fit_code_table(uniform, 0, (2, 3), rows[:400], rows[400:]) is None
    assert fit_code_table(uniform, 0, (2, 3), rows[:400], rows[:0]) is None
    design = torch.stack([rows[:, 0], rows[:, 0] + 1], 1)
    found = fit_code_table(uniform, 0, (2, 3), design[:400], design[400:])
    assert found is not None and float(found.rates[1]) <= 1.0


def test_few_held_out_rows_do_not_loosen_a_design() -> None:
    """A second code that is a function of the first, 7 rows each: 110 rows left out show what 44 held-out ones cannot.

    Of 154 rows none has a combination that no other has: one more has one with a probability of about 1 / 155.
    """
    sizes, rng = (22, 22), np.random.default_rng(0)
    first = torch.from_numpy(rng.permutation(np.repeat(np.arange(22), 7))).double()
    rows = torch.stack([first, (5 * first) % 22], 1)
    flat = tuple(torch.full((1, size), -math.log(size), dtype=torch.float64) for size in sizes)
    found = fit_code_table(lambda given: tuple(p.repeat(len(given), 1) for p in flat), 0, sizes, rows[:110], rows[110:])
    assert found is not None and math.isinf(found.rates[0])
    mixed = found.blended(tuple(p.repeat(22, 1) for p in flat), torch.tensor([[k, math.nan] for k in range(22)]))[1]
    loss = 1 - mixed.exp()[torch.arange(22), (5 * torch.arange(22)) % 22]
    assert float(loss.mean()) < 2 / 155


def test_one_new_combination_in_each_ten_rows_is_left_to_the_network() -> None:
    sizes, rng = (4, 40), np.random.default_rng(0)
    first = rng.integers(0, 4, 300)
    second = np.where(rng.random(300) < 0.1, rng.integers(4, 40, 300), first)
    rows = torch.from_numpy(np.column_stack([first, second])).double()
    flat = tuple(torch.full((1, size), -math.log(size), dtype=torch.float64) for size in sizes)
    found = fit_code_table(lambda given: tuple(p.repeat(len(given), 1) for p in flat), 0, sizes, rows[:250], rows[250:])
    assert found is not None
    share = float(found.rates[1]) / (250 / 4 + float(found.rates[1]))  # of a new row, that the network decides
    assert 0.02 < share < 0.4


@pytest.fixture(scope="module")
def design() -> tuple[pd.DataFrame, TrainedTable]:
    """Eight combinations of 64, ten rows each, with an answer."""
    rng = np.random.default_rng(1)
    place = np.tile(np.arange(8), 20)
    frame = pd.DataFrame({"a": place % 4, "b": (place * 3 + place // 4) % 4, "c": place // 2})
    frame["answer"] = frame.a + 0.1 * rng.standard_normal(len(frame))
    return frame, fit_frame(frame, settings=settings_for(len(frame), steps=40), size="small")


def test_a_design_is_kept(design: tuple[pd.DataFrame, TrainedTable]) -> None:
    """The network of 40 steps knows little; a rate of 0.3 rows leaves it at most 2 % of a step where 18 rows are."""
    frame, model = design
    own = set(map(tuple, frame[["a", "b", "c"]].to_numpy().tolist()))
    new = model.sample(400, seed=1)
    assert np.mean([tuple(row) in own for row in new[["a", "b", "c"]].to_numpy().tolist()]) > 0.9


def test_the_table_is_stored(design: tuple[pd.DataFrame, TrainedTable], tmp_path: Path) -> None:
    frame, model = design
    model.save(tmp_path)
    again = TrainedTable.load(tmp_path)
    assert again.model.code_table is not None
    pd.testing.assert_frame_equal(again.sample(50, seed=2), model.sample(50, seed=2))
    assert torch.equal(again.log_density(frame[:5]).value, model.log_density(frame[:5]).value)


def test_the_network_sees_the_numbers_behind_codes(design: tuple[pd.DataFrame, TrainedTable]) -> None:
    _, model = design
    values = numbers_of_codes(model.codec)
    assert [len(part) for part in values] == [4, 4, 4]
    assert all(abs(sum(part)) < 1e-9 and abs(sum(v * v for v in part) / 4 - 1) < 1e-9 for part in values)
    heaped = pd.DataFrame({"a": np.r_[np.repeat([10.0, 20.0, 30.0], 40), np.linspace(1, 39, 80)]})
    (atoms,) = numbers_of_codes(fit_row_codec(heaped))
    assert atoms[:1] == [0.0] and atoms[1:] == pytest.approx([-(1.5**0.5), 0.0, 1.5**0.5])
    net = MaskedMLP(1, (3, 2), width=8, depth=1, values=[[-1.0, 0.0, 1.0], []])
    assert MaskedMLP(**net.config).config == net.config
    assert net.inputs.weight.shape[1] == MaskedMLP(1, (3, 2), width=8, depth=1).inputs.weight.shape[1] + 1
    with pytest.raises(ValueError, match="as many values"):
        MaskedMLP(1, (3, 2), width=8, depth=1, values=[[1.0], []])
