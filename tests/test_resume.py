"""A training that is stopped at any moment and resumed ends in the same folder as one that was never stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scorefield import _files, plans, runs
from scorefield.data import ImageReading
from scorefield.levels import karras
from scorefield.training.checkpoint import Settings, read_status
from scorefield.training.run import CHECKPOINT, settings_for_run

SETTINGS: dict[str, Any] = {"steps": 6, "batch": 32, "evaluate_every": 3, "checkpoint_every": 1e-6}


def table(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 2)).round(2)
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 0] + x[:, 1], "c": np.where(x[:, 1] > 0, "yes", "no")})
    frame.loc[3, "a"] = np.nan
    frame.to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


def array(folder: Path) -> Path:
    np.savez(folder / "array.npz", x=np.random.default_rng(0).normal(size=(60, 2)), y=np.arange(60) % 3)
    return folder / "array.npz"


def pictures(folder: Path) -> Path:
    """Image files of two sizes and modes, in two classes."""
    for i in range(24):
        path = folder / "pictures" / "ab"[i % 2] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (8 + i % 3, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert("L" if i % 5 else "RGB").save(path)
    return folder / "pictures"


SOURCES: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "table": (table, {}),
    "array": (array, {"labels": True}),
    "pictures": (pictures, {"images": ImageReading("grey", (4, 4), crop=True)}),
}


class Case:
    """A source and the options that it is fitted with."""

    def __init__(self, name: str, folder: Path) -> None:
        make, self.options = SOURCES[name]
        self.source, self.folder = str(make(folder)), folder

    def loop(self, name: str, resume: bool = False, **settings: Any) -> Iterator[Any]:
        """A training in a folder of that name, step by step."""
        asked = {**SETTINGS, **settings}
        return runs.fit(self.source, self.folder / name, settings=asked, options=self.options, resume=resume)

    def fit(self, name: str, resume: bool = False, **settings: Any) -> list[Any]:
        """The same, to its end."""
        return list(self.loop(name, resume, **settings))


@pytest.fixture(params=SOURCES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return Case(request.param, tmp_path)


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in ("seconds", "processor", "preparation")}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def contents(folder: Path) -> dict[str, Any]:
    """What the files of a folder hold, all of them, apart from times."""
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors":
            tensors, state = _files.read_tensors(path)
            found[path.name] = ({k: v.numpy().tobytes() for k, v in tensors.items()}, without_times(state))
        else:
            text = path.read_text()
            found[path.name] = without_times(json.loads(text)) if path.suffix == ".json" else text
    return found


class Killed(BaseException):
    """What a process that is killed does not live to see."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], str]:
    """`killed(k, work)`: stop the work in the middle of its k-th write; the name of the file, which is left half."""

    def run(k: int, work: Callable[[], object]) -> str:
        count, real = 0, os.replace

        def replaced(old: Any, new: Any) -> None:
            nonlocal count
            count += 1
            if count == k:
                Path(new).with_name(f".{Path(new).name}.1.tmp").write_bytes(b"half")
                raise Killed(Path(new).name)
            real(old, new)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replaced)
            try:
                work()
            except Killed as end:
                return str(end)
        return "nothing"

    return run


def test_any_sequence_of_stops_ends_in_the_same_folder(case: Case, killed: Callable[..., str], tmp_path: Path) -> None:
    case.fit("whole")
    files = ("fit.json", CHECKPOINT, CHECKPOINT, "model.safetensors", "model.json")
    for k, name in zip((1, 2, 3, 6, 2), files, strict=True):  # six checkpoints stand between the first and the model
        assert killed(k, lambda: case.fit("part", resume=True)) == name
    case.fit("part", resume=True)
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")


def test_resuming_a_run_that_has_ended_changes_nothing(case: Case, tmp_path: Path) -> None:
    case.fit("run")
    model = runs.load(tmp_path / "run")
    plan = plans.ddim(karras(4, model.model.sigma_max, model.model.sigma_min))
    replace(model, plans={4: plan}, info={**model.info, "memorisation": {"value": 1.0}}).save(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    assert case.fit("run", resume=True) == []
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    assert len(case.fit("run", resume=True, steps=8)) == 2  # a greater budget goes on, and the plans are of its past
    again = runs.load(tmp_path / "run")
    assert again.plans == {} and again.info["training"]["steps"] == 8


def test_a_budget_of_time_is_kept_by_every_resume(case: Case, tmp_path: Path) -> None:
    for k in range(4):
        loop = case.loop("run", resume=k > 0, steps=None, seconds=50.0)
        next(loop)
        loop.close()  # type: ignore[attr-defined]
        status = read_status(tmp_path / "run" / CHECKPOINT)
        assert status.settings.seconds == 50.0 and status.step == k + 1


def test_other_rows_labels_columns_and_options_are_refused(tmp_path: Path) -> None:
    source = table(tmp_path)
    frame = pd.read_csv(source)
    list(runs.fit(str(source), tmp_path / "table", settings=SETTINGS, options={}))
    for row in range(len(frame)):  # of training or held out
        changed = frame.copy()
        changed.loc[row, "b"] += 0.5
        changed.to_csv(source, index=False)
        with pytest.raises(ValueError, match="other rows"):
            list(runs.fit(str(source), tmp_path / "table", settings=SETTINGS, options={}, resume=True))
    frame.to_csv(source, index=False)
    with pytest.raises(ValueError, match="size = 'auto', not 'small'"):
        list(runs.fit(str(source), tmp_path / "table", settings=SETTINGS, options={"size": "small"}, resume=True))
    source = array(tmp_path)
    list(runs.fit(str(source), tmp_path / "array", settings=SETTINGS, options={"labels": True}))
    np.savez(source, x=np.load(source)["x"], y=(np.arange(60) + 1) % 3)
    with pytest.raises(ValueError, match="other labels"):
        list(runs.fit(str(source), tmp_path / "array", settings=SETTINGS, options={"labels": True}, resume=True))


def test_a_given_budget_replaces_the_stored_one_as_a_whole() -> None:
    stored, default = Settings(seconds=60.0, seed=3), Settings(seconds=180.0)
    assert settings_for_run(None, default, {"seed": None}) == default
    assert settings_for_run(stored, default, {"steps": None}) == stored
    assert settings_for_run(stored, default, {"steps": 9}) == replace(stored, steps=9, seconds=None)
