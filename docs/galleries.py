"""The gallery: which sections it has, which examples run here, how figures look. Read by conf.py and by the tests."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).parent / "examples"
SECTIONS = {
    "objectives": "Objectives",
    "tables": "Tables",
    "sampling": "Sampling and plans",
    "densities": "Densities",
    "posteriors": "Posteriors",
    "images": "Images",
    "series": "Series",
    "graphs_tests": "Graphs and tests",
    "manifolds": "Manifolds",
    "ecosystem": "Ecosystem",
}
"""The folders of `examples`, in the order of the page, with their titles."""

LOOK = {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "axes.prop_cycle": "cycler('color', ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00'])",
}
"""Of matplotlib, for the figures of the site: colours that are apart for all eyes (Okabe and Ito 2008)."""


def examples() -> list[Path]:
    """All examples, in the order of their sections."""
    return [path for section in SECTIONS for path in sorted((SOURCES / section).glob("*.py"))]


def imported(path: Path) -> Iterator[str]:
    """The packages that an example imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def lacking(path: Path) -> list[str]:
    """The packages that an example needs and that are not installed here."""
    return sorted({name for name in imported(path) if importlib.util.find_spec(name) is None})


def reset(configuration: dict[str, object], file: str) -> None:
    """Before each example: matplotlib looks as `LOOK` says."""
    import matplotlib

    matplotlib.rcParams.update(LOOK)


def configuration() -> dict[str, object]:
    """The options of sphinx-gallery. What cannot run here is shown without its output, and said on standard error."""
    left_out = {path: names for path in examples() if (names := lacking(path))}
    for path, names in left_out.items():
        sys.stderr.write(f"gallery: {path.name} is shown but not run, not installed: {', '.join(names)}\n")
    runs = "".join(rf"(?!.*{re.escape(path.name)}$)" for path in left_out)
    return {
        "examples_dirs": ["examples"],
        "gallery_dirs": ["gallery"],
        "filename_pattern": rf"^{runs}.*\.py$",
        "subsection_order": [f"examples/{section}" for section in SECTIONS],
        "within_subsection_order": "FileNameSortKey",
        "abort_on_example_error": True,
        "reset_modules": ("matplotlib", "galleries.reset"),
        "thumbnail_size": (480, 336),
        "capture_repr": (),
        "write_computation_times": False,
        "show_signature": False,
        "copyfile_regex": "",
    }


def noted(document: str, text: str) -> str:
    """The page of an example, with a note where it was not run."""
    path = SOURCES / f"{document.removeprefix('gallery/')}.py"
    names = lacking(path) if document.startswith("gallery/") and path.exists() else []
    if not names:
        return text
    note = f".. note::\n\n   Not run where this page was made: it needs {', '.join(names)}, not installed there.\n\n"
    return re.sub(r"^(=+\n[^\n]+\n=+\n|[^\n]+\n=+\n)", rf"\1\n{note}", text, count=1, flags=re.MULTILINE)
