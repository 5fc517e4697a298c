"""The gallery holds what it says, and the front page's lines run; `-m slow` runs every example, as `make docs` does."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from cyclopts import CycloptsError

DOCS = Path(__file__).parent.parent / "docs"
CPU_SECONDS = 60
LIGHT = {"scorefield", "torch", "numpy", "pandas", "scipy", "sklearn", "statsmodels"}  # the others are slow to import
CLOCKS = re.compile(r"--time|\bseconds=[\d.]+|[\"']seconds[\"']: ")
NETWORK = re.compile(r"urlopen|requests\b|fetch_|get_rdataset|https?://|from_pretrained|hub:")


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found  # dataclasses look there
    spec.loader.exec_module(found)
    return found


_, galleries, check_site = module("formulas"), module("galleries"), module("check_site")
EXAMPLES = galleries.examples()
each_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What an example takes from light packages: (module, name), and the attributes of modules that it uses."""
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LIGHT:
            for alias in node.names:
                yield node.module, alias.name
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        if isinstance(node, ast.Import):
            modules |= {a.asname or a.name: a.name for a in node.names if a.name.split(".")[0] in LIGHT}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield modules[node.value.id], node.attr


def exists(place: str, name: str) -> bool:
    """Whether a module, or an object in one, has a name."""
    try:
        return hasattr(importlib.import_module(place), name) or bool(importlib.import_module(f"{place}.{name}"))
    except ImportError:
        parent, _, last = place.rpartition(".")
        found = getattr(importlib.import_module(parent), last) if parent else None
        return found is not None and hasattr(found, name)


@each_example
def test_an_example_opens_with_a_title_and_one_sentence(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    title, line, blank, sentence = (ast.get_docstring(ast.parse(text)) or "").split("\n")[:4]
    assert 5 < len(title) <= 55 and line == "=" * len(title) and not blank
    assert sentence.endswith(".") and not re.search(r"[.!?] [A-Z]", sentence), "one sentence, on one line"
    assert "plt.show()" in text.splitlines()[-1]


@each_example
def test_an_example_imports_what_exists(path: Path) -> None:
    absent = {name for name in LIGHT if importlib.util.find_spec(name) is None}
    found = set(names(ast.parse(path.read_text(encoding="utf-8"))))
    assert any(place.startswith("scorefield") for place, _ in found) or '"scorefield"' in path.read_text("utf-8")
    asked = sorted((place, name) for place, name in found if place.split(".")[0] not in absent)
    assert [(place, name) for place, name in asked if not exists(place, name)] == []


@each_example
def test_an_example_is_repeatable_and_needs_no_network(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not CLOCKS.search(text), "trainings end by steps: the page is then the same on every machine"
    assert not NETWORK.search(text)


def test_the_checks_find_what_they_are_for() -> None:
    code = ast.parse("import torch\nfrom scorefield import plans, nothing\nplans.ddim\nplans.none\ntorch.nowhere")
    missing = [found for found in names(code) if not exists(*found)]
    assert missing == [("scorefield", "nothing"), ("scorefield.plans", "none"), ("torch", "nowhere")]
    assert CLOCKS.search("fit(seconds=8)") and not CLOCKS.search("seconds=None")


def test_every_section_has_a_header_and_examples() -> None:
    folders = {path.name for path in galleries.SOURCES.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(galleries.SECTIONS)
    for folder, title in galleries.SECTIONS.items():
        header = (galleries.SOURCES / folder / "GALLERY_HEADER.rst").read_text(encoding="utf-8")
        assert header.splitlines()[:2] == [title, "-" * len(title)]
        assert any(path.parent.name == folder for path in EXAMPLES), folder
    assert len(EXAMPLES) >= 20
    assert len({path.name for path in EXAMPLES}) == len(EXAMPLES)  # what is not run is told by its name


def test_an_example_without_its_package_is_shown_with_a_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without = EXAMPLES[0]
    monkeypatch.setattr(galleries, "lacking", lambda path: ["absent"] if path == without else [])
    pattern = galleries.configuration()["filename_pattern"]
    assert [path for path in EXAMPLES if not re.search(pattern, str(path))] == [without]
    assert f"{without.name} is shown but not run" in capsys.readouterr().err
    document = f"gallery/{without.parent.name}/{without.stem}"
    page = galleries.noted(document, ".. _label:\n\n\nTitle\n=====\n\nText.\n")
    assert page.index("Title") < page.index("needs absent") < page.index("Text.")
    other = EXAMPLES[1]
    assert galleries.noted(f"gallery/{other.parent.name}/{other.stem}", "Title\n=====\n") == "Title\n=====\n"


def test_a_link_to_nothing_and_bare_tex_are_found(tmp_path: Path) -> None:
    (tmp_path / "there.html").write_text('<h1 id="a">x</h1><code>\\frac</code>', encoding="utf-8")
    (tmp_path / "index.html").write_text(
        '<a href="there.html#a">1</a><a href="there.html#b">2</a><img src="no.png"><p>\\nabla p</p>', encoding="utf-8"
    )
    found = list(check_site.faults(tmp_path))
    assert found == [
        "index.html: \\nabla is not typeset",
        "index.html: there.html#b leads to no place in its page",
        "index.html: no.png leads to no file",
    ]


# ----------------------------------------------------------------------------------------------------- front page

FRONT = (DOCS / "index.md").read_text(encoding="utf-8")


def test_the_front_page_leads_on() -> None:
    doors = re.findall(r"^\*\*\[([^]]+)\]\(([^)]+)\)\*\*$", FRONT, re.MULTILINE)
    assert len(doors) == 4 and all((DOCS / target).exists() for _, target in doors)
    pictures = re.findall(r"\(front/(\w+)\.png\)", FRONT)
    assert pictures == list(module("front").STAGES)
    assert FRONT.index("(front/") < FRONT.index("```")  # the picture comes first


def test_the_front_pages_code_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", FRONT, re.DOTALL)
    made: dict[str, object] = {}
    exec(compile(code, "index.md", "exec"), made)
    x = made["x"]
    share = float((x > 0).double().mean())  # 3 of 4 are of the mode at 2, give or take 1.4 %
    assert x.shape == (1000, 1) and abs(share - 0.75) < 5 * (0.75 * 0.25 / 1000) ** 0.5


def test_the_front_pages_commands_are_the_command_lines() -> None:
    from scorefield.cli import app

    (block,) = re.findall(r"```sh\n(.*?)```", FRONT, re.DOTALL)
    commands = [line.split("#")[0].split()[1:] for line in block.splitlines() if line.startswith("scorefield")]
    assert [words[0] for words in commands] == ["fit", "sample", "evaluate"]
    for words in commands:
        app.parse_args(words, exit_on_error=False, print_error=False)  # raises for what a command does not take
    with pytest.raises(CycloptsError):
        app.parse_args(["fit", "wine", "--no-such-option"], exit_on_error=False, print_error=False)
    for words, next_words in pairwise(commands):  # each takes what the one before it makes
        assert "run" in words and "run" in next_words


# ------------------------------------------------------------------------------------------------------- all of it


@pytest.mark.slow
@each_example
def test_an_example_runs_in_time(path: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    absent = galleries.lacking(path)
    if absent:
        pytest.skip(f"needs {', '.join(absent)}")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::SyntaxWarning"}
    done = subprocess.run(
        [sys.executable, str(path)], cwd=path.parent, env=environment, capture_output=True, text=True, timeout=600
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-2000:]
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < CPU_SECONDS
