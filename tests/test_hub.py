"""Runs on the Hub, without a network: cards, copies, what is uploaded, what is read of what was fetched."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub
import numpy as np
import pandas as pd
import pytest

from scorefield import Denoiser, Settings, TrainedModel, TrainedTable, fit, fit_frame, interop, nets
from scorefield._files import FileError
from scorefield.interop import hub
from scorefield.records.array_codec import ArrayCodec
from scorefield.records.evaluate import evaluate

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training on the digits, from a path that nobody needs to know."""
    from scorefield.data import load

    folder = tmp_path_factory.mktemp("hub")
    np.save(folder / "digits.npy", load("digits").records[:100])
    settings = {"steps": 4, "batch": 8, "evaluate_every": 2}
    list(fit(folder / "digits.npy", folder / "run", settings=settings, size="small"))
    return folder / "run"


class Recorder:
    """In the place of the Hub's client: what is asked of it, and what the folder held then."""

    asked: list[tuple[str, dict[str, Any]]]
    files: dict[str, bytes]

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault, self.asked, self.files = fault, [], {}

    def __call__(self, token: str | None = None) -> Recorder:
        self.asked.append(("HfApi", {"token": token}))
        return self

    def create_repo(self, **options: Any) -> None:
        if self.fault:
            raise self.fault
        self.asked.append(("create_repo", options))

    def upload_folder(self, **options: Any) -> None:
        self.asked.append(("upload_folder", options))
        self.files = {path.name: path.read_bytes() for path in Path(options["folder_path"]).iterdir()}


def cached(run: Path, cache: Path, name: str = "me/digits") -> Path:
    """A cache of the Hub that holds a run, as the library lays it out."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    root = cache / f"models--{name.replace('/', '--')}"
    snapshot = root / "snapshots" / commit
    hub.push(run, str(snapshot))
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    return snapshot


def test_a_pipeline_of_diffusers_is_read_from_the_cache(tmp_path: Path, monkeypatch: Any) -> None:
    network = diffusers.UNet2DModel(
        4, 1, 1, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), block_out_channels=(32,)
    )
    snapshot = tmp_path / "snapshot"
    diffusers.DDPMPipeline(network.eval(), diffusers.DDIMScheduler()).save_pretrained(snapshot)
    asked: list[tuple[str, list[str]]] = []

    def fetched(repo: str, allow_patterns: list[str], **_: Any) -> str:
        asked.append((repo, allow_patterns))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    expected = TrainedModel.from_diffusers(snapshot).sample(2, steps=3)
    for name in ("me/cats", "hub:me/cats", Path("hub:me/cats")):
        assert np.array_equal(TrainedModel.from_diffusers(name).sample(2, steps=3), expected)
    assert interop.from_diffusers("me/cats").sigma_max > 100
    assert {repo for repo, _ in asked} == {"me/cats"} and len(asked) == 4
    assert all(name.endswith((".json", ".safetensors")) for _, names in asked for name in names)
    (snapshot / "unet" / "config.json").rename(snapshot / "config.json")  # as old pipelines of one network lie
    (snapshot / "unet" / "diffusion_pytorch_model.safetensors").rename(snapshot / "diffusion_pytorch_model.safetensors")
    (snapshot / "unet").rmdir()
    assert np.array_equal(TrainedModel.from_diffusers(snapshot).sample(2, steps=3), expected)
    with pytest.raises(FileError, match="no such folder"):
        TrainedModel.from_diffusers(Path("me/cats"))  # a path is never a name


def test_the_card_says_what_the_run_is(run: Path) -> None:
    model = TrainedModel.load(run)
    text = hub.card(run, "me/digits", evaluate(model, str(run.parent / "digits.npy"), n=20, steps=2))
    _, front, body = text.split("---\n", 2)
    assert front.splitlines() == [
        "library_name: scorefield",
        "tags:",
        *(f"- {tag}" for tag in ("score-matching", "diffusion", "image-generation")),
    ]
    for words in (
        "# me/digits",
        "digits.npy: 90 rows",
        "4 steps",
        "held-out loss",
        "unet",
        "energy distance",
        "hub:me/digits",
    ):
        assert words in body, words
    assert str(run.parent) not in text and 'load("me/digits")' in body
    assert "No evaluation came with this run" in hub.card(run)


def test_the_card_of_a_table_shows_its_columns_whatever_they_are_called(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"```\n# free": rng.normal(size=60), "kind": rng.choice(["a", "b"], 60)})
    fit_frame(frame, settings=Settings(steps=2)).save(tmp_path / "run")
    text = hub.card(tmp_path / "run", "me/table")
    assert "````text" in text and "kind" in text and "impute hub:me/table" in text
    assert isinstance(TrainedTable.load(tmp_path / "run"), TrainedTable)


def test_a_pushed_folder_holds_three_files_and_loads(run: Path, tmp_path: Path) -> None:
    assert hub.push(run, str(tmp_path / "copy")) == str(tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == sorted(hub.FILES)
    one, other = (TrainedModel.load(folder).sample(3, steps=2) for folder in (run, tmp_path / "copy"))
    assert np.array_equal(one, other)
    hub.push(run, str(tmp_path / "copy"))  # again
    (tmp_path / "copy" / "mine.txt").write_text("")
    with pytest.raises(ValueError, match="holds something else"):
        hub.push(run, str(tmp_path / "copy"))


def test_what_is_uploaded_is_what_a_folder_would_hold(run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    recorder = Recorder()
    monkeypatch.setattr(huggingface_hub, "HfApi", recorder)
    assert hub.push(run, "hub:me/digits", token="t") == "hub:me/digits"
    (_, client), (_, made), (_, sent) = recorder.asked
    assert client == {"token": "t"} and made == {"repo_id": "me/digits", "private": True, "exist_ok": True}
    assert sent["repo_id"] == "me/digits" and sent["allow_patterns"] == list(hub.FILES)
    assert set(recorder.files) == set(hub.FILES) and b"# me/digits" in recorder.files["README.md"]
    assert recorder.files["model.safetensors"] == (run / "model.safetensors").read_bytes()
    assert not Path(sent["folder_path"]).exists()


def test_a_run_comes_back_from_the_cache_and_nothing_else_is_opened(run: Path, tmp_path: Path) -> None:
    snapshot = cached(run, tmp_path)
    for name in ("evil.py", "pytorch_model.bin", "model.pkl", "__init__.py"):
        (snapshot / name).write_text("raise SystemExit('this was run')")
    opened: set[str] = set()
    sys.addaudithook(
        lambda event, args: (
            opened.add(Path(str(args[0])).name) if event == "open" and str(snapshot) in str(args[0]) else None
        )
    )
    model = hub.load("hub:me/digits", cache=tmp_path, offline=True)
    assert np.array_equal(model.sample(3, steps=2), TrainedModel.load(run).sample(3, steps=2))
    assert "model.json" in opened and opened <= set(hub.FILES)


def test_what_the_hub_holds_is_believed_no_more_than_any_file(run: Path, tmp_path: Path) -> None:
    snapshot = cached(run, tmp_path)
    content = bytearray((snapshot / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (snapshot / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"does not belong to model\.json"):
        hub.load("me/digits", cache=tmp_path, offline=True)
    (snapshot / "model.json").unlink()
    with pytest.raises(ValueError, match="no such file"):
        hub.load("me/digits", cache=tmp_path, offline=True)


@pytest.mark.parametrize("name", ["digits", "a/b/c", "../x", "hub:", "hub:x", "a/../b", "/a/b", "a b/c", "a/-b", ""])
def test_names_of_no_repository_are_refused(name: str) -> None:
    assert not hub.is_name(name)
    with pytest.raises(ValueError, match="is written as hub:USER/NAME, got"):
        hub.load(name)


def test_faults_are_one_sentence(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="hub:me/nothing cannot be fetched: "):
        hub.load("me/nothing", cache=tmp_path, offline=True)
    with pytest.raises(ValueError, match="is written as hub:USER/NAME"):
        hub.push(run, "hub:x")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=r"write \./out/copy or hub:out/copy"):
        hub.push(run, "out/copy")
    monkeypatch.setattr(huggingface_hub, "HfApi", Recorder(OSError("401 Unauthorized")))
    with pytest.raises(ValueError, match="hub:me/digits cannot be written: 401 Unauthorized"):
        hub.push(run, "me/digits")
    with pytest.raises(ValueError, match=r"model\.json: no such file"):
        hub.push(tmp_path / "out", "me/digits")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: hub.push(run, "me/digits"), lambda: hub.load("me/digits")):
        with pytest.raises(ValueError, match=re.escape("pip install 'scorefield[hub]'")):
            call()


def test_the_commands(scorefield: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = ArrayCodec(("a", "b"), (0.0, 0.0), (1.0, 1.0), (0.0, 0.0))
    TrainedModel(Denoiser(nets.ResidualMLP(2, width=16, depth=1)).eval(), codec).save(tmp_path / "run")
    code, out, _ = scorefield("push", tmp_path / "run", tmp_path / "copy", "--quiet")
    assert code == 0 and out.startswith(f"{tmp_path / 'copy'}: model.json, model.safetensors, README.md of ")
    monkeypatch.setattr(hub, "fetch", {"hub:me/two": tmp_path / "copy"}.__getitem__)
    code, out, _ = scorefield("sample", "hub:me/two", "-n", 5, "-o", tmp_path / "new.csv", "--steps", 2, "--quiet")
    assert code == 0 and len((tmp_path / "new.csv").read_text().splitlines()) == 6
    code, _, err = scorefield("push", run, tmp_path / "told", "--data", run.parent / "digits.npy", "--quiet")
    assert code == 0 and "energy distance" in (tmp_path / "told" / "README.md").read_text(), err
    for words in (("calibrate", "hub:me/two"), ("fit", "iris", "-o", "hub:me/two")):
        code, _, err = scorefield(*words)
        assert code == 2 and err.count("\n") == 1 and "takes no hub:me/two" in err
