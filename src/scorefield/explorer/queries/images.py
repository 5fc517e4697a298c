"""A run of images: samples emerging, the denoiser's view, ways between two images, partial noising, a hole filled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from scorefield.conditioning import editing
from scorefield.conditioning.editing import Route
from scorefield.conditioning.guidance import classifier_free
from scorefield.conditioning.inverse.operators import Mask
from scorefield.core import Level
from scorefield.explorer.queries.laws import dtype_of, trained
from scorefield.explorer.queries.params import AtMost, Checked, Seed, Within
from scorefield.explorer.queries.pauses import paced, pause
from scorefield.levels import log_uniform
from scorefield.plans import walk
from scorefield.records.held import fitted_to, parts_of, unseen
from scorefield.records.image_codec import ImageCodec
from scorefield.records.latent_codec import LatentCodec
from scorefield.records.restore import measure, restore
from scorefield.records.trained import TrainedModel

if TYPE_CHECKING:
    from scorefield.explorer.session import Session

_MOST_NUMBERS = 8_000_000  # of all frames of an answer


def _open(session: Session) -> tuple[TrainedModel, ImageCodec]:
    run = trained(session)
    if isinstance(run.codec, LatentCodec):
        raise ValueError("the open run is of latents, and these scenes need one of pixels; fit without --autoencoder.")
    if not isinstance(run.codec, ImageCodec):
        raise ValueError("the open run is not one of images; open one that was fitted to images.")
    return run, run.codec


@dataclass(frozen=True, eq=False)
class _This:
    """A run as a key: equal only to itself."""

    run: TrainedModel

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _This) and other.run is self.run

    def __hash__(self) -> int:
        return id(self.run)


def _unseen(run: TrainedModel) -> tuple[np.ndarray, np.ndarray | None]:
    """Images that the run has not trained on, and their labels; kept, for reading them again costs a while."""
    return _read(_This(run))


@lru_cache(maxsize=1)
def _read(this: _This) -> tuple[np.ndarray, np.ndarray | None]:
    run = this.run
    dataset = fitted_to(run)
    parts = None if dataset is None else parts_of(run, dataset)
    if dataset is None or parts is None:
        raise ValueError("the images that the run was fitted to are not at hand; put its source back where it was.")
    return unseen(parts, dataset)


def _held(run: TrainedModel, index: int, name: str = "index") -> tuple[np.ndarray, int | None]:
    """One image `(1, h, w)` or `(1, h, w, c)` that the run has not trained on, and its label."""
    records, labels = _unseen(run)
    if index >= len(records):
        raise ValueError(f"{name} must be from 0 to {len(records) - 1}, the images held out, got {index}.")
    return records[index : index + 1], None if labels is None else int(labels[index])


def _shown(codec: ImageCodec, x: Tensor) -> np.ndarray:
    """Encoded images as the user's, float32."""
    return codec.decode_floats(x).astype(np.float32)


def _top(codec: ImageCodec) -> float | None:
    """The greatest grey level, None for images of real numbers."""
    return None if codec.levels is None else float(codec.levels - 1)


def _affordable(codec: ImageCodec, frames: int) -> None:
    if frames * int(np.prod(codec.record_shape)) > _MOST_NUMBERS:
        raise ValueError(f"{frames:,} pictures of {codec.record_shape} are too many; take fewer images or steps.")


@dataclass(frozen=True)
class About(Checked):
    """Nothing is to be chosen."""


def about(p: About, session: Session) -> dict[str, Any]:
    """`shape` of an image, `top`, the greatest grey level or None, `classes`, `held`, how many images are held out,
    `labels` of those or None, `sigma_min`, `sigma_max`.
    """
    run, codec = _open(session)
    records, labels = _unseen(run)
    return {
        "shape": list(codec.record_shape),
        "top": _top(codec),
        "classes": run.model.classes,
        "held": len(records),
        "labels": None if labels is None else labels.astype(np.int32),
        "sigma_min": run.model.sigma_min,
        "sigma_max": run.model.sigma_max,
    }


@dataclass(frozen=True)
class Sample(Checked):
    """Samples emerging from noise.

    Args:
        n: images.
        steps: evaluations.
        label: their class; None: as often as in training.
        guidance: towards the class; 1 is none.
        seed: of the noise.
    """

    n: Annotated[int, Within(1, 36)] = 4
    steps: Annotated[int, Within(1, 100)] = 18
    label: Annotated[int, Within(0, 10_000)] | None = None
    guidance: Annotated[float, Within(-5, 20)] = 1.0
    seed: Seed = 0


@torch.no_grad()
def sample(p: Sample, session: Session) -> dict[str, Any]:
    """`states` `(steps + 1, n, h, w)`, the noisy images shrunk to the data's spread; `guesses` `(steps, n, h, w)`,
    what the denoiser makes of each; `sigma` `(steps + 1,)`, over alpha; `top`. The last state is
    `TrainedModel.sample(n)`, before rounding.
    """
    run, codec = _open(session)
    _affordable(codec, 2 * p.n * p.steps)
    network, plan = run.drawing(p.steps, p.guidance)
    model = paced(network)
    given = run.conditions(p.n, seed=p.seed)
    if p.label is not None:
        if p.label >= model.classes:
            raise ValueError(f"label must be below the run's {model.classes} classes, got {p.label}.")
        given = torch.full((p.n,), p.label)
    guided = model if p.guidance == 1 else classifier_free(model, p.guidance)
    if p.guidance != 1 and given is None:
        raise ValueError("guidance needs a run with classes; leave guidance at 1.")
    x = plan.start(p.n, codec.shape, p.seed, std=model.sigma_data, dtype=dtype_of(model))
    states, guesses = [x], []
    for state, estimate in walk(plan, guided, x, seed=p.seed, condition=given):
        states.append(state.x)
        guesses.append(_shown(codec, estimate.x0))
    unit = [_shrunk(y, level, model.sigma_data) for y, level in zip(states, plan.levels, strict=True)]
    return {
        "states": np.stack([_shown(codec, y) for y in unit]),
        "guesses": np.stack(guesses),
        "sigma": plan.levels.ratio.numpy(),
        "top": _top(codec),
    }


def _shrunk(x: Tensor, level: Level, scale: float) -> Tensor:
    """x divided by what noise adds to the data's spread; clean data as they are."""
    alpha, sigma = (float(v) for v in level)
    return x if sigma == 0 else x * scale / (alpha**2 * scale**2 + sigma**2) ** 0.5


@dataclass(frozen=True)
class Denoise(Checked):
    """A held-out image with noise, and the denoiser's view.

    Args:
        index: of the image.
        sigma: of the noise, in the data's standard deviations.
        seed: of the noise.
    """

    index: Annotated[int, Within(0, 1_000_000)] = 0
    sigma: Annotated[float, Within(1e-4, 1000)] = 1.0
    seed: Seed = 0


def denoise(p: Denoise, session: Session) -> dict[str, Any]:
    """`clean`, `noisy`, `denoised` `(h, w)`; `label`; `error`, RMS of denoised over that of noisy; `top`."""
    run, codec = _open(session)
    clean, label = _held(run, p.index)
    noisy = run.add_noise(clean, p.sigma, p.seed)
    denoised = run.denoise(noisy, p.sigma)
    left, added = (float(np.sqrt(np.mean((x - clean.astype(np.float64)) ** 2))) for x in (denoised, noisy))
    return {
        "clean": clean[0].astype(np.float32),
        "noisy": noisy[0].astype(np.float32),
        "denoised": denoised[0].astype(np.float32),
        "label": label,
        "error": left / added,
        "top": _top(codec),
    }


@dataclass(frozen=True)
class Levels(Checked):
    """A held-out image under more and more noise, and the denoiser's view of each.

    Args:
        index: of the image.
        count: of noise levels, evenly spaced in log sigma.
        low: least noise, in the data's standard deviations; the run's range bounds it.
        high: most.
        seed: of the noise, the same picture of it at every level.
    """

    index: Annotated[int, Within(0, 1_000_000)] = 0
    count: Annotated[int, Within(2, 24)] = 9
    low: Annotated[float, Within(1e-4, 1000)] = 0.1
    high: Annotated[float, Within(1e-4, 1000)] = 20.0
    seed: Seed = 0


def levels(p: Levels, session: Session) -> dict[str, Any]:
    """`sigma` `(count,)`; `noisy`, shrunk to the data's spread, and `denoised` `(count, h, w)`; `error` `(count,)`, RMS
    of denoised over that of the noise; `label`; `top`.
    """
    run, codec = _open(session)
    if not p.low < p.high:
        raise ValueError(f"high must be above low, got {p.low:g} and {p.high:g}.")
    clean, label = _held(run, p.index)
    ends = (max(p.low, run.model.sigma_min), min(p.high, run.model.sigma_max))
    sigmas = log_uniform(p.count, ends[1], ends[0], end=False).sigma.flip(0).tolist()
    noisy = [run.add_noise(clean, sigma, p.seed) for sigma in sigmas]
    denoised = np.concatenate([run.denoise(x, sigma) for x, sigma in zip(noisy, sigmas, strict=True)])
    encoded = codec.encode(np.concatenate(noisy))
    shrunk = [_shrunk(x, Level(1.0, s), run.model.sigma_data) for x, s in zip(encoded, sigmas, strict=True)]
    left, added = (np.sqrt(((x - clean) ** 2).reshape(p.count, -1).mean(1)) for x in (denoised, np.concatenate(noisy)))
    return {
        "sigma": np.array(sigmas),
        "noisy": _shown(codec, torch.stack(shrunk)),
        "denoised": denoised.astype(np.float32),
        "error": left / added,
        "label": label,
        "top": _top(codec),
    }


@dataclass(frozen=True)
class Interpolate(Checked):
    """From one held-out image to another through their latents.

    Args:
        i: of the first.
        j: of the second.
        count: pictures, both ends included.
        steps: evaluations each way.
        through: latents between theirs, or the straight line between the images, to compare.
    """

    i: Annotated[int, Within(0, 1_000_000)] = 0
    j: Annotated[int, Within(0, 1_000_000)] = 1
    count: Annotated[int, Within(2, 25)] = 9
    steps: Annotated[int, Within(5, 100)] = 30
    through: Literal["latents", "pixels"] = "latents"


@torch.no_grad()
def interpolate(p: Interpolate, session: Session) -> dict[str, Any]:
    """`frames` `(count, h, w)` from i to j; `labels` of both; `top`."""
    run, codec = _open(session)
    (one, first), (two, second) = _held(run, p.i, "i"), _held(run, p.j, "j")
    a, b = (codec.encode(x).to(dtype_of(run.model)) for x in (one, two))
    weights = torch.linspace(0, 1, p.count)
    if p.through == "pixels":
        frames = torch.stack([torch.lerp(a, b, w) for w in weights])
    else:
        frames = editing.interpolate(paced(run.model), a, b, weights, Route(p.steps))
    return {"frames": _shown(codec, frames[:, 0]), "labels": [first, second], "top": _top(codec)}


@dataclass(frozen=True)
class Partial(Checked):
    """A held-out image noised to a level and brought back.

    Args:
        index: of the image.
        sigma: of the noise, in the data's standard deviations.
        count: ways back.
        steps: evaluations.
        seed: of the noise.
    """

    index: Annotated[int, Within(0, 1_000_000)] = 0
    sigma: Annotated[float, Within(1e-4, 1000)] = 1.0
    count: Annotated[int, Within(1, 16)] = 4
    steps: Annotated[int, Within(1, 100)] = 20
    seed: Seed = 0


@torch.no_grad()
def partial(p: Partial, session: Session) -> dict[str, Any]:
    """`clean` `(h, w)`; `frames` `(count, h, w)`; `label`; `top`."""
    run, codec = _open(session)
    clean, label = _held(run, p.index)
    x0 = codec.encode(np.repeat(clean, p.count, axis=0)).to(dtype_of(run.model))
    back = editing.partial_noise(paced(run.model), x0, p.sigma, evaluations=p.steps, seed=p.seed)
    return {"clean": clean[0].astype(np.float32), "frames": _shown(codec, back), "label": label, "top": _top(codec)}


@dataclass(frozen=True)
class Restore(Checked):
    """A held-out image of which a part is hidden, to be restored.

    Args:
        index: of the image.
        runs: of pixels row by row, how many are seen, hidden, seen, ... one after the other; together all of them.
        n: draws.
        steps: evaluations for each.
        seed: of all noise.
    """

    index: Annotated[int, Within(0, 1_000_000)] = 0
    runs: Annotated[tuple[int, ...], AtMost(10_000), Within(0, 100_000_000)] = (0,)
    n: Annotated[int, Within(2, 32)] = 8
    steps: Annotated[int, Within(2, 100)] = 30
    seed: Seed = 0


def restored(p: Restore, session: Session) -> dict[str, Any]:
    """`draws` `(n, h, w)` of the image given the pixels that are seen; their `mean` and `deviation` `(h, w)`, the root
    mean square over colours; `hidden`, how many pixels; `error`, RMS of the mean at those; `spread`, RMS of the
    deviation there; `clean` `(h, w)`; `top`.
    """
    run, codec = _open(session)
    _affordable(codec, p.n * 2)
    clean, _ = _held(run, p.index)
    seen = _seen(p.runs, codec)
    mask = Mask(torch.from_numpy(seen).expand(codec.channels, codec.height, codec.width).clone())
    found = restore(run, mask, measure(mask, clean[0], 0.0), 0.0, p.n, steps=p.steps, seed=p.seed, report=_hear)
    deviation = found.deviation if found.deviation.ndim == 2 else np.sqrt((found.deviation**2).mean(-1))
    away = (found.mean - clean[0]) ** 2
    away = away if away.ndim == 2 else away.mean(-1)
    return {
        "draws": found.draws.astype(np.float32),
        "mean": found.mean.astype(np.float32),
        "deviation": deviation.astype(np.float32),
        "hidden": int((~seen).sum()),
        "error": float(np.sqrt(away[~seen].mean())),
        "spread": float(np.sqrt((deviation[~seen] ** 2).mean())),
        "clean": clean[0].astype(np.float32),
        "top": _top(codec),
    }


def _seen(runs: tuple[int, ...], codec: ImageCodec) -> np.ndarray:
    """Which pixels `(h, w)` are seen."""
    height, width = codec.height, codec.width
    if sum(runs) != height * width:
        raise ValueError(f"runs have {height * width:,} pixels together, the image's, got {sum(runs):,}.")
    seen = np.repeat(np.arange(len(runs)) % 2 == 0, runs).reshape(height, width)
    if seen.all() or not seen.any():
        raise ValueError("hide some pixels and leave some: of none or all there is nothing to restore from the rest.")
    return seen


def _hear(share: float, what: str) -> None:
    pause()
