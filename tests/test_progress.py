"""Long commands show that they live: a line now and then where there is no terminal, nothing when quiet."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scorefield.cli import progress
from scorefield.cli.progress import ProgressBar
from scorefield.report.figures import marginals_svg


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_FIRST", 0.02)
    monkeypatch.setattr(progress, "_EVERY", 0.05)


def test_a_line_tells_the_share_what_is_done_and_the_time_left(capfd: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("densities") as bar:
        bar(0.5, "densities")
        time.sleep(0.3)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) >= 2 and all(
        re.fullmatch(r"scorefield: 50 %  densities  \d+:\d\d, \d+:\d\d left", s) for s in lines
    )


def test_nothing_is_shown_when_quiet_or_after_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("densities", quiet=True):
        time.sleep(0.1)
    with ProgressBar("densities"):
        pass
    capfd.readouterr()
    time.sleep(0.1)
    assert capfd.readouterr().err == ""


def test_an_error_ends_the_lines(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="wrong"), ProgressBar("densities"):
        raise ValueError("wrong")
    capfd.readouterr()
    time.sleep(0.1)
    assert capfd.readouterr().err == ""


def test_pictures_of_letters_that_the_font_lacks_come_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    points = np.random.default_rng(0).normal(size=(20, 2))
    assert marginals_svg(points, points, ["\u6e29\u5ea6", "b"]).startswith(b"<svg ")
    assert [str(w.message) for w in recwarn if "font" in str(w.message)] == []


def test_fit_tells_of_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from scorefield.records import fit

    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(40, 2)))
    loop = fit.fit(tmp_path / "a.npy", tmp_path / "run", settings={"steps": 40, "batch": 16})
    last = progress.watch(loop)
    lines = capfd.readouterr().err.splitlines()
    assert last is not None and last.step == 40
    assert any(re.search(r"step \d+  [\d.]+ steps/s  loss [\d.]+", line) for line in lines), lines
    assert pd.Series(lines).str.startswith("scorefield: ").all()
