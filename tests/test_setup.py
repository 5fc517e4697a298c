"""The set-up script asks pip for the right build of torch on every kind of machine, and keeps a right one."""

import importlib.util
import re
import subprocess
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def setup() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / "tools" / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Pip:
    """Stands for the subprocesses: what is installed, whether there is a GPU, and which requests pip fulfils."""

    def __init__(self, installed: str = "", gpu: bool = False, fulfils: str = "") -> None:
        self.installed, self.gpu, self.fulfils, self.asked = installed, gpu, fulfils, []

    def __call__(self, *command: object) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in command]
        if words[-1] == "-L":
            return subprocess.CompletedProcess(words, 0, "GPU 0: NVIDIA\n" if self.gpu else "No devices found\n", "")
        if "install" not in words:
            return subprocess.CompletedProcess(words, 0, self.installed + "\n", "")
        self.asked.append(" ".join(words[words.index("--quiet") + 1 :]))
        return subprocess.CompletedProcess(
            words, 0 if re.fullmatch(self.fulfils, self.asked[-1]) else 1, "", "no match"
        )


LOCAL = "--no-deps torch==9.8.7+cpu"
INDEX = f"{LOCAL} --index-url https://download.pytorch.org/whl/cpu --retries 1"
DEFAULT = "torch==9.8.7"
MACHINES = {  # system, GPU, installed, what pip can fulfil: what it is asked, in order
    "CPU build in pip's configuration": ("Linux", False, "", re.escape(LOCAL), [LOCAL]),
    "CPU build on PyTorch's index": ("Linux", False, "", re.escape(INDEX), [LOCAL, INDEX]),
    "no CPU build anywhere": ("Linux", False, "", DEFAULT, [LOCAL, INDEX, DEFAULT]),
    "NVIDIA GPU": ("Linux", True, "", ".*", [DEFAULT]),
    "macOS": ("Darwin", False, "", ".*", [DEFAULT]),
    "Windows": ("Windows", False, "", ".*", [DEFAULT]),
    "the pinned CPU build is there": ("Linux", False, "9.8.7+cpu", ".*", []),
    "the pinned release is there": ("Linux", True, "9.8.7", ".*", []),
    "another release is there": ("Linux", False, "9.8.6+cpu", ".*", [LOCAL]),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_build_of_torch_suits_the_machine(
    machine: str, setup: types.ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    system, gpu, installed, fulfils, asked = MACHINES[machine]
    pip = Pip(installed, gpu, fulfils)
    monkeypatch.setattr(setup, "call", pip)
    monkeypatch.setattr(setup.platform, "system", lambda: system)
    monkeypatch.setattr(setup.shutil, "which", lambda name: name)
    setup.install_torch("9.8.7")
    assert pip.asked == asked
    assert ("WARNING" in capsys.readouterr().out) == (len(asked) == 3)


def test_failure_ends_with_pips_own_words(setup: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "call", Pip(fulfils="nothing"))
    with pytest.raises(SystemExit, match=r"(?s)torch 9\.8\.7.*no match"):
        setup.install_torch("9.8.7")


def test_constraints_pin_one_release_of_torch(setup: types.ModuleType) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", setup.pinned((ROOT / "constraints.txt").read_text(encoding="utf-8")))
