"""The commands as text, read from the command line itself: what `command_directive.py` shows and tests compare.

python docs/commands/command_text.py fit       # the page's part that is not written by hand
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from cyclopts.argument import Argument

from scorefield._ranges import Range
from scorefield.cli import app
from scorefield.cli.app import EXIT_CODES

FLAGS = ("--help", "--version")
PLACE = {Path: "PATH", str: "TEXT", int: "N", float: "X"}
KIND = {Path: "a file or folder", str: "text", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Option:
    """An option, or an argument that is given by its place.

    Args:
        names: as they are written, the long one first; of an argument its name in capitals.
        place: what stands for its value; empty for a switch.
        kind: what values it takes.
        default: the value without it, as it would be written; empty where there is none.
        required: whether it must be given.
        text: its help.
    """

    names: tuple[str, ...]
    place: str
    kind: str
    default: str
    required: bool
    text: str

    @property
    def by_place(self) -> bool:
        """Whether it is given by its place."""
        return not self.names[0].startswith("-")


@dataclass(frozen=True)
class Command:
    """A command: its name, what it does in one line, the paragraphs after it, what it takes, and examples."""

    name: str
    summary: str
    paragraphs: tuple[str, ...]
    options: tuple[Option, ...]
    examples: tuple[str, ...]

    @property
    def usage(self) -> str:
        """How it is written: what must be given, and that there is more."""
        must = [one for one in self.options if one.required or one.by_place]
        words = [one.names[0] if one.by_place else f"{one.names[0]} {one.place}" for one in must]
        shown = [word if one.required else f"[{word}]" for one, word in zip(must, words, strict=True)]
        rest = ["[OPTIONS]"] if len(must) < len(self.options) else []
        return " ".join(["scorefield", self.name, *shown, *rest])


def names() -> list[str]:
    """The names of all commands, in the order of the alphabet."""
    return sorted(name for name in app if not name.startswith("-"))


def command(name: str) -> Command:
    """What the command line says of one command.

    Raises:
        KeyError: if there is none of this name.
    """
    found = app[name]
    summary, *paragraphs = (" ".join(part.split()) for part in _before_args(found.help).split("\n\n"))
    arguments = found.assemble_argument_collection(default_parameter=app.default_parameter, parse_docstring=True)
    options = tuple(_option(one) for one in arguments if one.show)
    examples = (found.help_epilogue or "").removeprefix("Examples:").splitlines()
    return Command(name, summary, tuple(paragraphs), options, tuple(line.strip() for line in examples if line.strip()))


def _before_args(text: str) -> str:
    return re.split(r"\n\s*Args:\n", text)[0].strip()


def _option(one: Argument) -> Option:
    (hint, *others), many = _bare(one.hint)
    given = sorted(one.names, key=lambda name: (not name.startswith("--"), one.names.index(name)))
    by_place = one.index is not None
    choices = tuple(map(str, get_args(hint))) if get_origin(hint) is Literal else ()
    switch = hint is bool
    place = "" if switch else "|".join([*(choices or [PLACE[hint]]), *(PLACE[other] for other in others)])
    limits = next((check.limits for check in _checks(one) if isinstance(check.limits, Range)), None)
    kind = (
        "a switch" if switch else f"one of {', '.join(choices)}" if choices else limits.words if limits else KIND[hint]
    )
    kind = ", or ".join([kind, *(KIND[other] for other in others)])
    if many:
        kind += ", several times if need be"
    text = " ".join((one.parameter.help or "").split())
    names = (one.names[0].lstrip("-").upper(),) if by_place else tuple(given)
    default = one.field_info.default
    shown = "" if one.required or default in (None, (), False) else "on" if default is True else str(default)
    return Option(names, place, kind, shown, one.required, text)


def _checks(one: Argument) -> Iterator[object]:
    yield from (check for check in one.parameter.validator or () if hasattr(check, "limits"))


def _bare(hint: object) -> tuple[list[Any], bool]:
    """The types, words first, without `| None` and without the tuple of an option that may be given several times."""
    hints = [hint]
    if get_origin(hint) in (Union, types.UnionType):
        hints = [part for part in get_args(hint) if part is not type(None)]
    if get_origin(hints[0]) is tuple:
        return [get_args(hints[0])[0]], True
    return sorted(hints, key=lambda part: get_origin(part) is not Literal), False


def plain(text: str) -> str:
    """A text of the command line as Markdown: signs are signs, backticks and options code."""
    parts = re.split(r"(`[^`]+`|(?<![\w-])--?[a-z][a-z-]*\b)", text)
    parts[1::2] = [f"`{part.strip('`')}`" for part in parts[1::2]]
    parts[::2] = [re.sub(r"([\\*_<>$\[\]{}#|~])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def markdown(name: str) -> str:
    """The part of a command's page that the command line says: usage, description, options, examples."""
    one = command(name)
    parts = [f"```text\n{one.usage}\n```", plain(one.summary), *map(plain, one.paragraphs)]
    for title, chosen in (
        ("Arguments", [o for o in one.options if o.by_place]),
        ("Options", [o for o in one.options if not o.by_place]),
    ):
        if chosen:
            parts += [f"## {title}", *(_described(option) for option in chosen)]
    parts += ["## Examples", "```sh\n" + "\n".join(_commented(line) for line in one.examples) + "\n```"]
    return "\n\n".join([f":::{{program}} scorefield {name}\n:::", *parts]) + "\n"


def _described(one: Option) -> str:
    signature = ", ".join(name if one.by_place else f"{name} {one.place}".strip() for name in one.names)
    facts = [plain(one.kind)] + ["must be given"] * one.required + [f"default: `{one.default}`"] * bool(one.default)
    text = plain(one.text[:1].upper() + one.text[1:])
    return f":::{{option}} {signature}\n{text}\n\n*{'; '.join(facts)}*\n:::"


def _commented(line: str) -> str:
    """An example, with what is said beside it as a comment of the shell."""
    words, gap, said = re.match(r"(.*?)(?:(\s{3,})(.*))?$", line).groups()  # type: ignore[union-attr]
    return f"{words}{gap}# {said}" if said else words


def table() -> str:
    """All commands with what they do, as a Markdown table."""
    rows = [f"| [`{name}`]({name}.md) | {plain(command(name).summary)} |" for name in names()]
    return "\n".join(["| command | what it does |", "|---|---|", *rows]) + "\n"


def codes() -> str:
    """The exit codes, as a Markdown table."""
    rows = [f"| {code} | {plain(meaning)} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(["| exit code | when |", "|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    for wanted in sys.argv[1:] or names():
        print(markdown(wanted))
