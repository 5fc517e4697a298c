"""How much memory and disk there is, asked before what a file or a user tells is allocated."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_UNKNOWN = 1 << 62


def available() -> int:
    """Bytes that this process may still take: the machine's free memory, its container's, and its own limit."""
    return max(0, min(_of_machine(), _of_container(), _of_process()))


def lacking(size: int) -> str | None:
    """Why something of this size in bytes does not fit into memory, as the end of a sentence; None where it does.

    Example:
        >>> lacking(1000) is None, lacking(10**18).startswith("needs 1,000,000,000.0 GB of memory, and ")
        (True, True)
    """
    left = available()
    return None if size <= left else f"needs {in_words(size)} of memory, and {in_words(left)} are free"


def lacking_on_disk(size: int, folder: Path) -> str | None:
    """Why something of this size in bytes does not fit on the disk of a folder; None where it does."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    left = shutil.disk_usage(folder).free
    return None if size <= left else f"needs {in_words(size)} on the disk, and {in_words(left)} are free"


def in_words(size: int) -> str:
    """A number of bytes for people.

    Example:
        >>> in_words(1_234), in_words(80_000_000_000)
        ('1.2 kB', '80.0 GB')
    """
    unit, name = next(((u, n) for u, n in ((10**9, "GB"), (10**6, "MB")) if size >= u), (10**3, "kB"))
    return f"{size / unit:,.1f} {name}"


def _of_machine() -> int:
    try:
        for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN


def _of_container() -> int:
    """What a control group (version 2) leaves; caches that it would give back are counted as free."""
    try:
        group = Path("/sys/fs/cgroup")
        most = (group / "memory.max").read_text("utf-8").strip()
        used = int((group / "memory.current").read_text("utf-8"))
        kept = dict(line.split() for line in (group / "memory.stat").read_text("utf-8").splitlines())
        return _UNKNOWN if most == "max" else int(most) - used + int(kept.get("inactive_file", 0))
    except (OSError, ValueError):
        return _UNKNOWN


def _of_process() -> int:
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return _UNKNOWN
        return limit - int(Path("/proc/self/statm").read_text("utf-8").split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return _UNKNOWN
