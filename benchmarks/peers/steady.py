"""An environment in which timings can be compared: one thread, and memory that glibc does not hand back."""

from __future__ import annotations

import os
import sys

_STEADY = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
}


def steady() -> None:
    """Start this program again in that environment, unless it is in it: to be called before torch is imported.

    glibc hands freed memory back to the system and faults it in again, more or less by accident of layout: up to 10 %
    of a network's time, in the bare network as in any sampler.
    """
    if any(os.environ.get(name) != value for name, value in _STEADY.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | _STEADY)
