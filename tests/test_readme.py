"""The README tells the truth: its example runs, its links and commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_library_example_learns_the_mixture(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    samples, data = (float(v) for v in re.findall(r"-?\d+\.\d+", capsys.readouterr().out))
    assert abs(samples - data) < 0.25  # a quarter of a nat


def test_links_and_pictures_exist() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_the_two_commands_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in re.findall(r"^make (\w+)", TEXT, re.MULTILINE):
        assert f"\n{command}:" in makefile
