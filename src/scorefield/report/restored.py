"""One picture of a restored image: the observation, the mean, the spread, three draws."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield.report.figures import GREY, INK, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scorefield.conditioning.inverse.operators import Operator
    from scorefield.records.restore import Restored

_HIDDEN = "#6078a0"  # the gap's colour of `data.grid`: neither the black nor the white of grey images


def restored_png(found: Restored, A: Operator, span: tuple[float, float]) -> bytes:
    """Panels: what was observed, the truth where it is known, the mean, the standard deviation, up to three draws.

    Args:
        found: the draws.
        A: the operator, on `(c, h, w)`.
        span: the values drawn black and white.
    """
    images = [] if found.truth is None else [("what was measured", found.truth)]
    images += [(f"mean of {len(found.draws)} draws", found.mean)]
    draws = [(f"draw {k}", draw) for k, draw in enumerate(found.draws[:3], 1)]
    several = len(found.draws) > 1
    count = 1 + len(images) + several + len(draws)
    figure, axes = panels(count, (2.1 * count, 2.8))
    places = iter(axes)
    _observation(next(places), found, A, span)
    for title, image in images:
        _image(next(places), title, image, span)
    if several:
        axis = next(places)
        deviation = found.deviation
        shown = deviation if deviation.ndim == 2 else np.sqrt(np.square(deviation).mean(-1))
        drawn = axis.imshow(shown, cmap="viridis", vmin=0, vmax=max(float(shown.max()), 1e-12))
        _bare(axis, "standard deviation")
        bar = figure.colorbar(drawn, cax=axis.inset_axes((0.1, -0.14, 0.8, 0.05)), orientation="horizontal")
        bar.ax.tick_params(labelsize=7, colors=GREY)
    for title, image in draws:
        _image(next(places), title, image, span)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return out.getvalue()


def _observation(axis: Axes, found: Restored, A: Operator, span: tuple[float, float]) -> None:
    """The measurement: pixels in their places, an image of its own size, or a curve."""
    y, shape = found.measurement, tuple(A.shape)
    coordinates = getattr(A, "coordinates", None)
    if coordinates is not None:
        seen = np.full(int(np.prod(shape)), np.nan)
        seen[coordinates.numpy()] = y.reshape(-1)
        _image(axis, "observation", _last(seen.reshape(shape)), span)
    elif y.ndim == 3 and len(y) == shape[0]:
        own = tuple(y.shape[1:]) != shape[1:] and y.shape[1] * y.shape[2] > shape[1] * shape[2]
        values = float(np.nanmin(y)), float(np.nanmax(y))
        tall = "radon" in type(A).__name__.lower() or own
        _image(axis, "observation", _last(y), values if tall else span, "auto" if tall else "equal")
    else:
        axis.plot(y.reshape(-1), ".", ms=4, color=INK)
        axis.set_title("observation", fontsize=9)


def _image(axis: Axes, title: str, image: np.ndarray, span: tuple[float, float], aspect: str = "equal") -> None:
    from matplotlib.colors import Normalize

    low, high = span
    options: dict[str, Any] = {"aspect": aspect, "interpolation": "nearest"}
    axis.set_facecolor(_HIDDEN)
    if aspect == "auto":
        axis.set_box_aspect(1)
    if image.ndim == 2:
        axis.imshow(image, cmap="gray", norm=Normalize(low, high if high > low else low + 1), **options)
    else:
        bright = np.clip((image - low) / max(high - low, 1e-12), 0, 1)
        hidden = np.isnan(bright).any(-1, keepdims=True)
        axis.imshow(np.concatenate([np.nan_to_num(bright[..., :3]), 1.0 - hidden], -1), **options)
    _bare(axis, title)


def _bare(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=9, color=INK)
    axis.set_anchor("N")
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def _last(image: np.ndarray) -> np.ndarray:
    """`(c, h, w)` as `(h, w)` or `(h, w, c)`."""
    return image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
