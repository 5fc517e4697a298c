"""The report: one self-contained HTML page about a run and its samples."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from scorefield import _files, metrics
from scorefield.records.evaluate import Comparison
from scorefield.records.trained import TrainedModel
from scorefield.report import figures
from scorefield.report.describe import facts

LEVELS = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Noise levels at which held-out images are denoised, in standard deviations of the data."""

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #1f2430; background: #fff; max-width: 61rem; margin: 2.5rem auto;
       padding: 0 1.25rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; }
p { margin: .4rem 0 .9rem; max-width: 46rem; } .lead { color: #4b5563; }
img { max-width: 100%; height: auto; display: block; } .pixels { image-rendering: pixelated; }
.pair { display: flex; gap: 2rem; } .pair figure { flex: 1 1 0; } figure { margin: 0 0 1rem; }
figcaption { font-size: .9rem; color: #4b5563; margin: 0 0 .35rem; }
table { border-collapse: collapse; font-size: .95rem; } th, td { text-align: left; padding: .35rem .9rem .35rem 0;
        border-bottom: 1px solid #e5e7eb; vertical-align: top; } td.number { font-variant-numeric: tabular-nums;
        white-space: nowrap; } th { font-weight: 600; }
"""


def write_report(path: str | Path, model: TrainedModel, comparison: Comparison) -> None:
    """Write the page: real beside new records, denoising, nearest training records, losses, figures, settings.

    Args:
        path: file to write, .html.
        model: the trained model.
        comparison: its samples beside real records, from `evaluation.evaluate`.
    """
    image = comparison.real.ndim > 2
    sections = [
        _images(comparison) if image else _table(model, comparison),
        _metrics(comparison),
        _denoising(model, comparison) if image else "",
        _nearest(model, comparison) if image else "",
        _losses(model),
        _settings(model, comparison),
    ]
    title = f"{Path(comparison.source).name}: samples of a score model"
    body = f"<h1>{html.escape(title)}</h1>{_lead(model, comparison)}{''.join(sections)}"
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )
    _files.write_bytes(Path(path), page.encode())


def _lead(model: TrainedModel, c: Comparison) -> str:
    training, what = model.info["training"], "images" if c.real.ndim > 2 else "rows"
    return (
        f'<p class="lead">A network of {training["parameters"] / 1e6:.2f} million parameters learned the score of '
        f"{model.info['data']['rows']:,} {what} in {training['seconds']:.0f} s ({training['steps']:,} steps). "
        f"Below, {len(c.new):,} new {what}, drawn with {c.steps} network evaluations each, beside {len(c.real):,} real "
        f"ones{' that it has never seen' if c.unseen else ''}.</p>"
    )


def _images(c: Comparison) -> str:
    count = 80
    pictures = [
        _figure(figures.images_png(part[:count], 10), caption, pixels=True)
        for part, caption in ((c.real, "Real, held out" if c.unseen else "Real"), (c.new, "New, from the model"))
    ]
    return f'<h2>Real and new</h2><div class="pair">{"".join(pictures)}</div>'


def _table(model: TrainedModel, c: Comparison) -> str:
    columns = model.info["data"]["columns"]
    parts = [_figure(figures.marginals_png(c.real, c.new, columns), "Each column: real filled, new outlined.")]
    if len(columns) > 1:
        parts.append(_figure(figures.scatter_png(c.real, c.new, columns), "The most correlated pairs of columns."))
    return f"<h2>Real and new</h2>{''.join(parts)}"


def _metrics(c: Comparison) -> str:
    rows = [
        (f"<b>{html.escape(f.name)}</b>", _pm(f.text()), _pm(f.floor_text()), html.escape(f.meaning)) for f in c.figures
    ]
    header = ("", "new against real", "real against real", "what it says")
    return (
        "<h2>How good are they?</h2><p>Each figure stands beside the value that two halves of the real records give: "
        f"no sample can be expected to do better.</p>{_rows(header, rows)}{_note(c)}"
    )


def _pm(text: str) -> str:
    return text.replace("+-", "&plusmn;")


def _note(c: Comparison) -> str:
    return f"<p>{html.escape(c.note)}</p>" if c.note else ""


def _denoising(model: TrainedModel, c: Comparison) -> str:
    clean = c.real[:12]
    condition = None if c.real_labels is None or model.frequencies is None else c.real_labels[:12]
    strips = [_figure(figures.images_png(clean, 12), "Held-out images" if c.unseen else "Real images", pixels=True)]
    for sigma in LEVELS:
        noised = model.add_noise(clean, sigma, seed=c.seed)
        guess = model.denoise(noised, sigma, condition)
        span = (float(clean.min()), float(clean.max()))
        both = np.concatenate([noised, guess]).astype(np.float64)
        caption = f"Noise of {sigma:g} standard deviations, and what the model makes of it"
        strips.append(_figure(figures.images_png(both, 12, span=span), caption, pixels=True))
    return (
        "<h2>Denoising</h2><p>The model's answer is the posterior mean E[x0 | x]: sharp where the noise leaves no "
        f"doubt, an average of what is possible where it does.</p>{''.join(strips)}"
    )


def _nearest(model: TrainedModel, c: Comparison) -> str:
    if c.training is None:
        return ""
    _, index = metrics.nearest(model.codec.encode(c.new[:12]), model.codec.encode(c.training))
    both = np.concatenate([c.new[:12], c.training[index.numpy()]])
    return (
        "<h2>Copies?</h2><p>New images above, the nearest training image below each. "
        "A model that had learned its data by heart would show pairs that are the same.</p>"
        + _figure(figures.images_png(both, 12), "New / nearest training image", pixels=True)
    )


def _losses(model: TrainedModel) -> str:
    evaluations = model.info["training"]["evaluations"]
    if not evaluations:
        return ""
    floors = evaluations[-1]["floors"] is not None
    dashed = ", dashed the least possible loss, known exactly for these data" if floors else ""
    return (
        "<h2>Loss per noise level</h2><p>Denoising loss on held-out records with fixed noise, per coordinate, in EDM's "
        "weighting; it is not zero at its best, because noise cannot be guessed.</p>"
        + _figure(figures.losses_png(evaluations), f"Pale: early evaluations; dark: the last{dashed}.")
    )


def _settings(model: TrainedModel, c: Comparison) -> str:
    rows = [(html.escape(name), html.escape(value)) for name, value in facts(model)]
    rows.append(("samples", f"{len(c.new):,}, {c.steps} evaluations each ({html.escape(c.plan)}), seed {c.seed}"))
    return f"<h2>Settings</h2>{_rows((), rows)}"


def _rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = f"<tr>{''.join(f'<th>{h}</th>' for h in header)}</tr>" if header else ""
    cells = "".join(f"<tr>{''.join(f'<td>{v}</td>' for v in row)}</tr>" for row in rows)
    return f"<table>{head}{cells}</table>"


def _figure(png: bytes, caption: str, pixels: bool = False) -> str:
    content = base64.b64encode(png).decode()
    kind = ' class="pixels"' if pixels else ""
    return (
        f"<figure><figcaption>{html.escape(caption)}</figcaption>"
        f'<img{kind} alt="{html.escape(caption)}" src="data:image/png;base64,{content}"></figure>'
    )
