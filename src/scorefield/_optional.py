"""Packages that not everyone has: imported where they are used, missed in one sentence with what to install."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from scorefield._files import reason


def package(name: str, what: str, install: str) -> Any:
    """A module of a package that is not always there.

    Args:
        name: of the module, such as "onnxruntime".
        what: needs it, for the message.
        install: what pip is to install.

    Raises:
        ValueError: where it is missing, or does not load.

    Example:
        >>> package("json", "this example", "nothing").dumps([1])
        '[1]'
    """
    try:
        return import_module(name)
    except ImportError as fault:
        top = name.partition(".")[0]
        raise ValueError(f"{what} needs the package {top} ({reason(fault)}): pip install '{install}'.") from None


def diffusers(what: str) -> Any:
    """The package diffusers; see `package`."""
    return package("diffusers", what, "diffusers>=0.36")
