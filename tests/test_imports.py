"""The package loads lazily: what each entry imports, and that the public names are what they say."""

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import scorefield

OPTIONAL = {"arviz", "diffusers", "matplotlib", "pandas", "pyarrow", "pyro", "scipy", "sklearn", "tqdm"}


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh Python holds after running the code."""
    report = "\nimport sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_import_loads_the_standard_library_only() -> None:
    assert modules_after("import scorefield") - modules_after("") <= {"scorefield", *sys.stdlib_module_names}


def test_public_names_load_no_optional_library() -> None:
    mine = [name for name in scorefield.__all__ if not scorefield._NAMES.get(name, "").startswith("estimators.")]
    everything = modules_after(f"import scorefield\nfor name in {mine}: getattr(scorefield, name)")
    assert not OPTIONAL & (everything - modules_after("import torch"))


COUNTED = """
import importlib, json, sys
found = {}
for name in NAMES:
    for module in [m for m in sys.modules if m.split(".")[0] == "scorefield"]:
        del sys.modules[module]
    getattr(importlib.import_module("scorefield"), name)
    found[name] = sum(m.startswith("scorefield.") for m in sys.modules)
print(json.dumps(found))
"""
MOST = 190
"""Modules of the library that a name may load: a millisecond each, so that none takes 0.3 s over torch's own import."""


def test_a_public_name_loads_a_part_of_the_library() -> None:
    mine = [name for name in scorefield.__all__ if not scorefield._NAMES.get(name, "").startswith("estimators.")]
    code = COUNTED.replace("NAMES", repr([name for name in mine if name != "__version__"]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == len(mine) - 1
    assert {name: count for name, count in found.items() if count > MOST} == {}
    assert max(found[name] for name in ("fit", "TrainedModel", "export_model", "interop", "TrainedTable")) <= 150


@pytest.mark.parametrize("package", ["data", "tables", "check"])
def test_lazy_packages_are_what_type_checkers_see(package: str) -> None:
    module = import_module(f"scorefield.{package}")
    assert set(dir(module)) == set(module.__all__) == set(module._PLACES)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names:
            assert alias.asname == alias.name
            seen[alias.name] = node.module.removeprefix(f"scorefield.{package}").removeprefix(".") or alias.name
    assert seen == module._PLACES
    for name in module.__all__:
        getattr(module, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018


HELP = """
import runpy, sys
sys.argv = ["scorefield", "--help"]
try:
    runpy.run_module("scorefield", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
"""


def test_help_loads_no_torch() -> None:
    assert not ({"torch", "numpy"} | OPTIONAL) & modules_after(HELP)


def test_the_package_shows_public_names_alone() -> None:
    code = "import scorefield; {}; assert set(dir(scorefield)) == set(scorefield.__all__), dir(scorefield)"
    for first in ("pass", "scorefield.train", "import scorefield.training.loop, scorefield.runs, scorefield.cli"):
        modules_after(code.format(first))


@pytest.mark.parametrize("name", scorefield.__all__)
def test_public_names_resolve(name: str) -> None:
    value = getattr(scorefield, name)
    assert name in dir(scorefield)
    if name in scorefield._NAMES:
        assert value.__module__ == f"scorefield.{scorefield._NAMES[name]}"  # the module that defines it
    elif name in scorefield._MODULES:
        assert value.__name__ == f"scorefield.{scorefield._MODULES[name]}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        scorefield.scores  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(scorefield.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    modules, names = {}, {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom) and len(node.names) == 1
        (alias,) = node.names
        assert alias.asname, f"{alias.name}: written as `{alias.name} as {alias.name}`, it is exported"
        package = node.module.removeprefix("scorefield").removeprefix(".")
        if alias.asname in scorefield._MODULES:
            modules[alias.asname] = f"{package}.{alias.name}".removeprefix(".")
        else:
            names[alias.asname] = package
    assert modules == scorefield._MODULES
    assert names == scorefield._NAMES
