"""A run of arrays or images as text, and the report of its samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scorefield import metrics
from scorefield.denoiser import Denoiser, Energy
from scorefield.records.encoded import Encoded
from scorefield.records.evaluate import Comparison
from scorefield.records.grid_codec import GridCodec
from scorefield.records.image_codec import ImageCodec
from scorefield.records.latent_codec import LatentCodec, records_codec
from scorefield.records.stored import network_name
from scorefield.records.trained import TrainedModel
from scorefield.report import figures
from scorefield.report.facts import Facts, complete, lines, run_facts, training_facts
from scorefield.report.page import figure, losses_section, metrics_section, settings_section, write_page
from scorefield.report.series_figures import memory_svg, series_svg

LEVELS = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Noise levels at which held-out images are denoised, in standard deviations of the data."""


def describe(model: TrainedModel) -> str:
    """What is known of a run, a line each."""
    return lines(facts(model))


def facts(model: TrainedModel) -> Facts:
    """What is known of a run, as (name, value) pairs in the order of interest."""
    found = [
        ("data", _data(complete(model.info.get("data"), "source", "rows", "held", "kind"), model)),
        ("network", _network(model.model)),
        ("noise range", _range(model)),
    ]
    if isinstance(model.codec, LatentCodec):
        found.insert(1, ("autoencoder", _autoencoder(model.codec)))
    found += training_facts(model.info)
    if model.distilled:
        found.append(("distilled", f"networks of {', '.join(map(str, sorted(model.distilled)))} evaluations"))
    return found + run_facts(model.info, model.plans)


def _data(data: Mapping[str, Any], model: TrainedModel) -> str:
    shape = " x ".join(str(s) for s in records_codec(model.codec).shape)
    if not data:
        return f"records of shape {shape}"
    columns = f" ({', '.join(data['columns'])})" if data.get("columns") else ""
    stream = data.get("stream") or {}
    looked = stream.get("looked")
    some = f"; pixels measured on {looked:,} of the {data['rows']:,}" if looked == stream.get("sample", 0) else ""
    return (
        f"{data['source']}: {data['rows']:,} rows to train on, {data['held']:,} held out; {data['kind']} of shape "
        f"{shape}{columns}{some}"
    )


def _autoencoder(codec: LatentCodec) -> str:
    pixels = " x ".join(str(s) for s in codec.images.record_shape)
    ratio = math.prod(codec.images.record_shape) / math.prod(codec.shape)
    return (
        f"{codec.autoencoder.form}: pictures of {pixels} as latents of {' x '.join(map(str, codec.shape))}, "
        f"{ratio:.3g} numbers to 1; densities are of latents, in nats of the latent, and none is of pixels"
    )


def _network(model: Denoiser | Energy) -> str:
    network = model.potential if isinstance(model, Energy) else model.network
    count = sum(p.numel() for p in model.parameters())
    kind = "energy" if isinstance(model, Energy) else f"denoiser, target {model.target.name}"
    classes = f", {model.classes} classes" if model.classes else ""
    return f"{network_name(network)}, {count:,} parameters ({kind}{classes})"


def _range(model: TrainedModel) -> str:
    m = model.model
    return (
        f"sigma {m.sigma_min:g} to {m.sigma_max:.4g}, in standard deviations of the data (measured {m.sigma_data:.4g})"
    )


def write_report(path: str | Path, model: TrainedModel, comparison: Comparison, more: Sequence[str] = ()) -> None:
    """Write the page: real next to new records, denoising, nearest training records, losses, figures, settings.

    Args:
        path: file to write, .html.
        model: the trained model.
        comparison: its samples compared with real records, from `records.evaluate.evaluate`.
        more: sections of HTML, after the pictures of real and new records.
    """
    c = comparison
    codec, grid = records_codec(model.codec), isinstance(model.codec, GridCodec)
    image, latent = isinstance(codec, ImageCodec), isinstance(model.codec, LatentCodec)
    weighting = (
        "Denoising loss on held-out records with fixed noise, per coordinate, in EDM's weighting; it is not zero at "
        "its best, because noise cannot be guessed."
    )
    sections = (
        _lead(model, c),
        _grids(model, c) if grid else _images(c) if image else _columns(model, c),
        *more,
        metrics_section(c, _what(model), c.decoded),
        _denoising(model, c) if image and not latent else "",
        _nearest(model, c) if image else "",
        losses_section(model.info, weighting),
        settings_section(facts(model), c),
    )
    write_page(path, f"{Path(c.source).name}: samples of a score model", sections)


def _lead(model: TrainedModel, c: Comparison) -> str:
    data, what = complete(model.info.get("data"), "rows"), _what(model)
    training = complete(model.info.get("training"), "steps", "seconds")
    many = f"{data['rows']:,} {what}" if data else what
    time = f" in {training['seconds']:.0f} s ({training['steps']:,} steps)" if training else ""
    count = sum(p.numel() for p in model.model.parameters())
    return (
        f'<p class="lead">A network of {count / 1e6:.2f} million parameters learned the score of {many}{time}. '
        f"Below, {len(c.new):,} new {what}, drawn with {c.steps} network evaluations each, next to {len(c.real):,} "
        f"real ones{' that it has never seen' if c.unseen else ''}.</p>"
    )


def _what(model: TrainedModel) -> str:
    """What several records are called."""
    if isinstance(model.codec, GridCodec):
        return "series" if len(model.codec.sizes) == 1 else "volumes"
    return "images" if isinstance(records_codec(model.codec), ImageCodec) else "rows"


def _grids(model: TrainedModel, c: Comparison) -> str:
    """Series as lines; of volumes the slices in the middle."""
    real, new = (x if x.ndim == len(model.codec.shape) + 1 else x[..., None] for x in (c.real, c.new))
    if _what(model) == "series":
        bands = "Shaded: the middle 50 and 90 % at each step; lines: the first five."
        parts = [
            figure(series_svg(real, new), bands),
            figure(memory_svg(real, new), "How series remember, and spread: the first channel."),
        ]
        return f"<h2>Real and new</h2>{''.join(parts)}"
    middle = real.shape[1] // 2
    slices = [x[:80, middle, ..., 0].astype(np.float64) for x in (real, new)]
    span = (float(slices[0].min()), float(slices[0].max()))
    captions = ("Real, held out" if c.unseen else "Real", "New, from the model")
    pictures = [
        figure(figures.images_png(part, 10, span=span), f"{caption}: slice {middle + 1}", pixels=True)
        for part, caption in zip(slices, captions, strict=True)
    ]
    return f'<h2>Real and new</h2><div class="pair">{"".join(pictures)}</div>'


def _images(c: Comparison) -> str:
    pictures = [
        figure(figures.images_png(_some(part, 80), 10), caption, pixels=True)
        for part, caption in ((c.real, "Real, held out" if c.unseen else "Real"), (c.new, "New, from the model"))
    ]
    return f'<h2>Real and new</h2><div class="pair">{"".join(pictures)}</div>'


def _some(records: np.ndarray, n: int) -> np.ndarray:
    """At most n records from all over their order, which may be that of their classes."""
    return records[np.linspace(0, len(records) - 1, min(n, len(records))).round().astype(int)]


def _columns(model: TrainedModel, c: Comparison) -> str:
    columns = model.info.get("data", {}).get("columns") or [f"x{j}" for j in range(c.real.shape[1])]
    parts = [figure(figures.marginals_svg(c.real, c.new, columns), "Each column: real filled, new outlined.")]
    if len(columns) > 1:
        parts.append(figure(figures.scatter_svg(c.real, c.new, columns), "The most correlated pairs of columns."))
    return f"<h2>Real and new</h2>{''.join(parts)}"


def _denoising(model: TrainedModel, c: Comparison) -> str:
    clean = _some(c.real, 12)
    condition = None if c.real_labels is None or model.frequencies is None else _some(c.real_labels, 12)
    strips = [figure(figures.images_png(clean, 12), "Held-out images" if c.unseen else "Real images", pixels=True)]
    for sigma in LEVELS:
        noised = model.add_noise(clean, sigma, seed=c.seed)
        guess = model.denoise(noised, sigma, condition)
        span = (float(clean.min()), float(clean.max()))
        both = np.concatenate([noised, guess]).astype(np.float64)
        caption = f"Noise of {sigma:g} standard deviations, and what the model makes of it"
        strips.append(figure(figures.images_png(both, 12, span=span), caption, pixels=True))
    return (
        "<h2>Denoising</h2><p>The model's answer is the posterior mean E[x0 | x]: sharp where the noise leaves no "
        f"doubt, an average of what is possible where it does.</p>{''.join(strips)}"
    )


def _nearest(model: TrainedModel, c: Comparison) -> str:
    if c.training is None:
        return ""
    codec = records_codec(model.codec)
    _, index = metrics.nearest(codec.encode(c.new[:12]), Encoded(codec, c.training))
    both = np.concatenate([c.new[:12], c.training[index.numpy()]])
    return (
        "<h2>Copies?</h2><p>New images above, the nearest training image below each. "
        "A model that had learned its data by heart would show pairs that are the same.</p>"
        + figure(figures.images_png(both, 12), "New / nearest training image", pixels=True)
    )
