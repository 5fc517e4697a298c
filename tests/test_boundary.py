"""The edge of the command line: whatever goes wrong is one sentence and exit code 2; --debug shows where."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cyclopts import App

from scorefield import _ranges
from scorefield.cli import app
from scorefield.cli import main as main

HUGE = "(1099511627776, 3)"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of two numbers."""
    from scorefield import Denoiser, TrainedModel, nets
    from scorefield.records.array_codec import ArrayCodec

    folder = tmp_path_factory.mktemp("edge") / "run"
    codec = ArrayCodec(("a", "b"), (0.0, 0.0), (1.0, 1.0), (0.0, 0.0))
    TrainedModel(Denoiser(nets.ResidualMLP(2, width=16, depth=1)).eval(), codec).save(folder)
    return folder


def started(*words: object, **options: object) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "scorefield", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]


# ---------------------------------------------------------------------------------------------------------- errors


def edited(run: Path, folder: Path, *keys: str, value: object) -> Path:
    """A copy of a run, one value of its model.json replaced."""
    folder.mkdir()
    header = json.loads((run / "model.json").read_text())
    part = header
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    (folder / "model.json").write_text(json.dumps(header))
    (folder / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes())
    return folder


EDITS = {
    "width": (("network", "config", "width"), 10**9),
    "depth": (("network", "config", "depth"), 10**9),
    "seed": (("network", "config", "seed"), "x"),
    "network": (("network", "name"), ["unet"]),
    "target": (("target",), "nothing"),
    "codec": (("codec", "kind"), "nothing"),
    "columns": (("codec", "columns"), ["a"]),
    "std": (("codec", "std"), [1.0, float("nan")]),
    "plans": (("plans",), {"3": "{}"}),
    "fewer": (("codec",), {"kind": "table", "columns": ["a"], "mean": [0.0], "std": [1.0], "resolution": [0.0]}),
    "info": (("info",), {"data": {"rows": "many"}}),
}


@pytest.mark.parametrize("name", EDITS)
def test_no_value_of_a_models_header_is_believed(scorefield, run: Path, tmp_path: Path, name: str) -> None:
    keys, value = EDITS[name]
    code, out, err = scorefield("info", edited(run, tmp_path / "run", *keys, value=value))
    assert code == 2 and out == "" and err.count("\n") == 1
    assert err.startswith("scorefield: error: ") and str(tmp_path / "run") in err and "fault of scorefield" not in err


def test_debug_shows_where_before_or_after_the_command(scorefield, tmp_path: Path) -> None:
    for words in (("--debug", "info", tmp_path), ("info", tmp_path, "--debug")):
        code, _, err = scorefield(*words)
        assert code == 2 and "Traceback" in err and "FileError" in err
    assert "Traceback" not in scorefield("info", tmp_path)[2]


def test_what_nobody_foresaw_is_called_a_fault(scorefield, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scorefield import runs

    for error in (KeyError("x"), ValueError("operands do not match"), ZeroDivisionError()):

        def broken(folder: object, error: Exception = error) -> None:
            np.asarray([]).reshape(3) if isinstance(error, ValueError) else {}["x"] if isinstance(
                error, KeyError
            ) else 1 / 0

        monkeypatch.setattr(runs, "kind_of_run", broken)
        code, _, err = scorefield("info", run)
        assert code == 2 and "this is a fault of scorefield" in err and "--debug" in err and err.count("\n") == 1


def test_a_full_disk_names_the_file(run: Path, tmp_path: Path) -> None:
    """A file size limit stands for the full disk: the system refuses the write in the same way."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom scorefield.cli import main\n"
        "for suffix in ('csv', 'npy', 'npz', 'parquet'):\n"
        "    sys.argv[1:] = ['sample', RUN, '-n', '2000', '-o', f'FOLDER/new.{suffix}', '--steps', '2', '--quiet']\n"
        "    try: main()\n"
        "    except SystemExit as end: print(end.code)\n".replace("RUN", repr(str(run))).replace(
            "FOLDER", str(tmp_path)
        )
    )
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert done.stdout == "2\n" * 4, done.stderr
    for line, suffix in zip(done.stderr.splitlines(), ("csv", "npy", "npz", "parquet"), strict=True):
        assert line.startswith(f"scorefield: error: {tmp_path}/new.{suffix}: "), line
    assert list(tmp_path.iterdir()) == [script]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_full_standard_output_is_said(run: Path) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "scorefield", "info", str(run)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "standard output" in done.stderr and done.stderr.count("\n") == 1


def test_a_reader_that_ends_early_ends_the_command_quietly(run: Path) -> None:
    process = started("info", run)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 141


def interrupted(process: subprocess.Popen[str], after: float) -> tuple[int, str]:
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()  # where it did not end
    return process.returncode, err


@pytest.mark.parametrize("after", [0.7, 1.6])  # while it imports
def test_an_interrupt_is_one_line(run: Path, after: float) -> None:
    code, err = interrupted(started("sample", run, "-n", 10**7, "-o", "never.npy", "--steps", 500, "--quiet"), after)
    assert (code, err) == (130, "scorefield: interrupted.\n")


def test_an_interrupt_during_the_first_collection_is_not_lost() -> None:
    """What is raised in a callback of the collector is ignored: the interrupt comes again after it."""
    text = """
import signal, time
from types import SimpleNamespace
from scorefield.__main__ import _FirstCollection, _Interrupt
interrupt = _Interrupt()
signal.signal(signal.SIGINT, interrupt)
interrupt(signal.SIGINT, SimpleNamespace(f_code=_FirstCollection.__call__.__code__))
assert not interrupt.came
try:
    time.sleep(20)
except KeyboardInterrupt:
    print("interrupted", interrupt.came)
"""
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert (found.stdout, found.stderr) == ("interrupted True\n", "")


def test_an_interrupted_fit_says_how_to_go_on(tmp_path: Path) -> None:
    process = started("fit", "ring", "-o", tmp_path / "run", "--time", "1h", "--quiet")
    deadline = time.monotonic() + 120
    while not (tmp_path / "run").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    code, err = interrupted(process, 0.5)
    assert code == 130 and err.endswith("interrupted; go on with the same command and --resume.\n")
    assert "Traceback" not in err


# --------------------------------------------------------------------------------------------------------- numbers


def numeric(cli: App) -> list[tuple[str, str, _ranges.Range | None, type]]:
    """Every option of every command that takes a number: command, option, range, type."""
    found = []
    for command in cli:
        if command.startswith("-"):
            continue
        for argument in cli[command].assemble_argument_collection():
            kinds = [kind for kind in (int, float) if kind.__name__ in str(argument.hint).replace("<class '", "")]
            if kinds and "Literal" not in str(argument.hint):
                limits = [getattr(check, "limits", None) for check in argument.parameter.validator or ()]
                found.append((command, argument.name, limits[0] if limits else None, kinds[0]))
    return found


NUMERIC = numeric(app)


def test_there_are_numbers() -> None:
    assert {("sample", "-n"), ("predict", "--interval"), ("fit", "--learning-rate"), ("explore", "--port")} <= {
        (command, option) for command, option, _, _ in NUMERIC
    }


@pytest.mark.parametrize(("command", "option", "limits", "kind"), NUMERIC, ids=[f"{c} {o}" for c, o, _, _ in NUMERIC])
def test_every_number_has_a_range(scorefield, command: str, option: str, limits: _ranges.Range, kind: type) -> None:
    assert isinstance(limits, _ranges.Range), f"{command} {option} takes any number; annotate it with a type of cli.app"
    wrong = [limits.low - 1, limits.high + 1] if kind is int else [-1.0, "nan", "inf", limits.high * 2]
    wrong += [limits.low] * limits.open_low + [limits.high] * limits.open_high
    for value in wrong:
        words = REQUIRED.get(command, ())
        if option in words:
            words = words[: words.index(option)] + words[words.index(option) + 2 :]
        code, out, err = scorefield(command, *words, option, value)
        assert code == 2 and out == "" and err.count("\n") == 1
        assert err.startswith(f"scorefield: error: {option} must be {limits.words}, got {value}.")


REQUIRED = {
    "sample": ("run", "-o", "x.csv"),
    "evaluate": ("run", "x.csv"),
    "calibrate": ("run",),
    "distil": ("run", "--steps", "2"),
    "export": ("run", "-o", "x.onnx"),
    "forecast": ("run", "x.npy", "-o", "y.csv"),
    "density": ("run", "x.csv", "-o", "y.csv"),
    "outliers": ("run", "x.csv", "-o", "y.csv"),
    "impute": ("run", "x.csv", "-o", "y.csv"),
    "predict": ("run", "x.csv", "-o", "y.csv", "--target", "a"),
    "posterior": ("run", "x.csv", "-o", "y.csv"),
    "restore": ("run", "x.png", "--operator", "blur=1", "--noise", "1", "-o", "y"),
    "fit": ("iris", "-o", "x"),
    "adopt": ("pipeline", "-o", "x"),
    "autoencode": ("digits", "-o", "x"),
    "serve": ("run",),
}


@pytest.mark.parametrize("steps", ["0", "10001", "5,99999", "1" * 40, ",".join(["5"] * 200)])
def test_numbers_in_a_text_have_a_range_too(scorefield, steps: str) -> None:
    code, _, err = scorefield("calibrate", "run", "--steps", steps)
    assert code == 2 and "--steps" in err and err.count("\n") == 1


@pytest.mark.parametrize("time", ["9" * 400, "8785h", "0s", "nan", "1e9s"])
def test_durations_have_a_range(scorefield, time: str) -> None:
    code, _, err = scorefield("fit", "iris", "-o", "x", "--time", time)
    assert code == 2 and "duration" in err and err.count("\n") == 1


# ------------------------------------------------------------------------------------------------------ told sizes


def test_a_header_that_tells_of_terabytes_is_refused_before_they_are_taken(scorefield, tmp_path: Path) -> None:
    file = tmp_path / "huge.npy"
    np.save(file, np.zeros((30, 3)))
    file.write_bytes(file.read_bytes().replace(b"(30, 3), }" + b" " * (len(HUGE) - 7), HUGE.encode() + b", }"))
    code, _, err = scorefield("fit", file, "-o", tmp_path / "run", "--steps", 1)
    assert code == 2 and "26,388.3 GB" in err and "cut short or damaged" in err and err.count("\n") == 1


def test_a_sparse_file_of_terabytes_is_refused_with_its_size(scorefield, tmp_path: Path) -> None:
    file = tmp_path / "sparse.npy"
    array = np.lib.format.open_memmap(file, "w+", np.float64, (10**6, 3))
    del array
    count = 2**37
    with file.open("r+b") as opened:
        np.lib.format.write_array_header_1_0(opened, {"descr": "<f8", "fortran_order": False, "shape": (count, 3)})
        opened.truncate(opened.tell() + 24 * count)
    code, _, err = scorefield("fit", file, "-o", tmp_path / "run", "--steps", 1)
    assert code == 2 and "3,298.5 GB" in err and "ever written" in err and err.count("\n") == 1


def test_the_processes_own_limit_counts() -> None:
    code = (
        "import resource; from scorefield import _memory\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))\n"
        "print(_memory.available() < 1 << 31, _memory.lacking(1 << 31) is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout == "True True\n"
