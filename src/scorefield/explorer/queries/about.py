"""What the explorer is looking at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scorefield import __version__
from scorefield.explorer.queries.laws import plane
from scorefield.posterior.trained import TrainedPosterior
from scorefield.records.image_codec import ImageCodec
from scorefield.tables.trained import TrainedTable

if TYPE_CHECKING:
    from scorefield.explorer.session import Session


@dataclass(frozen=True)
class About:
    """What is the explorer looking at? Nothing to choose."""


def about(_: About, session: Session) -> dict[str, Any]:
    """The run: its kind (none, points of the plane, images, arrays, table, posterior), its name, a record's shape;
    for points the noise levels `sigma_min` and `sigma_max` at which it answers; for a table, of points too, how many
    `columns` it has.
    """
    run = session.run
    if run is None:
        return {"kind": "none", "name": "", "shape": [], "version": __version__}
    found: dict[str, Any] = {"name": session.name, "version": __version__}
    if isinstance(run, TrainedPosterior):
        return {"kind": "posterior", "shape": [run.dim], **found}
    if isinstance(run, TrainedTable):
        found["columns"] = len(run.codec.schema.names)
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
