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
    """The run in words: its kind (none, points of the plane, images, arrays or a table), its name, a record's shape;
    for points the noise levels `sigma_min` and `sigma_max` that it may be asked at.
    """
    from scorefield import __version__
    from scorefield.data import ImageCodec
    from scorefield.explorer.asks.laws import plane
    from scorefield.trained_table import TrainedTable

    run = session.run
    if run is None:
        return {"kind": "none", "name": "", "shape": [], "version": __version__}
    found: dict[str, Any] = {"name": session.name, "version": __version__}
    try:
        model = plane(session)
    except ValueError:
        if isinstance(run, TrainedTable):
            return {"kind": "table", "shape": [len(run.codec.schema.names)], **found}
        if isinstance(run.codec, ImageCodec):
            return {"kind": "images", "shape": [int(size) for size in run.codec.record_shape], **found}
        return {"kind": "arrays", "shape": [int(size) for size in run.codec.shape], **found}
    ends = {name: float(getattr(model, name)) for name in ("sigma_min", "sigma_max")}
    return {"kind": "points", "shape": [2], **ends, **found}
