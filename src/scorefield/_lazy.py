"""Packages whose names are loaded on first use."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module


def loaded(package: str, places: Mapping[str, str], name: str) -> object:
    """What a package calls `name`, kept there from now on: what its `__getattr__` answers.

    Args:
        package: its `__name__`.
        places: by name the module of the package that defines it; a module of that name is itself.
        name: asked for.

    Raises:
        AttributeError: for a name that is not in the table.

    Example:
        >>> loaded("scorefield.data", {"toys": "toys"}, "toys").__name__
        'scorefield.data.toys'
    """
    here = sys.modules[package]
    if name not in places:
        raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=here)
    module = import_module(f"{package}.{places[name]}")
    value: object = module if name == places[name] else getattr(module, name)
    setattr(here, name, value)
    return value
