"""Excerpts for the site's search, which needs no server for them: the text of all pages in one script.

`_static/search_texts.js` holds the text of each page and where in it the sections and the entries of the reference
begin; `_static/search_excerpts.js` shows the part that was searched for below each result. A page that is opened from
a disk may load scripts, but not other pages.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

LEFT_OUT = {"search", "genindex", "py-modindex"}
HIDDEN = ("script", "style", "button", "svg")
VOID = {"img", "br", "hr", "input", "link", "meta", "source", "wbr", "col", "mspace"}
INLINE = {"a", "b", "code", "em", "i", "span", "strong", "sub", "sup", "mark"}


@dataclass
class Reader(HTMLParser):
    """The text of a page's main part, and at which character each anchor stands."""

    parts: list[str] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    _open: list[tuple[str, bool]] = field(default_factory=list)  # elements, and whether they are hidden
    _entries: list[str] = field(default_factory=list)
    _length: int = 0
    _in_math: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag in VOID or not (self._open or found.get("role") == "main"):
            return
        hidden = tag in HIDDEN or "headerlink" in found.get("class", "").split()
        self._in_math += tag == "math"
        self._say("" if tag in INLINE or self._in_math else " ")
        if tag == "msqrt":
            self._say("√")
        if found.get("id"):
            self.anchors[found["id"]] = self._length
            self._entries += [found["id"]] if tag == "dt" else []
        self._open.append((tag, hidden or bool(self._open and self._open[-1][1])))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or tag in VOID:
            return
        self._open.pop()
        if tag == "dt":  # of an entry of the reference what is said of it is shown, not its signature
            self.anchors |= dict.fromkeys(self._entries, self._length)
            self._entries.clear()
        self._in_math -= tag == "math"
        self._say("" if tag in INLINE or self._in_math else " ")

    def handle_data(self, data: str) -> None:
        if self._open and not self._open[-1][1]:
            self._say(re.sub(r"\s+", "" if self._in_math and not data.strip() else " ", data))

    def _say(self, text: str) -> None:
        """Without two spaces in a row."""
        if text[:1] == " " and (not self.parts or self.parts[-1][-1:] == " "):
            text = text[1:]
        if text:
            self.parts.append(text)
            self._length += len(text.encode("utf-16-le")) // 2  # as the browser counts


def read(html: str) -> tuple[str, dict[str, int]]:
    """The text of a page, and where in it its anchors are."""
    reader = Reader()
    reader.feed(html)
    return "".join(reader.parts), reader.anchors


def texts(folder: Path) -> dict[str, tuple[str, dict[str, int]]]:
    """Of all pages of a site, by their names as the search has them: `reference/plans`."""
    pages = {str(path.relative_to(folder).with_suffix("").as_posix()): path for path in sorted(folder.rglob("*.html"))}
    found = {name: read(path.read_text(encoding="utf-8")) for name, path in pages.items() if name not in LEFT_OUT}
    return {name: page for name, page in found.items() if page[0]}


def write(app: Sphinx, failed: Exception | None) -> None:
    """The script with all texts, once the pages are there."""
    if failed or app.builder.format != "html":
        return
    told = json.dumps(texts(Path(app.outdir)), ensure_ascii=False, separators=(",", ":"))
    (Path(app.outdir) / "_static" / "search_texts.js").write_text(f"window.SEARCH_TEXTS={told};\n", encoding="utf-8")


def _scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    if page == "search":
        app.add_js_file("search_excerpts.js")


def setup(app: Sphinx) -> None:
    """Called by conf.py."""
    app.connect("html-page-context", _scripts)
    app.connect("build-finished", write, priority=900)  # after the slides
