"""The guide to tables tells the truth: its pooled regression runs and widens errors by what is not known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

GUIDE = (Path(__file__).parent.parent / "docs" / "tables.md").read_text(encoding="utf-8")
POOLED, STATSMODELS = (
    code for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "Imputer" in code or "MI(" in code
)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What the guide's code makes, of a model of few steps."""
    names: dict[str, Any] = {}
    exec(compile(POOLED.replace("seconds=20", "seconds=None, steps=5"), "docs/tables.md", "exec"), names)
    return names


def test_pooled_coefficients_are_near_those_of_the_full_table(found: dict[str, Any]) -> None:
    full = load_diabetes(as_frame=True).frame
    X = np.column_stack([np.ones(len(full)), full[["bmi", "bp", "s5"]]])
    whole, residual, *_ = np.linalg.lstsq(X, full["target"], rcond=None)
    alone = np.sqrt(np.diag(np.linalg.inv(X.T @ X)) * residual[0] / (len(X) - 4))
    assert (np.abs(found["pooled"] - whole) < 3 * found["error"]).all()
    assert found["error"][1] > 1.05 * alone[1]  # of bmi, of which 30 % were not known
    assert (found["error"] > 0.85 * alone).all() and (found["between"] > 0).all()


def test_tables_differ_in_the_holes_alone(found: dict[str, Any]) -> None:
    frame, tables = found["frame"], found["tables"]
    for table in tables:
        assert list(table.columns) == list(frame.columns) and (table.index == frame.index).all()
        assert (table[frame.notna()].fillna(0) == frame.fillna(0)).all().all()
    assert len({table["bmi"].sum() for table in tables}) == len(tables) == 20


def test_the_imputer_for_statsmodels_hands_out_one_table_after_another(found: dict[str, Any]) -> None:
    own = STATSMODELS[STATSMODELS.index("class Completed") : STATSMODELS.index("model = MI(")]
    names: dict[str, Any] = {}
    exec(compile(own, "docs/tables.md", "exec"), names)
    imputer = names["Completed"](found["tables"])
    for table in found["tables"]:
        imputer.update()
        assert imputer.data is table
