"""The site: `make docs` writes it to docs/_build/html, with no network and no warnings."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.writers.html5 import HTML5Translator

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "lessons")]

import build  # noqa: E402
import front  # noqa: E402
import galleries  # noqa: E402

from scorefield import __version__  # noqa: E402

project = "scorefield"
author = "scorefield contributors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "examples", "data"]
sphinx_gallery_conf = galleries.configuration()
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
default_role = "code"  # docstrings are Markdown: one backtick is code
python_display_short_literal_types = True
toc_object_entries_show_parents = "hide"
html_theme = "furo"
html_title = f"scorefield {version}"
# the explorer as one file, which `make docs` writes
html_extra_path = ["_extra"] if (Path(__file__).parent / "_extra").is_dir() else []
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["copy.js"]
html_favicon = "../src/scorefield/explorer/page/icon.svg"
html_math_renderer = "mathml"
html_copy_source = False
html_show_search_summary = False  # excerpts.py shows them, without a server
html_show_sphinx = False
html_show_copyright = False

MEASUREMENTS = {"results": "benchmarks.md", "tables": "benchmark-tables.md"}
"""Pages of measurements that have names of their own; the others lie in `measurements`."""


class Value(SphinxRole):
    """`{value}` with `name = number`: shows the number, which a test compares with what the lesson's code gives."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        shown = self.text.split("=", 1)[1].strip()
        return [nodes.inline("", shown.replace("-", "\N{MINUS SIGN}"), classes=["computed"])], []


class Computed(SphinxDirective):
    """A table that the lesson's code gives; the argument is its name."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        box = nodes.container(classes=["computed-table"])
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]


def _mathml(tex: str, as_block: bool) -> str:
    """With TeX's thin spaces around names of functions, as in `p log p`, but none before a bracket."""
    text = tex2mathml(tex, as_block=as_block)
    text = re.sub(r"<mo>&ApplyFunction;</mo>(?=\s*<m(?!o\b))", '<mo rspace="0.167em">&ApplyFunction;</mo>', text)
    before = r"(</m(?:i|n|sub|sup|frac)>)(?=\s*<mi[^>]*>\w{2,}</mi>\s*<mo[^>]*>&ApplyFunction;)"
    return re.sub(before, r'\1<mspace width="0.167em"/>', text).replace("'", "\N{PRIME}")


def _inline_math(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(_mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def _block_math(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math-block">{_mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def _signs(text: str) -> str:
    """Text of a docstring with its * and | as signs, but for a word or two between * that stand alone."""
    parts = re.split(r"((?<![\w*])\*[^\W\d_][\w ]*[^\W_]\*(?![\w*]))", text.replace("|", "\\|"))
    return "".join(part if k % 2 else part.replace("*", "\\*") for k, part in enumerate(parts))


def _markdown(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings mark code with one backtick, and use | and * as signs: keep both as they are, but for *emphasis*."""
    if what == "property" and lines:  # napoleon would take what stands before a colon for the type
        lines[0] = lines[0].replace(": ", ", that is ")
    example = False
    for k, line in enumerate(lines):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        parts = line.split("`")
        if not example and "``" not in line and len(parts) % 2:
            parts[::2] = [_signs(part) for part in parts[::2]]
            lines[k] = "``".join(parts)


def _inside(app: Sphinx, name: str, source: list[str]) -> None:
    """Links of the guides to the repository's measurements lead to the page that shows them."""
    source[0] = re.sub(r"\]\(\.\./benchmarks/(\w+)\.md\)", _measurement, source[0])


def _measurement(link: re.Match[str]) -> str:
    return f"]({MEASUREMENTS.get(link[1], f'measurements/{link[1]}.md')})"


def _not_run(app: Sphinx, name: str, source: list[str]) -> None:
    """The page of an example that lacks a package says so."""
    source[0] = galleries.noted(name, source[0])


def setup(app: Sphinx) -> None:
    sys.path.insert(0, str(HERE / "commands"))
    app.setup_extension("command_directive")  # what the command line says of itself
    app.add_role("value", Value())
    app.add_directive("computed", Computed)
    app.add_html_math_renderer("mathml", (_inline_math, None), (_block_math, None))
    app.setup_extension("teaching")  # of the lessons, and their slides
    app.setup_extension("typeset")
    app.setup_extension("excerpts")  # of the search
    app.connect("autodoc-process-docstring", _markdown, priority=400)
    app.connect("source-read", _inside)
    app.connect("source-read", _not_run)
    build.figures()
    front.pictures()
