"""What the page looks at: a trained model, or none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorefield.trained import TrainedModel
    from scorefield.trained_table import TrainedTable


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
    """
    if folder is None:
        return Session()
    from scorefield import runs

    return Session(runs.load(folder), Path(folder).resolve().name)


@dataclass(frozen=True)
class About:
    """What is the explorer looking at? Nothing to choose."""


def about(_: About, session: Session) -> dict[str, Any]:
    """The run in words: its kind (none, points of the plane, images, arrays or a table), its name, a record's shape."""
    from scorefield import __version__
    from scorefield.trained_table import TrainedTable

    shape: list[int] = []
    if session.run is None:
        kind = "none"
    elif isinstance(session.run, TrainedTable):
        kind, shape = "table", [len(session.run.codec.schema.names)]
    else:
        shape = [int(size) for size in session.run.codec.shape]
        kind = "points" if shape == [2] else "images" if len(shape) == 3 else "arrays"
    return {"kind": kind, "name": session.name, "shape": shape, "version": __version__}
