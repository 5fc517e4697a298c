"""What an exported page answers of a trained run: its own scene, the controls over a few values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np

from scorefield.explorer.export.recording import Recording
from scorefield.explorer.queries.about import About, about
from scorefield.explorer.session import Session

Stops = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Few:
    """How much of a run is recorded.

    Args:
        images: held out that are shown.
        levels: of noise.
        labels: classes whose samples are shown, besides those of all.
        guidances: of these samples.
        columns: of a table that can be drawn, or set.
        settings: values of each that it can be set to.
        rows: of a table that can be set whole.
        observations: simulations held out that can be observed.
    """

    images: int = 5
    levels: tuple[float, ...] = (0.1, 0.3, 0.6, 1.0, 2.0, 5.0, 15.0)
    labels: int = 10
    guidances: tuple[float, ...] = (1.0, 3.0)
    columns: int = 6
    settings: int = 4
    rows: int = 8
    observations: int = 40


SOME = Few()
"""What `scorefield explore RUN --export` records."""


def record_run(recording: Recording, session: Session, few: Few) -> Stops:
    """Record what a run's own scene requests, and give the values of its controls.

    Raises:
        ValueError: for a run that has no scene of its own.
    """
    kind = about(About(), session)["kind"]
    if kind not in _OF:
        raise ValueError(
            f"--export writes the scene of a run of images, a table or a posterior, and this one is of {kind}; leave "
            "the run out for the scenes of exact densities."
        )
    recording.keep("session.about", {})
    return {kind: _OF[kind](recording, few)}


def _images(recording: Recording, few: Few) -> dict[str, Any]:
    facts = recording.answer("images.about", {})
    recording.keep("images.about", {})
    images = list(range(min(few.images, facts["held"])))
    sigmas = [s for s in few.levels if facts["sigma_min"] <= s <= facts["sigma_max"]]
    labels: list[int] = list(range(min(few.labels, facts["classes"])))
    guidances = list(few.guidances) if facts["classes"] else [1]
    for guidance, label in product(guidances, [None, *labels]):
        given = {} if label is None else {"label": label}
        recording.keep("images.sample", {"n": 6, "steps": 18, "guidance": guidance, **given, "seed": 0})
    runs = holes(*facts["shape"][:2])
    for index in images:
        recording.keep("images.levels", {"index": index, "count": 9, "seed": 0})
        for run in runs:
            recording.keep("images.restore", {"index": index, "runs": run, "n": 8, "steps": 30, "seed": 0})
        for sigma in sigmas:
            recording.keep("images.denoise", {"index": index, "sigma": sigma, "seed": 0})
            back = {"index": index, "sigma": sigma, "seed": 0, "count": 6, "steps": 12}
            recording.keep("images.partial", back)
        for other, through in product(images, ("latents", "pixels")):
            between = {"i": index, "j": other, "count": 9, "steps": 16, "through": through}
            recording.keep("images.interpolate", between)
    return {
        "sigma": sigmas, "index": images, "other": images, "label": ["", *map(str, labels)], "guidance": guidances,
        "steps": [18], "brush": [1], "hole": runs,
    }  # fmt: skip


def holes(height: int, width: int) -> list[list[int]]:
    """The two parts that a page hides by a button, a square in the middle and the lower half, as runs of pixels."""

    def part(share: float, size: int) -> int:
        return int(np.floor(share * size + 0.5))  # as JavaScript rounds

    top, left, tall, wide = part(0.3, height), part(0.3, width), part(0.4, height), part(0.4, width)
    seen = [width * top + left, *[wide, width - wide] * (tall - 1), wide]
    upper = part(0.5, height) * width
    return [[*seen, height * width - sum(seen)], [upper, height * width - upper]]


def _table(recording: Recording, few: Few) -> dict[str, Any]:
    facts = recording.answer("table.about", {})
    recording.keep("table.about", {})
    columns = list(range(len(facts["columns"])))[: few.columns]
    cells = {k: _settings(recording, facts["columns"][k], k, few.settings) for k in columns}
    rows = list(range(min(few.rows, len(facts["rows"]))))
    given: list[dict[str, str]] = [{}, *({str(k): text} for k, texts in cells.items() for text in texts)]
    for index in rows:
        recording.keep("table.row", {"index": index})
        given.append(recording.answer("table.row", {"index": index})["given"])
    drawable = [k for k in columns if facts["columns"][k]["density"]]
    for one in given:
        recording.keep("table.whatif", {"given": one, "n": 500})
        if one:
            recording.keep("table.surprises", {"given": one})
        for x, y in permutations(drawable, 2):
            others = {key: text for key, text in one.items() if int(key) not in (x, y)}
            network = not others  # given others the mixture's, which is at hand at once
            params = {"x": x, "y": y, "given": others, "n": 24 if network else 32, "network": network}
            recording.keep("table.density", params)
    names = [str(k) for k in columns]
    return {"x": names, "y": names, "row": rows, **{f"cell{k}": texts for k, texts in cells.items()}}


def _settings(recording: Recording, column: dict[str, Any], k: int, most: int) -> list[str]:
    """Values that a cell can be set to: the first categories, or quantiles of what the model draws."""
    if column["choices"] is not None:
        return list(column["choices"][:most])
    law = recording.answer("table.whatif", {"given": {}, "n": 500})["laws"][k]
    return list(dict.fromkeys(law[name] for name in ("low", "median", "high")))


def _posterior(recording: Recording, few: Few) -> dict[str, Any]:
    facts = recording.answer("posterior.about", {})
    count = min(few.observations, facts["held"])
    if not count:
        raise ValueError("the page of a posterior shows simulations that were held out, and the run's folder has none.")
    recording.keep("posterior.about", {})
    for index in range(count):
        recording.keep("posterior.held", {"index": index})
        x = recording.answer("posterior.held", {"index": index})["x"]
        recording.keep("posterior.draw", {"x": x, "n": 1000, "steps": 20, "seed": 0})
    return {"row": list(range(count)), "x": [_places(facts, k) for k in range(count)]}


def _places(facts: dict[str, Any], index: int) -> Sequence[float]:
    """An observation on its axes."""
    return [float(u) for u in facts["x"][index]]


_OF = {"images": _images, "table": _table, "posterior": _posterior}
