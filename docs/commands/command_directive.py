"""Directives of the site that show what the command line says of itself: `command`, `commands`, `exit-codes`."""

from __future__ import annotations

import re

import command_text
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class _Shown(SphinxDirective):
    """Markdown that a function gives, in the place of the directive; what follows a heading is a section."""

    def text(self) -> str:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # what the command line says may have changed
        first, *others = re.split(r"^## ", self.text(), flags=re.MULTILINE)
        return [*self._parsed(first), *(self._section(*part.split("\n", 1)) for part in others)]

    def _section(self, title: str, text: str) -> nodes.section:
        part = nodes.section("", nodes.title(title, title), ids=[nodes.make_id(title)], names=[title.lower()])
        part += self._parsed(text)
        return part

    def _parsed(self, text: str) -> list[nodes.Node]:
        box = nodes.container()
        self.state.nested_parse(StringList(text.splitlines(), "the command line"), 0, box)
        return box.children


class CommandDirective(_Shown):
    """What `scorefield NAME --help` says, NAME being the argument."""

    required_arguments = 1

    def text(self) -> str:
        return command_text.markdown(self.arguments[0])


class CommandsDirective(_Shown):
    """A table of all commands."""

    def text(self) -> str:
        return command_text.table()


class CodesDirective(_Shown):
    """A table of the exit codes."""

    def text(self) -> str:
        return command_text.codes()


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command", CommandDirective)
    app.add_directive("commands", CommandsDirective)
    app.add_directive("exit-codes", CodesDirective)
    return {"parallel_read_safe": True}
