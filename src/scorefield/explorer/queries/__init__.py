"""Everything that a page may ask: a name, what must be said with it, and the pure function that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from scorefield.explorer.queries import density, diffusion, field, images, langevin, learn

Answer: TypeAlias = dict[str, Any] | Iterator[dict[str, Any]]
"""Numbers, texts, lists and arrays by name; a stream gives one such answer after the other, until it is closed."""


class Ask(NamedTuple):
    """A question that a page may put.

    Args:
        params: a frozen dataclass, made by `read` from what the page sent.
        call: `(params, session) -> Answer`. Neither is changed; equal ones have equal answers, times apart.
    """

    params: type
    call: Callable[[Any, Any], Answer]


ASKS: Mapping[str, Ask] = MappingProxyType(
    {
        "field.presets": Ask(field.Presets, field.presets),
        "field.grid": Ask(field.Grid, field.grid),
        "field.point": Ask(field.Point, field.point),
        "field.cloud": Ask(field.Cloud, field.cloud),
        "langevin.run": Ask(langevin.Run, langevin.run),
        "diffusion.plans": Ask(diffusion.Plans, diffusion.listed),
        "diffusion.forward": Ask(diffusion.Forward, diffusion.forward),
        "diffusion.paths": Ask(diffusion.Paths, diffusion.paths),
        "diffusion.sample": Ask(diffusion.Sample, diffusion.sample),
        "learn.train": Ask(learn.Train, learn.train),
        "learn.cost": Ask(learn.Cost, learn.cost),
        "density.point": Ask(density.Point, density.point),
        "density.latent": Ask(density.Latent, density.latent),
        "density.guidance": Ask(density.Guidance, density.guidance),
        "images.about": Ask(images.About, images.about),
        "images.sample": Ask(images.Sample, images.sample),
        "images.denoise": Ask(images.Denoise, images.denoise),
        "images.levels": Ask(images.Levels, images.levels),
        "images.interpolate": Ask(images.Interpolate, images.interpolate),
        "images.partial": Ask(images.Partial, images.partial),
    }
)
