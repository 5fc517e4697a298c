"""`scorefield` and `python -m scorefield`: the command line, and what Ctrl-C does at any moment of it."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

_HINT = "interrupted; go on with the same command and --resume."


class _Interrupt:
    """Ctrl-C: once it ends the command in order, twice at once.

    It is remembered, because what is interrupted while it is imported may turn it into another error.
    """

    def __init__(self) -> None:
        self.came = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            sys.stderr.write("\n")
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        self.came = True
        raise KeyboardInterrupt


def main() -> None:
    """Run the command line; Ctrl-C ends it with one line and exit code 130."""
    interrupt = _Interrupt()
    try:
        signal.signal(signal.SIGINT, interrupt)
        from scorefield.cli import main as run

        run()
    except BaseException as error:
        if not interrupt.came and not isinstance(error, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        fitting = next((word for word in sys.argv[1:] if not word.startswith("-")), "") == "fit"
        sys.stderr.write(f"scorefield: {_HINT if fitting else 'interrupted.'}\n")
        sys.stderr.flush()
        os._exit(130)  # at its ordinary end Python kills itself where C code ran the code that was interrupted


if __name__ == "__main__":
    main()
