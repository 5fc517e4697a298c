"""What the explorer refuses to compute: anything malformed, too large, or not there, each in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from explorer_queries import NONE, TWO, query
from scorefield.explorer.queries import QUERIES
from scorefield.explorer.queries.params import read

# ------------------------------------------------------------------------------------------------------------ field


JUNK: list[Any] = [
    None, True, -1, 0, 1.5, 1e308, -1e308, 2**70, "", "two modes", "../../etc/passwd", [], [[]], [1], [[1, 2]],
    [1e9, -1e9], {}, {"weights": []}, {"weights": [1], "means": [[0, 0]], "covariances": [[[0, 0], [0, 0]]]},
]  # fmt: skip


@pytest.mark.parametrize("name", QUERIES)
def test_parameters_are_taken_or_refused_in_a_sentence(name: str) -> None:
    kind = QUERIES[name].params
    for field in (f.name for f in fields(kind)):
        for junk in JUNK:
            try:
                taken = getattr(read(kind, {field: junk}), field)
            except ValueError as refusal:
                assert 10 < len(str(refusal)) < 400
            else:
                assert not isinstance(taken, float) or np.isfinite(taken)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("field.grid", {"points": [[0, 0]] * 5000, "n": 256}),
        ("learn.train", {"batch": 4096, "every": 500, "width": 256}),
        ("learn.cost", {"dimensions": [200], "batch": 512, "repeats": 10}),
        ("diffusion.forward", {"n": 20_000, "times": 200}),
        ("diffusion.sample", {"n": 20_000, "steps": 200}),
    ],
)
def test_work_is_bounded_in_all(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at most"):
        query(name, **params)


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("field.grid", {"sgima": 1}, "sigma"),
    ("field.grid", {"sigma": "1"}, "number"),
    ("field.grid", {"sigma": True}, "number"),
    ("field.grid", {"sigma": float("nan")}, "finite"),
    ("field.grid", {"sigma": -1}, "from 0"),
    ("field.grid", {"n": 257}, "256"),
    ("field.grid", {"n": 2.5}, "whole"),
    ("field.grid", {"x_range": [1, 1]}, "rise"),
    ("field.grid", {"x_range": [1]}, "2 entries"),
    ("field.grid", {"points": []}, "entries"),
    ("field.grid", {"points": [[0, 0]] * 5001}, "5000"),
    ("field.grid", {"points": [[0, 0]] * 20_000}, "10,000"),
    ("field.grid", {"points": [[0, 1e5]]}, "10000"),
    ("field.grid", {"mixture": "nowhere"}, "two modes"),
    ("field.grid", {"mixture": 3}, "object"),
    ("field.grid", {"mixture": {"weights": [1]}}, "means"),
    ("field.grid", {"mixture": {**TWO, "weights": [1, -1]}}, "weights"),
    ("field.grid", {"mixture": {**TWO, "weights": [1]}}, "as many"),
    ("field.grid", {"mixture": {**TWO, "covariances": [[[1, 0], [0.5, 1]]] * 2}}, "symmetric"),
    ("field.grid", {"mixture": {**TWO, "covariances": [[[1, 2], [2, 1]]] * 2}}, "positive definite"),
    ("field.grid", {"mixture": {k: v * 9 for k, v in TWO.items()}}, "16"),
    ("field.grid", {"run": True}, "no run"),
    ("field.point", {"x": [0, 0, 0]}, "2 entries"),
    ("langevin.run", {"n": 20001}, "20000"),
    ("langevin.run", {"steps": 501}, "500"),
    ("langevin.run", {"annealed": True, "adjusted": True}, "choose one"),
    ("langevin.run", {"annealed": True, "step": 4}, "below 4"),
    ("langevin.run", {"annealed": True, "sigma": 900, "step": 0.1}, "annealing"),
    ("diffusion.sample", {"plan": "dim"}, "ddim"),
    ("diffusion.sample", {"steps": 201}, "200"),
    ("diffusion.sample", {"n": 20000, "steps": 200}, "2,000,000"),
    ("diffusion.forward", {"n": 20000, "times": 200}, "2,000,000"),
    ("diffusion.forward", {"schedule": "none"}, "vp"),
    ("learn.train", {"objective": "magic"}, "denoising"),
    ("learn.train", {"width": 300}, "256"),
    ("learn.train", {"width": 256, "batch": 2048}, "width must be at most"),
    ("learn.cost", {"dimensions": [201]}, "200"),
    ("learn.cost", {"dimensions": [2] * 7}, "entries"),
    ("density.point", {"probes": 0}, "probes"),
    ("density.point", {"divergence": "hutch++", "probes": 2}, "6"),
    ("density.point", {"points": [[0, 0]], "sigma": 0}, "sigma = 0"),
    ("density.latent", {"steps": 201}, "200"),
    ("density.latent", {"run": True}, "no run"),
    ("density.guidance", {"label": 2}, "label"),
    ("images.sample", {}, "no run"),
    ("images.sample", {"n": 37}, "36"),
    ("images.denoise", {"index": -1}, "index"),
    ("images.interpolate", {"through": "sky"}, "latents"),
    ("images.partial", {"count": 17}, "16"),
    ("field.point", {"sigma": 0}, "sigma"),
]


@pytest.mark.parametrize(("name", "params", "says"), FAULTS)
def test_faults_are_named(name: str, params: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        entry = QUERIES[name]
        answer = entry.call(read(entry.params, params), NONE)
        if isinstance(answer, Iterator):
            next(answer)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", QUERIES)
def test_params_are_objects(name: str) -> None:
    for wrong in ([], "x", None, 3):
        with pytest.raises(ValueError, match="object"):
            read(QUERIES[name].params, wrong)  # type: ignore[arg-type]
