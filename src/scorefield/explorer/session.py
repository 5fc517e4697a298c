"""What the page looks at: a trained model, or none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scorefield.posterior.trained import TrainedPosterior
    from scorefield.records.trained import TrainedModel
    from scorefield.tables.trained import TrainedTable


@dataclass(frozen=True)
class Session:
    """What every answer may use besides its parameters.

    Args:
        run: the trained model that the explorer was started on; None without one.
        name: what to call it on the page.
        folder: that it was read from, where something besides the model lies in it.

    Example:
        >>> Session()
        Session(run=None, name='', folder=None)
    """

    run: TrainedModel | TrainedTable | TrainedPosterior | None = None
    name: str = ""
    folder: Path | None = None


def opened(folder: str | Path | None) -> Session:
    """A session on the model in a folder, or on none.

    Raises:
        FileError: for a missing, truncated or foreign file.
    """
    if folder is None:
        return Session()
    from scorefield import runs

    return Session(runs.load(folder), Path(folder).resolve().name, Path(folder).resolve())
