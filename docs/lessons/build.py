"""Numbers, tables and figures of the lessons: computed by `code/lesson_k.py`, written into `lesson_k.md`.

    python docs/lessons/build.py            # fill in what differs, draw the figures

A text holds numbers as ``{value}`name = 1.23` ``, with the digits to show, and tables in blocks ``{computed} name``.
`differences` lists what does not agree with the code; the tests run it.
"""

from __future__ import annotations

import importlib
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).parent
FIGURES = HERE / "figures"
FLIPS = FIGURES / "flips"
VALUE = re.compile(r"\{value\}`(\w+) = ([^`]*)`")
TABLE = re.compile(r"```\{computed\} (\w+)\n(.*?)\n```", re.DOTALL)
REASON = ": "
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def names() -> list[str]:
    """The lessons that exist, in order."""
    return sorted(path.stem for path in HERE.glob("lesson_*.md"))


def number(name: str) -> int:
    """k of `lesson_k`."""
    return int(name.removeprefix("lesson_"))


def code(name: str) -> ModuleType:
    """The module of a lesson: `values()`, `tables()`, `figures()`, `exercises()`, and `flips()` where it has some."""
    folder = str(HERE / "code")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)


def text(name: str) -> str:
    """A lesson as it stands."""
    return (HERE / f"{name}.md").read_text(encoding="utf-8")


def computed(name: str) -> tuple[dict[str, float], dict[str, str]]:
    """All numbers of a lesson, those of its exercises included, and its tables as Markdown."""
    module = code(name)
    values = dict(module.values())
    for exercise in module.exercises().values():
        values.update({check.name: check.by_hand for check in exercise})
    return values, {key: _markdown(*table) for key, table in module.tables().items()}


def filled(name: str) -> str:
    """The text of a lesson with the numbers and tables that its code gives."""
    values, tables = computed(name)
    made = VALUE.sub(lambda m: f"{{value}}`{m[1]} = {_as(values[m[1]], m[2])}`", text(name))
    return TABLE.sub(lambda m: f"```{{computed}} {m[1]}\n{tables[m[1]]}\n```", made)


def differences(name: str) -> list[str]:
    """What text and code do not agree on: a number by more than one in its last digit, a table's words."""
    values, tables = computed(name)
    found = []
    for key, shown in VALUE.findall(text(name)):
        if key not in values:
            found.append(f"{name}: no value {key!r} is computed")
        elif not _agree(shown, _as(values[key], shown)):
            found.append(f"{name}: {key} is {values[key]:.6g}, the text says {shown}")
    for key, shown in TABLE.findall(text(name)):
        if key not in tables:
            found.append(f"{name}: no table {key!r} is computed")
        elif not _agree(shown, tables[key]):
            found.append(f"{name}: the table {key} differs; run docs/lessons/build.py")
    return found


def figures() -> None:
    """Draw all figures, as SVG."""
    FLIPS.mkdir(parents=True, exist_ok=True)
    for name in names():
        for key, figure in code(name).figures().items():
            figure.savefig(FIGURES / f"{name}_{key}.svg", metadata={"Date": None}, bbox_inches="tight")
        for key, frames in flips(name).items():
            for path, figure in zip(flip_files(name, key), frames.values(), strict=True):
                figure.savefig(path, metadata={"Date": None})  # of one size: they take each other's place


def flips(name: str) -> dict[str, dict[str, Figure]]:
    """Figures of a lesson that are shown one at a time, each with its label."""
    made: dict[str, dict[str, Figure]] = getattr(code(name), "flips", dict)()
    return made


@cache
def flip_files(name: str, key: str) -> list[Path]:
    """Where the figures of one name lie."""
    return [FLIPS / f"{name}_{key}_{k:02d}.svg" for k in range(len(flips(name)[key]))]


def steps(text: str) -> list[tuple[str, str]]:
    """Formulas with their reasons; lines of a formula belong together until a reason ends it."""
    found: list[tuple[list[str], list[str]]] = [([], [])]
    for line in (line for line in text.splitlines() if line.strip()):
        formula, reason = found[-1]
        if line.startswith(REASON):
            reason.append(line.removeprefix(REASON))
        elif reason and line.startswith("  "):
            reason.append(line.strip())
        elif reason:
            found.append(([line], []))
        else:
            formula.append(line)
    if not all(formula and reason for formula, reason in found):
        raise ValueError(f"a derivation has a formula without a reason, or a reason alone: {text!r}")
    return [("\n".join(formula), " ".join(reason)) for formula, reason in found]


def blocks(name: str) -> list[str]:
    """The code of a lesson, block by block: each can be pasted by itself."""
    return re.findall(r"^```python\n(.*?)^```", text(name), re.DOTALL | re.MULTILINE)


def printed(block: str) -> list[str]:
    """What a block says that it prints: comments after a `print`, or lines that are nothing else."""
    return re.findall(r"^(?:# | *print\(.*\)  # )(.*)$", block, re.MULTILINE)


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---:"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _as(value: float, shown: str) -> str:
    """The value with as many digits as shown (`?`: four significant ones)."""
    if not NUMBER.fullmatch(shown):
        return f"{value:.4g}"
    mantissa, _, exponent = shown.partition("e")
    decimals = len(mantissa.partition(".")[2])
    if not exponent:
        return f"{value:.{decimals}f}"
    mantissa, exponent = f"{value:.{decimals}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _agree(one: str, two: str) -> bool:
    """The same words, and numbers within one unit of their last digit: what another processor may change."""
    if NUMBER.sub("#", one) != NUMBER.sub("#", two):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(two), strict=True)
    return all(abs(float(a) - float(b)) <= 1.001 * max(_unit(a), _unit(b)) for a, b in pairs)


def _unit(number: str) -> float:
    mantissa, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2])) if "." in mantissa or exponent else 0.0


if __name__ == "__main__":
    for lesson in names():
        (HERE / f"{lesson}.md").write_text(filled(lesson), encoding="utf-8")
    figures()
