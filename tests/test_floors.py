"""Imports go down: a module imports from the floors below its own, or from its left on its own floor."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import scorefield

FLOORS = (  # as in docs/architecture.md; a package stands here as one name
    ("_memory", "_files", "_optional", "_lazy", "_ranges", "_tensor", "_columns", "progress", "core", "numerics"),
    ("schedules", "levels", "times", "nets", "data"),
    ("denoiser", "analytic", "pretrained"),
    ("objectives", "graphs", "plans", "likelihood", "mcmc", "metrics", "nonparametric", "conditioning"),
    ("training",),
    ("records", "tables", "posterior", "discrete", "manifolds"),
    ("estimators", "report", "runs", "interop", "check", "web", "explorer", "serving", "partitioned"),
    ("cli",),
    ("__main__",),
)
ORDER = [name for floor in FLOORS for name in floor]

SOURCE = Path(scorefield.__file__).parent
MODULES = {  # dotted name inside the package: file. The package's own __init__ names every floor, lazily
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
    if path != SOURCE / "__init__.py"
}


def imported(module: str) -> Iterator[str]:
    """The modules of scorefield that a module imports, wherever in its text."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}, line {node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "scorefield":
                inside = ".".join(parts[1:])
                public = scorefield._NAMES.get(inside, "")
                yield next((m for m in (inside, public, ".".join(parts[1:-1])) if m in MODULES), "")


EDGES = {module: set(imported(module)) - {""} for module in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module: str) -> None:
    here = module.split(".")[0]
    assert here in ORDER, f"give {here} a place in tests/test_floors.py and docs/architecture.md"
    for other in EDGES[module]:
        there = other.split(".")[0]
        assert there in ORDER[: ORDER.index(here)] or there == here, f"{module} imports {other}"


def test_no_package_imports_in_a_circle() -> None:
    TopologicalSorter(EDGES).prepare()


def test_every_place_is_taken() -> None:
    assert set(ORDER) == {module.split(".")[0] for module in MODULES}
