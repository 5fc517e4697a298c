"""What is wrong with the built site: links and pictures that lead nowhere, formulas that are not typeset.

What is a formula and what is code is said by `formulas.py`.

python docs/check_site.py docs/_build/html
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import formulas

RAW = re.compile(r"\\(?:frac|nabla|sigma|alpha|int|sum|sqrt|mathbb|tfrac|log)\b|\$\$")
"""TeX that a reader should not see."""
PLAIN = re.compile(r"(?<![\w^])[A-Za-z0-9)]{1,2}\^[-(\w]|\b(?:sigma|theta|eps|x0)(?![\w_])(?: [=/*+<>]|[.,;)]? )")
"""Formulas between words that a reader should see typeset."""
ANYTHING = {"scenes.html"}
"""Pages whose anchors are states of a program, not places."""


CODE = ("code", "pre", "script", "style", "math")
NAMED = ("dt", "strong", "a", "title", "button", "h1", "h2", "h3", "h4", "svg", "label")
"""Where names of arguments and titles stand."""


@dataclass
class Page(HTMLParser):
    """The links, the anchors and the bare TeX of a page."""

    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    raw: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    _inside: int = 0
    _named: int = 0
    _code: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.links += [str(found[name]) for name in ("href", "src") if found.get(name)]
        self.anchors |= {str(found[name]) for name in ("id", "name") if found.get(name)}
        self._inside += tag in CODE
        self._named += tag in NAMED
        if tag == "code" and "docutils literal" in str(found.get("class")):
            self.codes.append("")
            self._code = True

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag in CODE
        self._named -= tag in NAMED
        self._code &= tag != "code"

    def handle_data(self, data: str) -> None:
        if self._code:
            self.codes[-1] += data
        if not self._inside:
            self.raw += RAW.findall(data)
            self.raw += [] if self._named else [" ".join(found.split()) for found in PLAIN.findall(data)]


def read(path: Path) -> Page:
    """The page of a file."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def faults(folder: Path) -> Iterator[str]:
    """A sentence for each link to nothing and each formula that is not typeset."""
    pages = {path: read(path) for path in sorted(folder.rglob("*.html")) if path.name not in ANYTHING}
    for path, page in pages.items():
        name = path.relative_to(folder)
        yield from (f"{name}: {tex} is not typeset" for tex in page.raw)
        for code in dict.fromkeys(page.codes):
            if formulas.tex(code):
                yield f"{name}: the formula {code!r} is shown as code"
            elif formulas.unclear(code):
                yield f"{name}: {code!r} is neither a formula that is read nor code: write it as docs/formulas.py says"
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                yield f"{name}: {link} leads to no file"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name}: {link} leads to no place in its page"


if __name__ == "__main__":
    found = list(faults(Path(sys.argv[1]).resolve()))
    sys.stderr.write("".join(f"{fault}\n" for fault in found))
    sys.exit(1 if found else 0)
