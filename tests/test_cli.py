"""The command line, from a file to samples, figures and a report; one-line errors and exit code 2."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scorefield import TrainedModel, data
from scorefield.cli import seconds


@pytest.fixture(scope="module")
def run(in_process, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on an array, iris, a few steps long; beside it the array, and another."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    for name in ("iris", "wine"):
        np.save(folder.parent / f"{name}.npy", data.load(name).records)
    words = ("fit", folder.parent / "iris.npy", "-o", folder, "--steps", 60, "--batch", 64, "--quiet", "--held", 0.3)
    assert in_process(*words) == 0
    return folder


def test_help_answers_without_torch() -> None:
    code = (
        "import sys; sys.argv = ['scorefield', 'fit', '--help']\n"
        "from scorefield.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]") and "Examples:" in done.stdout


COMMANDS = (
    "fit schema sample evaluate info density outliers impute predict calibrate check demo explore export push".split()
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(scorefield, command: str) -> None:
    code, out, _ = scorefield(command, "--help")
    assert code == 0 and "Examples:" in out and f"scorefield {command}" in out


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npy", "npz"])
def test_samples_come_back_from_every_format(scorefield, run: Path, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"new.{suffix}"
    code, out, _ = scorefield("sample", run, "-n", 30, "-o", file, "--steps", 6, "--quiet")
    assert code == 0 and "30 samples" in out
    again = data.load(file)
    expected = TrainedModel.load(run).sample(30, steps=6, seed=0)
    assert np.array_equal(again.records, expected)
    if suffix in ("csv", "parquet"):
        assert again.columns == data.load(run.parent / "iris.npy").columns


def test_evaluate_writes_figures_beside_their_floors_and_a_report(scorefield, run: Path, tmp_path: Path) -> None:
    figures, report = tmp_path / "figures.json", tmp_path / "report.html"
    words = ("evaluate", run, run.parent / "iris.npy", "--json", figures, "--report", report, "--steps", 6)
    code, out, _ = scorefield(*words)
    assert code == 0 and "real : real" in out
    found = json.loads(figures.read_text())
    assert found["unseen"] and found["real"] == found["samples"] == 45
    names = [f["name"] for f in found["figures"]]
    assert names == ["energy distance", "sliced Wasserstein-1", "C2ST accuracy", "memorisation ratio"]
    assert all(np.isfinite([f["value"], f["floor"]]).all() for f in found["figures"])
    page = report.read_text()
    assert page.count("data:image/svg+xml;base64,") >= 3
    assert "http" not in page.replace("http-equiv", "") and "nan" not in page.split("base64")[0]


def test_info_says_what_a_run_is(scorefield, run: Path) -> None:
    code, out, _ = scorefield("info", run)
    assert code == 0
    for word in ("iris", "105 rows to train on, 45 held out", "residual-mlp", "sigma 0.002 to", "60 steps"):
        assert word in out


def test_calibrated_plans_are_stored_and_used(scorefield, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    code, out, _ = scorefield("calibrate", copy, "--steps", "4,6", "--no-search", "--quiet")
    assert code == 0 and "held-out trajectories" in out and "4, 6 evaluations are stored" in out
    model = TrainedModel.load(copy)
    assert sorted(model.plans) == [4, 6] and model.plan(4) is model.plans[4]
    assert "4, 6" in scorefield("info", copy)[1]
    assert scorefield("calibrate", copy, "--steps", "4;6")[0] == 2


def test_check_says_what_holds(scorefield, run: Path, tmp_path: Path) -> None:
    code, out, _ = scorefield("check", "--json", tmp_path / "check.json")
    assert code == 0 and "laws hold" in out
    assert json.loads((tmp_path / "check.json").read_text())["passed"]
    code, out, _ = scorefield("check", run)  # 60 steps of training calibrate no denoiser
    assert code == 1 and "FAIL" in out


def test_images_become_a_grid(scorefield, tmp_path: Path) -> None:
    from PIL import Image

    words = ("fit", "digits", "-o", tmp_path / "run", "--steps", 2, "--batch", 16, "--size", "small", "--quiet")
    code, out, _ = scorefield(*words, "--precision", "bf16")
    assert code == 0 and "precision bf16." in out and "bf16" in scorefield("info", tmp_path / "run")[1]
    words = ("sample", tmp_path / "run", "-n", 6, "-o", tmp_path / "new.png", "--steps", 3, "--condition", 7, "--quiet")
    assert scorefield(*words)[0] == 0
    assert min(Image.open(tmp_path / "new.png").size) > 2 * 48
    code, _, _ = scorefield("evaluate", tmp_path / "run", "digits", "--report", tmp_path / "r.html", "--steps", 3)
    assert code == 0 and (tmp_path / "r.html").read_text().count("<img") == 10


WRONG: dict[str, tuple[tuple[str, ...], str]] = {  # {} stands for the test's folder
    "no such data": (("fit", "tabel.csv", "-o", "{}/x"), "tabel.csv"),
    "a hole": (("fit", "{}/holes.npy", "-o", "{}/x", "--steps", "1"), "row"),
    "no run": (("sample", "{}/empty", "-o", "x.csv"), "no such file"),
    "a bad duration": (("fit", "iris", "-o", "{}/x", "--time", "soon"), "90s, 2m or 1h30m"),
    "a bad option": (("fit", "iris", "-o", "{}/x", "--stepz", "3"), "steps"),
    "a bad command": (("fitt",), "fit"),
    "no output": (("fit", "iris"), "output"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_one_line_and_exit_code_two(scorefield, tmp_path: Path, case: str) -> None:
    np.save(tmp_path / "holes.npy", np.array([[1.0, 2.0]] * 25 + [[3.0, np.nan]]))
    words, message = WRONG[case]
    code, out, err = scorefield(*(word.format(tmp_path) for word in words))
    assert code == 2 and out == ""
    assert err.startswith("scorefield: error: ") and err.count("\n") == 1 and message in err


def test_a_folder_that_holds_a_training_is_not_overwritten(scorefield, run: Path) -> None:
    before = (run / "model.safetensors").read_bytes()
    code, _, err = scorefield("fit", run.parent / "iris.npy", "-o", run, "--steps", 5, "--quiet")
    assert code == 2 and "--resume" in err
    code, _, err = scorefield(
        "fit", run.parent / "wine.npy", "-o", run, "--steps", 80, "--resume", "--held", 0.3, "--quiet"
    )
    assert code == 2 and "other records" in err
    assert (run / "model.safetensors").read_bytes() == before


def test_other_data_than_the_models_are_refused(scorefield, run: Path) -> None:
    code, _, err = scorefield("evaluate", run, run.parent / "wine.npy")
    assert code == 2 and "columns" in err


def test_a_wrong_suffix_is_refused_before_sampling(scorefield, run: Path, tmp_path: Path) -> None:
    code, _, err = scorefield("sample", run, "-o", tmp_path / "new.png")
    assert code == 2 and ".png" in err


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("2m", 120), ("1h30m", 5400), ("45", 45), ("0.5m", 30)])
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "m", "2 m", "-3s", "0s", "1d", "5x"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(text)
