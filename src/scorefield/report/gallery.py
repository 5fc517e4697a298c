"""What a run of images can do, in pictures: how it learned, few evaluations, damaged pictures, odd ones."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scorefield.conditioning.inverse.operators import Operator
from scorefield.data.dataset import Array
from scorefield.records.odd import SIGMA, Changed
from scorefield.records.restore import Restored
from scorefield.records.trained import TrainedModel
from scorefield.report.figures import images_png
from scorefield.report.page import figure, table
from scorefield.report.restored import restored_png

STEPS = (1, 2, 3, 5, 8, 12, 24)
"""Network evaluations that are shown side by side."""


@dataclass(frozen=True, eq=False)
class Stage:
    """Pictures drawn in the midst of a training.

    Args:
        step: of the training.
        seconds: of training until then.
        images: `(n, h, w)` or `(n, h, w, c)`, of the same noise at every stage.
    """

    step: int
    seconds: float
    images: Array


def asked_section(images: Array, guidance: float, columns: int = 10) -> str:
    """Pictures that were asked for by their class, a row for each.

    Args:
        images: `(n, h, w)` or `(n, h, w, c)`, in the order of their classes.
        guidance: that they were drawn with.
        columns: of each class.
    """
    return (
        f"<h2>Asked for by class</h2><p>A row for each class, drawn with classifier-free guidance of {guidance:g}: the "
        "network is asked twice a step, with the class and without, and the difference is stretched. Fewer are "
        f"misshapen, at the price of some variety.</p>{figure(images_png(images, columns), '', pixels=True)}"
    )


def learning_section(stages: Sequence[Stage]) -> str:
    """The same noise drawn again as the training went on; nothing where there is no stage."""
    if not stages:
        return ""
    strips = "".join(_strip(s.images, f"After {s.step:,} steps, {s.seconds:.0f} s of training") for s in stages)
    return (
        "<h2>As it learned</h2><p>The same noise, turned into pictures by the network as it stood. Each row is a look "
        f"at the moving average of its weights.</p>{strips}"
    )


def steps_section(model: TrainedModel, n: int = 10, seed: int = 0, steps: Sequence[int] = STEPS) -> str:
    """The same noise with few and with more network evaluations.

    Args:
        model: of images.
        n: pictures in a row.
        seed: of their noise.
        steps: evaluations, a row each; the last is what the others are compared with.
    """
    condition = None if model.frequencies is None else np.arange(n) % len(model.frequencies)
    rows = {k: model.sample(n, steps=k, seed=seed, condition=condition) for k in steps}
    last = rows[steps[-1]].astype(np.float64)
    spread = float(last.std())

    def strips() -> Iterator[str]:
        for k, images in rows.items():
            apart = float(np.sqrt(np.square(images - last).mean())) / spread
            caption = f"{k} evaluation{'s' if k > 1 else ''}"
            yield _strip(images, caption if k == steps[-1] else f"{caption}: {apart:.2f} from the last row")

    return (
        f"<h2>{steps[0]} to {steps[-1]} evaluations</h2><p>Each row starts from the same noise and asks the network so "
        "many times. The number is the root mean square distance from the last row, in standard deviations of its "
        f"pixels.</p>{''.join(strips())}"
    )


def restored_section(found: Sequence[tuple[str, Restored, Operator]], span: tuple[float, float]) -> str:
    """Damaged pictures, and what the model thinks they were.

    Args:
        found: what was done to a picture, the draws, the operator.
        span: the values drawn black and white.
    """
    strips = "".join(
        figure(restored_png(one, operator, span), what, kind="wide", alt=f"{what}: observation, truth, mean, spread")
        for what, one, operator in found
    )
    return (
        "<h2>Damaged pictures</h2><p>The same network, never trained for this, draws what each picture may have been: "
        "possible answers, not one guess. The standard deviation says where they differ. The pictures were held out."
        f"</p>{strips}"
    )


def odd_section(found: Sequence[Changed], shown: int = 8) -> str:
    """How likely changed pictures are, beside the pictures unchanged."""
    rows = [_odd_row(one, shown) for one in found]
    likely = [one for one in found[1:] if one.difference.mean() > 2 * _error(one)]
    names = " and ".join(f"'{html.escape(one.name)}'" for one in likely)
    more = (
        f" More likely than the pictures themselves: {names}. That is no mistake: a density says how much probability "
        "lies at a point, and plain pictures have much at one point where others spread theirs over many shapes; "
        "likely is not typical."
        if likely
        else ""
    )
    return (
        "<h2>Odd pictures</h2><p>The log-density of pictures that were held out, and of the same changed, by the "
        f"probability flow: the mean difference in nats, &plusmn; its standard error over {len(found[0].difference)} "
        f"pictures. It is the density with noise of {SIGMA:g} standard deviations of the data on them.{more}</p>"
        + table(("", "", "log p less that of the picture"), rows)
    )


def _odd_row(one: Changed, shown: int) -> tuple[str, str, str]:
    picture = figure(images_png(one.images[:shown], shown, scale=1), "", alt=one.name)
    value = "0" if not one.difference.any() else f"{one.difference.mean():+.0f} &plusmn; {_error(one):.0f}"
    return f"<b>{html.escape(one.name)}</b>", picture, value


def _error(one: Changed) -> float:
    """The standard error of the mean difference over pictures and probes."""
    return float(one.difference.std(ddof=1) / np.sqrt(len(one.difference)))


def _strip(images: Array, caption: str) -> str:
    return figure(images_png(images, len(images)), caption, pixels=True)
