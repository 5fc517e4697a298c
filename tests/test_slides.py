"""A lesson is written once: its slides are parts of the same text. Run where the extra `docs` is installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("sphinx", minversion="8.2")
pytest.importorskip("myst_parser")

DOCS = Path(__file__).parent.parent / "docs"
CONF = f"""
import sys
sys.path.insert(0, {str(DOCS / "lessons")!r})
import teaching
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
html_theme = "basic"
setup = teaching.setup
"""
LESSON = r"""# 9. A & B

The question.

% page

For the page alone.

## One

:::{derivation}
a = b
: as $x > 0$
c = d
: so
:::

% slide

Another slide of One.

% page

Details.

% slide

A third.

## Two

:::{live} field?preset=two modes&sigma=0.1
Told before.
:::
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from sphinx.cmd.build import main

    source = tmp_path_factory.mktemp("docs")
    (source / "lessons").mkdir()
    (source / "conf.py").write_text(CONF, encoding="utf-8")
    (source / "index.md").write_text("# Index\n\n```{toctree}\nlessons/lesson_9\n```\n", encoding="utf-8")
    (source / "lessons" / "lesson_9.md").write_text(LESSON, encoding="utf-8")
    assert main(["-q", "-W", "-b", "html", str(source), str(source / "out")]) == 0
    return {path.stem: path.read_text(encoding="utf-8") for path in (source / "out" / "lessons").glob("*.html")}


def test_slides_are_the_parts_of_the_text(made: dict[str, str]) -> None:
    slides = re.findall(r"<section class='slide'>(.*?)</section>", made["slides_9"], re.DOTALL)
    titles = [
        re.sub(r"<[^>]+>", "", re.search(r"<(h\d|p)[^>]*rubric.*?</\1>", slide, re.DOTALL)[0]) for slide in slides
    ]
    assert titles == ["9. A &amp; B", "One", "One", "One", "Two"]
    assert "The question." in slides[0] and "A third." in slides[3]
    assert "For the page alone." in made["lesson_9"] and "For the page alone." not in made["slides_9"]
    assert "Details." in made["lesson_9"] and "Details." not in made["slides_9"]
    assert "<title>9. A &amp; B</title>" in made["slides_9"] and 'href="lesson_9.html"' in made["slides_9"]


def test_steps_stand_beside_their_reasons_on_both(made: dict[str, str]) -> None:
    for text in made.values():
        steps = re.findall(r'<div class="[^"]*\bstep\b[^"]*">(.*?)</p>', text, re.DOTALL)
        assert len(steps) == 2 and all("math" in step and "reason" in step for step in steps)


def test_a_scene_is_an_address_that_nothing_loads_yet(made: dict[str, str]) -> None:
    address = "../scenes.html#/field?preset=two%20modes&amp;sigma=0.1"
    for text in made.values():
        assert f"data-src='{address}'" in text and " src='../scenes" not in text and f"href='{address}'" in text
