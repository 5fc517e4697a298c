"""Make the environment `.venv` and install scorefield in it, with the build of torch that suits this machine.

    python3 tools/setup.py

Standard library only; the Makefile calls it, after a look at the version of Python. A torch of the pinned release
that `.venv` has already is kept. On Linux without an NVIDIA GPU torch's CPU build is taken, since the default build
brings gigabytes of CUDA libraries.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
EXTRAS = "dev"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def call(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a command; while it works, a line every ten seconds says that it does."""
    words = [str(part) for part in command]
    began = time.monotonic()
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while True:
            try:
                out, err = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                say(f"... {time.monotonic() - began:.0f} s")
            else:
                return subprocess.CompletedProcess(words, process.returncode, out, err)


def pinned(constraints: str) -> str:
    """The release of torch that constraints.txt names."""
    return next(line.split("==")[1].strip() for line in constraints.splitlines() if line.startswith("torch=="))


def lists_gpu() -> bool:
    """Whether `nvidia-smi -L` lists an NVIDIA GPU."""
    tool = shutil.which("nvidia-smi")
    return tool is not None and any(line.startswith("GPU ") for line in call(tool, "-L").stdout.splitlines())


def choices(system: str, gpu: bool, release: str) -> list[list[str]]:
    """What to ask pip for, best first: the CPU build from pip's own configuration, then from PyTorch's CPU index.

    The dependencies of a build asked for with `--no-deps` come in with the project, from pip's own configuration.
    """
    default = [f"torch=={release}"]
    if system != "Linux" or gpu:
        return [default]
    cpu = ["--no-deps", f"torch=={release}+cpu"]
    return [cpu, [*cpu, "--index-url", CPU_INDEX, "--retries", "1"], default]


def make_environment() -> None:
    """A virtual environment in `.venv`; one that works already is kept."""
    if PYTHON.exists() and call(PYTHON, "-m", "pip", "--version").returncode == 0:
        return
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        version = "{}.{}".format(*sys.version_info)
        sys.exit(
            f"setup: {sys.executable} cannot make virtual environments (no venv or ensurepip). On Debian and Ubuntu: "
            f"sudo apt install python{version}-venv. Or name another Python: make PYTHON=/path/to/python3 ..."
        )
    say(f"making .venv with Python {platform.python_version()}")
    made = call(sys.executable, "-m", "venv", "--clear", VENV)
    if made.returncode:
        sys.exit(f"setup: could not make .venv:\n{made.stdout}{made.stderr}")


def install_torch(release: str) -> None:
    """The pinned torch, by the first of `choices` that pip can fulfil."""
    has = call(PYTHON, "-c", "from importlib.metadata import version; print(version('torch'))").stdout.strip()
    if has.split("+")[0] == release:
        return say(f"keeping torch {has}")
    gpu = lists_gpu()
    options = choices(platform.system(), gpu, release)
    say(f"installing torch {release} ({'NVIDIA GPU found' if gpu else 'no NVIDIA GPU found'})")
    for k, option in enumerate(options):
        if k and k == len(options) - 1:
            say("WARNING: no CPU build of torch found; taking the default build, several GB with CUDA libraries")
        done = call(PYTHON, "-m", "pip", "install", "--quiet", *option)
        if done.returncode == 0:
            return None
    sys.exit(f"setup: pip could not install torch {release}:\n{done.stderr}")


def main() -> None:
    started = time.monotonic()
    make_environment()
    install_torch(pinned((ROOT / "constraints.txt").read_text(encoding="utf-8")))
    say("installing scorefield and the libraries it uses")
    done = call(PYTHON, "-m", "pip", "install", "--quiet", "-c", "constraints.txt", "-e", f".[{EXTRAS}]")
    if done.returncode:
        sys.exit(f"setup: pip could not install scorefield:\n{done.stderr}")
    say(f"ready in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
