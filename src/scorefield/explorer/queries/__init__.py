"""Everything that a page may request: a name, its parameters, and the pure function that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from scorefield.explorer.queries import density, diffusion, field, images, langevin, learn, posterior, table

Answer: TypeAlias = dict[str, Any] | Iterator[dict[str, Any]]
"""Numbers, texts, lists and arrays by name; a stream gives one such answer after the other, until it is closed."""


class Query(NamedTuple):
    """A query that a page may send.

    Args:
        params: a frozen dataclass, made by `read` from what the page sent.
        call: `(params, session) -> Answer`. Neither is changed; equal ones have equal answers, times apart.
    """

    params: type
    call: Callable[[Any, Any], Answer]


QUERIES: Mapping[str, Query] = MappingProxyType(
    {
        "field.presets": Query(field.Presets, field.presets),
        "field.grid": Query(field.Grid, field.grid),
        "field.point": Query(field.Point, field.point),
        "field.cloud": Query(field.Cloud, field.cloud),
        "langevin.run": Query(langevin.Run, langevin.run),
        "diffusion.plans": Query(diffusion.Plans, diffusion.listed),
        "diffusion.forward": Query(diffusion.Forward, diffusion.forward),
        "diffusion.paths": Query(diffusion.Paths, diffusion.paths),
        "diffusion.sample": Query(diffusion.Sample, diffusion.sample),
        "learn.train": Query(learn.Train, learn.train),
        "learn.cost": Query(learn.Cost, learn.cost),
        "density.point": Query(density.Point, density.point),
        "density.latent": Query(density.Latent, density.latent),
        "density.guidance": Query(density.Guidance, density.guidance),
        "images.about": Query(images.About, images.about),
        "images.sample": Query(images.Sample, images.sample),
        "images.denoise": Query(images.Denoise, images.denoise),
        "images.levels": Query(images.Levels, images.levels),
        "images.interpolate": Query(images.Interpolate, images.interpolate),
        "images.partial": Query(images.Partial, images.partial),
        "images.restore": Query(images.Restore, images.restored),
        "table.about": Query(table.About, table.about),
        "table.row": Query(table.Row, table.row),
        "table.whatif": Query(table.WhatIf, table.what_if),
        "table.surprises": Query(table.Surprises, table.surprising),
        "table.density": Query(table.Density, table.density),
        "posterior.about": Query(posterior.About, posterior.about),
        "posterior.held": Query(posterior.Held, posterior.held),
        "posterior.draw": Query(posterior.Draw, posterior.draw),
    }
)
