"""Packages that are not installed with this one: imported where they are met, their absence is one sentence."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from scorefield._files import reason


def optional(package: str, what: str, pip: str) -> ModuleType:
    """The package, imported.

    Args:
        package: its name.
        what: what needs it, with its article, for the message.
        pip: what to give to `pip install`.

    Raises:
        ValueError: where it is not installed, or cannot be imported.

    Example:
        >>> optional("json", "a test", "json").__name__
        'json'
    """
    try:
        return import_module(package)
    except ImportError as fault:
        raise ValueError(f"{what} needs the package {package} ({reason(fault)}): pip install '{pip}'.") from None


def diffusers(what: str) -> ModuleType:
    """The package diffusers; see `optional`."""
    return optional("diffusers", what, "diffusers>=0.36")
