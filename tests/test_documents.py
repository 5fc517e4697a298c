"""The documents name what exists: modules, names, files, tests."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import scorefield

ROOT = Path(__file__).parent.parent
SOURCE = Path(scorefield.__file__).parent
PLACES = (ROOT, SOURCE, SOURCE.parent, ROOT / "tests", ROOT / "docs", SOURCE / "tables")  # that files are named from
WRITTEN = {"fit.json", "model.json"}  # files of a run, which might be read as names
DOCUMENTS = [p for part in ("*.md", "docs/**/*.md", "benchmarks/*.md") for p in sorted(ROOT.glob(part))]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
ROOTS = {module.name for module in pkgutil.iter_modules([str(SOURCE)])} | set(scorefield.__all__)
ROOTS |= set(re.findall(r"^\| `([a-z_]+)\.", CHANGELOG, re.MULTILINE)) - {"model"}  # once; a model is a variable too


def exists(name: str) -> bool:
    """Whether a dotted name is a module of the package, or found in one."""
    parts = name.removeprefix("scorefield.").split(".")
    for k in range(len(parts), -1, -1):  # a module comes before a function of its name in its package
        try:
            found = importlib.import_module(".".join(["scorefield", *parts[:k]]))
        except ImportError:
            continue
        if all((found := _part(found, part)) is not None for part in parts[k:]):
            return True
    return False


def _part(whole: object, name: str) -> object:
    if name in getattr(whole, "__annotations__", {}):  # a field, perhaps without a default
        return whole.__annotations__[name]
    return getattr(whole, name, None)


def code(text: str) -> Iterator[str]:
    """What stands between single backticks."""
    return (match[1] for match in re.finditer(r"(?<!`)`([^`\n]+)`(?!`)", text))


def names(text: str) -> Iterator[str]:
    """Dotted names of the package: with its name in front anywhere, else between backticks."""
    yield from re.findall(r"(?<![\w./])scorefield(?:\.[A-Za-z_]\w*)+(?![\w/])", text)
    for part in code(text):
        for name in re.findall(r"(?<![\w./])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?![\w/])", part):
            file = re.search(r"\.(csv|html|py|safetensors)$", name)
            if name.split(".")[0] in ROOTS and name not in WRITTEN and not file:
                yield name


def docstrings(path: Path) -> str:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return "\n".join(ast.get_docstring(node) or "" for node in nodes if isinstance(node, kinds))


def test_it_finds_what_does_not_exist() -> None:
    assert list(names("`plans.ddim(levels.karras(9))`, scorefield.data, `other.thing`")) == [
        "scorefield.data",
        "plans.ddim",
        "levels.karras",
    ]
    assert exists("plans.ddim") and exists("scorefield.TrainedTable.plans")
    assert not exists("plans.none") and not exists("scorefield.none.at_all")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_and_files_of_documents_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8").partition("## [0.1.0]")[0]  # releases are told in their own names
    text = re.sub(r"^\| before \|.*?\n\n", "", text, flags=re.DOTALL | re.MULTILINE)  # tested by themselves
    assert [name for name in names(text) if not exists(name)] == []
    files = [part for part in code(text) if re.fullmatch(r"[\w./]+\.(py|md|toml)|[\w/]+/", part)]
    files = [name for name in files if "lesson_k" not in name and name != "schema.toml"]
    assert [name for name in files if not any((place / name).exists() for place in PLACES)] == []


def test_names_in_docstrings_exist() -> None:
    found = ((path, name) for path in SOURCE.rglob("*.py") for name in names(docstrings(path)))
    assert [(str(path.relative_to(SOURCE)), name) for path, name in found if not exists(name)] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/reference/*.md")), ids=lambda path: path.stem)
def test_the_reference_is_of_modules_and_names_that_exist(path: Path) -> None:
    for kind, name in re.findall(r"^\.\. auto(\w+):: (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
        if kind == "module":
            importlib.import_module(name)
        assert exists(name), name


def test_scripts_that_no_test_runs_import_what_exists() -> None:
    found = []
    for path in (p for folder in ("benchmarks", "docs", "tools") for p in ROOT.glob(f"{folder}/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "scorefield":
                found += [(path.name, f"{node.module}.{alias.name}") for alias in node.names]
    assert len(found) > 50
    assert [(path, name) for path, name in found if not exists(name)] == []


def test_the_public_names_are_listed() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Public names")[2]
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    listed = [alias.name for node in ast.parse(block).body for alias in node.names if node.module == "scorefield"]
    assert sorted(listed) == sorted(set(scorefield.__all__) - {"__version__"})


def test_the_floors_are_those_that_are_enforced() -> None:
    from test_floors import ORDER

    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Floors")[2].partition("## ")[0]
    assert re.findall(r"^\| \d* ?\| `(\w+)/?` \|", text, re.MULTILINE) == ORDER


def test_the_two_kinds_of_data_have_the_same_files() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## The two kinds")[2]
    files = re.findall(r"^\| `(\w+\.py)` \|", text.partition("## ")[0], re.MULTILINE)
    assert {"codec.py", "fit.py", "trained.py", "evaluate.py"} <= set(files)
    for name in files:
        assert (SOURCE / "records" / name).exists() and (SOURCE / "tables" / name).exists(), name


def test_the_changelog_renames_to_what_exists() -> None:
    """In its tables the last column is what there is now; what was before is gone."""
    rows = re.findall(r"^\| `([^`|]+)` \| `([^|]+)` \|$", CHANGELOG, re.MULTILINE)
    assert len(rows) > 150
    for before, now in rows:
        for name in now.split("`, `"):
            there = (SOURCE / name).exists() if name.endswith((".py", "/")) else exists(name)
            assert there, f"{name}, once {before}, does not exist"
        gone = not (SOURCE / before).exists() if before.endswith((".py", "/")) else not exists(before)
        assert gone or before in now.split("`, `"), f"{before}, now {now}, is still there"
