"""Packages whose names are loaded on first use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType

_NO_MODULES: Mapping[str, str] = MappingProxyType({})


def on_first_use(
    package: str, names: Mapping[str, str], modules: Mapping[str, str] = _NO_MODULES
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """A package's `__getattr__`, which loads a name and keeps it there, and its `__dir__`, all of `__all__`.

    Args:
        package: its `__name__`.
        names: by public name the module of the package that defines it.
        modules: by public name a module of the package; these come first.

    Example:
        >>> import scorefield.data
        >>> get, listed = on_first_use("scorefield.data", {"TOYS": "toys"}, {"toys": "toys"})
        >>> get("toys").__name__, get("TOYS") is get("toys").TOYS, "load" in listed()
        ('scorefield.data.toys', True, True)
    """
    here = sys.modules[package]

    def load(name: str) -> object:
        if name in modules:
            value: object = import_module(f"{package}.{modules[name]}")
        elif name in names:
            value = getattr(import_module(f"{package}.{names[name]}"), name)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=here)
        setattr(here, name, value)
        return value

    return load, lambda: sorted(here.__all__)
