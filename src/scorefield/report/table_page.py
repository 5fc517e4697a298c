"""The report of a model of a table: one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

from scorefield.table_evaluation import TableComparison
from scorefield.trained_table import TrainedTable


def write_table_report(path: str | Path, model: TrainedTable, comparison: TableComparison) -> None:
    """Write the page."""
    raise NotImplementedError
