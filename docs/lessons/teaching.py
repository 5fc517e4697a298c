"""What the lessons are written with: derivations in steps, live figures, figures to turn over, and their slides.

    {derivation}       lines of TeX, each followed by its reason: a line that begins with `: `
    {live} ADDRESS     the explorer's recorded page at this address (`field?sigma=0.5`), loaded when it is opened, in
                       place of the picture in the content
    {flip} NAME        the figures of `flips()` of the lesson's code, one at a time

A comment `% slide` begins a slide within a section, and `% page` says that the rest of it is for the page alone.
"""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path

import build
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).parent
SCENES = "../scenes.html"
LESSON = re.compile(r"lessons/lesson_\d+")


class Derivation(SphinxDirective):
    """Steps: formulas below each other, with what allows each beside it."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        box = nodes.container(classes=["derivation"])
        for formula, reason in build.steps("\n".join(self.content)):
            step = nodes.container(classes=["step"])
            step += nodes.math_block(formula, formula, nowrap=True, number=None, label=None)
            words, _ = self.parse_inline(reason, lineno=self.lineno)
            step += nodes.paragraph("", "", *words, classes=["reason"])
            box += step
        return [box]


class Live(SphinxDirective):
    """A scene of the explorer that is loaded when it is opened; its content stands before."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        address = html.escape(f"{SCENES}#/{self.arguments[0].replace(' ', '%20')}")
        name = self.arguments[0].partition("?")[0].capitalize()
        start = f"<details class='live-scene'><summary>Open the scene {name} here</summary>"
        frame = f"<iframe data-src='{address}' title='Scene {name} of the explorer'></iframe>"
        link = (
            f"<p><a href='{address}' target='_blank' rel='noopener'>The same in a window of its own</a></p></details>"
        )
        return [nodes.container("", *self.parse_content_to_nodes(), _raw(start + frame + link), classes=["live"])]


class Flip(SphinxDirective):
    """Figures that a slider turns over; without scripts the first one. Its content is said below."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        lesson, name = Path(self.env.docname).name, self.arguments[0]
        frames = [f"flips/{path.name}" for path in build.flip_files(lesson, name)]
        labels = list(build.flips(lesson)[name])
        told = html.escape(json.dumps({"frames": frames, "labels": labels}))
        figure = (
            f"<figure class='flip' data-flip='{told}'><img src='{frames[0]}' alt='{html.escape(labels[0])}'>"
            f"<label><input type='range' min='0' max='{len(frames) - 1}' value='0'><output>{labels[0]}</output></label>"
            "</figure>"
        )
        title = nodes.paragraph("", "", *self.parse_inline(" ".join(self.content), lineno=self.lineno)[0])
        return [nodes.container("", _raw(figure), title, classes=["live"])]


def _raw(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


# --------------------------------------------------------------------------------------------------------- slides


def slides(lesson: nodes.document) -> list[list[nodes.Node]]:
    """The nodes of each slide: a section, without the sections in it, or the part of one between two marks."""
    found: list[list[nodes.Node]] = []
    for section in lesson.findall(nodes.section):
        title, parts, on_page = section[0], [[]], False
        for node in section.children[1:]:
            mark = node.astext().strip() if isinstance(node, nodes.comment) else ""
            if mark == "slide":
                parts.append([])
            on_page = mark == "page" or (on_page and mark != "slide")
            if not (on_page or isinstance(node, (nodes.section, nodes.comment))):
                parts[-1].append(node)
        level = 1 if section.parent is lesson else 2
        found += [[nodes.rubric("", "", *_copies(title), **{"heading-level": level}), *part] for part in parts if part]
    return found


def _copies(title: nodes.Node) -> list[nodes.Node]:
    return [child.deepcopy() for child in title.children]


def write(app: Sphinx, failed: Exception | None) -> None:
    """`lessons/slides_k.html` beside each lesson of the site that was just built."""
    if failed or app.builder.format != "html" or not hasattr(app.builder, "imgpath"):
        return
    folder = Path(app.outdir) / "lessons"
    if build.FLIPS.is_dir():
        shutil.copytree(build.FLIPS, folder / "flips", dirs_exist_ok=True)
    for docname in sorted(name for name in app.env.found_docs if LESSON.fullmatch(name)):
        builder, name = app.builder, docname.rpartition("/")[2]
        lesson = app.env.get_doctree(docname)
        app.env.apply_post_transforms(lesson, docname)
        builder.current_docname, builder.imgpath = docname, "../_images"
        builder.post_process_images(lesson)
        title = next(iter(lesson.findall(nodes.title))).astext()
        made = [builder.render_partial(nodes.container("", *slide))["fragment"] for slide in slides(lesson)]
        (folder / f"slides_{build.number(name)}.html").write_text(_page(title, name, made), encoding="utf-8")


def _page(title: str, name: str, fragments: list[str]) -> str:
    template = (HERE / "slides.html").read_text(encoding="utf-8")
    made = [f"<section class='slide'><div class='content'>{text}</div></section>" for text in fragments]
    filled = {"TITLE": html.escape(title), "LESSON": f"{name}.html", "SLIDES": "\n".join(made)}
    return re.sub("|".join(filled), lambda match: filled[match[0]], template)


def setup(app: Sphinx) -> None:
    """Called by conf.py."""
    app.add_directive("derivation", Derivation)
    app.add_directive("live", Live)
    app.add_directive("flip", Flip)
    app.add_css_file("lessons.css")
    app.add_js_file("lessons.js", loading_method="defer")
    app.connect("build-finished", write)
