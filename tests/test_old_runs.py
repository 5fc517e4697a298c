"""Folders that earlier versions wrote are read, and answer as they did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scorefield import TrainedModel, TrainedTable, runs
from scorefield.data import read_frame
from scorefield.plans import Plan

FOLDER = Path(__file__).parent / "data" / "runs"
ANSWERS = np.load(FOLDER / "answers.npz")


def test_arrays_answer_as_they_did() -> None:
    model = TrainedModel.load(FOLDER / "array")
    np.testing.assert_allclose(model.sample(5, steps=4, seed=1), ANSWERS["array_sample"], atol=1e-5)
    np.testing.assert_allclose(model.score(ANSWERS["x"], 0.5), ANSWERS["array_score"], atol=1e-5)
    assert list(model.plans) == [4]
    energy = TrainedModel.load(FOLDER / "energy")
    np.testing.assert_allclose(energy.score(ANSWERS["x"], 0.5), ANSWERS["energy_score"], atol=1e-5)


def test_images_answer_as_they_did() -> None:
    found = TrainedModel.load(FOLDER / "images").denoise(ANSWERS["images"], 0.5, np.zeros(3, int))
    np.testing.assert_allclose(found, ANSWERS["images_denoised"], atol=1e-4)


def test_tables_answer_as_they_did() -> None:
    model, rows = TrainedTable.load(FOLDER / "table"), read_frame(FOLDER / "rows.csv")
    found = model.log_density(rows, tolerance=1e-6)
    # the stored ones were integrated step by step to 2e-5, as a run of the same solver to 1e-8 shows
    np.testing.assert_allclose(found.value.numpy(), ANSWERS["table_log_density"], atol=3e-5)
    was = Plan.from_json(json.loads((FOLDER / "table_plan.json").read_text()))  # the default of that time
    drawn = model.sample(6, plan=was, seed=3)["n"].to_numpy()
    np.testing.assert_allclose(drawn, ANSWERS["table_sample_n"], atol=1e-8)


@pytest.mark.parametrize("name", ["array", "energy", "images", "table"])
def test_every_kind_is_known_again_and_described(name: str) -> None:
    kind = runs.kind_of_run(FOLDER / name)
    assert "noise range" in kind.describe(kind.load(FOLDER / name))
