"""The lessons tell the truth: their numbers, tables, figures and answers are what their code gives."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "lessons"
SPEC = importlib.util.spec_from_file_location("lessons_build", FOLDER / "build.py")
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)
build.computed = cache(build.computed)  # the numbers of a lesson do not change

LESSONS = build.names()


@pytest.mark.parametrize("name", LESSONS)
def test_text_and_code_agree(name: str) -> None:
    assert build.differences(name) == []


@pytest.mark.parametrize("name", LESSONS)
def test_three_exercises_are_checked(name: str) -> None:
    exercises = build.code(name).exercises()
    assert list(exercises) == ["1", "2", "3"]
    for number, checks in exercises.items():
        assert f":pyobject: exercise_{number}\n" in build.text(name)
        for check in checks:
            assert check.by_library == pytest.approx(check.by_hand, rel=0, abs=check.tolerance), check.name
            assert f"{{value}}`{check.name} = " in build.text(name), check.name


@pytest.mark.parametrize("name", LESSONS)
def test_figures_are_those_shown(name: str, tmp_path: Path) -> None:
    figures = build.code(name).figures()
    assert {f"figures/{name}_{key}.svg" for key in figures} == set(re.findall(r"\((figures/[^)]+)\)", build.text(name)))
    for key, figure in figures.items():
        figure.savefig(tmp_path / f"{key}.svg")
        assert (tmp_path / f"{key}.svg").stat().st_size > 5000


def test_every_lesson_is_in_the_index_and_names_its_scene() -> None:
    assert re.findall(r"^lesson_\d$", (FOLDER / "index.md").read_text(encoding="utf-8"), re.MULTILINE) == LESSONS
    for name in LESSONS:
        assert re.search(r"`scorefield explore`, scene\s+\*\w+", build.text(name)), name


def test_a_wrong_number_or_table_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    name = LESSONS[0]
    right = build.text(name)
    wrong = build.VALUE.sub(lambda m: f"{{value}}`{m[1]} = 77.7`", right, count=1)
    monkeypatch.setattr(build, "text", lambda name: wrong)
    assert len(build.differences(name)) == 1
    monkeypatch.setattr(build, "text", lambda name: build.TABLE.sub("```{computed} \\1\n| 1 |\n```", right))
    assert build.differences(name)
