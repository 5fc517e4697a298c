"""What the site's scripts do, also where it is opened from a disk: excerpts in the search, code that is copied."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from explorer_browser import needed

if TYPE_CHECKING:
    from playwright.sync_api import Page

DOCS = Path(__file__).parent.parent / "docs"
SPEC = importlib.util.spec_from_file_location("excerpts", DOCS / "excerpts.py")
excerpts = sys.modules["excerpts"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(excerpts)

PAGE = """<html><head><title>no</title></head><body><nav>no</nav><article role="main">
<h1>Sampling<a class="headerlink" href="#x">no</a></h1><p>A sampler is a <code>table</code>. 𝔼</p>
<dl><dt id="plans.ddim">ddim(lv)</dt><dd><p>One step <math><mi>x</mi> <mo>=</mo> <msqrt><mn>2</mn></msqrt></math> a
level.</p></dd><dt id="plans.heun">heun(lv)</dt><dd><p>Two evaluations a level.</p></dd></dl><img src="a.png">
<script>no</script><section id="last"><p>The end &amp; more.</p></section></article><footer>no</footer></body></html>"""


def test_the_text_of_a_page_and_the_places_of_its_anchors() -> None:
    text, anchors = excerpts.read(PAGE)
    assert text.strip() == (
        "Sampling A sampler is a table. 𝔼 ddim(lv) One step x=√2 a level. heun(lv) Two evaluations a level. "
        "The end & more."
    )
    units = text.encode("utf-16-le")  # the browser's characters
    begun = {name: units[2 * at :].decode("utf-16-le").split()[:2] for name, at in anchors.items()}
    assert begun == {"plans.ddim": ["One", "step"], "plans.heun": ["Two", "evaluations"], "last": ["The", "end"]}


def test_all_pages_but_the_search_itself_have_texts(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    for name in ("reference/plans", "search", "genindex"):
        (tmp_path / f"{name}.html").write_text(PAGE, encoding="utf-8")
    (tmp_path / "slides.html").write_text("<p>without a main part</p>", encoding="utf-8")
    assert list(excerpts.texts(tmp_path)) == ["reference/plans"]


@needed
def test_results_get_excerpts_without_a_server(page: Page, tmp_path: Path) -> None:
    """As Sphinx adds results: items of a list below #search-results, one after the other."""
    long = "Words <b>&lt;i&gt;</b> " + "and more " * 60 + "two evaluations"
    text, anchors = excerpts.read(PAGE.replace("Two evaluations", long))
    told = json.dumps({"reference/plans": [text, anchors]})
    (tmp_path / "search_texts.js").write_text(f"window.SEARCH_TEXTS={told};\n", encoding="utf-8")
    (tmp_path / "search_excerpts.js").write_bytes((DOCS / "_static" / "search_excerpts.js").read_bytes())
    (tmp_path / "search.html").write_text(
        '<meta charset="utf-8"><script src="search_excerpts.js"></script><div id="search-results"><ul></ul></div>',
        encoding="utf-8",
    )
    page.goto(f"{(tmp_path / 'search.html').as_uri()}?q=Evaluations")
    page.evaluate(
        """for (const place of ["reference/plans.html", "reference/plans.html#plans.heun", "nowhere.html"]) {
          const item = document.createElement("li");
          item.innerHTML = `<a href="${place}">result</a>`;
          document.querySelector("ul").append(item);
        }"""
    )
    page.locator(".context mark").first.wait_for()
    whole, entry, nowhere = (item.inner_text() for item in page.locator("li").all())
    for shown in (whole, entry):
        assert "… " in shown and "two evaluations a level." in shown and len(shown) < 350
    assert page.locator("mark").all_inner_texts() == ["evaluations"] * 2
    assert nowhere == "result"
    assert not page.locator(".context i, .context b").count()  # text of a page is no HTML


SESSION = """<article><div class="highlight"><pre><span class="gp">&gt;&gt;&gt; </span>for k in (1, 2):
<span class="gp">... </span>    print(k)
<span class="gp">...</span>
<span class="go">1</span>
<span class="go">2</span>
<span class="gp">&gt;&gt;&gt; </span>x = 3
</pre></div><div class="highlight"><pre>scorefield fit wine -o run
</pre></div><div class="sphx-glr-script-out"><div class="highlight"><pre>output</pre></div></div></article>"""


@needed
def test_code_is_copied_as_it_is_typed(page: Page, tmp_path: Path) -> None:
    """Without prompts and answers; what a program wrote is not to be typed. Where there is no clipboard, too."""
    script = (DOCS / "_static" / "copy.js").read_text(encoding="utf-8")
    heard = "addEventListener('copy', () => { window.copied = document.activeElement.value; });"
    for clipboard in ("{ writeText: async (text) => { window.copied = text; } }", "undefined"):
        lacking = f"Object.defineProperty(navigator, 'clipboard', {{ value: {clipboard} }});"
        text = f'<meta charset="utf-8"><script>{lacking}{heard}{script}</script>{SESSION}'
        (tmp_path / "page.html").write_text(text, encoding="utf-8")
        page.goto((tmp_path / "page.html").as_uri())
        buttons, copied = page.locator("button.copy"), []
        for button in buttons.all():
            button.click()
            page.wait_for_function("window.copied !== undefined")
            copied.append(page.evaluate("const now = window.copied; window.copied = undefined; now"))
        assert copied == ["for k in (1, 2):\n    print(k)\n\nx = 3\n", "scorefield fit wine -o run\n"]
        assert buttons.all_inner_texts() == ["Copied", "Copied"]
