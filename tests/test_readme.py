"""The README tells the truth: its example runs, its links and commands exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scorefield.tables import calibrate as calibrating

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


def table(folder: Path) -> str:
    draw = np.random.default_rng(0)
    size = draw.normal(50, 9, 60).round(1)
    frame = pd.DataFrame({"size": size, "town": np.where(draw.random(60) < 0.5, "A", "B"), "price": 3 * size})
    frame["price"] = (frame["price"] + draw.normal(0, 5, 60)).round(2)
    frame.loc[::9, "size"] = np.nan
    frame.to_csv(folder / "table.csv", index=False)
    return "table.csv"


def array(folder: Path) -> str:
    np.save(folder / "array.npy", np.random.default_rng(0).normal(size=(110, 2)))
    return "array.npy"


def images(folder: Path) -> str:
    (folder / "images").mkdir()
    for k, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (110, 4, 4), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / "images" / f"{k}.png")
    Image.fromarray(pixels).save(folder / "damaged.png")
    Image.fromarray(255 * np.eye(4, dtype=np.uint8)).save(folder / "mask.png")
    return "images"


REFUSED = {  # what a kind of data has no answer for, in the sentence that says so
    "array": ("density", "outliers", "impute", "predict", "restore"),
    "images": ("sample", "density", "outliers", "impute", "predict"),  # images are not written as .csv
    "table": ("distil", "restore"),
}
CUT = {
    "--time 2m": "--steps 2 --size small",
    "-n 1000": "-n 20",
    "--steps 5,10,20": "--steps 2 --no-search",
    "--draws 20": "--draws 2",
    "distil run": "distil run --training-steps 2",
}


@pytest.mark.parametrize("make", [table, array, images], ids=lambda make: make.__name__)
def test_every_command_runs_in_its_order_or_says_why_not(
    scorefield: Callable[..., tuple[int, str, str]],
    make: Callable[[Path], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The README's own commands, only their budgets cut."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(calibrating, "calibration", partial(calibrating.calibration, trajectories=16))
    source = make(tmp_path)
    blocks = "".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL))
    lines = [line.split("  #")[0].strip() for line in blocks.splitlines() if line.startswith("scorefield ")]
    assert len(lines) >= 10
    for line in lines:
        for whole, part in CUT.items():
            line = line.replace(whole, part)
        words = shlex.split(line.replace("table.csv", source))[1:]
        if words[0] in ("explore", "serve"):  # they serve until they are stopped, as in the tests of their own
            continue
        code, out, err = scorefield(*words)
        if words[0] in REFUSED[make.__name__]:
            assert code == 2 and err.count("\n") == 1, (line, err)
        else:
            assert code == 0 or (words[0] == "check" and "laws fail" in out), (line, err)
