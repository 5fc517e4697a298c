"""Laws of the comparison with real records: what the model was trained on is known row by row, and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scorefield import TrainedModel
from scorefield.data import Dataset
from scorefield.records.evaluate import Comparison, among, evaluate
from scorefield.records.fit import fit
from scorefield.training.checkpoint import Settings

ROWS, HELD = 300, 30
RNG = np.random.default_rng(0)
TABLES = {  # values that never coincide, and values that often do
    "fine": RNG.normal(size=(2 * ROWS, 3)),
    "coarse": RNG.integers(0, 4, (2 * ROWS, 3)).astype(np.float64),
}


def trained(folder: Path, records: np.ndarray) -> TrainedModel:
    """A run of two steps on a file of these records."""
    np.save(folder / "table.npy", records)
    for _ in fit(folder / "table.npy", folder / "run", settings=Settings(steps=2, batch=32), size="small"):
        pass
    return TrainedModel.load(folder / "run")


@pytest.fixture(scope="module", params=TABLES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, np.ndarray]:
    records = TABLES[request.param]
    return trained(tmp_path_factory.mktemp(request.param), records[:ROWS]), records


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return trained(tmp_path_factory.mktemp("fine"), TABLES["fine"][:ROWS])


def compared(model: TrainedModel, records: np.ndarray) -> Comparison:
    return evaluate(model, Dataset(records, "array", source="other"), steps=2)


def has_memorisation(c: Comparison) -> bool:
    return any(f.name == "memorisation ratio" for f in c.figures)


def test_the_runs_own_data_give_its_held_out_rows(case: tuple[TrainedModel, np.ndarray]) -> None:
    model, records = case
    c = compared(model, records[:ROWS])
    assert len(c.real) == HELD and c.unseen and c.left_out == 0
    assert c.training is not None and c.in_training == int(among(c.real, c.training).sum())


def test_the_training_file_reordered_gives_the_held_out_rows_again(fine: TrainedModel) -> None:
    records = TABLES["fine"][:ROWS]
    own, c = compared(fine, records), compared(fine, records[::-1].copy())
    assert c.unseen and c.in_training == 0 and c.left_out == ROWS - HELD and has_memorisation(c)
    assert np.array_equal(np.sort(c.real, axis=0), np.sort(own.real, axis=0))
    assert "270 of the 300 records given are in the training data and were left out" in c.table()
    assert c.to_json()["left_out"] == 270


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_of_a_file_half_new_the_new_half_is_compared(fine: TrainedModel, dtype: type) -> None:
    assert fine.info["data"]["held"] == HELD
    mixed = TABLES["fine"][ROWS // 2 : 3 * ROWS // 2].astype(dtype).astype(np.float64)
    c = compared(fine, mixed)
    assert c.training is not None
    old = among(mixed, c.training)
    assert 0.7 * ROWS / 2 < old.sum() <= ROWS / 2 and not old[ROWS // 2 :].any()
    assert c.unseen and c.left_out == old.sum() and np.array_equal(c.real, mixed[~old])


def test_where_nothing_else_is_left_trained_rows_are_compared_and_counted(fine: TrainedModel) -> None:
    training = compared(fine, TABLES["fine"][:ROWS]).training
    assert training is not None
    c = compared(fine, np.concatenate([training[:60], TABLES["fine"][-5:]]))
    assert not c.unseen and len(c.real) == 65 and c.in_training == 60 and not has_memorisation(c)
    assert "60 of the 65 real records are in the training data." in c.table() and c.to_json()["in_training"] == 60


def test_rows_that_coincide_by_chance_are_kept_and_counted(tmp_path: Path) -> None:
    records = TABLES["coarse"]
    c = compared(trained(tmp_path, records[:ROWS]), records[ROWS:])
    assert len(c.real) == ROWS and c.left_out == 0 and not c.unseen and not has_memorisation(c)
    assert c.in_training is not None and c.in_training > 0.9 * ROWS and "as chance gives" in c.table()


def test_new_records_are_said_to_be_new_and_unknown_ones_unknown(fine: TrainedModel, tmp_path: Path) -> None:
    new = TABLES["fine"][ROWS:]
    assert compared(fine, new).unseen and compared(fine, new).note == ""
    lost = trained(tmp_path, TABLES["fine"][:ROWS])
    (tmp_path / "table.npy").unlink()
    c = compared(lost, new)
    assert not c.unseen and c.in_training is None and "not known" in c.table() and not has_memorisation(c)


def test_rows_are_equal_when_every_value_is() -> None:
    training = np.array([[0.1, np.nan], [0.0, 2.0], [3.0, 4.0]])
    other = np.array([[0.1, -np.nan], [-0.0, 2.0], [4.0, 3.0], [0.1, 0.1], [np.nan, np.nan]])
    assert among(other, training).tolist() == [True, True, False, False, False]
    assert among(training.astype(np.float32), training).all()
    near = 1e6 + 1e-3 * np.arange(4.0)[:, None]
    assert among(near[2:], near[:2]).tolist() == [False, False]
    images = RNG.integers(0, 255, (5, 4, 4, 3)).astype(np.uint8)
    assert among(images[3:].astype(np.float64), images[:4]).tolist() == [True, False]
    assert among(images[:0], images).shape == (0,)
