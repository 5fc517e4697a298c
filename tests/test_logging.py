"""Trainings told to loggers: each library reads back what was told, and no training is changed by being watched."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scorefield import TrainedModel, _files, fit, runs
from scorefield.data import Dataset
from scorefield.interop.loggers import PROJECT, MLflow, TensorBoard, WeightsAndBiases
from scorefield.tables.fit import fit as fit_table
from scorefield.training.log import EVERY, logged, open_loggers
from scorefield.training.loop import Progress, TrainingError

Command = Callable[..., tuple[int, str, str]]
STEPS = 25
QUICK: dict[str, Any] = {"steps": STEPS, "batch": 8, "evaluate_every": 20, "seed": 1, "precision": "float32"}
POINTS = [10, 20, 25]  # every tenth step, those with held-out losses, the last


def pictures() -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset(rng.integers(0, 17, (60, 4, 4)).astype(np.uint8), "image")


class Kept:
    """A logger that remembers what it heard, and fails where it is told to."""

    def __init__(self, fault: str = "") -> None:
        self.fault, self.heard, self.begun, self.ends = fault, [], [], []

    def begin(self, name: str, settings: Mapping[str, Any], step: int) -> None:
        self._fail("begin")
        self.begun.append((name, dict(settings), step))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._fail("scalars")
        self.heard.append((step, dict(values)))

    def picture(self, name: str, step: int, png: bytes) -> None:
        self._fail("picture")
        self.heard.append((step, name, png[:4]))

    def end(self, outcome: str) -> None:
        self.ends.append(outcome)
        self._fail("end")

    def _fail(self, where: str) -> None:
        if self.fault == where:
            raise OSError(f"no space for {where}")


def weights(folder: Path) -> dict[str, Any]:
    return {name: value.numpy() for name, value in _files.read_tensors(folder / "model.safetensors")[0].items()}


@pytest.mark.parametrize("kind", ["records", "table"])
def test_a_logged_training_is_the_same_training(kind: str, tmp_path: Path) -> None:
    kept = Kept()
    source, by = (pictures(), fit) if kind == "records" else ("iris", fit_table)
    told = list(by(source, tmp_path / "a", settings=QUICK, log=[kept, TensorBoard(tmp_path / "tb")]))  # type: ignore[operator]
    alone = list(by(source, tmp_path / "b", settings=QUICK))  # type: ignore[operator]
    one, other = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
    assert [p.loss for p in told] == [p.loss for p in alone]
    name, settings, step = kept.begun[0]
    assert (name, step, kept.ends) == ("a", 0, ["finished"]) and settings["batch"] == 8 and "size" in settings
    scalars = [entry for entry in kept.heard if len(entry) == 2]
    assert [step for step, _ in scalars] == POINTS
    assert math.isclose(scalars[0][1]["loss"], float(np.mean([p.loss for p in told[:EVERY]])))
    assert [step for step, values in scalars if "held_out_loss" in values] == [20, 25]
    assert scalars[1][1]["held_out_loss"] == told[19].evaluation.mean  # type: ignore[union-attr]
    assert all(values["samples_per_second"] > 0 for _, values in scalars)
    drawn = {entry[1]: entry[2] for entry in kept.heard if len(entry) == 3}
    assert set(drawn) == ({"samples", "held_out_losses"} if kind == "records" else {"held_out_losses"})
    assert set(drawn.values()) == {b"\x89PNG"}


def read_tensorboard(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    found.Reload()
    return found


def read_mlflow(folder: Path) -> Any:
    from mlflow.tracking import MlflowClient

    uri = MLflow(folder).uri
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name(PROJECT).experiment_id])
    return client, run


def stopped(folder: Path, log: list[Any], at: int) -> None:
    loop = fit(pictures(), folder, settings={**QUICK, "checkpoint_every": 1e-9}, log=log)
    for progress in loop:
        if progress.step == at:
            break
    loop.close()  # type: ignore[attr-defined]


def test_tensorboard_reads_the_curves_the_settings_and_the_pictures_of_a_resumed_training(tmp_path: Path) -> None:
    stopped(tmp_path / "run", [TensorBoard(tmp_path / "tb")], at=13)
    kept = Kept()
    list(fit(pictures(), tmp_path / "run", settings=QUICK, resume=True, log=[TensorBoard(tmp_path / "tb"), kept]))
    assert kept.begun[0][2] == 13 and [step for step, *_ in kept.heard[:2]] == [20, 25]
    found = read_tensorboard(tmp_path / "tb")
    loss = found.Scalars("loss")
    assert [event.step for event in loss] == POINTS and all(event.value > 0 for event in loss)
    assert [event.step for event in found.Scalars("held_out_loss")] == [20, 25]
    text = found.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert json.loads(text.split("```json\n")[1].removesuffix("\n```"))["batch"] == 8
    (grid,) = found.Images("samples")
    assert grid.step == STEPS and grid.encoded_image_string[:4] == b"\x89PNG" and grid.width > grid.height > 0
    assert len(found.Images("held_out_losses")) == 1


def test_mlflow_reads_one_run_of_a_stopped_and_a_resumed_training(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy", reason="mlflow-skinny has no database")
    stopped(tmp_path / "run", [MLflow(tmp_path / "ml")], at=13)
    assert read_mlflow(tmp_path / "ml")[1].info.status == "KILLED"
    list(fit(pictures(), tmp_path / "run", settings=QUICK, resume=True, log=[MLflow(tmp_path / "ml")]))
    client, run = read_mlflow(tmp_path / "ml")
    assert run.info.status == "FINISHED" and run.data.params["batch"] == "8" and run.info.run_name == "run"
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")] == POINTS
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"samples-25.png", "held_out_losses-25.png", "settings-0.json", "settings-13.json"} <= names


def test_wandbs_offline_file_holds_the_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    told = list(fit(pictures(), tmp_path / "run", settings=QUICK, log=[WeightsAndBiases(tmp_path / "wb")]))
    (file,) = (tmp_path / "wb" / "wandb").glob("offline-run-*/run-*.wandb")
    latest = time.monotonic() + 20
    while len(content := file.read_bytes()) < 100 and time.monotonic() < latest:
        time.sleep(0.05)  # wandb's own process writes it, a moment after `finish`
    assert b"held_out_loss" in content and b"learning_rate" in content
    mean = told[19].evaluation.mean  # type: ignore[union-attr]
    assert json.dumps(mean).encode() in content and json.dumps(told[-1].learning_rate).encode()[:6] in content
    assert len(list((file.parent / "files" / "media" / "images").glob("samples_*.png"))) == 1


# ------------------------------------------------------------------------------------------------------------- endings


def steps(last: int, fault: BaseException | None = None) -> Iterator[Progress]:
    for k in range(1, last + 1):
        yield Progress(k, 1.0, 0.1, 0.1 * k, k / last, last="budget" if k == last else None)
        if fault is not None:
            raise fault


@pytest.mark.parametrize(
    ("fault", "outcome"), [(None, "finished"), (TrainingError("x"), "failed"), (KeyboardInterrupt(), "stopped")]
)
def test_loggers_end_whatever_happens(fault: BaseException | None, outcome: str) -> None:
    kept = [Kept(), Kept()]
    try:
        with open_loggers(kept, "run", {"a": 1, "b": [1]}, 0):
            list(logged(steps(3, fault), kept, batch=4))
    except (TrainingError, KeyboardInterrupt) as raised:
        assert raised is fault
    assert [one.ends for one in kept] == [[outcome]] * 2 and kept[0].begun == [("run", {"a": 1}, 0)]


@pytest.mark.parametrize("where", ["begin", "scalars", "picture", "end"])
def test_the_error_of_a_logger_is_raised_and_the_others_end(where: str, tmp_path: Path) -> None:
    before, bad, after = Kept(), Kept(where), Kept()
    with pytest.raises(OSError, match=f"no space for {where}"):
        list(fit(pictures(), tmp_path / "run", settings=QUICK, log=[before, bad, after]))
    assert before.ends == ["failed"] and bad.ends == (
        [] if where == "begin" else ["finished" if where == "end" else "failed"]
    )
    assert after.ends == ([] if where == "begin" else ["finished" if where == "end" else "failed"])
    if where in ("picture", "end"):  # the model was written before
        assert TrainedModel.load(tmp_path / "run").sample(2, steps=1).shape == (2, 4, 4)


def test_a_training_that_ended_is_not_logged_again(tmp_path: Path) -> None:
    list(fit("ring", tmp_path / "run", settings=QUICK))
    kept = Kept()
    assert list(fit("ring", tmp_path / "run", settings=QUICK, resume=True, log=[kept])) == []
    assert not kept.begun and not kept.ends


# --------------------------------------------------------------------------------------------------------- the command


def test_the_command_logs_to_several_places(scorefield: Command, tmp_path: Path) -> None:
    words = ("fit", "ring", "-o", tmp_path / "run", "--steps", 12, "--batch", 8, "--quiet")
    logs = ("--log", f"tensorboard:{tmp_path}/a", "--log", f"tensorboard:{tmp_path}/b")
    assert scorefield(*words, *logs)[0] == 0
    for name in "ab":
        assert [event.step for event in read_tensorboard(tmp_path / name).Scalars("loss")] == [10, 12]


@pytest.mark.parametrize("text", ["tensorbord:x", "tensorboard", "tensorboard:", ":x", ""])
def test_an_unknown_log_is_one_sentence(scorefield: Command, text: str, tmp_path: Path) -> None:
    code, out, err = scorefield("fit", "ring", "-o", tmp_path / "run", "--steps", 2, "--log", text)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "tensorboard:DIR, mlflow:DIR, wandb:DIR" in err and not (tmp_path / "run").exists()


def test_a_missing_package_is_one_sentence(
    scorefield: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    for name, module in (("tensorboard", "tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")):
        monkeypatch.setitem(sys.modules, module, None)
        code, _, err = scorefield("fit", "ring", "-o", tmp_path / "run", "--steps", 2, "--log", f"{name}:{tmp_path}")
        assert code == 2 and err.count("\n") == 1
        assert f"--log {name} needs the package {module}" in err and f"pip install 'scorefield[{name}]'" in err


def test_a_posterior_is_not_logged(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none of which is logged"):
        runs.fit("sims.csv", tmp_path, settings={}, options={"parameters": ("a",)}, log=[Kept()])


def test_the_guides_logger_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    guide = Path(__file__).parent.parent / "docs" / "logging.md"
    (code,) = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, guide.name, "exec"), {})
    first, *points, picture, last = capsys.readouterr().out.splitlines()
    assert first == "run after 0 steps: batches of 32" and (picture, last) == ("held_out_losses: True", "finished")
    assert [line.split()[0] for line in points] == ["10", "20"]
