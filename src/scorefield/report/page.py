"""A self-contained HTML page, and the sections that every report has."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from scorefield import _files
from scorefield.metrics.comparison import Figure, Finding
from scorefield.report.facts import Facts
from scorefield.report.figures import losses_svg

STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1f2430; --muted: #4b5563; --line: #dfe3ea; --card: #f6f8fb;
        --good: #1a7048; --warn: #a8400a; }
@media (prefers-color-scheme: dark) { :root { --page: #0f141d; --text: #e9eef7; --muted: #9dabc2; --line: #2a3548;
        --card: #161d2a; --good: #5fd39a; --warn: #f5a524; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 61rem;
       margin: 2.5rem auto; padding: 0 1.25rem; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; }
p { margin: .4rem 0 .9rem; max-width: 46rem; } .lead, figcaption { color: var(--muted); }
img { max-width: 100%; height: auto; display: block; } .pixels { image-rendering: pixelated; }
.pair { display: flex; gap: 2rem; } .pair figure { flex: 1 1 0; } figure { margin: 0 0 1rem; }
figcaption { font-size: .9rem; margin: 0 0 .35rem; }
.scroll { overflow-x: auto; } .map img { width: 30rem; } .wide img { max-width: none; width: 100%; min-width: 36rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 13.5rem), 1fr)); gap: .6rem 1rem; }
.grid figure { margin: 0; } .grid img { width: 100%; } .grid .off { border-left: 3px solid var(--warn);
        padding-left: .5rem; }
.verdict { background: var(--card); border: 1px solid var(--line); border-radius: .8rem; padding: .9rem 1.1rem;
        margin: 1.1rem 0; }
.verdict .first { font-size: 1.2rem; font-weight: 600; line-height: 1.4; margin: 0 0 .6rem; max-width: none; }
.verdict ul { list-style: none; margin: 0; padding: 0; }
.verdict li { padding: .3rem 0 .3rem 1.7rem; position: relative; }
.verdict li::before { position: absolute; left: 0; font-weight: 700; width: 1.3rem; text-align: center; }
.good::before { content: "\\2713"; color: var(--good); } .warn::before { content: "!"; color: var(--warn); }
.none::before { content: "\\2013"; color: var(--muted); }
table { border-collapse: collapse; font-size: .95rem; } th, td { text-align: left; padding: .35rem .9rem .35rem 0;
        border-bottom: 1px solid var(--line); vertical-align: top; } td.number { font-variant-numeric: tabular-nums;
        white-space: nowrap; } th { font-weight: 600; } td { min-width: 4.5rem; overflow-wrap: break-word; }
@media (max-width: 40rem) { body { margin: 1.2rem auto; padding: 0 .9rem; } .pair { display: block; }
        th, td { padding-right: .7rem; } td:last-child { min-width: 8rem; }
        .grid { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .6rem; } }
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


def verdict_box(headline: str, findings: Iterable[Finding]) -> str:
    """What a page opens with: the verdict, and each finding with its mark."""
    marks = {True: "good", False: "warn", None: "none"}
    items = "".join(f'<li class="{marks[f.good]}">{html.escape(f.text)}</li>' for f in findings)
    return f'<section class="verdict"><p class="first">{html.escape(headline)}</p><ul>{items}</ul></section>'


def metrics_section(c: Comparison, what: str, decoded: Iterable[Figure] = ()) -> str:
    """Each metric of new records against real ones, next to its value for two halves of the real ones.

    Args:
        c: the comparison.
        what: several records are called.
        decoded: the metrics of records that went through an autoencoder, for a column of their own.
    """
    through = {f.name: plus_minus(f.text()) for f in decoded}
    rows = [
        (
            f"<b>{html.escape(f.name)}</b>",
            plus_minus(f.text()),
            *([through.get(f.name, "")] if through else []),
            plus_minus(f.floor_text()),
            html.escape(f.meaning),
        )
        for f in c.figures
    ]
    between = ["decoded against real"] if through else []
    header = ("", "new against real", *between, "real against real", "what it says")
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
    picture = figure(losses_svg(evaluations), f"Pale: early evaluations; dark: the last{dashed}.", kind="wide")
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
    return f'<div class="scroll"><table>{head}{cells}</table></div>'


def figure(picture: bytes, caption: str, pixels: bool = False, kind: str = "", alt: str = "") -> str:
    """A picture under its caption.

    Args:
        picture: PNG or SVG.
        caption: as text.
        pixels: enlarged without smoothing.
        kind: class of the figure: "wide" keeps its size on a small screen, where it can be scrolled.
        alt: what it shows, for those who do not see it; default: the caption.
    """
    form = "png" if picture.startswith(b"\x89PNG") else "svg+xml"
    content = base64.b64encode(picture).decode()
    smooth = ' class="pixels"' if pixels else ""
    image = f'<img{smooth} alt="{html.escape(alt or caption)}" src="data:image/{form};base64,{content}">'
    above = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    image = f'<div class="scroll">{image}</div>' if kind == "wide" else image
    return f"<figure{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{above}{image}</figure>"
