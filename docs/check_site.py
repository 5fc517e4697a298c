"""What is wrong with the built site: links and pictures that lead nowhere, formulas that are not typeset.

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

RAW = re.compile(r"\\(?:frac|nabla|sigma|alpha|int|sum|sqrt|mathbb|tfrac|log)\b|\$\$")
"""TeX that a reader should not see."""
ANYTHING = {"scenes.html"}
"""Pages whose anchors are states of a program, not places."""


@dataclass
class Page(HTMLParser):
    """The links, the anchors and the bare TeX of a page."""

    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    raw: list[str] = field(default_factory=list)
    _inside: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.links += [str(found[name]) for name in ("href", "src") if found.get(name)]
        self.anchors |= {str(found[name]) for name in ("id", "name") if found.get(name)}
        self._inside += tag in ("code", "pre", "script", "style", "math")

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag in ("code", "pre", "script", "style", "math")

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.raw += RAW.findall(data)


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
