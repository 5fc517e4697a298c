"""What the commands share: the application, its parsers for times and numbers, its errors."""

from __future__ import annotations

import re
import sys
from typing import NoReturn

from cyclopts import App, Parameter

from scorefield import __version__

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
  scorefield explore                          score fields and diffusion in the browser""",
    help_format="plaintext",
    version=__version__,
    default_parameter=Parameter(negative=()),
)

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """A duration such as 90s, 2m, 1h30m or 45 (seconds) in seconds.

    Example:
        >>> seconds("2m"), seconds("1h30m"), seconds("45")
        (120.0, 5400.0, 45.0)
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not parts or "".join(a + b for a, b in parts) != text or any(not unit for _, unit in parts[:-1]):
        raise ValueError(f"a duration is written as 90s, 2m or 1h30m, got {text!r}.")
    total = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if total <= 0:
        raise ValueError(f"a duration must be more than nothing, got {text!r}.")
    return total


def whole_numbers(text: str) -> list[int]:
    """Numbers such as 5,10,20.

    Example:
        >>> whole_numbers("5,10,20")
        [5, 10, 20]
    """
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise ValueError(f"--steps takes whole numbers such as 5,10,20, got {text!r}.")
    return [int(part) for part in text.split(",")]


def fail(message: str) -> NoReturn:
    """One line to standard error, exit code 2."""
    print("scorefield: error: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(2)


def warn(message: str) -> None:
    """One line to standard error; the command goes on."""
    print("scorefield: warning: " + " ".join(message.split()), file=sys.stderr)
