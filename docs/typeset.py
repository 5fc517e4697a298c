"""Formulas of docstrings and guides, which are plain text, as mathematics in the pages: `formulas.py` reads them."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from formulas import tex
from formulas_prose import prose
from sphinx import addnodes
from sphinx.application import Sphinx

AS_THEY_ARE = (
    nodes.literal,
    nodes.literal_block,
    nodes.doctest_block,
    nodes.math,
    nodes.math_block,
    nodes.strong,
    nodes.title,
    nodes.raw,
    nodes.comment,
    nodes.reference,
    addnodes.pending_xref,
    addnodes.desc_signature,
    addnodes.toctree,
)
"""In these, words stay words."""


def doctree(app: Sphinx, page: nodes.document) -> None:
    """After a page was read: code that is a formula, a line that is one, and formulas between words."""
    for code in list(page.findall(nodes.literal)):
        made = tex(code.astext())
        if made and "no-math" not in code.get("classes", ()):
            code.replace_self(nodes.math(made, made))
    for quote in list(page.findall(nodes.block_quote)):
        for line in list(quote.findall(nodes.paragraph)):
            made = tex(line.astext()) if all(isinstance(child, nodes.Text) for child in line) else None
            if made:
                line.replace_self(nodes.math_block(made, made, nowrap=True, number=None, label=None))
    for words in list(page.findall(nodes.Text)):
        if not _stays(words):
            pieces = prose(words.astext())
            if any(made for _, made in pieces):
                words.parent.replace(
                    words, [nodes.math(made, made) if made else nodes.Text(text) for text, made in pieces]
                )


def _stays(node: nodes.Node) -> bool:
    """Whether the words are code, a name, a title or a link."""
    while node.parent is not None:
        node = node.parent
        if isinstance(node, AS_THEY_ARE):
            return True
    return False


def setup(app: Sphinx) -> dict[str, Any]:
    """The version is that of what pages are read as: with another one, Sphinx reads those it has kept anew."""
    app.connect("doctree-read", doctree)
    return {"env_version": 1, "parallel_read_safe": True}
