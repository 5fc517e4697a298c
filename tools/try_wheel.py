"""Install a built wheel in an empty environment, outside of this repository, and use it as its README says.

    python -m pip wheel . --no-deps -w dist
    python tools/try_wheel.py dist/*.whl [--torch "torch==2.13.0+cpu --index-url ..."]

Standard library only, and nothing of one operating system; exit code 0 where everything ran.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

COMMANDS = [
    "--version",
    "fit moons -o run --steps 20 --size small",
    "sample run -n 50 --steps 4 -o new.csv",
    "evaluate run moons -n 50 --steps 4 --report report.html",
    "info run",
    "check run --help",
]
IMPORTED = (
    "import sys, scorefield; from importlib.resources import files; page = files('scorefield') / 'explorer' / 'page';"
    "assert (page / 'index.html').is_file() and (page / 'js' / 'vendor' / 'uplot' / 'uPlot.iife.min.js').is_file();"
    "assert (files('scorefield') / 'py.typed').is_file();"
    "print(scorefield.__version__, scorefield.__file__)"
)


def call(words: list[object], folder: Path) -> str:
    """Run a command, without what could make this repository visible to it; what it wrote."""
    began = time.monotonic()
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run([str(word) for word in words], cwd=folder, env=outside, capture_output=True, text=True)
    print(f"{time.monotonic() - began:6.1f} s  {' '.join(map(str, words[1:]))}", flush=True)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--torch", help="what pip installs first, for instance a CPU build of torch and its index")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        venv.create(folder / "environment", with_pip=True)
        scripts = folder / "environment" / ("Scripts" if os.name == "nt" else "bin")
        python = scripts / ("python.exe" if os.name == "nt" else "python")
        pip: list[object] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if options.torch:
            call([*pip, *shlex.split(options.torch)], folder)
        call([*pip, options.wheel.resolve()], folder)
        print(call([python, "-c", IMPORTED], folder).strip())
        for command in COMMANDS:
            call([scripts / "scorefield", *shlex.split(command)], folder)


if __name__ == "__main__":
    main()
