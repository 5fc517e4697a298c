"""The command line: fit, schema, sample, evaluate, density, ... torch is imported by the commands, not by `--help`."""

from __future__ import annotations

import os
import sys

from cyclopts import CycloptsError

from scorefield.cli import explore as _exploring  # noqa: F401  # importing them gives the application its commands
from scorefield.cli import fit as _fitting  # noqa: F401
from scorefield.cli import models as _models  # noqa: F401
from scorefield.cli import tables as _tables  # noqa: F401
from scorefield.cli.app import app, fail
from scorefield.cli.app import seconds as seconds
from scorefield.cli.app import whole_numbers as whole_numbers


def main() -> None:
    """Run the command line: exit code 0, or one line saying what is wrong and exit code 2."""
    # torch's threads spin briefly, then sleep, while they wait: on a busy machine their long spinning halves the speed
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        app(sys.argv[1:], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        fail(str(error))
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        fail(str(error) or type(error).__name__)
    except KeyboardInterrupt:
        fail("interrupted; a training that was stopped goes on with --resume.")
