"""What an exported page answers of exact densities: each scene, its controls over a few values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from scorefield.explorer.export.recording import Recording
from scorefield.explorer.queries.diffusion import PLANS, SCHEDULES
from scorefield.progress import Report, silent

_DEPTH = 12.0  # nats below the top that a picture of a log-density keeps: more than any scene draws
_EVERY = 10  # steps between two recorded parts of chains
_SIGMA, _STARTS = 0.1, ("first mode", "wide")  # of chains at one level; and the last level of annealed ones
_LEVELS = "karras"  # of samplers that take a grid
_LEARNED, _WIDTH, _PARTS = 0.5, 64, 25  # noise level and network of trainings, steps between two recorded parts
_DIVERGENCES, _TOLERANCE = ("hutchinson", "exact"), 1e-5
_WINDOW = {"x_range": [-5, 5], "y_range": [-5, 5]}


def _square(steps: Sequence[float]) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for y in steps for x in steps)


@dataclass(frozen=True)
class Scope:
    """The values of the controls, all of whose combinations are recorded.

    Args:
        fields: densities of the scene Field.
        sigmas: its noise levels.
        pointers: points whose numbers are shown.
        cleans: clean points whose noised cloud may be shown.
        walks: densities of the scene Langevin.
        step_sizes: of the walks.
        walk_steps: of each walk.
        walkers: particles.
        samplers: of the scene Diffusion.
        targets: its densities.
        steps: evaluations.
        particles: of each sampler.
        objectives: of the scene Learn.
        learned: its densities.
        training_steps: of each training.
        densities: of the scene Density.
        places: points whose log-density is shown.
        probes: random directions of its divergence.
        scales: of guidance, towards the first two classes.
    """

    fields: tuple[str, ...] = ("two modes", "unequal weights", "ring of eight", "moons")
    sigmas: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.3, 2.0, 4.0, 8.0)
    pointers: tuple[tuple[float, float], ...] = _square(np.arange(-4.5, 4.6, 0.75).tolist())
    cleans: tuple[tuple[float, float], ...] = _square((-3.0, -1.5, 0.0, 1.5, 3.0))
    walks: tuple[str, ...] = ("unequal weights", "correlated", "ring of eight")
    step_sizes: tuple[float, ...] = (0.05, 0.2, 0.6, 0.9)
    walk_steps: int = 200
    walkers: int = 500
    samplers: tuple[str, ...] = ("ddim", "ancestral", "euler_maruyama", "euler", "heun", "dpmpp2", "calibrated")
    targets: tuple[str, ...] = ("moons", "two modes")
    steps: tuple[int, ...] = (4, 8, 16, 32)
    particles: int = 300
    objectives: tuple[str, ...] = ("denoising", "multi-level", "implicit", "sliced", "explicit")
    learned: tuple[str, ...] = ("two modes", "moons")
    training_steps: int = 500
    densities: tuple[str, ...] = ("moons", "two modes")
    places: tuple[tuple[float, float], ...] = _square((-2.0, 0.0, 2.0))
    probes: tuple[int, ...] = (1, 4, 16, 64)
    scales: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0)


FULL = Scope()
"""What `scorefield explore --export` records: a file of about 10 MB."""


def record(recording: Recording, scope: Scope, report: Report = silent) -> dict[str, dict[str, Any]]:
    """Record what the scenes request, and give the values of their controls: `{scene: {control: values}}`."""
    recording.keep("session.about", {})
    recording.keep("field.presets", {})
    scenes = {"Field": _field, "Langevin": _langevin, "Diffusion": _diffusion, "Learn": _learn, "Density": _density}
    for k, (name, kept) in enumerate(scenes.items()):
        report(k / len(scenes), f"computing the answers of the scene {name}")
        kept(recording, scope)
    return {
        "field": {"preset": scope.fields, "sigma": scope.sigmas, "x": scope.pointers, "clean": scope.cleans},
        "langevin": {
            "preset": scope.walks,
            "mode": ["one", "annealed"],
            "start": _STARTS,
            "sigma": [_SIGMA],
            "step": scope.step_sizes,
            "n": [scope.walkers],
            "steps": [scope.walk_steps],
        },
        "diffusion": {
            "preset": scope.targets,
            "a": scope.samplers,
            "b": scope.samplers,
            "grid": [_LEVELS],
            "schedule": list(SCHEDULES),
            "steps": scope.steps,
            "n": [scope.particles],
        },
        "learn": {
            "objective": scope.objectives,
            "preset": scope.learned,
            "network": ["field"],
            "sigma": [_LEARNED],
            "width": [_WIDTH],
            "steps": [scope.training_steps],
        },
        "density": {
            "preset": scope.densities,
            "at": scope.places,
            "probes": scope.probes,
            "divergence": _DIVERGENCES,
            "tolerance": [_TOLERANCE],
            "scale": scope.scales,
            "class": [1, 2],
        },
    }


def _grid(recording: Recording, mixture: str, sigma: float) -> None:
    whole = {**_WINDOW, "n": 96, "landscape": False}
    recording.keep("field.grid", {"mixture": mixture, "sigma": sigma, **whole}, _clipped)


def _clipped(result: dict[str, Any]) -> dict[str, Any]:
    """What is drawn of a field."""
    low = np.maximum(result["log_density"], result["max"] - _DEPTH)
    return {"log_density": low, **{name: result[name] for name in ("max", "at", "score")}}


def _field(recording: Recording, scope: Scope) -> None:
    for mixture, sigma in product(scope.fields, scope.sigmas):
        _grid(recording, mixture, sigma)
        about = {"mixture": mixture, "sigma": sigma, "seed": 0}
        point = {**about, "count": 400}
        answers = [_point(recording.answer("field.point", {**point, "x": list(x)})) for x in scope.pointers]
        recording.keep_over("field.point", point, "x", scope.pointers, answers)
        for clean in scope.cleans:
            recording.keep("field.cloud", {**about, "clean": list(clean), "count": 300}, _only("points"))


def _point(result: dict[str, Any]) -> dict[str, Any]:
    """What is shown of a point: of the clean points that it may come from, the dozen that are drawn."""
    candidates = result["candidates"]
    few = {name: candidates[name][:count] for name, count in (("points", 12), ("conditional", 1))}
    shown = ("x0", "eps", "score", "log_density", "residuals")
    return {
        **{name: result[name] for name in shown},
        "candidates": {**candidates, **few},
    }


def _langevin(recording: Recording, scope: Scope) -> None:
    same = {"n": scope.walkers, "sigma": _SIGMA, "steps": scope.walk_steps, "seed": 0}
    walks: list[dict[str, Any]] = [
        {"annealed": False, "adjusted": adjusted, "start": start} for adjusted in (False, True) for start in _STARTS
    ]
    walks.append({"annealed": True, "adjusted": False})
    for mixture, step, walk in product(scope.walks, scope.step_sizes, walks):
        params = {"mixture": mixture, "step": step, **same, **walk}
        # chains do not depend on how often they are looked at: the page requests every other step, and gets fewer
        parts = recording.keep_parts("langevin.run", {**params, "every": 2}, {**params, "every": _EVERY})
        for sigma in {part["sigma"] for part in parts}:
            _grid(recording, mixture, sigma)


def _diffusion(recording: Recording, scope: Scope) -> None:
    recording.keep("diffusion.plans", {})
    unit = _only("unit", "alpha", "sigma", "error", "sliced_wasserstein", "floor", "evaluations", "P", "E", "c", "text")
    for mixture in scope.targets:
        _grid(recording, mixture, 0)
        about = {"mixture": mixture, "n": scope.particles, "seed": 0}
        for plan, steps in product(scope.samplers, scope.steps):
            grid = {"grid": _LEVELS} if PLANS[plan].grid else {}
            for timed in [{"schedule": name} for name in SCHEDULES] if PLANS[plan].timed else [{}]:
                recording.keep("diffusion.sample", {**about, "plan": plan, "steps": steps, **grid, **timed}, unit)
        for schedule in SCHEDULES:
            ways = _only("positions", "alpha", "sigma")
            recording.keep("diffusion.forward", {**about, "schedule": schedule, "times": 40}, ways)
            lines = {"mixture": mixture, "schedule": schedule, "n": 30, "seed": 0}
            recording.keep("diffusion.paths", lines, _only("time", "x", "apart"))


def _learn(recording: Recording, scope: Scope) -> None:
    for objective, mixture in product(scope.objectives, scope.learned):
        sigma = _LEARNED if objective in ("denoising", "multi-level") else 0
        recording.keep("field.grid", {"mixture": mixture, "sigma": sigma, **_WINDOW, "n": 2}, _only("at", "score"))
        params = {
            "objective": objective, "mixture": mixture, "sigma": _LEARNED, "network": "field", "width": _WIDTH,
            "steps": scope.training_steps, **_WINDOW, "seed": 0,
        }  # fmt: skip
        recording.keep_parts("learn.train", params, {**params, "every": _PARTS}, _untimed)


def _untimed(part: dict[str, Any]) -> dict[str, Any]:
    """A part of a training without its times, which are of another machine."""
    return {**{name: value for name, value in part.items() if name != "clean"}, "milliseconds": None}


def _density(recording: Recording, scope: Scope) -> None:
    for mixture in scope.densities:
        _grid(recording, mixture, 0)
        for x in map(list, scope.places):
            ways = _only("latent", "back", "error", "path")
            recording.keep("density.latent", {"mixture": mixture, "x": x, "steps": 50}, ways)
            for divergence, probes in product(_DIVERGENCES, scope.probes):
                asked = {"divergence": divergence, "probes": probes, "tolerance": _TOLERANCE}
                same = {"probes": scope.probes[0]} if divergence == "exact" else {}  # which takes none
                params = {"mixture": mixture, "x": x, **asked}
                recording.keep("density.point", params, computed={**params, **same})
        for label, scale in product((0, 1), scope.scales):
            asked = {"label": label, "scale": scale, "n": 1500, "steps": 30, "seed": 0}
            recording.keep("density.guidance", {"mixture": mixture, **asked})


def _only(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What a page uses of an answer."""
    return lambda result: {name: result[name] for name in names}
