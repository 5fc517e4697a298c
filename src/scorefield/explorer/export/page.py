"""The exported page: the explorer's own files, its recording, with nothing to be fetched."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path

from scorefield import __version__, _files
from scorefield.explorer.export.of_runs import SOME, Few, record_run
from scorefield.explorer.export.recording import Recording
from scorefield.explorer.export.scenes import FULL, Scope, record
from scorefield.explorer.server import PAGE
from scorefield.explorer.session import Session
from scorefield.progress import Report, silent

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


def write(
    file: Path, scope: Scope = FULL, session: Session | None = None, few: Few = SOME, report: Report = silent
) -> int:
    """Write scenes with recorded answers as one HTML file, and give its size in bytes.

    Args:
        file: to write.
        scope: of the scenes of exact densities.
        session: on a run of images, a table or a posterior, whose scene is written in their place; None: on none.
        few: of the scene of a run.
        report: hears how far the scenes of exact densities are.

    Raises:
        OSError: where the file cannot be written.
        ValueError: for a run that has no scene of its own.
    """
    recording = Recording(session or Session())
    stops = record(recording, scope, report) if session is None else record_run(recording, session, few)
    told = {"version": __version__, "stops": stops, "entries": recording.entries}
    html = page(json.dumps(told, allow_nan=False, separators=(",", ":")), recording.frame).encode()
    _files.write_bytes(file, html)
    return len(html)


def page(content: str, frame: bytes) -> str:
    """The page around a recording, its JSON and its frame of arrays."""
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    css = "".join(_text(name) for name in ("js/vendor/uplot/uPlot.min.css", "style.css"))
    html = re.sub(r'<link rel="stylesheet"[^>]*>\n', "", html)
    html = re.sub(r'<script [^>]*src="[^"]*"[^>]*></script>\n', "", html)
    html = html.replace("static/icon.svg", _data("image/svg+xml", (PAGE / "icon.svg").read_bytes()))
    head = [
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<style>{css}</style>",
        f"<script>{_text('js/theme.js')}</script>",
        f'<script type="importmap">{_import_map()}</script>',
    ]
    tail = [
        f'<script type="application/json" id="recording">{_packed(content.encode())}</script>',
        f'<script type="application/octet-stream" id="frame">{_packed(frame)}</script>',
        f"<script>{_text('js/vendor/uplot/uPlot.iife.min.js')}</script>",
        '<script type="module">import "exported";</script>',
    ]
    html = html.replace('<meta charset="utf-8">\n', '<meta charset="utf-8">\n' + "\n".join(head) + "\n")
    return html.replace("</body>", "\n".join(tail) + "\n</body>")


def _text(name: str) -> str:
    """A file of the page; what would end the element around it is escaped."""
    return (PAGE / name).read_text(encoding="utf-8").replace("</script", "<\\/script")


def _import_map() -> str:
    """The modules by bare names, each as an address that holds it: a page from a file may import no others."""
    folders = ("js", "js/scenes", "js/vendor/gifenc")
    files = [file for folder in folders for file in sorted((PAGE / folder).glob("*.js"))]
    sources = {file.stem: file.read_text(encoding="utf-8") for file in files if file.stem not in ("main", "theme")}
    bare = {name: re.sub(r'from "[./]+(?:[a-z]+/)*([a-z]+)\.js"', r'from "\1"', text) for name, text in sources.items()}
    return json.dumps({"imports": {name: _data("text/javascript", text.encode()) for name, text in bare.items()}})


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _packed(content: bytes) -> str:
    """Compressed, as text; the same for the same content."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
