"""The command line: fit, schema, sample, evaluate, density, ... torch is imported by the commands, not by `--help`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dis import opmap
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path

from cyclopts import CycloptsError, ValidationError

from scorefield._files import reason
from scorefield.cli import adopt as _adopting  # noqa: F401  # importing them gives the app its commands
from scorefield.cli import autoencode as _autoencoding  # noqa: F401
from scorefield.cli import distil as _distilling  # noqa: F401
from scorefield.cli import explore as _exploring  # noqa: F401
from scorefield.cli import export as _exporting  # noqa: F401
from scorefield.cli import fit as _fitting  # noqa: F401
from scorefield.cli import forecast as _forecasting  # noqa: F401
from scorefield.cli import hub as _hub
from scorefield.cli import models as _models  # noqa: F401
from scorefield.cli import posteriors as _posteriors  # noqa: F401
from scorefield.cli import restore as _restoring  # noqa: F401
from scorefield.cli import serve as _serving  # noqa: F401
from scorefield.cli import tables as _tables  # noqa: F401
from scorefield.cli.app import app, fail
from scorefield.cli.app import seconds as seconds
from scorefield.cli.app import whole_numbers as whole_numbers

DEBUG = "--debug"
_PACKAGE = str(Path(__file__).parent.parent)


def main() -> None:
    """Run the command line: exit code 0, or one line saying what is wrong and exit code 2.

    Whatever a command raises ends here. Errors of this library and of the system are said as they are, anything else
    is a fault of this library and said to be one; with --debug its traceback is shown too. What reads our output may
    end before we do: then so do we, without a word, as one killed by a broken pipe.
    """
    # torch's threads spin briefly, then sleep, while they wait: on a busy machine their long spinning halves the speed
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells at length of its font cache
    if hasattr(sys.stdout, "reconfigure"):  # names of columns that the system's encoding lacks become escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    words, debug = _debug(sys.argv[1:])
    try:
        app(_hub.fetched(words), exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:
        _quiet()
        raise SystemExit(141) from None
    except Exception as error:
        if debug:
            sys.excepthook(type(error), error, error.__traceback__)
        fail(sentence(error))


def sentence(error: Exception) -> str:
    """What an error says to whom it meets on the command line."""
    if isinstance(error, ValidationError) and error.argument is not None:
        got = " ".join(token.value for token in error.argument.tokens)
        return f"{error.argument.name} {error.exception_message}, got {got}."
    if isinstance(error, OSError):
        where = "standard output" if error.filename is None else str(error.filename)
        full = error.errno in (ENOSPC, EDQUOT, EFBIG)
        return f"{where}: {reason(error)}{'; make room, or write to another place' if full else ''}."
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "DefaultCPUAllocator" in str(error):
        return "there is not enough memory for this; give fewer rows or samples at a time."
    if isinstance(error, (CycloptsError, ImportError)) or _is_own(error):
        return str(error)
    return f"this is a fault of scorefield ({reason(error)}): run it with {DEBUG} and report what it shows."


def _is_own(error: Exception) -> bool:
    """Whether a `raise` of this library made an error, so that its message is meant for the user."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not str(error):
        return False
    code = trace.tb_frame.f_code
    return code.co_filename.startswith(_PACKAGE) and code.co_code[trace.tb_lasti] == opmap["RAISE_VARARGS"]


def _debug(words: Sequence[str]) -> tuple[list[str], bool]:
    """The words without `--debug`, and whether it was among them, before or after the command."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != DEBUG]
    return [*kept, *words[end:]], len(kept) < end


def _quiet() -> None:
    """Let nothing more be written: the interpreter would try once more at its end, and say that it failed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
