"""Progress of long commands: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from scorefield.training.loop import Progress

_FIRST, _EVERY = 1.5, 10.0  # seconds until the first line, and between two lines, where there is no terminal


class ProgressBar:
    """A report (`scorefield.progress.Report`) that is shown on standard error while a command works.

    It is drawn by a thread of its own, so it also shows that a command lives whose next report is far.

    Args:
        what: is being done first.
        quiet: show nothing.

    Example:
        >>> with ProgressBar("densities", quiet=True) as bar:
        ...     bar(0.5, "densities")
    """

    def __init__(self, what: str, quiet: bool = False) -> None:
        self._share, self._what, self._quiet = 0.0, what, quiet
        self._begun = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __call__(self, share: float, what: str) -> None:
        """Hear how far the work is."""
        self._share, self._what = min(max(share, 0.0), 1.0), what or self._what

    def __enter__(self) -> Self:
        if not self._quiet:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self._ended.set()
        if not self._quiet:
            self._thread.join()

    def _show(self) -> None:
        if sys.stderr.isatty():
            self._draw()
        else:
            self._print()

    def _draw(self) -> None:
        from tqdm import tqdm

        if self._ended.wait(0.3):  # nothing flickers over a quick answer
            return
        with tqdm(total=1000, bar_format="{percentage:3.0f}%|{bar:24}| {desc}", leave=False, file=sys.stderr) as bar:
            while True:
                bar.set_description_str(self._text(), refresh=False)
                bar.update(int(1000 * self._share) - bar.n)
                bar.refresh()
                if self._ended.wait(0.2):
                    return

    def _print(self) -> None:
        if self._ended.wait(_FIRST):
            return
        while True:
            print(f"scorefield: {100 * self._share:.0f} %  {self._text()}", file=sys.stderr, flush=True)
            if self._ended.wait(_EVERY):
                return

    def _text(self) -> str:
        seconds = time.monotonic() - self._begun
        left = f", {_clock(seconds * (1 / self._share - 1))} left" if self._share > 0.02 else ""
        return f"{self._what}  {_clock(seconds)}{left}"


def watch(loop: Iterator[Progress], quiet: bool = False) -> Progress | None:
    """Run a training to its end, its rate and losses shown. Returns its last step's report; None without a step."""
    last, held = None, ""
    with ProgressBar("reading the data, preparing the model", quiet) as bar:
        for last in loop:
            if last.evaluation is not None:
                held = f"  held-out {last.evaluation.mean:.4f}{'' if last.evaluation.best else ' (best was lower)'}"
            rate = last.step / last.seconds if last.seconds else 0.0
            text = f"step {last.step:,}  {rate:.1f} steps/s  loss {last.loss:.4f}{held}"
            bar(last.fraction, text if last.last is None else f"{text}  finishing the model")
    return last


def say_end(output: Path, last: Progress | None) -> None:
    """Say how a training ended, by its last step's report; None: it had ended before."""
    if last is None:
        print(f"{output}: this training has ended; raise its budget by --time or --steps to go on.")
    else:
        print(f"{output}: trained {last.step} steps in {last.seconds:.0f} s; stopped at: {last.last}.")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
