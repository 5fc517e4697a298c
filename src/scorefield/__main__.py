"""`scorefield` and `python -m scorefield`: the command line, and what Ctrl-C does at any moment of it."""

from __future__ import annotations

import _thread
import gc
import os
import signal
import sys
import threading
from types import FrameType

_IMPORTED = 150_000  # objects, about as many as torch alone leaves
_SOON = 0.01  # seconds
_HINT = "interrupted; go on with the same command and --resume."


class _Interrupt:
    """Ctrl-C: once it ends the command in order, twice at once.

    It is remembered, because what is interrupted while it is imported may turn it into another error.
    """

    def __init__(self) -> None:
        self.came = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code is _FirstCollection.__call__.__code__:  # what is raised there is lost
            threading.Timer(_SOON, _interrupt_again).start()
            return
        if self.came:
            sys.stderr.write("\n")
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        self.came = True
        raise KeyboardInterrupt


def _interrupt_again() -> None:
    """Ctrl-C for the main thread, which wakes it where it waits."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


class _FirstCollection:
    """Look for garbage among what is imported once at most: doing so again and again takes a fifth of the import."""

    def __init__(self) -> None:
        self.usual = gc.get_threshold()
        gc.callbacks.append(self)
        gc.set_threshold(_IMPORTED, *self.usual[1:])

    def __call__(self, phase: str, _: dict[str, int]) -> None:
        if phase == "stop":
            gc.callbacks.remove(self)
            gc.freeze()
            gc.set_threshold(*self.usual)


def main() -> None:
    """Run the command line; Ctrl-C ends it with one line and exit code 130."""
    interrupt = _Interrupt()
    try:
        signal.signal(signal.SIGINT, interrupt)
        _FirstCollection()
        from scorefield.cli import main as run

        run()
    except BaseException as error:
        if not interrupt.came and not isinstance(error, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        fitting = next((word for word in sys.argv[1:] if not word.startswith("-")), "") in ("fit", "autoencode")
        sys.stderr.write(f"scorefield: {_HINT if fitting else 'interrupted.'}\n")
        sys.stderr.flush()
        os._exit(130)  # at its ordinary end Python kills itself where C code ran the code that was interrupted
    finally:
        gc.freeze()  # the system takes all memory back at once: nothing is gone through for the last time


if __name__ == "__main__":
    main()
