"""Fuzzing: damaged files and texts for every reader, in processes of bounded memory and time.

A reader returns, or raises a ValueError of its own with one sentence (for a file with the file's name), or an OSError
with the file's name. Input k of a reader is a pure function of (seed, reader, k).

    python tests/fuzz.py --inputs 100000
    python tests/fuzz.py --inputs 3000 --only npz --show
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import fuzz_readers
from fuzz_readers import Files, Reader

MEMORY = 1 << 30  # bytes that a reader may take beside what the process holds already
SECONDS = 10.0  # for one input
_SILENT = 60.0  # without an answer: the process is stuck where no signal reaches it
_NO_FILE = ("duration", "steps", "explorer", "plan")  # readers of texts, which know no file
_ANSWERS = ("run of records", "run of a table")  # what a run answers may be refused in words without the file


class SlowError(BaseException):
    """An input took longer than it may."""


def fault(reader: Reader, name: str, folder: Path) -> str | None:
    """What is wrong with how a reader takes the files of a folder, in a line; None where nothing is."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        reader.read(folder)
        return None
    except SlowError:
        return f"longer than {SECONDS:.0f} s"
    except BaseException as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        return _judged(error, name, folder)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _judged(error: BaseException, name: str, folder: Path) -> str | None:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/scorefield/" in frame.filename]
    where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
    label = f"{type(error).__name__} at {where}"
    if isinstance(error, OSError) and error.filename is not None:
        return None
    if not isinstance(error, ValueError) or not own or frames[-1] is not own[-1]:
        return label
    said = str(error)
    if "\n" in said or len(said) > 1000 or not said.rstrip().endswith((".", "?", ")")):
        return f"{label}: no sentence"
    if name in _NO_FILE or str(folder) in said or (name in _ANSWERS and type(error) is ValueError):
        return None
    return f"{label}: names no file"


def work(reader: Reader, name: str, seed: int, first: int, last: int, others: list[bytes], found: Any, at: Any) -> None:
    """Inputs first to last - 1 of a reader, in this process; what is wrong goes to a queue."""
    import warnings

    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    held = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if sys.platform == "linux" else 0
    )
    if held:
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY,) * 2)

    def slow(*_: object) -> None:
        raise SlowError

    signal.signal(signal.SIGALRM, slow)
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=shared))
    try:
        for k in range(first, last):
            at.value = k
            write(folder, reader.input(Random(f"{seed}/{name}/{k}"), others))
            wrong = fault(reader, name, folder)
            if wrong is not None:
                found.put((k, wrong))
    finally:
        shutil.rmtree(folder)
    at.value = last


def write(folder: Path, files: Files) -> None:
    """An input as files; what an earlier one left is removed."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def run(reader: Reader, name: str, seed: int, count: int, others: list[bytes]) -> list[tuple[int, str]]:
    """The faults of `count` inputs, as (input, what is wrong); a process that dies costs one input."""
    context = multiprocessing.get_context("fork")
    found, at = context.Manager().Queue(), context.Value("q", 0)
    faults: list[tuple[int, str]] = []
    first = 0
    while first < count:
        process = context.Process(target=work, args=(reader, name, seed, first, count, others, found, at))
        process.start()
        seen, since = at.value, time.monotonic()
        while process.is_alive():
            process.join(0.05)
            if at.value != seen:
                seen, since = at.value, time.monotonic()
            elif time.monotonic() - since > _SILENT:
                process.kill()
        if at.value < count:
            faults.append((at.value, f"the process ended with {process.exitcode}"))
        first = count if at.value >= count else at.value + 1
    while not found.empty():
        faults.append(found.get())
    return sorted(faults)


def counts(readers: dict[str, Reader], inputs: int) -> dict[str, int]:
    """How many inputs each reader gets."""
    whole = sum(reader.share for reader in readers.values())
    return {name: max(1, round(inputs * reader.share / whole)) for name, reader in readers.items()}


def show(reader: Reader, name: str, seed: int, k: int, others: list[bytes]) -> None:
    """The traceback of one input, read in this process."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), reader.input(Random(f"{seed}/{name}/{k}"), others))
        try:
            reader.read(Path(folder))
        except Exception:
            print("".join(traceback.format_exc().splitlines(keepends=True)[-14:]))


def main(words: Sequence[str] | None = None) -> int:
    """The number of faults, after a table of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--show", action="store_true", help="print a traceback of each kind")
    given = parser.parse_args(words)
    start, total, seen = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        made = fuzz_readers.readers(Path(folder))
    others = [content for reader in made.values() for seed in reader.seeds for content in list(seed.values())[:2]]
    chosen = {name: reader for name, reader in made.items() if given.only in name}
    for name, count in counts(chosen, given.inputs).items():
        begun = time.monotonic()
        faults = run(chosen[name], name, given.seed, count, others)
        total, seen = total + len(faults), seen + count
        print(f"{name:20} {count:7,} inputs {len(faults):6,} faults {time.monotonic() - begun:7.1f} s", flush=True)
        kinds = Counter(what for _, what in faults)
        for what, times in kinds.most_common():
            example = next(k for k, w in faults if w == what)
            print(f"    {times:6,}  {what}  (input {example})")
            if given.show and "process" not in what:
                show(chosen[name], name, given.seed, example, others)
    print(f"{'all':20} {seen:7,} inputs {total:6,} faults {time.monotonic() - start:7.1f} s")
    return total


if __name__ == "__main__":
    raise SystemExit(min(main(), 1))
