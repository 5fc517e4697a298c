"""The package loads lazily: what each entry imports, and that the public names are what they say."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import scorefield

OPTIONAL = {"diffusers", "matplotlib", "pandas", "pyarrow", "scipy", "sklearn", "tqdm"}


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh Python holds after running the code."""
    report = "\nimport sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_import_loads_the_standard_library_only() -> None:
    assert modules_after("import scorefield") - modules_after("") <= {"scorefield", *sys.stdlib_module_names}


def test_public_names_load_no_optional_library() -> None:
    mine = [name for name in scorefield.__all__ if not scorefield._NAMES.get(name, "").startswith("estimator.")]
    everything = modules_after(f"import scorefield\nfor name in {mine}: getattr(scorefield, name)")
    assert not OPTIONAL & (everything - modules_after("import torch"))


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


ORDERS = (
    "import scorefield.train; from scorefield import train",
    "from scorefield import train; import scorefield.train",
    "from scorefield.train import train as first; from scorefield import train; assert train is first",
    "import scorefield.trained, scorefield.plans.run; from scorefield import run as train",
)


@pytest.mark.parametrize("imports", ORDERS)
def test_functions_are_not_overwritten_by_modules_of_their_name(imports: str) -> None:
    modules_after(f"{imports}; import types; assert isinstance(train, types.FunctionType), train")


@pytest.mark.parametrize("name", scorefield.__all__)
def test_public_names_resolve(name: str) -> None:
    value = getattr(scorefield, name)
    assert name in dir(scorefield)
    if name in scorefield._NAMES:
        assert value.__module__ == f"scorefield.{scorefield._NAMES[name]}"  # the module that defines it
    elif name in scorefield._MODULES:
        assert value.__name__ == f"scorefield.{name}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        scorefield.scores  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(scorefield.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    modules, names = [], {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom) and len(node.names) == 1
        (alias,) = node.names
        assert alias.asname == alias.name, f"{alias.name}: written as `{alias.name} as {alias.name}`, it is exported"
        if node.module == "scorefield":
            modules.append(alias.name)
        else:
            names[alias.name] = node.module.removeprefix("scorefield.")
    assert modules == sorted(scorefield._MODULES)
    assert names == scorefield._NAMES
