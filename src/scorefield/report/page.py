"""A self-contained HTML page, and the sections that every report has."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from scorefield import _files
from scorefield.metrics.comparison import Figure
from scorefield.report.facts import Facts
from scorefield.report.figures import losses_png

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


class Comparison(Protocol):
    """What every comparison of new with real records holds."""

    @property
    def figures(self) -> tuple[Figure, ...]: ...
    @property
    def new(self) -> Any: ...
    @property
    def steps(self) -> int: ...
    @property
    def plan(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def note(self) -> str: ...


def write_page(path: str | Path, title: str, sections: Iterable[str]) -> None:
    """Write a page.

    Args:
        path: file to write, .html.
        title: as text.
        sections: as HTML.
    """
    name = html.escape(title)
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{STYLE}</style></head><body><h1>{name}</h1>{''.join(sections)}</body></html>\n"
    )
    _files.write_bytes(Path(path), page.encode())


def metrics_section(c: Comparison, what: str) -> str:
    """Each metric of new records against real ones, next to its value for two halves of the real ones."""
    rows = [
        (f"<b>{html.escape(f.name)}</b>", plus_minus(f.text()), plus_minus(f.floor_text()), html.escape(f.meaning))
        for f in c.figures
    ]
    header = ("", "new against real", "real against real", "what it says")
    note = f"<p>{html.escape(c.note)}</p>" if c.note else ""
    return (
        f"<h2>How good are the new {what}?</h2><p>Each figure stands next to the value that two halves of the real "
        f"{what} give: no sample can be expected to do better.</p>{table(header, rows)}{note}"
    )


def losses_section(info: Mapping[str, Any], text: str) -> str:
    """The held-out losses of a training, or nothing where there are none."""
    evaluations = info.get("training", {}).get("evaluations")
    if not evaluations:
        return ""
    floors = evaluations[-1]["floors"] is not None
    dashed = ", dashed the least possible loss, known exactly for these data" if floors else ""
    picture = figure(losses_png(evaluations), f"Pale: early evaluations; dark: the last{dashed}.")
    return f"<h2>Loss per noise level</h2><p>{text}</p>{picture}"


def settings_section(facts: Facts, c: Comparison) -> str:
    """What is known of the run, and how the new records were drawn."""
    rows = [(html.escape(name), html.escape(value)) for name, value in facts]
    rows.append(("samples", f"{len(c.new):,}, {c.steps} evaluations each ({html.escape(c.plan)}), seed {c.seed}"))
    return f"<h2>Settings</h2>{table((), rows)}"


def plus_minus(text: str) -> str:
    """Text with the sign for plus or minus."""
    return text.replace("+-", "&plusmn;")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of HTML cells."""
    head = f"<tr>{''.join(f'<th>{h}</th>' for h in header)}</tr>" if header else ""
    cells = "".join(f"<tr>{''.join(f'<td>{v}</td>' for v in row)}</tr>" for row in rows)
    return f"<table>{head}{cells}</table>"


def figure(png: bytes, caption: str, pixels: bool = False) -> str:
    """A picture under its caption; pixels: enlarged without smoothing."""
    content = base64.b64encode(png).decode()
    kind = ' class="pixels"' if pixels else ""
    return (
        f"<figure><figcaption>{html.escape(caption)}</figcaption>"
        f'<img{kind} alt="{html.escape(caption)}" src="data:image/png;base64,{content}"></figure>'
    )
