"""What the page looks at: a trained model, or none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scorefield.records.trained import TrainedModel
    from scorefield.tables.trained import TrainedTable


@dataclass(frozen=True)
class Session:
    """What every answer may use besides its parameters.

    Args:
        run: the trained model that the explorer was started on; None without one.
        name: what to call it on the page.

    Example:
        >>> Session()
        Session(run=None, name='')
    """

    run: TrainedModel | TrainedTable | None = None
    name: str = ""


def opened(folder: str | Path | None) -> Session:
    """A session on the model in a folder, or on none.

    Raises:
        FileError: for a missing, truncated or foreign file.
        ValueError: for a posterior, which has no page.
    """
    if folder is None:
        return Session()
    from scorefield import runs

    if runs.kind_of_run(folder) is runs.POSTERIORS:
        raise ValueError(
            f"{folder} is a posterior, which the explorer does not show; scorefield posterior writes a page."
        )
    return Session(runs.load(folder), Path(folder).resolve().name)
