"""What the commands share: the application, its parsers for times and numbers, its ranges, its messages."""

from __future__ import annotations

import os
import re
import signal
import sys
from typing import Annotated, Any, NoReturn, TypeAlias

from cyclopts import App, Parameter

from scorefield import __version__, _ranges
from scorefield._files import shown
from scorefield._ranges import Range, real, whole

EXIT_CODES = {
    0: "it is done",
    1: "`check` found that a law fails, or that a sample is not of its run",
    2: "something is wrong with what was given, or could not be read or written: one line on standard error says what",
    130: "Ctrl-C ended it",
    141: "what read the output ended first",
}
"""What a command ends with, and when."""

app = App(
    name="scorefield",
    help="Score matching from a data file: fit a model, draw samples, say how good they are.",
    help_epilogue="""Examples:
  scorefield demo                             digits: fit, sample, evaluate, report
  scorefield fit table.csv -o run --time 2m            fit a model to a table
  scorefield sample run -n 1000 -o new.csv             draw new rows
  scorefield evaluate run table.csv                    compare them with held-out rows
  scorefield density run table.csv -o density.csv      how likely is each row?
  scorefield impute run table.csv -o full.csv          fill the holes
  scorefield predict run table.csv --target price -o prices.csv
  scorefield autoencode photos/ -o ae                  then: scorefield fit photos/ -o run --autoencoder ae
  scorefield restore run damaged.png --operator mask=mask.png --noise 0 --observed -o restored
  scorefield serve run                                 answer over HTTP what the commands answer
  scorefield explore                          score fields and diffusion in the browser

With --debug, before or after the command, an error also shows where it arose.

Exit codes:
"""
    + "\n".join(f"  {code:<5}{meaning}" for code, meaning in EXIT_CODES.items()),
    help_format="plaintext",
    version=__version__,
    default_parameter=Parameter(negative=()),
)

# --------------------------------------------------------------------------------------------------------- numbers


def ranged(limits: Range, *names: str) -> Parameter:
    """An option whose numbers lie in a range; a value outside is refused with the option, the value and the range.

    Args:
        limits: the range.
        names: of the option, where they do not follow from its parameter.
    """

    def check(_: Any, value: Any) -> None:
        if value is not None and value not in limits:
            raise ValueError(f"must be {limits.words}")

    check.limits = limits  # type: ignore[attr-defined]  # for the test that every number has a range
    return Parameter(names, validator=check) if names else Parameter(validator=check)


Steps: TypeAlias = Annotated[int, ranged(_ranges.STEPS)]
"""Evaluations of the network."""
ExportedSteps: TypeAlias = Annotated[int, ranged(_ranges.EXPORTED)]
"""Evaluations of a sampler that is exported."""
TrainingSteps: TypeAlias = Annotated[int, ranged(whole(1, 10**12))]
Samples: TypeAlias = Annotated[int, ranged(_ranges.COUNT, "-n")]
"""How many samples to draw; the option is `-n`."""
Draws: TypeAlias = Annotated[int, ranged(_ranges.DRAWS)]
Row: TypeAlias = Annotated[int, ranged(_ranges.COUNT)]
"""A row of a table, from 1."""
Batch: TypeAlias = Annotated[int, ranged(whole(1, 2**31))]
LatentChannels: TypeAlias = Annotated[int, ranged(_ranges.LATENT_CHANNELS)]
Class: TypeAlias = Annotated[int, ranged(whole(0, (1 << 16) - 1))]
Seed: TypeAlias = Annotated[int, ranged(_ranges.SEED)]
Parts: TypeAlias = Annotated[int, ranged(_ranges.PARTS)]
"""Of the rows of a step."""
Readers: TypeAlias = Annotated[int, ranged(_ranges.READERS)]
"""Threads that read ahead."""
Port: TypeAlias = Annotated[int, ranged(whole(0, 65535))]
Rate: TypeAlias = Annotated[float, ranged(real(0, 1e3, open_low=True))]
"""A learning rate."""
Guidance: TypeAlias = Annotated[float, ranged(real(0, 1e3))]
Tolerance: TypeAlias = Annotated[float, ranged(_ranges.TOLERANCE)]
"""Nats."""
Share: TypeAlias = Annotated[float, ranged(_ranges.SHARE)]
"""Of rows, all of them included."""
Probability: TypeAlias = Annotated[float, ranged(_ranges.PROBABILITY)]
"""Neither 0 nor 1."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = 366 * 24 * 3600.0


def seconds(text: str) -> float:
    """A duration such as 90s, 2m, 1h30m or 45 (seconds) in seconds.

    Example:
        >>> seconds("2m"), seconds("1h30m"), seconds("45")
        (120.0, 5400.0, 45.0)
    """
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)([smh]?)", text)
    if not parts or "".join(a + b for a, b in parts) != text or any(not unit for _, unit in parts[:-1]):
        raise ValueError(f"a duration is written as 90s, 2m or 1h30m, got {shown(text)}.")
    total = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if not 0 < total <= _LONGEST:
        raise ValueError(f"a duration must be more than nothing and at most 366 days (8784h), got {shown(text)}.")
    return total


def whole_numbers(text: str) -> list[int]:
    """Numbers of network evaluations such as 5,10,20.

    Example:
        >>> whole_numbers("5,10,20")
        [5, 10, 20]
    """
    if not re.fullmatch(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*", text) or text.count(",") >= 100:
        raise ValueError(f"--steps takes whole numbers such as 5,10,20, got {shown(text)}.")
    found = [int(part) for part in text.split(",")]
    for n in found:
        _ranges.STEPS("each of --steps", n)
    return found


# --------------------------------------------------------------------------------------------------------- messages


def fail(message: str, code: int = 2) -> NoReturn:
    """One line to standard error, and the exit code."""
    print("scorefield: error: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(code)


def warn(message: str) -> None:
    """One line to standard error; the command goes on."""
    print("scorefield: warning: " + " ".join(message.split()), file=sys.stderr)


def leave(computing: bool) -> None:
    """End a server's command: signals come too late now, and a thread that still computes is not waited for.

    Args:
        computing: whether there is one; it could only fail, aloud, while Python takes itself apart.
    """
    for one in (signal.SIGINT, signal.SIGTERM):  # they are not to look like a fault
        signal.signal(one, signal.SIG_IGN)
    if computing:
        sys.stdout.flush()
        os._exit(0)
