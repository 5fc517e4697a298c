"""Repositories of the Hugging Face Hub: their names, and files of them on this machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from scorefield._files import reason, shown
from scorefield._optional import package

PREFIX = "hub:"
INSTALL = "scorefield[hub]"
_NAME = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"


def is_name(text: str) -> bool:
    """Whether a text is the name of a repository, USER/NAME, with or without `hub:` before it.

    Example:
        >>> is_name("me/digits"), is_name("hub:me/digits"), is_name("./me/digits"), is_name("digits")
        (True, True, False, False)
    """
    return re.fullmatch(_NAME, text.removeprefix(PREFIX)) is not None


def fetched(
    name: str,
    files: Sequence[str],
    *,
    revision: str | None = None,
    cache: str | Path | None = None,
    offline: bool = False,
) -> Path:
    """The folder on this machine of some files of a repository, fetched where they are not there yet.

    Args:
        name: USER/NAME, with or without `hub:`.
        files: their names, or patterns of these; no others are fetched.
        revision: a branch, tag or commit; default: the newest.
        cache: folder of the Hub's cache; default: the library's own.
        offline: take what the cache holds.

    Raises:
        ValueError: for another name, a missing package, or what cannot be fetched.
    """
    if not is_name(name):
        raise ValueError(f"a repository of the Hub is written as hub:USER/NAME, got {shown(name)}.")
    hub, repo = package("huggingface_hub", "loading from the Hub", INSTALL), name.removeprefix(PREFIX)
    try:
        found = hub.snapshot_download(
            repo, revision=revision, cache_dir=cache, local_files_only=offline, allow_patterns=list(files)
        )
    except Exception as fault:  # of many libraries below: whatever it is, one sentence with its reason
        raise ValueError(f"hub:{repo} cannot be fetched: {reason(fault)}.") from fault
    return Path(found)
