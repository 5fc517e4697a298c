"""The lessons tell the truth: their numbers, tables, figures, answers and code are what they say."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from scorefield.explorer.export.scenes import FULL
from scorefield.explorer.queries.diffusion import SCHEDULES

FOLDER = Path(__file__).parent.parent / "docs" / "lessons"
SPEC = importlib.util.spec_from_file_location("lessons_build", FOLDER / "build.py")
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)
build.computed = cache(build.computed)  # the numbers of a lesson do not change
build.flips = cache(build.flips)

LESSONS = build.names()
TITLES = r"^:::\{admonition\} (.*)\n:class: (\w+)$(\n:collapsible: closed$)?"
RECORDED = {  # what the embedded page answers
    "field": {"preset": FULL.fields, "sigma": FULL.sigmas, "at": FULL.pointers, "clean": FULL.cleans},
    "langevin": {"preset": FULL.walks, "mode": ("one", "annealed"), "step": FULL.step_sizes},
    "learn": {"objective": FULL.objectives, "preset": FULL.learned},
    "density": {"preset": FULL.densities, "at": FULL.places, "probes": FULL.probes, "scale": FULL.scales},
    "diffusion": {
        "preset": FULL.targets,
        "a": FULL.samplers,
        "b": FULL.samplers,
        "steps": FULL.steps,
        "schedule": tuple(SCHEDULES),
    },
}


@pytest.mark.parametrize("name", LESSONS)
def test_text_and_code_agree(name: str) -> None:
    assert build.differences(name) == []


@pytest.mark.parametrize("name", LESSONS)
def test_three_exercises_are_checked(name: str) -> None:
    exercises = build.code(name).exercises()
    assert list(exercises) == ["1", "2", "3"]
    answers = re.split(r"^\*\*(\d)\.\*\* ", build.text(name).partition("## Exercises")[2], flags=re.MULTILINE)
    assert answers[1::2] == list(exercises)
    for checks, answer in zip(exercises.values(), answers[2::2], strict=True):
        assert re.findall(TITLES, answer, re.MULTILINE) == [("Answer", "tip", "\n:collapsible: closed")]
        assert "```python" in answer
        for check in checks:
            assert check.by_library == pytest.approx(check.by_hand, rel=0, abs=check.tolerance), check.name
            assert f"{{value}}`{check.name} = " in answer, check.name


@pytest.mark.parametrize("name", LESSONS)
def test_what_is_derived_holds_in_numbers(name: str) -> None:
    checks = build.code(name).identities()
    assert checks
    for check in checks:
        assert check.by_library == pytest.approx(check.by_hand, rel=0, abs=check.tolerance), check.name


@pytest.mark.parametrize("name", LESSONS)
def test_every_block_of_code_can_be_pasted_and_prints_what_it_says(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = build.text(name)
    assert len(build.blocks(name)) == len(re.findall(r"^```(?!\{|$)", text, re.MULTILINE)) > 3
    for block in build.blocks(name):
        exec(compile(block, name, "exec"), {})
        assert capsys.readouterr().out.splitlines() == build.printed(block) != [], block


@pytest.mark.parametrize("name", LESSONS)
def test_figures_are_those_shown(name: str, tmp_path: Path) -> None:
    figures = build.code(name).figures()
    assert {f"figures/{name}_{key}.svg" for key in figures} == set(re.findall(r"\((figures/[^)]+)\)", build.text(name)))
    for key, figure in figures.items():
        figure.savefig(tmp_path / f"{key}.svg")
        assert (tmp_path / f"{key}.svg").stat().st_size > 5000


@pytest.mark.parametrize("name", LESSONS)
def test_figures_to_turn_over_are_those_shown_and_differ(name: str, tmp_path: Path) -> None:
    flips = build.flips(name)
    assert list(flips) == re.findall(r"^:::\{flip\} (\w+)$", build.text(name), re.MULTILINE)
    for key, frames in flips.items():
        assert len(build.flip_files(name, key)) == len(frames) > 5
        first, last = (list(frames.values())[k] for k in (0, -1))
        for path, figure in ((tmp_path / "first.svg", first), (tmp_path / "last.svg", last)):
            figure.savefig(path, metadata={"Date": None})
        assert first.get_size_inches().tolist() == last.get_size_inches().tolist()
        assert (tmp_path / "first.svg").read_bytes() != (tmp_path / "last.svg").read_bytes()


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_its_parts(name: str) -> None:
    """Its question, derivations whose steps are justified, what goes wrong, one live figure, and a self-check."""
    text = build.text(name)
    assert text.count("**The question.**") == 1
    assert f'href="slides_{build.number(name)}.html"' in text
    derivations = re.findall(r"^:::\{derivation\}\n(.*?)^:::$", text, re.DOTALL | re.MULTILINE)
    assert len(derivations) >= 2
    for derivation in derivations:
        assert build.steps(derivation)
    boxes = re.findall(TITLES, text, re.MULTILINE)
    assert sum(kind == "warning" and title.startswith("What goes wrong: ") for title, kind, _ in boxes) >= 2
    questions = [closed for _, kind, closed in boxes if kind == "check"]
    assert 3 <= len(questions) <= 5 and all(questions)
    assert len(re.findall(r"^:::\{live\} ", text, re.MULTILINE)) == 1
    assert len(re.findall(r"^:::\{flip\} ", text, re.MULTILINE)) <= 1


def test_a_step_without_a_reason_is_found() -> None:
    assert build.steps("a = b\n: so\n  it is\n= c\n: thus") == [("a = b", "so it is"), ("= c", "thus")]
    for wrong in ("a = b", ": so", "a = b\n: so\nc"):
        with pytest.raises(ValueError, match="reason"):
            build.steps(wrong)


@pytest.mark.parametrize("name", LESSONS)
def test_live_figures_open_at_answers_that_are_recorded(name: str) -> None:
    for scene, query in re.findall(r"^:::\{live\} (\w+)\?(.*)$", build.text(name), re.MULTILINE):
        for key, (value,) in parse_qs(query, strict_parsing=True).items():
            numbers = isinstance(RECORDED[scene][key][0], (int, float, tuple))
            given = tuple(float(v) for v in value.split(",")) if numbers else value
            assert (given[0] if numbers and len(given) == 1 else given) in RECORDED[scene][key], (scene, key)


def test_every_lesson_is_in_the_index() -> None:
    assert re.findall(r"^lesson_\d$", (FOLDER / "index.md").read_text(encoding="utf-8"), re.MULTILINE) == LESSONS


def test_a_wrong_number_or_table_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    name = LESSONS[0]
    right = build.text(name)
    wrong = build.VALUE.sub(lambda m: f"{{value}}`{m[1]} = 77.7`", right, count=1)
    monkeypatch.setattr(build, "text", lambda name: wrong)
    assert len(build.differences(name)) == 1
    monkeypatch.setattr(build, "text", lambda name: build.TABLE.sub("```{computed} \\1\n| 1 |\n```", right))
    assert build.differences(name)
